"""Pooling as people write it in NumPy: what the NumPy backend is worth beside it.

Both are backends (`benchmarks.plain:WindowView`, `benchmarks.plain:BlockReduce`) that can say little.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from backends.interface import LAYOUTS, Case
from backends.spec import Max, Sliding

# NumPy's mean of bfloat16 adds up in bfloat16, and plain code does not ask for another type: it is not declared.
_ABILITIES = {
    "windows": {"sliding"}, "ndims": {1, 2, 3}, "dtypes": {"float16", "float32", "float64"}, "layouts": set(LAYOUTS), "outputs": {"values"},
    "dilation": False, "ceil_mode": False, "count_include_pad": False, "divisor": False,
}  # fmt: skip


class _Plain:
    version = np.__version__

    def gap(self, case: Case) -> str | None:
        """Nothing, inside the capabilities."""
        return None

    def fetch(self, native: np.ndarray) -> np.ndarray:
        """The answer, which has its axes in place."""
        return native


class WindowView(_Plain):
    """`sliding_window_view(x, kernel)[..., ::stride].max(axis)`; padding, for max alone, is put around x outside the clock.

    So is what the last windows of ceil mode reach past the image.
    """

    name = "sliding_window_view"
    capabilities: ClassVar[Mapping[str, Any]] = {
        "max": {**_ABILITIES, "ceil_mode": True, "paddings": {"valid", "symmetric", "asymmetric", "same_upper", "same_lower"}},
        "average": {**_ABILITIES, "paddings": {"valid"}},
    }

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        """The view, and the reduction over it."""
        windows, spatial = _sliding(case), tuple(range(2, case.x.ndim))
        counts = [windows.count(axis, size) for axis, size in enumerate(case.spatial)]
        pads = [_reached(windows, axis, size) for axis, size in enumerate(case.spatial)]
        x = np.pad(case.x, [(0, 0), (0, 0), *pads], constant_values=-np.inf) if any(map(any, pads)) else case.x
        if case.layout == "channels_last":
            x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        view = np.lib.stride_tricks.sliding_window_view(x, windows.kernel, axis=spatial)
        steps = (slice(0, (count - 1) * stride + 1, stride) for count, stride in zip(counts, windows.stride, strict=True))
        strided = view[(slice(None), slice(None), *steps)]
        axes, reduce = tuple(range(-len(spatial), 0)), np.max if isinstance(case.spec.reduction, Max) else np.mean
        return lambda: reduce(strided, axis=axes)


class BlockReduce(_Plain):
    """`skimage.measure.block_reduce(x, kernel, np.max)`; its blocks do not overlap, and fill up an image that they do not divide.

    What it is filled up with can be said, so that it is the maximum in ceil mode.
    """

    name = "block_reduce"
    capabilities: ClassVar[Mapping[str, Any]] = {
        "max": {**_ABILITIES, "ceil_mode": True, "paddings": {"valid"}},
        "average": {**_ABILITIES, "paddings": {"valid"}},
    }

    def __init__(self) -> None:
        import skimage.measure

        self.block_reduce = skimage.measure.block_reduce

    def gap(self, case: Case) -> str | None:
        """It steps by its blocks, and has one more where they do not divide the image."""
        windows = _sliding(case)
        if windows.stride != windows.kernel:
            return "cannot say: windows that do not step by their own size"
        if not windows.ceil_mode and any(size % kernel for size, kernel in zip(case.spatial, windows.kernel, strict=True)):
            return "cannot say: windows that do not divide the image"
        return None

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        """The call, on x in the order of the layout."""
        kernel, largest = _sliding(case).kernel, isinstance(case.spec.reduction, Max)
        reduce, fill = (np.max, -np.inf) if largest else (np.mean, 0)
        if case.layout == "channels_first":
            return lambda: self.block_reduce(case.x, (1, 1, *kernel), reduce, fill)
        x = np.ascontiguousarray(np.moveaxis(case.x, 1, -1))
        return lambda: np.moveaxis(self.block_reduce(x, (1, *kernel, 1), reduce, fill), -1, 1)


def _reached(windows: Sliding, axis: int, size: int) -> tuple[int, int]:
    """The elements before and after an axis that its windows reach, or that its padding has where that is more."""
    before, after = windows.pads(axis, size)
    return before, max(after, (windows.count(axis, size) - 1) * windows.stride[axis] + windows.reach(axis) - before - size)


def _sliding(case: Case) -> Sliding:
    if not isinstance(case.spec.windows, Sliding):
        raise TypeError(f"windows={case.spec.windows}: expected Sliding")
    return case.spec.windows
