"""What TensorFlow 2.21 makes of a maximum on CPU where it leaves the definition: values and indices.

Each mechanism is a `where` and a `predict` in the sense of `divergence.Divergence`; the rows are in
`divergences_tensorflow.py`. Checked element by element against TensorFlow's answers.
"""

import math
from typing import Any

import ml_dtypes
import numpy as np

from backends import oracle, tensorflow_plan
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Global, Max, Sliding

HALF = ("float16", "bfloat16")


# --- helpers ------------------------------------------------------------------------------------


def rows_of(array: Any) -> Any:
    return array.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:])).astype(np.float64)


def smallest_normal(dtype: np.dtype) -> Any:
    return float(ml_dtypes.finfo(dtype).smallest_normal)


def lowest(dtype: np.dtype) -> Any:
    return float(ml_dtypes.finfo(dtype).min)


def flushed(wide: Any, dtype: np.dtype) -> Any:
    """Subnormal operands and results are zeros (DAZ, FTZ); float16 is computed in float32, where its own are normal."""
    return wide if dtype.name == "float16" else np.where(np.abs(wide) < smallest_normal(dtype), np.copysign(0.0, wide), wide)


def has_subnormals(array: Any) -> Any:
    if array is None or array.dtype.kind in "iu" or array.dtype.name == "float16":
        return False
    wide = np.abs(array.astype(np.float64))
    return bool(((wide > 0) & (wide < smallest_normal(array.dtype))).any())


def any_window(case: Case, marked: Any) -> Any:
    """Which outputs have a window in which an element of (N, C, *spatial) is marked."""
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    rows = marked.reshape(case.x.shape[0] * case.x.shape[1], math.prod(case.spatial))
    return np.stack([rows[:, window].any(axis=1) for window in taps], axis=1).reshape(case.pooled_shape)


def is_float(case: Case) -> Any:
    return case.x.dtype.kind not in "iu" and case.x.size > 0


def is_explicit(case: Case) -> Any:
    return isinstance(case.spec.windows, Sliding) and isinstance(tensorflow_plan.call(case).arguments.get("padding"), tuple)


def is_onednn(case: Case) -> Any:
    """Whether oneDNN pools it (float32, and half types where the CPU has instructions for them; SAME or VALID), not Eigen."""
    return tensorflow_plan.pooled_by_onednn(case, tensorflow_plan.onednn_dtypes()) and not is_explicit(case)


def start(case: Case, xla: bool) -> Any:
    """What a running maximum starts from: the lowest finite number, or −inf."""
    if xla:
        return -np.inf
    # Two or three channels, each of several elements: these its JIT kernel does not take.
    apart = case.layout == "channels_first" and case.x.shape[1] in (2, 3) and math.prod(case.spatial) > 1
    if case.x.dtype.name in HALF and is_onednn(case) and not apart:
        return -np.inf  # oneDNN's JIT kernel keeps float32's lowest, which is −inf once rounded to a half type
    return lowest(case.x.dtype)


# --- max, values --------------------------------------------------------------------------------


def running_max(case: Case, *, xla: bool, raw: bool) -> Any:
    """(value, tap) of `acc = start; for x in window: if acc < x: acc = x`; NaN never wins, and subnormals are zeros.

    `raw`: the winner is copied, subnormal or not. `tap` is −1 where nothing won.
    """
    rows = rows_of(case.x)
    daz = flushed(rows, case.x.dtype)
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    everyone = np.arange(len(rows))
    values, picks = np.empty((len(rows), len(taps))), np.empty((len(rows), len(taps)), np.int64)
    for j, window in enumerate(taps):
        best, pick = np.full(len(rows), start(case, xla)), np.full(len(rows), -1)
        for tap in window:
            wins = best < daz[:, tap]
            best, pick = np.where(wins, daz[:, tap], best), np.where(wins, tap, pick)
        values[:, j] = np.where(pick < 0, best, rows[everyone, pick]) if raw else best
        picks[:, j] = pick
    return values.reshape(case.pooled_shape), picks


def is_sliding_max_values(case: Case) -> Any:
    return isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Sliding) and case.output == "values" and is_float(case)


def where_nan(case: Case) -> Any:
    """Sliding max of floats: a NaN in the window."""
    if not is_sliding_max_values(case) or not np.isnan(case.x).any():
        return np.zeros((), bool)
    return any_window(case, np.isnan(case.x))


def where_minus_infinity(case: Case) -> Any:
    """Sliding max of floats: nothing but −inf in the window; not where the running maximum starts from −inf."""
    if not is_sliding_max_values(case) or start(case, False) == -np.inf or not np.isneginf(case.x).any():
        return np.zeros((), bool)
    return ~any_window(case, ~np.isneginf(case.x.astype(np.float64)))


def where_subnormal_max(case: Case) -> Any:
    """Max of floats (sliding or global): a window with a subnormal and nothing larger in magnitude on top."""
    if not (isinstance(case.spec.reduction, Max) and case.output == "values" and is_float(case)) or not has_subnormals(case.x):
        return np.zeros((), bool)
    wide = case.x.astype(np.float64)
    small = np.abs(wide) < smallest_normal(case.x.dtype)
    return (
        any_window(case, small & (wide != 0))
        & ~any_window(case, wide >= smallest_normal(case.x.dtype))
        & ~any_window(case, np.isnan(wide) if isinstance(case.spec.windows, Global) else np.zeros(wide.shape, bool))
    )


def predict_max(case: Case, exact: Exact) -> Any:
    return running_max(case, xla=False, raw=case.x.dtype.name == "float32" and is_onednn(case))[0]


def predict_max_xla(case: Case, exact: Exact) -> Any:
    return running_max(case, xla=True, raw=False)[0]


def predict_zero(case: Case, exact: Exact) -> Any:
    return flushed(exact.value.astype(np.float64), case.x.dtype)


# --- max, indices, and the gradient on CPU outside oneDNN ----------------------------------------


def first_tap_argmax(case: Case) -> Any:
    """`pick = first tap; for x in window: if x[pick] < x: pick = x`: a NaN stays if it is first, and never wins otherwise."""
    rows = rows_of(case.x)
    daz = flushed(rows, case.x.dtype)
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    everyone = np.arange(len(rows))
    picks = np.empty((len(rows), len(taps)), np.int64)
    for j, window in enumerate(taps):
        pick = np.full(len(rows), window[0])
        for tap in window:
            pick = np.where(daz[everyone, pick] < daz[:, tap], tap, pick)
        picks[:, j] = pick
    return picks


def where_index_nan(case: Case) -> Any:
    if not (case.output == "indices" and is_float(case) and np.isnan(case.x).any()):
        return np.zeros((), bool)
    return any_window(case, np.isnan(case.x))


def where_index_subnormal(case: Case) -> Any:
    if not (case.output == "indices" and is_float(case) and has_subnormals(case.x)):
        return np.zeros((), bool)
    wide = case.x.astype(np.float64)
    return any_window(case, (np.abs(wide) < smallest_normal(case.x.dtype)) & (wide != 0))


def predict_index(case: Case, exact: Exact) -> Any:
    return first_tap_argmax(case).reshape(case.pooled_shape)
