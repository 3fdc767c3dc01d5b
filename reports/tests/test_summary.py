"""The verdict, and environments kept apart."""

import dataclasses
import json

import pytest

from reports import record, summary
from reports.tests import samples


def _told(folder):
    return summary.summarise(record.load(folder))


def _one(folder, lines):
    samples.write(folder, lines)
    (run,) = _told(folder).runs
    return run


def _tally(status="passed", backend="numpy", **fields):
    return record.Tally(law="l", claim="It holds.", backend=backend, status=status, **fields)


def test_the_verdict_is_made_from_the_data(tmp_path):
    """Unexplained deviations are told first, then what is known, what conforms, and what could not be loaded."""
    samples.whole_run(tmp_path)
    (run,) = _told(tmp_path).runs
    assert run.headline == (
        "kernel.py:Pool deviates in ways that nobody has explained yet; tensorflow and torch deviate only in known ways; "
        "numpy and torch:compile conform. jax could not be loaded."
    )
    said = [finding.text for finding in run.findings]
    assert (
        said[0] == "kernel.py:Pool breaks the law “Every answer is within its bound of the definition”: it answered otherwise in 2 cases."
    )
    assert "jax is not installed here: ModuleNotFoundError: No module named 'jax'." in said
    worst = "Worst: “A window larger than the input kills the process” (SIGFPE)."
    assert f"tensorflow 2.21.0 deviates in 2 known ways (1 crash and 1 bug); it gave 147 answers. {worst}" in said
    assert "numpy 2.4.6 conforms in all of 145 answers." in said


@pytest.mark.parametrize(
    "lines, headline",
    [
        ([samples.observation(), _tally()], "numpy conforms."),
        ([samples.observation(law="l")], "numpy conforms. The run was interrupted."),
        ([record.Loading(backend="numpy", status="loaded", version="2")], "Nothing was compared."),
        ([record.Loading(backend="jax", status="broken", message="ImportError: no")], "Nothing was compared. jax could not be loaded."),
        ([_tally("failed")], "numpy deviates in ways that nobody has explained yet."),
        ([record.Mutant(mutant="m", family="f", killed_by="law")], "The suite sees all of 1 seeded defect."),
    ],
    ids=["conforms", "interrupted", "nothing asked", "broken", "failed without a case", "sensitivity alone"],
)
def test_the_headline_says_what_a_run_came_to(tmp_path, lines, headline):
    """Each way in which a run can end has its own first sentence."""
    law = [_tally() if isinstance(line, record.Tally) and line.status == "passed" else line for line in lines]
    law = [dataclasses.replace(line, law="l") if isinstance(line, record.Record) else line for line in law]
    assert _one(tmp_path, law).headline == headline


def test_speed_alone_is_no_conformance(tmp_path):
    """Benchmarks without observations are reported, and nothing is said to conform."""
    (tmp_path / "bench-1.json").write_text(json.dumps(samples.benchmarks()))
    (run,) = _told(tmp_path).runs
    assert run.headline == "Speed alone: nothing was compared with the definition." and run.speed is not None


def test_a_law_without_a_tally_was_interrupted(tmp_path):
    """A law that left observations and no tally is reported as interrupted, with what it had compared."""
    run = _one(tmp_path, [samples.observation(), samples.observation()])
    (row,) = run.laws
    assert (row.cells[0].status, row.cells[0].compared) == ("interrupted", 2)
    assert any("Interrupted before it was done" in finding.text for finding in run.findings)


@pytest.mark.parametrize(
    "status, divergence, state", [("conforms", None, "passed"), ("crashed", None, "failed"), ("crashed", "known", "passed")]
)
def test_bad_calls_need_no_tally(tmp_path, status, divergence, state):
    """Bad calls, each of which is a test of its own, are summed up from their observations and count as done."""
    run = _one(tmp_path, [samples.observation(status=status, law="bad_case", divergence=divergence)])
    (row,) = run.laws
    assert (row.claim, row.cells[0].status, row.cells[0].compared) == ("What is invalid raises an exception: bad cases.", state, 1)
    assert "interrupted" not in run.headline and [row.heading for row in run.matrix.blocks["every reduction"]][-1] == "Bad calls"


def test_the_verdict_says_how_a_law_was_broken(tmp_path):
    """A law that is broken in several ways is told with how often each."""
    answers = [samples.observation(status=status, law="l") for status in ("crashed", "crashed", "error", "diverges")]
    run = _one(tmp_path, [*answers, _tally("failed")])
    assert run.findings[0].text == "numpy breaks the law “It holds”: it died in 2 cases, raised in 1 case and answered otherwise in 1 case."


def test_a_backend_that_breaks_everything_is_told_shortly(tmp_path):
    """Of many broken laws the verdict tells the first, and how many more there are."""
    run = _one(tmp_path, [samples.observation(status="diverges", law=f"l{number}") for number in range(11)])
    said = [finding.text for finding in run.findings]
    assert sum("breaks the law" in text for text in said) == 8 and "3 more laws are broken." in said and len(run.deviations) == 11


def test_two_environments_are_kept_apart(tmp_path):
    """What two machines recorded into one folder is two runs with anchors of their own, and no number is mixed."""
    samples.whole_run(tmp_path)
    samples.whole_run(tmp_path, samples.ELSEWHERE)
    one, other = _told(tmp_path).runs
    assert {one.environment.id, other.environment.id} == {samples.HERE.id, samples.ELSEWHERE.id}
    assert one.observations == other.observations and one.prefix != other.prefix
    assert [block.entries[0].repeats for run in (one, other) for block in run.speed.blocks] == [0] * 8


def test_processes_of_one_environment_are_together(tmp_path):
    """Several processes of one environment make one run, with each load that was noted."""
    samples.write(tmp_path, [samples.observation()])
    samples.write(
        tmp_path, [samples.observation(backend="torch")], dataclasses.replace(samples.HERE, load=1.5, created="2026-03-01T11:00:00")
    )
    (run,) = _told(tmp_path).runs
    assert run.names == ("numpy", "torch") and sorted(run.loads) == [0.4, 1.5] and run.prefix == ""


def test_tallies_of_one_law_add_up(tmp_path):
    """Two tallies of one law on one backend are added, and the worse status stands."""
    run = _one(tmp_path, [_tally(compared=3, seconds=1.0), _tally("failed", compared=4, seconds=1.0)])
    cell = run.laws[0].cells[0]
    assert (cell.status, cell.compared, cell.rate) == ("failed", 7, 3.5)


def test_a_workload_answered_wrongly_is_a_failure(tmp_path):
    """A benchmark whose answer was wrong is a finding, not a time."""
    problem = record.BenchmarkProblem(workload="w", backend="torch", layout="channels_last", output="values", status="wrong", message="off")
    run = _one(tmp_path, [problem])
    assert any(finding.state == "diverges" and "1 benchmark wrongly" in finding.text for finding in run.findings)


@pytest.mark.parametrize(
    "beside, text",
    [
        ({}, "The suite sees all of 2 seeded defects."),
        ({"killed_by": None}, "The suite sees all of 2 seeded defects and misses 1 of 1 seeded defect beside the divergences of torch: m."),
        ({"killed_by": "law"}, "The suite sees all of 2 seeded defects and sees all of 1 seeded defect beside the divergences of torch."),
        ({"known": "torch-row"}, "The suite sees all of 2 seeded defects."),
    ],
    ids=["alone", "missed", "seen", "known"],
)
def test_seeded_defects_are_counted(tmp_path, beside, text):
    """The verdict says how many seeded defects the suite saw, alone and beside each framework; one that it is known to have does not count."""
    seen = record.Mutant(mutant="m", family="f", killed_by="law")
    tried = [record.Mutant(mutant="m", family="f", beside="torch", **beside)] if beside else []
    run = _one(tmp_path, [seen, seen, *tried])
    assert any(finding.text == text for finding in run.findings)
