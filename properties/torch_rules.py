"""What PyTorch makes of pooling on CPU where it leaves the definition.

Each mechanism is a `where` and a `predict` in the sense of `divergence.Divergence`; the rows are in
`divergences_torch.py`. Checked element by element against PyTorch's answers.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from backends import compare, oracle, torch_plan
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Adaptive, Average, Lp, Max, Sliding
from properties.divergence import sums_may_round

HALF = ("float16", "bfloat16")
NOWHERE = np.zeros((), bool)


def rows_of(array: np.ndarray) -> np.ndarray:
    """(N·C, elements) as float64, or as the integers they are."""
    flat = array.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:]))
    return flat if array.dtype.kind in "iu" else flat.astype(np.float64)


# --- which element a maximum is -------------------------------------------------------------------


def last_nan(numbers: list, taps: list[int]) -> int:
    """`if (val > maxval || isnan(val))`: the last NaN, or the first of the largest."""
    nans = [tap for tap in taps if numbers[tap] != numbers[tap]]
    return nans[-1] if nans else oracle.argmax(numbers, taps)


def identity_of(case: Case) -> float:
    """What a running maximum starts from."""
    return np.iinfo(case.x.dtype).min if case.x.dtype.kind in "iu" else -math.inf


def picks(case: Case) -> np.ndarray:
    """Where PyTorch's eager kernels say that each maximum is: (N·C, windows).

    The 3-D kernel starts from the window's first tap on the last two axes only: where nothing is
    larger than the identity, the index lies in the first plane.
    """
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    plane = math.prod(case.spatial[1:])
    forgets_depth = case.x.ndim == 5 and isinstance(case.spec.windows, Sliding)
    lowest = identity_of(case)

    def pick(row: list, window: list[int]) -> int:
        return window[0] % plane if forgets_depth and all(row[tap] == lowest for tap in window) else last_nan(row, window)

    found = [[pick(row, window) for window in taps] for row in rows_of(case.x).tolist()]
    return np.array(found, np.int64).reshape(len(found), len(taps))


def definition_picks(case: Case) -> np.ndarray:
    """Where the definition says that each maximum is: (N·C, windows)."""
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    return np.array([[oracle.argmax(row, window) for window in taps] for row in rows_of(case.x).tolist()], np.int64).reshape(-1, len(taps))


def is_max(case: Case, output: str) -> bool:
    return isinstance(case.spec.reduction, Max) and case.output == output and case.x.size > 0


def has_peculiar_windows(case: Case) -> bool:
    """Whether a NaN or the identity is among the elements: what the picks turn on."""
    if case.x.dtype.kind in "iu":
        return bool((case.x == identity_of(case)).any())
    return bool((np.isnan(case.x) | np.isneginf(case.x.astype(np.float64))).any())


def where_index(case: Case) -> np.ndarray:
    """Indices of windows in which PyTorch takes another element than the definition."""
    if not is_max(case, "indices") or not has_peculiar_windows(case):
        return NOWHERE
    return (picks(case) != definition_picks(case)).reshape(case.pooled_shape)


def predict_index(case: Case, exact: Exact) -> np.ndarray:
    return picks(case).reshape(case.pooled_shape)


def where_max_gradient(case: Case) -> np.ndarray:
    """Elements that either rule picks in a window where the two differ."""
    if not is_max(case, "gradient") or not has_peculiar_windows(case):
        return NOWHERE
    theirs, ours = picks(case), definition_picks(case)
    touched = np.zeros((len(ours), math.prod(case.spatial)), bool)
    rows, cells = np.nonzero(ours != theirs)
    touched[rows, ours[rows, cells]] = True
    touched[rows, theirs[rows, cells]] = True
    return touched.reshape(case.x.shape)


def predict_max_gradient(case: Case, exact: Exact) -> np.ndarray:
    """The cotangents handed to PyTorch's picks, added one after the other in the values' own type."""
    chosen, given = picks(case), case.cotangent.reshape(-1, math.prod(case.pooled_shape[2:]))
    out = np.zeros((len(chosen), math.prod(case.spatial)), case.x.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, (taps, weights) in enumerate(zip(chosen, given, strict=True)):
            for tap, weight in zip(taps, weights, strict=True):
                out[row, tap] = out[row, tap] + weight
    return out.reshape(case.x.shape).astype(np.float64)


# --- sums -----------------------------------------------------------------------------------------


def where_half_gradient(case: Case) -> np.ndarray:
    """Gradients of half types, where more than one window meets."""
    return np.array(case.output == "gradient" and case.x.dtype.name in HALF and not isinstance(case.spec.reduction, Lp))


def twice_divided(case: Case) -> np.ndarray:
    """How much wider the bound of an adaptive average's gradient is: its share is divided by one side of its bin after the other."""
    if not (isinstance(case.spec.reduction, Average) and isinstance(case.spec.windows, Adaptive) and case.output == "gradient"):
        return np.zeros(())
    exact, kind = oracle.pool(case), compare.format_of(case.x.dtype)
    slack: np.ndarray = exact.terms * kind.eta / 2 + kind.u * np.where(np.isfinite(exact.magnitude), exact.magnitude, 0)
    return slack


def where_half_divisor(case: Case) -> np.ndarray:
    """Gradients of averages over a divisor of one's own that a half type does not hold."""
    reduction = case.spec.reduction
    if not (isinstance(reduction, Average) and reduction.divisor and case.output == "gradient" and case.x.dtype.name in HALF):
        return NOWHERE
    return np.array(_in_half(reduction.divisor, case.x.dtype) != reduction.divisor)


def predict_half_divisor(case: Case, exact: Exact) -> np.ndarray:
    """The gradient over the divisor as the half type has it, which may be infinite."""
    divisor = case.spec.reduction.divisor
    with np.errstate(invalid="ignore"):
        return exact.value * (divisor / _in_half(divisor, case.x.dtype))


def _in_half(divisor: int, dtype: np.dtype) -> float:
    with np.errstate(over="ignore"):
        return float(np.asarray(float(divisor)).astype(dtype))


def where_average(case: Case) -> np.ndarray:
    """Averages: adaptive and channels-last kernels keep the sums of half types in the half type."""
    if not (isinstance(case.spec.reduction, Average) and case.output == "values" and case.x.dtype.name in HALF):
        return NOWHERE
    return np.array(not isinstance(case.spec.windows, Sliding) or torch_plan.runs_channels_last(case))


def where_overflow(case: Case) -> np.ndarray:
    """Averages where Σ|x| of what is finite is past the type's range, so that partial sums overflow."""
    if not isinstance(case.spec.reduction, Average) or case.output != "values" or not case.x.size:
        return NOWHERE
    return overflows(case)


def overflows(case: Case) -> np.ndarray:
    """Windows in which partial sums of the finite elements may be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.abs(rows_of(case.x)) / 2.0**64  # float64 itself may overflow
        wide = np.where(np.isfinite(wide), wide, 0)
        limit = float(ml_dtypes.finfo(case.x.dtype).max) / 2.0**64 * (1 - 2.0**-6)
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    sums = np.stack([wide[:, window].sum(axis=1) for window in taps], axis=1)
    return (sums >= limit).reshape(case.pooled_shape)


def predict_nan(case: Case, exact: Exact) -> np.ndarray:
    """Inf − inf."""
    return np.full(exact.value.shape, np.nan)


def in_type(where: Any, dtype: str) -> Any:
    """A `where` for one dtype only."""
    return lambda case: where(case) & (case.x.dtype.name == dtype)


# --- Lp -------------------------------------------------------------------------------------------


def where_lp(case: Case) -> np.ndarray:
    """Every norm, and every gradient of one."""
    return np.array(isinstance(case.spec.reduction, Lp))


class Rounding:
    """One operation after the other in a type: half types compute each in float32 and round it; fused, where it is stored alone.

    In vectors float32 rounds exponents as well; what is left over for scalars keeps them in double.
    """

    def __init__(self, kind: np.dtype, *, fused: bool = False, vectors: bool = False) -> None:
        self.wide = np.dtype(np.float32) if kind.name in HALF else kind
        self.kind, self.fused, self.vectors = kind, fused, vectors

    def __call__(self, value: np.ndarray) -> np.ndarray:
        return np.asarray(value, self.wide) if self.fused else self.store(value)

    def store(self, value: np.ndarray) -> np.ndarray:
        """What is left of a value in memory."""
        return np.asarray(value, self.wide).astype(self.kind).astype(self.wide)

    def power(self, base: np.ndarray, exponent: float) -> np.ndarray:
        """`base.pow(exponent)`: half types round the exponent as well, and so do vectors."""
        if self.kind.name in HALF or self.vectors:
            exponent = float(np.asarray(exponent).astype(self.kind))
        return self(base.astype(np.float64) ** exponent)


def lp_steps(
    case: Case, rounded: Rounding, mean_rounded: Rounding | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[list[int]], float]:
    """(x, Σ over each window as PyTorch has it, y, taps, kernel): `avg_pool(x.pow(p)).mul(k).pow(1/p)`, step by step.

    `mean_rounded` is in what the means are stored, if not in what the powers are.
    """
    p = case.spec.reduction.p
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    windows = case.spec.windows
    kernel = math.prod(windows.kernel) if isinstance(windows, Sliding) else math.prod(case.spatial)
    x = case.x.reshape(-1, math.prod(case.spatial)).astype(rounded.wide)
    powers = rounded.store(rounded.power(x, p))
    totals = np.empty((len(x), len(taps)), rounded.wide)
    for cell, window in enumerate(taps):
        mean = (mean_rounded or rounded).store(
            np.add.reduce(powers[:, window], axis=1, dtype=rounded.wide) / rounded.wide.type(len(window))
        )
        # torch.sign(out) * relu(torch.abs(out)), then the size of a whole window: a clipped one is scaled up.
        totals[:, cell] = rounded(rounded(np.sign(mean) * np.abs(mean)) * rounded.wide.type(kernel))
    y = rounded.power(totals, 1 / p)
    return x, totals, y, taps, float(kernel)


def lp_rounding(case: Case, rounded: Rounding, totals: np.ndarray, taps: list[list[int]], kernel: float) -> tuple[np.ndarray, np.ndarray]:
    """(c, drowned), both (N·C, windows): what cancelling costs a sum of signed powers, and where nothing but rounding is left.

    The formula's Σx^p over n taps is good to (n+3)·u·Σ|x^p|, of which the definition, whose terms have one sign,
    explains (n+3)·u·|Σx^p|. The rest, here and in the prediction, relative to |Σx^p|, is c, of which up to ½ counts.
    The totals, taps and kernel are those of `lp_steps`.
    """
    magnitudes = np.abs(case.x.reshape(-1, math.prod(case.spatial)).astype(np.float64)) ** case.spec.reduction.p
    sums = np.stack([magnitudes[:, window].sum(axis=1) * (kernel / len(window)) for window in taps], axis=1)
    lengths = np.array([len(window) for window in taps])
    lost = 2 * (lengths + 3) * compare.format_of(case.x.dtype).u * (sums / np.abs(totals) - 1)
    rounds = sums_may_round(magnitudes, taps, rounded.wide)
    drowned = rounds & np.isfinite(sums) & (lengths > 1) & ((lost >= 0.5) | ((totals == 0) & (sums > 0)))
    return np.where(np.isfinite(lost), np.clip(lost, 0, 0.5), 0), drowned


def lp_slack(case: Case, *, compiled: bool = False) -> np.ndarray:
    """How far rounding may take a norm, or its gradient, from PyTorch's formula because odd powers cancel.

    A root raised to q = 1/p, or to 1/p − 1 for a gradient, is off by |(1 ± c)^q − 1| ≤ (1 − c)^−|q| − 1.
    """
    rounded = Rounding(case.x.dtype, fused=compiled)
    p = case.spec.reduction.p
    with np.errstate(all="ignore"):
        x, totals, y, taps, kernel = lp_steps(case, rounded)
        lost, _ = lp_rounding(case, rounded, totals, taps, kernel)
        if case.output == "values":
            off = np.abs(y) * ((1 - lost) ** (-1 / p) - 1)
            return np.where(np.isfinite(off), off, 0).reshape(case.pooled_shape)
        given = np.abs(case.cotangent.reshape(len(x), len(taps)).astype(np.float64))
        of_totals = given * np.abs(totals) ** (1 / p - 1) * ((1 - lost) ** -abs(1 / p - 1) - 1)
        back = np.zeros(x.shape)
        for cell, window in enumerate(taps):
            back[:, window] += (np.where(np.isfinite(of_totals[:, cell]), of_totals[:, cell], 0) * kernel / len(window))[:, None]
        off = back * np.abs(x) ** (p - 1)
        return np.where(np.isfinite(off), off, 0).reshape(case.x.shape)


@dataclass(frozen=True, kw_only=True)
class Leeway:
    """What rounding and the order of addition leave open in PyTorch's formula for a norm, each array of the outputs' shape.

    `drowned`: signed powers cancel to nothing but rounding, and the norm is at most `left`. `over`: partial sums can
    overflow, and without that the norm is `whole`. Of a gradient both mark the elements that such a window reads.
    """

    predicted: np.ndarray
    drowned: np.ndarray
    over: np.ndarray
    left: np.ndarray
    whole: np.ndarray


@functools.lru_cache(maxsize=4096)
def leeway(case: Case, *, compiled: bool = False, vectors: bool = False) -> Leeway:
    """What PyTorch's formula leaves open in a case."""
    rounded = Rounding(case.x.dtype, fused=compiled)
    p, u = case.spec.reduction.p, compare.format_of(case.x.dtype).u
    with np.errstate(all="ignore"):
        predicted = predict_lp(case, oracle.pool(case), compiled=compiled, vectors=vectors)
        x, totals, _, taps, kernel = lp_steps(case, rounded)
        _, drowned = lp_rounding(case, rounded, totals, taps, kernel)
        powers = np.where(np.isfinite(x), x, 0).astype(np.float64) ** p
        lengths = np.array([len(window) for window in taps])
        signed = np.stack([powers[:, window].sum(axis=1) for window in taps], axis=1) * (kernel / lengths)
        sums = np.stack([np.abs(powers[:, window]).sum(axis=1) for window in taps], axis=1)
        over = sums >= float(ml_dtypes.finfo(rounded.wide).max) * (1 - 2.0**-6)
        left, whole = (2 * (lengths + 3) * u * sums * (kernel / lengths)) ** (1 / p), signed ** (1 / p)
    marks = drowned & ~over, over
    if case.output == "gradient":
        read = [np.zeros(x.shape, bool) for _ in marks]
        for elements, marked in zip(read, marks, strict=True):
            for cell, window in enumerate(taps):
                elements[:, window] |= marked[:, cell : cell + 1]
        marks, left, whole = (read[0], read[1]), np.zeros(x.shape), np.zeros(x.shape)
    shape = case.x.shape if case.output == "gradient" else case.pooled_shape
    drowned, over, left, whole = (array.reshape(shape) for array in (*marks, left, whole))
    return Leeway(predicted=np.broadcast_to(predicted, shape), drowned=drowned, over=over, left=left, whole=whole)


def nearest_lp(case: Case, actual: np.ndarray, *, compiled: bool = False, vectors: bool = False) -> np.ndarray:
    """The formula; where it leaves something open, what came, if rounding or the order of addition can make it.

    Where only rounding is left that is a norm no larger than its root, or NaN, the root of a negative; where partial
    sums can overflow any infinity, NaN, or the norm without overflow; a gradient, which divides by the norm, is anything.
    """
    able = leeway(case, compiled=compiled, vectors=vectors)
    if case.output == "gradient":
        return np.where(able.drowned | able.over, actual, able.predicted)
    with np.errstate(invalid="ignore"):
        small = (np.abs(actual) <= able.left) | np.isnan(actual)
    chosen = np.where(able.over, np.where(np.isfinite(actual), able.whole, actual), able.predicted)
    return np.where(able.drowned & small, actual, chosen)


def predict_lp_in_vectors(case: Case, exact: Exact) -> np.ndarray:
    """PyTorch's formula for a norm, with exponents that are rounded as vectors are."""
    return predict_lp(case, exact, vectors=True)


def where_lp_in_vectors(case: Case) -> np.ndarray:
    """Norms whose order has no exact reciprocal in float32."""
    reduction = case.spec.reduction
    return np.array(isinstance(reduction, Lp) and case.x.dtype == np.float32 and float(np.float32(1 / reduction.p)) != 1 / reduction.p)


def predict_lp(case: Case, exact: Exact, *, compiled: bool = False, vectors: bool = False) -> np.ndarray:
    """PyTorch's formula for a norm, or autograd's for its gradient.

    Compiled, half types are rounded where inductor stores them alone, and the gradient of the average
    within divides by the whole kernel, however little of it a window reads.
    """
    rounded = Rounding(case.x.dtype, fused=compiled, vectors=vectors)
    with np.errstate(all="ignore"):
        x, totals, y, taps, kernel = lp_steps(case, rounded)
        if case.output == "values":
            return rounded.store(y).reshape(case.pooled_shape).astype(np.float64)
        p, wide = case.spec.reduction.p, rounded.wide.type
        given = case.cotangent.reshape(len(x), len(taps)).astype(rounded.wide)
        # pow's own derivative is 0 where the exponent is 0, else g·(p·x^(p−1)).
        of_total = np.zeros_like(totals) if p == 0 else rounded(given * rounded(wide(1 / p) * rounded.power(totals, 1 / p - 1)))
        of_mean = rounded(of_total * wide(kernel))
        back = np.zeros_like(x)
        for cell, window in enumerate(taps):
            mean_sign = np.sign(totals[:, cell])
            # relu hands nothing back at 0, whatever comes; the sign counts as a constant.
            through = np.where(totals[:, cell] == 0, 0, of_mean[:, cell] * mean_sign * mean_sign)
            back[:, window] += (rounded.store(through) / wide(kernel if compiled else len(window)))[:, None]
        slope = rounded(wide(p) * rounded.power(x, p - 1))
        return rounded.store(rounded(back) * slope).reshape(case.x.shape).astype(np.float64)
