import errno
import random
import time
from types import SimpleNamespace

import numpy as np
import pytest

import backends
from backends import timing
from backends.spec import Max, PoolSpec, Sliding
from backends.timing import placed
from benchmarks import machine, measure
from benchmarks.cells import Cell, Effort, cells
from benchmarks.check import Wrong
from benchmarks.measure import Manner, Rounds, TimedOut, Timing, limit
from benchmarks.problems import status_of, status_of_death
from benchmarks.workloads import WORKLOADS, Workload
from reports.spread import ENOUGH_PROCESSOR

EFFORT = Effort(seconds=10.0, placements=4, least=8, most=40)


class Recorder:
    """A backend that keeps the arrays that it is given, and counts its calls."""

    name, version = "recorder", "1"

    def __init__(self, nap=0.0):
        self.bound, self.calls, self.nap = [], 0, nap

    def bind(self, case):
        self.bound.append(case)

        def call():
            self.calls += 1
            time.sleep(self.nap)
            return case.x

        return call


def small(output="values"):
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2)))
    return Workload(name="small", network="Net", layer="one", spec=spec, shape=(2, 3, 8, 6), source="a/file.py").case(
        "channels_last", output
    )


def address(case):
    return case.x.__array_interface__["data"][0]


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_placed_arrays_are_the_same_numbers_elsewhere(dtype, layout):
    """A placed array is equal, starts at a cache line, lies in the order of its layout, and may be written to."""
    array = WORKLOADS["resnet50-head"].case().x.astype(dtype)
    copy = placed(array, layout, random.Random(1))
    assert copy.dtype == array.dtype
    np.testing.assert_array_equal(copy, array)
    assert copy.__array_interface__["data"][0] % timing.LINE == 0
    assert (np.moveaxis(copy, 1, -1) if layout == "channels_last" else copy).flags.c_contiguous
    assert copy.flags.writeable
    assert not np.shares_memory(copy, array)


def test_rounds_meet_freshly_placed_memory():
    """The rounds are spread over several placements, each bound to arrays of its own that equal the question's."""
    backend, case = Recorder(), small("gradient")
    rounds = Rounds(backend, case, EFFORT)
    given = [rounds.setup()[0][0] for _ in range(rounds.rounds)]
    assert len(set(map(id, given))) == rounds.placements == len(backend.bound) == 4
    assert len({address(one) for one in backend.bound}) == 4
    assert all(np.array_equal(one.x, case.x) and np.array_equal(one.cotangent, case.cotangent) for one in backend.bound)
    assert given == sorted(given, key=given.index)


def test_each_placement_is_warmed_outside_the_clock():
    """What is timed is never the first call of a bound pooling."""
    backend = Recorder()
    rounds = Rounds(backend, small(), EFFORT)
    before = backend.calls
    for _ in range(rounds.rounds):
        rounds.setup()
    assert backend.calls - before == measure.WARM_CALLS * (rounds.placements - 1)


def test_rounds_are_bounded():
    """A slow call gets the least number of rounds, over as many placements as its binding leaves time for."""
    rounds = Rounds(Recorder(nap=0.02), small(), Effort(seconds=0.01, placements=4, least=5))
    assert 5 <= rounds.rounds <= 8
    assert 1 <= rounds.placements <= 4


def test_cold_rounds_rotate_buffers(monkeypatch):
    """In cold mode every round meets another buffer, and together they are larger than the last-level cache."""
    monkeypatch.setattr(machine, "last_level_cache", lambda threads=1: 4096)
    backend, case = Recorder(), small()
    rounds = Rounds(backend, case, EFFORT, cold=True)
    given = [id(rounds.setup()[0][0]) for _ in range(2 * rounds.placements)]
    assert rounds.bytes_rotated == rounds.placements * case.x.nbytes >= 2 * 4096
    assert given[: rounds.placements] == given[rounds.placements :]
    assert len(set(given)) == rounds.placements


def test_small_inputs_are_pushed_out_of_the_cache(monkeypatch):
    """Where even so many buffers are less than the cache holds, something else fills it between rounds, however large the outputs are."""
    monkeypatch.setattr(machine, "last_level_cache", lambda threads=1: 1 << 20)
    case = small()
    rounds = Rounds(Recorder(), case, EFFORT, cold=True)
    assert rounds.bytes_rotated == measure.RING * case.x.nbytes < 2 << 20
    before = rounds._evict.copy()
    rounds.setup()
    assert rounds._evict.nbytes >= 2 << 20 and (rounds._evict != before).all()


@pytest.mark.parametrize(
    "name, off, outcome",
    [("resnet50-head", 2**-22, True), ("resnet50-head", 0.5, Wrong), ("c3d-pool3", 2**-22, Wrong), ("resnet50-head", 0.0, False)],
)
def test_a_later_answer_may_have_other_bits_if_it_conforms(name, off, outcome):
    """A sum that is added up in another order later is timed, and said to vary; a number that is taken may not change at all."""
    cell = Cell(workload=WORKLOADS[name], layout="channels_first", output="values")
    timing = measure.Timing(cell, backends.load("numpy"), measure.Manner(effort=EFFORT, threads=1))
    first = backends.run(timing.backend, timing.case)
    later = (first * np.float32(1 + off)).astype(first.dtype)
    if outcome is Wrong:
        with pytest.raises(Wrong):
            timing._varies(later)
    else:
        assert timing._varies(later) is outcome


def test_a_norm_is_limited_by_memory_alone(monkeypatch):
    """Comparing each element once says nothing of a norm, which takes powers: its limit is a copy of its size."""
    monkeypatch.setattr(machine, "comparison_rate", lambda threads: 1.0)
    monkeypatch.setattr(machine, "copy_bandwidth", lambda nbytes, threads: 1.0)
    manner = Manner(effort=EFFORT, threads=1)
    norm, largest = (
        Timing(Cell(workload=WORKLOADS[name], layout="channels_first", output="values"), backends.load("numpy"), manner)._reachable(1000)
        for name in ("openface-l2-4a", "m5-pool1")
    )
    assert (norm, largest) == ((1.0, 0.0), (1.0, 1.0))


def test_the_cores_that_a_call_computes_on_are_counted(monkeypatch):
    """The processor time of all threads over the time of the calls, from as many calls as the rule of remarks needs."""
    now = {"wall": 0.0, "processor": 0.0}

    class Threaded(Recorder):
        def bind(self, case):
            def call():
                now["wall"] += 2.0**-20
                now["processor"] += 3 * 2.0**-20

            return call

    clocks = SimpleNamespace(perf_counter=lambda: now["wall"], process_time=lambda: now["processor"])
    monkeypatch.setattr(measure, "time", clocks)
    rounds = Rounds(Threaded(), small(), EFFORT)
    assert rounds.cores_used == 3.0 and rounds.processor >= 3 * ENOUGH_PROCESSOR


@pytest.mark.parametrize("cold", [False, True])
def test_bare_loops_are_timed_between_the_rounds(monkeypatch, cold):
    """To show what the harness adds, every round has a partner in a plain loop, before it or after it by chance, equally often."""
    order = []
    monkeypatch.setattr(measure, "_timed", lambda call: order.append("bare") or float(len(order)))

    class Harness:
        def pedantic(self, function, setup, rounds):
            for _ in range(rounds):
                arguments, _ = setup()
                order.append("harness")
                function(*arguments)

    rounds = Rounds(Recorder(), small(), EFFORT, cold=cold, bare=True)
    rounds.run(Harness())
    pairs = [tuple(order[place : place + 2]) for place in range(0, len(order), 2)]
    assert len(rounds.bare) == rounds.rounds == len(pairs)
    assert rounds.bare == [2.0 * number + 1 + pair.index("bare") for number, pair in enumerate(pairs)]
    # Equally often in each two rounds, and not always the same of them first.
    assert {tuple(pairs[place : place + 2]) for place in range(0, len(pairs) - 1, 2)} == {
        (("bare", "harness"), ("harness", "bare")),
        (("harness", "bare"), ("bare", "harness")),
    }


def test_a_limit_ends_a_block():
    """A block that takes too long is ended, and says how long it might take."""
    with pytest.raises(TimedOut, match=r"longer than 0\.05 s"), limit(0.05):
        time.sleep(30)


def test_a_limit_is_lifted():
    """A block that ends in time is left alone afterwards."""
    with limit(0.05):
        pass
    time.sleep(0.1)


@pytest.mark.parametrize(
    "error, status",
    [
        (Wrong("at (0, 0)"), "wrong"),
        (TimedOut("took longer"), "timeout"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (RuntimeError("Failed to allocate request for 2.00GiB (2147483648B) on device ordinal 0"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), "memory"),
        (RuntimeError("cudaErrorMemoryAllocation"), "memory"),
        (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"), "memory"),
        (RuntimeError("inductor: C++ compile error"), "error"),
        (ValueError("a loom of windows"), "error"),
        (RuntimeError("the kernel was allocated 3 axes and failed"), "error"),
    ],
)
def test_problems_have_one_word(error, status):
    """Whatever a framework raises is wrong, timeout, memory or error."""
    assert status_of(error) == status


@pytest.mark.parametrize("returncode, status, word", [(-9, "memory", "SIGKILL"), (-8, "error", "SIGFPE"), (3, "error", "status 3")])
def test_deaths_have_one_word(returncode, status, word):
    """A process that dies says by which signal, and SIGKILL is what want of memory looks like."""
    found, message = status_of_death(returncode)
    assert found == status
    assert word in message


@pytest.mark.parametrize("level", ["quick", "standard", "full"])
def test_levels(level):
    """A higher level has every cell of a lower one; quick asks ten workloads, forward, in each layout."""
    keys = {one: {cell.key("any") for cell in cells(one)} for one in ("quick", "standard", "full")}
    assert len(keys["quick"]) == 20
    assert keys["quick"] <= keys["standard"] <= keys["full"]
    assert len(keys[level]) == len(cells(level))


def test_cells_are_chosen():
    """A layout and an output choose; an output that a level does not usually ask is asked of each workload that has it."""
    chosen = cells("quick", ["channels_last"], ["gradient"])
    assert {(cell.layout, cell.output) for cell in chosen} == {("channels_last", "gradient")}
    assert len(chosen) == 10
    assert len(cells("quick", [], ["indices"])) == 2 * sum(isinstance(cell.workload.spec.reduction, Max) for cell in chosen)


@pytest.mark.parametrize(
    "level, layouts, outputs, word", [("fast", (), (), "fast"), ("quick", ("nchw",), (), "nchw"), ("quick", (), ("y",), "y")]
)
def test_unknown_choices_are_refused(level, layouts, outputs, word):
    """A word that names no level, layout or output is refused with those that do."""
    with pytest.raises(ValueError, match=f"'{word}': expected one of"):
        cells(level, layouts, outputs)


def test_keys_tell_cells_apart():
    """A key has the backend, the workload, the layout and the output."""
    cell = Cell(workload=WORKLOADS["m5-pool1"], layout="channels_last", output="indices")
    assert cell.key("torch:compile") == "torch:compile m5-pool1 channels_last indices"
