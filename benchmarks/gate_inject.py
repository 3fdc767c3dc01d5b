"""A backend that is slower by a known share, so that a gate can show what it finds: `gate_inject.py:Slowed`.

The extra time is real work in the worker's process that takes that share of the call's own time there, so whatever
slows the call slows it too. Numbers are never edited. Of a call that waits for memory it is copying: turns of a loop
before it cost such a call nothing, since what the last one wrote is still on its way meanwhile. It runs beside the
adapters of any revision, and imports nothing of the gate.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import backends

BACKEND, SHARE = "POOLPROOF_GATE_BACKEND", "POOLPROOF_GATE_SLOWER"
"""Variables of the worker: which backend is slowed, and by which share of a call's time."""
BLOCK, ROUNDS, CORRECTIONS = 0.0025, 12, 2
"""Seconds of a block of calls, how many of them are timed, and how often the number of turns is corrected."""
BESIDE, BOUNDS = 30, (0.6, 1.2)
"""Blocks with and without the loop that correct it once more, and by how much they may."""
LARGE = 4 << 20
"""Bytes of input from which a call waits for memory."""
COPIED, CHUNK = 32 << 20, 8 << 10
"""Bytes that copying goes through before it begins again, more than caches hold, and of one turn."""


class Slowed:
    """The backend that POOLPROOF_GATE_BACKEND names, in all but its speed."""

    def __init__(self) -> None:
        self._inner: Any = backends.load(os.environ[BACKEND])
        self._share = float(os.environ[SHARE])
        self._turns: dict[Any, int] = {}
        self._copies = Copies()
        self.name: str = self._inner.name
        self.version: str = self._inner.version
        self.capabilities: Mapping[str, Any] = self._inner.capabilities

    def gap(self, case: Any) -> str | None:
        return self._inner.gap(case)

    def bind(self, case: Any) -> Callable[[], Any]:
        # Wherever its arrays lie a question is slowed by the same work, as a slower kernel would be.
        asked = (case.spec, case.x.shape, case.x.dtype.str, case.layout, case.output)
        call = self._inner.bind(case)
        if asked not in self._turns:
            self._turns[asked] = turns_of(call, self._work(case), self._share)
        return Slow(call, self._work(case), self._turns[asked])

    def _work(self, case: Any) -> "Work":
        return self._copies if case.x.nbytes >= LARGE else looped

    def fetch(self, native: Any) -> Any:
        return self._inner.fetch(native)


Work = Callable[[int], None]
"""Something that is done so many times over."""


def looped(turns: int) -> None:
    """Turns of an empty loop."""
    for _ in itertools.repeat(None, turns):
        pass


class Copies:
    """Copies from one array to another, of parts that no cache holds when they are met again."""

    def __init__(self) -> None:
        self.source: Any = None
        self.target: Any = None
        self._places = itertools.cycle(range(COPIED // CHUNK))

    def __call__(self, turns: int) -> None:
        if self.source is None:
            self.source, self.target = np.ones((COPIED // CHUNK, CHUNK), np.uint8), np.zeros((COPIED // CHUNK, CHUNK), np.uint8)
        for place in itertools.islice(self._places, turns):
            np.copyto(self.target[place], self.source[place])


class Slow:
    """A call that first does some work so many times over."""

    def __init__(self, call: Callable[[], Any], work: Work, turns: int) -> None:
        self.call, self.work, self.turns = call, work, turns

    def __call__(self) -> Any:
        self.work(self.turns)
        return self.call()


def turns_of(call: Callable[[], Any], work: Work, share: float) -> int:
    """How often `work` is done over so that it takes a share of the call's own time.

    What a turn takes depends on where its code happens to lie, so this very work is timed, with nothing after it. Beside the
    call it takes longer, by a tenth or two: that is corrected by many blocks with and without it, within bounds, since
    the difference between two long times has much noise.
    """
    seconds_of(call)  # the first calls meet memory that nobody has touched
    wanted = share * seconds_of(call)
    alone = Slow(nothing, work, 100)
    alone.turns = max(1, round(100 * wanted / seconds_of(alone)))
    for _ in range(CORRECTIONS):
        alone.turns = max(1, round(alone.turns * wanted / seconds_of(alone)))
    beside = Slow(call, work, alone.turns)
    calls = max(1, round(BLOCK * share / wanted))
    extra = statistics.median(_block(beside, calls) / _block(call, calls) for _ in range(BESIDE)) - 1
    return max(1, round(beside.turns * min(BOUNDS[1], max(BOUNDS[0], share / max(extra, share / 10)))))


def nothing() -> None:
    """What stands in for the call while the loop alone is timed."""


def seconds_of(call: Callable[[], Any]) -> float:
    """CPU seconds of one call: the median of some blocks, as the gate times them."""
    call()
    start = time.process_time()
    call()
    calls = max(1, round(BLOCK / max(time.process_time() - start, 1e-7)))
    return statistics.median(_block(call, calls) for _ in range(ROUNDS))


def _block(call: Callable[[], Any], calls: int) -> float:
    call()
    start = time.process_time()
    for _ in itertools.repeat(None, calls):
        call()
    return (time.process_time() - start) / calls
