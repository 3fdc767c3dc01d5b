"""What a case asks, attribute by attribute: the coordinates of the coverage table, in the words of the report."""

from typing import Any

import numpy as np

from backends.interface import Case, padding_kind
from backends.spec import Adaptive, Average, Lp, Sliding

SIZES = {"kernel": (1, 3, 8, 32), "channels": (1, 7, 16, 64), "batch": (1,)}
"""The largest number of each class of sizes: those that kernels have paths of their own for lie in classes of their own."""


def question(case: Case) -> dict[str, str]:
    """What a case asks, attribute by attribute: the coordinates of the coverage table."""
    reduction, windows = case.spec.reduction, case.spec.windows
    asked = {
        "reduction": reduction.name,
        "windows": windows.name,
        "ndim": f"{case.x.ndim - 2}-D",
        "dtype": case.x.dtype.name,
        "layout": case.layout,
        "output": case.output,
        "memory": _memory(case.x),
        "values": _values(case.x),
        "channels": _size_class("channels", case.x.shape[1]),
        "batch": _size_class("batch", case.x.shape[0]) if case.x.shape[0] else "empty",
    }
    if case.cotangent is not None:
        asked["cotangent_memory"] = _memory(case.cotangent)
        asked["cotangent_values"] = _values(case.cotangent)
    if isinstance(windows, Adaptive):
        asked["bins"] = _bins(windows, case.spatial)
    if isinstance(windows, Sliding):
        asked["kernel"] = _size_class("kernel", max(windows.kernel))
        asked["stride"] = _stride(windows)
        if len(windows.kernel) > 1:
            asked["axes"] = _axes(windows, case.spatial)
        asked["padding"] = padding_kind(case)
        asked["dilation"] = "yes" if set(windows.dilation) != {1} else "no"
        asked["ceil_mode"] = "yes" if windows.ceil_mode else "no"
        if isinstance(reduction, Average):
            asked["count_include_pad"] = "yes" if reduction.count_include_pad else "no"
            asked["divisor"] = "none" if reduction.divisor is None else "negative" if reduction.divisor < 0 else "positive"
    if isinstance(reduction, Lp):
        asked["p"] = f"{reduction.p:g}"
    return asked


def _size_class(attribute: str, size: int) -> str:
    """Which class of sizes a size is in: "1", "2 to 3", "33 or more"."""
    below = 0
    for most in SIZES[attribute]:
        if size <= most:
            return f"{most}" if below + 1 >= most else f"{below + 1} to {most}"
        below = most
    return f"{below + 1} or more"


def _stride(windows: Sliding) -> str:
    """How windows follow one another, on the axis where they do so least closely."""
    spans = [dilation * (size - 1) + 1 for size, dilation in zip(windows.kernel, windows.dilation, strict=True)]
    gaps = [stride - span for stride, span in zip(windows.stride, spans, strict=True)]
    return "windows overlap" if max(gaps) < 0 else "windows adjoin" if max(gaps) == 0 else "windows leave gaps"


def _axes(windows: Sliding, spatial: tuple[int, ...]) -> str:
    """Whether no two axes have the same size, window or stride, nor the same pads or dilation where any: mixing axes up shows."""
    padded, dilated = not isinstance(windows.padding, str), set(windows.dilation) != {1}
    numbers: list[tuple[Any, ...]] = [windows.kernel, windows.stride, spatial]
    numbers += [tuple(windows.padding)] * padded + [windows.dilation] * dilated
    if any(len(set(each)) < len(each) for each in numbers):
        return "alike in part"
    return "distinct, pads and dilations too" if padded and dilated else "distinct"


def _bins(windows: Adaptive, spatial: tuple[int, ...]) -> str:
    """How adaptive bins divide the axis that they divide least evenly."""
    pairs = list(zip(windows.output_size, spatial, strict=True))
    if any(bins > size for bins, size in pairs):
        return "more than elements"
    if any(size % bins for bins, size in pairs):
        return "of two sizes"
    return "one an axis" if set(windows.output_size) == {1} else "of one size"


def _memory(array: np.ndarray) -> str:
    if not array.flags.writeable:
        return "read-only"
    if any(stride < 0 for stride in array.strides):
        return "negative strides"
    if array.flags.c_contiguous:
        return "contiguous"
    return "transposed" if array.flags.f_contiguous else "strided"


def _values(array: np.ndarray) -> str:
    if array.dtype.kind in "iu":
        ends = np.iinfo(array.dtype)
        # Zero is the least of what has no sign, and everywhere.
        extreme = (array == ends.max) | ((array == ends.min) & (ends.min < 0))
        return "integer extremes" if extreme.any() else "integers"
    found = []
    with np.errstate(invalid="ignore"):
        wide = np.abs(array.astype(np.float64))
        found += ["nan"] * bool(np.isnan(wide).any())
        found += ["+inf"] * bool((array == np.inf).any()) + ["-inf"] * bool((array == -np.inf).any())
        import ml_dtypes

        info = ml_dtypes.finfo(array.dtype)
        found += ["subnormal"] * bool(((wide > 0) & (wide < float(info.smallest_normal))).any())
        found += ["huge"] * bool(((wide >= float(info.max) / 2) & np.isfinite(wide)).any())
    return " ".join(found) or "finite"
