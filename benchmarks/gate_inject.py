"""A backend that is slower by a known share, so that a gate can show what it finds: `gate_inject.py:Slowed`.

The extra time is real work in the worker's process, turns of a loop that take that share of the call's own time
there, so whatever slows the call slows it too. Numbers are never edited. It runs beside the adapters
of any revision, and imports nothing of the gate.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import backends

BACKEND, SHARE = "POOLPROOF_GATE_BACKEND", "POOLPROOF_GATE_SLOWER"
"""Variables of the worker: which backend is slowed, and by which share of a call's time."""
BLOCK, ROUNDS = 0.0025, 9
"""Seconds of a block of calls, and how many say what a call takes."""


class Slowed:
    """The backend that POOLPROOF_GATE_BACKEND names, in all but its speed."""

    def __init__(self) -> None:
        self._inner: Any = backends.load(os.environ[BACKEND])
        self._share = float(os.environ[SHARE])
        self.name: str = self._inner.name
        self.version: str = self._inner.version
        self.capabilities: Mapping[str, Any] = self._inner.capabilities

    def gap(self, case: Any) -> str | None:
        return self._inner.gap(case)

    def bind(self, case: Any) -> Callable[[], Any]:
        call = self._inner.bind(case)
        turns = round(self._share * seconds_of(call) / seconds_of_turn())

        def slow() -> Any:
            for _ in itertools.repeat(None, turns):
                pass
            return call()

        return slow

    def fetch(self, native: Any) -> Any:
        return self._inner.fetch(native)


def seconds_of(call: Callable[[], Any]) -> float:
    """CPU seconds of one call, in blocks as the gate times them."""
    call()
    start = time.process_time()
    call()
    calls = max(1, round(BLOCK / max(time.process_time() - start, 1e-7)))
    return statistics.median(_block(call, calls) for _ in range(ROUNDS))


def seconds_of_turn() -> float:
    """CPU seconds of one turn of an empty loop."""
    turns = 20_000

    def loop() -> None:
        for _ in itertools.repeat(None, turns):
            pass

    return statistics.median(_block(loop, 4) for _ in range(ROUNDS)) / turns


def _block(call: Callable[[], Any], calls: int) -> float:
    call()
    start = time.process_time()
    for _ in itertools.repeat(None, calls):
        call()
    return (time.process_time() - start) / calls
