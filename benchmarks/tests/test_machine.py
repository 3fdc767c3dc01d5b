import itertools
import platform
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from benchmarks import conftest, machine
from benchmarks.machine import Refused


def test_a_clock_that_stands_still_is_refused():
    """A clock that does not move cannot time anything."""
    with pytest.raises(Refused, match=r"stands still: 1000 readings of 12\.5"):
        machine.require_moving(lambda: 12.5, readings=1000)


def test_a_clock_that_runs_backwards_is_refused():
    """A clock that goes back cannot time anything either."""
    readings = itertools.count(5.0, -1.0)
    with pytest.raises(Refused, match=r"backwards: 5\.0, then 4\.0"):
        machine.require_moving(lambda: next(readings))


def test_a_coarse_clock_is_accepted():
    """A clock that moves now and then is one."""
    readings = itertools.chain([1.0] * 50, itertools.repeat(1.5))
    machine.require_moving(lambda: next(readings))


@pytest.mark.parametrize("seconds", [0.0, -1e-9, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    """A round's time is positive and finite, or the whole timing is refused with the number of the round."""
    with pytest.raises(Refused, match=f"round 1 took {seconds!r} seconds by clock"):
        machine.require_believable([1e-3, seconds, 1e-3], "clock")


@pytest.mark.parametrize("threads", [0, -1, 100_000])
def test_threads_that_there_are_not(threads):
    """Fewer threads than one, or more than cores, is refused with the number."""
    with pytest.raises(ValueError, match=f"threads={threads}: expected 1 to"):
        machine.pinned(threads)


def test_pins_are_read_by_libraries():
    """A process that starts under the pins has BLAS pools of that size."""
    code = "import numpy, threadpoolctl; print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    pytest.importorskip("threadpoolctl", reason="it looks into the libraries that NumPy has loaded")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**machine.os.environ, **machine.pinned(1)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("{1}", "set()")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory as it likes")
def test_memory_is_held():
    """A timed process that gives back 64 MB and takes them again meets its own pages, where the system would hand out new ones."""
    code = """if True:
        import resource, numpy
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        numpy.ones(1 << 26, numpy.uint8)
        before = faults()
        numpy.ones(1 << 26, numpy.uint8)
        print(faults() - before)
    """
    environment = machine.timed(1)
    plain = {name: value for name, value in environment.items() if name not in machine.HELD}
    held, given = (
        int(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)
        for env in (environment, plain)
    )
    assert held < 16 < given  # of 16,384 pages, or 32 huge ones


def test_settings_of_the_user_stand(monkeypatch):
    """What somebody says of memory is not overruled."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    assert machine.timed(1)["MALLOC_TRIM_THRESHOLD_"] == "0"


def test_no_framework_is_imported():
    """The harness costs nobody the import of a framework."""
    code = "import sys, benchmarks.__main__, benchmarks.measure; print(sorted({'torch', 'tensorflow', 'jax', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("nbytes", [1, 1000, 1 << 20])
def test_copy_bandwidth(nbytes):
    """A copy of any size has a rate."""
    assert machine.copy_bandwidth(nbytes, threads=2, seconds=0.001) > 0


def test_the_limit_is_whichever_takes_longer():
    """Moving all bytes or comparing each element once: the slower of the two is the limit, and half types are compared twice as fast."""
    assert machine.limit(8_000, 4_000, bandwidth=8e9, rate=2e9) == (1e-6, "copying")
    assert machine.limit(8_000, 4_000, bandwidth=8e9, rate=0.5e9) == (2e-6, "arithmetic")
    assert machine.limit(8_000, 4_000, bandwidth=0.0, rate=2e9) == (0.0, "")
    assert machine.limit(8_000, 4_000, bandwidth=8e9, rate=0.0) == (1e-6, "copying")


@pytest.mark.parametrize(
    "times, rate",
    [
        ([1e-6, 3e-6, 1e-6, 9e-6], 4096 / 2e-6),
        ([1e-6, 9e-6, 1e-6, 3e-6], 4096 / 2e-6),
        ([2e-6, 1e-6, 1e-6, 1.05e-6, 1e-6, 3e-6, 1e-6, 9e-6], 4096 / 2e-6),
        ([1e-6, 1e-6] * machine.ATTEMPTS + [1e-6, 3e-6], 4096 / 2e-6),
        ([1e-6, 1e-6] * 2 * machine.ATTEMPTS, 0.0),
    ],
    ids=["two by two", "all with one", "at the third attempt", "in one way alone", "never"],
)
def test_a_rate_that_noise_hides_is_unknown(monkeypatch, times, rate):
    """A longer array that took no longer than a shorter one is measured again, and after some attempts the rate is unknown."""
    given = iter(times)
    monkeypatch.setattr(machine, "_rate", lambda work, amount, seconds: amount / next(given))
    # Twice as many threads compare twice as much, and the faster way counts; 1/(1/t) is rounded.
    assert machine.comparison_rate.__wrapped__(2) == pytest.approx(2 * rate)
    assert list(given) == []


def test_watch_counts_what_this_process_computes():
    """A block that computes has used some of a core, and the load is read before and after."""
    with machine.Watch() as watch:
        start = time.process_time()
        while time.process_time() - start < 0.05:
            pass
    assert watch.used > 0
    assert watch.elsewhere is None or watch.elsewhere >= 0
    assert min(watch.load_before, watch.load_after) >= 0


def test_what_children_compute_is_not_others():
    """A block whose children compute, those that end in it among them, has used their cores: they are nobody else's."""
    computing = [
        sys.executable,
        "-c",
        "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint(flush=True); input()",
    ]
    child = subprocess.Popen(computing, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lasting = subprocess.Popen(computing, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with machine.Watch() as alone, machine.Watch([child.pid, lasting.pid]) as watch:
        for each in (child, lasting):
            each.stdout.readline()
        child.communicate(b"\n")
    lasting.communicate(b"\n")
    if watch.elsewhere is None:
        pytest.skip("the system does not say what others compute")
    assert watch.used > alone.used


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "GLIBC_TUNABLES", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "KMP_AFFINITY", "KMP_BLOCKTIME", "OMP_PROC_BIND"]
)
def test_what_decides_a_time_is_recorded(monkeypatch, name):
    """Variables that choose instruction sets, allocators or where threads run are recorded with their values."""
    monkeypatch.setenv(name, "value")
    monkeypatch.setenv("HOMELY", "value")
    settings = machine.describe()["settings"]
    assert settings[name] == "value" and "HOMELY" not in settings


def test_the_load_is_read_before_the_first_cell(monkeypatch):
    """The load that a session records with its machine is that of its beginning, not of the time when a cell has run already."""
    loads = iter([0.5])
    monkeypatch.setattr(machine, "load", lambda: next(loads, 9.0))
    monkeypatch.setattr(machine, "comparison_rate", lambda threads: 0.0)
    monkeypatch.setattr(machine, "copy_bandwidth", no_memory)
    manager = SimpleNamespace(get_plugin=lambda name: None)
    config = SimpleNamespace(stash=pytest.Stash(), getoption=lambda name, default: None, pluginmanager=manager)
    conftest.pytest_collection_finish(SimpleNamespace(items=[], config=config))
    told = {}
    conftest.pytest_benchmark_update_machine_info(config, told)
    assert told["poolproof"]["load"] == 0.5


def no_memory(nbytes, threads):
    raise MemoryError("two arrays")


def test_a_rate_that_cannot_be_measured_is_unknown(monkeypatch):
    """Too little memory for copies past the caches, or noise that hides a rate, costs that fact and no timing."""
    monkeypatch.setattr(machine, "comparison_rate", lambda threads: 0.0)
    monkeypatch.setattr(machine, "copy_bandwidth", no_memory)
    told = {}
    conftest.pytest_benchmark_update_machine_info(SimpleNamespace(stash=pytest.Stash(), getoption=lambda name, default: None), told)
    rates = {told["poolproof"][name] for name in ("comparisons a second", "copy bandwidth of memory")}
    assert rates == {"unknown"}


def test_the_description_is_whole():
    """Whatever the system does not say is called unknown, and nothing is left out."""
    told = machine.describe()
    assert {"usable cores", "governor", "frequency", "caches", "settings", "load", "virtual machine"} <= set(told)
    assert all(value not in (None, "") for value in told.values())
    assert machine.last_level_cache() > 0


def test_several_last_level_caches_add_up(tmp_path, monkeypatch):
    """So many threads may fill as many of the largest caches as there are; one thread fills one."""
    for core, (size, shared) in enumerate([("16M", "0-1"), ("16M", "0-1"), ("32M", "2-3"), ("32M", "2-3")]):
        index = tmp_path / f"cpu{core}" / "cache" / "index3"
        index.mkdir(parents=True)
        for name, text in (("level", "3"), ("type", "Unified"), ("size", size), ("shared_cpu_list", shared)):
            (index / name).write_text(text)
    monkeypatch.setattr(machine, "CORES", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    machine.last_level_cache.cache_clear()
    try:
        assert [machine.last_level_cache(threads) >> 20 for threads in (1, 2, 4)] == [32, 48, 48]
    finally:
        machine.last_level_cache.cache_clear()
