import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from backends.environments import ROOT
from backends.nursery import children
from benchmarks import gate_calibration, gate_command, gate_end, gate_files
from benchmarks.gate import main
from benchmarks.gate_again import of_run
from benchmarks.gate_decide import decide
from benchmarks.tests.gate_samples import calibration, run

STRANGERS = Path(__file__).with_name("gate_strangers.py")
ONE = ("--only", "speed", "--level", "quick", "-k", "m5-wide-pool1", "--quads", "2")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs Linux")


@pytest.fixture(autouse=True)
def no_ci(monkeypatch):
    """What a test ends is not shown by the workflow that runs the tests."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


# --- before anything was measured -----------------------------------------------------------------


def interrupt(_):
    raise gate_command.Interrupted


def fail(_):
    raise ZeroDivisionError("a defect")


@pytest.fixture
def ended(tmp_path, monkeypatch, capsys):
    """What runs a gate that does not get to measuring, as CI does: (exit status, its folder, GitHub's summary, standard output)."""
    shown, out = tmp_path / "shown.md", tmp_path / "out"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(shown))
    monkeypatch.setattr(gate_calibration, "FOLDER", tmp_path / "calibrations")

    def end(*arguments):
        out.mkdir(exist_ok=True)
        gate_files.write(run(), decide(run()), out)
        status = main([*arguments, "--out", str(out), "--cache", str(tmp_path / "cache")])
        return status, out, shown.read_text(encoding="utf-8"), capsys.readouterr().out

    return end


@pytest.mark.parametrize(
    "arguments, make_plan, status, words",
    [
        (("--baseline", ".", "--candidate", "."), None, 2, "Usage: baseline '.' and candidate '.' are the same"),
        (("--null", "--candidate", "HEAD", "--build", "echo no compiler; exit 3"), None, 3, "No verdict: an environment cannot be had"),
        (("--baseline", "/no/such.json", "--candidate", ".", "--only", "speed"), None, 3, "No verdict: /no/such.json: No such file"),
        (("--null", "--candidate", ".", "--calibration", "/no/such.json"), None, 3, "No verdict: /no/such.json: No such file"),
        (("--null",), interrupt, 3, "No verdict: interrupted before anything was measured"),
        (("--null",), fail, 3, "No verdict: the gate itself failed"),
    ],
    ids=["the same", "a failing build", "a refused baseline", "a refused calibration", "an interruption", "a defect"],
)
def test_what_ends_before_it_measures_says_why_wherever_one_looks(ended, monkeypatch, arguments, make_plan, status, words):
    """A refused gate leaves a summary, one annotation and one JUnit case, each with the reason, and no older verdict."""
    if make_plan:
        monkeypatch.setattr(gate_command, "make_plan", make_plan)
    got, out, shown, printed = ended(*arguments)
    assert got == status
    assert sorted(file.name for file in out.iterdir()) == ["junit.xml", "summary.md"]
    told = (out / "summary.md").read_text(encoding="utf-8")
    assert told.splitlines()[0].replace("&#8203;", "").startswith(f"# ⚠️ {words}")
    assert f"exit status {status}" in told
    assert shown == told + "\n"
    (annotation,) = [line for line in printed.splitlines() if line.startswith("::")]
    assert annotation.lower().startswith(f"::error title=gate::{words.lower()}")
    (case,) = ET.parse(out / "junit.xml").iter("testcase")
    assert words.lower() in case.find("error").get("message").lower()


def test_a_refusal_that_cannot_be_written_keeps_its_status(tmp_path, capsys):
    """Where no file can be written, the reason is printed and the status stays."""
    (tmp_path / "out").touch()
    assert main(["--baseline", ".", "--candidate", ".", "--out", str(tmp_path / "out")]) == 3
    assert "Not a directory" in capsys.readouterr().err


def test_a_stopped_series_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    """A series that was stopped is not said to have measured nothing, and its folder has no verdict."""
    monkeypatch.setattr(gate_command, "make_plan", interrupt)
    assert main(["--aa", "60", "--out", str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert "ran to their end are kept" in told
    assert "before anything was measured" not in told
    assert not list(tmp_path.iterdir())


# --- a full disk ----------------------------------------------------------------------------------


def full(path):
    path.symlink_to("/dev/full")


def blocked(path):
    path.mkdir()


@pytest.mark.parametrize("damage", [full, blocked])
@pytest.mark.parametrize("name", ["gate.json.part", "gate-baseline.json.part", "gate-candidate.json.part", "junit.xml", "summary.md"])
def test_a_file_that_cannot_be_written_leaves_no_pass_anywhere(tmp_path, capsys, name, damage):
    """Whichever file fails, once or for good, the verdict is none, the end is printed, and every file that is left says so."""
    damage(tmp_path / name)
    verdict = gate_end.leave(run(), decide(run(), calibration()), tmp_path, calibration(), of_run(run()))
    assert (verdict.state, verdict.status) == ("invalid", 3)
    printed = capsys.readouterr().out
    assert "No verdict: what was found cannot be written" in printed
    assert printed.splitlines()[-1].endswith("(exit status 3)")
    left = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir() if file.is_file()}
    assert len(left) >= 3
    assert not [name for name, text in left.items() if "Passed:" in text]
    assert '"status": 3' in left.get("gate.json", '"status": 3')
    assert (damage is full) == (set(left) == set(gate_end.FILES))


def test_a_verdict_that_cannot_be_printed_is_none(tmp_path, monkeypatch):
    """Where standard output is full there is no verdict, gate.json says so, and what was not printed is given up."""
    with Path("/dev/full").open("w") as lost:
        monkeypatch.setattr(sys, "stdout", lost)
        verdict = gate_end.leave(run(), decide(run(), calibration()), tmp_path, calibration(), of_run(run()))
        assert not gate_end.flushed(lost)
    assert verdict.status == gate_files.read(tmp_path / "gate.json").verdict["status"] == 3


def test_a_verdict_that_github_cannot_show_is_none(tmp_path, monkeypatch):
    """Where the step's summary cannot be written there is no verdict, and gate.json says so."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/dev/full")
    verdict = gate_end.leave(run(), decide(run(), calibration()), tmp_path, calibration(), of_run(run()))
    assert verdict.status == gate_files.read(tmp_path / "gate.json").verdict["status"] == 3


def test_without_a_fault_the_verdict_is_what_it_was(tmp_path):
    """What can be written is the verdict that was found."""
    given = decide(run(), calibration())
    assert gate_end.leave(run(), given, tmp_path, calibration(), of_run(run())) == given
    assert gate_files.read(tmp_path / "gate.json").verdict["status"] == 0


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("where", ["full", "a closed pipe"])
def test_a_stream_that_cannot_be_written_never_ends_with_pythons_status(tmp_path, stream, where):
    """Where what is printed is lost there is no verdict, 3, and not the interpreter's 120."""
    code = (
        "import sys; from benchmarks import gate, gate_command; "
        f"gate_command._do = lambda *_: print('x', file=sys.{stream}, end='') or 0; sys.exit(gate.main(['--out', {str(tmp_path)!r}]))"
    )
    reader, closed = os.pipe()
    os.close(reader)
    with os.fdopen(closed, "wb") as pipe, Path("/dev/full").open("wb") as device:
        lost = {stream: device if where == "full" else pipe}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, **lost)
    assert done.returncode == 3


# --- signals --------------------------------------------------------------------------------------


def test_a_second_signal_does_not_end_what_the_first_one_began():
    """The first signal is an exception; those after it change nothing, and at the end each means again what it did."""
    before = signal.getsignal(signal.SIGINT)
    with gate_command._interruptible():
        with pytest.raises(gate_command.Interrupted):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_gate_keeps_what_it_has_and_leaves_nobody(tmp_path, number):
    """Stopped in the middle, a gate writes its pairs, marked as partial, ends with 3, and takes every process along."""
    command = [
        *(sys.executable, "-m", "benchmarks.gate", "--null", "--candidate", ".", "--backend", f"{STRANGERS}:Plain", *ONE),
        *("--out", str(tmp_path), "--cache", str(tmp_path / "cache"), "--quads", "16"),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while b"3 of 7 worker pairs" not in (tmp_path / "log").read_bytes() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        started = _descendants(process.pid)
        process.send_signal(number)
        assert process.wait(60) == 3, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    kept = gate_files.read(tmp_path / "gate.json")
    assert kept.run.partial
    assert kept.run.finished is None
    assert len({pair.number for pair in kept.run.pairs}) >= 3
    assert kept.verdict["state"] == "invalid"
    assert started
    assert not [pid for pid in started if _alive(pid)]


def test_a_gate_that_is_interrupted_while_a_side_hangs_at_its_start_ends(tmp_path):
    """What a side does at its start is not waited for by a gate that is told to end, which then ends with 3 and leaves nobody."""
    hanging = f"{STRANGERS}:Sleeping"
    command = [
        sys.executable,
        "-m",
        "benchmarks.gate",
        "--null",
        "--candidate",
        ".",
        "--backend",
        hanging,
        *ONE,
        "--start-limit",
        "600",
        "--out",
        str(tmp_path),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (started := _working(process.pid, hanging)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 3, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
    assert gate_files.read(tmp_path / "gate.json").run.partial
    assert started
    assert not [pid for pid in started if _alive(pid)]


def _working(pid, backend):
    """Descendants, once a worker of that backend is one of them."""
    found = _descendants(pid)
    return found if any(f"{backend}\0spawn" in _command(one) for one in found) else set()


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _descendants(pid):
    found = children(pid)
    return found | {grandchild for child in found for grandchild in _descendants(child)}


def _alive(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True
