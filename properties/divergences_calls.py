"""Invalid calls that a framework does not refuse, as rows: it returns, hangs or dies where it should raise.

`smallest` names native calls of `bad_calls_*.py` by id, or is a case where `where` says it of cases.
"""

from functools import partial

from properties import calls_rules as rules
from properties.divergence import Divergence

EAGER = frozenset({""})
GRAPH, XLA = frozenset({"graph"}), frozenset({"xla"})
COMPILED = frozenset({"compile"})
TF = "https://github.com/tensorflow/tensorflow/issues/"
SPEC = "StableHLO's specification of reduce_window: num_windows = (padded_input_shape == 0 || dilated_window_shape > padded_input_shape) ? 0 : …"
PADDED = "StableHLO's specification of reduce_window: padded_inputs = pad(inputs[:], init_values[:], padding[:, 0], padding[:, 1], …)"
CLIPS = "https://github.com/jax-ml/jax/pull/10351"
TORCH = "https://github.com/pytorch/pytorch/issues/"
tensorflow = partial(Divergence, backend="tensorflow", versions=">=2.21,<2.22", variants=EAGER, observed="")
torch = partial(Divergence, backend="torch", versions=">=2.11,<2.14", variants=EAGER, observed="")
jax = partial(Divergence, backend="jax", versions=">=0.10,<0.11", variants=EAGER, observed="")

ROWS: tuple[Divergence, ...] = (
    tensorflow(
        id="tf-window-larger-dies", verdict="crash", outcome="signal:SIGFPE", upstream=TF + "125509", where=rules.too_large,
        smallest="max sliding kernel=2 stride=1 values channels_last x=float32:1,1,1:0",
        description="Max pooling by oneDNN divides by the number of windows on the last axis, which is 0.",
    ),
    tensorflow(
        id="tf-window-larger-dies-native", verdict="crash", outcome="signal:SIGFPE", upstream=TF + "88481",
        smallest="max1d-window-larger-than-input max2d-window-larger-than-input max3d-window-larger-than-input pool-dilated-window-larger-than-input",
        description="Max pooling by oneDNN divides by the number of windows on the last axis, which is 0.",
    ),
    tensorflow(
        id="tf-window-larger-returns", verdict="bug", outcome="returns", where=rules.too_large,
        smallest="average sliding kernel=2 values channels_last x=float32:1,1,1:0",
        description="A VALID window larger than the input gives an empty array; in a tf.function it raises.",
    ),
    tensorflow(
        id="tf-window-larger-returns-native", verdict="bug", outcome="returns",
        smallest="avg1d-window-larger-than-input avg2d-window-larger-than-input avg3d-window-larger-than-input argmax-window-larger-than-input "
        "quantized-max-window-larger-than-input",
        description="A VALID window larger than the input gives an empty array; in a tf.function it raises.",
    ),
    tensorflow(
        id="tf-absurd-window-aborts", verdict="crash", outcome="signal:SIGABRT", upstream=TF + "85251", where=rules.absurd,
        smallest="max sliding kernel=2147483648 values channels_last x=float32:1,1,1:0",
        description="A window of 2^31 fails a CHECK in mkl_layout_pass.cc.",
    ),
    tensorflow(
        id="tf-absurd-window-aborts-native", verdict="crash", outcome="signal:SIGABRT", upstream=TF + "85251",
        smallest="max2d-absurd-window max2d-stride-2-to-32", description="A window or stride of 2^31 or more fails a CHECK in mkl_layout_pass.cc.",
    ),
    tensorflow(
        id="tf-average-rank-returns", verdict="bug", outcome="returns", upstream=TF + "111457", where=rules.wrong_rank,
        smallest="average sliding kernel=1 values channels_last x=float32:1,1,1,1:0",
        description="avg_pool takes an input with an axis too many and returns an array with one too few; max raises.",
    ),
    tensorflow(
        id="tf-empty-axis-returns", verdict="convention", outcome="returns", where=rules.empty_sliding,
        documentation="tf.nn, of VALID: out_height = ceil((in_height - filter_height + 1) / stride_height)",
        smallest="max sliding kernel=1 values channels_last x=float32:1,1,0:",
        description="An axis of no elements gives an empty array.",
    ),
    tensorflow(
        id="tf-average-cotangent-returns", variants=EAGER | GRAPH, verdict="bug", outcome="returns", upstream=TF + "64642", where=rules.wrong_cotangent,
        smallest="average sliding kernel=1,1 gradient channels_last x=float32:1,1,1,2:0x2 cotangent=float32:1,1,1,1:1",
        description="AvgPoolGrad takes a cotangent of another shape, and reads and writes past memory (CVE-2023-25664 is half mended).",
    ),
    tensorflow(
        id="tf-average-cotangent-aborts", variants=EAGER | GRAPH, verdict="crash", outcome="signal:SIGABRT", upstream=TF + "63353", where=rules.wrong_cotangent,
        smallest="average sliding kernel=1,1 gradient channels_last x=float32:1,1,1,1:0 cotangent=float32:1,1,1:1",
        description="AvgPoolGrad fails a CHECK for a cotangent of lower rank.",
    ),
    tensorflow(
        id="tf-average-cotangent-segfaults", variants=EAGER | GRAPH, verdict="crash", outcome="signal:SIGSEGV", upstream=TF + "64642", where=rules.wrong_cotangent,
        smallest="avg2d-grad-more-channels", description="AvgPoolGrad with a cotangent of more channels writes past its memory, and may die of it.",
    ),
    tensorflow(
        id="tf-average-cotangent-returns-native", variants=EAGER | GRAPH | XLA, verdict="bug", outcome="returns", upstream=TF + "64642",
        smallest="avg2d-grad-more-channels avg2d-grad-smaller-cotangent tape-average-cotangent-smaller",
        description="AvgPoolGrad takes a cotangent of another shape, and reads and writes past memory (CVE-2023-25664 is half mended).",
    ),
    tensorflow(
        id="tf-average-cotangent-aborts-native", verdict="crash", outcome="signal:SIGABRT", upstream=TF + "63353",
        smallest="avg2d-grad-short-shape", description="AvgPoolGrad fails a CHECK for a shape or a cotangent of lower rank.",
    ),
    tensorflow(
        id="tf-average-flat-cotangent-aborts-native", variants=EAGER | GRAPH, verdict="crash", outcome="signal:SIGABRT", upstream=TF + "63353",
        smallest="avg3d-grad-flat-cotangent", description="AvgPool3DGrad fails a CHECK for a cotangent of lower rank.",
    ),
    tensorflow(
        id="tf-average-larger-cotangent-returns-native", variants=GRAPH | XLA, verdict="bug", outcome="returns", upstream=TF + "63353",
        smallest="avg3d-grad-larger-cotangent", description="AvgPool3DGrad takes a cotangent of the input's shape.",
    ),
    tensorflow(
        id="tf-graph-max-cotangent-returns", variants=GRAPH, verdict="bug", outcome="returns", where=rules.wrong_max_cotangent,
        smallest="max sliding kernel=1,1 gradient channels_last x=float32:1,1,1,2:0x2 cotangent=float32:1,1,1,1:1",
        description="In a graph oneDNN's gradient of max, which replaces MaxPoolGrad, takes a cotangent of another shape.",
    ),
    tensorflow(
        id="tf-graph-max-cotangent-aborts", variants=GRAPH, verdict="crash", outcome="signal:SIGABRT", where=rules.wrong_max_cotangent,
        smallest="max sliding kernel=1,1 gradient channels_last x=float32:1,1,1,1:0 cotangent=float32:1,1,1:1",
        description="In a graph oneDNN's gradient of max fails a CHECK for an empty cotangent, or one of lower rank.",
    ),
    tensorflow(
        id="tf-xla-average-cotangent-returns", variants=XLA, verdict="bug", outcome="returns", where=rules.other_batch_or_channels,
        smallest="average sliding kernel=1,1 gradient channels_last x=float32:1,1,1,1:0 cotangent=float32:1,2,1,1:1x2",
        description="By XLA the gradient of an average has the samples and channels of its cotangent, whatever the input has.",
    ),
    tensorflow(
        id="tf-xla-average-cotangent-returns-native", variants=XLA, verdict="bug", outcome="returns",
        smallest="avg3d-grad-other-batch-and-channels",
        description="By XLA the gradient of an average has the samples and channels of its cotangent, whatever the input has.",
    ),
    tensorflow(
        id="tf-xla-window-0-aborts", variants=XLA, verdict="crash", outcome="signal:SIGABRT", smallest="avg3d-window-0",
        description="By XLA a 3-D average over a window of 0 fails a CHECK in padding.cc.",
    ),
    tensorflow(
        id="tf-empty-global-returns", variants=EAGER | GRAPH | XLA, verdict="bug", outcome="returns", where=rules.empty_global,
        documentation="tf.math.reduce_max: See the numpy docs for np.amax and np.nanmax behavior. (np.amax raises a ValueError.)",
        smallest="max global values channels_last x=float32:1,1,0:",
        description="tf.reduce_max and tf.reduce_mean of no elements give −inf and NaN.",
    ),
    tensorflow(
        id="tf-average-cotangent-dies-native", verdict="crash", outcome="signal:SIGFPE", upstream=TF + "63353", smallest="avg3d-grad-larger-cotangent",
        description="AvgPool3DGrad divides by zero for a cotangent of the input's shape.",
    ),
    tensorflow(
        id="tf-cotangent-dtype-returns", variants=EAGER | GRAPH | XLA, verdict="bug", outcome="returns", where=rules.wrong_dtype,
        smallest="average sliding kernel=1 gradient channels_last x=float32:1,1,1:0 cotangent=float16:1,1,1:1",
        description="A float16 cotangent for float32 values gives a float16 gradient of an average.",
    ),
    tensorflow(
        id="tf-argmax-grad-aborts", variants=EAGER | GRAPH | XLA, verdict="crash", outcome="signal:SIGABRT", smallest="argmax-grad-index-too-large argmax-grad-index-negative",
        description="MaxPoolGradWithArgmax fails a CHECK for an index out of range.",
    ),
    tensorflow(
        id="tf-fractional-avg-grad-returns", variants=EAGER | GRAPH | XLA, verdict="bug", outcome="returns", smallest="fractional-avg-grad-sequences-past-the-input",
        description="FractionalAvgPoolGrad clamps sequences that lie past the input.",
    ),
    torch(
        id="torch-max1d-hangs", verdict="crash", outcome="hangs", where=rules.absurd,
        smallest="max sliding kernel=9223372036854775807 stride=1 values channels_first x=float32:1,1,1:0",
        description="max_pool1d loops over a window of 2^63 − 1 taps.",
    ),
    torch(
        id="torch-max1d-absurd-dies", verdict="crash", outcome="signal:SIGSEGV", where=rules.absurd,
        smallest="max sliding kernel=9223372036854775807 values channels_first x=float32:1,1,1:0",
        description="max_pool1d counts a window where the stride is 2^63 − 1 too, and reads past its input.",
    ),
    torch(
        id="torch-max1d-hangs-native", verdict="crash", outcome="hangs", smallest="max1d-absurd-window max1d-absurd-padding",
        description="max_pool1d loops over a window or padding of 2^62.",
    ),
    torch(
        id="torch-max1d-dilation-dies", verdict="crash", outcome="signal:SIGSEGV", smallest="max1d-absurd-dilation",
        description="max_pool1d reads past its input for an absurd dilation.",
    ),
    torch(
        id="torch-backward-index-dies", verdict="crash", outcome="signal:SIGSEGV", upstream=TORCH + "140923",
        smallest="max2d-backward-index-too-large max3d-backward-index-too-large adaptive-max2d-backward-index-too-large",
        description="The backward ops take indices on trust, and write wherever they point.",
    ),
    torch(
        id="torch-mkldnn-window-larger-dies", verdict="crash", outcome="signal:SIGFPE", smallest="mkldnn-max2d-window-larger-than-input",
        description="mkldnn_max_pool2d divides by the number of windows, which is 0 (CVE-2025-2953 mended stride 0 alone).",
    ),
    torch(
        id="torch-returns-native", verdict="bug", outcome="returns",
        smallest="mkldnn-avg2d-window-0 adaptive-avg2d-empty-axis fractional-max2d-window-0",
        description="A window that reads nothing gives NaN or −inf.",
    ),
    torch(
        id="torch-backward-batch-returns", variants=EAGER | COMPILED, verdict="bug", outcome="returns",
        smallest="avg3d-backward-other-batch adaptive-avg2d-backward-other-batch",
        description="Backward ops of averages take a cotangent of a smaller batch, and return memory of others.",
    ),
    torch(
        id="torch-straddling-window-returns", variants=EAGER | COMPILED, verdict="bug", outcome="returns", upstream=TORCH + "114216", where=rules.straddles,
        smallest="max sliding kernel=2 dilation=3 padding=1/1 values channels_first x=float32:1,1,2:0,1",
        description="A dilated window whose taps lie on either side of the input gives −inf, and an index past the end of its row or plane.",
    ),
    torch(
        id="torch-straddling-window-returns-native", verdict="bug", outcome="returns", upstream=TORCH + "114216", smallest="max2d-straddling-window",
        description="A dilated window whose taps lie on either side of the input gives −inf, and an index past the end of its row or plane.",
    ),
    torch(
        id="torch-straddling-window-gradient-dies", verdict="crash", outcome="signal:SIGSEGV", where=rules.straddling_gradient,
        smallest="max2d-straddling-window-gradient", description="The gradient of a window whose taps lie on either side of the input is written past the end of its memory.",
    ),
    torch(
        id="torch-straddling-window-gradient-aborts", verdict="crash", outcome="signal:SIGABRT", where=rules.straddling_gradient,
        smallest="max2d-straddling-window-gradient", description="The gradient of a window whose taps lie on either side of the input is written past the end of its memory.",
    ),
    torch(
        id="torch-lp-order-returns", variants=EAGER | COMPILED, verdict="convention", outcome="returns", where=rules.no_norm,
        documentation="At p = ∞, one gets Max Pooling.",
        smallest="lp p=0.5 sliding kernel=1 values channels_first x=float32:1,1,1:1",
        description="lp_pool takes any order, and gives what its formula gives.",
    ),
    torch(
        id="torch-output-size-0-returns", variants=EAGER | COMPILED, verdict="convention", outcome="returns", where=rules.no_output,
        documentation="output_size elements must be greater than or equal to 0",
        smallest="max adaptive output_size=0 values channels_first x=float32:1,1,1:0",
        description="An adaptive output of no elements is an empty array.",
    ),
    torch(
        id="torch-empty-axis-returns", variants=EAGER | COMPILED, verdict="convention", outcome="returns", where=rules.empty_mean,
        documentation="torch.mean: If the input tensor is empty, torch.mean() returns nan.",
        smallest="average global values channels_first x=float32:1,1,0:",
        description="A global average over no elements is NaN.",
    ),
    torch(
        id="torch-cotangent-dtype-returns", variants=EAGER | COMPILED, verdict="bug", outcome="returns", where=rules.wrong_dtype,
        smallest="average sliding kernel=1 gradient channels_first x=float32:1,1,1:0 cotangent=float16:1,1,1:1",
        description="autograd casts a cotangent of another dtype, which nothing documents; it refuses one that is complex where the values are not.",
    ),
    torch(
        id="torch-compiled-adaptive-empty-returns", variants=COMPILED, verdict="bug", outcome="returns", where=rules.empty_adaptive_average,
        smallest="average adaptive output_size=1 values channels_first x=float32:1,1,0:",
        description="Compiled, an adaptive average over no elements is NaN; eagerly it raises.",
    ),
    torch(
        id="torch-compiled-adaptive-empty-returns-native", variants=COMPILED, verdict="bug", outcome="returns",
        smallest="adaptive-avg2d-empty-axis", description="Compiled, an adaptive average over no elements is NaN; eagerly it raises.",
    ),
    torch(
        id="torch-compiled-unpool-negative-index-returns", variants=COMPILED, verdict="bug", outcome="returns", upstream=TORCH + "185885",
        smallest="unpool2d-index-negative",
        description="Compiled, an index of −1 is the last element, for max_unpool2d as for torch.index_add; eagerly it raises.",
    ),
    torch(
        id="torch-compiled-backward-index-dies", variants=COMPILED, verdict="crash", outcome="signal:SIGSEGV", upstream=TORCH + "141099",
        smallest="adaptive-max2d-backward-index-too-large",
        description="Compiled, adaptive_max_pool2d_backward is the eager kernel, which writes wherever an index points.",
    ),
    jax(
        id="jax-window-larger-returns", verdict="convention", outcome="returns", upstream=CLIPS, documentation=SPEC, where=rules.too_large,
        smallest="max sliding kernel=2 values channels_first x=float32:1,1,1:0",
        description="reduce_window clips a count of windows below zero, and returns an empty array.",
    ),
    jax(
        id="jax-absurd-window-returns", verdict="convention", outcome="returns", upstream=CLIPS, documentation=SPEC, where=rules.absurd,
        smallest="max sliding kernel=2147483648 values channels_first x=float32:1,1,1:0",
        description="reduce_window clips a count of windows below zero, and returns an empty array.",
    ),
    jax(
        id="jax-window-larger-returns-native", verdict="convention", outcome="returns", upstream=CLIPS, documentation=SPEC,
        smallest="window-larger-than-input sum-window-larger-than-input dilated-window-larger-than-input absurd-window",
        description="reduce_window clips a count of windows below zero, and returns an empty array.",
    ),
    jax(
        id="jax-absurd-window-same-hangs", verdict="crash", outcome="hangs", smallest="absurd-window-same",
        description="SAME padding for a window of 2^62 is never done.",
    ),
    jax(
        id="jax-negative-padding-returns", verdict="convention", outcome="returns", where=rules.crops,
        documentation="WindowDimension: if negative, its negative means the number of elements removed from the low end of this dimension.",
        smallest="max sliding kernel=2 stride=1 padding=-1/0 values channels_first x=float32:1,1,3:0x3",
        description="Padding below zero crops the input.",
    ),
    jax(
        id="jax-padding-alone-returns", verdict="convention", outcome="returns", documentation=PADDED, where=rules.reads_padding_alone,
        smallest="max sliding kernel=1 padding=1/0 values channels_first x=float32:1,1,1:0",
        description="A window of padding alone gives what the reduction starts from: −inf, or 0.",
    ),
    jax(
        id="jax-straddling-window-returns", verdict="convention", outcome="returns", documentation=PADDED, where=rules.straddles,
        smallest="max sliding kernel=2 dilation=3 padding=1/1 values channels_first x=float32:1,1,2:0,1",
        description="A window whose taps lie on either side of the input gives what the reduction starts from: −inf, or 0.",
    ),
    jax(
        id="jax-straddling-window-returns-native", verdict="convention", outcome="returns", documentation=PADDED, smallest="straddling-window",
        description="A window whose taps lie on either side of the input gives what the reduction starts from: −inf, or 0.",
    ),
    jax(
        id="jax-empty-axis-returns", verdict="convention", outcome="returns", documentation=SPEC, where=rules.empty_sliding,
        smallest="max sliding kernel=1 values channels_first x=float32:1,1,0:",
        description="An axis of no elements gives an empty array.",
    ),
    jax(
        id="jax-empty-mean-returns", verdict="convention", outcome="returns", where=rules.empty_mean,
        documentation="The array API standard, which jax.numpy follows, of mean: If N is 0, the arithmetic mean is NaN.",
        smallest="average global values channels_first x=float32:1,1,0:",
        description="jnp.mean of no elements is NaN.",
    ),
    jax(
        id="jax-negative-padding-aborts", verdict="crash", outcome="signal:SIGABRT", upstream="https://github.com/openxla/xla/issues/48719",
        where=rules.crops_elements, smallest="max sliding kernel=1 padding=-1/0 values channels_first x=float32:1,1,2:0,1",
        description="Where no window has more than one element and no padding is positive, XLA's simplifier fails a CHECK, which ends the process.",
    ),
)  # fmt: skip
