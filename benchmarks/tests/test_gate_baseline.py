import copy
import json
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import gate_baseline, gate_files
from benchmarks.gate_calibration import Noise
from benchmarks.gate_data import Invalid, Machine, Side, Usage
from benchmarks.tests.gate_samples import MACHINE, SIDES, calibration, pairs, run, spread

STORED = replace(SIDES[0], kind="stored", label="gate-candidate.json")
WHOLE = json.loads(json.dumps(gate_files.side_content(run(), SIDES[1])))


def stored(folder, content=WHOLE):
    path = folder / "stored.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def alone(slowdown=0.0, names="ab", **other):
    """A candidate measured by itself: both workers are its own."""
    seconds = 1e-3 * (1 + slowdown)
    measured = [one for name in names for one in pairs(name, spread(0, 6), seconds=seconds, **other)]
    return run(measured, sides=(STORED, SIDES[1]))


def verdict(folder, given, known=None, **other):
    return gate_baseline.judge(given, gate_baseline.read(stored(folder), MACHINE, "numpy"), known or calibration(), **other)


# --- what it says -------------------------------------------------------------------------------


def test_alike_passes_and_says_how_little_it_sees(tmp_path):
    """The same times pass, with what could have gone unseen, beside what both sides in turns would show."""
    told = verdict(tmp_path, alone())
    assert told.status == 0 and {one.state for one in told.judgements} == {"pass"}
    weaker = next(finding for finding in told.findings if finding.kind == "stored")
    assert weaker.level == "warning" and "may go unseen, where both sides measured in turns would show 3." in weaker.message
    assert all(one.detectable > 0.3 for one in told.judgements)


@pytest.mark.parametrize(
    "slowdown, state, status",
    [(0.1, "pass", 0), (0.2, "inconclusive", 3), (0.5, "regression", 1), (-0.4, "improvement", 0), (1.0, "regression", 1)],
)
def test_only_what_sequential_noise_cannot_do_is_red(slowdown, state, status, tmp_path):
    """With 7 % between runs 10 % is nothing, 20 % undecided and 50 % red."""
    told = verdict(tmp_path, alone(slowdown))
    assert (told.judgements[0].state, told.status) == (state, status)
    # The sample's times are even in logarithms, so their median, a mean of two, is 4e-6 beside the middle.
    assert told.judgements[0].estimate == pytest.approx(slowdown, abs=1e-5)


def test_fewer_calibrated_runs_see_less(tmp_path):
    """A deviation that is known from few runs is trusted less."""
    few = replace(calibration(), workloads={name: Noise(deviation=0.012, pairs=24, sequential=0.07, runs=4) for name in "ab"})
    many, fewer = (verdict(tmp_path, alone(0.4), known).judgements[0] for known in (calibration(), few))
    assert many.p < fewer.p and many.detectable < fewer.detectable


NO_SEQUENCES = replace(calibration(), workloads={name: Noise(deviation=0.012, pairs=12) for name in "ab"})
DAMAGES = {
    "not calibrated": (alone(), None, "is not calibrated here"),
    "no sequences calibrated": (alone(), NO_SEQUENCES, "is not calibrated here"),
    "calibrated elsewhere": (alone(), replace(calibration(), machine=Machine(fingerprint="x")), "another machine"),
    "another clock": (alone(metric="wall"), calibration(), "the stored time is of the cpu clock"),
    "nothing in common": (alone(names="z"), calibration(names="z"), "no workload was compared"),
    "cut short": (replace(alone(), partial=True), calibration(), "cut short"),
    "no sentinels": (replace(alone(), pairs=[one for one in alone().pairs if not one.sentinel]), calibration(), "no sentinel"),
    "not measured": (replace(alone(), pairs=[one for one in alone().pairs if one.workload != "b"]), calibration(), "was not measured"),
    "another answer": (alone(checksums=("bb", "bb")), calibration(), "other bits than the stored baseline"),
    "an answer that changes": (alone(checksums=("aa", "bb")), calibration(), "other bits"),
    "no meaning": (replace(alone(), meaning=None), calibration(), "was not compared"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_it_never_passes_what_it_cannot_judge(name, tmp_path):
    """Without calibration, whole measurement and equal answers there is no pass, and a line says why."""
    given, known, message = DAMAGES[name]
    told = gate_baseline.judge(given, gate_baseline.read(stored(tmp_path), MACHINE, "numpy"), known)
    assert told.status in (3, 4) and any(message in finding.message for finding in told.findings)


def test_another_rounding_is_told(tmp_path):
    """Where the answer was found right, other bits than before are no failure."""
    told = verdict(tmp_path, alone(checksums=("bb", "bb"), conforming=True))
    assert told.status == 0 and "rounding" in {finding.kind for finding in told.findings}


def test_a_new_workload_is_told(tmp_path):
    """What the baseline has not is listed, and the rest judged."""
    told = verdict(tmp_path, alone(names="abc"), calibration(names="abc"))
    assert told.status == 0 and [finding.workload for finding in told.findings if finding.kind == "new"] == ["c"]


@pytest.mark.parametrize(
    "threshold, known, message",
    [
        (0.03, calibration(), "the noise of a, one run after the other on this machine, allows 23.4 % at least"),
        (0.2336, calibration(), "allows 23.4 %"),
        (5.0, replace(calibration(), workloads={"a": Noise(deviation=0.01, pairs=12, sequential=1e9, runs=9)}), "at least"),
    ],
    ids=["the default", "just under", "absurd noise"],
)
def test_a_threshold_under_sequential_noise_is_refused(threshold, known, message):
    """What one run after the other cannot tell here is refused as a wrong command, with the number that can be."""
    with pytest.raises(Usage, match=message) as refused:
        gate_baseline.require_threshold(threshold, known, ("a", "b"))
    assert refused.value.status == 2


@pytest.mark.parametrize("threshold, known", [(0.234, calibration()), (0.03, None), (0.03, NO_SEQUENCES)])
def test_a_threshold_over_sequential_noise_is_taken(threshold, known):
    """The number that is named is enough; what is not calibrated gets its verdict, which is none, later."""
    gate_baseline.require_threshold(threshold, known, ("a", "b"))


# --- what it reads ------------------------------------------------------------------------------


def test_a_side_of_a_gate_is_a_baseline(tmp_path):
    """The file that a gate leaves is read back with its medians, clocks and checksums."""
    found = gate_baseline.read(stored(tmp_path), MACHINE, "numpy")
    assert (found.version, found.python, found.created) == ("2.4.6", "3.11.2", run().started)
    # The sample's times are even in logarithms, so their median, a mean of two, is 4e-6 beside the middle.
    assert found.workloads["a"].seconds == pytest.approx(1e-3, rel=1e-5) and found.workloads["a"].checksum == "aa"


def changed(*path, value):
    found = copy.deepcopy(WHOLE)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return found


BAD = {
    "empty": ("", "not JSON, or cut off"),
    "truncated": (json.dumps(WHOLE)[:-30], "not JSON, or cut off"),
    "a list": ("[]", "expected an object"),
    "foreign": ("{}", "no list of benchmarks"),
    "benchmarks are no list": ({**WHOLE, "benchmarks": {}}, "no list of benchmarks"),
    "no benchmarks": ({**WHOLE, "benchmarks": []}, "no benchmark of numpy"),
    "no machine": ({**WHOLE, "machine_info": None}, "does not say on which machine"),
    "a machine without ours": (changed("machine_info", "poolproof", value=None), "does not say on which machine"),
    "another machine": (changed("machine_info", "poolproof", "fingerprint", value="else"), "another machine (else, Sample CPU)"),
    "newer": (changed("benchmarks", 0, "extra_info", "gate", value=2), "a gate of schema 2 wrote it"),
    "no rounds": (changed("benchmarks", 0, "stats", "data", value=[]), "stats.data is empty"),
    "zero": (changed("benchmarks", 0, "stats", "data", 0, value=0), "stats.data[0]=0"),
    "negative": (changed("benchmarks", 0, "stats", "data", 0, value=-1e-3), "stats.data[0]=-0.001"),
    "not a number": (changed("benchmarks", 0, "stats", "data", 0, value=math.nan), "NaN is not a number"),
    "a word": (changed("benchmarks", 0, "stats", "data", 0, value="fast"), "stats.data[0]='fast'"),
    "no clock": (changed("benchmarks", 0, "extra_info", "metric", value="sun"), "metric='sun'"),
    "no checksum": (changed("benchmarks", 0, "extra_info", "checksum", value=[]), "checksum=[]"),
    "a benchmark that is none": (changed("benchmarks", 0, value=3), "benchmark 0"),
    "not of a gate": ({**WHOLE, "benchmarks": [changed("benchmarks", 0, "extra_info", "gate", value=None)["benchmarks"][0]]}, "its rounds are single calls"),
    "of a gate that was cut short": (json.dumps(gate_files.side_content(run(partial=True, finished=None), SIDES[1])), "not of a gate that ran to its end"),
    "not said to be whole": (changed("machine_info", "poolproof", "partial", value=None), "not of a gate that ran to its end"),
    "no workloads named": (changed("machine_info", "poolproof", "workloads", value=None), "workloads=None"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused(name, tmp_path):
    """What is no stored run of this machine is refused with the file and the reason."""
    content, message = BAD[name]
    with pytest.raises(Invalid, match=r"stored\.json") as refused:
        gate_baseline.read(stored(tmp_path, content), MACHINE, "numpy")
    assert message in str(refused.value)


def test_what_that_run_could_not_measure_is_told(tmp_path):
    """A workload that the earlier gate set out to measure, and has no times of, is named."""
    path = stored(tmp_path, changed("machine_info", "poolproof", "workloads", value=["a", "b", "c"]))
    assert gate_baseline.read(path, MACHINE, "numpy").skipped == ("c: that run could not measure it",)


def test_another_backend_is_refused(tmp_path):
    """A baseline of NumPy says nothing about PyTorch."""
    with pytest.raises(Invalid, match="no benchmark of torch that a gate could be compared with: a: of numpy, not of torch"):
        gate_baseline.read(stored(tmp_path), MACHINE, "torch")


def test_a_missing_file_is_refused(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(Invalid, match="No such file"):
        gate_baseline.read(tmp_path / "none.json", MACHINE, "numpy")


PLACES = [("benchmarks", 0, key) for key in WHOLE["benchmarks"][0]] + [
    *(("benchmarks", 0, "extra_info", key) for key in WHOLE["benchmarks"][0]["extra_info"]), *((key,) for key in WHOLE), *(("machine_info", key) for key in WHOLE["machine_info"]),
]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(PLACES), st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=3) | st.lists(st.integers(), max_size=2))
def test_a_spoiled_file_is_invalid_or_read(tmp_path, path, value):
    """Any value in any place either is refused as invalid or is read; nothing else is raised."""
    try:
        found = gate_baseline.read(stored(tmp_path, changed(*path, value=value)), MACHINE, "numpy")
    except Invalid:
        return
    assert all(one.seconds > 0 for one in found.workloads.values())


def test_a_stored_side_is_not_written_again(tmp_path):
    """The files of a run against a stored baseline are those of the candidate."""
    assert [path.name for path in gate_files.write_sides(alone(), tmp_path)] == ["gate-candidate.json"]


def test_a_stored_side_is_a_side():
    """Its kind is one of those that a run may have."""
    assert Side(role="baseline", label="x", kind="stored", backend="numpy").kind == "stored"
