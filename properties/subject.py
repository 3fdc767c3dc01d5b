"""A backend while a law questions it: asked case by case, its answers held to what is known of it."""

import contextlib
import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import backends
from backends import UnknownBackend, oracle, text
from backends.answer import Held, Raised, observe
from backends.compare import Nonconformity, assert_shaped, is_vacuous
from backends.interface import Backend, Case, Native, Unsupported, missing, refusal
from backends.process import Remote, RemoteError, RemoteFailure, TimedOut
from properties.divergence import Divergence, Mended, ends, known_of, mend
from properties.relations import taken

LEAST_PATIENCE = 5.0
"""Seconds for an answer after one that did not come, or ten times the slowest that did."""


class Misbehaved(AssertionError):
    """A backend broke its contract: it raised on a case that it can be asked, or wrote to its input."""

    def __init__(self, message: str, *, status: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Tally:
    """What one law saw of one backend."""

    drawn: int = 0
    filtered: int = 0
    compared: int = 0
    known: int = 0
    vacuous: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


class Subject:
    """A backend under observation; it is a `Backend` itself.

    `ask` is how a law asks: it checks that the backend can be asked, that it leaves its input
    alone, and mends what is known to deviate (`divergence.mend`), so that a law holds for what it
    returns or something new is wrong. `address` is what `--backend` calls it. `compared_with` are the names and versions of
    backends that it is compared with: what is known of them is mended as well, so that one answer has one verdict.
    """

    def __init__(
        self,
        backend: Backend,
        divergences: Sequence[Divergence] = (),
        address: str | None = None,
        compared_with: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.backend = backend
        self.address = address or backend.name
        self.every = tuple(divergences)
        self.compared_with = tuple(compared_with)
        self.divergences = known_of(divergences, (backend.name, backend.version), *self.compared_with)
        self.tally = Tally()
        self.excused: Counter[str] = Counter()
        self.last: Mended | None = None
        self.vacuous = False
        self.slowest = 0.0
        self._held = Held()

    @property
    def name(self) -> str:
        return self.backend.name

    @property
    def version(self) -> str:
        return self.backend.version

    @property
    def capabilities(self) -> Mapping[str, Any]:
        return self.backend.capabilities

    @property
    def device(self) -> str:
        """Where it computes; "cpu" for a backend that does not say."""
        return str(getattr(self.backend, "device", "cpu"))

    @property
    def compiles(self) -> bool:
        """Whether a new spec costs it a compilation; False for a backend that does not say."""
        return bool(getattr(self.backend, "compiles", False))

    def gap(self, case: Case) -> str | None:
        return self.backend.gap(case)

    def bind(self, case: Case) -> Callable[[], Native]:
        return self.backend.bind(case)

    def fetch(self, native: Native) -> np.ndarray:
        return self.backend.fetch(native)

    def can(self, case: Case) -> bool:
        """Whether a case may be asked: for laws that put a question a second way."""
        return self.refusal(case) is None

    def refusal(self, case: Case) -> str | None:
        """Why a case cannot be asked; None if it can.

        Raises:
            Misbehaved: instead of saying so it raised, died or hung.
        """
        try:
            return refusal(self.backend, case)
        except (RemoteError, RemoteFailure) as error:
            raise self._misbehaved(error) from error

    def ask(self, case: Case) -> np.ndarray:
        """The answer to a case, with what is known to deviate mended.

        Raises:
            Unsupported: it cannot be asked this.
            Misbehaved: it raised, died or hung, or wrote to its input.
        """
        return self.mended(case, self.unmended(case))

    def unmended(self, case: Case) -> np.ndarray:
        """The answer to a case as it came, for laws that look at parts of it: raises as `ask` does.

        Where a case is known to end in another way than by an answer, it is the definition's.
        """
        if isinstance(self.backend, Remote):
            # Its gap is asked in the same exchange.
            if outside := missing(self.backend.capabilities, case):
                raise Unsupported(f"not in its capabilities: {outside}")
        elif reason := self.refusal(case):
            raise Unsupported(reason)
        started = time.perf_counter()
        try:
            if isinstance(self.backend, Remote):
                answer = self.backend.ask(case, heed_gap=True)
            else:
                answer = observe(self.backend, case, held=self._held)
            self.slowest = max(self.slowest, time.perf_counter() - started)
        except (Unsupported, MemoryError):
            raise
        except Raised as raised:
            error = raised.__cause__ or raised
            if isinstance(error, Unsupported | MemoryError) or not isinstance(error, Exception):
                raise error from None
            if row := ends(case, "raises", self.divergences):
                return self._in_place_of(case, row)
            raise Misbehaved(f"{type(error).__name__} in {raised.stage}: {error}", status="error") from error
        except (RemoteError, RemoteFailure) as error:
            if row := ends(case, getattr(error, "outcome", "raises"), self.divergences):
                return self._in_place_of(case, row)
            raise self._misbehaved(error) from error
        if answer.faults:
            raise Misbehaved("; ".join(answer.faults), status="diverges")
        return answer.value

    def called(self, case: Case, times: int) -> list[np.ndarray]:
        """The answers to a case that is bound once and called so often, each fetched before the next, with what is known to deviate mended.

        Raises:
            Unsupported: it cannot be asked this.
            Misbehaved: it raised, died or hung.
        """

        def ask() -> list[Any]:
            call = self.bind(case)
            return [self.fetch(call()) for _ in range(times)]

        return self._bound(ask, f"called {times} times", *(case,) * times)

    def called_by_turns(self, first: Case, second: Case) -> list[np.ndarray]:
        """The answers to two cases that are both bound before either is called, the second first; otherwise as `called`."""

        def ask() -> list[Any]:
            calls = [self.bind(case) for case in (first, second)]
            return [self.fetch(call()) for call in reversed(calls)][::-1]

        return self._bound(ask, "bound beside another", first, second)

    def _bound(self, ask: Callable[[], list[Any]], what: str, *cases: Case) -> list[np.ndarray]:
        for case in cases:
            if reason := self.refusal(case):
                raise Unsupported(reason)
        try:
            answers = ask()
        except (Unsupported, MemoryError):
            raise
        except Exception as error:
            known = [ends(case, getattr(error, "outcome", "raises"), self.divergences) for case in cases]
            if any(known):
                raise Unsupported("it is known to end otherwise than by an answer") from error
            if isinstance(error, RemoteError | RemoteFailure):
                raise self._misbehaved(error, what) from error
            raise Misbehaved(f"{what}: {type(error).__name__}: {error}", status="error") from error
        return [self.mended(case, answer) for case, answer in zip(cases, answers, strict=True)]

    def recorded(self, case: Case) -> np.ndarray:
        """The values of a case, computed while a gradient is recorded, with what is known to deviate mended.

        Raises:
            Unsupported: it cannot be asked this, or that way.
        """
        gradient = case.replace(output="gradient", cotangent=np.ones(case.pooled_shape, case.x.dtype))
        with self._offering("recorded", "values with a gradient recorded", case, gradient) as recorded:
            values = recorded(case)
        return self.mended(case, values)

    def static_shape(self, case: Case) -> tuple[int, ...]:
        """The shape `(N, C, *spatial)` that the framework infers for the values of a case without computing them.

        Raises:
            Unsupported: it cannot be asked this, or leaves the shape open.
        """
        with self._offering("static_shape", "a shape that is inferred without computing", case) as static_shape:
            inferred = static_shape(case)
        if inferred is None:
            raise Unsupported("its shape inference leaves this open")
        return tuple(inferred)

    def with_indices(self, case: Case) -> np.ndarray:
        """The values of a case, as they are returned beside the indices, with what is known to deviate mended.

        Where an index is known to be another than the definition's, the value beside it may be that
        other element: what drops a NaN names one that is left, and returns it.

        Raises:
            Unsupported: it cannot be asked this, or that way.
        """
        asked = case.replace(output="indices")
        with self._offering("with_indices", "values beside the indices", case, asked) as with_indices:
            values, index = with_indices(case), backends.run(self.backend, asked)
        assert_shaped(asked, index)
        values, right = self.mended(case, values), self.mended(asked, index)
        assert_shaped(case, values)
        inside = (index >= 0) & (index < math.prod(case.spatial))
        other = (index != right) & inside & (taken(case.x, np.where(inside, index, 0)) == values)
        return np.where(other, taken(case.x, np.where(other, right, 0)), values)

    @contextlib.contextmanager
    def _offering(self, name: str, what: str, *cases: Case) -> Iterator[Callable[[Case], Any]]:
        """A method that a backend may offer, for questions that rest on these cases; says `what` it was asked for if it fails."""
        offered = getattr(self.backend, name, None)
        if offered is None:
            raise Unsupported(f"{self.name} does not offer {what}")
        for case in cases:
            if reason := self.refusal(case):
                raise Unsupported(reason)
        try:
            yield offered
        except (RemoteError, RemoteFailure) as error:
            raise self._misbehaved(error, what) from error

    def beside(self, address: str | None = None, **environment: str) -> "Subject":
        """Another backend, or this one in another environment, in a process of its own.

        Raises:
            Unsupported: it lives in this process alone, and no name starts it in another.
        """
        where = getattr(self.backend, "where", {})
        try:
            other = _started(address or self.address, tuple(sorted(where.items())), tuple(sorted(environment.items())))
        except UnknownBackend as error:
            raise Unsupported(f"{self.backend.name} lives in this process alone: {error}") from error
        return Subject(other, self.every, address=address or self.address, compared_with=self.compared_with)

    def mended(self, case: Case, actual: Any) -> np.ndarray:
        """An answer to a case, with what is known to deviate put right.

        Raises:
            Nonconformity: it is no array.
        """
        if not isinstance(actual, np.ndarray):
            raise Nonconformity(f"fetch returned {type(actual).__name__}: expected a NumPy array", kind="type")
        mended = mend(case, actual, self.divergences)
        self.vacuous |= mended.vacuous or is_vacuous(case)
        if mended.excused:
            self.excused.update(mended.excused)
            self.last = mended
        return mended.answer

    def _misbehaved(self, error: RemoteError | RemoteFailure, what: str = "") -> Misbehaved:
        """What a law says of a backend that raised, died or hung in a process of its own, asked for `what` if not for an answer."""
        if isinstance(error, TimedOut) and isinstance(self.backend, Remote):
            # What hung once will hang again, and each time costs all the patience there is.
            self.backend.time_limit = min(self.backend.time_limit, max(LEAST_PATIENCE, 10 * self.slowest))
        return Misbehaved(f"{what}{what and ': '}{error}", status=error.status)

    def _in_place_of(self, case: Case, row: Divergence) -> np.ndarray:
        """The definition's answer, for a case that is known to end in another way than by an answer."""
        self.excused[row.id] += 1
        self.last = None
        dtype = np.dtype(np.int64) if case.output == "indices" else case.x.dtype
        with np.errstate(over="ignore"):
            return oracle.pool(case).value.astype(dtype)

    def answers(self, *cases: Case) -> list[np.ndarray]:
        """The answers to several cases, in order; none after the first is asked unless all can be."""
        for case in cases[1:]:
            if reason := self.refusal(case):
                raise Unsupported(reason)
        return [self.ask(case) for case in cases]


@functools.cache
def _started(address: str, where: tuple[tuple[str, Any], ...], environment: tuple[tuple[str, str], ...]) -> Remote:
    return Remote(address, **dict(where), environment=dict(environment))


def reproducer(law: str, case: Case, backend: str) -> str:
    """The one line that asks a backend a case again."""
    return f"python -m properties '{text.write(case, law)}' --backend {backend}"


def native_code(backend: Backend, case: Case) -> str | None:
    """The framework's own code of a case, from a backend that offers it; None where it cannot write it, or fails to."""
    offered = getattr(backend, "native", None)
    if offered is None:
        return None
    try:
        return str(offered(case))
    except (Unsupported, RemoteError, RemoteFailure):
        return None
