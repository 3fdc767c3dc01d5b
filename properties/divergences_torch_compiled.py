"""The known deviations of compiled PyTorch on CPU, as rows; the mechanisms are in `torch_compiled_rules`, `torch_compiled_sums`, and in `torch_rules`."""

from functools import partial

from properties import torch_compiled_rules as rules
from properties import torch_compiled_sums as sums
from properties import torch_rules
from properties.divergence import Divergence
from properties.torch_rules import in_type

row = partial(Divergence, backend="torch", versions=">=2.13,<2.14", variants=frozenset({"compile"}))

ROWS: tuple[Divergence, ...] = (
    row(
        id="torch-compiled-index-padding", verdict="bug",
        description="Inductor takes the argmax over the padding too: a window of −inf is said to lie in its padding, at an index of its own or none.",
        smallest="max sliding kernel=2 stride=1 padding=1/1 indices channels_first x=float32:1,1,2:-infx2", observed="-1",
        where=rules.padded(rules.where_index), predict=rules.predict_index,
    ),
    row(
        id="torch-compiled-gradient-padding", verdict="bug",
        description="The gradient of a window of −inf goes to its padding: it is lost, or added to the element that the index there names.",
        smallest="max sliding kernel=1,1,2 stride=1,1,1 padding=0/0,0/0,1/1 gradient channels_first x=float32:1,1,1,1,2:-infx2 "
        "cotangent=float32:1,1,1,1,3:1x3",
        observed="1", where=rules.padded(rules.where_max_gradient), predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-compiled-gradient-padding-raises", verdict="bug", outcome="raises",
        description="The gradient of a window of −inf raises where the index in its padding is none of the input's.",
        smallest="max sliding kernel=2 stride=1 padding=1/1 gradient channels_first x=float32:1,1,1:-inf cotangent=float32:1,1,2:1x2",
        observed="raises", where=rules.where_raises,
    ),
    row(
        id="torch-compiled-gradient-padding-corrupts", verdict="crash", outcome="signal:SIGABRT",
        description="In 3-D the gradient of a window of −inf is written outside its memory, where the index in its padding points.",
        smallest="max sliding kernel=2,1,1 stride=1,1,1 padding=1/1,0/0,0/0 gradient channels_first x=float32:1,2,2,1,2:-infx8 "
        "cotangent=float32:1,2,3,1,2:1,2,3,4,5,6,7,8,9,10,11,12",
        observed="signal:SIGABRT", where=rules.where_corrupts,
    ),
    row(
        id="torch-compiled-gradient-padding-segfaults", verdict="crash", outcome="signal:SIGSEGV",
        description="In 3-D the gradient of a window of −inf is written outside its memory, where the index in its padding points.",
        smallest="max sliding kernel=2,1,1 stride=1,1,1 padding=1/1,0/0,0/0 gradient channels_first x=float32:1,1,1,256,256:-infx65536 "
        "cotangent=float32:1,1,2,256,256:1x131072",
        observed="signal:SIGSEGV", where=rules.where_corrupts,
    ),
    row(
        id="torch-compiled-index-swapped", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/197434",
        description="A window of more than 25 taps is looped over in the order of memory, and its index taken apart in the order of the axes.",
        smallest="max sliding kernel=2,13 indices channels_first x=float32:1,1,2,13:0x2,1,0x23:strides=26,26,1,2", observed="3",
        where=rules.swapped(rules.where_index), predict=rules.predict_index,
    ),
    row(
        id="torch-compiled-gradient-swapped", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/197434",
        description="A window of more than 25 taps is looped over in the order of memory, and its index taken apart in the order of the axes.",
        smallest="max sliding kernel=2,13 gradient channels_first x=float32:1,1,2,13:0x2,1,0x23:strides=26,26,1,2 cotangent=float32:1,1,1,1:1",
        observed="0", where=rules.swapped(rules.where_max_gradient), predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-compiled-adaptive-gradient-misread", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/197888",
        description="The eager kernel for gradients in 3-D adaptive bins reads indices that lie channels last as if they lay channels first.",
        smallest="max adaptive output_size=1,1,2 gradient channels_last x=float32:1,2,1,1,4:0,1,1,0,1,0,0,1 cotangent=float32:1,2,1,1,2:1x4",
        observed="", where=rules.misread(rules.where_max_gradient), predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-compiled-adaptive-index-before-nan", verdict="bug",
        description="Where adaptive bins differ in size, the index is that of the largest before the first NaN, or of a 0 past the end of a bin of negative integers.",
        smallest="max adaptive output_size=2 indices channels_first x=float32:1,1,3:0,nan,0", observed="0",
        where=rules.adaptive(rules.where_index), predict=rules.predict_index,
    ),
    row(
        id="torch-compiled-adaptive-gradient-before-nan", verdict="bug",
        description="Where adaptive bins differ in size, the gradient goes to the largest before the first NaN.",
        smallest="max adaptive output_size=2 gradient channels_first x=float32:1,1,3:0,nan,0 cotangent=float32:1,1,2:1x2", observed="1",
        where=rules.adaptive(rules.where_max_gradient), predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-compiled-adaptive-negative-integers", verdict="bug",
        description="Where adaptive bins differ in size, a 0 stands past the end of the smaller ones, and beats negative integers.",
        smallest="max adaptive output_size=2,2 values channels_first x=int32:1,1,2,3:-1x6", observed="0",
        where=rules.where_negative, predict=rules.predict_negative,
    ),
    row(
        id="torch-compiled-int8-lanes", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/191499",
        description="A maximum of int8 over 16 elements or more is taken in vectors whose lanes past the load are 0: no negative one is less.",
        smallest="max global values channels_first x=int8:1,1,16:-1x16", observed="0",
        where=rules.where_lanes("values"), predict=rules.predict_zero,
    ),
    row(
        id="torch-compiled-int8-lanes-index", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/191499",
        description="The index of a maximum of int8 below 0 over 16 elements or more is that of a lane past the load, which nobody has set.",
        smallest="max global indices channels_first x=int8:1,1,96:-2x95,-1", observed="0",
        where=rules.where_lanes("indices"), predict=rules.predict_zero, nearest=rules.nearest_lane,
    ),
    row(
        id="torch-compiled-adaptive-index-last-nan", verdict="bug",
        description="What inductor hands to the eager kernel: of several NaN in a bin the last one's index is returned.",
        smallest="max adaptive output_size=1,1,2 indices channels_first x=float32:1,1,1,1,3:nanx3", observed="1",
        where=rules.handed_over(rules.where_index), predict=rules.predict_index,
    ),
    row(
        id="torch-compiled-adaptive-gradient-last-nan", verdict="bug",
        description="What inductor hands to the eager kernel: of several NaN in a bin the last one gets the gradient.",
        smallest="max adaptive output_size=1,1,2 gradient channels_first x=float32:1,1,1,1,3:nanx3 cotangent=float32:1,1,1,1,2:1x2", observed="0",
        where=rules.handed_over(rules.where_max_gradient), predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-compiled-average-gradient-overhang", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/198119",
        description="The gradient of an average that counts padding divides by the whole kernel where a window overhangs in ceil mode.",
        smallest="average count_include_pad sliding kernel=2 ceil_mode gradient channels_first x=float32:1,1,3:0x3 cotangent=float32:1,1,2:1x2",
        observed="0.5", where=sums.where_overhang, predict=sums.predict_overhang,
    ),
    row(
        id="torch-compiled-float16-gradient", verdict="precision",
        description="Gradients that inductor hands to the eager kernel are added in float16.",
        smallest="max sliding kernel=1,1,3 stride=1,1,1 gradient channels_first x=float16:1,1,1,1,5:0x2,1,0x2 cotangent=float16:1,1,1,1,3:2048,1x2",
        observed="2048", where=in_type(sums.where_half_gradient, "float16"), accumulator="float16",
    ),
    row(
        id="torch-compiled-bfloat16-gradient", verdict="precision",
        description="Gradients that inductor hands to the eager kernel are added in bfloat16.",
        smallest="max sliding kernel=1,1,3 stride=1,1,1 gradient channels_first x=bfloat16:1,1,1,1,5:0x2,1,0x2 cotangent=bfloat16:1,1,1,1,3:256,1x2",
        observed="256", where=in_type(sums.where_half_gradient, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="torch-compiled-float16-average", verdict="precision",
        description="Averages that inductor hands to the eager kernel are summed in float16.",
        smallest="average adaptive output_size=1,1,2 values channels_first x=float16:1,1,1,1,4:60000x4", observed="inf",
        where=in_type(sums.where_half_average, "float16"), accumulator="float16",
    ),
    row(
        id="torch-compiled-bfloat16-average", verdict="precision",
        description="Averages that inductor hands to the eager kernel are summed in bfloat16.",
        smallest="average adaptive output_size=1,1,2 values channels_first x=bfloat16:1,2,1,4,1:0,1,0.333984,...", observed="0.585938",
        where=in_type(sums.where_half_average, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="torch-compiled-average-overflow", verdict="precision",
        description="A partial sum overflows, and meets an infinity of the other sign, or another partial sum that does.",
        smallest="average sliding kernel=5 values channels_first x=float32:1,1,5:inf,-3e+38x4", observed="nan",
        where=torch_rules.where_overflow, predict=torch_rules.predict_nan,
    ),
    row(
        id="torch-compiled-lp-formula", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/184037",
        description="lp_pool is avg_pool(x.pow(p)).mul(k).pow(1/p): odd powers keep their sign, fractional ones of negatives are NaN, "
        "clipped windows are scaled up, and powers overflow and underflow.",
        smallest="lp p=3 sliding kernel=1 values channels_first x=float32:1,1,1:-1", observed="nan",
        where=torch_rules.where_lp, predict=sums.predict_lp, nearest=sums.nearest_lp, slack=sums.lp_slack,
    ),
    row(
        id="torch-compiled-float16-lp", verdict="precision",
        description="Powers of float16 are rounded to float16 where inductor stores them.",
        smallest="lp p=2 global gradient channels_first x=float16:1,1,1:0.001 cotangent=float16:1,1,1:1",
        observed="0.9937", where=in_type(torch_rules.where_lp, "float16"), predict=sums.predict_lp, nearest=sums.nearest_lp, slack=sums.lp_slack, accumulator="float16",
    ),
    row(
        id="torch-compiled-float16-lp-wide", verdict="bug",
        description="Where lp_pool of float16 is one loop, its powers stay in float32, past float16's range: odd ones of negatives are NaN, no infinity; "
        "the means may be stored in float16 all the same.",
        smallest="lp p=7 sliding kernel=1 values channels_first x=float16:1,1,1:-5", observed="nan",
        where=sums.where_wide_powers, predict=sums.predict_wide_powers, nearest=sums.nearest_wide_powers,
    ),
    row(
        id="torch-compiled-bfloat16-lp", verdict="precision",
        description="Powers of bfloat16 are rounded to bfloat16 where inductor stores them.",
        smallest="lp p=2 sliding kernel=2 stride=1 gradient channels_first x=bfloat16:1,1,7:2,5,... cotangent=bfloat16:1,1,6:1,2,1,...",
        observed="", where=in_type(torch_rules.where_lp, "bfloat16"), predict=sums.predict_lp, nearest=sums.nearest_lp, slack=sums.lp_slack, accumulator="bfloat16",
    ),
)  # fmt: skip
