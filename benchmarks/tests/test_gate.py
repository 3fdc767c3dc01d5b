import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backends.environments import ROOT
from backends.nursery import children
from benchmarks import gate_calibration, gate_command, gate_files, gate_meaning, gate_run
from benchmarks.gate import main

STRANGERS = Path(__file__).with_name("gate_strangers.py")
ONE = ("--only", "speed", "--level", "quick", "-k", "m5-wide-pool1", "--quads", "2")
QUICK = (*ONE, "--limit", "20")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs Linux")


def stranger(name):
    return f"{STRANGERS}:{name}"


@pytest.fixture
def gate(tmp_path, monkeypatch, capsys):
    """What runs a gate with some arguments: (exit status, all that was printed, the kept gate.json or None)."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    # What this checkout knows about some machine must not decide a test on it.
    monkeypatch.setattr(gate_calibration, "FOLDER", tmp_path / "calibrations")
    out = tmp_path / "out"

    def run(*arguments, quick=True):
        status = main([*arguments, *(QUICK if quick else ()), "--out", str(out), "--cache", str(tmp_path / "cache")])
        printed = capsys.readouterr()
        kept = gate_files.read(out / "gate.json") if (out / "gate.json").exists() else None
        return status, printed.out + printed.err, kept

    return run


def sides(baseline="Plain", candidate="Plain"):
    return "--baseline", ".", "--candidate", ".", "--baseline-backend", stranger(baseline), "--candidate-backend", stranger(candidate)


# --- what one side does wrong -------------------------------------------------------------------


@pytest.mark.parametrize(
    "baseline, candidate, status, words",
    [
        ("Plain", "Wrong", 4, "answers wrongly on the candidate's side"),
        ("Wrong", "Plain", 4, "answers wrongly on the baseline's side"),
        ("Plain", "Changing", 4, "after the last block"),
        ("Plain", "Dying", 4, "signal:SIGSEGV"),
        ("Dying", "Plain", 3, "signal:SIGSEGV"),
        ("Plain", "Raising", 4, "no kernel for this shape"),
        ("Raising", "Plain", 3, "no kernel for this shape"),
        ("Plain", "Listing", 4, "fetch returned list"),
        ("Plain", "Incapable", 4, "m5-wide-pool1 was skipped on the candidate's side: cannot be asked: cannot say: this any more"),
        ("Incapable", "Plain", 3, "m5-wide-pool1 is new: there is nothing to compare it with on the baseline's side: cannot be asked"),
        ("Incapable", "Incapable", 3, "nothing to compare"),
        ("Plain", "Babbling", 3, "message cannot be read"),
        ("Plain", "NanClock", 3, "nan s by the cpu clock"),
        ("Plain", "StillClock", 3, "0.0 s by the cpu clock"),
        ("Plain", "BackwardClock", 3, "s by the cpu clock: a time is positive"),
        ("StillWall", "Plain", 3, "the clock stands still"),
        ("Plain", "Unloadable", 3, "libpooling.so.7 is missing"),
        ("Unloadable", "Plain", 3, "the baseline, ., does not start"),
        ("Plain", "Exiting", 3, "exit:9"),
        ("Plain", "Missing", 3, "has no class or function 'Missing'"),
    ],
)
def test_a_side_that_goes_wrong_has_its_own_verdict(gate, baseline, candidate, status, words):
    """Whatever a side does wrong has the exit status of the table, is said, and is no pass."""
    given = sides(baseline, candidate) if baseline != candidate else ("--null", "--candidate", ".", "--backend", stranger(candidate))
    before = children(os.getpid())
    got, printed, kept = gate(*given)
    assert (got, words in printed) == (status, True), printed
    assert kept.verdict["status"] == status
    assert children(os.getpid()) == before


@pytest.mark.parametrize(
    "name, option, status, words", [("Hanging", "--limit", 4, "hangs"), ("Sleeping", "--start-limit", 3, "not imported within")]
)
def test_a_side_that_hangs_is_given_up(gate, name, option, status, words):
    """A call that does not return, and a side that does not start, end with their time limit."""
    got, printed, _ = gate(*sides("Plain", name), *ONE, option, "2", quick=False)
    assert got == status
    assert words in printed or "no answer within 2 s" in printed


# --- what is asked for wrongly ------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (("--baseline", "HEAD", "--candidate", "HEAD"), 2, "are the same"),
        (("--baseline", ".", "--candidate", "."), 2, "are the same"),
        (("--baseline", "no-such-revision"), 2, "no revision of"),
        (("--baseline", "rev:no-such-revision"), 2, "has no such revision"),
        (("--baseline", "path:/no/such/folder"), 2, "there is no folder"),
        (("--baseline", "python:/no/such/python"), 2, "there is no interpreter"),
        (("--baseline", "pip:==1"), 2, "not a requirement"),
        (("--baseline", "no-such-package-as-this==0"), 3, "an environment cannot be had"),
        (("--baseline", "HEAD", "--backend", "nonsense"), 2, "choose from"),
        (("--null", "-k", "no-such-workload"), 2, "no workload is chosen"),
        (("--null", "-k", "and or"), 2, "expected words with and, or, not"),
        (("--null", "--baseline", "HEAD"), 2, "leave --baseline out"),
        (("--aa", "2", "--baseline", "HEAD"), 2, "--aa compares the candidate with itself: leave --baseline out"),
        (("--power", "5", "--baseline", "HEAD"), 2, "leave --baseline out"),
        (("--null", "--threshold", "0.5"), 2, "threshold"),
        (("--null", "--threshold", "2"), 2, "threshold"),
        (("--null", "--limit", "0"), 2, "positive number of seconds"),
        (("--null", "--quads", "0"), 2, "at least 1"),
        (("--aa", "0"), 2, "at least 1"),
        (("--power", "3,x"), 2, "per cents"),
        (("--null", "--inject", "-5"), 2, "per cent"),
        (("--null", "--calibration", "/no/such/file"), 3, "No such file"),
    ],
)
def test_a_command_that_cannot_be_is_refused(gate, monkeypatch, arguments, status, words):
    """A command that names nothing, or contradicts itself, is refused before anything is measured, and says why."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    got, printed, kept = gate(*QUICK, *arguments, quick=False)
    assert (got, words in printed, kept) == (status, True, None), printed


def test_an_unknown_option_is_a_wrong_command():
    """An option that does not exist ends with status 2."""
    with pytest.raises(SystemExit) as caught:
        main(["--no-such-option"])
    assert caught.value.code == 2


# --- workloads that come and go -----------------------------------------------------------------


def checkout(folder, change):
    """A checkout with the adapters of this one, and other workloads."""
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "backends").symlink_to(ROOT / "backends")
    (folder / "benchmarks" / "__init__.py").touch()
    text = (ROOT / "benchmarks" / "workloads.py").read_text(encoding="utf-8")
    (folder / "benchmarks" / "workloads.py").write_text(change(text), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "change, kind",
    [
        (lambda text: text.replace('"m5-wide-pool1"', '"m5-broad-pool1"'), "renamed"),
        (
            lambda text: text.replace(
                '"m5-wide-pool1", "pool 1, 128 filters, 8000 samples", (128, 1981)', '"m5-wide-pool1", "", (128, 1980)'
            ),
            "missing",
        ),
        (
            lambda text: text.replace("(128, 1981), MAX, 4, 4, train=True, quick=True", "(128, 1981), MAX, 5, 4, train=True, quick=True"),
            "missing",
        ),
        (
            lambda text: "".join(
                line for line in text.replace('("m5-wide-pool1", 32),', "").splitlines(True) if '"m5-wide-pool1"' not in line
            ),
            "missing",
        ),
    ],
    ids=["renamed", "another shape", "another kernel", "gone, and none in common"],
)
def test_a_workload_that_goes_is_lost_coverage(gate, tmp_path, change, kind):
    """A workload that is gone or renamed, or asks another question under its name, is lost coverage, whatever else passes."""
    other = checkout(tmp_path / "other", change)
    got, printed, kept = gate(
        "--baseline", ".", "--candidate", str(other), "--only", "speed", "--quads", "2", "--level", "quick", "-k", "m5", quick=False
    )
    assert got == 4, printed
    assert [event.kind for event in kept.run.uncovered if event.workload == "m5-wide-pool1"] == [kind]


def test_a_new_workload_loses_nothing(gate, tmp_path):
    """A workload that only the candidate has is told, and is no lost coverage."""
    other = checkout(tmp_path / "other", lambda text: text.replace('"m5-wide-pool1"', '"m5-broad-pool1"'))
    arguments = ("--baseline", str(other), "--candidate", ".", "--only", "speed", "--quads", "2", "-k", "m5-wide-pool1 or m5-pool1")
    got, _, kept = gate(*arguments, quick=False)
    assert got != 4
    assert ("m5-wide-pool1", "new") in [(event.workload, event.kind) for event in kept.run.uncovered]


# --- what the answers mean --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "baseline, candidate, status, words",
    [
        ("Plain", "Forgetful", 4, "values now diverges"),
        ("Forgetful", "Plain", 0, "values now conforms"),
        ("Plain", "Narrow", 0, "is no longer supported: max, layouts: channels_last"),
        ("Narrow", "Plain", 0, "is now supported: max, layouts: channels_last"),
        ("Plain", "Unloadable", 3, "libpooling.so.7 is missing"),
    ],
)
def test_a_change_of_meaning_has_its_own_verdict(gate, monkeypatch, baseline, candidate, status, words):
    """What diverges newly is red; what conforms, or can be asked, newly or no more, is told; a side that is not there is no verdict."""
    monkeypatch.setattr(gate_meaning, "LAWS", ("properties/test_equivalence.py", "-m", "law"))
    got, printed, _ = gate(*sides(baseline, candidate), "--only", "meaning", quick=False)
    assert (got, words in printed) == (status, True), printed


def test_answers_that_cannot_be_compared_are_no_pass(gate, monkeypatch):
    """Laws that hold on both sides are no pass while their answers were not compared."""
    monkeypatch.setattr(gate_meaning, "LAWS", ("properties/test_equivalence.py", "-m", "law"))
    monkeypatch.setattr(gate_meaning, "ANSWERS", "properties.no_such_module")
    got, printed, kept = gate("--null", "--candidate", ".", "--backend", stranger("Plain"), "--only", "meaning", quick=False)
    assert got == 3
    assert "the answers cannot be compared" in printed
    assert kept.run.meaning["compared"] == 0


# --- files that cannot be believed --------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folder of a gate that ran to its end."""
    out = tmp_path_factory.mktemp("measured")
    main(["--null", "--candidate", ".", "--backend", stranger("Plain"), *QUICK, "--out", str(out)])
    return out


def _truncated(text):
    return text[: len(text) // 2]


def _foreign(_text):
    return '{"benchmarks": "none"}'


def _newer(text):
    return text.replace('"gate": 1', '"gate": 2')


def _elsewhere(text):
    found = json.loads(text)
    found["machine_info"]["poolproof"]["fingerprint"] = "0123456789abcdef"
    return json.dumps(found)


def _nan(text):
    found = json.loads(text)
    found["benchmarks"][0]["stats"]["data"][0] = float("nan")
    return json.dumps(found)


def _zero(text):
    found = json.loads(text)
    found["benchmarks"][0]["stats"]["data"][0] = 0
    return json.dumps(found)


@pytest.mark.parametrize("damage", [_truncated, _foreign, _newer, _elsewhere, _nan, _zero])
def test_a_stored_baseline_that_cannot_be_believed_is_no_pass(gate, measured, tmp_path, damage):
    """A stored baseline that is truncated, foreign, newer, of another machine, or has impossible times is refused."""
    stored = tmp_path / "stored.json"
    stored.write_text(damage((measured / "gate-baseline.json").read_text(encoding="utf-8")), encoding="utf-8")
    got, printed, kept = gate("--baseline", str(stored), "--candidate", ".", "--backend", stranger("Plain"))
    assert (got, kept) == (3, None), printed
    assert str(stored) in printed


def test_a_stored_baseline_without_calibration_is_no_pass(gate, measured):
    """Against a stored baseline nothing passes until the noise of one run after the other is known."""
    got, printed, _ = gate("--baseline", str(measured / "gate-baseline.json"), "--candidate", ".", "--backend", stranger("Plain"))
    assert got == 3
    assert "not calibrated here" in printed


def test_a_threshold_that_a_stored_baseline_cannot_tell_is_refused(gate, measured, tmp_path):
    """Against a stored baseline the threshold is held against the noise of one run after the other, not that of pairs."""
    noise = gate_calibration.Noise(deviation=0.001, pairs=60, sequential=0.07, runs=60)
    machine, backend, file = gate_calibration.this_machine(), stranger("Plain"), tmp_path / "calibration.json"
    made = gate_calibration.Calibration(
        machine=machine, backend=backend, created="2026", workloads={"m5-wide-pool1": noise}, settings=gate_calibration.Manner(quads=2)
    )
    gate_calibration.write(made, file)
    asked = ("--candidate", ".", "--backend", backend, "--calibration", str(file), "--threshold", "5")
    got, printed, kept = gate("--baseline", str(measured / "gate-baseline.json"), *asked)
    assert (got, kept) == (2, None), printed
    assert "allows 23.4 % at least" in printed


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        lambda text: text.replace('"fingerprint": "', '"fingerprint": "0'),
        lambda _: "[]",
        lambda text: text.replace('"schema": 1', '"schema": 99'),
    ],
    ids=["truncated", "another machine's", "foreign", "newer"],
)
def test_a_calibration_that_cannot_be_believed_is_no_pass(gate, tmp_path, damage):
    """A calibration that is truncated, foreign, of another machine or of a newer schema is refused."""
    file = tmp_path / "calibration.json"
    made = gate_calibration.Calibration(machine=gate_calibration.this_machine(), backend="numpy", created="2026", workloads={})
    gate_calibration.write(made, file)
    file.write_text(damage(file.read_text(encoding="utf-8")), encoding="utf-8")
    got, printed, kept = gate("--null", "--candidate", ".", "--calibration", str(file))
    assert (got, str(file) in printed, kept) == (3, True, None), printed


# --- how it ends --------------------------------------------------------------------------------


def test_a_failure_of_the_gate_itself_is_no_verdict(gate, monkeypatch):
    """An error in the gate ends with 3, never with Python's own 1, which means slower."""

    def fail(_):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(gate_run.Gate, "speed", fail)
    got, printed, kept = gate("--null", "--candidate", ".")
    assert got == 3
    assert "a defect" in printed
    assert kept.run.partial
    monkeypatch.setattr(gate_command, "make_plan", fail)
    assert gate("--null")[0] == 3


def test_another_system_is_refused(gate, monkeypatch):
    """Without glibc on Linux there is no verdict."""
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    got, printed, kept = gate("--null", "--candidate", ".")
    assert (got, kept) == (3, None)
    assert "needs Linux with glibc" in printed


def test_a_system_without_posix_signals_is_refused(gate, monkeypatch):
    """On Windows, which has no SIGHUP, the gate says what it needs and ends with 3."""
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(sys, "platform", "win32")
    got, printed, kept = gate("--null", "--candidate", ".")
    assert (got, kept) == (3, None)
    assert "needs Linux with glibc, and this is win32" in printed
    assert "Traceback" not in printed


def test_what_the_gate_needs_and_is_not_there_is_no_verdict():
    """Without one of the gate's own packages the status is 3, and the message says where they are."""
    code = "import sys; sys.modules['scipy'] = None; from benchmarks.gate import main; sys.exit(main(['--null']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "tox -e gate" in done.stderr


def test_the_parent_imports_no_framework():
    """The process that measures has no framework, and neither the definition nor an adapter of ours with kernels."""
    code = (
        "import sys; import benchmarks.gate_command; "
        "print([name for name in ('torch', 'tensorflow', 'jax', 'onnxruntime', 'backends.oracle', 'scipy.stats') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what people get ----------------------------------------------------------------------------


def test_every_file_is_there(measured):
    """A gate leaves its record, both sides in pytest-benchmark's form, JUnit XML and Markdown whose first line is the verdict."""
    assert {file.name for file in measured.iterdir()} >= {
        "gate.json",
        "gate-baseline.json",
        "gate-candidate.json",
        "junit.xml",
        "summary.md",
    }
    kept = gate_files.read(measured / "gate.json")
    assert kept.verdict["headline"].split(":")[0] in (measured / "summary.md").read_text(encoding="utf-8").splitlines()[0]
    assert {pair.workload for pair in kept.run.pairs} == {"m5-wide-pool1", "python-loop", "copy-8MB", "maximum-64KB"}
    assert not kept.run.partial


def test_a_failed_run_leaves_no_older_verdict(gate):
    """What an earlier run left is gone when the next one fails before it measures."""
    assert gate("--null", "--candidate", ".", "--backend", stranger("Plain"))[2] is not None
    assert gate("--baseline", "no-such-revision")[2] is None
