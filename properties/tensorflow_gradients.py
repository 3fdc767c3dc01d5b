"""Where TensorFlow 2.21 sends the gradient of a maximum on CPU: by Eigen, by oneDNN, by XLA, and in 3-D."""

import itertools
import math
from typing import Any

import numpy as np

from backends import compare, oracle, translate
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Global, Max, Sliding
from properties.tensorflow_max import (
    HALF,
    first_tap_argmax,
    flushed,
    has_subnormals,
    is_float,
    is_onednn,
    predict_max,
    rows_of,
    running_max,
)  # fmt: skip

# --- gradients of max ---------------------------------------------------------------------------


def _add(a: Any, b: Any, dtype: np.dtype) -> Any:
    if dtype.name in HALF:
        total = np.float32(a) + np.float32(b)
        return float(np.float32(flushed(np.float64(total), np.dtype(np.float32))).astype(dtype))
    return float(flushed(np.float64(dtype.type(a) + dtype.type(b)), dtype))


def scatter(case: Case, picks: Any, order: Any = None) -> Any:
    """Send each cotangent to its tap, one addition after the other in the values' own dtype; a pick of −1 goes nowhere."""
    dtype = case.x.dtype
    cotangent = flushed(rows_of(case.cotangent), dtype)
    out = np.zeros((len(picks), math.prod(case.spatial)))
    with np.errstate(over="ignore", invalid="ignore"):
        for row, (chosen, given) in enumerate(zip(picks, cotangent, strict=True)):
            for j in range(len(chosen)) if order is None else order:
                for tap in np.atleast_1d(chosen[j]):
                    if tap >= 0:
                        out[row, tap] = _add(out[row, tap], given[j], dtype)
    return out.reshape(case.x.shape)


def is_sliding_max_gradient(case: Case) -> Any:
    return isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Sliding) and case.output == "gradient" and is_float(case)


def definition_picks(case: Case) -> Any:
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    return np.array([[oracle.argmax(row, window) for window in taps] for row in rows_of(case.x).tolist()], np.int64).reshape(-1, len(taps))


def touched_by(case: Case, picks: Any) -> Any:
    """Elements whose share of the gradient differs: what either side picks in a window where they differ."""
    ours = definition_picks(case)
    touched = np.zeros((len(ours), math.prod(case.spatial) + 1), bool)
    rows, cells = np.nonzero(ours != picks)
    touched[rows, ours[rows, cells]] = True
    touched[rows, picks[rows, cells]] = True  # −1 marks the spare column
    return touched[:, :-1].reshape(case.x.shape)


def is_peculiar(case: Case) -> Any:
    return np.isnan(case.x).any() or np.isneginf(case.x.astype(np.float64)).any() or has_subnormals(case.x)


def where_gradient_eigen(case: Case) -> Any:
    """One and two dimensions, by Eigen: another tap than the definition's gets the gradient."""
    if not is_sliding_max_gradient(case) or case.x.ndim == 5 or not is_peculiar(case):
        return np.zeros((), bool)
    return touched_by(case, first_tap_argmax(case))


def predict_gradient_eigen(case: Case, exact: Exact) -> Any:
    return scatter(case, first_tap_argmax(case))


def kernel_taps(case: Case) -> Any:
    """For each cell its taps in kernel order, −1 in the padding."""
    windows = case.spec.windows
    steps = [math.prod(case.spatial[axis + 1 :]) for axis in range(len(case.spatial))]
    axes = [
        [
            [i * windows.stride[a] - windows.pads(a, n)[0] + windows.dilation[a] * k for k in range(windows.kernel[a])]
            for i in range(windows.count(a, n))
        ]
        for a, n in enumerate(case.spatial)
    ]
    for cell in itertools.product(*axes):
        yield [
            sum(i * step for i, step in zip(tap, steps, strict=True))
            if all(0 <= i < n for i, n in zip(tap, case.spatial, strict=True))
            else -1
            for tap in itertools.product(*cell)
        ]


def onednn_picks(case: Case) -> Any:
    """OneDNN's workspace: the winner of the running maximum, else the kernel's first position, which may lie in the padding."""
    _, picks = running_max(case, xla=False, raw=False)
    firsts = np.array([taps[0] for taps in kernel_taps(case)])
    return np.where(picks < 0, firsts, picks)


def where_gradient_onednn(case: Case) -> Any:
    """In a graph, what oneDNN pools."""
    if not is_sliding_max_gradient(case) or not is_onednn(case) or not is_peculiar(case):
        return np.zeros((), bool)
    return touched_by(case, onednn_picks(case))


def predict_gradient_onednn(case: Case, exact: Exact) -> Any:
    wide = case.replace(x=case.x.astype(np.float32), cotangent=case.cotangent.astype(np.float32))
    return scatter(wide, onednn_picks(case))


def rounding_of(case: Case, picks: np.ndarray) -> np.ndarray:
    """How far rounding may take what oneDNN hands each element: the cotangents of its windows, added in float32 in an order of its own."""
    given = np.abs(flushed(rows_of(case.cotangent), case.x.dtype))
    totals, counts = (np.zeros((len(picks), math.prod(case.spatial) + 1)) for _ in range(2))
    rows = np.arange(len(picks))[:, np.newaxis]
    np.add.at(totals, (rows, picks), np.where(np.isfinite(given), given, 0))  # −1 is the spare column
    np.add.at(counts, (rows, picks), 1)
    error = compare.growth(np.maximum(counts - 1, 0), compare.format_of(np.dtype(np.float32)).u) * totals
    if case.x.dtype.name in HALF:
        kind = compare.format_of(case.x.dtype)
        error = np.where(counts > 1, error + kind.u * (totals + error) + kind.eta / 2, error)
    return error[:, :-1].reshape(case.x.shape)


def slack_onednn(case: Case) -> np.ndarray:
    """What rounding may do to the gradient by oneDNN's winners."""
    return rounding_of(case, onednn_picks(case))


def where_empty_onednn(case: Case) -> Any:
    """In a graph, an empty batch that oneDNN pools."""
    asked = isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Sliding) and case.output == "gradient"
    return np.array(asked and not case.x.shape[0] and is_onednn(case))


def broadcast_size(index: Any, size: Any, kernel: Any, stride: Any, pad: Any) -> Any:
    """GetBroadcastSize of tensorflow/core/kernels/ops_util.cc: wrong where a window is clipped at its start and wider than the input."""
    start, extent = index * stride, kernel
    if start < pad:
        start, extent = 0, kernel + start - pad
    else:
        start -= pad
    return range(start, start + (min(size - start, kernel) if start + kernel > size else extent))


def boxes_of(case: Case) -> Any:
    windows = case.spec.windows
    return [
        [broadcast_size(i, n, windows.kernel[a], windows.stride[a], windows.pads(a, n)[0]) for i in range(windows.count(a, n))]
        for a, n in enumerate(case.spatial)
    ]


def box_taps(case: Case) -> Any:
    steps = [math.prod(case.spatial[axis + 1 :]) for axis in range(len(case.spatial))]
    return [
        [sum(i * s for i, s in zip(tap, steps, strict=True)) for tap in itertools.product(*cell)]
        for cell in itertools.product(*boxes_of(case))
    ]


def near_ties(case: Case) -> Any:
    """MaxPool3DGrad by Eigen: every tap with |x − y| < 1e-5, in absolute terms, gets the whole gradient."""
    dtype = case.x.dtype
    y = rows_of(predict_max(case.replace(output="values", cotangent=None), None)).astype(np.float32)
    rows = rows_of(case.x).astype(np.float32)
    limit = np.float32(np.asarray(1e-5, dtype))
    chosen = []
    with np.errstate(invalid="ignore", over="ignore"):
        # A dilated pooling is a VALID one of the rearranged input, where the boxes are right.
        boxes = box_taps(case) if set(case.spec.windows.dilation) == {1} else oracle.all_windows(case.spec, case.spatial)[0]
        for j, taps in enumerate(boxes):
            near = np.abs((rows[:, taps] - y[:, j : j + 1]).astype(dtype).astype(np.float32)) < limit
            chosen.append([np.array(taps)[picked] if picked.any() else np.array([-1]) for picked in near])
    return [[chosen[j][row] for j in range(len(chosen))] for row in range(len(rows))]


def where_gradient_3d(case: Case) -> Any:
    if not is_sliding_max_gradient(case) or case.x.ndim != 5:
        return np.zeros((), bool)
    touched = np.zeros((case.x.shape[0] * case.x.shape[1], math.prod(case.spatial)), bool)
    for row, (ours, theirs) in enumerate(zip(definition_picks(case), near_ties(case), strict=True)):
        for mine, yours in zip(ours, theirs, strict=True):
            if not np.array_equal([mine], yours):
                touched[row, mine] = True
                touched[row, yours[yours >= 0]] = True
    return touched.reshape(case.x.shape)


def predict_gradient_3d(case: Case, exact: Exact) -> Any:
    # Planes of output are visited from the last axis to the first.
    out = case.pooled_shape[2:]
    order = np.arange(math.prod(out)).reshape(out).transpose().reshape(-1)
    return scatter(case, near_ties(case), order)


# --- global max, gradient -----------------------------------------------------------------------


def where_tie_split(case: Case) -> Any:
    """Gradient of tf.reduce_max: ties share it; a window with a NaN gives NaN everywhere."""
    if not (
        isinstance(case.spec.reduction, Max) and isinstance(case.spec.windows, Global) and case.output == "gradient" and is_float(case)
    ):
        return np.zeros((), bool)
    axes = tuple(range(2, case.x.ndim))
    wide = flushed(case.x.astype(np.float64), case.x.dtype)
    ties = (wide == wide.max(axis=axes, keepdims=True)).sum(axis=axes, keepdims=True)
    whole = np.isfinite(case.cotangent.astype(np.float64))  # 0 shares of an infinity are NaN
    return np.broadcast_to((ties != 1) | ~whole, case.x.shape)


def predict_tie_split(case: Case, exact: Exact) -> Any:
    dtype = case.x.dtype
    axes = tuple(range(2, case.x.ndim))
    wide = flushed(case.x.astype(np.float64), dtype)
    chosen = wide == wide.max(axis=axes, keepdims=True)
    with np.errstate(all="ignore"):
        share = (chosen.astype(dtype) / chosen.sum(axis=axes, keepdims=True).astype(dtype)).astype(dtype)
        return flushed((share * flushed(case.cotangent.astype(np.float64), dtype).astype(dtype)).astype(np.float64), dtype)


# --- XLA ----------------------------------------------------------------------------------------


def _split_axis(case: Case) -> Any:
    """The last axis that is padded at all, if (0, 1): XLA visits its last kernel index after all others."""
    pads = [translate.covering(case.spec.windows, axis, size) for axis, size in enumerate(case.spatial)]
    padded = [axis for axis, pad in enumerate(pads) if any(pad)]
    return padded[-1] if padded and pads[padded[-1]] == (0, 1) else None


def select_and_scatter_picks(case: Case) -> Any:
    """XLA's SelectAndScatter with GE: `pick = first; for x: if not (x[pick] >= x): pick = x`.

    A NaN is always replaced, and always replaces. Where the last padded axis is padded by (0, 1), the last index of the
    kernel there comes after all others, so that a tie is not always won by the first.
    """
    rows = rows_of(case.x)
    daz = flushed(rows, case.x.dtype)
    everyone = np.arange(len(rows))
    axis = _split_axis(case)
    kernel = case.spec.windows.kernel
    last = np.zeros(math.prod(kernel), bool) if axis is None else np.indices(kernel)[axis].reshape(-1) == kernel[axis] - 1
    picks = []
    for taps in kernel_taps(case):
        first, *others = [tap for when in (False, True) for tap, late in zip(taps, last, strict=True) if tap >= 0 and late == when]
        pick = np.full(len(rows), first)
        for tap in others:
            pick = np.where(daz[everyone, pick] >= daz[:, tap], pick, tap)
        picks.append(pick)
    return np.array(picks, np.int64).reshape(-1, len(rows)).T


def where_gradient_xla(case: Case) -> Any:
    if not is_sliding_max_gradient(case) or not (is_peculiar(case) or _split_axis(case) is not None):
        return np.zeros((), bool)
    return touched_by(case, select_and_scatter_picks(case))


def predict_gradient_xla(case: Case, exact: Exact) -> Any:
    return scatter(case, select_and_scatter_picks(case))


def global_max_xla(case: Case) -> Any:
    """tf.reduce_max by XLA: NaN never wins; nothing but NaN gives −inf."""
    return running_max(case, xla=True, raw=False)[0]
