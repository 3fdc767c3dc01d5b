"""The regression gate's verdict in the report: read from its file, told first, drawn, and never markup."""

import copy
import json
import re
from pathlib import Path

import pytest

from reports import __main__ as command
from reports import gates, plots, record, render, summary
from reports.tests import samples

HOSTILE = "<script>alert(1)</script>|`*_[x](https://example.org)"


def judgement(workload="resnet50-stem", state="regression", estimate=0.054, **fields):
    return {
        "workload": workload, "state": state, "stage": 1, "pairs": 10, "estimate": estimate, "low": estimate - 0.01, "high": estimate + 0.01,
        "p": 2e-8, "threshold": 0.03, "detectable": 0.037, "calibrated": True, "seconds": [1e-3, 1.054e-3], "metric": "cpu", "message": "",
        **fields,
    }  # fmt: skip


def gate(state="regression", status=1, rows=None, **verdict):
    side = {
        "label": "main",
        "kind": "revision",
        "backend": "numpy",
        "version": "2.4.6",
        "python": "3.11",
        "packages": {},
        "revision": "abcdef0123456789",
    }
    rows = [judgement(), judgement("m5", "pass", 0.001)] if rows is None else rows
    return {
        "kind": "gate", "schema": 1,
        "run": {
            "schema": 1, "started": "2026-01-02T03:04:05+00:00", "finished": None, "partial": False, "only": "both", "workloads": [],
            "machine": {"fingerprint": "0123", "description": {"cpu": "Sample CPU"}}, "pairs": [], "uncovered": [], "meaning": None, "notes": [],
            "sides": [{"role": "baseline", **side}, {"role": "candidate", **side, "label": "HEAD"}],
        },
        "verdict": {
            "state": state, "status": status, "headline": "Slower: resnet50-stem +5.4 %.", "calibrated": True, "judgements": rows,
            "rule": {"alpha": 0.01, "delta": 0.01, "threshold": 0.03, "pairs": [6, 10, 10], "confidence": 0.95},
            "findings": [{
                "kind": "missing", "message": "m5-gradient is gone", "state": "coverage", "workload": "m5-gradient", "level": "error", "side": "", "case": "",
            }],
            **verdict,
        },
        "calibration": {
            "alarms": {"red": 0, "gates": 60, "bound": 0.0487}, "swapped": {"pairs": {"found": 0, "trials": 60000}}, "reversed": 0,
            "sequential": {"mean:10%": {"found": 9, "trials": 10}}, "power": {"5": {"a": {"found": 20, "trials": 20}, "b": {"found": 10, "trials": 20}}},
        },
    }  # fmt: skip


def kept(folder, content=None):
    folder.mkdir(exist_ok=True)
    path = folder / "gate.json"
    content = gate() if content is None else content
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def told(folder, content=None):
    kept(folder, content)
    return summary.summarise(record.load(folder))


def page(folder, content=None):
    return render.html(told(folder, content), [folder], "now")[0]


# --- what it says -------------------------------------------------------------------------------


def test_a_gate_is_read(tmp_path):
    """The state, the workloads with the gravest first, the findings and what the calibration says."""
    found = told(tmp_path).gates[0]
    assert (found.state, found.status, found.machine) == ("slower", 1, "Sample CPU")
    assert [(row.workload, row.state) for row in found.rows] == [("resnet50-stem", "slower"), ("m5", "passed")]
    assert [(finding.state, finding.text) for finding in found.findings] == [("different", "m5-gradient is gone")]
    assert found.noise == (
        "0 of 60 gates of identical code went red here; with 95 % confidence fewer than 4.9 % do.",
        "Decided again with the sides of pairs swapped at random, 0 of 60,000 were red.",
        "On the same runs, one compared with the next, pytest-benchmark's compare-fail=mean:10% was red 90.0 % of the time.",
        "A known slowdown of 5 % was found in 30 of 40 trials; in fewer than 95 of 100 on b.",
        "A known slowdown was called an improvement 0 times.",
    )


def test_a_gate_alone_makes_a_page(tmp_path):
    """Where there are no records the gate's verdict is the heading, and its section has a plot and a table."""
    html = page(tmp_path)
    assert "<h1>Slower: resnet50-stem +5.4 %.</h1>" in html and 'id="gate-1"' in html and "<title>Poolproof: Slower" in html
    assert "<svg" in html and "Every workload of the gate" in html and "+5.4 %" in html


def test_beside_records_the_gate_is_told_first(tmp_path):
    """With records the gate's verdict is the first finding, with a link to its section, in HTML and in Markdown."""
    samples.whole_run(tmp_path)
    whole = told(tmp_path)
    html = render.html(whole, [tmp_path], "now")[0]
    first = re.search(r'<ul class="findings">\s*<li>.*?</li>', html, re.DOTALL).group()
    assert "Regression gate: Slower" in first and 'href="#gate-1"' in first
    lines = render.markdown(whole, "now").splitlines()
    assert "Regression gate: Slower" in next(line for line in lines if line.startswith("- "))
    assert any(line.startswith("| resnet50-stem | slower | +5.4 % |") for line in lines)


def test_the_tables_have_the_gate(tmp_path):
    """Other tools find the same rows in tables.json."""
    assert json.loads(render.tables(told(tmp_path)))["gates"][0]["rows"][0]["workload"] == "resnet50-stem"


def test_the_plot_shows_each_workload():
    """Estimates, intervals and bands of every workload are drawn, and a screen reader hears the verdict."""
    found = gates._gate(Path("gate.json"), gate())
    drawn = str(plots.of_gate(found).chart)
    assert "resnet50-stem" in drawn and "m5" in drawn and 'aria-label="Changes of 2 workloads: Slower' in drawn


def test_what_has_no_bound_is_drawn_to_the_edge(tmp_path):
    """An interval without end, or a workload of which nothing can be seen, is no error."""
    rows = [judgement(high=None, detectable=None, threshold=None, state="inconclusive", calibrated=False)]
    html = page(tmp_path, gate("inconclusive", 3, rows))
    assert "to ∞" in html and "~never" in html and "s-undecided" in html


def test_a_gate_of_meaning_alone_has_no_plot(tmp_path):
    """Where no speed was compared there is the verdict, and no chart."""
    html = page(tmp_path, gate("pass", 0, []))
    assert "s-passed" in html and "Candidate against baseline" not in html


def test_nothing_foreign_is_markup(tmp_path):
    """Whatever a label, a message or a workload holds, it is text."""
    content = gate(rows=[judgement(HOSTILE, message=HOSTILE)], headline=HOSTILE)
    content["run"]["sides"][0]["label"] = content["verdict"]["findings"][0]["message"] = content["verdict"]["findings"][0]["case"] = HOSTILE
    whole = told(tmp_path, content)
    assert "<script>alert" not in render.html(whole, [tmp_path], "now")[0]
    text = render.markdown(whole, "now")
    assert "<script>" not in text and not re.search(r"(?<!\\)[|`*\]]\S*https", text) and "&#124;" in text


def test_the_command_tells_the_gate(tmp_path, capsys):
    """`python -m reports` prints its verdict and makes the page from the gate's folder alone."""
    kept(tmp_path / "gate")
    assert command.main(["--records", str(tmp_path / "gate"), "--output", str(tmp_path / "report")]) == 0
    assert "regression gate: Slower" in capsys.readouterr().out


# --- bad input ----------------------------------------------------------------------------------


def changed(*path, value):
    content = copy.deepcopy(gate())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


ROW = ("verdict", "judgements", 0)
BAD = {
    "truncated": (json.dumps(gate())[:-9], "not JSON, or cut off"),
    "empty": ("", "not JSON, or cut off"),
    "foreign": ('{"benchmarks": []}', "no gate wrote it"),
    "a list": ("[]", "no gate wrote it"),
    "newer": (changed("schema", value=2), "schema 2, and this report reads 1"),
    "not a number": (json.dumps(changed(*ROW, "estimate", value=float("nan"))), "NaN is not a number"),
    "a word": (changed(*ROW, "estimate", value="fast"), "'fast': expected a number"),
    "no time": (changed(*ROW, "seconds", value=[1e-3, 0]), "a time is a positive number"),
    "an unknown state": (changed("verdict", "state", value="odd"), "KeyError"),
    "no verdict": (changed("verdict", value=None), "TypeError"),
    "no sides": (changed("run", "sides", value=[{}]), "KeyError"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_gate_is_a_problem(name, tmp_path):
    """What cannot be read is named with its file; the rest of the report is there."""
    content, message = BAD[name]
    samples.whole_run(tmp_path)
    whole = told(tmp_path, content)
    assert whole.gates == () and len(whole.runs) == 1
    problem = next(problem for problem in whole.problems if problem.file.endswith("gate.json"))
    assert message in problem.message
    assert message.replace("'", "&#39;") in render.html(whole, [tmp_path], "now")[0]


@pytest.mark.parametrize(
    "share, text", [(0.054, "+5.4 %"), (-0.0312, "−3.1 %"), (0.0, "0 %"), (0.0001, "0 %"), (None, "∞"), (1.5, "+150 %")]
)
def test_changes_are_readable(share, text):
    """Two digits, a sign, and no powers of ten."""
    assert gates.change(share) == text
