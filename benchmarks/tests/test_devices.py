"""Devices are imaginary here: what is tested is what is launched, waited for, and made of what a device says."""

import io
import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backends.interface import Case
from backends.spec import Max, PoolSpec, Sliding
from benchmarks import devices, results
from benchmarks.cells import Effort
from benchmarks.devices import MOST, DeviceClock, Launches, Rotation, buffers, copy_bandwidth, transfers
from benchmarks.machine import Refused
from benchmarks.run import Options, run

STRANGER = f"{Path(__file__).with_name('strangers.py')}:Device"
EFFORT = Effort(seconds=0.001, placements=2)


class Queue:
    """A device that takes launches in turn; what waits for one placement leaves what was launched after it."""

    def __init__(self, cache=4096):
        self.bound, self.queued, self.launched, self.cache = [], [], [], cache

    def enqueue(self, case):
        self.bound.append(case)

        def launch():
            self.queued.append(case)
            self.launched.append(case)

        def wait():
            while any(one is case for one in self.queued):
                self.queued.pop(0)

        return launch, wait


def a_case(output="values", side=8):
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2)))
    x = np.arange(2 * 3 * side * 6, dtype=np.float32).reshape(2, 3, side, 6)
    case = Case(spec, x)
    return case.replace(output=output, cotangent=np.ones(case.pooled_shape, np.float32)) if output == "gradient" else case


def test_a_clock_of_events_adds_up_what_they_say():
    """What passed between events is added up; where nothing is said, the wall clock is read; which of them, it says."""
    events = iter([0.0, 0.5, 0.25])
    clock = DeviceClock(lambda: next(events))
    assert (clock(), clock(), clock()) == (0.0, 0.5, 0.75)
    assert str(clock) == "device events"
    before = time.perf_counter()
    clock = DeviceClock(lambda: None)
    assert before <= clock() <= time.perf_counter()
    assert str(clock) == "wall clock, device finished"


@pytest.mark.parametrize("passed", [float("nan"), float("inf"), -1e-3])
def test_a_clock_of_events_that_cannot_be_is_refused(passed):
    """Events that are no finite time apart, or in the wrong order, are refused with what they said."""
    with pytest.raises(Refused, match="a time is finite, and not negative"):
        DeviceClock(lambda: passed)()


@pytest.mark.parametrize("count", [1, 2, 3, 70])
def test_a_device_clock_waits_for_the_last_launch(count):
    """However many launches of whichever placements there were: none is left when the clock has been read."""
    backend = Queue()
    launches = Launches(backend, a_case(), EFFORT)
    for _ in range(count):
        launches()
    assert backend.queued
    launches.clock()
    assert not backend.queued


def test_every_launch_has_other_inputs():
    """Launches take the placements in turn, each of them warm before the first round."""
    backend = Queue()
    launches = Launches(backend, a_case("gradient"), EFFORT)
    assert launches.placements == len(backend.bound)
    assert {id(case) for case in backend.launched} == {id(case) for case in backend.bound}
    assert len({case.x.__array_interface__["data"][0] for case in backend.bound}) == launches.placements
    del backend.launched[:]
    for _ in range(2 * launches.placements):
        launches()
    order = [id(case) for case in backend.launched]
    assert order[: launches.placements] == order[launches.placements :]
    assert len(set(order)) == launches.placements


@pytest.mark.parametrize("output", ["values", "gradient"])
def test_inputs_are_rotated_beyond_the_cache(output):
    """Twice what the cache holds is rotated, of x and cotangent alone: outputs are freed at each launch."""
    case = a_case(output)
    inputs = case.x.nbytes + (case.cotangent.nbytes if output == "gradient" else 0)
    launches = Launches(Queue(cache=10 * inputs), case, EFFORT)
    assert launches.placements == 20
    assert (launches.bytes_rotated, launches.mode) == (20 * inputs, "cold")


def test_inputs_that_stay_in_the_cache_are_not_called_cold():
    """Where even so many buffers as are rotated at most fit into the cache, the mode is warm."""
    case = a_case()
    launches = Launches(Queue(cache=MOST * case.x.nbytes), case, EFFORT)
    assert (launches.placements, launches.mode) == (MOST, "warm")


@pytest.mark.parametrize("nbytes, cache, count", [(1 << 30, 1 << 20, 3), (1 << 20, 50 << 20, 100), (1000, 50 << 20, MOST), (0, 1, 3)])
def test_how_many_buffers(nbytes, cache, count):
    """Twice the cache, and never fewer than three or more than a device is asked to hold."""
    assert buffers(nbytes, Queue(cache)) == count


def test_a_device_that_says_no_cache_has_the_largest():
    """Without a word from the adapter, the largest cache of a GPU is assumed."""
    assert buffers(1 << 20, object()) == 2 * devices.CACHE >> 20


def test_rounds_are_long_enough_by_the_clock_of_the_device():
    """How many launches fill a round follows from the device's own seconds."""
    queued = []

    def wait():
        passed = 1e-4 * len(queued)
        queued.clear()
        return passed

    rotation = Rotation([(lambda: queued.append(1), wait)] * 4)
    # The clock adds up seconds: their last bits are rounded.
    assert rotation.calling == pytest.approx(1e-4)
    assert rotation.each == 100


def test_what_the_host_takes_to_launch(monkeypatch):
    """The host's time for a launch is that of few launches on an idle device, and neither its waiting nor the device's time counts."""
    now, under_way = [0.0], [0]
    monkeypatch.setattr(devices, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(Queue):
        def enqueue(self, case):
            def launch():
                # Like a device that takes so many launches at once, and makes the host wait for each of the others.
                now[0] += 2.0**-18 if under_way[0] < devices.FEW else 1.0
                under_way[0] += 1

            def wait():
                now[0] += 1.0
                passed, under_way[0] = 2.0**-20 * under_way[0], 0
                return passed

            return launch, wait

    assert Launches(Slow(), a_case(), EFFORT).launching == 2.0**-18


class Copying(Queue):
    """Copies 2 GB a second; `sources` are the bytes of what is rotated."""

    def __init__(self):
        super().__init__(cache=1 << 20)
        self.sources, self.seconds = [], 0.0

    def copying(self, nbytes):
        self.sources.append(nbytes)

        def launch():
            self.seconds += 2 * nbytes / 2e9

        def wait():
            passed, self.seconds = self.seconds, 0.0
            return passed

        return launch, wait


def test_what_a_copy_on_the_device_reaches():
    """Half of the bytes are read and half written, from buffers beyond the cache; the rate counts both."""
    backend = Copying()
    # Bytes over seconds that a clock has added up: the last bits are rounded, here and below.
    assert copy_bandwidth(backend, 400_000) == pytest.approx(2e9)
    assert backend.sources == [200_000] * 11


def test_no_limit_without_a_copy():
    """A device whose adapter offers no copy has no limit beside its times."""
    assert copy_bandwidth(Queue(), 400_000) == 0.0


def test_transfers_are_timed_apart(monkeypatch):
    """What sends and what takes are timed, each answer taken once; an adapter that offers neither says nothing."""
    taken, now = [], [0.0]
    monkeypatch.setattr(devices, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Moving(Queue):
        def bind(self, case):
            answers = itertools.count()
            return lambda: next(answers)

        def transfers(self, case):
            def take(answer):
                taken.append(answer)
                now[0] += 0.25

            def send():
                now[0] += 0.5

            return send, take

    assert transfers(Moving(), a_case()) == {"seconds_to_device": 0.5, "seconds_from_device": 0.25}
    assert taken == list(range(devices.REPEATS + 1))
    assert transfers(Queue(), a_case()) == {}


def test_a_run_on_a_device(tmp_path):
    """A cell is timed by the device's clock, beside the device's limit, with its mode; it is not timed again on resuming."""
    options = {"select": "m5-wide-pool1", "layouts": ("channels_first",), "records": tmp_path}
    assert run(Options(backends=(STRANGER,), **options), io.StringIO()) == 0
    (one,) = results.read(tmp_path.glob("bench-*.json"))
    inputs = 4 * 128 * 1981
    expected = {
        "device": "imaginary:0", "clock": "device events", "mode": "cold", "mode_asked": "warm", "placements": 3,
        "bytes_rotated": 3 * inputs, "limited_by": "copying",
    }  # fmt: skip
    assert {name: one.facts[name] for name in expected} == expected
    assert one.seconds == pytest.approx([1e-3] * len(one.seconds))
    assert one.facts["copy_bandwidth"] == pytest.approx(1e10)
    assert one.facts["limit"] == pytest.approx(one.facts["bytes"] / 1e10)
    assert {"seconds_to_device", "seconds_from_device", "launch_seconds"} <= set(one.facts)
    again = io.StringIO()
    run(Options(backends=(STRANGER,), resume=True, **options), again)
    assert "1 cells are timed already" in again.getvalue()
    assert len(results.read(tmp_path.glob("bench-*.json"))) == 1
