"""One worker process of a side, and the two of a pair: started afresh, asked block by block, ended together.

Whatever goes wrong in one becomes a `Fault` of the workload that it was asked, so that the rest can go on.
"""

import contextlib
import math
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends import BrokenBackend, UnknownBackend
from backends.environments import Environment
from backends.interface import Unsupported
from backends.process import Died, Placed, Remote, RemoteError, RemoteFailure, TimedOut, Timing
from benchmarks import machine
from benchmarks.gate_data import ROLES, Invalid, Uncovered
from benchmarks.gate_judge import Judge

CALIBRATION = (5, 25)
"""At least and at most so many blocks say by which clock a workload is timed."""
CLEAN = (0.9, 1.1)
"""Cores that a call computes on, by CPU time over wall time, for its CPU time to be what it takes."""
CALM = 0.01
"""The share of a block's time for which others may have had its core, for the wall clock to be believed."""
ATTEMPTS = 4
"""A block that is timed by the wall clock and was not calm is timed again, up to so often in all."""
QUADS, PLACEMENTS = 32, 4
"""Quads of a pair, and how many placements of the arrays they are spread over."""


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

    def start(self, limit: float, start_limit: float, launches: "Launches") -> Remote:
        """A fresh worker process, which `launches` can end before it has answered.

        Raises:
            Invalid: it does not start.
        """
        where = self.environment
        variables = {**machine.pinned(1), **machine.HELD, "PYTHONHASHSEED": "0", **where.variables, **self.variables}
        try:
            return Remote(
                where.address(self.backend),
                where.python,
                limit,
                start="spawn",
                root=where.root,
                environment=variables,
                start_limit=start_limit,
                launched=launches,
            )
        except (BrokenBackend, UnknownBackend) as error:
            raise Invalid(f"the {self.role}, {where.label}, does not start: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Invalid(f"the {self.role}, {where.label}, answers garbage at its start: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How hard it measures: quads a pair, placements that they are spread over, seconds that a request and a start may take.

    `seed` is that of every random order.
    """

    quads: int = QUADS
    placements: int = PLACEMENTS
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


class Launches:
    """The processes that other threads start, and wait for: `end` ends them, those that are yet to come too, and so the waiting."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._over = False

    def __call__(self, process: subprocess.Popen[bytes]) -> None:
        self._processes.append(process)
        if self._over:
            self._kill(process)

    def end(self) -> None:
        """Kill them."""
        self._over = True
        for process in self._processes:
            self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class Workers(Sequence["Worker"]):
    """The two worker processes of a pair: started at the same time, `first` a little earlier, and ended together.

    They share one core, as only one computes at a time: what else the machine does to it, it does to both.
    """

    def __init__(self, sides: Sequence[Contender], settings: Settings, first: int, core: int) -> None:
        order = (0, 1) if first == 0 else (1, 0)
        launches, started = Launches(), dict[int, Future[Remote]]()
        with ThreadPoolExecutor(2) as pool:
            try:
                for index in order:
                    started[index] = pool.submit(sides[index].start, settings.limit, settings.start_limit, launches)
                    time.sleep(0.01)
                failed = [started[index].exception() for index in (0, 1)]
            except BaseException:
                # The pool waits for its threads, and they may wait long for their processes.
                launches.end()
                raise
        if error := failed[0] or failed[1]:
            for each in started.values():
                if not each.exception():
                    each.result().close()
            raise error
        self._workers = [Worker(ROLES[index], started[index].result()) for index in (0, 1)]
        for worker in self._workers:
            worker.remote.confine([core])

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
        """The clock of its calls: a device's, this process's CPU time, or the wall's where they do not compute on one core."""
        least, most = CALIBRATION
        cores: list[float] = []
        while len(cores) < most and (len(cores) < least or max(cores) < CLEAN[0]):
            timing = self.block(cell.name, placed, cell.iterations)
            if timing.device is not None:
                return "device"
            # What others took of its core is not time in which it waited for anything of its own.
            cores.append(timing.cpu / max(timing.wall - timing.waited, timing.cpu / 10))
        return "cpu" if max(cores) >= CLEAN[0] and statistics.median(cores) <= CLEAN[1] else "wall"

    def timed(self, cell: Cell, placed: Placed) -> tuple[float, float]:
        """Seconds a call of one block: by the cell's clock, and by the wall's."""
        for _ in range(ATTEMPTS):
            timing = self.block(cell.name, placed, cell.iterations)
            if cell.metric != "wall" or timing.waited <= CALM * timing.wall:
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
