"""The @law decorator: what a law applies to, how it is put to a backend, and what it saw.

A law is a function `test_<claim>(backend, case)` whose docstring is its claim. Decorated, it is a
pytest test that takes the fixture `backend` (a `Subject`) and draws cases for it:

    @law(reductions={"max"}, outputs={"values"})
    def test_max_is_an_element_of_its_window(backend, case):
        \"\"\"Every maximum is one of the elements that its window reads.\"\"\"

Everything that a law needs follows from the case, so that the one line of text that a failure
prints is enough to ask again. A law that compared nothing is reported as not run, never as passed.
"""

import dataclasses
import functools
import itertools
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis.errors import Flaky, Unsatisfiable
from hypothesis.strategies import SearchStrategy

from backends import text
from backends.compare import Nonconformity
from backends.interface import Case, Unsupported
from backends.process import TimedOut
from properties import questions, subject
from properties.strategies import MOST_TAPS, askable, cases, count_taps, stack_of
from properties.subject import Misbehaved, Subject
from reports.record import Record, Tally, Writer

Claim = Callable[[Subject, Case], None]

UNLISTED = {"kernel", "stride", "axes", "bins", "channels", "cotangent_memory", "cotangent_values"}
"""What the report counts and opens no case for: cases that differ in it alone share native code."""
SHOWN = 300
"""Characters of a case up to which a reader looks at it, so that code for it is worth its room."""
READ = 2000
"""Characters of such code that are worth it."""


class LawBroken(AssertionError):
    """A law does not hold; the message has the case as text, and how to ask it again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a law may ask of one backend: examples are Hypothesis' profile, seconds are ours.

    A compiled variant takes seconds for each new spec, so the number of examples alone says
    little; past `seconds` a law asks no more, and the tally says how much it saw. `compiled` is the
    share of its seconds that a law has where each spec is compiled: a case there stacks several
    patterns of values.
    """

    seconds: float = 30.0
    compiled: float = 1.0

    def of(self, backend: Any) -> float:
        """The seconds for a backend."""
        return self.seconds * (self.compiled if getattr(backend, "compiles", False) else 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Law:
    """A law: its claim as code, and the cases that it is about."""

    name: str
    claim: Claim
    draw: Callable[..., SearchStrategy[Case]]
    bounds: Mapping[str, Collection[Any]]
    requires: Callable[[Case], bool] | None
    examples: float
    most_taps: int

    def applies(self, backend: Subject) -> bool:
        """Whether a backend has any of the law's subjects."""
        within = ("reductions_", "windows", "outputs", "dtypes", "layouts", "ndims")
        return bool(askable(backend.backend, **{key: self.bounds[key] for key in within if key in self.bounds}))

    def test(self, trial: "Trial", settings_: settings | None = None) -> None:
        """Put the law's cases to a trial's backend, under some settings or the loaded profile's.

        Raises:
            LawBroken: the law does not hold.
            Unsatisfiable: every case was filtered.
        """

        def run(case: Case) -> None:
            trial.put(case)

        # Hypothesis seeds a deterministic run, and names its database, by the function's name.
        run.__name__ = run.__qualname__ = re.sub(r"\W", "_", f"{self.name}__{trial.backend.name}")
        profile = settings_ or settings.default
        wanted = max(1, round(profile.max_examples * self.examples))  # type: ignore[union-attr]  # a profile is always loaded
        settings(profile, max_examples=wanted)(given(case=self.draw(trial.backend, **self.bounds))(run))()


REGISTRY: dict[str, Law] = {}
"""Every law by name, once its file is imported."""


def law(
    *,
    examples: float = 1.0,
    requires: Callable[[Case], bool] | None = None,
    draw: Callable[..., SearchStrategy[Case]] = cases,
    most_taps: int = MOST_TAPS,
    **bounds: Collection[Any],
) -> Callable[[Claim], Callable[..., None]]:
    """Make a law of a function `(backend, case)`.

    `bounds` are those of `strategies.cases` (`reductions=` stands for its `reductions_`), or of
    another strategy given as `draw`. `requires` says which of those cases the law is about.
    `examples` scales the profile's number, and `most_taps` bounds the work of the oracle.
    """
    if "reductions" in bounds:
        bounds["reductions_"] = bounds.pop("reductions")

    def decorate(function: Claim) -> Callable[..., None]:
        name = function.__name__.removeprefix("test_")
        if not function.__doc__:
            raise ValueError(f"law {name}: its docstring is its claim")
        one = Law(name=name, claim=function, draw=draw, bounds=bounds, requires=requires, examples=examples, most_taps=most_taps)
        REGISTRY[name] = one

        @functools.wraps(function)
        def test(backend: Subject, records: Writer, budget: Budget, record_property: Callable[[str, object], None]) -> None:
            trial = Trial(one, backend, records, budget)
            try:
                trial.all()
            finally:
                for key, value in trial.spent().items():
                    record_property(key, value)

        # pytest reads a test's arguments from its signature, and `wraps` would show the law's own.
        del test.__wrapped__
        return pytest.mark.law(test)

    return decorate


class Trial:
    """One law put to one backend: its cases, its tally, its records."""

    def __init__(self, law: Law, backend: Subject, records: Writer | None, budget: Budget) -> None:
        self.law, self.backend, self.records, self.budget = law, backend, records, budget
        self.backend.tally = subject.Tally()
        self.failed: tuple[Case, AssertionError] | None = None
        self.started = time.perf_counter()
        self.hung = ""
        self._shortest: dict[tuple[str, ...], int] = {}
        self._rejected: set[int] = set()

    def put(self, case: Case) -> None:
        """Put one case to the backend; rejects what the law is not about or the backend cannot be asked."""
        tally = self.backend.tally
        # What has more examples by profile has more time as well.
        spent = time.perf_counter() - self.started > self.budget.of(self.backend) * max(1.0, self.law.examples)
        if spent and not self.failed:
            # Hypothesis may put a case again, and calls it flaky if that is not rejected as it was before.
            if _digest(case) in self._rejected:
                reject()
            return
        tally.drawn += 1
        try:
            case.spec.check(case.spatial)
        except ValueError:
            self._filter(case, "not a valid spec")
        most = self.law.most_taps * stack_of(self.backend)
        if count_taps(case) > most or (self.law.requires is not None and not self.law.requires(case)):
            self._filter(case, "not what the law is about")
        self.backend.excused.clear()
        self.backend.vacuous = False
        try:
            if self.hung and text.write(case) != self.hung:
                return  # shrinking a case that hangs would wait for each smaller one as well
            self.law.claim(self.backend, case)
        except Unsupported as reason:
            self._filter(case, str(reason))
        except AssertionError as error:
            if self.failed is None:
                self._record(case, error)
            self.failed = case, error
            if isinstance(error.__cause__, TimedOut):
                self.hung = text.write(case)
            raise LawBroken(self._explain(case, error)) from error
        tally.compared += 1
        tally.vacuous += self.backend.vacuous
        self._record(case, None)

    def all(self) -> None:
        """Put every case, record what came of it, and fail or skip in pytest's terms."""
        if not self.law.applies(self.backend):
            message = f"{self.backend.name} has none of its subjects"
            self._tally("not run", message)
            pytest.skip(f"not run: {message}")
        status, message = "failed", "the harness itself failed, or was interrupted"
        try:
            self.law.test(self)
            status, message = "passed", ""
        except Unsatisfiable:
            status, message = "not run", "every case was filtered"
        except LawBroken as error:
            message = str(error)
            if self.failed:
                self._record(*self.failed)
        except Flaky:
            if not self.failed:
                raise
            message = f"{self._explain(*self.failed)}\n\nAsked once more it held: the answer depends on what was asked before."
            self._record(*self.failed)
        finally:
            tally = self.backend.tally
            if status == "passed" and not tally.compared:
                status, message = "not run", "every case was filtered"
            if status == "not run":
                message += "".join(f"; {reason} ({count})" for reason, count in tally.reasons.most_common(3))
            self._tally(status, message)
        if status == "failed":
            pytest.fail(message, pytrace=False)
        if status == "not run":
            pytest.skip(message)

    def spent(self) -> dict[str, Any]:
        """What the trial took, for pytest's reports: who was asked, how many cases were compared, seconds."""
        return {"backend": self.backend.name, "compared": self.backend.tally.compared, "seconds": time.perf_counter() - self.started}

    def _filter(self, case: Case, reason: str) -> None:
        self._rejected.add(_digest(case))
        self.backend.tally.filtered += 1
        self.backend.tally.reasons[reason] += 1
        reject()

    def _explain(self, case: Case, error: AssertionError) -> str:
        lines = [f"{self.law.claim.__doc__}", f"{self.backend.name} {self.backend.version}: {error}", ""]
        lines.append(subject.reproducer(self.law.name, case, self.backend.address))
        if code := subject.native_code(self.backend.backend, case):
            lines += ["", code]
        return "\n".join(lines)

    def _record(self, case: Case, error: AssertionError | None) -> None:
        if self.records is None:
            return
        backend = self.backend
        known = dict(backend.excused)
        status = "conforms"
        if error is not None:
            status = error.status if isinstance(error, Misbehaved) else "diverges"
        elif known:
            status = "diverges"
            backend.tally.known += 1
        comparison = error.comparison if isinstance(error, Nonconformity) else (backend.last.comparison if known and backend.last else None)
        expected, actual, bound = first_difference(comparison)
        written, question = text.write(case), questions.question(case)
        self.records.append(
            Record(
                law=self.law.name, case=written, backend=backend.name, version=backend.version, device=backend.device,
                status=status, expected=expected, actual=actual, bound=bound, message=str(error) if error else "",
                divergence=",".join(sorted(known)) if known and not error else None,
                native=self._native(case, written, status, question, always=error is not None),
                question=question,
            )
        )  # fmt: skip

    def _native(self, case: Case, written: str, status: str, question: Mapping[str, str], *, always: bool) -> str | None:
        """Code for a case that a report may open for its question: the shortest so far, if it is short enough to be read."""
        asked = (status, *itertools.chain.from_iterable(sorted(item for item in question.items() if item[0] not in UNLISTED)))
        if not always and len(written) >= self._shortest.get(asked, SHOWN):
            return None
        self._shortest[asked] = min(len(written), self._shortest.get(asked, SHOWN))
        code = subject.native_code(self.backend.backend, case)
        return code if always or code is None or len(code) <= READ else None

    def _tally(self, status: str, message: str) -> None:
        if self.records is None:
            return
        seen = self.backend.tally
        self.records.append(
            Tally(
                law=self.law.name, claim=" ".join((self.law.claim.__doc__ or "").split()), backend=self.backend.name, status=status,
                drawn=seen.drawn, filtered=seen.filtered, compared=seen.compared, known=seen.known, vacuous=seen.vacuous,
                seconds=time.perf_counter() - self.started, message=message,
            )
        )  # fmt: skip


def _digest(case: Case) -> int:
    """A number that a case has again when it is drawn again."""
    return hash((case, *(None if array is None else (array.strides, array.tobytes()) for array in (case.x, case.cotangent))))


def first_difference(comparison: Any) -> tuple[str | None, str | None, str | None]:
    """(expected, got, bound) at the first element that deviates, as text."""
    if comparison is None or not comparison.bad.any():
        return None, None, None
    index = tuple(np.argwhere(comparison.bad)[0])
    return str(comparison.exact.value[index]), str(comparison.actual[index]), f"{comparison.bound[index]:.6g}"
