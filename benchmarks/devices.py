"""How a cell is timed on a device: many launches between two readings of its clock, over buffers that its cache does not hold.

An adapter of a device offers `enqueue(case)`: what launches a call, and what waits for the device. It may offer
`copying(nbytes)`, the same two for a copy of so many bytes there; `transfers(case)`, what sends the case's arrays and what
takes an answer back, each finished when it returns; and `cache`, the bytes of the device's largest cache.
"""

import functools
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from backends.interface import Case
from backends.timing import elsewhere
from benchmarks import machine
from benchmarks.cells import Effort

CACHE = 256 << 20
"""Bytes of the largest cache of a GPU today, for a device whose adapter does not say."""
LEAST, MOST = 3, 8192
"""At least and at most so many buffers are rotated."""
ROUND = 0.01
"""Seconds of a round at least: that hides what reading the clock costs."""
WARM_ROUNDS = 2
"""Rounds that are not counted: an idle device has lowered its clock frequency."""
FEW = 16
"""Launches by which the host's own time for one is measured: XLA, which lets 32 be under way, does not make it wait for so few."""
REPEATS = 5
"""Copies and transfers are timed so often, and their median counts."""

Bound = tuple[Callable[[], Any], Callable[[], float | None]]
"""(launch, wait), as `enqueue` returns them."""


class DeviceClock:
    """Seconds of a device: a reading waits for all that was launched.

    Where `wait` returns what passed between device events since it was last called, that is what
    counts; where it returns nothing, the wall clock is read once the device has finished.
    """

    def __init__(self, wait: Callable[[], float | None]) -> None:
        self._wait = wait
        self._now = 0.0
        self._events = False

    def __call__(self) -> float:
        passed = self._wait()
        self._events = passed is not None
        if passed is None:
            return time.perf_counter()
        if not 0 <= passed < math.inf:
            raise machine.Refused(f"device events are {passed!r} seconds apart: a time is finite, and not negative")
        self._now += passed
        return self._now

    def __str__(self) -> str:
        return "device events" if self._events else "wall clock, device finished"


class Rotation:
    """Launches over several buffers in turn, every buffer warm, and the clock of their device.

    `calling` is about how many seconds a launch takes, `each` how many of them fill a round.
    """

    def __init__(self, bound: Sequence[Bound]) -> None:
        self._bound = bound
        self._turn = 0
        self.placements = len(bound)
        self.clock = DeviceClock(self._wait)
        self._all()
        start = self.clock()
        self._all()
        self.calling = max((self.clock() - start) / self.placements, 1e-9)
        self.each = max(10, math.ceil(ROUND / self.calling))

    def __call__(self) -> Any:
        self._turn = (self._turn + 1) % self.placements
        return self._bound[self._turn][0]()

    def moved(self) -> float:
        """A reading of the clock, after one more launch: a clock of events may stand still without."""
        self()
        return self.clock()

    def _all(self) -> None:
        for _ in range(self.placements):
            self()

    def _wait(self) -> float | None:
        # A device takes launches in turn, and a wait may know those of its own placement alone: that of the last one counts.
        return self._bound[self._turn][1]()


class Launches(Rotation):
    """A case's launches, each from other inputs than the one before it; its outputs are freed at once, and not rotated.

    `mode` is "cold" where the inputs are more than the device's cache holds, so that each launch finds
    its own gone from it, and "warm" where even `MOST` of them are not. `launching` are the seconds that the host takes for a
    launch while the device has nothing else to do: where the device takes no longer, a timing is of the host.
    """

    def __init__(self, backend: Any, case: Case, effort: Effort, seed: int = 0) -> None:
        chance = random.Random(seed)
        inputs = case.x.nbytes + (0 if case.cotangent is None else case.cotangent.nbytes)
        super().__init__([backend.enqueue(elsewhere(case, chance)) for _ in range(buffers(inputs, backend))])
        self.bytes_rotated = self.placements * inputs
        self.mode = "cold" if self.bytes_rotated > _cache(backend) else "warm"
        self.launching = self._launching()
        self.cores_used, self.processor, self.bare = 0.0, 0.0, None
        self.rounds = int(max(effort.least, min(effort.most, effort.seconds / (self.each * self.calling))))

    def run(self, benchmark: Any) -> Any:
        """Time all rounds with pytest-benchmark, after warm ones; return the last answer."""
        return benchmark.pedantic(self, rounds=self.rounds, iterations=self.each, warmup_rounds=WARM_ROUNDS)

    def _launching(self) -> float:
        times = []
        for _ in range(REPEATS):
            self.clock()
            start = time.perf_counter()
            for _ in range(FEW):
                self()
            times.append((time.perf_counter() - start) / FEW)
        self.clock()
        return statistics.median(times)


def buffers(nbytes: int, backend: Any) -> int:
    """How many buffers of so many bytes are twice what the device's cache holds, between `LEAST` and `MOST`."""
    return min(MOST, max(LEAST, math.ceil(2 * _cache(backend) / max(nbytes, 1))))


def copy_bandwidth(backend: Any, nbytes: int) -> float:
    """Bytes a second of copies on the device that move `nbytes`, half of them read and half written; 0 where its adapter offers none.

    They are launched and timed as poolings are: from other buffers in turn, by the device's clock.
    """
    if not hasattr(backend, "copying"):
        return 0.0
    half = max(nbytes // 2, 64)
    copies = Rotation([backend.copying(half) for _ in range(buffers(half, backend))])
    times = []
    for _ in range(REPEATS):
        start = copies.clock()
        for _ in range(copies.each):
            copies()
        times.append((copies.clock() - start) / copies.each)
    return 2 * half / statistics.median(machine.require_believable(times, str(copies.clock)))


def transfers(backend: Any, case: Case) -> dict[str, float]:
    """Seconds in which the case's inputs get to the device, and its answer back, each after an untimed one; {} where nobody says."""
    if not hasattr(backend, "transfers"):
        return {}
    send, take = backend.transfers(case)
    call = backend.bind(case)
    there, back = [], []
    for _ in range(1 + REPEATS):
        there.append(_timed(send))
        # An answer of its own for each: a framework may keep what it has brought back once.
        back.append(_timed(functools.partial(take, call())))
    return {"seconds_to_device": statistics.median(there[1:]), "seconds_from_device": statistics.median(back[1:])}


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _cache(backend: Any) -> int:
    return int(getattr(backend, "cache", CACHE))
