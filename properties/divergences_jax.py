"""The known deviations of JAX on CPU, as rows; the mechanisms are in `jax_rules`, and in TensorFlow's, which shares XLA."""

from functools import partial

from properties import jax_rules as rules
from properties import tensorflow_max as maxima
from properties import tensorflow_sums as sums
from properties import torch_rules
from properties.divergence import Divergence
from properties.divergences_tensorflow import flushed_floats, of, tiny_as_zero

CPU = frozenset({""})
FLUSHES = "XLA's source says: TensorFlow always flushes denormals to zero"
row = partial(Divergence, backend="jax", versions=">=0.10,<0.11", variants=CPU)

ROWS: tuple[Divergence, ...] = (
    row(
        id="jax-max-subnormals", verdict="convention", documentation=FLUSHES,
        description="Subnormals are compared as zeros, and a subnormal maximum is zero.",
        smallest="max sliding kernel=2 values channels_last x=float32:1,1,2:0,1e-45", observed="0",
        where=maxima.where_subnormal_max, predict=maxima.predict_max_xla,
    ),
    row(
        id="jax-max-gradient", verdict="bug",
        description="Select-and-scatter replaces a NaN whenever it meets one; a window of −inf ties with its padding, where the gradient is lost.",
        smallest="max sliding kernel=2 gradient channels_last x=float32:1,1,2:nan,0 cotangent=float32:1,1,1:1", observed="0",
        where=rules.where_gradient, predict=rules.predict_gradient,
    ),
    row(
        id="jax-max-gradient-subnormals", verdict="convention", documentation=FLUSHES,
        description="A subnormal cotangent counts as zero.",
        smallest="max sliding kernel=2 stride=1 gradient channels_last x=float32:1,1,3:0,1,0 cotangent=float32:1,1,2:1e-45x2", observed="0",
        where=rules.where_subnormal_cotangent, predict=rules.predict_gradient,
    ),
    row(
        id="jax-max-drops-nan", verdict="bug", upstream="https://github.com/openxla/xla/issues/21461",
        description="jnp.max of 4096 elements or more drops NaN, of half types NaN with a sign bit; of fewer it propagates them.",
        smallest="max global values channels_first x=float32:1,1,4096:nan,0x4095", observed="0",
        where=lambda case: rules.where_dropped(case) & (case.output == "values"), predict=rules.predict_dropped,
    ),
    row(
        id="jax-max-tiles-drop-nan", verdict="bug", upstream="https://github.com/openxla/xla/issues/21461",
        description="reduce_window of 4096 elements or more drops NaN, of half types NaN with a sign bit, where its windows tile the input, read all of it, or one element.",
        smallest="max sliding kernel=2 values channels_first x=float32:1,1,4096:nan,0x4095", observed="0",
        where=rules.where_tiles_dropped, predict=maxima.predict_max_xla,
    ),
    row(
        id="jax-max-loses-numbers", verdict="bug", upstream="https://github.com/openxla/xla/issues/21461",
        description="Where 4096 elements or more are reduced by whole vectors, a NaN takes other elements of its window with it, up to all: −inf.",
        smallest="max sliding kernel=2 values channels_last x=float32:1,2,2048:nan,0,...", observed="-inf",
        where=rules.where_any_order, predict=rules.predict_any_order, nearest=rules.nearest_element,
    ),
    row(
        id="jax-max-drops-nan-gradient", verdict="bug", upstream="https://github.com/openxla/xla/issues/21461",
        description="The gradient of jnp.max of 4096 elements or more goes to what equals the maximum without its NaN, of half types without NaN with a sign bit.",
        smallest="max global gradient channels_first x=float32:1,1,4096:nan,0x4095 cotangent=float32:1,1,1:1", observed="0",
        where=lambda case: rules.where_dropped(case) & (case.output == "gradient"), predict=rules.predict_dropped,
    ),
    row(
        id="jax-max-loses-numbers-gradient", verdict="bug", upstream="https://github.com/openxla/xla/issues/21461",
        description="The gradient of jnp.max of 4096 elements or more goes to what equals what was left of a window with a NaN.",
        smallest="max global gradient channels_last x=float32:1024,2,3:0,1,nan,... cotangent=float32:1024,2,1:1x2048", observed="1",
        where=lambda case: rules.where_dropped(case) & (case.output == "gradient"), predict=rules.predict_dropped, nearest=rules.nearest_shared,
    ),
    row(
        id="jax-max-shares-ties", verdict="convention", upstream="https://github.com/jax-ml/jax/issues/13600",
        description="The gradient of jnp.max is shared among ties; a NaN equals nothing, and its window gets zeros.",
        smallest="max global gradient channels_last x=float32:1,1,2:0x2 cotangent=float32:1,1,1:1", observed="0.5",
        where=rules.where_shared, predict=rules.predict_shared,
    ),
    row(
        id="jax-max-shares-nan", verdict="convention", upstream="https://github.com/jax-ml/jax/issues/13600",
        description="The gradient of jnp.max of bfloat16 multiplies a share that is not finite by 0 as well: NaN over the whole window.",
        smallest="max global gradient channels_first x=bfloat16:1,1,2:0,1 cotangent=bfloat16:1,1,1:nan", observed="nan",
        where=rules.where_multiplied, predict=rules.predict_multiplied,
    ),
    row(
        id="jax-float16-sum", verdict="precision",
        description="reduce_window adds float16 in float16.",
        smallest="average divisor=1 sliding kernel=3 values channels_last x=float16:1,1,3:2048,1x2", observed="2048",
        where=torch_rules.in_type(rules.where_half_sum, "float16"), accumulator="float16",
    ),
    row(
        id="jax-bfloat16-sum", verdict="precision",
        description="reduce_window adds bfloat16 in bfloat16.",
        smallest="average divisor=1 sliding kernel=3 values channels_last x=bfloat16:1,1,3:256,1x2", observed="256",
        where=torch_rules.in_type(rules.where_half_sum, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="jax-float16-gradient", verdict="precision",
        description="Gradients of float16 are added in float16.",
        smallest="max sliding kernel=3 stride=1 gradient channels_last x=float16:1,1,5:0x2,1,0x2 cotangent=float16:1,1,3:2048,1x2",
        observed="2048", where=torch_rules.in_type(rules.where_half_gradient, "float16"), accumulator="float16",
    ),
    row(
        id="jax-bfloat16-gradient", verdict="precision",
        description="Gradients of bfloat16 are added in bfloat16.",
        smallest="max sliding kernel=3 stride=1 gradient channels_last x=bfloat16:1,1,5:0x2,1,0x2 cotangent=bfloat16:1,1,3:256,1x2",
        observed="256", where=torch_rules.in_type(rules.where_half_gradient, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="jax-average-subnormals", verdict="convention", documentation=FLUSHES,
        description="An average with subnormal operands or results takes them for zeros.",
        smallest="average divisor=1 sliding kernel=2 values channels_last x=float32:1,1,2:0,1e-45", observed="0",
        where=sums.where_subnormal_average, predict=lambda case, exact: sums.flush_average(case),
    ),
    row(
        id="jax-subnormal-results", verdict="convention", documentation=FLUSHES,
        description="A result below the smallest normal number is flushed to zero.",
        smallest="average global gradient channels_last x=float32:1,1,2:0x2 cotangent=float32:1,1,1:1.1754944e-38", observed="0",
        where=flushed_floats, predict=tiny_as_zero,
    ),
    row(
        id="jax-average-gradient-subnormals", verdict="convention", documentation=FLUSHES,
        description="The share of a cotangent near the smallest normal number is flushed to zero before it is added.",
        smallest="average divisor=1 sliding kernel=2 stride=1 gradient channels_last x=float32:1,1,3:0x3 cotangent=float32:1,1,2:1e-45x2", observed="0",
        where=of(sums.where_subnormal_gradient, reduction="average"), predict=sums.predict_average_gradient_flushed,
    ),
    row(
        id="jax-average-overflow", verdict="precision",
        description="Averages are added in vectors: a partial sum overflows, and meets an infinity of the other sign.",
        smallest="average divisor=1 sliding kernel=3 values channels_last x=float32:1,1,3:3e+38x2,-inf", observed="nan",
        where=torch_rules.where_overflow, predict=torch_rules.predict_nan,
    ),
)  # fmt: skip
