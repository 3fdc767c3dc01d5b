"""Pooling by definition, in exact arithmetic: what a conforming backend computes.

Written to be checked by reading. A window's taps come from `spec.along`; each reduction is a
few lines of plain Python over them, with its rule for NaN and infinity spelled out. Sums are sums
of Python integers over a common denominator, so they are exact and several times faster than
`fractions.Fraction`; Lp norms use `decimal` with 50 digits.
"""

import decimal
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from backends.interface import Case
from backends.spec import Average, Lp, Max, PoolSpec

Cells = Sequence[int]
DIGITS = decimal.Context(prec=50, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
LONG = 100
"""Terms past which a sum may stop growing in a type: in bfloat16, whose numbers have 8 digits, it may from 2^7 on."""


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The exact answer to a case, as flat or shaped arrays of one shape.

    The answer is `value + rest`, an unevaluated sum: `value` is the nearest float64 (or, for max
    and indices, the element or index itself) and `rest` what float64 cannot hold of it.
    Error bounds follow from the rest: `magnitude` is Σ|term| of the sum behind each element,
    `extent` how large a partial sum may be before the division, or the root, `largest` the largest |term|
    of that sum if it is `LONG` and all have one sign, else 0, and `terms` how many there are. Anything
    conforms where `free` holds.
    """

    value: np.ndarray
    rest: np.ndarray
    magnitude: np.ndarray
    extent: np.ndarray
    largest: np.ndarray
    terms: np.ndarray
    free: np.ndarray


def pool(case: Case, cells: Cells | None = None) -> Exact:
    """The exact answer to a case, of the shape (N, C, *out), or x's for "gradient".

    `cells` asks for some pooled values or indices only, by their flat positions in (N, C, *out);
    the arrays are then flat. That is how an array of millions of elements is checked.

    Raises:
        ValueError: the definition calls the case invalid.
    """
    spec, x = case.spec, case.x
    if x.ndim < 3:
        raise ValueError(f"x has the shape {x.shape}: expected (N, C, *spatial)")
    spec.check(case.spatial)
    if x.shape[1] < 1:
        raise ValueError(f"x has the shape {x.shape}: expected at least one channel")
    if x.dtype.kind in "iu" and not (isinstance(spec.reduction, Max) and case.output != "gradient"):
        raise ValueError(f"{x.dtype.name}: integers have max values and indices only")
    if case.output == "indices" and not isinstance(spec.reduction, Max):
        raise ValueError(f"indices of {spec.reduction.name} pooling: only max has them")
    if case.output == "gradient":
        return _gradient(case)
    return _forward(case, cells)


# --- windows ------------------------------------------------------------------------------------


class Geometry:
    """The windows of a spec over one spatial shape, in row-major order."""

    def __init__(self, spec: PoolSpec, spatial: tuple[int, ...]) -> None:
        self.axes = [spec.windows.along(axis, size) for axis, size in enumerate(spatial)]
        self.strides = [math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
        self.shape = tuple(len(axis) for axis in self.axes)
        self.reduction = spec.reduction

    def taps(self, cell: int) -> list[int]:
        """The flat indices that a window reads, in row-major order."""
        taps = [0]
        for windows, stride, i in zip(self.axes, self.strides, self._position(cell), strict=True):
            offsets = [tap * stride for tap in windows[i].taps]
            taps = [base + offset for base in taps for offset in offsets]
        return taps

    def divisor(self, cell: int) -> int:
        """What an average divides by: its divisor, its padded taps, or its taps."""
        average = self.reduction
        if not isinstance(average, Average):
            return 1
        if average.divisor is not None:
            return average.divisor
        windows = [axis[i] for axis, i in zip(self.axes, self._position(cell), strict=True)]
        return math.prod(window.span if average.count_include_pad else len(window.taps) for window in windows)

    def _position(self, cell: int) -> list[int]:
        position = []
        for size in reversed(self.shape):
            cell, i = divmod(cell, size)
            position.append(i)
        return position[::-1]


@functools.lru_cache(maxsize=64)
def all_windows(spec: PoolSpec, spatial: tuple[int, ...]) -> tuple[list[list[int]], list[int]]:
    """(taps, divisors) of every window of a spec over one spatial shape, in row-major order."""
    geometry = Geometry(spec, spatial)
    cells = range(math.prod(geometry.shape))
    return [geometry.taps(cell) for cell in cells], [geometry.divisor(cell) for cell in cells]


# --- forward ------------------------------------------------------------------------------------


def _forward(case: Case, cells: Cells | None) -> Exact:
    """Reduce each window of each sample and channel."""
    spec = case.spec
    batch = case.x.shape[0] * case.x.shape[1]
    flat = case.x.reshape(batch, math.prod(case.spatial))
    answers = _Answers()
    if cells is None:
        taps, divisors = all_windows(spec, case.spatial)
        for row in range(batch):
            answers.extend(_reduce(case, flat[row], taps, divisors))
        return answers.shaped(case, case.pooled_shape)
    geometry = Geometry(spec, case.spatial)
    per_row = math.prod(geometry.shape)
    for cell in cells:
        row, position = divmod(int(cell), per_row)
        window = geometry.taps(position)
        # Only this window is converted: the array may have millions of elements.
        one = _reduce(case, flat[row, window], [list(range(len(window)))], [geometry.divisor(position)])
        if case.output == "indices":
            one = [(window[index], *others) for index, *others in one]
        answers.extend(one)
    return answers.shaped(case, (len(cells),))


def _reduce(case: Case, row: np.ndarray, windows: list[list[int]], divisors: list[int]) -> list[tuple]:
    """The answers of one sample and channel, window by window, each in the order of `Exact`."""
    reduction = case.spec.reduction
    if isinstance(reduction, Max):
        numbers = _numbers(row)
        picks = [argmax(numbers, taps) for taps in windows]
        if case.output == "values":
            return [(row[pick], 0.0, 0.0, 0.0, 0.0, 0) for pick in picks]
        return [(pick, 0.0, 0.0, 0.0, 0.0, 0) for pick in picks]
    if isinstance(reduction, Average):
        scaled = Scaled(row)
        return [(*scaled.average(taps, divisor), len(taps)) for taps, divisor in zip(windows, divisors, strict=True)]
    norms = Norms(row, reduction)
    return [(*norms.answer(taps), len(taps)) for taps in windows]


def argmax(numbers: Sequence[float], taps: Iterable[int]) -> int:
    """Where a window's maximum is: the first NaN if there is one, else the first of the largest.

    The first maximum in row-major order is what PyTorch and ONNX document; that the first NaN is
    a maximum is NumPy's rule for `argmax`.
    """
    best = -1
    for tap in taps:
        if numbers[tap] != numbers[tap]:
            return tap
        if best < 0 or numbers[tap] > numbers[best]:
            best = tap
    return best


def _numbers(row: np.ndarray) -> list:
    """Python numbers, exactly: integers as they are, every float type as float64."""
    return row.tolist() if row.dtype.kind in "iu" else row.astype(np.float64).tolist()


class Scaled:
    """A row of floats as integers over a common power of two, with what is not finite apart."""

    def __init__(self, row: np.ndarray) -> None:
        wide = row.astype(np.float64)
        finite = np.isfinite(wide)
        mantissas, exponents = np.frexp(np.where(finite, wide, 0))
        lowest = min(exponents[mantissas != 0].tolist(), default=0)
        whole = (mantissas * 2.0**53).astype(np.int64).tolist()
        self.exponent = lowest - 53
        self.integers = [m << (e - lowest) if m else 0 for m, e in zip(whole, exponents.tolist(), strict=True)]
        self.special = {} if finite.all() else {int(i): float(wide[i]) for i in np.flatnonzero(~finite)}

    def average(self, taps: Sequence[int], divisor: int) -> tuple[float, float, float, float, float]:
        """(value, rest, magnitude, extent, largest) of Σx / divisor over some taps."""
        if self.special and (specials := [self.special[tap] for tap in taps if tap in self.special]):
            return math.copysign(1.0, divisor) * sum_of_specials(specials), 0.0, 0.0, 0.0, 0.0
        integers = [self.integers[tap] for tap in taps]
        value, rest, magnitude, largest = self._quotients(integers, divisor)
        return value, rest, magnitude, magnitude * abs(divisor), largest * abs(divisor)

    def sum(self, terms: Sequence[tuple[int, int]]) -> tuple[float, float, float, float, float]:
        """(value, rest, magnitude, extent, largest) of Σ x/divisor over pairs (tap, divisor)."""
        if self.special and any(tap in self.special for tap, _ in terms):
            signed = [math.copysign(1.0, d) * self.special[t] for t, d in terms if t in self.special]
            return sum_of_specials(signed), 0.0, 0.0, 0.0, 0.0
        common = math.lcm(*(divisor for _, divisor in terms))
        value, rest, magnitude, largest = self._quotients([self.integers[tap] * (common // divisor) for tap, divisor in terms], common)
        return value, rest, magnitude, magnitude, largest

    def _quotients(self, integers: list[int], divisor: int) -> tuple[float, float, float, float]:
        up, down = max(self.exponent, 0), max(-self.exponent, 0)
        below = abs(divisor) << down
        total = sum(integers) if divisor > 0 else -sum(integers)
        value, rest = nearest(total << up, below)
        magnitude = sum(map(abs, integers))
        largest = max(map(abs, integers)) if len(integers) > LONG and abs(total) == magnitude else 0
        return value, rest, nearest(magnitude << up, below)[0], nearest(largest << up, below)[0] if largest else 0.0


def sum_of_specials(specials: Sequence[float]) -> float:
    """The sum of finite numbers and these NaNs and infinities: any NaN, or both infinities: NaN."""
    if any(math.isnan(special) for special in specials) or len(set(specials)) > 1:
        return math.nan
    return specials[0]


def nearest(above: int, below: int) -> tuple[float, float]:
    """The float64 nearest to a fraction, and what is left; infinite past float64's range."""
    try:
        value = above / below  # Python rounds the true division of integers correctly
    except OverflowError:
        return (math.inf if above > 0 else -math.inf), 0.0  # copysign would convert the integer, and overflow too
    p, q = value.as_integer_ratio()
    return value, (above * q - p * below) / (below * q)


class Norms:
    """The Lp norms of a row, to 50 digits."""

    def __init__(self, row: np.ndarray, reduction: Lp) -> None:
        self.numbers = row.astype(np.float64).tolist()
        self.p = decimal.Decimal(reduction.p)

    def norm(self, taps: Iterable[int]) -> decimal.Decimal:
        """(Σ|x|^p)^(1/p) over the taps; NaN beats infinity."""
        window = [abs(self.numbers[tap]) for tap in taps]
        if any(math.isnan(number) for number in window):
            return decimal.Decimal("nan")
        if math.inf in window:
            return decimal.Decimal("inf")
        largest = max(window)
        with decimal.localcontext(DIGITS):
            if not largest:
                return decimal.Decimal(0)
            # Powers of ratios, since x^p itself leaves even decimal's range for an extreme p.
            total = sum(_power(number, largest, self.p) for number in window)
            return decimal.Decimal(largest) * total ** (1 / self.p)

    def answer(self, taps: Sequence[int]) -> tuple[float, float, float, float, float]:
        """(value, rest, magnitude, extent, largest) of the norm over some taps; a root divides how long its sum counts by p."""
        norm = self.norm(taps)
        if len(taps) <= LONG * self.p or not norm.is_finite():
            return (*split(norm), 0.0, 0.0, 0.0)
        largest = decimal.Decimal(max(abs(self.numbers[tap]) for tap in taps))
        with decimal.localcontext(DIGITS):
            return (*split(norm), 0.0, float(norm**self.p), float(largest**self.p))

    def slope(self, tap: int, norm: decimal.Decimal) -> decimal.Decimal:
        """∂y/∂x = sign(x)(|x|/y)^(p−1), 0 where x or y is 0."""
        number = self.numbers[tap]
        if number == 0 or norm == 0:
            return decimal.Decimal(0)
        with decimal.localcontext(DIGITS):
            return ((decimal.Decimal(abs(number)) / norm) ** (self.p - 1)).copy_sign(decimal.Decimal(number))


@functools.lru_cache(maxsize=4096)
def _power(number: float, largest: float, p: decimal.Decimal) -> decimal.Decimal:
    with decimal.localcontext(DIGITS):
        return (decimal.Decimal(number) / decimal.Decimal(largest)) ** p if number else decimal.Decimal(0)


def split(number: decimal.Decimal) -> tuple[float, float]:
    """A decimal as the nearest float64 and what is left of it."""
    value = float(number)
    if not math.isfinite(value):
        return value, 0.0
    with decimal.localcontext(DIGITS):
        return value, float(number - decimal.Decimal(value))


# --- gradient -----------------------------------------------------------------------------------


def _gradient(case: Case) -> Exact:
    """Send the cotangent of each window back to its taps; where windows overlap, they add."""
    x, cotangent, reduction = case.x, case.cotangent, case.spec.reduction
    if cotangent is None or cotangent.shape != case.pooled_shape or cotangent.dtype != x.dtype:
        raise ValueError(
            f"the cotangent has the shape and the dtype of the values, {case.pooled_shape} of {x.dtype.name}; "
            f"got {None if cotangent is None else (cotangent.shape, cotangent.dtype.name)}"
        )
    batch = x.shape[0] * x.shape[1]
    taps, divisors = all_windows(case.spec, case.spatial)
    rows, weights = x.reshape(batch, math.prod(case.spatial)), cotangent.reshape(batch, len(taps))
    answers = _Answers()
    for row, weight in zip(rows, weights, strict=True):
        if isinstance(reduction, Lp):
            answers.extend(_norm_gradient(reduction, row, weight, taps))
            continue
        numbers = _numbers(row)
        meets: list[list[tuple[int, int]]] = [[] for _ in numbers]
        for window, (window_taps, divisor) in enumerate(zip(taps, divisors, strict=True)):
            for tap in [argmax(numbers, window_taps)] if isinstance(reduction, Max) else window_taps:
                meets[tap].append((window, divisor))
        scaled = Scaled(weight)
        answers.extend((*scaled.sum(terms), len(terms)) if terms else (0.0, 0.0, 0.0, 0.0, 0.0, 0) for terms in meets)
    return answers.shaped(case, x.shape)


def _norm_gradient(reduction: Lp, row: np.ndarray, weight: np.ndarray, windows: list[list[int]]) -> list[tuple]:
    norms = Norms(row, reduction)
    weights = weight.astype(np.float64).tolist()
    limit = overflow_threshold(row.dtype)
    terms: list[list[decimal.Decimal]] = [[] for _ in norms.numbers]
    counts = [0] * len(norms.numbers)
    free = set()
    for taps, cotangent in zip(windows, weights, strict=True):
        norm = norms.norm(taps)
        if not norm.is_finite() or norm >= limit or math.isinf(float(norm)):
            free.update(taps)
            continue
        for tap in taps:
            counts[tap] = max(counts[tap], len(taps))
            slope = norms.slope(tap, norm)
            if slope:
                with decimal.localcontext(DIGITS):
                    terms[tap].append(slope * decimal.Decimal(cotangent))
    answers = []
    for tap, summands in enumerate(terms):
        if specials := [float(term) for term in summands if not term.is_finite()]:
            answers.append((sum_of_specials(specials), 0.0, 0.0, 0.0, 0.0, counts[tap], tap in free))
            continue
        with decimal.localcontext(DIGITS):
            value, rest = split(sum(summands, decimal.Decimal(0)))
            magnitude = float(sum(map(abs, summands), decimal.Decimal(0)))
        answers.append((value, rest, magnitude, magnitude, 0.0, counts[tap] + len(summands), tap in free))
    return answers


@functools.cache
def overflow_threshold(dtype: np.dtype) -> float:
    """The smallest magnitude that rounds to infinity: the largest number and half a step more."""
    import ml_dtypes

    info = ml_dtypes.finfo(dtype)
    step = float(info.eps) * 2.0 ** (math.frexp(float(info.max))[1] - 1)
    return float(info.max) + step / 2


# --- answers ------------------------------------------------------------------------------------


class _Answers:
    """Answers collected element by element, then shaped."""

    def __init__(self) -> None:
        self.rows: list[tuple] = []

    def extend(self, rows: Iterable[tuple]) -> None:
        self.rows.extend(rows)

    def shaped(self, case: Case, shape: tuple[int, ...]) -> Exact:
        columns = list(itertools.zip_longest(*((*row, False)[:7] for row in self.rows))) or [()] * 7
        exact = isinstance(case.spec.reduction, Max) and case.output != "gradient"
        kind = (np.int64 if case.output == "indices" else case.x.dtype) if exact else np.float64
        return Exact(
            value=np.array(columns[0], dtype=kind).reshape(shape),
            rest=np.array(columns[1], dtype=np.float64).reshape(shape),
            magnitude=np.array(columns[2], dtype=np.float64).reshape(shape),
            extent=np.array(columns[3], dtype=np.float64).reshape(shape),
            largest=np.array(columns[4], dtype=np.float64).reshape(shape),
            terms=np.array(columns[5], dtype=np.int64).reshape(shape),
            free=np.array(columns[6], dtype=bool).reshape(shape),
        )
