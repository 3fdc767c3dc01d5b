"""What adapters share that translate a case for a framework with other orders of axes, or without ceil mode."""

import numpy as np

from backends.spec import Sliding


def ordered(array: np.ndarray, layout: str) -> np.ndarray:
    """An array of shape (N, C, *spatial) with its axes, and its memory, in the order of a layout; a copy where need be."""
    return np.ascontiguousarray(array if layout == "channels_first" else np.moveaxis(array, 1, -1), array.dtype.newbyteorder("="))


def restored(array: np.ndarray, layout: str) -> np.ndarray:
    """An array in the order of a layout back in the order (N, C, *spatial)."""
    return array if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(array, -1, 1))


def covering(windows: Sliding, axis: int, size: int) -> tuple[int, int]:
    """The pads of an axis; in ceil mode those with which as many windows fit without it.

    Padding is the identity of the reduction, so that it may end where the last window does.
    """
    before, after = windows.pads(axis, size)
    if not windows.ceil_mode:
        return before, after
    end = (windows.count(axis, size) - 1) * windows.stride[axis] + windows.reach(axis)
    return before, max(0, end - before - size)
