"""The known deviations of TensorFlow on CPU, as rows; the mechanisms are in `tensorflow_max`, `_gradients` and `_sums`."""

from functools import partial
from typing import Any

import numpy as np

from backends import oracle
from backends.interface import Case
from backends.oracle import Exact
from properties import tensorflow_gradients as gradients
from properties import tensorflow_max as maxima
from properties import tensorflow_sums as sums
from properties import tensorflow_wide_windows as wide
from properties import torch_rules
from properties.divergence import Divergence

SEEN = ">=2.21,<2.22"
CPU = frozenset({"", "graph"})
XLA = frozenset({"xla"})
ALL = CPU | XLA

row = partial(Divergence, backend="tensorflow", versions=SEEN)


def flushed_floats(case: Case) -> np.ndarray:
    """Every float output but float16, whose subnormals are normal numbers of the float32 that it is computed in."""
    return np.array(case.x.dtype.kind not in "iu" and case.x.dtype.name != "float16" and case.output != "indices")


def tiny_as_zero(case: Case, exact: Exact) -> np.ndarray:
    """A result below the smallest normal number is zero."""
    value = exact.value.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(value) < maxima.smallest_normal(case.x.dtype), 0.0, value)


def least_of_tied(case: Case, exact: Exact) -> np.ndarray:
    """The least of the elements that are as large as the maximum once subnormals are zeros."""
    rows = maxima.rows_of(case.x)
    flat = maxima.flushed(rows, case.x.dtype)
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    least = [
        np.where(flat[:, window] == flat[:, window].max(axis=1, keepdims=True), rows[:, window], np.inf).min(axis=1) for window in taps
    ]
    return np.stack(least, axis=1).reshape(case.pooled_shape)


def of(where: Any, *, reduction: str) -> Any:
    """A `where` for one reduction only."""
    return lambda case: where(case) & (case.spec.reduction.name == reduction)


def of_sliding(where: Any) -> Any:
    """A `where` for sliding windows only."""
    return lambda case: where(case) if case.spec.windows.name == "sliding" else np.zeros((), bool)


def in_type(where: Any, dtype: str) -> Any:
    """A `where` for one dtype only."""
    return lambda case: where(case) & (case.x.dtype.name == dtype)


def by_onednn(where: Any, *, it: bool) -> Any:
    """A `where` for what oneDNN pools, or for what it does not."""
    return lambda case: where(case) & (maxima.is_onednn(case) is it)


def global_nan(case: Case) -> np.ndarray:
    """tf.reduce_max of a window with a NaN."""
    if case.spec.windows.name != "global" or case.spec.reduction.name != "max" or case.output != "values" or not maxima.is_float(case):
        return np.zeros((), bool)
    return maxima.any_window(case, np.isnan(case.x))


def global_nan_gradient(case: Case) -> np.ndarray:
    """The gradient of tf.reduce_max of a window with a NaN."""
    asked = case.spec.windows.name == "global" and case.spec.reduction.name == "max" and case.output == "gradient"
    return np.array(asked and bool(np.isnan(case.x).any()))


def predict_global_nan_gradient(case: Case, exact: Exact) -> np.ndarray:
    """XLA shares the cotangent among the elements that equal the maximum, which no NaN is."""
    kind, axes = case.x.dtype, tuple(range(2, case.x.ndim))
    wide = maxima.flushed(case.x.astype(np.float64), kind)
    chosen = wide == maxima.running_max(case.replace(output="values", cotangent=None), xla=True, raw=False)[0]
    with np.errstate(all="ignore"):
        share = (chosen.astype(kind) / chosen.sum(axis=axes, keepdims=True).astype(kind)).astype(kind)
        given = maxima.flushed(case.cotangent.astype(np.float64), kind).astype(kind)
        return maxima.flushed((share * given).astype(np.float64), kind)


ROWS: tuple[Divergence, ...] = (
    row(
        id="tf-max-drops-nan", variants=CPU, verdict="bug", upstream="https://github.com/tensorflow/tensorflow/issues/125965",
        description="A running maximum that starts from the lowest finite number never takes a NaN: it is dropped.",
        smallest="max sliding kernel=2 values channels_last x=float32:1,1,2:0,nan", observed="0",
        where=maxima.where_nan, predict=maxima.predict_max,
    ),
    row(
        id="tf-max-of-minus-infinity", variants=CPU, verdict="bug",
        upstream="https://github.com/tensorflow/tensorflow/issues/2501",
        description="A window of −inf gives the lowest finite number, which the running maximum starts from.",
        smallest="max sliding kernel=1 values channels_last x=float32:1,1,1:-inf", observed="-3.4028235e+38",
        where=maxima.where_minus_infinity, predict=maxima.predict_max,
    ),
    row(
        id="tf-max-subnormals", variants=CPU, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="Subnormal operands are compared as zeros: TensorFlow's threads run with denormals flushed.",
        smallest="max sliding kernel=2 values channels_last x=float32:1,1,2:0,1e-40", observed="0",
        where=maxima.where_subnormal_max, predict=maxima.predict_max,
    ),
    row(
        id="tf-max-subnormals-zero", variants=CPU, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="A maximum below the smallest normal number is flushed to zero.",
        smallest="max sliding kernel=1 values channels_last x=float64:1,1,1:5e-324", observed="0",
        where=maxima.where_subnormal_max, predict=maxima.predict_zero,
    ),
    row(
        id="tf-reduce-max-subnormal-least", variants=CPU, verdict="convention", documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="Among elements that flushing makes equal, tf.reduce_max may return the least.",
        smallest="max global values channels_first x=bfloat16:1,3,1,2:0x5,-9.18355e-41", observed="-9.18e-41",
        where=maxima.where_subnormal_max, predict=least_of_tied,
    ),
    row(
        id="tf-argmax-nan", variants=CPU, verdict="bug",
        description="max_pool_with_argmax takes the first tap until another is larger: a NaN wins as the first tap only.",
        smallest="max sliding kernel=1,2 indices channels_last x=float32:1,1,1,2:0,nan", observed="0",
        where=maxima.where_index_nan, predict=maxima.predict_index,
    ),
    row(
        id="tf-argmax-subnormals", variants=CPU, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="max_pool_with_argmax compares subnormals as zeros, so the first of them wins.",
        smallest="max sliding kernel=1,2 indices channels_last x=float32:1,1,1,2:0,1e-45", observed="0",
        where=maxima.where_index_subnormal, predict=maxima.predict_index,
    ),
    row(
        id="tf-float16-average", variants=CPU, verdict="precision",
        description="Sums of float16 are kept in float16: they stop growing, and overflow at 65504.",
        smallest="average sliding kernel=2 values channels_last x=float16:1,1,2:60000x2", observed="inf",
        where=sums.where_half_average, accumulator="float16",
    ),
    row(
        id="tf-float16-count", variants=CPU, verdict="bug",
        description="The divisor of a sliding float16 average is counted in float16, and stops at 2048.",
        smallest="average sliding kernel=50,50 values channels_last x=float16:1,1,50,50:0,1,...", observed="0.6104",
        where=sums.where_half_count, predict=sums.predict_half_count, accumulator="float16",
    ),
    row(
        id="tf-float16-gradient", variants=frozenset({"", "xla"}), verdict="precision",
        description="Gradients of float16 are added in float16.",
        smallest="max sliding kernel=3 stride=1 gradient channels_last x=float16:1,1,5:0x2,1,0x2 cotangent=float16:1,1,3:2048,1x2",
        observed="2048", where=in_type(sums.where_half_gradient, "float16"), accumulator="float16",
    ),
    row(
        id="tf-float16-gradient-graph", variants=frozenset({"graph"}), verdict="precision",
        description="In a graph gradients of float16 are added in float16, but by oneDNN where channels are first or one.",
        smallest="average sliding kernel=3 stride=1 gradient channels_last x=float16:1,1,5:0x5 cotangent=float16:1,1,3:6144,3x2",
        observed="2048", where=in_type(sums.where_half_gradient_in_a_graph, "float16"), accumulator="float16",
    ),
    row(
        id="tf-bfloat16-gradient", variants=frozenset({"", "xla"}), verdict="precision",
        description="Gradients of bfloat16 are added in bfloat16.",
        smallest="max sliding kernel=3 stride=1 gradient channels_last x=bfloat16:1,1,5:0x2,1,0x2 cotangent=bfloat16:1,1,3:256,1x2",
        observed="256", where=in_type(sums.where_half_gradient, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="tf-bfloat16-gradient-graph", variants=frozenset({"graph"}), verdict="precision",
        description="In a graph the gradient of tf.reduce_mean of bfloat16 is multiplied by a rounded reciprocal, and gradients are added in bfloat16, but by oneDNN where channels are first or one.",
        smallest="average global gradient channels_last x=bfloat16:1,1,15:0x15 cotangent=bfloat16:1,1,1:3", observed="0.201172",
        where=in_type(sums.where_half_gradient_in_a_graph, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="tf-average-gradient-wide-window", variants=CPU, verdict="bug",
        upstream="https://github.com/tensorflow/tensorflow/issues/48773",
        description="The gradient of a SAME average whose window is clipped at its start and wider than the input covers the wrong box.",
        smallest="average sliding kernel=5 stride=1 padding=same_upper gradient channels_last x=float64:1,1,4:0x4 cotangent=float64:1,1,4:1,0x3",
        observed="", where=sums.where_wide_window, predict=sums.predict_wide_window,
    ),
    row(
        id="tf-average-subnormals", variants=ALL, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="An average with subnormal operands or results takes them for zeros.",
        smallest="average sliding kernel=2 values channels_last x=float32:1,1,2:1e-45x2", observed="0",
        where=sums.where_subnormal_average, predict=lambda case, exact: sums.flush_average(case),
    ),
    row(
        id="tf-subnormal-results", variants=ALL, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="A result below the smallest normal number is flushed to zero.",
        smallest="average sliding kernel=2 gradient channels_last x=float32:1,1,2:0x2 cotangent=float32:1,1,1:1.1754944e-38", observed="0",
        where=flushed_floats, predict=tiny_as_zero,
    ),
    row(
        id="tf-reduce-mean-overflow", variants=CPU, verdict="precision",
        description="tf.reduce_mean adds in vectors: partial sums of both signs overflow, and inf − inf is NaN for finite inputs.",
        smallest="average global values channels_last x=float32:1,1,16:3e+38,-3e+38,...", observed="nan",
        where=sums.where_mean_overflow, predict=sums.predict_nan,
    ),
    row(
        id="tf-average-overflow", variants=ALL, verdict="precision",
        description="Averages are added in vectors: a partial sum overflows, and meets an infinity of the other sign.",
        smallest="average sliding kernel=2,2 stride=1,1 values channels_first x=float32:1,1,2,4:inf,-3.4028235e+38x2,-infx2,inf,-3.4028235e+38x2",
        observed="nan", where=torch_rules.where_overflow, predict=sums.predict_nan,
    ),
    row(
        id="tf-average-gradient-subnormals", variants=ALL, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="The share of a cotangent near the smallest normal number is flushed to zero before it is added.",
        smallest="average sliding kernel=2 stride=1 gradient channels_last x=float32:1,1,3:0x3 cotangent=float32:1,1,2:1.1754944e-38x2", observed="0",
        where=of(sums.where_subnormal_gradient, reduction="average"), predict=sums.predict_average_gradient_flushed,
    ),
    row(
        id="tf-max-gradient-subnormals", variants=CPU, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="A subnormal cotangent counts as zero where it is handed back.",
        smallest="max sliding kernel=1 gradient channels_last x=float32:1,1,1:0 cotangent=float32:1,1,1:1e-45", observed="0",
        where=of(of_sliding(sums.where_subnormal_gradient), reduction="max"), predict=sums.predict_max_gradient_flushed,
    ),
    row(
        id="tf-reduce-max-shares-ties", variants=ALL, verdict="convention",
        upstream="https://github.com/tensorflow/tensorflow/issues/51681",
        documentation="math_grad.py: the gradient will be divided between them",
        description="The gradient of tf.reduce_max is shared among ties, and a window with a NaN gives NaN.",
        smallest="max global gradient channels_last x=float32:1,1,2:0x2 cotangent=float32:1,1,1:1", observed="0.5",
        where=gradients.where_tie_split, predict=gradients.predict_tie_split,
    ),
    row(
        id="tf-max-gradient-eigen", variants=frozenset({""}), verdict="bug",
        description="By Eigen the gradient of max goes to the first tap until another is larger: a NaN counts as the first tap only.",
        smallest="max sliding kernel=2 gradient channels_last x=float32:1,1,2:0,nan cotangent=float32:1,1,1:1", observed="1",
        where=gradients.where_gradient_eigen, predict=gradients.predict_gradient_eigen,
    ),
    row(
        id="tf-max-gradient-eigen-graph", variants=frozenset({"graph"}), verdict="bug",
        description="In a graph, what oneDNN does not pool: as eagerly, a NaN counts as the first tap only.",
        smallest="max sliding kernel=2 gradient channels_last x=float64:1,1,2:0,nan cotangent=float64:1,1,1:1", observed="1",
        where=by_onednn(gradients.where_gradient_eigen, it=False), predict=gradients.predict_gradient_eigen,
    ),
    row(
        id="tf-max-gradient-onednn", variants=frozenset({"graph"}), verdict="bug",
        description="In a graph oneDNN hands the gradient of a window without a winner to the kernel's first position, even in the padding.",
        smallest="max sliding kernel=2 gradient channels_last x=float32:1,1,2:0,nan cotangent=float32:1,1,1:1", observed="1",
        where=gradients.where_gradient_onednn, predict=gradients.predict_gradient_onednn, slack=gradients.slack_onednn,
    ),
    row(
        id="tf-empty-max-gradient-aborts", variants=frozenset({"graph"}), verdict="crash", outcome="signal:SIGABRT",
        upstream="https://github.com/tensorflow/tensorflow/issues/126128",
        description="In a graph the gradient of max by oneDNN of an empty batch fails a CHECK in tensor.cc: its workspace is not allocated.",
        smallest="max sliding kernel=1 gradient channels_last x=float32:0,1,1: cotangent=float32:0,1,1:", observed="signal:SIGABRT",
        where=gradients.where_empty_onednn,
    ),
    row(
        id="tf-max-gradient-onednn-subnormals", variants=frozenset({"graph"}), verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="In a graph oneDNN takes a subnormal cotangent for zero.",
        smallest="max sliding kernel=1 gradient channels_last x=float32:1,1,1:0 cotangent=float32:1,1,1:1e-45", observed="0",
        where=by_onednn(of(of_sliding(sums.where_subnormal_gradient), reduction="max"), it=True), predict=gradients.predict_gradient_onednn,
        slack=gradients.slack_onednn,
    ),
    row(
        id="tf-max-gradient-wide-window", variants=frozenset({"graph"}), verdict="bug", upstream="https://github.com/uxlfoundation/oneDNN/pull/2386",
        description="In a graph oneDNN reads the indices of half-type windows of 256 taps or more by halves: a gradient goes to the first tap, or nowhere.",
        smallest="max sliding kernel=256 gradient channels_last x=bfloat16:1,2,256:0,1,... cotangent=bfloat16:1,2,1:1,2", observed="0",
        where=wide.where_misread, predict=wide.predict_misread, slack=wide.slack_misread,
    ),
    row(
        id="tf-max-gradient-wide-window-lost", variants=frozenset({"graph"}), verdict="bug",
        upstream="https://github.com/uxlfoundation/oneDNN/pull/2386",
        description="In a graph oneDNN loses the half-type gradient of some windows of 256 taps or more of one channel, of others on the next call.",
        smallest="max sliding kernel=256 stride=1 gradient channels_last x=bfloat16:200,1,257:1x51400 cotangent=bfloat16:200,1,2:1x400",
        observed="0", where=wide.where_lost, predict=wide.predict_lost, nearest=wide.nearest_lost, slack=gradients.slack_onednn,
    ),
    row(
        id="tf-max-gradient-3d-ties", variants=frozenset({""}), verdict="bug",
        description="MaxPool3DGrad hands the whole cotangent to every tap within 1e-5 of the maximum.",
        smallest="max sliding kernel=1,1,2 gradient channels_last x=float32:1,1,1,1,2:0x2 cotangent=float32:1,1,1,1,1:1", observed="1",
        where=gradients.where_gradient_3d, predict=gradients.predict_gradient_3d,
    ),
    row(
        id="tf-xla-max-drops-nan", variants=XLA, verdict="bug",
        upstream="https://github.com/tensorflow/tensorflow/issues/125965",
        description="XLA's reduce-window keeps the larger of two by comparison: a NaN is dropped.",
        smallest="max sliding kernel=2 values channels_last x=float32:1,1,2:0,nan", observed="0",
        where=maxima.where_nan, predict=maxima.predict_max_xla,
    ),
    row(
        id="tf-xla-max-subnormals", variants=XLA, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="By XLA a subnormal maximum is flushed to zero.",
        smallest="max sliding kernel=1 values channels_last x=float32:1,1,1:1e-45", observed="0",
        where=maxima.where_subnormal_max, predict=maxima.predict_max_xla,
    ),
    row(
        id="tf-xla-reduce-max-nan", variants=XLA, verdict="bug",
        upstream="https://github.com/tensorflow/tensorflow/issues/116992",
        description="tf.reduce_max by XLA drops NaN; nothing but NaN gives −inf.",
        smallest="max global values channels_last x=float32:1,1,2:0,nan", observed="0",
        where=global_nan, predict=lambda case, exact: gradients.global_max_xla(case),
    ),
    row(
        id="tf-xla-reduce-max-nan-gradient", variants=XLA, verdict="bug", upstream="https://github.com/tensorflow/tensorflow/issues/118673",
        description="The gradient of tf.reduce_max by XLA goes to what equals the maximum without its NaN.",
        smallest="max global gradient channels_last x=float32:1,1,2:0,nan cotangent=float32:1,1,1:1", observed="1",
        where=global_nan_gradient, predict=predict_global_nan_gradient,
    ),
    row(
        id="tf-xla-max-gradient", variants=XLA, verdict="bug",
        description="XLA's select-and-scatter replaces a NaN whenever it meets one, and breaks ties by another order where the last axis is padded.",
        smallest="max sliding kernel=2 gradient channels_last x=float32:1,1,2:nan,0 cotangent=float32:1,1,1:1", observed="1",
        where=gradients.where_gradient_xla, predict=gradients.predict_gradient_xla,
    ),
    row(
        id="tf-xla-max-gradient-subnormals", variants=XLA, verdict="convention",
        documentation="XLA's source says: TensorFlow always flushes denormals to zero",
        description="By XLA a subnormal cotangent counts as zero.",
        smallest="max sliding kernel=2 stride=1 gradient channels_last x=float32:1,1,3:0,1,0 cotangent=float32:1,1,2:1e-45x2", observed="0",
        where=of(of_sliding(sums.where_subnormal_gradient), reduction="max"), predict=gradients.predict_gradient_xla,
    ),
)  # fmt: skip
