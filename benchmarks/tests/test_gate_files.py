import copy
import dataclasses
import json
import subprocess
import sys

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import gate_data, gate_files, gate_verdict
from benchmarks.gate_calibration import Tally
from benchmarks.gate_data import Invalid, Run, Uncovered
from benchmarks.gate_decide import decide
from benchmarks.tests.gate_samples import calibration, pairs, run, slower

SCHEMA = json.loads(gate_files.SCHEMA_FILE.read_text(encoding="utf-8"))
RUNS = {
    "alike": run(),
    "slower": slower(),
    "empty": dataclasses.replace(run(), pairs=()),
    "one pair": run(pairs("a", [0.1]), partial=True, finished=None),
    "uncovered": run(uncovered=[Uncovered(workload="", kind="died", side="candidate", message="signal 9")]),
}


def written(given, folder, **other):
    return gate_files.write(given, decide(given, **other), folder)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_survives_its_file(name, tmp_path):
    """What is read is what was written, and the verdict on it is the same."""
    path = written(RUNS[name], tmp_path)
    kept = gate_files.read(path)
    assert kept.run == RUNS[name] and kept.verdict["headline"] == decide(kept.run).headline


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("known", [None, calibration()])
def test_the_file_is_as_its_schema_says(name, known):
    """gate.json validates, whatever the verdict."""
    found = json.loads(json.dumps(gate_files.content(RUNS[name], decide(RUNS[name], known), known), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)


def test_the_schema_is_a_schema():
    """The schema itself is valid."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "path, words",
    [
        (("uncovered", "kind"), gate_data.UNCOVERED_KINDS), (("side", "kind"), gate_data.SIDE_KINDS), (("pair", "metric"), gate_data.METRICS),
        (("verdict", "state"), tuple(gate_verdict.STATES)), (("judgement", "state"), gate_verdict.WORKLOAD_STATES),
        (("finding", "level"), gate_verdict.LEVELS),
    ],
    ids=str,
)  # fmt: skip
def test_the_schema_has_the_words_of_the_code(path, words):
    """No word is allowed in one place only."""
    name, field = path
    assert sorted(SCHEMA["$defs"][name]["properties"][field]["enum"]) == sorted(words)


@pytest.mark.parametrize(
    "name, kind", [("run", Run), ("pair", gate_data.Pair), ("judgement", gate_verdict.Judgement), ("finding", gate_verdict.Finding)]
)
def test_the_schema_has_the_fields_of_the_code(name, kind):
    """Every field is required, and none is left out."""
    assert (
        set(SCHEMA["$defs"][name]["required"])
        == {field.name for field in dataclasses.fields(kind)}
        == set(SCHEMA["$defs"][name]["properties"])
    )


# --- bad input ------------------------------------------------------------------------------------

WHOLE = json.loads(json.dumps(gate_files.content(run(), decide(run(), calibration()), calibration())))


def changed(path, value):
    found = copy.deepcopy(WHOLE)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(found)


def dropped(path):
    found = copy.deepcopy(WHOLE)
    place = found
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return json.dumps(found)


QUAD = ("run", "pairs", 0, "quads", 0, "seconds", 1)
BAD = {
    "empty": ("", "not JSON, or cut off"),
    "no JSON": ("# gate", "not JSON"),
    "a list": ("[]", "list, expected an object"),
    "foreign": ('{"benchmarks": []}', "not a gate.json"),
    "newer": (changed(("schema",), 2), "a newer gate wrote it"),
    "no schema": (dropped(("schema",)), "schema None"),
    "a word for the schema": (changed(("schema",), "1"), "not one that any gate wrote"),
    "not a number": (changed(QUAD, float("nan")), "NaN is not a number"),
    "infinite": (changed(QUAD, float("inf")), "Infinity is not a number"),
    "zero": (changed(QUAD, 0), "less than or equal to the minimum of 0"),
    "negative": (changed(QUAD, -1e-3), "less than or equal to the minimum of 0"),
    "a word for a time": (changed(QUAD, "fast"), "is not of type 'number'"),
    "true for a time": (changed(QUAD, True), "is not of type 'number'"),
    "three blocks": (changed(QUAD[:-1], [1, 1, 1]), "too short"),
    "no workloads": (dropped(("run", "workloads")), "'workloads' is a required property"),
    "one side": (changed(("run", "sides"), WHOLE["run"]["sides"][:1]), "too short"),
    "sides swapped": (changed(("run", "sides"), WHOLE["run"]["sides"][::-1]), "expected the baseline, then the candidate"),
    "an unknown field": (changed(("run", "pairs", 0, "speed"), 1), "unexpected keyword argument 'speed'"),
    "an unknown kind": (changed(("run", "uncovered"), [{"workload": "a", "kind": "odd", "side": "both", "message": ""}]), "'odd' is not one of"),
    "deeply nested": ("[" * 100_000, "gate.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name, tmp_path):
    """What no gate wrote is refused with the file, the place and what is wrong, as invalid: status 3."""
    text, message = BAD[name]
    path = tmp_path / "gate.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid, match=r"gate\.json") as refused:
        gate_files.read(path)
    assert message in str(refused.value) and refused.value.status == 3 and len(str(refused.value)) < 1000


def test_a_missing_file_is_refused(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(Invalid, match="No such file"):
        gate_files.read(tmp_path / "gate.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_file_is_never_read(share, tmp_path):
    """However short it was cut, nothing of it counts."""
    text = json.dumps(WHOLE)
    path = tmp_path / "gate.json"
    path.write_text(text[: int(share * len(text))], encoding="utf-8")
    with pytest.raises(Invalid):
        gate_files.read(path)


LEAVES = [("run", name) for name in WHOLE["run"]] + [
    ("run", part, 0, name) for part in ("pairs", "sides") for name in WHOLE["run"][part][0]
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.sampled_from(LEAVES),
    value=st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
)
def test_a_spoiled_file_raises_invalid_or_is_judged(path, value, tmp_path):
    """Any value in any place either is refused or is a run that can be judged; nothing else is raised."""
    file = tmp_path / "gate.json"
    file.write_text(changed(path, value), encoding="utf-8")
    try:
        kept = gate_files.read(file)
    except Invalid:
        return
    assert decide(kept.run).status in (0, 3, 4)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    """Where the new file cannot be written, the old one stands, and no half one beside it."""
    path = written(run(), tmp_path)
    before = path.read_bytes()

    def full(self, *_, **__):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate_files.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        written(slower(), tmp_path)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["gate.json"]


# --- pytest-benchmark's ---------------------------------------------------------------------------


def test_each_side_has_its_blocks(tmp_path):
    """The data of a side are its own blocks in the order in which its lists say where they come from."""
    paths = gate_files.write_sides(slower(), tmp_path)
    baseline, candidate = (json.loads(path.read_text(encoding="utf-8"))["benchmarks"] for path in paths)
    assert [path.name for path in paths] == ["gate-baseline.json", "gate-candidate.json"]
    assert [entry["name"] for entry in baseline] == ["a", "b"]
    # The sample's times are even in logarithms, so their median, a mean of two, is 1e-6 beside the middle.
    assert candidate[0]["stats"]["median"] / baseline[0]["stats"]["median"] == pytest.approx(1.08, rel=1e-5)
    extra = candidate[0]["extra_info"]
    assert {len(extra[name]) for name in ("stage", "pair", "quad", "order", "cpu", "wall")} == {len(candidate[0]["stats"]["data"])} == {32}
    assert extra["stage"].count(1) == 20 and extra["checksum"] == ["aa"]


def test_pytest_benchmark_compares_the_sides(tmp_path):
    """pytest-benchmark's own compare reads both files and shows the workloads."""
    paths = gate_files.write_sides(slower(), tmp_path)
    command = [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, paths), "--columns=median"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a (") == 2 and "median" in done.stdout.lower()


def test_the_report_reads_what_a_gate_wrote(tmp_path):
    """`python -m reports` takes in the file as the gate leaves it, whatever the verdict and with the calibration."""
    known = calibration(states={"pass": 60}, power={"5": {"a": Tally(found=20, trials=20)}})
    gate_files.write(slower(), decide(slower(), known), tmp_path, known)
    command = [sys.executable, "-m", "reports", "--records", str(tmp_path), "--output", str(tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "regression gate: Slower: a +8.0 %." in done.stdout
    text = (tmp_path / "report" / "summary.md").read_text(encoding="utf-8")
    assert "# Regression gate: Slower: a +8.0 %." in text and "0 of 60 gates of identical code went red" in text
