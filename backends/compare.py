"""What counts as conforming: error bounds derived for each element, and one assertion.

Max values and indices are exact. A sum of n terms in an accumulator with unit roundoff u is within
γ_n·Σ|term| of the truth, whatever the order of summation, with γ_n = n·u/(1 − n·u) (Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2 and lemma 3.1), and, however
long, within n·u·Σ|term| (Jeannerod and Rump, Improved error bounds for inner products in
floating-point arithmetic, SIAM J. Matrix Anal. Appl. 34(2), 2013). Half-precision types accumulate
in float32 and round once. No tolerance is chosen.
"""

import functools
import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends import oracle
from backends.interface import Case, dtype_named
from backends.oracle import Exact, overflow_threshold
from backends.spec import Average, Lp, Max

HALF = ("float16", "bfloat16")
EXACT = "exact: max takes an element, it computes none"


@dataclass(frozen=True, kw_only=True)
class Format:
    """The numbers of a float type: unit roundoff, smallest subnormal, where it overflows."""

    u: float
    eta: float
    overflow: float


@functools.cache
def format_of(dtype: np.dtype) -> Format:
    """The format of a NumPy or ml_dtypes float type."""
    import ml_dtypes

    info = ml_dtypes.finfo(dtype)
    return Format(u=float(info.eps) / 2, eta=float(info.smallest_subnormal), overflow=overflow_threshold(dtype))


def accumulator_of(dtype: np.dtype) -> np.dtype:
    """Where sums of that type are kept: in float32 for the half types, else in itself."""
    return np.dtype(np.float32) if dtype.name in HALF else dtype


class Nonconformity(AssertionError):
    """An answer that the definition does not allow.

    `kind` is "type", "shape", "dtype", "special" (the pattern of NaN and infinity) or "value";
    for the last two `bad` marks the elements.
    """

    def __init__(self, message: str, *, kind: str, comparison: "Comparison | None" = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.comparison = comparison


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An answer held against the definition, element by element."""

    actual: np.ndarray
    exact: Exact
    bound: np.ndarray
    special: np.ndarray
    """Where the answer is NaN or infinite and may not be, or should be and is not."""
    off: np.ndarray
    """Where both are finite and further apart than the bound."""
    vacuous: np.ndarray
    """Where the sum is so long that rounding may take half of it: m·u ≥ ½."""
    least: np.ndarray
    """What rounding leaves at least of a sum that long whose terms have one sign, and that sign with it; 0 elsewhere."""
    rule: str

    @property
    def bad(self) -> np.ndarray:
        return self.special | self.off


def assert_conforms(case: Case, actual: Any, exact: Exact | None = None, cells: oracle.Cells | None = None) -> Comparison:
    """Raise `Nonconformity` unless `actual` is a conforming answer to the case.

    Asked in this order: type, shape, dtype, the pattern of NaN and infinity, values. `exact` saves
    asking the oracle again; `cells` holds some values or indices alone to it, by their flat positions,
    as is done for arrays of millions.
    """
    assert_shaped(case, actual)
    if cells is not None:
        actual, exact = actual.ravel()[np.asarray(cells, np.intp)], oracle.pool(case, cells)
    comparison = compare(case, actual, exact)
    if comparison.bad.any():
        raise Nonconformity(explain(comparison), kind="special" if comparison.special.any() else "value", comparison=comparison)
    return comparison


def is_vacuous(case: Case) -> bool:
    """Whether the definition's own bound is so wide for some element of a case that half of it may be rounded away.

    Told by sizes alone, for what would take the oracle hours: of a gradient of max it says how many windows can meet.
    """
    if isinstance(case.spec.reduction, Lp) or isinstance(case.spec.reduction, Max) and case.output != "gradient":
        return False
    u = format_of(accumulator_of(case.x.dtype)).u
    if math.prod(case.pooled_shape[2:] if case.output == "gradient" else case.spatial) < 0.5 / u - 1:
        return False
    terms = 1
    for axis, size in enumerate(case.spatial):
        taps = [window.taps for window in case.spec.windows.along(axis, size)]
        met = Counter(itertools.chain.from_iterable(taps)).values() if case.output == "gradient" else map(len, taps)
        terms *= max(met, default=0)
    return (terms + 1) * u >= 0.5


def assert_shaped(case: Case, actual: Any) -> None:
    """Raise `Nonconformity` unless `actual` is an array of the shape and dtype that the case asks for."""
    if not isinstance(actual, np.ndarray):
        raise Nonconformity(f"fetch returned {type(actual).__name__}: expected a NumPy array", kind="type")
    shape = case.x.shape if case.output == "gradient" else case.pooled_shape
    if actual.shape != shape:
        raise Nonconformity(f"shape {actual.shape}: expected {shape} for {case.output}", kind="shape")
    dtype = np.dtype(np.int64) if case.output == "indices" else case.x.dtype
    if actual.dtype != dtype:
        raise Nonconformity(f"dtype {actual.dtype.name}: expected {dtype.name} for {case.output}", kind="dtype")


def compare(
    case: Case,
    actual: np.ndarray,
    exact: Exact | None = None,
    accumulator: str | None = None,
    slack: np.ndarray | float = 0.0,
    least: np.ndarray | None = None,
) -> Comparison:
    """Hold an answer of the right shape and dtype against the definition, or against `exact`.

    `accumulator` names the dtype whose rounding is granted instead of the definition's, as rows of
    `divergences.py` do that lose precision; `slack` is added to each bound. `least` is what long sums
    of one sign come to at least, where that does not follow from `exact`.
    """
    exact = oracle.pool(case) if exact is None else exact
    if exact.value.dtype != np.float64 or isinstance(case.spec.reduction, Max) and case.output != "gradient":
        return _compare_exactly(actual, exact)
    acc = dtype_named(accumulator) if accumulator else accumulator_of(case.x.dtype)
    bound, vacuous, rule = error_bound(case, exact, acc)
    bound = bound + slack
    if least is None:
        least = least_kept(case, exact, acc) if vacuous.any() else np.zeros(vacuous.shape)
    least = np.where(vacuous, least, 0)
    got = actual.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs((got - exact.value) - exact.rest) > bound
        off |= (least > 0) & (got * np.sign(exact.value) < least)
    infinite, nan = np.isinf(exact.value), np.isnan(exact.value)
    overflowed = infinite & np.isinf(exact.magnitude)
    may_overflow = _may_overflow(case, exact, acc)
    same = np.where(nan, np.isnan(got), got == exact.value)
    with np.errstate(invalid="ignore", over="ignore"):
        # Past the range of float64 itself: the nearest finite number is within the bound as well.
        near = overflowed & (np.abs(got) >= float(np.finfo(np.float64).max) * (1 - 2 * exact.terms * format_of(acc).u))
        rounds_up = np.abs(exact.value) + bound >= format_of(case.x.dtype).overflow
    allowed = np.isinf(got) & ((rounds_up & (np.sign(got) == np.sign(exact.value))) | may_overflow)
    peculiar = infinite | nan | ~np.isfinite(got)
    special = peculiar & ~(same | allowed | near) & ~exact.free
    return Comparison(
        actual=actual, exact=exact, bound=bound, special=special, off=off & ~peculiar & ~exact.free, vacuous=vacuous,
        least=np.copysign(least, exact.value), rule=rule,
    )  # fmt: skip


def _compare_exactly(actual: np.ndarray, exact: Exact) -> Comparison:
    if actual.dtype.kind in "iu":
        special, nan = np.zeros(actual.shape, bool), np.zeros(actual.shape, bool)
    else:
        nan = np.isnan(exact.value)
        special = (nan != np.isnan(actual)) | (np.isinf(exact.value) != np.isinf(actual))
    off = (actual != exact.value) & ~nan & ~special
    none = np.zeros(actual.shape)
    return Comparison(
        actual=actual, exact=exact, bound=none, special=special, off=off, vacuous=none.astype(bool), least=none, rule=EXACT
    )  # fmt: skip


def gamma(m: Any, u: float) -> np.ndarray:
    """γ_m = m·u/(1 − m·u); meaningless, and infinite here, from m·u = ½ on."""
    mu = np.asarray(m, np.float64) * u
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mu < 0.5, mu / (1 - mu), np.inf)


def growth(m: Any, u: float) -> np.ndarray:
    """The smaller of γ_m and m·u·(1 + u)², which bound what m roundings do to a sum, each however it is ordered.

    The second holds for any m of which at most two fall on each term, or on the sum, and the others on
    additions: m − 2 of those make an error of (m − 2)·u·Σ|t| at most, for t each within (1 + u)² of its term.
    """
    return np.minimum(gamma(m, u), np.asarray(m, np.float64) * u * (1 + u) ** 2)


def least_kept(case: Case, exact: Exact, accumulator: np.dtype) -> np.ndarray:
    """What rounding leaves at least of |y|, of a long sum of one sign or of the root of one; 0 of others.

    Of a norm it is the root of what is left of the sum of powers, less what a mean on the way may lose below the
    normal numbers.
    """
    if not isinstance(case.spec.reduction, Lp):
        return least_sum(exact, accumulator, case.x.dtype)
    kept = format_of(accumulator)
    powers = least_sum(replace(exact, magnitude=exact.extent), accumulator, accumulator)
    root: np.ndarray = np.maximum(powers - 2 * exact.terms * kept.eta, 0) ** (1 / case.spec.reduction.p)
    return root * (1 - 6 * kept.u)


def least_sum(exact: Exact, accumulator: np.dtype, dtype: np.dtype) -> np.ndarray:
    """What rounding leaves at least of |y|, a long sum of one sign kept in the accumulator and stored in `dtype`; 0 of others.

    Rounding to nearest is monotone, and 2^e is added exactly up to 2^p times, p the accumulator's digits.
    So a sum of which k terms are no less than 2^e is no less than min(k, 2^p)·2^e, in any order. As no term
    is more than the largest, M, there are k ≥ (Σ − n·2^e)/(M − 2^e) such terms among n.
    """
    acc, out, n = format_of(accumulator), format_of(dtype), exact.terms
    # A term may have been rounded up to four times: divided by one side of a bin after the other, or by a rounded reciprocal.
    total, largest = (exact.extent * (1 - 4 * acc.u) - n * acc.eta, exact.largest * (1 - 4 * acc.u) - acc.eta)
    known = (exact.largest > 0) & np.isfinite(exact.extent) & (largest > 0)
    power = np.exp2(np.floor(np.log2(np.where(known, largest, 1))))
    least = np.zeros(n.shape)
    for _ in range(round(-math.log2(acc.u))):
        with np.errstate(divide="ignore", invalid="ignore"):
            count = np.where(largest > power, np.ceil((total - n * power) / (largest - power)), 1)
        # What is below the normal numbers may be flushed to zero.
        reached = np.where(power >= acc.eta / (2 * acc.u), np.clip(count, 1, 1 / acc.u) * power, 0)
        least = np.maximum(least, np.where(known, reached, 0))
        power = power / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        divided = np.where(known, exact.magnitude / exact.extent, 0) * least
    return np.maximum(divided * (1 - 2 * acc.u) * (1 - out.u) - acc.eta - out.eta, 0)


def error_bound(case: Case, exact: Exact, accumulator: np.dtype) -> tuple[np.ndarray, np.ndarray, str]:
    """(bound, vacuous, rule) for a sum: how far a conforming answer may be from the exact one.

    With m roundings of relative size u behind an element, each path to it is off by a factor within
    1 ± γ_m, or `growth` where that is less; η/2 is what a division into the subnormal range may lose.
    """
    acc, out = format_of(accumulator), format_of(case.x.dtype)
    reduction, gradient, terms = case.spec.reduction, case.output == "gradient", exact.terms
    y = np.where(np.isfinite(exact.value), np.abs(exact.value), 0)
    # A Σ|term| past float64's range is still at most the number of terms times its largest number.
    beyond = np.isinf(exact.magnitude)
    magnitude = np.where(beyond, np.finfo(np.float64).max, exact.magnitude)
    roundings = terms + 1
    if isinstance(reduction, Lp):
        # n − 1 additions of powers good to 4u each, whose error the root divides by p, and a root
        # good to 6u: correctly rounded powers would need 1, vectorised libraries give 1 to 4 ulp.
        p = reduction.p
        root = (terms + 3) / p + 6
        # A gradient of a norm has no sign that rounding must leave it.
        roundings = np.zeros(terms.shape) if gradient else root
        if gradient:
            # (|x|/y)^(p−1)·g: the error of y and of a division, p − 1 times, a power, two products,
            # and the sum. `terms` counts taps and windows together, so it covers n and w.
            largest = _largest(case.cotangent)
            factor = (p - 1) * (root + 1) + 12 + terms
            error, rule = (
                acc.u * factor * magnitude + terms * acc.eta * (1 + largest),
                "u·Σ|t|·((p−1)((m+3)/p+7)+12+m) + m·η·(1+max|g|), m = n+w",
            )
        else:
            error, rule = acc.u * root * y + acc.eta, "u·|y|·((n−1+4)/p + 6) + η"
    elif isinstance(reduction, Average) and gradient:
        error, rule = growth(roundings, acc.u) * magnitude + terms * acc.eta / 2, "γ_(w+1)·Σ|g/D| + w·η/2"
    elif isinstance(reduction, Average):
        error, rule = growth(roundings, acc.u) * magnitude + acc.eta / 2, "γ_(n+1)·Σ|x|/|D| + η/2"
    else:
        roundings = np.maximum(terms - 1, 0)
        error, rule = growth(roundings, acc.u) * magnitude, "γ_(w−1)·Σ|g|"
    error = np.where(beyond, error * terms, error)
    vacuous = roundings * acc.u >= 0.5
    if case.x.dtype != accumulator:
        stays = (terms <= 1) & isinstance(reduction, Max)
        error = np.where(stays, error, error + out.u * (y + error) + out.eta / 2)
        rule += " + u_out·(|y| + E) + η_out/2"
    # Rounded up; for float64, η/2 itself is not a number, and would be lost.
    inexact = (error > 0) | (not isinstance(reduction, Max))
    return np.nextafter(error, np.inf, where=inexact, out=error.copy()), vacuous, f"{rule}, u = {acc.u:.3g}"


def _may_overflow(case: Case, exact: Exact, accumulator: np.dtype) -> np.ndarray:
    """Where Σ|x| is past the accumulator's range, so that a partial sum may be infinite."""
    if isinstance(case.spec.reduction, Lp):
        return np.zeros(exact.value.shape, bool)
    acc = format_of(accumulator)
    with np.errstate(over="ignore", invalid="ignore"):
        return exact.extent * (1 + growth(exact.terms, acc.u)) >= acc.overflow


def _largest(array: np.ndarray | None) -> float:
    if array is None or not array.size:
        return 0.0
    wide = np.abs(array.astype(np.float64))
    return float(np.max(wide, where=np.isfinite(wide), initial=0.0))


def explain(comparison: Comparison) -> str:
    """The first bad element: where, both values, the bound and where it comes from."""
    bad = comparison.special if comparison.special.any() else comparison.off
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    expected, got = comparison.exact.value[index], comparison.actual[index]
    where = f"at {index}: expected {expected!s}, got {got!s}"
    count = f"{int(comparison.bad.sum())} of {bad.size} elements"
    if comparison.special.any():
        return f"NaN or infinity {where}; {count} ({comparison.rule})"
    if (least := float(comparison.least[index])) and float(got) / least < 1:
        return f"{where}, less than rounding leaves of terms of one sign, {least:.9g}; {count} ({comparison.rule})"
    return f"{where}, off by {_distance(comparison, index):.3g}, bound {comparison.bound[index]:.3g}; {count} ({comparison.rule})"


def _distance(comparison: Comparison, index: tuple[int, ...]) -> float:
    got = float(comparison.actual[index])
    return abs((got - float(comparison.exact.value[index])) - float(comparison.exact.rest[index]))
