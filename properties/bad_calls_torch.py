"""PyTorch calls that break a rule of pooling, those of published advisories and crash reports among them."""

from properties.bad_calls import BadCall
from properties.bad_calls_torch_gradient import GRADIENTS

ISSUE = "https://github.com/pytorch/pytorch/issues/"

CALLS = (
    # --- forward ---
    BadCall(
        id="max1d-window-larger-than-input",
        violates="a window of 4 over 3 elements",
        code="F.max_pool1d(torch.zeros(1, 1, 3), 4)",
    ),
    BadCall(
        id="max2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements",
        code="F.max_pool2d(torch.zeros(1, 1, 2, 2), 3)",
    ),
    BadCall(
        id="max3d-window-larger-than-input",
        violates="a window of 3×3×3 over 2×2×2 elements",
        code="F.max_pool3d(torch.zeros(1, 1, 2, 2, 2), 3)",
    ),
    BadCall(
        id="avg1d-window-larger-than-input",
        violates="a window of 4 over 3 elements",
        code="F.avg_pool1d(torch.zeros(1, 1, 3), 4)",
    ),
    BadCall(
        id="avg2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements",
        code="F.avg_pool2d(torch.zeros(1, 1, 2, 2), 3)",
    ),
    BadCall(
        id="lp2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements",
        code="F.lp_pool2d(torch.zeros(1, 1, 2, 2), 2.0, 3)",
    ),
    BadCall(
        id="max2d-dilated-window-larger-than-input",
        violates="a window of 2 with dilation 4 over 4 elements",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, dilation=4)",
    ),
    BadCall(
        id="max1d-absurd-window",
        violates="a window of 2^62 over 4 elements",
        code="F.max_pool1d(torch.zeros(1, 1, 4), 2**62)",
    ),
    BadCall(
        id="max2d-absurd-window",
        violates="a window of 2^62 over 4 elements",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2**62)",
    ),
    BadCall(
        id="avg2d-absurd-window",
        violates="a window of 2^62 over 4 elements",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4), 2**62)",
    ),
    BadCall(
        id="max1d-absurd-padding",
        violates="a window of 2^62 − 2 and a padding of half of it, whose sum overflows",
        must="survive",
        code="F.max_pool1d(torch.zeros(1, 1, 4), 2**62 - 2, 1, 2**61 - 1)",
    ),
    BadCall(
        id="max2d-absurd-dilation",
        violates="a dilation of 2^62 over 4 elements",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 3, 1, 0, 2**62)",
    ),
    BadCall(
        id="max1d-absurd-dilation",
        violates="a dilation of 2^62 over 4 elements",
        code="F.max_pool1d(torch.zeros(1, 1, 4), 5, 1, 0, 2**62)",
    ),
    BadCall(
        id="max2d-straddling-window",
        violates="a window of 2 with dilation 3 and a padding of 1, which reads padding on either side of 2 elements and none of them",
        source=ISSUE + "114216",
        code="F.max_pool2d(torch.zeros(1, 1, 2, 2), (2, 1), 1, (1, 0), (3, 1), return_indices=True)",
    ),
    BadCall(
        id="max1d-window-0",
        violates="a window of 0",
        code="F.max_pool1d(torch.zeros(1, 1, 4), 0)",
    ),
    BadCall(
        id="max2d-window-0",
        violates="a window of 0",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 0, 1)",
    ),
    BadCall(
        id="avg2d-window-0",
        violates="a window of 0",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4), 0, 1)",
    ),
    BadCall(
        id="avg3d-window-negative",
        violates="a window of −1",
        code="F.avg_pool3d(torch.zeros(1, 1, 4, 4, 4), -1, 1)",
    ),
    BadCall(
        id="lp2d-window-0",
        violates="a window of 0",
        code="F.lp_pool2d(torch.zeros(1, 1, 4, 4), 2.0, 0, 1)",
    ),
    BadCall(
        id="max2d-stride-0",
        violates="a stride of 0",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, 0)",
    ),
    BadCall(
        id="max1d-stride-0",
        violates="a stride of 0",
        code="F.max_pool1d(torch.zeros(1, 1, 4), 2, 0)",
    ),
    BadCall(
        id="avg2d-stride-0",
        violates="a stride of 0",
        source=ISSUE + "41767",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4), 2, stride=0)",
    ),
    BadCall(
        id="avg3d-stride-0",
        violates="a stride of 0",
        source=ISSUE + "41767",
        code="F.avg_pool3d(torch.zeros(1, 1, 4, 4, 4), 2, stride=0)",
    ),
    BadCall(
        id="max3d-stride-negative",
        violates="a stride of −1",
        code="F.max_pool3d(torch.zeros(1, 1, 4, 4, 4), 2, -1)",
    ),
    BadCall(
        id="avg1d-stride-negative",
        violates="a stride of −1",
        code="F.avg_pool1d(torch.zeros(1, 1, 4), 2, -1)",
    ),
    BadCall(
        id="mkldnn-max2d-stride-0",
        violates="a stride of 0",
        source="CVE-2025-2953; " + ISSUE + "149274",
        code="torch.mkldnn_max_pool2d(torch.zeros(1, 1, 4, 4).to_mkldnn(), kernel_size=3, stride=0)",
    ),
    BadCall(
        id="mkldnn-max2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements",
        code="torch.mkldnn_max_pool2d(torch.zeros(1, 1, 2, 2).to_mkldnn(), kernel_size=3, stride=1)",
    ),
    BadCall(
        id="mkldnn-avg2d-window-0",
        violates="a window of 0",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4).to_mkldnn(), 0, 1)",
    ),
    BadCall(
        id="mkldnn-avg2d-stride-negative",
        violates="a stride of −1",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4).to_mkldnn(), 2, -1)",
    ),
    BadCall(
        id="quantized-max2d-stride-0",
        violates="a stride of 0",
        code="torch.quantized_max_pool2d(torch.quantize_per_tensor(torch.ones(1, 1, 4, 4), 1.0, 0, torch.quint8), [2, 2], [0, 0])",
    ),
    BadCall(
        id="quantized-max2d-window-negative",
        violates="a window of −1",
        source=ISSUE + "116254",
        code="torch.quantized_max_pool2d(torch.quantize_per_tensor(torch.ones(1, 1, 4, 4), 1.0, 0, torch.quint8), [-1, -1], [1, 1])",
    ),
    BadCall(
        id="quantized-max2d-dilation-0",
        violates="a dilation of 0",
        code="""
            x = torch.quantize_per_tensor(torch.ones(1, 1, 4, 4), 1.0, 0, torch.quint8)
            torch.quantized_max_pool2d(x, [2, 2], [1, 1], [0, 0], [0, 0])
        """,
    ),
    BadCall(
        id="quantized-max1d-no-window",
        violates="a window of no sizes",
        code="torch.quantized_max_pool1d(torch.quantize_per_tensor(torch.ones(1, 1, 4), 1.0, 0, torch.quint8), [])",
    ),
    BadCall(
        id="max2d-dilation-0",
        violates="a dilation of 0",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, dilation=0)",
    ),
    BadCall(
        id="max2d-dilation-negative",
        violates="a dilation of −1",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, dilation=-1)",
    ),
    BadCall(
        id="max2d-padding-negative",
        violates="a padding of −1",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, padding=-1)",
    ),
    BadCall(
        id="avg2d-padding-negative",
        violates="a padding of −1",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4), 2, padding=-1)",
    ),
    BadCall(
        id="max2d-padding-alone",
        violates="windows of 2 in a padding of 3, which read no input",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), 2, 1, 3)",
    ),
    BadCall(
        id="avg2d-divisor-0",
        violates="a divisor of 0",
        code="F.avg_pool2d(torch.ones(1, 1, 4, 4), 2, divisor_override=0)",
    ),
    BadCall(
        id="max2d-rank-mismatch",
        violates="an input of rank 2",
        code="F.max_pool2d(torch.zeros(4, 4), 2)",
    ),
    BadCall(
        id="avg3d-rank-mismatch",
        violates="an input of rank 3 for 3-D pooling",
        code="F.avg_pool3d(torch.zeros(4, 4, 4), 2)",
    ),
    BadCall(
        id="avg2d-long-window",
        violates="a window of 3 sizes for 2-D pooling",
        code="F.avg_pool2d(torch.zeros(1, 1, 4, 4), (2, 2, 2))",
    ),
    BadCall(
        id="max2d-no-window",
        violates="a window of no sizes",
        code="F.max_pool2d(torch.zeros(1, 1, 4, 4), ())",
    ),
    BadCall(
        id="max2d-empty-axis",
        violates="windows over an axis of size 0",
        code="F.max_pool2d(torch.zeros(1, 1, 0, 4), 2)",
    ),
    BadCall(
        id="avg1d-empty-axis-of-many",
        violates="an input of rank 6, with axes of size 0 and one of 2^61",
        source=ISSUE + "94698",
        code="torch.avg_pool1d(torch.zeros(9, 15, 0, 2**61, 0, 14), [1], [1], [1])",
    ),
    BadCall(
        id="max1d-empty-axis-of-many",
        violates="an input of rank 6, with an axis of size 0 and one of 2^62",
        source=ISSUE + "94696",
        code="torch.max_pool1d_with_indices(torch.zeros(12, 2, 2, 2, 0, 2**62), [2], [1], [1])",
    ),
    # --- adaptive ---
    BadCall(
        id="adaptive-avg2d-output-negative",
        violates="an output size of −1",
        code="F.adaptive_avg_pool2d(torch.zeros(1, 1, 4, 4), (-1, 2))",
    ),
    BadCall(
        id="adaptive-max2d-output-negative",
        violates="an output size of −1",
        code="F.adaptive_max_pool2d(torch.zeros(1, 1, 4, 4), (-1, 2))",
    ),
    BadCall(
        id="adaptive-avg1d-output-absurd",
        violates="an output of 2^62 elements a channel, more than memory holds",
        source=ISSUE + "42582",
        code="F.adaptive_avg_pool1d(torch.zeros(2, 2, 2), 2**62)",
    ),
    BadCall(
        id="adaptive-avg3d-output-absurd",
        violates="an output of 2^62 elements an axis, whose number overflows",
        source=ISSUE + "42582",
        code="F.adaptive_avg_pool3d(torch.zeros(2, 2, 2, 2), 2**62)",
    ),
    BadCall(
        id="adaptive-max1d-output-absurd",
        violates="an output of 2^62 elements a channel, more than memory holds",
        source=ISSUE + "50960",
        code="F.adaptive_max_pool1d(torch.zeros(2, 2, 2), 2**62)",
    ),
    BadCall(
        id="adaptive-max2d-output-absurd",
        violates="an output of 2^62 elements an axis, whose number overflows",
        source=ISSUE + "50960",
        code="F.adaptive_max_pool2d(torch.zeros(2, 2, 2, 2), 2**62)",
    ),
    BadCall(
        id="adaptive-max2d-output-overflowing",
        violates="an output of 2^37 × 2^37 elements, whose number overflows",
        source=ISSUE + "91553",
        code="F.adaptive_max_pool2d(torch.zeros(1, 3, 5, 6), (2**37, 2**37))",
    ),
    BadCall(
        id="adaptive-avg2d-wide",
        violates="the product of input and output size passes 2^24",
        must="survive",
        source=ISSUE + "81409",
        code="torch._C._nn.adaptive_avg_pool2d(torch.zeros(1, 5877, 3697), (2855, 1))",
    ),
    BadCall(
        id="adaptive-avg2d-empty-axis",
        violates="bins over an axis of size 0",
        code="F.adaptive_avg_pool2d(torch.zeros(1, 1, 0, 4), 1)",
    ),
    BadCall(
        id="adaptive-max2d-long-output",
        violates="an output size of 3 axes for 2-D pooling",
        code="F.adaptive_max_pool2d(torch.zeros(1, 1, 4, 4), (2, 2, 2))",
    ),
    # --- fractional ---
    BadCall(
        id="fractional-max2d-no-window",
        violates="a window of no sizes",
        source=ISSUE + "50967",
        code="F.fractional_max_pool2d(torch.ones(1, 1, 1, 1), (), output_size=1, _random_samples=torch.tensor(-1.0))",
    ),
    BadCall(
        id="fractional-max2d-output-too-large",
        violates="an output as large as the input, with windows of 2",
        code="F.fractional_max_pool2d(torch.ones(1, 1, 4, 4), 2, output_size=4)",
    ),
    BadCall(
        id="fractional-max2d-samples-out-of-range",
        violates="random samples of 99, outside [0, 1)",
        must="survive",
        code="F.fractional_max_pool2d(torch.ones(1, 1, 8, 8), 2, output_size=4, _random_samples=torch.full((1, 1, 2), 99.0))",
    ),
    BadCall(
        id="fractional-max3d-samples-out-of-range",
        violates="random samples of −99, outside [0, 1)",
        must="survive",
        code="F.fractional_max_pool3d(torch.ones(1, 1, 8, 8, 8), 2, output_size=4, _random_samples=torch.full((1, 1, 3), -99.0))",
    ),
    BadCall(
        id="fractional-max2d-too-few-samples",
        violates="random samples for one channel of 64",
        code="F.fractional_max_pool2d(torch.ones(1, 64, 8, 8), 2, output_size=4, _random_samples=torch.full((1, 1, 2), 0.5))",
    ),
    BadCall(
        id="fractional-max2d-window-0",
        violates="a window of 0",
        code="F.fractional_max_pool2d(torch.ones(1, 1, 8, 8), 0, output_size=4)",
    ),
    *GRADIENTS,
)
