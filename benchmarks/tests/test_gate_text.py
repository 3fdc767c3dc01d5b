import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks import gate_ci, gate_markdown, gate_text
from benchmarks.gate_data import Uncovered
from benchmarks.gate_decide import decide
from benchmarks.gate_live import Live
from benchmarks.gate_verdict import Finding, percent, size
from benchmarks.tests.gate_samples import MEANING, SIDES, calibration, pair, pairs, run, slower, spread

EVIL = "<script>alert(1)</script> `x` | [y](https://example.org) **z** \x1b[31m @me #1 &amp; ::error::no\n# head\n```"
HOSTILE = run(
    pairs(EVIL, spread(0, 6)),
    uncovered=[Uncovered(workload="c", kind="failed", side="candidate", message=EVIL)],
    sides=(replace(SIDES[0], label=EVIL, version=EVIL), SIDES[1]), notes=(EVIL,),
    meaning={**MEANING, "newly_diverging": [{"law": "test_values", "case": EVIL, "message": EVIL}]},
)  # fmt: skip
MANY = run([one for number in range(400) for one in pairs(f"workload-{number:03}-" + "x" * 60, spread(0, 6))])
RUNS = {
    "alike": run(),
    "slower": slower(),
    "hostile": HOSTILE,
    "nothing": replace(run(), pairs=()),
    "meaning": replace(run(), only="meaning"),
}


@pytest.mark.parametrize(
    "share, text",
    [(0.052, "+5.2 %"), (-0.0004, "0.0 %"), (0.0, "0.0 %"), (-0.031, "−3.1 %"), (1.5, "+150 %"), (12.0, "+1,200 %"), (float("inf"), "∞")],
)
def test_shares_are_readable(share, text):
    """One decimal and a sign; nothing is −0."""
    assert percent(share) == text and size(share) == text.replace("−", "").lstrip("+")


# --- the plot -------------------------------------------------------------------------------------


def test_the_plot_shows_where_a_workload_lies():
    """The estimate of the slower one stands right of "no change", past the threshold, inside its interval; that of the other on it."""
    verdict = decide(slower(), calibration())
    head, first, second, legend = gate_text.forest(verdict.judgements, 0.95)
    middle = len(head) - gate_text.HALF - 1
    assert first.startswith("a") and "SLOWER" in first and "+8.0 %" in first
    assert first.index("├") < first.index("●") < first.index("┤") and first.index("●") > first.index("┊") > middle
    assert second[middle] in "●─" and "░" in second and "95%" in legend


def test_what_lies_outside_the_scale_is_pointed_at():
    """An interval without end has an arrow, and its line is no longer than the others."""
    verdict = decide(run([*pairs("a", [0.1]), *pairs("b", spread(0, 6))]))
    lines = gate_text.forest(verdict.judgements, 0.95)
    line = next(line for line in lines if line.startswith("a"))
    assert line.endswith("▸") and "∞" in line


@given(st.lists(st.lists(st.floats(-3, 3), min_size=1, max_size=8), min_size=1, max_size=5))
def test_the_plot_never_leaves_its_frame(logs):
    """Whatever was measured, each line has one estimate and none is wider than the scale."""
    measured = [one for number, values in enumerate(logs) for one in pairs(f"w{number}", values)]
    head, *lines, _ = gate_text.forest(decide(run(measured)).judgements, 0.95)
    assert len(lines) == len(logs) and all(line.count("●") == 1 and len(line) <= len(head) for line in lines)


def test_the_end_says_the_verdict_last():
    """The last line is the verdict with its exit status; above it stands how to look at the slow workload again."""
    text = gate_text.summary(slower(), decide(slower(), calibration()))
    assert text.splitlines()[-1] == "Slower: a +8.0 %. (exit status 1)"
    assert "tox -e gate -- --baseline aaaa --candidate bbbb --backend numpy -k a\n" in text


# --- Markdown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_the_first_line_is_the_verdict(name):
    """The first line of the Markdown has the headline, and it is a heading."""
    verdict = decide(RUNS[name], calibration())
    first = gate_markdown.markdown(RUNS[name], verdict).splitlines()[0]
    assert first.startswith("# ") and first.endswith(gate_markdown.text(verdict.headline))


def test_the_markdown_has_all_its_parts():
    """The plot, the band, what to do, the command of each workload, the sides and the false alarms as calibrated."""
    known = calibration(states={"pass": 60})
    text = gate_markdown.markdown(slower(), decide(slower(), known), known)
    wanted = [
        "## What to do next",
        "├─",
        "░",
        "| a | SLOWER | +8.0 %",
        "-k a`",
        "| baseline | main (revision) |",
        "0 of 60 gates",
        "under 4.9 %",
    ]
    assert [part for part in wanted if part not in text] == []


@pytest.mark.parametrize("given", [MANY, replace(MANY, pairs=MANY.pairs[-18:])], ids=["measured", "lost"])
def test_the_markdown_is_never_too_long(given):
    """400 workloads, measured or lost, stay under 60 kB, and nothing is left open."""
    text = gate_markdown.markdown(given, decide(given))
    assert len(text.encode()) < gate_markdown.MOST
    assert text.count("\n```") % 2 == 0 and text.count("<details>") == text.count("</details>")


def test_a_cut_text_says_so():
    """Where even that is too long, it is cut at a line, fences closed, and says where the rest is."""
    text = gate_markdown._cut("# x\n\n```\n" + "é" * 100 + "\n" + ("line of a plot\n" * 10_000))
    assert len(text.encode()) < gate_markdown.MOST and text.endswith("gate.json has the rest.\n") and text.count("```") == 2


def test_nothing_foreign_is_markup():
    """Names, messages and labels of any text neither render as HTML nor end a fence, a cell or a line."""
    text = gate_markdown.markdown(HOSTILE, decide(HOSTILE))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert (
        "<script" not in html
        and "<strong>z" not in html
        and 'example.org"' not in html
        and "\x1b" not in text + gate_text.summary(HOSTILE, decide(HOSTILE))
    )
    assert re.findall(r"<h1>", html) == ["<h1>"] and "@me" not in re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)


@given(st.text())
def test_any_text_is_text(value):
    """Rendered, a foreign text is one paragraph without any tag inside."""
    html = MarkdownIt("commonmark", {"html": True}).render("x " + gate_markdown.text(value))
    assert html.startswith("<p>x") and html.count("<") == 2


# --- GitHub and JUnit -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_annotations_are_one_line_each(name):
    """Each line is one workflow command of a level that GitHub knows, whatever its text holds."""
    lines = gate_ci.annotations(RUNS[name], decide(RUNS[name], calibration())).splitlines()
    assert lines and all(re.fullmatch(r"::(error|warning|notice) title=[^:,]+::[^\r\n]+", line) for line in lines)


@given(st.text())
def test_annotations_survive_any_text(text):
    """What GitHub decodes is what was said."""
    escaped = gate_ci._data(text)
    assert not re.search("[\r\n]", escaped)
    decoded = escaped.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    assert decoded == text.encode("utf-8", "backslashreplace").decode()


def test_a_regression_is_an_error():
    """The verdict and the slow workload are errors, with the interval."""
    lines = gate_ci.annotations(slower(), decide(slower(), calibration())).splitlines()
    assert lines[0] == "::error title=Gate::Slower: a +8.0 %25." and lines[1].startswith("::error title=Slower::a +8.0 %25 (+")


def test_no_more_annotations_than_are_shown():
    """The verdict, and ten errors of 400."""
    lost = replace(MANY, pairs=MANY.pairs[-18:])
    lines = gate_ci.annotations(lost, decide(lost, calibration())).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::warning"] + ["::error"] * gate_ci.MOST


@pytest.mark.parametrize(
    "name, failures, errors", [("alike", 0, 0), ("slower", 2, 0), ("hostile", 3, 0), ("nothing", 0, 6), ("meaning", 0, 0)]
)
def test_junit_counts(name, failures, errors):
    """A regression and lost coverage fail, what is invalid errs, and the counts of the suites are right."""
    root = ET.fromstring(gate_ci.junit(RUNS[name], decide(RUNS[name])))
    found = {tag: len(root.findall(f".//testcase/{tag}")) for tag in ("failure", "error")}
    assert (int(root.get("failures")), int(root.get("errors"))) == (found["failure"], found["error"])
    assert int(root.get("tests")) == len(root.findall(".//testcase"))
    assert found["failure"] == failures and bool(found["error"]) == bool(errors)


@given(st.text())
def test_junit_survives_any_text(text):
    """Characters that XML does not have, lone surrogates among them, do not break the file."""
    verdict = decide(run())
    told = replace(verdict, findings=(Finding(kind="odd", message=text, state="coverage", level="error", case=text),))
    root = ET.fromstring(gate_ci.junit(run(), told).encode())
    assert root.find(".//failure").get("type") == "odd"


def test_junit_is_written(tmp_path):
    """The file has what the text has."""
    gate_ci.write_junit(run(), decide(run()), tmp_path / "new" / "gate.xml")
    assert ET.parse(tmp_path / "new" / "gate.xml").getroot().tag == "testsuites"


# --- while it runs --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(out, steps=6):
    ticks = iter(range(10_000))
    with Live(out, clock=lambda: 10.0 * next(ticks)) as live:
        for number in range(steps):
            for name in "ab":
                live.began(name, number, 6)
            for name in "ab":
                live.ended(pair(name, 0.02, number))
        live.note("a: may be slower\x1b[31m[bold]")
        live.began("a", 0, 10)
        live.ended(pair("a", 0.03, 0, 1))
    return out.getvalue()


def test_a_log_has_a_line_for_each_worker_pair():
    """Elsewhere than on a terminal nothing is redrawn: a line a pair with the time left, notes as they are, no escapes."""
    lines = shown(io.StringIO()).splitlines()
    assert [line.partition(",")[0] for line in lines[:6]] == [f"screening: {n} of 6 worker pairs" for n in range(1, 7)]
    assert lines[0].endswith("left") and lines[5].endswith("0:00 left")
    assert lines[6].startswith("a: may be slower") and "[bold]" in lines[6] and "\x1b" not in lines[6]
    assert lines[7].startswith("confirming: 1 of 10 worker pairs")


def test_a_terminal_has_a_table_that_is_gone_at_the_end(monkeypatch):
    """On a terminal a table with pairs and change is redrawn, and the cursor is shown again at the end."""
    monkeypatch.setenv("TERM", "xterm-256color")
    text = shown(Terminal())
    assert "workload" in text and "+2.0 %" in text and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_the_time_left_is_that_of_the_pairs_left():
    """Two of six pairs in 100 s leave 200 s."""
    now = [0.0]
    live = Live(io.StringIO(), clock=lambda: now[0])
    for number in range(2):
        live.began("a", number, 6)
        now[0] += 50
        live.ended(pair("a", 0, number))
    assert live.left() == pytest.approx(200)
