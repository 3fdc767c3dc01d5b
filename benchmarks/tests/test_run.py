import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import benchmarks.__main__
from benchmarks import results
from benchmarks import run as driver
from benchmarks.__main__ import main, manners
from benchmarks.run import Options, Progress, run
from reports.record import load

STRANGERS = Path(__file__).with_name("strangers.py")
SPEED = Path(driver.__file__).with_name("test_speed.py")
TWO = "m5-wide-pool1 or c3d-pool3"  # one that the strangers can say, and one that is a gap


def ran(tmp_path, *names, **changes):
    """(exit status, what was printed, the records) of a run of some strangers on few cells."""
    out = io.StringIO()
    options = {"select": TWO, "layouts": ("channels_first",), "threads": 1, "records": tmp_path, **changes}
    status = run(Options(backends=tuple(f"{STRANGERS}:{name}" for name in names), **options), out)
    return status, out.getvalue(), load(tmp_path)


def timed(folder):
    return results.read(sorted(folder.glob("bench-*.json")))


def test_a_run_times_records_and_sums_up(tmp_path):
    """A cell is timed with everything that a reader must know; a gap has its reason; the table and the count say so."""
    status, out, records = ran(tmp_path, "Plain")
    (one,) = timed(tmp_path)
    assert status == 0
    assert one.facts["bytes"] == 4 * 128 * (1980 + 495)  # no window reads the last sample
    expected = {
        "workload": "m5-wide-pool1", "backend": "plain", "version": "1", "variant": "", "device": "cpu",
        "layout": "channels_first", "output": "values",
        "reduction": "max", "dtype": "float32", "threads": 1, "mode": "warm", "level": "quick", "environment": records.environments[0].id,
        "elements": 128 * 495,
    }  # fmt: skip
    assert {name: one.facts[name] for name in expected} == expected
    assert len(one.facts["checksum"]) == 16
    assert 1900 < one.facts["elements_checked"] < 128 * 495
    assert min(one.facts["copy_bandwidth"], one.facts["placements"], one.facts["rounds_each"]) > 0
    assert min(one.facts["load_before"], one.facts["load_after"], one.facts["cores_used"], one.facts["processor_seconds"]) >= 0
    assert len(one.seconds) == one.facts["placements"] * one.facts["rounds_each"]
    (gap,) = records.gaps
    assert (gap.backend, gap.reason, gap.question["workload"]) == ("plain", "cannot say: a window of two", "c3d-pool3")
    assert "plain first" in out
    assert "gap: plain: cannot say: a window of two (1 cell)" in out
    assert re.search(r"^2 cells on 1 backend in 0:\d\d: 1 cells timed, 1 gaps, 0 problems", out, re.MULTILINE)
    machine = json.loads(next(tmp_path.glob("bench-*.json")).read_text())["machine_info"]["poolproof"]
    assert {"governor", "caches", "settings", "copy bandwidth of memory"} <= set(machine)
    assert machine["settings"]["OMP_NUM_THREADS"] == "1"


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """(exit status, output, records, folder) of one run over everything that goes wrong, and at its end something right."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "GRACE", 3.0)
        names = ("Borderline", "Changeable", "Hungry", "Slow", "Mortal", "Stubborn", "Broken", "Plain")
        return (*ran(folder, *names, longest=2.0), folder)


@pytest.mark.parametrize(
    "who, status, message",
    [
        ("borderline", "wrong", "element (0, "),
        ("changeable", "wrong", "at the last round"),
        ("hungry", "memory", "1 PiB"),
        ("slow", "timeout", "longer than 2 s"),
        ("mortal", "error", "SIGSEGV"),
        ("stubborn", "timeout", "in one call"),
    ],
)
def test_what_cannot_be_timed_is_recorded(troubled, who, status, message):
    """A wrong answer, want of memory, a hang or a death costs one cell, which is recorded, printed and not timed."""
    _, out, records, _ = troubled
    (problem,) = [one for one in records.untimed if one.backend == who]
    assert (problem.workload, problem.layout, problem.output) == ("m5-wide-pool1", "channels_first", "values")
    assert problem.status == status
    assert (problem.threads, problem.mode) == ("1", "warm") and problem.created
    assert message in problem.message
    assert f"{status}: " in out


def test_the_run_goes_on(troubled):
    """Whatever happens to one backend, the cells of the others are timed, and its own others are asked; the exit status is 1."""
    failed, _, records, folder = troubled
    assert failed == 1
    assert [one.facts["backend"] for one in timed(folder)] == ["plain"]
    assert {gap.backend for gap in records.gaps} == {one.backend for one in records.untimed} | {"plain"}


def test_a_backend_that_cannot_be_loaded_is_named(troubled):
    """A backend that is broken is reported with the exception's text."""
    _, out, records, _ = troubled
    assert "could not be loaded" in out
    (broken,) = [one for one in records.loadings if one.status != "loaded"]
    assert broken.status == "broken"
    assert "libpooling.so.7 is missing" in broken.message


@pytest.mark.parametrize("who, why", [("Asleep", "did not load in time"), ("Stillborn", "SIGSEGV")])
def test_a_backend_that_ends_while_it_loads_costs_no_cell(tmp_path, monkeypatch, who, why):
    """A backend that hangs or dies before it is loaded is asked once, not once for each cell, and recorded as broken."""
    monkeypatch.setattr(driver, "LOADING", 8.0)
    status, out, records = ran(tmp_path, who)
    assert status == 1 and records.untimed == ()
    (loading,) = records.loadings
    assert (loading.status, why in loading.message, why in out) == ("broken", True, True)


@pytest.mark.parametrize(
    "told, late",
    [
        ([(0, "collected"), (1, "start"), (200, "loaded"), (239, "checked"), (278, "timed"), (279, "end")], None),
        ([(0, "collected"), (1, "start"), (2, "loaded"), (400, "end")], 42),
        ([(0, "collected"), (1, "start"), (2, "loaded"), (3, "end"), (4, "start"), (5, "checked"), (400, "end")], 45),
        ([(0, "collected"), (1, "start"), (400, "end")], 301),
    ],
    ids=["each in time", "a check hangs", "a timing hangs", "loading hangs"],
)
def test_who_is_silent_for_too_long_is_late(tmp_path, monkeypatch, told, late):
    """A check and a timing have the limit each and the grace of one call, and loading has its own, before the first cell's."""
    events, now, left = tmp_path / "events", [0.0], list(told)

    def sleep(seconds):
        now[0] += seconds
        with events.open("a") as file:
            while left and left[0][0] <= now[0]:
                file.write(json.dumps({"event": left.pop(0)[1]}) + "\n")

    events.touch()
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    process = SimpleNamespace(poll=lambda: None if left else 0)
    heard = [event["event"] for event in driver._follow(events, process, 10.0)]
    assert heard == [name for second, name in told if late is None or second < late] + ["late"] * (late is not None)
    # The clock goes on in steps of a tenth of a second, which add up inexactly.
    assert late is None or now[0] == pytest.approx(late, abs=0.3)


def test_cold_and_bare(tmp_path):
    """A cold run says that it is one, and --overhead shows the harness beside a bare loop of as many rounds."""
    _, out, _ = ran(tmp_path, "Plain", cold=True, overhead=True, select="m5-wide-pool1")
    (one,) = timed(tmp_path)
    assert one.facts["mode"] == "cold"
    assert len(one.facts["bare"]) == len(one.seconds)
    assert "bare loop" in out


def test_a_run_is_resumed(tmp_path):
    """With --resume, what is timed already is not timed again but stands in the table, and that is no failure; what is not, is."""
    ran(tmp_path, "Plain")
    status, out, _ = ran(tmp_path, "Plain", resume=True, select="m5-wide-pool1")
    assert len(timed(tmp_path)) == 1 and status == 0
    assert re.search(r"^m5-wide-pool1 .*\d [nµm]s", out, re.MULTILINE)
    assert "1 cells are timed already" in out
    assert re.search(r"^ +plain first +plain last$", out, re.MULTILINE)
    ran(tmp_path, "Plain", resume=True, select="m5-wide-pool1 or vgg16-pool1")
    assert sorted(one.facts["workload"] for one in timed(tmp_path)) == ["m5-wide-pool1", "vgg16-pool1"]


def test_what_other_code_took_is_timed_again(tmp_path, monkeypatch):
    """With --resume, a kernel that was edited since is timed again, and so is one whose framework has other settings now."""
    kernel = tmp_path / "kernel.py"
    shutil.copy(STRANGERS, kernel)
    again = {"select": "m5-wide-pool1", "layouts": ("channels_first",), "records": tmp_path / "records", "resume": True}
    run(Options(backends=(f"{kernel}:Plain",), **again), io.StringIO())
    kernel.write_text(kernel.read_text() + "\n# mended\n")
    run(Options(backends=(f"{kernel}:Plain",), **again), io.StringIO())
    assert len(timed(tmp_path / "records")) == 2
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    run(Options(backends=(f"{kernel}:Plain",), **again), io.StringIO())
    assert len(timed(tmp_path / "records")) == 3


def test_what_lacks_a_bare_loop_is_timed_again(tmp_path):
    """With --resume and --overhead, a cell that was timed without a bare loop beside it is timed again, with one."""
    ran(tmp_path, "Plain", select="m5-wide-pool1")
    _, out, _ = ran(tmp_path, "Plain", select="m5-wide-pool1", resume=True, overhead=True)
    assert ["bare" in one.facts for one in timed(tmp_path)] == [False, True]
    assert "bare loop" in out


def test_a_resumed_table_has_what_was_asked(tmp_path):
    """A run that goes on shows the cells that it was asked for, and no others that the records have."""
    ran(tmp_path, "Plain", select="m5-wide-pool1 or vgg16-pool1")
    _, out, _ = ran(tmp_path, "Plain", select="vgg16-pool1", resume=True)
    assert "vgg16-pool1" in out and "m5-wide-pool1" not in out
    assert "1 cells are timed already" in out


def started(tmp_path, *arguments):
    """A session of pytest over some cells, as soon as it has timed one of them."""
    command = [
        *(sys.executable, "-m", "pytest", str(SPEED), "--benchmark-enable", "-q", "-p", "no:cacheprovider", "--threads=1"),
        *(f"--backend={STRANGERS}:Slow", f"--records={tmp_path}", "-k", "channels_first and (vgg16-pool1 or m5-wide-pool1)", *arguments),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while not timed(tmp_path) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_lost_when_a_session_is_stopped(tmp_path, number):
    """Interrupted or killed in the middle of a cell, a session leaves those that it had timed, in a whole file."""
    process = started(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=60)
    (one,) = timed(tmp_path)
    assert process.returncode != 0
    assert one.facts["workload"] == "vgg16-pool1"


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_no_process(tmp_path, number, status):
    """Told to stop in the middle of a cell, a run ends the process that it started, and says so by its exit status."""
    command = [sys.executable, "-m", "benchmarks", "--threads=1", f"--backend={STRANGERS}:Slow", f"--records={tmp_path}"]
    process = subprocess.Popen([*command, "-k", "channels_first and (vgg16-pool1 or m5-wide-pool1)"], start_new_session=True)
    end = time.monotonic() + 60
    while not timed(tmp_path) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == status
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert len(timed(tmp_path)) == 1


def test_smoke_calls_each_benchmark_once(tmp_path):
    """Without --benchmark-enable each benchmark is checked and called, a gap is skipped with its reason, and no time is recorded."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(SPEED),
        "-rs",
        "-p",
        "no:cacheprovider",
        f"--backend={STRANGERS}:Plain",
        f"--records={tmp_path}",
    ]
    done = subprocess.run([*command, "-k", TWO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed, 2 skipped" in done.stdout
    assert "gap: cannot say: a window of two" in done.stdout
    assert not timed(tmp_path)


def test_a_stuck_clock_is_refused(tmp_path):
    """A clock that stands still times nothing: the cell is a problem, and no JSON has it."""
    command = [
        *(sys.executable, "-m", "pytest", str(SPEED), "--benchmark-enable", "--benchmark-timer=benchmarks.tests.strangers.stuck", "-q"),
        *("-p", "no:cacheprovider", f"--backend={STRANGERS}:Plain", f"--records={tmp_path}", "-k", "m5-wide-pool1 and channels_last"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    (problem,) = load(tmp_path).untimed
    assert (problem.status, problem.message.partition(":")[0]) == ("error", "Refused")
    assert "stands still" in problem.message
    assert not timed(tmp_path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--backend", "nothing"], "unknown backend 'nothing'; choose from"),
        (["--threads", "0"], "threads=0: expected 1 to"),
        (["--level", "fast"], "invalid choice: 'fast'"),
        (["--cell-limit", "-5"], "-5: expected a number of seconds above 0"),
        (["--cell-limit", "nan"], "nan: expected a number of seconds above 0"),
        (["--peers", "--cell-limit", "0"], "0: expected a number of seconds above 0"),
        (["--backend", "numpy", "-k", "nothing-like-it"], "-k 'nothing-like-it': chooses none of 20 cells such as test_speed.py::test_speed[numpy-"),
        (["--backend", "numpy", "-k", "resnet50-head", "--output", "indices"], "-k 'resnet50-head': chooses none of"),
        (["--backend", "numpy", "-k", "and("], "-k 'and(': expected words with and, or, not and parentheses"),
        (["--records", __file__], "expected a folder, or where one can be made: File exists"),
    ],
)  # fmt: skip
def test_usage_errors(capsys, arguments, message):
    """A name, a number, an expression or a folder that cannot be is a usage error with what can, before a framework is started."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("shown", [False, True])
def test_full_has_the_variants_of_a_gpu_where_there_is_one(monkeypatch, capsys, shown):
    """The whole product is that of every variant; those for a GPU are left out, by name, where the system shows none."""
    monkeypatch.setattr(benchmarks.__main__.machine, "has_gpu", lambda: shown)
    monkeypatch.setattr(benchmarks.__main__.importlib.util, "find_spec", lambda name: object())
    names, said = benchmarks.__main__._installed("full"), capsys.readouterr().out
    assert ({"torch:cuda", "torch:cuda-compile", "jax:cuda", "tensorflow:gpu"} <= set(names)) == shown
    assert {"numpy", "torch", "torch:compile", "tensorflow:xla"} <= set(names)
    assert ("left out: " in said and "torch:cuda-compile" in said) != shown


def test_the_list(capsys):
    """--list prints each workload with its source."""
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100
    assert any(line.startswith("resnet50-stem ") and "torchvision/models/resnet.py" in line for line in lines)


def test_the_import_of_a_framework_is_no_part_of_a_cell(monkeypatch):
    """What a cell takes is guessed from those before it, without the import that the first of them waited for."""
    now = [0.0]
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress(Options(backends=("a",)), io.StringIO())
    progress.collected("a", 11)
    progress.started("a one")
    now[0] = 100.0
    progress.loaded()
    now[0] = 102.0
    progress.finished("a one", "", timed=True)
    assert progress.bar().endswith("1/11 0:20 left")


def test_the_time_that_is_left_is_that_of_all_runs():
    """Of several runs, the one that goes on is named, and the time that is left counts the whole of those to come."""
    progress = Progress(Options(backends=("a", "b"), number=2, of=4), io.StringIO())
    progress.guess = 60.0
    progress.skip(["a"])
    progress.collected("a", 2)
    # One more cell of a was timed before, and b is not known to have fewer: two runs of six cells follow.
    assert progress.bar() == "[....................] 0/4 of run 2 of 4, 16:00 left"
    progress.finished("a one", "gap")
    progress.collected("a", 1)
    progress.collected("b", 3)
    assert progress.bar() == "[####................] 1/5 of run 2 of 4, 16:00 left"
    assert Progress(Options(backends=("a",)), io.StringIO()).bar().partition(" ")[2].startswith("0/20 0:")


def test_full_is_the_whole_product(monkeypatch, capsys):
    """`--level full` runs every CPU variant on one thread and on all, in a warm cache and in a cold one, until it is interrupted."""
    runs = []
    monkeypatch.setattr(benchmarks.__main__, "run", lambda options: runs.append(options) or (130 if len(runs) == 5 else 0))
    monkeypatch.setattr(benchmarks.__main__.machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(benchmarks.__main__.machine, "has_gpu", lambda: False)
    monkeypatch.setattr(benchmarks.__main__.importlib.util, "find_spec", lambda name: name != "jax")
    assert main(["--level", "full"]) == 0
    assert [(one.threads, one.cold) for one in runs] == [(1, False), (1, True), (2, False), (2, True)]
    assert capsys.readouterr().out.endswith("have it tried all the same\n4 runs in 0:00\n")
    assert [(one.number, one.of) for one in runs] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {"numpy", "torch", "torch:compile", "tensorflow:graph", "tensorflow:xla"} <= set(runs[0].backends)
    assert not {"jax", "torch:cuda", "tensorflow:gpu", "jax:cuda", "torch:cuda-compile"} & set(runs[0].backends)
    assert main(["--level", "full", "--resume"]) == 130 and len(runs) == 5
    assert manners("full", 1, cold=True) == [(1, True)] and manners("standard", None, cold=False) == [(1, False)]
