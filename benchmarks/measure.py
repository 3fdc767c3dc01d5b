"""How a cell is timed: set-up outside the clock, rounds in freshly placed memory, the machine watched.

pytest-benchmark holds the clock and the rounds; what is here feeds it. A round is one call of what
`bind` returned, so a first call, a compilation or a conversion is never in it. Where arrays happen
to lie moves a timing by 4 to 5 %, more than most regressions: the rounds are spread over several
placements, each bound and warmed anew, and what a call gives back stays with the process
(`machine.HELD`), or some processes would fault pages in anew and others not. In cold mode every
round meets another buffer, and so many of them that the last-level cache holds none.
"""

import contextlib
import gc
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from backends.interface import Backend, Case
from backends.spec import Lp, Max
from backends.timing import WARM_CALLS, elsewhere
from benchmarks import devices, machine
from benchmarks.cells import Cell, Effort
from benchmarks.check import Wrong, check, checksum
from benchmarks.devices import Launches
from benchmarks.workloads import bytes_moved, taps
from reports.spread import ENOUGH_PROCESSOR

RING = 64
"""At most how many buffers a cold run rotates; a small workload's are pushed out of the cache between rounds as well."""

Call = Callable[[], Any]


class TimedOut(Exception):
    """A cell took longer than it may."""


# --- rounds ---------------------------------------------------------------------------------------


class Rounds:
    """Rounds of one call each, for pytest-benchmark's pedantic mode, whose `setup` says which.

    With `bare`, every round has a partner that a plain loop times, before it or after it by chance and equally often: what the
    harness adds shows in their ratio. `bare` has their seconds, in the order of the rounds.
    """

    def __init__(
        self, backend: Backend, case: Case, effort: Effort, *, cold: bool = False, bare: bool = False, threads: int = 1, seed: int = 0
    ) -> None:
        self.backend, self.case, self.cold = backend, case, cold
        self.chance = random.Random(seed)
        self.bare: list[float] | None = [] if bare else None
        self._afterwards: Call | None = None
        self._orders: list[bool] = []
        self._ring: list[Call] = []
        self._count = self.bytes_rotated = 0
        start = time.perf_counter()
        self._call = self._last = self._place()
        self.placing = time.perf_counter() - start
        self.calling, self.cores_used, self.processor = _calibrate(self._call)
        self._fresh = True
        if cold:
            held = machine.last_level_cache(threads)
            # Outputs are given back after each call, and their memory is met again: inputs alone push each other out.
            inputs = case.x.nbytes + (0 if case.cotangent is None else case.cotangent.nbytes)
            self.placements = min(RING, max(2, math.ceil(2 * held / max(inputs, 1))))
            self.bytes_rotated = self.placements * inputs
            self.each = 1
            self.rounds = max(effort.least, min(effort.most, int(effort.seconds / self.calling)))
            self._evict = np.ones(2 * held // 8 if self.bytes_rotated < 2 * held else 0, np.int64)
        else:
            # Placing may take at most twice as long as timing does: a variant that compiles at each bind gets fewer.
            self.placements = max(1, min(effort.placements, int(2 * effort.seconds / max(self.placing, 1e-9))))
            wanted = effort.seconds / self.placements / self.calling
            self.each = max(math.ceil(effort.least / self.placements), min(effort.most // self.placements, math.ceil(wanted)))
            self.rounds = self.placements * self.each

    def run(self, benchmark: Any) -> Any:
        """Time all rounds with pytest-benchmark; return one more answer of the last call."""
        benchmark.pedantic(invoke, setup=self.setup, rounds=self.rounds)
        self._partner()
        return self._last()

    def setup(self) -> tuple[tuple[Call], dict[str, Any]]:
        """The next round's call, as arguments of `invoke`."""
        self._partner()
        call = self._next_cold() if self.cold else self._next_warm()
        self._count += 1
        if self.bare is not None:
            other = call
            if self.cold:
                call = self._next_cold()
                self._count += 1
            else:
                call()  # so that both of the timed calls follow another
            self._afterwards = other
            if not self._orders:
                self._orders = self.chance.sample([False, True], 2)
            if self._orders.pop():
                self._partner()
        self._last = call
        return (call,), {}

    def _partner(self) -> None:
        """Time the bare partner of a round, unless it was timed before the round or there is none."""
        if self._afterwards is not None and self.bare is not None:
            gc.disable()  # as pytest-benchmark does
            self.bare.append(_timed(self._afterwards))
            gc.enable()
        self._afterwards = None

    def _next_warm(self) -> Call:
        if self._count % self.each == 0 and not self._fresh:
            self._call = self._place()
        self._fresh = False
        return self._call

    def _next_cold(self) -> Call:
        while len(self._ring) < self.placements:
            self._ring.append(self._place())
        self._evict += 1
        return self._ring[self._count % self.placements]

    def _place(self) -> Call:
        call = self.backend.bind(elsewhere(self.case, self.chance))
        for _ in range(WARM_CALLS):
            call()
        return call


def invoke(call: Call) -> None:
    """What pytest-benchmark times: a call, and giving back what it returned, as in any loop that goes on."""
    call()


def _timed(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


STILL = 1000
"""Calls that take some time together, by any clock that moves."""


def _calibrate(call: Call, seconds: float = ENOUGH_PROCESSOR) -> tuple[float, float, float]:
    """(seconds of one call, cores that it computes on, processor time that says so), from three calls or more; no time that is reported."""
    calls, past, wall, cpu = 0, 0.0, time.perf_counter(), time.process_time()
    while calls < 3 or (past := time.perf_counter() - wall) < seconds:
        call()
        calls += 1
        if calls == STILL and past <= 0:
            raise machine.Refused(f"the clock stands still: {calls} calls took no time by time.perf_counter")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return max(wall / calls, 1e-9), cpu / max(wall, 1e-9), cpu


# --- a time limit -------------------------------------------------------------------------------


@contextlib.contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise `TimedOut` in a block that takes longer, as soon as it is back in Python; nothing happens off the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimedOut(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- one cell -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How cells are timed: how hard, on how many threads, by which clock, and how long one may take (seconds).

    `notes` go into the record of each as they are.
    """

    effort: Effort
    threads: int
    clock: Callable[[], float] = time.perf_counter
    cold: bool = False
    bare: bool = False
    longest: float = 120.0
    notes: Mapping[str, Any] = field(default_factory=dict)


class Timing:
    """One cell on one backend: its answer is found right when this is made, and timed by `run`.

    Raises:
        Wrong: the answer does not conform; it is not timed.
        TimedOut: that took longer than it may.
    """

    def __init__(self, cell: Cell, backend: Backend, manner: Manner) -> None:
        self.cell, self.backend, self.manner = cell, backend, manner
        self.case = cell.case()
        self.device = str(getattr(backend, "device", "cpu"))
        self.launches: Launches | None = None
        # What offers the values beside the indices has no call that returns indices alone.
        self.beside = self.case.output == "indices" and hasattr(backend, "with_indices")
        self.moved = bytes_moved(self.case, beside=self.beside)
        with limit(manner.longest):
            answer = backend.fetch(backend.bind(elsewhere(self.case, random.Random(0)))())
            self.checked = check(self.case, answer)
            if self.device != "cpu" and hasattr(backend, "enqueue"):
                self.launches = Launches(backend, self.case, manner.effort)

    def run(self, benchmark: Any) -> None:
        """Time it with pytest-benchmark's fixture, and leave what a reader must know in `extra_info`.

        A timing that cannot be believed, or was cut short, is taken back.

        Raises:
            Refused: the clock stands still, or a time is not positive.
            Wrong: a later call's answer does not conform.
            TimedOut: it took longer than it may.
        """
        try:
            with limit(self.manner.longest):
                self._run(benchmark)
        except BaseException:
            benchmark.has_error = True
            if benchmark.stats is not None:
                benchmark.stats.stats.data.clear()
            raise

    def _run(self, benchmark: Any) -> None:
        if benchmark.disabled:
            benchmark.pedantic(invoke, setup=lambda: ((self.backend.bind(elsewhere(self.case, random.Random(0))),), {}))
            return
        manner, moved = self.manner, self.moved
        clock = self.launches.clock if self.launches else manner.clock
        if self.launches:
            machine.require_moving(self.launches.moved, readings=1000)
        else:
            machine.require_moving(clock)
        machine.settle()
        moving = devices.transfers(self.backend, elsewhere(self.case, random.Random(0))) if self.launches else {}
        plan = self.launches or Rounds(self.backend, self.case, manner.effort, cold=manner.cold, bare=manner.bare, threads=manner.threads)
        bandwidth, rate = self._reachable(moved)
        least, limited_by = machine.limit(moved, self.case.x.nbytes, bandwidth, rate)
        with machine.Watch() as watch:
            result = plan.run(benchmark)
        machine.require_believable(benchmark.stats.stats.data, str(clock))
        varies = self._varies(self.backend.fetch(result))
        benchmark.extra_info.update(self.facts(), varies=varies)
        benchmark.extra_info.update(
            copy_bandwidth=bandwidth, limit=least, limited_by=limited_by,
            load_before=watch.load_before, load_after=watch.load_after, cores_used=round(plan.cores_used, 2),
            processor_seconds=plan.processor, placements=plan.placements, rounds_each=plan.each,
        )  # fmt: skip
        if plan.bytes_rotated:
            benchmark.extra_info["bytes_rotated"] = plan.bytes_rotated
        if self.launches is not None:
            benchmark.extra_info.update(clock=str(clock), launch_seconds=self.launches.launching, **moving)
        if watch.elsewhere is not None:
            benchmark.extra_info["cores_busy_elsewhere"] = round(watch.elsewhere, 2)
        if plan.bare is not None:
            benchmark.extra_info["bare"] = list(machine.require_believable(plan.bare, "time.perf_counter, around the bare call"))

    def _varies(self, later: np.ndarray) -> bool:
        """Whether a later answer has other bits than the first and conforms all the same, as sums in no fixed order do.

        Raises:
            Wrong: it does not conform, or what is taken from the input, and not computed, is another number.
        """
        if (again := checksum(later)) == self.checked.checksum:
            return False
        if isinstance(self.case.spec.reduction, Max) and self.case.output != "gradient":
            raise Wrong(
                f"answered {again} at the last round and {self.checked.checksum} at the first call (checksums of the same question)"
            )
        check(self.case, later, seed=1)
        return True

    def _reachable(self, moved: int) -> tuple[float, float]:
        """(bytes a second of a copy, comparisons a second) where it computes; 0 for what is not known there."""
        if self.launches is not None:
            # Of what a device compares nothing is known here but that copying takes longer.
            return devices.copy_bandwidth(self.backend, moved), 0.0
        manner = self.manner
        nbytes = max(moved, 4 * machine.last_level_cache(manner.threads)) if manner.cold else moved
        # A norm takes powers and roots: comparing as many elements would be a limit that no norm gets near.
        rate = 0.0 if isinstance(self.case.spec.reduction, Lp) else machine.comparison_rate(manner.threads)
        return machine.copy_bandwidth(nbytes, manner.threads), rate

    def facts(self) -> dict[str, Any]:
        """What was timed, and on what."""
        case, workload = self.case, self.cell.workload
        base, _, variant = self.backend.name.partition(":")
        asked = "cold" if self.manner.cold else "warm"
        facts = {
            **self.manner.notes, "workload": workload.name, "network": workload.network, "layer": workload.layer, "source": workload.source,
            "families": sorted(workload.families), "backend": self.backend.name, "framework": base, "variant": variant,
            "version": self.backend.version, "device": self.device, "layout": case.layout, "output": case.output,
            "reduction": case.spec.reduction.name,
            "dtype": workload.dtype, "shape": list(workload.shape), "bytes": self.moved, "taps": taps(case),
            "threads": self.manner.threads, "threads_said": getattr(self.backend, "threads", self.manner.threads),
            "mode": self.launches.mode if self.launches else asked, "mode_asked": asked, "checksum": self.checked.checksum,
            "elements_checked": self.checked.elements, "elements": self.checked.of,
        }  # fmt: skip
        if workload.position is not None:
            facts.update(family=workload.family, position=workload.position)
        if case.output == "indices":
            facts["returns"] = "values and indices" if self.beside else "indices"
        return facts
