"""What a known deviation of a backend is, and how narrowly it excuses an answer."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import ml_dtypes
import numpy as np
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from backends import compare, oracle
from backends.interface import Case, dtype_named
from backends.oracle import Exact
from backends.spec import Average, Lp

Verdict = Literal["convention", "bug", "precision", "crash"]
OUTCOMES = ("wrong", "returns", "raises", "hangs")


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """A known deviation of a backend, as data.

    `variants` are the parts of backend names after the colon ("" is the plain one). `versions` is
    a specifier of the framework versions that were seen to deviate. `verdict` says what it is: a
    *convention* is documented by the framework, a *bug* breaks its own rule, *precision* loses
    accuracy, a *crash* dies or should have raised.

    `where(case)` marks the outputs that may deviate, and `predict(case, exact)` says what they are
    then; `accumulator` says in which dtype the sum is kept, and the bound follows it; `slack(case)` is
    how much wider the bound of each is, where the sum that is predicted cancels and the definition's
    does not. Where answers differ from call to call, or follow an order that nobody states, `predict`
    says what they mostly are, and `nearest(case, actual)` which of those that may come is nearest to
    the one that came. An element is excused only where `where` holds and the answer is what was
    predicted, within the error bound: a second defect beside a known one still fails.
    """

    id: str
    backend: str
    variants: frozenset[str]
    versions: str
    verdict: Verdict
    smallest: str
    observed: str
    description: str
    outcome: str = "wrong"
    upstream: str | None = None
    documentation: str | None = None
    since: str | None = None
    where: Callable[[Case], np.ndarray] | None = None
    predict: Callable[[Case, Exact], np.ndarray] | None = None
    nearest: Callable[[Case, np.ndarray], np.ndarray] | None = None
    accumulator: str | None = None
    slack: Callable[[Case], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES and not self.outcome.startswith("signal:SIG"):
            raise ValueError(f"{self.id}: outcome={self.outcome!r}: expected one of {', '.join(OUTCOMES)} or signal:SIG…")
        if self.outcome == "wrong" and (self.where is None or (self.predict is None and self.accumulator is None)):
            raise ValueError(f"{self.id}: a wrong answer needs `where`, and `predict` or `accumulator`")
        if self.nearest is not None and self.predict is None:
            raise ValueError(f"{self.id}: `nearest` needs `predict`, which says what the answers mostly are")
        SpecifierSet(self.versions)

    def applies_to(self, backend: str, version: str) -> bool:
        """Whether this is about a backend of that name, in that version of its framework."""
        name, _, variant = backend.partition(":")
        if name != self.backend or variant not in self.variants:
            return False
        try:
            return SpecifierSet(self.versions).contains(Version(version).public, prereleases=True)
        except InvalidVersion:
            return False

    def explains(self, case: Case, actual: np.ndarray, exact: Exact) -> np.ndarray:
        """Where this row excuses an answer of the right shape and dtype."""
        return self.granted(case, actual, exact)[0]

    def granted(self, case: Case, actual: np.ndarray, exact: Exact) -> tuple[np.ndarray, np.ndarray]:
        """Where this row excuses an answer of the right shape and dtype, and where rounding may take half of what it grants that."""
        none = np.zeros(actual.shape, bool)
        where = none if self.where is None else np.broadcast_to(self.where(case), actual.shape)
        if not where.any():
            return none, none
        if self.predict is None and case.output == "values" and isinstance(case.spec.reduction, Average):
            where = where & may_round(case, str(self.accumulator))
        expected, least = exact, None
        if self.predict is not None:
            foreseen = self.predict(case, exact) if self.nearest is None else self.nearest(case, actual)
            predicted = np.broadcast_to(np.asarray(foreseen), actual.shape)
            with np.errstate(invalid="ignore"):
                value = predicted.astype(exact.value.dtype)
                # The bound is relative, so that of a large prediction is as large.
                magnitude = np.fmax(exact.magnitude, np.where(np.isfinite(value), np.abs(value), 0))
                expected = replace(exact, value=value, rest=np.zeros(actual.shape), magnitude=magnitude)
                least = self._least(case, exact, value)
        slack = 0.0 if self.slack is None else self.slack(case)
        found = compare.compare(case, actual, expected, self.accumulator, slack, least)
        return where & ~found.bad, where & ~found.bad & found.vacuous

    def _least(self, case: Case, exact: Exact, predicted: np.ndarray) -> np.ndarray:
        """What rounding leaves at least of long sums of one sign that are predicted, as a share of those that the definition has.

        Half of it: terms that are all larger or smaller by one factor lie otherwise between powers of two, and
        a prediction may itself have been rounded up, to twice its sum at most.
        """
        reduction = case.spec.reduction
        # An odd power that keeps its sign may cancel.
        cancels = isinstance(reduction, Lp) and reduction.p % 2 != 0 and bool((case.x < 0).any())
        if self.accumulator is None or cancels:
            return np.zeros(predicted.shape)
        share: np.ndarray = np.abs(predicted / np.where(exact.largest > 0, exact.value, np.inf)) / 2
        return np.nan_to_num(share * compare.least_kept(case, exact, dtype_named(self.accumulator)), nan=0, posinf=0)


def known_of(rows: Iterable[Divergence], *backends: tuple[str, str]) -> tuple[Divergence, ...]:
    """The rows that are about any of some backends, each by its name and the version of its framework."""
    return tuple(row for row in rows if any(row.applies_to(*each) for each in backends))


def named(written: str) -> tuple[str, str]:
    """(name, version) of a backend that is written name==version.

    Raises:
        ValueError: it is not.
    """
    name, equals, version = written.rpartition("==")
    if not equals:
        raise ValueError(f"{written!r}: expected NAME==VERSION")
    return name, version


def may_round(case: Case, accumulator: str) -> np.ndarray:
    """Windows of an average whose sum some order of addition rounds, if it is kept in the accumulator's type."""
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    rows = case.x.astype(np.float64).reshape(case.x.shape[0] * case.x.shape[1], math.prod(case.spatial))
    return sums_may_round(rows, taps, dtype_named(accumulator)).reshape(case.pooled_shape)


def sums_may_round(rows: np.ndarray, windows: Sequence[Sequence[int]], dtype: np.dtype) -> np.ndarray:
    """(N·C, windows): of rows of float64, (N·C, elements), the sums that some order of addition rounds, kept in a type.

    Where all elements are multiples of one power of two q, so is every partial sum; while Σ|x| ≤ 2^p·q, p the
    type's precision, each has a place in it. Such a sum loses nothing, so its type is no excuse.
    """
    kind = ml_dtypes.finfo(dtype)
    digits = kind.nmant + 1
    x = np.abs(rows)
    with np.errstate(invalid="ignore", over="ignore"):
        fraction, exponent = np.frexp(np.where(np.isfinite(x), x, 0))
        whole = (fraction * 2.0**53).astype(np.int64)
        unit = np.where(x > 0, np.ldexp((whole & -whole).astype(np.float64), exponent - 53), np.inf)
        totals = np.stack([x[:, window].sum(axis=1) for window in windows], axis=1)
        units = np.stack([unit[:, window].min(axis=1) for window in windows], axis=1)
        return ~((totals <= units * 2.0**digits) & (totals <= float(kind.max)))


@dataclass(frozen=True, kw_only=True)
class Mended:
    """An answer with what is known to deviate replaced by the definition, and which rows did that."""

    answer: np.ndarray
    excused: dict[str, int]
    comparison: compare.Comparison | None
    vacuous: bool = False
    """Whether a bound excused some of it that rounding may take half of."""


def mend(case: Case, actual: Any, rows: Sequence[Divergence]) -> Mended:
    """Replace each excused element of an answer by the definition's value.

    Laws then hold for the mended answer as they stand, and none needs to know of divergences.
    What no row explains stays as it is, and fails.
    """
    wrong = [row for row in rows if row.outcome == "wrong" and row.where is not None]
    if not wrong or not isinstance(actual, np.ndarray) or not _any_where(case, wrong):
        return Mended(answer=actual, excused={}, comparison=None)
    try:
        compare.assert_shaped(case, actual)
    except compare.Nonconformity:
        return Mended(answer=actual, excused={}, comparison=None)
    comparison = compare.compare(case, actual)
    left = comparison.bad.copy()
    excused: dict[str, int] = {}
    vacuous = False
    for row in wrong:
        if not left.any():
            break
        granted, wide = row.granted(case, actual, comparison.exact)
        explained = left & granted
        if explained.any():
            vacuous |= bool((explained & wide).any())
            excused[row.id] = int(explained.sum())
            left &= ~explained
    if not excused:
        return Mended(answer=actual, excused={}, comparison=comparison)
    answer = actual.copy()
    mended = comparison.bad & ~left
    with np.errstate(over="ignore"):
        answer[mended] = comparison.exact.value.astype(actual.dtype)[mended]
    return Mended(answer=answer, excused=excused, comparison=comparison, vacuous=vacuous)


def ends(case: Case, outcome: str, rows: Iterable[Divergence]) -> Divergence | None:
    """The row that knows that a case ends so: it has that outcome, and its `where` holds for the whole case."""
    return next((row for row in rows if row.outcome == outcome and row.where is not None and np.all(row.where(case))), None)


def _any_where(case: Case, rows: Iterable[Divergence]) -> bool:
    return any(np.any(row.where(case)) for row in rows if row.where is not None)
