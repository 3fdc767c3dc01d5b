"""How the gate measures: pairs of fresh worker processes, and quads of alternating blocks inside each.

A pair is two interpreters of their own, started for it and ended after it: where a process's memory happens to
lie shifts a timing by some per cent, and only other processes average over that. Inside a pair the sides
take turns, ABBA or BAAB, in blocks of a few milliseconds; the idle one waits in a read. What drifts is
common to both. Where the arrays lie inside a process shifts a timing as well, so they are placed
anew a few times in each pair.
"""

import math
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.process import Placed
from backends.timing import SENTINELS
from benchmarks.gate_data import ROLES, Invalid, Pair, Progress, Quad, Uncovered
from benchmarks.gate_judge import Judge
from benchmarks.gate_worker import Cell, Contender, Fault, Question, Settings, Workers

BLOCK = 0.0025
"""Seconds of a block: long enough for the clock, short enough that the machine is the same for four of them."""


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
        self._cores = sorted(os.sched_getaffinity(0))
        self._judge = Judge()

    # --- before the first pair --------------------------------------------------------------------

    def rehearse(self, questions: Iterable[Question]) -> None:
        """Find out what both sides can be asked, hold their answers against the definition, and calibrate the blocks.

        Raises:
            Invalid: a side does not start.
        """
        left = {question.name: question for question in questions}
        total = len(left)
        while left or not set(SENTINELS) <= set(self.cells):
            try:
                with self._workers(self.sides, 0) as workers:
                    while left:
                        name, question = next(iter(left.items()))
                        self.progress.note(f"rehearsal: {name}, {total - len(left) + 1} of {total}")
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
        # What the baseline could not be asked is nothing that the candidate loses.
        kind, side = ("new", ROLES[0]) if gaps[0] else ("skipped", ROLES[1])
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
                    workload=cell.name, number=number, stage=stage, first=ROLES[first], iterations=cell.iterations,
                    metric=cell.metric, quads=tuple(quads), checksums=checksums, sentinel=cell.sentinel, null=null,
                    conforming=not cell.sentinel,
                )
                for cell, quads, checksums in found
            ]  # fmt: skip
            for pair in made:
                self.progress.ended(pair)
            return made

    def _measure(self, workers: "Workers", cells: Sequence[Cell]) -> list[tuple[Cell, list[Quad], tuple[str, str]]]:
        """Some quads of each cell in one placement of its arrays, some in the next: part of what memory does averages out here."""
        orders = {cell.name: self._shuffled(["ABBA", "BAAB"] * ((self.settings.quads + 1) // 2))[: self.settings.quads] for cell in cells}
        quads: dict[str, list[Quad]] = {cell.name: [] for cell in cells}
        placed: dict[str, list[Placed]] = {}
        checksums: dict[str, tuple[str, str]] = {}
        sweeps = range(self.settings.quads)
        starts = set(sweeps[:: max(1, math.ceil(len(sweeps) / self.settings.placements))])
        with tempfile.TemporaryDirectory(prefix="poolproof-") as folder:
            for sweep in sweeps:
                if sweep in starts:
                    _require_unchanged(workers, placed, checksums)
                    self._settle(workers, cells, placed, checksums, Path(folder))
                for cell in self._shuffled(cells):
                    quads[cell.name].append(_quad(workers, cell, placed[cell.name], orders[cell.name][sweep]))
        _require_unchanged(workers, placed, checksums)
        return [(cell, quads[cell.name], checksums.get(cell.name, ("sentinel", "sentinel"))) for cell in cells]

    def _settle(
        self,
        workers: "Workers",
        cells: Sequence[Cell],
        placed: dict[str, list[Placed]],
        checksums: dict[str, tuple[str, str]],
        folder: Path,
    ) -> None:
        """Place every cell anew; the answers to its first placement are held against the definition."""
        for cell in self._shuffled(cells):
            if cell.question is None:
                placed[cell.name] = [worker.sentinel(cell.name) for worker in workers]
                continue
            placed[cell.name] = [worker.place(cell.question, self._place()) for worker in workers]
            if cell.name not in checksums:
                both = zip(workers, placed[cell.name], strict=True)
                baseline, candidate = (worker.judged(cell.question, each, folder, self._judge) for worker, each in both)
                checksums[cell.name] = baseline, candidate

    # --- the rest -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End the process that judges answers."""
        self._judge.close()

    def _workers(self, sides: Sequence[Contender], first: int) -> "Workers":
        workers = Workers(sides, self.settings, first, self._cores[self._count // 2 % len(self._cores)])
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


def _require_unchanged(workers: "Workers", placed: Mapping[str, Sequence[Placed]], checksums: Mapping[str, tuple[str, str]]) -> None:
    """Hold the answers after the last block of a placement against the first ones."""
    for name, known in checksums.items():
        for worker, each, before in zip(workers, placed[name], known, strict=True):
            worker.unchanged(name, each, before)
