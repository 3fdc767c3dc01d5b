"""Unpooling and gradients of PyTorch that break a rule, crash reports among them."""

from properties.bad_calls import BadCall

ISSUE = "https://github.com/pytorch/pytorch/issues/"

GRADIENTS = (
    # --- unpooling by indices ---
    BadCall(
        id="unpool2d-index-too-large",
        violates="an index of 2^40 into 16 elements",
        code="F.max_unpool2d(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2**40), 2)",
    ),
    BadCall(
        id="unpool2d-index-negative",
        violates="an index of −1",
        source=ISSUE + "152913",
        code="F.max_unpool2d(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), -1), 2)",
    ),
    BadCall(
        id="unpool3d-index-too-large",
        violates="an index of 2^40 into 64 elements",
        source=ISSUE + "88032",
        code="F.max_unpool3d(torch.ones(1, 1, 2, 2, 2), torch.full((1, 1, 2, 2, 2), 2**40), 2)",
    ),
    BadCall(
        id="unpool3d-fewer-indices",
        violates="indices of another shape than the values",
        source=ISSUE + "88032",
        code="F.max_unpool3d(torch.ones(1, 1, 4, 4, 4), torch.zeros(1, 1, 1, 1, 1, dtype=torch.int64), 2)",
    ),
    BadCall(
        id="unpool3d-scalar",
        violates="values of rank 0, and no output size",
        source=ISSUE + "78126",
        code="torch._C._nn.max_unpool3d(torch.tensor(1.0), torch.zeros(1, 1, 2, 2, 2, dtype=torch.int64), [], 2, 0)",
    ),
    BadCall(
        id="unpool2d-float-indices",
        violates="indices that are no integers",
        code="F.max_unpool2d(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), 2)",
    ),
    BadCall(
        id="unpool2d-output-size-negative",
        violates="an output size of −4",
        code="torch._C._nn.max_unpool2d(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64), [-4, -4])",
    ),
    # --- gradients, as the framework's own autograd calls them ---
    BadCall(
        id="max2d-straddling-window-gradient",
        violates="the gradient of windows of 2 with dilation 3 and a padding of 1, which read none of 2 elements",
        code="""
            x = torch.zeros(1, 1, 2, 2**20, requires_grad=True)
            torch.autograd.grad(F.max_pool2d(x, (2, 1), 1, (1, 0), (3, 1)).sum(), x)
        """,
    ),
    BadCall(
        id="autograd-cotangent-larger",
        violates="a cotangent larger than the pooled values",
        code="""
            x = torch.ones(1, 1, 4, 4, requires_grad=True)
            torch.autograd.grad(F.max_pool2d(x, 2), x, torch.ones(1, 1, 9, 9))
        """,
    ),
    BadCall(
        id="autograd-cotangent-other-dtype",
        violates="a cotangent of another dtype than the pooled values",
        must="survive",
        code="""
            x = torch.ones(1, 1, 4, 4, requires_grad=True)
            torch.autograd.grad(F.avg_pool2d(x, 2), x, torch.ones(1, 1, 2, 2, dtype=torch.float64))
        """,
    ),
    BadCall(
        id="max2d-backward-larger-cotangent",
        violates="a cotangent of a larger batch than the input",
        source=ISSUE + "140923",
        code="""
            grad, indices = torch.ones(4096, 8, 9, 9), torch.zeros(4096, 8, 9, 9, dtype=torch.int64)
            torch.ops.aten.max_pool2d_with_indices_backward(grad, torch.ones(1, 8, 9, 9), [3, 3], [1, 1], [1, 1], [1, 1], False, indices)
        """,
    ),
    BadCall(
        id="max2d-backward-fewer-indices",
        violates="fewer indices than cotangents",
        source=ISSUE + "140923",
        code="""
            grad, indices = torch.ones(4096, 8, 9, 9), torch.zeros(1, 8, 9, 9, dtype=torch.int64)
            torch.ops.aten.max_pool2d_with_indices_backward(grad, torch.ones(4096, 8, 9, 9), [3, 3], [1, 1], [1, 1], [1, 1], False, indices)
        """,
    ),
    BadCall(
        id="max2d-backward-index-too-large",
        violates="an index of 2^40 into 16 elements",
        code="""
            grad, indices = torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2**40)
            torch.ops.aten.max_pool2d_with_indices_backward(grad, torch.ones(1, 1, 4, 4), [2, 2], [2, 2], [0, 0], [1, 1], False, indices)
        """,
    ),
    BadCall(
        id="max3d-backward-index-too-large",
        violates="an index of 2^40 into 64 elements",
        code="""
            grad, indices, zeros = torch.ones(1, 1, 2, 2, 2), torch.full((1, 1, 2, 2, 2), 2**40), [0, 0, 0]
            torch.ops.aten.max_pool3d_with_indices_backward(
                grad, torch.ones(1, 1, 4, 4, 4), [2, 2, 2], [2, 2, 2], zeros, [1, 1, 1], False, indices
            )
        """,
    ),
    BadCall(
        id="avg2d-backward-smaller-cotangent",
        violates="a cotangent smaller than the pooled values",
        code="""
            grad, x = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 8, 8)
            torch.ops.aten.avg_pool2d_backward(grad, x, [2, 2], [2, 2], [0, 0], False, True, None)
        """,
    ),
    BadCall(
        id="avg2d-backward-other-channels",
        violates="a cotangent of fewer channels than the input",
        code="""
            grad, x = torch.ones(1, 1, 4, 4), torch.ones(1, 4096, 8, 8)
            torch.ops.aten.avg_pool2d_backward(grad, x, [2, 2], [2, 2], [0, 0], False, True, None)
        """,
    ),
    BadCall(
        id="avg2d-backward-divisor-0",
        violates="a divisor of 0",
        code="torch.ops.aten.avg_pool2d_backward(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 4, 4), [2, 2], [2, 2], [0, 0], False, True, 0)",
    ),
    BadCall(
        id="avg3d-backward-other-batch",
        violates="a cotangent of a smaller batch than the input",
        code="""
            grad, x = torch.ones(1, 1, 2, 2, 2), torch.ones(2, 1, 4, 4, 4)
            torch.ops.aten.avg_pool3d_backward(grad, x, [2, 2, 2], [2, 2, 2], [0, 0, 0], False, True, None)
        """,
    ),
    BadCall(
        id="adaptive-max2d-backward-index-too-large",
        violates="an index of 2^40 into 16 elements",
        source=ISSUE + "141099",
        code="torch.ops.aten.adaptive_max_pool2d_backward(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 4, 4), torch.full((1, 1, 2, 2), 2**40))",
    ),
    BadCall(
        id="adaptive-max2d-backward-fewer-indices",
        violates="fewer indices than cotangents",
        source=ISSUE + "141099",
        code="""
            grad, x = torch.ones(4096, 8, 9, 9), torch.ones(4096, 8, 9, 9)
            torch.ops.aten.adaptive_max_pool2d_backward(grad, x, torch.zeros(1, 1, 1, 1, dtype=torch.int64))
        """,
    ),
    BadCall(
        id="adaptive-max3d-backward-fewer-indices",
        violates="fewer indices than cotangents",
        source=ISSUE + "141100",
        code="""
            grad, x = torch.ones(4096, 8, 3, 3, 3), torch.ones(4096, 8, 3, 3, 3)
            torch.ops.aten.adaptive_max_pool3d_backward(grad, x, torch.zeros(1, 1, 1, 1, 1, dtype=torch.int64))
        """,
    ),
    BadCall(
        id="adaptive-avg2d-backward-other-batch",
        violates="a cotangent of a smaller batch than the input",
        source=ISSUE + "145070",
        code="torch.ops.aten._adaptive_avg_pool2d_backward(torch.ones(1, 8, 2, 2), torch.ones(2, 8, 4, 4))",
    ),
    BadCall(
        id="fractional-max2d-backward-index-too-large",
        violates="an index of 2^40 into 64 elements",
        code="""
            grad, indices = torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2**40)
            torch.ops.aten.fractional_max_pool2d_backward(grad, torch.ones(1, 1, 8, 8), [2, 2], [4, 4], indices)
        """,
    ),
)
