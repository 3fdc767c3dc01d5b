"""What JAX makes of pooling on CPU where it leaves the definition.

Each mechanism is a `where` and a `predict` in the sense of `divergence.Divergence`; the rows are in
`divergences_jax.py`. Checked element by element against JAX's answers. XLA flushes subnormals as it
does for TensorFlow, whose mechanisms serve where they are the same.
"""

import math

import numpy as np

from backends import oracle
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Global, Max, Sliding
from properties.tensorflow_gradients import is_peculiar, is_sliding_max_gradient, kernel_taps, scatter, touched_by
from properties.tensorflow_max import HALF, any_window, flushed, is_float, predict_max_xla, rows_of
from properties.tensorflow_sums import is_average, where_subnormal_gradient

NOWHERE = np.zeros((), bool)
LARGE = 4096
"""From so many elements on XLA's reduction to a maximum is another one, which drops NaN."""


# --- gradients of max ---------------------------------------------------------------------------


def select_and_scatter_picks(case: Case) -> np.ndarray:
    """XLA's SelectAndScatter with GE: `pick = first; for x in window: if not (x[pick] >= x): pick = x`.

    A NaN is always replaced, and always replaces. The padding takes part as −inf: what ties with it
    there and comes later loses its gradient (−1).
    """
    rows = rows_of(case.x)
    padded = np.hstack([flushed(rows, case.x.dtype), np.full((len(rows), 1), -np.inf)])
    everyone = np.arange(len(rows))
    picks = []
    for window in kernel_taps(case):
        pick = np.full(len(rows), window[0])
        for tap in window[1:]:
            pick = np.where(padded[everyone, pick] >= padded[:, tap], pick, tap)
        picks.append(pick)
    return np.array(picks, np.int64).reshape(-1, len(rows)).T


def where_gradient(case: Case) -> np.ndarray:
    """Sliding max: elements that either rule picks in a window where the two differ."""
    if not is_sliding_max_gradient(case) or not is_peculiar(case):
        return NOWHERE
    return touched_by(case, select_and_scatter_picks(case))


def predict_gradient(case: Case, exact: Exact) -> np.ndarray:
    return scatter(case, select_and_scatter_picks(case))


def is_global_max_gradient(case: Case) -> bool:
    return isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Global) and case.output == "gradient" and is_float(case)


def where_shared(case: Case) -> np.ndarray:
    """jnp.max: channels whose maximum is tied, or NaN."""
    if not is_global_max_gradient(case):
        return NOWHERE
    axes = tuple(range(2, case.x.ndim))
    wide = flushed(case.x.astype(np.float64), case.x.dtype)
    with np.errstate(invalid="ignore"):
        ties = (wide == wide.max(axis=axes, keepdims=True)).sum(axis=axes, keepdims=True)
    return np.broadcast_to(ties != 1, case.x.shape)


def predict_shared(case: Case, exact: Exact) -> np.ndarray:
    """Each of the elements that equal the maximum gets its cotangent over their number; a NaN equals nothing."""
    dtype, axes = case.x.dtype, tuple(range(2, case.x.ndim))
    wide = flushed(case.x.astype(np.float64), dtype)
    with np.errstate(all="ignore"):
        chosen = wide == wide.max(axis=axes, keepdims=True)
        given = flushed(case.cotangent.astype(np.float64), dtype).astype(dtype)
        share = (given / chosen.sum(axis=axes, keepdims=True).astype(dtype)).astype(dtype)
    return np.where(chosen, flushed(share.astype(np.float64), dtype), 0.0)


def is_large(case: Case) -> bool:
    """Whether jnp.max of a case drops NaN: from 4096 elements on, over more than one."""
    asked = isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Global)
    return asked and is_float(case) and case.x.size >= LARGE and math.prod(case.spatial) > 1


def kept_nan(case: Case) -> np.ndarray:
    """NaN that a large reduction does not drop, (N, C, *spatial): half types are compared as integers, and NaN without a sign bit is the largest."""
    kept = np.isnan(case.x)
    return kept & ~np.signbit(case.x) if case.x.dtype.name in HALF else np.zeros_like(kept)


def is_tiled(case: Case) -> bool:
    """Whether XLA makes a plain reduction of windows of a large array: on each axis they tile it, read all of it, or one element."""
    windows = case.spec.windows
    if not (isinstance(case.spec.reduction, Max) and isinstance(windows, Sliding) and case.output == "values"):
        return False
    axes = list(zip(windows.kernel, windows.stride, windows.dilation, case.spatial, strict=True))
    alike = all(kernel == 1 or (kernel in (stride, size) and dilation == 1) for kernel, stride, dilation, size in axes)
    return alike and is_float(case) and case.x.size >= LARGE


def where_tiles_dropped(case: Case) -> np.ndarray:
    """Sliding max of large arrays: windows with a NaN, and none that is kept."""
    if not is_tiled(case) or not np.isnan(case.x).any():
        return NOWHERE
    return any_window(case, np.isnan(case.x)) & ~any_window(case, kept_nan(case))


def where_dropped(case: Case) -> np.ndarray:
    """jnp.max of large arrays: channels with a NaN, and none that is kept."""
    if case.output == "indices" or not is_large(case):
        return NOWHERE
    axes = tuple(range(2, case.x.ndim))
    hurt = np.isnan(case.x).any(axis=axes, keepdims=True) & ~kept_nan(case).any(axis=axes, keepdims=True)
    return hurt if case.output == "values" else np.broadcast_to(hurt, case.x.shape)


def without_nan(case: Case) -> np.ndarray:
    """The maxima of what is no NaN, (N, C, 1, …); −inf where nothing is left."""
    wide = flushed(case.x.astype(np.float64), case.x.dtype)
    return np.where(np.isnan(wide), -np.inf, wide).max(axis=tuple(range(2, case.x.ndim)), keepdims=True)


def predict_dropped(case: Case, exact: Exact) -> np.ndarray:
    """The maximum without its NaN, or the cotangent shared among what equals that."""
    largest = without_nan(case)
    return largest if case.output == "values" else shared(case, largest)


def shared(case: Case, largest: np.ndarray) -> np.ndarray:
    """The cotangent of each channel shared among what equals a number of (N, C, 1, …)."""
    dtype = case.x.dtype
    chosen = flushed(case.x.astype(np.float64), dtype) == largest
    with np.errstate(all="ignore"):
        given = flushed(case.cotangent.astype(np.float64), dtype).astype(dtype)
        share = (given / chosen.sum(axis=tuple(range(2, case.x.ndim)), keepdims=True).astype(dtype)).astype(dtype)
    return np.where(chosen, flushed(share.astype(np.float64), dtype), 0.0)


def where_any_order(case: Case) -> np.ndarray:
    """What drops NaN by whole vectors: jnp.max, and windows that are not pooled along the axis that lies innermost in memory."""
    windows = case.spec.windows
    if case.x.dtype.name in HALF:
        return NOWHERE
    if isinstance(windows, Sliding):
        kept = windows.kernel[-1] == 1 or (case.layout == "channels_last" and case.x.shape[1] > 1)
        return where_tiles_dropped(case) if kept else NOWHERE
    return where_dropped(case) if case.output == "values" else NOWHERE


def predict_any_order(case: Case, exact: Exact) -> np.ndarray:
    return predict_dropped(case, exact) if isinstance(case.spec.windows, Global) else predict_max_xla(case, exact)


def nearest_element(case: Case, actual: np.ndarray) -> np.ndarray:
    """Of each window the number nearest to its answer, or −inf: what a NaN met before it is lost with it, by an order that LLVM chooses."""
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    rows, answers = flushed(rows_of(case.x), case.x.dtype), rows_of(actual)
    out = np.full(answers.shape, -np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        for j, window in enumerate(taps):
            numbers = np.where(np.isnan(rows[:, window]), -np.inf, rows[:, window])
            answer = answers[:, j : j + 1]
            apart = np.where(numbers == answer, 0.0, np.nan_to_num(np.abs(numbers - answer), nan=np.inf))
            nearest = np.take_along_axis(numbers, apart.argmin(axis=1, keepdims=True), axis=1)
            out[:, j] = np.where(answer == -np.inf, answer, nearest)[:, 0]
    return out.reshape(actual.shape)


def nearest_shared(case: Case, actual: np.ndarray) -> np.ndarray:
    """The gradient shared among what equals the first element that got some: the maximum may have been any, or −inf."""
    rows, got = flushed(rows_of(case.x), case.x.dtype), rows_of(actual) != 0
    taken = np.where(got.any(axis=1), rows[np.arange(len(rows)), got.argmax(axis=1)], -np.inf)
    return shared(case, taken.reshape(*case.x.shape[:2], *(1,) * len(case.spatial)))


def where_multiplied(case: Case) -> np.ndarray:
    """jnp.max of bfloat16: channels whose share is not finite, since a cotangent is not, or nothing equals a NaN."""
    if not is_global_max_gradient(case) or case.x.dtype.name != "bfloat16":
        return NOWHERE
    axes = tuple(range(2, case.x.ndim))
    hurt = np.isnan(case.x).any(axis=axes, keepdims=True) | ~np.isfinite(case.cotangent.astype(np.float64))
    return np.broadcast_to(hurt, case.x.shape)


def predict_multiplied(case: Case, exact: Exact) -> np.ndarray:
    """The share is multiplied by whether an element equals the maximum: 0 times what is not finite is NaN."""
    axes = tuple(range(2, case.x.ndim))
    wide = flushed(case.x.astype(np.float64), case.x.dtype)
    with np.errstate(all="ignore"):
        chosen = wide == wide.max(axis=axes, keepdims=True)
        return case.cotangent.astype(np.float64) / chosen.sum(axis=axes, keepdims=True) * chosen


def where_subnormal_cotangent(case: Case) -> np.ndarray:
    """Sliding max: elements that a cotangent near the smallest normal number or below may go to."""
    return where_subnormal_gradient(case) if is_sliding_max_gradient(case) else NOWHERE


# --- sums ---------------------------------------------------------------------------------------


def where_half_sum(case: Case) -> np.ndarray:
    """Sliding sums of half types."""
    return np.array(is_average(case, "values", HALF) and isinstance(case.spec.windows, Sliding))


def where_half_gradient(case: Case) -> np.ndarray:
    """Gradients of half types where windows may overlap."""
    return np.array(case.output == "gradient" and case.x.dtype.name in HALF)
