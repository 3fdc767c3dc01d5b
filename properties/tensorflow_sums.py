"""What TensorFlow 2.21 makes of sums on CPU: half-precision accumulators, flushed subnormals, overflow, clipped windows."""

import itertools
import math
from typing import Any

import numpy as np

from backends import oracle
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Average, Global, Max, Sliding
from properties.tensorflow_gradients import boxes_of, scatter
from properties.tensorflow_max import HALF, any_window, first_tap_argmax, flushed, is_onednn, rows_of, smallest_normal

# --- averages -----------------------------------------------------------------------------------


def is_average(case: Case, output: str, dtypes: Any) -> Any:
    return isinstance(case.spec.reduction, Average) and case.output == output and case.x.dtype.name in dtypes


def where_half_average(case: Case) -> Any:
    """accumulator="float16": sums of float16 are kept in float16 (Eigen), sliding and global."""
    return np.array(is_average(case, "values", ("float16",)))


def where_half_gradient(case: Case) -> Any:
    """Accumulator = the dtype: gradients of half types are added in the half type."""
    return np.array(case.output == "gradient" and case.x.dtype.name in HALF)


def where_half_gradient_in_a_graph(case: Case) -> Any:
    """Gradients of half types, but those of maxima that oneDNN adds in float32: what it keeps of channels that lie side by side is rounded."""
    alone = case.layout == "channels_first" or case.x.shape[1] == 1
    wide = is_onednn(case) and isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Sliding) and alone and case.x.ndim < 5
    return where_half_gradient(case) & (not wide)


def where_wide_window(case: Case) -> Any:
    """Gradient of a SAME average whose window is clipped at its start and wider than the input (Eigen: float64 and float16)."""
    if not is_average(case, "gradient", ("float64", "float16")) or not isinstance(case.spec.windows, Sliding) or case.x.ndim > 4:
        return np.zeros((), bool)
    windows = case.spec.windows
    if set(windows.dilation) != {1}:
        return np.zeros((), bool)
    boxes = boxes_of(case)
    taps = [[list(window.taps) for window in windows.along(axis, size)] for axis, size in enumerate(case.spatial)]
    wrong = [[list(box) != tap for box, tap in zip(*pair, strict=True)] for pair in zip(boxes, taps, strict=True)]
    if not any(map(any, wrong)):
        return np.zeros((), bool)
    touched = np.zeros(case.spatial, bool)
    for cell in itertools.product(*(range(len(axis)) for axis in boxes)):
        if any(wrong[a][i] for a, i in enumerate(cell)):
            touched[np.ix_(*(boxes[a][i] for a, i in enumerate(cell)))] = True
            touched[np.ix_(*(taps[a][i] for a, i in enumerate(cell)))] = True
    return np.broadcast_to(touched, case.x.shape)


def predict_wide_window(case: Case, exact: Exact) -> Any:
    dtype = case.x.dtype
    out = np.zeros(case.x.shape, dtype)
    boxes = boxes_of(case)
    for cell in itertools.product(*(range(len(axis)) for axis in boxes)):
        box = [boxes[a][i] for a, i in enumerate(cell)]
        coefficient = np.asarray(1.0 / math.prod(map(len, box)), dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            share = (case.cotangent[(..., *cell)] * coefficient).astype(dtype)
            index = (slice(None), slice(None), *(slice(b.start, b.stop) for b in box))
            out[index] = (out[index] + share.reshape(share.shape + (1,) * len(box))).astype(dtype)
    return out.astype(np.float64)


def where_subnormal_average(case: Case) -> Any:
    """Averages of float32, float64 and bfloat16: a subnormal operand or result is a zero."""
    if not is_average(case, "values", ("float32", "float64", "bfloat16")) or not case.x.size:
        return np.zeros((), bool)
    wide = np.abs(case.x.astype(np.float64))
    largest = wide.shape[2:] and case.x.size and wide
    # A sum of taps below n·tiny can be, or pass through, the subnormal range.
    return any_window(case, (wide > 0)) & ~any_window(case, ~(largest < smallest_normal(case.x.dtype) * 2.0**12))


def flush_average(case: Case) -> Any:
    dtype = np.dtype(np.float32) if case.x.dtype.name == "bfloat16" else case.x.dtype
    rows = flushed(rows_of(case.x), case.x.dtype)
    taps, divisors = oracle.all_windows(case.spec, case.spatial)
    out = np.empty((len(rows), len(taps)))
    with np.errstate(over="ignore", invalid="ignore"):
        for j, (window, divisor) in enumerate(zip(taps, divisors, strict=True)):
            total = np.zeros(len(rows), dtype)
            for tap in window:
                total = flushed((total + rows[:, tap].astype(dtype)).astype(np.float64), dtype).astype(dtype)
            out[:, j] = flushed((total / dtype.type(divisor)).astype(np.float64), dtype)
    return flushed(out, case.x.dtype).reshape(case.pooled_shape)


def _limit(case: Case) -> Any:
    """Where the sum overflows: float16 is summed in itself, bfloat16 in float32."""
    if case.x.dtype.name == "float64":
        return np.longdouble(np.finfo(np.float64).max)
    return oracle.overflow_threshold(np.dtype(np.float32) if case.x.dtype.name == "bfloat16" else case.x.dtype)


def where_mean_overflow(case: Case) -> Any:
    """tf.reduce_mean where Σ|x| is past the accumulator's range: partial sums of both signs overflow, and inf − inf is NaN."""
    if (
        not is_average(case, "values", ("float16", "float32", "float64", "bfloat16"))
        or not isinstance(case.spec.windows, Global)
        or not case.x.size
    ):
        return np.zeros((), bool)
    wide = np.abs(case.x.astype(np.longdouble))
    return np.isfinite(wide).all(axis=tuple(range(2, case.x.ndim)), keepdims=True) & (
        wide.sum(axis=tuple(range(2, case.x.ndim)), keepdims=True) >= _limit(case)
    )


def predict_nan(case: Case, exact: Exact) -> Any:
    return np.full(exact.value.shape, np.nan)


# --- subnormal gradients ------------------------------------------------------------------------


def where_subnormal_gradient(case: Case) -> Any:
    """Gradients whose shares are near the smallest normal number, or below: operands and results are flushed."""
    if case.output != "gradient" or case.x.dtype.name == "float16" or not case.x.size:
        return np.zeros((), bool)
    wide = np.abs(case.cotangent.astype(np.float64))
    taps, divisors = oracle.all_windows(case.spec, case.spatial)
    small = (wide > 0).reshape(len(rows_of(case.x)), -1) & (
        wide.reshape(len(rows_of(case.x)), -1) / np.array(divisors) < 16 * smallest_normal(case.x.dtype)
    )
    marked = np.zeros(rows_of(case.x).shape, bool)
    for j, window in enumerate(taps):
        marked[np.ix_(small[:, j], window)] = True
    return marked.reshape(case.x.shape)


def predict_average_gradient_flushed(case: Case, exact: Exact) -> Any:
    dtype = case.x.dtype
    wide = np.dtype(np.float32) if dtype.name == "bfloat16" else dtype
    taps, divisors = oracle.all_windows(case.spec, case.spatial)
    given = flushed(rows_of(case.cotangent), dtype)
    out = np.zeros(rows_of(case.x).shape)
    for j, (window, divisor) in enumerate(zip(taps, divisors, strict=True)):
        share = flushed((given[:, j].astype(wide) / wide.type(divisor)).astype(np.float64), wide)
        for tap in window:
            out[:, tap] = flushed((out[:, tap].astype(wide) + share.astype(wide)).astype(np.float64), wide)
    return flushed(out, dtype).reshape(case.x.shape)


def predict_max_gradient_flushed(case: Case, exact: Exact) -> Any:
    return scatter(case, first_tap_argmax(case))


# --- half count ---------------------------------------------------------------------------------


def where_half_count(case: Case) -> Any:
    """Sliding averages of float16 over more than 2048 taps, on CPU outside XLA: the count is kept in float16."""
    if not is_average(case, "values", ("float16",)) or not isinstance(case.spec.windows, Sliding) or not case.x.size:
        return np.zeros((), bool)
    _, divisors = oracle.all_windows(case.spec, case.spatial)
    return np.broadcast_to((np.array(divisors) > 2048).reshape(case.pooled_shape[2:]), case.pooled_shape)


def predict_half_count(case: Case, exact: Exact) -> Any:
    rows = case.x.reshape(case.x.shape[0] * case.x.shape[1], -1)
    taps, divisors = oracle.all_windows(case.spec, case.spatial)
    out = np.empty((len(rows), len(taps)), np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        for j, (window, divisor) in enumerate(zip(taps, divisors, strict=True)):
            total = np.zeros(len(rows), np.float16)
            for tap in window:
                total = (total + rows[:, tap]).astype(np.float16)
            out[:, j] = total / np.float16(min(divisor, 2048))
    return out.astype(np.float64).reshape(case.pooled_shape)
