"""What the gate shows while it measures: a line for each workload, how far it is, and the time that is left.

On a terminal one table that changes in place; elsewhere a line whenever a worker pair is done.
"""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live as Redrawn
from rich.table import Table

from benchmarks.gate_data import Pair
from benchmarks.gate_statistics import interval, sample
from benchmarks.gate_verdict import percent
from benchmarks.table import duration

AGAIN = 0.25
"""Seconds between two drawings, at least."""
STAGES = ("screening", "confirming", "once more")


class Live:
    """A `Progress` that people read; a context manager, so that the terminal is itself again whatever happens."""

    def __init__(self, out: Any = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = Console(file=out, stderr=out is None, highlight=False, soft_wrap=True)
        self.clock = clock
        self.pairs: dict[str, list[Pair]] = {}
        self.started: dict[int, float] = {}
        self.number = self.total = self.stage = 0
        self._ended, self._drawn = -1, -math.inf
        # Redrawn when something happens only: a thread that draws would take time from what is measured.
        self._live = Redrawn(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None

    def __enter__(self) -> "Live":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def began(self, workload: str, pair: int, total: int) -> None:
        """Pair number `pair` of `total` is about to be measured."""
        if pair == 0 and (self.number or self._ended >= 0):
            self.stage, self.number, self._ended = self.stage + (self._ended >= 0), 0, -1
        self.pairs.setdefault(workload, [])
        self.started.setdefault(self.stage, self.clock())
        self.number, self.total = pair, total
        self._draw()

    def ended(self, pair: Pair) -> None:
        """A pair was measured."""
        if not pair.null:
            self.pairs.setdefault(pair.workload, []).append(pair)
        if pair.number > self._ended:
            self._ended = pair.number
            if not self._live:
                self.console.print(self.line(), markup=False)
        self._draw()

    def note(self, text: str) -> None:
        """Something worth a line happened."""
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        self.console.print(printable, markup=False)

    def line(self) -> str:
        """How far the stage is, in one line."""
        done = self._ended + 1
        return (
            f"{STAGES[min(self.stage, 2)]}: {done} of {self.total} worker pairs, {len(self.pairs)} workloads, {duration(self.left())} left"
        )

    def left(self) -> float:
        """Seconds that the pairs which this stage still needs will take, by those that it had."""
        done = self._ended + 1
        if done < 1 or self.stage not in self.started:
            return 0.0
        return max(0.0, (self.clock() - self.started[self.stage]) / done * (self.total - done))

    def table(self) -> Table:
        """Every workload with its pairs and how it looks so far."""
        table = Table(title=self.line(), title_justify="left", box=None, pad_edge=False)
        for name, justify in (("workload", "left"), ("pairs", "right"), ("so far", "right"), ("±", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]  # its type is a set of words
        for workload, pairs in self.pairs.items():
            told = ["", ""]
            if pairs:
                given = sample([pair.log_ratio for pair in pairs])
                low, high = interval(given, 1, 0.95)
                told = [percent(math.expm1(given.mean)), f"{50 * (high - low):.1f} %" if math.isfinite(high) else ""]
            table.add_row(workload, str(len(pairs)), *told)
        return table

    def _draw(self) -> None:
        if self._live and (now := self.clock()) - self._drawn >= AGAIN:
            self._drawn = now
            self._live.update(self.table(), refresh=True)
