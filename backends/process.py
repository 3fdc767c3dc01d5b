"""Remote: a backend that lives in another process, or under another interpreter.

It is a `Backend` itself. A death by a signal and a passed time limit become exceptions, `Died` and
`TimedOut`, and the next request meets a fresh process. On Linux that is a fork, milliseconds old,
of a *nursery* that imported the framework once; elsewhere, and where a framework has
opened an accelerator at import, every life is an interpreter of its own: correct, and slow after a
death. Processes end with the one that made them, however that one ends.

A Remote is never timed from outside: `measure` asks the worker to.
"""

import contextlib
import functools
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backends import wire
from backends.answer import Answer
from backends.interface import Capabilities, Case, Unsupported
from backends.lives import PATIENCE, Keeper, Launched, Life, Process

ROOT = Path(__file__).resolve().parents[1]


class RemoteFailure(Exception):
    """The process of a backend failed to answer; `outcome` says how: "signal:SIGFPE", "exit:1", "hangs".

    `printed` and `logged` are the ends of what it wrote to standard output and standard error.
    """

    status = "crashed"

    def __init__(self, message: str, *, outcome: str, printed: str = "", logged: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
        self.printed = printed
        self.logged = logged


class Died(RemoteFailure):
    """The process ended in the middle of a request, by a signal or by exiting."""


class TimedOut(RemoteFailure):
    """The time limit passed, and the process was killed."""


class RemoteError(Exception):
    """A backend raised; `type_name` is the full name of its exception's type, `text` what it says.

    `stage` is the method that raised: "gap", "bind", "call" or "fetch".
    """

    status = "error"

    def __init__(self, *, type_name: str, text: str, stage: str, traceback: str) -> None:
        super().__init__(f"{type_name} in {stage}: {text}")
        self.type_name = type_name
        self.text = text
        self.stage = stage
        self.traceback = traceback


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a piece of native code.

    `outcome` is "returns", "raises", "hangs", "signal:SIGFPE" (or another) or "exit:1"; `text` is
    the result's repr, the exception with its type, or the last words of a dying process.
    """

    outcome: str
    text: str
    printed: str = ""
    logged: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one block of calls took, in seconds: by the wall clock, of this process's CPU time, and of a device where it has one.

    In `waited` of them, by the wall clock, it could have run and another process had its core.
    """

    wall: float
    cpu: float
    device: float | None = None
    waited: float = 0.0


class Native:
    """An answer that stays in the process that gave it; `type_name` is that of its type there."""

    def __init__(self, life: Life, handle: int, type_name: str) -> None:
        self.life, self.handle, self.type_name = life, handle, type_name

    def __del__(self) -> None:
        self.life.freed.append(self.handle)


class Placed:
    """A question that was made, bound and warmed in another process; `gap` says why it cannot be asked, if so."""

    def __init__(self, life: Life, handle: int | None, gap: str | None = None) -> None:
        self.life, self._handle, self.gap = life, handle, gap

    def handle(self) -> int:
        """Its handle in that process; a gap has none."""
        if self._handle is None:
            raise Unsupported(str(self.gap))
        return self._handle


class Bound:
    """A call that is bound in another process; bound again in the next one if that process ends."""

    def __init__(self, remote: "Remote", case: Case) -> None:
        self.remote, self.case = remote, case
        self._bind()

    def _bind(self) -> None:
        reply, _, life = self.remote._exchange("bind", self.case)
        self._there = Native(life, reply["handle"], reply["type"])

    def handle(self) -> int:
        if self._there.life is not self.remote._keeper.life:
            self._bind()
        return self._there.handle

    def __call__(self) -> Native:
        reply, _, life = self.remote._exchange("call", handle=self.handle())
        return Native(life, reply["handle"], reply["type"])


class Remote:
    """A backend in a process of its own.

    Args:
        backend: a name that `backends.load` takes.
        python: the interpreter to run it under; this one if None.
        time_limit: seconds that one request may take.
        start: "fork" a child per life where the system can, or "spawn" an interpreter per life, as
            timing wants: memory lies elsewhere in each.
        root: the checkout that has the `backends` package with the adapters.
        environment: variables of the process, on top of this one's.
        start_limit: seconds that importing the framework may take.
        launched: is told of each interpreter before that, so that another thread can end it.

    Raises:
        UnknownBackend: nothing has that name.
        BrokenBackend: it cannot be loaded, or dies or hangs while it is.
    """

    def __init__(
        self,
        backend: str,
        python: str | None = None,
        time_limit: float = 60.0,
        *,
        start: Literal["fork", "spawn"] = "fork",
        root: Path | str = ROOT,
        environment: Mapping[str, str] | None = None,
        start_limit: float = 180.0,
        launched: Launched = lambda _: None,
    ) -> None:
        if start not in ("fork", "spawn"):
            raise ValueError(f"start={start!r}: expected 'fork' or 'spawn'")
        if not time_limit > 0:
            raise ValueError(f"time_limit={time_limit!r}: expected a positive number of seconds")
        self.time_limit = time_limit
        self.where: dict[str, Any] = {"python": python, "start": start, "root": root}
        self._lock = threading.RLock()
        # One compiler a life: a pool of them would outlive it, and stand idle between small kernels.
        self._start = functools.partial(
            Process, backend, python or sys.executable, start, Path(root),
            {"TORCHINDUCTOR_COMPILE_THREADS": "1", **os.environ, **(environment or {})}, start_limit, launched,
        )  # fmt: skip
        self._keeper = Keeper(self._start())
        self._finalizer = weakref.finalize(self, self._keeper.close)
        hello = self._keeper.process.hello
        self.name: str = hello["name"]
        self.version: str = hello["version"]
        self.python: str = hello["python"]
        self.capabilities: Mapping[str, Capabilities | Mapping[str, Any]] = {
            reduction: Capabilities.of(can) for reduction, can in hello["capabilities"].items()
        }
        self._offers: frozenset[str] = frozenset(hello["offers"])
        for fact, value in hello["facts"].items():
            setattr(self, fact, value)

    # --- a backend ------------------------------------------------------------------------------

    def gap(self, case: Case) -> str | None:
        """Why this case cannot be asked; None if it can."""
        return self._exchange("gap", case)[0]["gap"]

    def bind(self, case: Case) -> Bound:
        """Bind a case in the other process."""
        return Bound(self, case)

    def fetch(self, native: Native) -> Any:
        """The answer as an array here; what is none becomes an object whose type has the same name."""
        if native.life is not self._keeper.life:
            raise RemoteFailure(f"{self.name}: the process that held this answer has ended", outcome="gone")
        reply, arrays, _ = self._exchange("fetch", handle=native.handle)
        return arrays[0] if arrays else type(reply["returned"], (), {})()

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_offers", ()):
            return functools.partial(self._offered, name)
        raise AttributeError(f"{type(self).__name__} of {self.__dict__.get('name', 'a backend')} has no attribute {name!r}")

    def _offered(self, name: str, *arguments: Any) -> Any:
        case = arguments[0] if arguments and isinstance(arguments[0], Case) else None
        reply, arrays, _ = self._exchange("offer", case, arrays=() if case else arguments, name=name)
        value = arrays[0] if arrays else reply["value"]
        return tuple(value) if isinstance(value, list) else value

    # --- what only a process can do -------------------------------------------------------------

    def ask(self, case: Case, *, heed_gap: bool = False) -> Answer:
        """Bind, call and fetch in one exchange, and report what was seen on the way.

        Raises:
            Unsupported: the backend did; or it has a gap here, where gaps are heeded.
            MemoryError: the backend did.
            RemoteError: the backend raised something else.
            RemoteFailure: its process died, or took longer than the time limit.
        """
        reply, arrays, life = self._exchange("ask", case, heed_gap=heed_gap)
        printed, logged = life.said
        return Answer(
            array=arrays[0] if arrays else None,
            returned=reply["returned"], native=reply["native"],
            wrote=tuple(reply["wrote"]), warned=tuple(reply["warned"]), printed=printed, logged=logged,
        )  # fmt: skip

    def place(self, question: Mapping[str, Any]) -> Placed:
        """Have a question made where it is asked, so that no array travels; `timing.question` says what describes one."""
        reply, _, life = self._exchange("place", **question)
        return Placed(life, reply.get("handle"), reply["gap"])

    def sentinel(self, name: str) -> Placed:
        """Work of `timing.SENTINELS`, which has nothing to do with the backend."""
        reply, _, life = self._exchange("sentinel", name=name)
        return Placed(life, reply["handle"])

    def digest(self, placed: Placed, keep: Path | None = None) -> dict[str, Any]:
        """The "checksum", "dtype" and "shape" of a placed question's answer; with `keep` its bytes go to that file."""
        return self._exchange("digest", handle=placed.handle(), keep=None if keep is None else str(keep))[0]

    def measure(self, case: Case | Bound | Placed, iterations: int) -> Timing:
        """What a block of so many calls takes, by the worker's own clocks; one untimed call goes before it."""
        if iterations < 1:
            raise ValueError(f"iterations={iterations}: expected at least 1")
        bound = self.bind(case) if isinstance(case, Case) else case
        reply, _, _ = self._exchange("measure", handle=bound.handle(), iterations=iterations)
        timing = Timing(wall=reply["wall"], cpu=reply["cpu"], device=reply["device"], waited=reply["waited"])
        if not timing.wall > 0:
            raise RemoteFailure(f"{self.name}: {iterations} calls took {timing.wall} s: the clock stands still", outcome="clock")
        return timing

    def confine(self, cores: Iterable[int]) -> None:
        """Let the process that answers, with every thread that it has and will have, run on these cores alone."""
        with self._lock:
            if self._keeper.life is None:
                self._keeper.life = self._alive().begin()
            for task in os.listdir(f"/proc/{self._keeper.life.pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task), cores)

    def execute(self, code: str, time_limit: float | None = None, memory: int | None = 8 << 30) -> Outcome:
        """What becomes of native code in a process of its own, which has the framework imported.

        The value of a last line that is an expression is its result. It may use `memory` bytes more
        than its process has to begin with.
        """
        with self._lock:
            life = self._alive().begin(spare=True)
            try:
                reply, _ = self._converse(life, {"do": "execute", "code": code, "memory": memory}, (), time_limit)
            except RemoteFailure as failure:
                text = _last_words(failure.outcome, failure.logged) or str(failure)
                return Outcome(outcome=failure.outcome, text=text, printed=failure.printed, logged=failure.logged)
            finally:
                life.end(0)
        printed, logged = life.said
        if error := reply.get("error"):
            return Outcome(outcome="raises", text=f"{error['type']}: {error['message']}", printed=printed, logged=logged)
        return Outcome(outcome="returns", text=reply["result"], printed=printed, logged=logged)

    def renew(self) -> None:
        """End the process that answers, if there is one: the next request meets a fresh one.

        For what may have spoilt its memory without dying of it.
        """
        with self._lock:
            life, self._keeper.life = self._keeper.life, None
            if life is not None:
                life.end(0)

    @property
    def pid(self) -> int | None:
        """The id of the process that answers now; None before the first request and after a death."""
        return self._keeper.life.pid if self._keeper.life else None

    def close(self) -> None:
        """End all its processes; again is no error."""
        self._finalizer()

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- conversation ---------------------------------------------------------------------------

    def _exchange(
        self, do: str, case: Case | None = None, arrays: Sequence[np.ndarray] = (), **fields: Any
    ) -> tuple[dict[str, Any], list[np.ndarray], Life]:
        with self._lock:
            if self._keeper.life is None:
                self._keeper.life = self._alive().begin()
            life = self._keeper.life
            freed, life.freed = life.freed, []
            header = {"do": do, "case": None if case is None else wire.case_header(case), "free": freed, **fields}
            try:
                reply, back = self._converse(life, header, arrays if case is None else wire.case_arrays(case))
            except BaseException:
                # Interrupted half-way, a conversation cannot go on: the next request starts another.
                self._keeper.life = None
                life.end(0)
                raise
            if error := reply.get("error"):
                raise _raised(error)
            return reply, back, life

    def _converse(
        self, life: Life, header: Mapping[str, Any], arrays: Sequence[np.ndarray], limit: float | None = None
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        limit = self.time_limit if limit is None else limit
        deadline = time.monotonic() + limit
        try:
            life.channel.send(header, arrays, deadline)
            answered = life.channel.receive(deadline)
            life.listen()
            return answered
        except TimeoutError:
            how, killed = life.end(0, listen=True)
        except (EOFError, OSError):
            how, killed = life.end(PATIENCE, listen=True)
        printed, logged = life.said
        if killed:
            raise TimedOut(f"{self.name}: no answer within {limit:g} s", outcome="hangs", printed=printed, logged=logged)
        words = _last_words(how, logged)
        raise Died(f"{self.name}: its process died, {how}{words and ': '}{words}", outcome=how, printed=printed, logged=logged)

    def _alive(self) -> "Process":
        if self._keeper.closed:
            raise ValueError(f"{self.name}: this Remote is closed")
        if not self._keeper.process.usable:
            self._keeper.process.close()
            self._keeper.process = self._start()
        return self._keeper.process


def _last_words(outcome: str, logged: str) -> str:
    """What a dying process said last: an abort has its reason before the stack trace, other signals a name."""
    lines = [line for line in logged.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    telling = [line for line in lines if not line.startswith(_TRACE)]
    return ((telling if outcome == "signal:SIGABRT" or not fatal else fatal) or fatal or [""])[-1][:300]


_TRACE = (" ", "Fatal Python error", "Current thread", "Thread 0x", "Extension modules", "***")


def _raised(error: Mapping[str, str]) -> Exception:
    if error["type"] == "backends.interface.Unsupported":
        return Unsupported(error["message"])
    if error["type"] == "MemoryError":
        return MemoryError(error["message"])
    return RemoteError(type_name=error["type"], text=error["message"], stage=error["stage"], traceback=error["traceback"])
