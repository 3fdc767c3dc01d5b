"""How the gate measures: pairs of fresh worker processes, and quads of alternating blocks inside each.

A pair is two interpreters of their own, started for it and ended after it: where a process's memory happens to
lie shifts a timing by some per cent, and only other processes average over that. Inside a pair the sides
take turns, ABBA or BAAB, in blocks of a few milliseconds; the idle one waits in a read. What drifts is
common to both.
"""

import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backends import BrokenBackend, UnknownBackend
from backends.environments import Environment
from backends.interface import Unsupported
from backends.process import Died, Placed, Remote, RemoteError, RemoteFailure, TimedOut, Timing
from backends.timing import SENTINELS
from benchmarks import machine
from benchmarks.gate_data import ROLES, Invalid, Pair, Progress, Quad, Uncovered
from benchmarks.gate_judge import Judge

BLOCK = 0.0025
"""Seconds of a block: long enough for the clock, short enough that the machine is the same for four of them."""
QUADS = 16
CALIBRATION = (5, 25)
"""At least and at most so many blocks say by which clock a workload is timed."""
CLEAN = (0.9, 1.1)
"""Cores that a call computes on, by CPU time over wall time, for its CPU time to be what it takes."""
ATTEMPTS = 4
"""A block that is timed by the wall clock, and that others interrupted, is timed again, up to so often in all."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
"""Memory comes from the heap and stays: pages that are given back and faulted in anew are most of a timing's noise."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A workload as a worker is asked it: nothing of it is an array, so the parent stays small.

    With `any_layout` it is asked in the other one where the baseline cannot say this.
    """

    name: str
    spec: str
    shape: tuple[int, ...]
    dtype: str
    layout: str = "channels_first"
    output: str = "values"
    any_layout: bool = False

    def described(self, place: int) -> dict[str, Any]:
        """What `Remote.place` takes; `place` is the seed of where its arrays lie."""
        return {
            "spec": self.spec, "shape": self.shape, "dtype": self.dtype, "layout": self.layout, "output": self.output, "place": place,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One side of the comparison: a backend in an environment."""

    role: str
    backend: str
    environment: Environment
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, limit: float, start_limit: float) -> Remote:
        """A fresh worker process.

        Raises:
            Invalid: it does not start.
        """
        where = self.environment
        variables = {**machine.pinned(1), **MALLOC, "PYTHONHASHSEED": "0", **where.variables, **self.variables}
        try:
            return Remote(
                where.address(self.backend),
                where.python,
                limit,
                start="spawn",
                root=where.root,
                environment=variables,
                start_limit=start_limit,
            )
        except (BrokenBackend, UnknownBackend) as error:
            raise Invalid(f"the {self.role}, {where.label}, does not start: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"the {self.role}, {where.label}, answers garbage at its start: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How hard it measures: quads a pair, seconds that a request and a start may take, the seed of every random order."""

    quads: int = QUADS
    limit: float = 60.0
    start_limit: float = 180.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A workload ready to be measured: calls a block, the same on both sides, and the clock that counts."""

    name: str
    iterations: int
    metric: str
    question: Question | None = None

    @property
    def sentinel(self) -> bool:
        """Whether no change of a backend can touch it."""
        return self.question is None


class Fault(Exception):
    """One workload on one side went wrong; the rest can go on without it."""

    def __init__(self, event: Uncovered) -> None:
        super().__init__(event.message)
        self.event = event


class Measurement:
    """Measures workloads on two sides. `uncovered` grows by what cannot be measured, and the workload is left out from then on."""

    def __init__(self, sides: tuple[Contender, Contender], settings: Settings, progress: Progress) -> None:
        self.sides, self.settings, self.progress = sides, settings, progress
        self.chance = random.Random(settings.seed)
        self.uncovered: list[Uncovered] = []
        self.gaps: list[str] = []
        self.cells: dict[str, Cell] = {}
        self.versions: dict[str, tuple[str, str]] = {}
        self._count = 0
        self._judge = Judge()

    # --- before the first pair --------------------------------------------------------------------

    def rehearse(self, questions: Iterable[Question]) -> None:
        """Find out what both sides can be asked, hold their answers against the definition, and calibrate the blocks.

        Raises:
            Invalid: a side does not start.
        """
        left = {question.name: question for question in questions}
        while left or not set(SENTINELS) <= set(self.cells):
            try:
                with self._workers(self.sides, 0) as workers:
                    while left:
                        name, question = next(iter(left.items()))
                        self._rehearse(workers, question)
                        del left[name]
                    self._sentinels(workers)
            except Fault as fault:
                # Its processes ended with it; the rest is rehearsed in others.
                left.pop(fault.event.workload, None)
                self._drop(fault.event)

    def _rehearse(self, workers: "Workers", question: Question) -> None:
        placed = [worker.place(question, self._place()) for worker in workers]
        if question.any_layout and placed[0].gap:
            question = replace(question, layout="channels_last")
            placed = [worker.place(question, self._place()) for worker in workers]
        gaps = [each.gap for each in placed]
        if any(gaps):
            self._gap(question.name, gaps)
            return
        with tempfile.TemporaryDirectory(prefix="poolproof-") as folder:
            for worker, each in zip(workers, placed, strict=True):
                worker.judged(question, each, Path(folder), self._judge)
        self.cells[question.name] = self._calibrate(
            workers, placed, Cell(name=question.name, iterations=1, metric="cpu", question=question)
        )

    def _sentinels(self, workers: "Workers") -> None:
        for name in SENTINELS:
            placed = [worker.sentinel(name) for worker in workers]
            self.cells[name] = self._calibrate(workers, placed, Cell(name=name, iterations=1, metric="cpu"))

    def _gap(self, name: str, gaps: Sequence[str | None]) -> None:
        if all(gaps):
            self.gaps.append(f"{name}: {gaps[0]}")
            return
        side = ROLES[0] if gaps[0] else ROLES[1]
        kind = "new" if gaps[0] else "missing"
        self.uncovered.append(Uncovered(workload=name, kind=kind, side=side, message=f"cannot be asked: {gaps[0] or gaps[1]}"))

    def _calibrate(self, workers: "Workers", placed: Sequence[Placed], cell: Cell) -> Cell:
        """Calls a block by the baseline's speed; the clock by what both sides compute on."""
        baseline, calls = workers[0], 1
        while True:
            taken = baseline.block(cell.name, placed[0], calls).wall
            if taken > BLOCK / 4 or calls >= 1 << 20:
                break
            calls = max(calls + 1, min(100 * calls, math.ceil(calls * BLOCK / taken)))
        cell = replace(cell, iterations=max(1, round(calls * BLOCK / taken)))
        metrics = {worker.metric(cell, each) for worker, each in zip(workers, placed, strict=True)}
        return replace(cell, metric=metrics.pop() if len(metrics) == 1 else "wall")

    # --- pairs --------------------------------------------------------------------------------------

    def pairs(self, names: Sequence[str], count: int, stage: int, nulls: int = 1) -> Iterator[Pair]:
        """What `count` fresh pairs measure of some workloads, and of the sentinels; `nulls` more are baseline against baseline.

        Raises:
            Invalid: a side does not start any more.
        """
        kinds = [False] * count + [True] * nulls
        self.chance.shuffle(kinds)
        for number, null in enumerate(kinds):
            yield from self._pair(names, stage, null, number, len(kinds))

    def _pair(self, names: Sequence[str], stage: int, null: bool, number: int, total: int) -> list[Pair]:
        first = self._count % 2
        self._count += 1
        sides = (self.sides[0], self.sides[0]) if null else self.sides
        while True:
            cells = [cell for cell in self.cells.values() if cell.sentinel or cell.name in names]
            if all(cell.sentinel for cell in cells):
                return []
            for cell in cells:
                self.progress.began(cell.name, number, total)
            try:
                with self._workers(sides, first) as workers:
                    found = self._measure(workers, cells)
            except Fault as fault:
                self._drop(fault.event)
                continue
            made = [
                Pair(
                    workload=cell.name, number=self._count - 1, stage=stage, first=ROLES[first], iterations=cell.iterations,
                    metric=cell.metric, quads=tuple(quads), checksums=checksums, sentinel=cell.sentinel, null=null,
                    conforming=not cell.sentinel,
                )
                for cell, quads, checksums in found
            ]  # fmt: skip
            for pair in made:
                self.progress.ended(pair)
            return made

    def _measure(self, workers: "Workers", cells: Sequence[Cell]) -> list[tuple[Cell, list[Quad], tuple[str, str]]]:
        placed: dict[str, list[Placed]] = {}
        before: dict[str, list[str]] = {}
        with tempfile.TemporaryDirectory(prefix="poolproof-") as folder:
            for cell in self._shuffled(cells):
                if cell.question is None:
                    placed[cell.name] = [worker.sentinel(cell.name) for worker in workers]
                    continue
                placed[cell.name] = [worker.place(cell.question, self._place()) for worker in workers]
                both = zip(workers, placed[cell.name], strict=True)
                before[cell.name] = [worker.judged(cell.question, each, Path(folder), self._judge) for worker, each in both]
        orders = {cell.name: self._shuffled(["ABBA", "BAAB"] * ((self.settings.quads + 1) // 2))[: self.settings.quads] for cell in cells}
        quads: dict[str, list[Quad]] = {cell.name: [] for cell in cells}
        for sweep in range(self.settings.quads):
            for cell in self._shuffled(cells):
                quads[cell.name].append(_quad(workers, cell, placed[cell.name], orders[cell.name][sweep]))
        for cell in cells:
            for worker, each, was in zip(workers, placed[cell.name], before.get(cell.name, ()), strict=False):
                worker.unchanged(cell.name, each, was)
        return [(cell, quads[cell.name], _both(before.get(cell.name, ["sentinel"] * 2))) for cell in cells]

    # --- the rest -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End the process that judges answers."""
        self._judge.close()

    def _workers(self, sides: Sequence[Contender], first: int) -> "Workers":
        workers = Workers(sides, self.settings, first)
        for side, worker in zip(sides, workers, strict=True):
            self.versions[side.role] = worker.remote.version, worker.remote.python
        return workers

    def _drop(self, event: Uncovered) -> None:
        self.uncovered.append(event)
        self.cells.pop(event.workload, None)
        self.progress.note(f"{event.workload} is left out: {event.kind} on the {event.side}: {event.message}")
        if not event.workload or event.workload in SENTINELS:
            raise Invalid(f"the {event.side}'s worker {event.kind} outside every workload: {event.message}")

    def _place(self) -> int:
        return self.chance.getrandbits(32)

    def _shuffled(self, things: Iterable[Any]) -> list[Any]:
        return self.chance.sample(listed := list(things), len(listed))


def _quad(workers: "Workers", cell: Cell, placed: Sequence[Placed], order: str) -> Quad:
    blocks = [workers["AB".index(letter)].timed(cell, placed["AB".index(letter)]) for letter in order]
    seconds, wall = zip(*blocks, strict=True)
    return Quad(order=order, seconds=seconds, wall=wall)


def _both(values: Sequence[str]) -> tuple[str, str]:
    baseline, candidate = values
    return baseline, candidate


# --- one worker -----------------------------------------------------------------------------------


class Workers(Sequence["Worker"]):
    """The two worker processes of a pair: started at the same time, `first` a little earlier, and ended together."""

    def __init__(self, sides: Sequence[Contender], settings: Settings, first: int) -> None:
        order = (0, 1) if first == 0 else (1, 0)
        with ThreadPoolExecutor(2) as pool:
            started = {}
            for index in order:
                started[index] = pool.submit(sides[index].start, settings.limit, settings.start_limit)
                time.sleep(0.01)
            failed = [started[index].exception() for index in (0, 1)]
        if error := failed[0] or failed[1]:
            for each in started.values():
                if not each.exception():
                    each.result().close()
            raise error
        self._workers = [Worker(ROLES[index], started[index].result()) for index in (0, 1)]

    def __getitem__(self, index: Any) -> Any:
        return self._workers[index]

    def __len__(self) -> int:
        return 2

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.remote.close()


class Worker:
    """A fresh process of one side; whatever goes wrong in it is a `Fault` of the workload that it was asked."""

    def __init__(self, role: str, remote: Remote) -> None:
        self.role, self.remote = role, remote

    def place(self, question: Question, place: int) -> Placed:
        """The question, made, bound and warm there."""
        return self._try(question.name, lambda: self.remote.place(question.described(place)))

    def sentinel(self, name: str) -> Placed:
        """Work that is none of the backend's."""
        return self._try(name, lambda: self.remote.sentinel(name))

    def judged(self, question: Question, placed: Placed, folder: Path, judge: Judge) -> str:
        """The checksum of its answer, which the definition allows."""
        said = self._try(question.name, lambda: self.remote.digest(placed))
        checksum = str(said["checksum"])
        if not judge.knows(question.name, checksum):
            kept = folder / "answer"
            self._try(question.name, lambda: self.remote.digest(placed, kept))
            judge.ask(question.name, checksum, {**question.described(0), "file": str(kept), "answer": said})
        if wrong := judge.wrong(question.name, checksum):
            raise self._fault(question.name, "wrong", wrong)
        return checksum

    def unchanged(self, name: str, placed: Placed, before: str) -> None:
        """Hold its answer after the last block against the one before the first."""
        after = self._try(name, lambda: self.remote.digest(placed))["checksum"]
        if after != before:
            raise self._fault(name, "wrong", f"answered {after[:12]} after the last block and {before[:12]} before the first (checksums)")

    def block(self, name: str, placed: Placed, calls: int) -> Timing:
        """What a block takes."""
        timing = self._try(name, lambda: self.remote.measure(placed, calls))
        for clock in ("cpu", "wall", "device"):
            seconds = getattr(timing, clock)
            if seconds is not None and not (isinstance(seconds, float) and 0 < seconds < math.inf):
                raise self._fault(name, "garbage", f"{calls} calls took {seconds!r} s by the {clock} clock: a time is positive and finite")
        return timing

    def metric(self, cell: Cell, placed: Placed) -> str:
        """By which clock its calls are to be timed: a device's, this process's CPU time, or the wall where calls do not compute on one core."""
        least, most = CALIBRATION
        cores: list[float] = []
        while len(cores) < most and (len(cores) < least or max(cores) < CLEAN[0]):
            timing = self.block(cell.name, placed, cell.iterations)
            if timing.device is not None:
                return "device"
            cores.append(timing.cpu / timing.wall)
        return "cpu" if max(cores) >= CLEAN[0] and statistics.median(cores) <= CLEAN[1] else "wall"

    def timed(self, cell: Cell, placed: Placed) -> tuple[float, float]:
        """Seconds a call of one block: by the cell's clock, and by the wall's."""
        for _ in range(ATTEMPTS):
            timing = self.block(cell.name, placed, cell.iterations)
            if cell.metric != "wall" or not timing.interrupted:
                break
        return getattr(timing, cell.metric) / cell.iterations, timing.wall / cell.iterations

    def _try(self, name: str, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except TimedOut as error:
            raise self._fault(name, "hung", str(error)) from error
        except Died as error:
            raise self._fault(name, "died", str(error)) from error
        except RemoteFailure as error:
            raise self._fault(name, "garbage", str(error)) from error
        except (RemoteError, Unsupported, MemoryError) as error:
            raise self._fault(name, "failed", f"{type(error).__name__}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._fault(name, "garbage", f"its worker's message cannot be read: {type(error).__name__}: {error}") from error

    def _fault(self, name: str, kind: str, message: str) -> Fault:
        return Fault(Uncovered(workload=name, kind=kind, side=self.role, message=message))
