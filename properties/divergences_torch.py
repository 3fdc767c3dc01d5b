"""The known deviations of PyTorch on CPU, as rows; the mechanisms are in `torch_rules`."""

from functools import partial

from properties import torch_rules as rules
from properties.divergence import Divergence

EAGER = frozenset({""})
row = partial(Divergence, backend="torch", versions=">=2.11,<2.14", variants=EAGER)

ROWS: tuple[Divergence, ...] = (
    row(
        id="torch-index-last-nan", verdict="bug",
        description="Of several NaN in a window the last one's index is returned; the 3-D kernel forgets the depth of a window of −inf.",
        smallest="max sliding kernel=2 indices channels_first x=float32:1,1,2:nanx2", observed="1",
        where=rules.where_index, predict=rules.predict_index,
    ),
    row(
        id="torch-max-gradient-last-nan", verdict="bug",
        description="Of several NaN in a window the last one gets the gradient.",
        smallest="max sliding kernel=2 gradient channels_first x=float32:1,1,2:nanx2 cotangent=float32:1,1,1:1", observed="0",
        where=rules.where_max_gradient, predict=rules.predict_max_gradient,
    ),
    row(
        id="torch-float16-gradient", verdict="precision",
        description="Gradients of float16 are added in float16.",
        smallest="average sliding kernel=3 stride=1 gradient channels_first x=float16:1,1,6:0x6 cotangent=float16:1,1,4:1,-0.1,0.7,1",
        observed="", where=rules.in_type(rules.where_half_gradient, "float16"), accumulator="float16", slack=rules.twice_divided,
    ),
    row(
        id="torch-bfloat16-gradient", verdict="precision",
        description="Gradients of bfloat16 are added in bfloat16.",
        smallest="average sliding kernel=3 stride=1 gradient channels_first x=bfloat16:1,1,6:0x6 cotangent=bfloat16:1,1,4:1,-0.1,0.7,1",
        observed="", where=rules.in_type(rules.where_half_gradient, "bfloat16"), accumulator="bfloat16", slack=rules.twice_divided,
    ),
    row(
        id="torch-float16-gradient-divisor", verdict="precision",
        description="The gradient of an average of float16 divides by a divisor of one's own as float16 has it: past 65504 it is infinite.",
        smallest="average divisor=70001 sliding kernel=1,1 gradient channels_first x=float16:1,1,1,1:0 cotangent=float16:1,1,1,1:1", observed="0",
        where=rules.in_type(rules.where_half_divisor, "float16"), predict=rules.predict_half_divisor, accumulator="float16",
    ),
    row(
        id="torch-float16-lp", verdict="precision",
        description="Each step of lp_pool in float16 is rounded to float16.",
        smallest="lp p=2 global gradient channels_first x=float16:1,1,7,8:0,1,... cotangent=float16:1,1,1,1:1",
        observed="0.18884", where=rules.in_type(rules.where_lp, "float16"), accumulator="float16",
    ),
    row(
        id="torch-bfloat16-lp", verdict="precision",
        description="Each step of lp_pool in bfloat16 is rounded to bfloat16.",
        smallest="lp p=2 sliding kernel=2 stride=1 gradient channels_first x=bfloat16:1,1,7:2,5,... cotangent=bfloat16:1,1,6:1,2,1,...",
        observed="", where=rules.in_type(rules.where_lp, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="torch-lp-formula", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/184037",
        description="lp_pool is avg_pool(x.pow(p)).mul(k).pow(1/p): odd powers keep their sign, fractional ones of negatives are NaN, "
        "clipped windows are scaled up, and powers overflow and underflow.",
        smallest="lp p=3 sliding kernel=1 values channels_first x=float32:1,1,1:-1", observed="nan",
        where=rules.where_lp, predict=rules.predict_lp, nearest=rules.nearest_lp, slack=rules.lp_slack,
    ),
    row(
        id="torch-lp-exponent", verdict="precision",
        description="In vectors lp_pool raises float32 to 1/p rounded to float32: large norms are off by 10 units in the last place.",
        smallest="lp p=3 sliding kernel=1 values channels_first x=float32:1,1,32:6.7108864e+07,0x31", observed="67108904",
        where=rules.where_lp_in_vectors, predict=rules.predict_lp_in_vectors, nearest=partial(rules.nearest_lp, vectors=True), slack=rules.lp_slack,
    ),
    row(
        id="torch-float16-average", verdict="precision",
        description="Adaptive and channels-last averages of float16 are summed in float16.",
        smallest="average adaptive output_size=1,1,3 values channels_first x=float16:1,1,1,2,2:0,6.55e+04,0,6.55e+04", observed="inf",
        where=rules.in_type(rules.where_average, "float16"), accumulator="float16",
    ),
    row(
        id="torch-bfloat16-average", verdict="precision",
        description="Adaptive and channels-last averages of bfloat16 are summed in bfloat16.",
        smallest="average adaptive output_size=1,1,2 values channels_first x=bfloat16:1,2,1,4,1:0,1,0.333984,...", observed="0.585938",
        where=rules.in_type(rules.where_average, "bfloat16"), accumulator="bfloat16",
    ),
    row(
        id="torch-average-overflow", verdict="precision",
        description="Averages are added in vectors: partial sums of both signs overflow, and inf − inf is NaN for finite inputs.",
        smallest="average global values channels_last x=float32:1,2,19:0x4,3.4028235e+38,-3.4028235e+38,...", observed="nan",
        where=rules.where_overflow, predict=rules.predict_nan,
    ),
    row(
        id="torch-float16-lp-formula", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/184037",
        description="lp_pool's formula in float16: what it gets wrong, and its rounding.",
        smallest="lp p=3 sliding kernel=2,2 stride=1,1 gradient channels_first x=float16:1,1,2,2:-1,2,-1,2 cotangent=float16:1,1,1,1:1",
        observed="0.1722", where=rules.in_type(rules.where_lp, "float16"), predict=rules.predict_lp, accumulator="float16",
        nearest=rules.nearest_lp, slack=rules.lp_slack,
    ),
    row(
        id="torch-bfloat16-lp-formula", verdict="bug", upstream="https://github.com/pytorch/pytorch/issues/184037",
        description="lp_pool's formula in bfloat16: what it gets wrong, and its rounding.",
        smallest="lp p=3 sliding kernel=2,2 stride=1,1 gradient channels_first x=bfloat16:1,1,2,2:-1,2,-1,2 cotangent=bfloat16:1,1,1,1:1",
        observed="", where=rules.in_type(rules.where_lp, "bfloat16"), predict=rules.predict_lp, accumulator="bfloat16",
        nearest=rules.nearest_lp, slack=rules.lp_slack,
    ),
)  # fmt: skip
