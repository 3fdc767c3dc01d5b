"""Calls of compiled PyTorch that break a rule of pooling: those that inductor has kernels or checks of its own for.

The rest it hands to the kernels that PyTorch calls eagerly, whose table is `bad_calls_torch.py`.
Arrays are the compiled function's arguments: a constant it might fold.
"""

from properties.bad_calls import BadCall, Must

ISSUE = "https://github.com/pytorch/pytorch/issues/"
X = "torch.arange(16.0).reshape(1, 1, 4, 4)"
SMALL = "torch.arange(4.0).reshape(1, 1, 2, 2)"

IN_SHORT = {
    "max2d-window-larger-than-input", "max2d-window-0", "max2d-stride-negative", "max2d-dilation-0", "max2d-padding-negative",
    "avg2d-window-larger-than-input", "avg2d-stride-0", "avg2d-divisor-0", "unpool2d-index-negative", "unpool2d-float-indices",
    "max2d-backward-fewer-indices", "adaptive-max2d-backward-index-too-large",
}  # fmt: skip
"""The calls that every profile asks: one of each sort, of which two are compiled to the end."""


def compiled(ident: str, violates: str, call: str, *, must: Must = "raise", source: str | None = None, **arrays: str) -> BadCall:
    """A call of some arrays, compiled whole."""
    names = ", ".join(arrays)
    code = [*(f"{name} = {array}" for name, array in arrays.items())]
    code += [f"pool = torch.compile(lambda {names}: {call}, fullgraph=True, dynamic=False)", f"pool({names})"]
    return BadCall(id=ident, violates=violates, source=source, must=must, slow=ident not in IN_SHORT, code="\n".join(code))


CALLS = (
    # --- forward ---
    compiled("max2d-window-larger-than-input", "a window of 3×3 over 2×2 elements", "F.max_pool2d(x, 3)", x=SMALL),
    compiled(
        "max2d-indices-window-larger-than-input", "a window of 3×3 over 2×2 elements", "F.max_pool2d(x, 3, return_indices=True)", x=SMALL,
    ),
    compiled(
        "max2d-dilated-window-larger-than-input", "a window of 2 with dilation 4 over 4 elements", "F.max_pool2d(x, 2, dilation=4)", x=X,
    ),
    compiled("max2d-absurd-window", "a window of 2^62 over 4 elements", "F.max_pool2d(x, 2**62)", x=X),
    compiled("max2d-window-0", "a window of 0", "F.max_pool2d(x, 0, 1)", x=X),
    compiled("max2d-window-negative", "a window of −2", "F.max_pool2d(x, -2, 1)", x=X),
    compiled("max2d-stride-0", "a stride of 0", "F.max_pool2d(x, 2, 0)", x=X),
    compiled("max2d-stride-negative", "a stride of −1", "F.max_pool2d(x, 2, -1)", x=X),
    compiled("max2d-dilation-0", "a dilation of 0", "F.max_pool2d(x, 2, dilation=0)", x=X),
    compiled("max2d-padding-negative", "a padding of −1", "F.max_pool2d(x, 2, padding=-1)", x=X),
    compiled("max2d-padding-alone", "windows of 2 in a padding of 3, which read no input", "F.max_pool2d(x, 2, 1, 3)", x=X),
    compiled("max2d-rank-mismatch", "an input of rank 2", "F.max_pool2d(x, 2)", x="torch.zeros(4, 4)"),
    compiled("max2d-long-window", "a window of 3 sizes for 2-D pooling", "F.max_pool2d(x, (2, 2, 2))", x=X),
    compiled("max2d-empty-axis", "windows over an axis of size 0", "F.max_pool2d(x, 2)", x="torch.zeros(1, 1, 0, 4)"),
    compiled(
        "max3d-window-larger-than-input", "a window of 3×3×3 over 2×2×2 elements", "F.max_pool3d(x, 3)", x="torch.zeros(1, 1, 2, 2, 2)",
    ),
    compiled("avg1d-window-larger-than-input", "a window of 4 over 3 elements", "F.avg_pool1d(x, 4)", x="torch.zeros(1, 1, 3)"),
    compiled("avg2d-window-larger-than-input", "a window of 3×3 over 2×2 elements", "F.avg_pool2d(x, 3)", x=SMALL),
    compiled("avg2d-window-0", "a window of 0", "F.avg_pool2d(x, 0, 1)", x=X),
    compiled("avg2d-stride-0", "a stride of 0", "F.avg_pool2d(x, 2, 0)", x=X),
    compiled("avg2d-padding-negative", "a padding of −1", "F.avg_pool2d(x, 2, padding=-1)", x=X),
    compiled("avg2d-divisor-0", "a divisor of 0", "F.avg_pool2d(x, 2, divisor_override=0)", x=X),
    compiled("avg3d-window-negative", "a window of −1", "F.avg_pool3d(x, -1, 1)", x="torch.zeros(1, 1, 4, 4, 4)"),
    compiled("adaptive-avg2d-output-negative", "an output size of −1", "F.adaptive_avg_pool2d(x, (-1, 2))", x=X),
    compiled("adaptive-max2d-output-negative", "an output size of −1", "F.adaptive_max_pool2d(x, (-1, 2))", x=X),
    compiled("adaptive-avg2d-empty-axis", "bins over an axis of size 0", "F.adaptive_avg_pool2d(x, 1)", x="torch.zeros(1, 1, 0, 4)"),
    compiled(
        "fractional-max2d-samples-out-of-range", "random samples of 99, outside [0, 1)",
        "F.fractional_max_pool2d(x, 2, output_size=4, _random_samples=samples)", must="survive",
        x="torch.ones(1, 1, 8, 8)", samples="torch.full((1, 1, 2), 99.0)",
    ),
    compiled(
        "fractional-max2d-too-few-samples", "random samples for one channel of 64",
        "F.fractional_max_pool2d(x, 2, output_size=4, _random_samples=samples)",
        x="torch.ones(1, 64, 8, 8)", samples="torch.full((1, 1, 2), 0.5)",
    ),
    compiled(
        "fractional-max2d-window-0", "a window of 0", "F.fractional_max_pool2d(x, 0, output_size=4, _random_samples=samples)",
        x="torch.ones(1, 1, 8, 8)", samples="torch.full((1, 1, 2), 0.5)",
    ),
    # --- unpooling by indices ---
    compiled(
        "unpool2d-index-too-large", "an index of 2^40 into 16 elements", "F.max_unpool2d(x, index, 2)", source=ISSUE + "144836",
        x=SMALL, index="torch.full((1, 1, 2, 2), 2**40)",
    ),
    compiled(
        "unpool2d-index-past-the-end", "an index of 16 into 16 elements", "F.max_unpool2d(x, index, 2)",
        x=SMALL, index="torch.full((1, 1, 2, 2), 16)",
    ),
    compiled(
        "unpool2d-index-negative", "an index of −1", "F.max_unpool2d(x, index, 2)", source=ISSUE + "152913",
        x=SMALL, index="torch.full((1, 1, 2, 2), -1)",
    ),
    compiled(
        "unpool2d-float-indices", "indices that are no integers", "F.max_unpool2d(x, index, 2)", x=SMALL, index="torch.zeros(1, 1, 2, 2)",
    ),
    compiled(
        "unpool3d-index-too-large", "an index of 2^40 into 64 elements", "F.max_unpool3d(x, index, 2)", source=ISSUE + "88032",
        x="torch.ones(1, 1, 2, 2, 2)", index="torch.full((1, 1, 2, 2, 2), 2**40)",
    ),
    compiled(
        "unpool3d-fewer-indices", "indices of another shape than the values", "F.max_unpool3d(x, index, 2)", source=ISSUE + "88032",
        x="torch.ones(1, 1, 4, 4, 4)", index="torch.zeros(1, 1, 1, 1, 1, dtype=torch.int64)",
    ),
    # --- gradients, as the framework's own autograd calls them ---
    compiled(
        "max2d-backward-index-too-large", "an index of 2^40 into 16 elements",
        "torch.ops.aten.max_pool2d_with_indices_backward(grad, x, [2, 2], [2, 2], [0, 0], [1, 1], False, index)",
        grad=SMALL, x=X, index="torch.full((1, 1, 2, 2), 2**40)",
    ),
    compiled(
        "max2d-backward-overlapping-index-too-large", "an index of 2^40 into 16 elements",
        "torch.ops.aten.max_pool2d_with_indices_backward(grad, x, [2, 2], [1, 1], [0, 0], [1, 1], False, index)",
        grad="torch.ones(1, 1, 3, 3)", x=X, index="torch.full((1, 1, 3, 3), 2**40)",
    ),
    compiled(
        "max2d-backward-fewer-indices", "fewer indices than cotangents",
        "torch.ops.aten.max_pool2d_with_indices_backward(grad, x, [3, 3], [1, 1], [1, 1], [1, 1], False, index)", source=ISSUE + "140923",
        grad="torch.ones(4096, 8, 9, 9)", x="torch.ones(4096, 8, 9, 9)", index="torch.zeros(1, 8, 9, 9, dtype=torch.int64)",
    ),
    compiled(
        "max2d-backward-larger-cotangent", "a cotangent of a larger batch than the input",
        "torch.ops.aten.max_pool2d_with_indices_backward(grad, x, [3, 3], [1, 1], [1, 1], [1, 1], False, index)", source=ISSUE + "140923",
        grad="torch.ones(4096, 8, 9, 9)", x="torch.ones(1, 8, 9, 9)", index="torch.zeros(4096, 8, 9, 9, dtype=torch.int64)",
    ),
    compiled(
        "avg2d-backward-smaller-cotangent", "a cotangent smaller than the pooled values",
        "torch.ops.aten.avg_pool2d_backward(grad, x, [2, 2], [2, 2], [0, 0], False, True, None)",
        grad="torch.ones(1, 1, 1, 1)", x="torch.ones(1, 1, 8, 8)",
    ),
    compiled(
        "avg2d-backward-other-channels", "a cotangent of fewer channels than the input",
        "torch.ops.aten.avg_pool2d_backward(grad, x, [2, 2], [2, 2], [0, 0], False, True, None)",
        grad="torch.ones(1, 1, 4, 4)", x="torch.ones(1, 4096, 8, 8)",
    ),
    compiled(
        "avg2d-backward-divisor-0", "a divisor of 0", "torch.ops.aten.avg_pool2d_backward(grad, x, [2, 2], [2, 2], [0, 0], False, True, 0)",
        grad=SMALL, x=X,
    ),
    compiled(
        "avg3d-backward-other-batch", "a cotangent of a smaller batch than the input",
        "torch.ops.aten.avg_pool3d_backward(grad, x, [2, 2, 2], [2, 2, 2], [0, 0, 0], False, True, None)",
        grad="torch.ones(1, 1, 2, 2, 2)", x="torch.ones(2, 1, 4, 4, 4)",
    ),
    compiled(
        "adaptive-max2d-backward-index-too-large", "an index of 2^40 into 16 elements",
        "torch.ops.aten.adaptive_max_pool2d_backward(grad, x, index)", source=ISSUE + "141099",
        grad=SMALL, x=X, index="torch.full((1, 1, 2, 2), 2**40)",
    ),
    compiled(
        "adaptive-avg2d-backward-other-batch", "a cotangent of a smaller batch than the input",
        "torch.ops.aten._adaptive_avg_pool2d_backward(grad, x)", source=ISSUE + "145070",
        grad="torch.ones(1, 8, 2, 2)", x="torch.ones(2, 8, 4, 4)",
    ),
)  # fmt: skip
