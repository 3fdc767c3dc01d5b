"""The commands that a person types: what they say, how they end, and what they leave behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from properties.tests import strangers
from reports.record import load

ROOT = Path(__file__).resolve().parents[2]
STRANGERS = Path(strangers.__file__)
BAD = "max sliding kernel=3,3 stride=1,1 values channels_first x=float32:1,1,2,2:0x4"
LINE = "values: max sliding kernel=2,2 stride=1,1 values channels_first x=float32:1,1,2,2:nan,0x3"


def command(*arguments: str, **options) -> subprocess.CompletedProcess:
    """A Python module run in the checkout, with its output."""
    return subprocess.run([sys.executable, "-m", *arguments], check=False, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def pytest_run(tmp_path: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    """pytest in the checkout, recording into a folder of its own."""
    return command("pytest", "-q", "-p", "no:cacheprovider", "--records", str(tmp_path), *arguments, **options)


def test_an_unknown_backend_is_a_usage_error(tmp_path: Path) -> None:
    """A backend that nobody has heard of is a usage error that lists the choices."""
    done = pytest_run(tmp_path, "properties/test_equivalence.py", "--backend", "nunpy")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unknown backend 'nunpy'; choose from" in done.stderr
    assert "numpy" in done.stderr


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """A backend in a file that is not there is a usage error that names the file."""
    done = pytest_run(tmp_path, "properties/test_equivalence.py", "--backend", "not_there.py:Backend")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no file not_there.py" in done.stderr


def test_collecting_imports_no_framework(tmp_path: Path) -> None:
    """Collecting every test with NumPy chosen imports no framework."""
    frameworks = "('torch', 'tensorflow', 'jax', 'keras')"
    code = f"import sys, pytest; pytest.main(sys.argv[1:]); print('imported:', [name for name in {frameworks} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code, "--collect-only", "-q", "--backend", "numpy", "--records", str(tmp_path), "properties", "backends", "benchmarks"],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "imported: []" in done.stdout, done.stdout[-2000:]


def test_a_backend_that_is_not_installed_leaves_the_others(tmp_path: Path) -> None:
    """A backend whose framework is missing fails one test with the exception's text; the others run."""
    done = pytest_run(
        tmp_path,
        "properties/test_loading.py",
        "properties/test_equivalence.py",
        "--backend",
        f"{STRANGERS}:NeedsNothing",
        "--backend",
        f"{STRANGERS}:Sound",
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "No module named 'a_framework_that_is_not_there'" in done.stdout
    loadings = {loading.backend: loading.status for loading in load(tmp_path).loadings}
    assert loadings == {f"{STRANGERS}:NeedsNothing": "missing", "sound": "loaded"}
    assert {tally.backend for tally in load(tmp_path).tallies if tally.status == "passed"} == {"sound"}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_run_says_what_it_compared(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """A run ends with how many cases each backend was asked and how fast, whether one process asked them or several."""
    done = pytest_run(tmp_path, "properties/test_equivalence.py", "--backend", f"{STRANGERS}:Sound", *workers)
    compared = sum(tally.compared for tally in load(tmp_path).tallies)
    assert compared
    assert re.search(
        rf"^sound: {compared:,} compared in \d laws, [\d,]+ a second; equivalence: [\d,]+ a second$", done.stdout, re.MULTILINE
    )


def test_an_incomplete_backend_says_what_it_lacks(tmp_path: Path) -> None:
    """A class that is no backend is named, with the attribute that it lacks."""
    done = pytest_run(tmp_path, "properties/test_loading.py", "--backend", f"{STRANGERS}:Incomplete")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "has no attribute 'gap'" in done.stdout


@pytest.mark.parametrize(
    "text, name, status, says",
    [
        (LINE, "Sound", 0, "sound 1 conforms"),
        (LINE, "DropsNan", 1, "expected nan, got 0.0"),
        (LINE.replace("values: ", ""), "DropsNan", 1, "expected nan, got 0.0"),
        (LINE, "Dies", 0, "conforms"),
        (LINE.replace("nan", "-1").replace("0x3", "-1x3"), "Dies", 1, "signal:SIGSEGV"),
        (LINE, "RefusesAll", 3, "cannot say: anything"),
        (LINE.replace("values:", "nothing:"), "Sound", 2, "there is no law 'nothing'"),
        ("max sideways", "Sound", 2, "expected one of sliding, adaptive, global"),
        (LINE, "Nobody", 2, "has no class or function 'Nobody'"),
    ],
)
def test_a_line_replays(text: str, name: str, status: int, says: str) -> None:
    """The line of a case replays it, and the exit status says whether it holds."""
    done = command("properties", text, "--backend", f"{STRANGERS}:{name}")
    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    "text, name, status, says",
    [
        (BAD, "numpy", 0, "it must raise an exception, and does: ValueError: "),
        (f"bad_case: {BAD}", "numpy", 0, "it must raise an exception, and does: ValueError: "),
        (BAD, f"{STRANGERS}:AnswersAnything", 1, "it must raise an exception, and returns: array of shape (1, 1, 1, 1)"),
        (f"bad_case: {BAD}", f"{STRANGERS}:DiesOfTheInvalid", 1, "it must raise an exception, and signal:SIGFPE: "),
        (BAD, f"{STRANGERS}:RefusesAll", 3, "cannot be asked that"),
        (BAD.replace("float32:", "float64:"), f"{STRANGERS}:Sound", 3, "cannot be asked that"),
        (f"bad_case: {BAD.replace('3,3', '2,2')}", "numpy", 2, "bad_case is about what breaks the definition"),
    ],
)
def test_a_bad_case_replays(text: str, name: str, status: int, says: str) -> None:
    """The line of a case that breaks the definition asks whether the backend refuses it, and the exit status says so."""
    done = command("properties", text, "--backend", name)
    assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


IMPATIENT = """
import sys
import pytest
from backends.process import Remote
Remote.__init__.__defaults__ = (None, 5.0)  # a minute for each request is long for a test
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_a_backend_that_misbehaves_leaves_the_others(tmp_path: Path) -> None:
    """Backends that die, hang, raise, print or write fail the law they are put to, each named as that, and a sound one passes after them."""
    wrong = {
        "Dies": ("dies", "crashed", "its process died, signal:SIGSEGV"),
        "Hangs": ("hangs", "crashed", "no answer within 5 s"),
        "FetchRaises": ("fetch-raises", "error", "RuntimeError in fetch: the device is gone"),
        "Prints": ("prints", "diverges", "it printed 'pooling"),
        "ReadOnly": ("read-only", "diverges", "fetch returned a read-only array"),
        "Writes": ("writes", "diverges", "it wrote to its input: x has changed"),
    }
    chosen = [option for name in (*wrong, "Sound") for option in ("--backend", f"{STRANGERS}:{name}")]
    options = ["-q", "-p", "no:cacheprovider", "--records", str(tmp_path), "--hypothesis-profile", "ci"]
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT, *options, "properties/test_equivalence.py", "-k", "test_values", *chosen],
        check=False, cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    loaded = load(tmp_path)
    tallies = {tally.backend: tally for tally in loaded.tallies}
    last = {record.backend: record for record in loaded.observations}
    assert (tallies["sound"].status, last["sound"].status) == ("passed", "conforms")
    assert tallies["sound"].compared > 0
    assert {name: (tallies[name].status, last[name].status) for name, _, _ in wrong.values()} == {
        name: ("failed", status) for name, status, _ in wrong.values()
    }
    assert [says for name, _, says in wrong.values() if says not in last[name].message or says not in tallies[name].message] == []
    assert [name for name in wrong if f"--backend {STRANGERS}:{name}" not in done.stdout] == []


def test_an_interrupted_run_keeps_what_it_saw(tmp_path: Path) -> None:
    """A run that is interrupted leaves every line that it had recorded, and they can be read."""
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--records", str(tmp_path), "properties/test_equivalence.py"]
    run = subprocess.Popen(
        [sys.executable, *arguments, "--backend", f"{STRANGERS}:Sound", "--hypothesis-profile", "thorough"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ),
    )  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and len(load(tmp_path).observations) < 20:
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    loaded = load(tmp_path)
    assert len(loaded.observations) >= 20
    assert not loaded.problems
    assert run.returncode == pytest.ExitCode.INTERRUPTED
