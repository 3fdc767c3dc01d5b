"""How the same elements may lie in memory: the strides that callers really hand over."""

import math

import numpy as np

from backends.text import with_strides

MEMORY = (
    "plain", "read-only", "transposed", "sliced", "reversed", "cropped", "samples apart", "last reversed", "swapped", "rows reversed",
    "channels reversed", "samples reversed", "expanded", "samples expanded", "rows expanded",
)  # fmt: skip

EXPANDED = {"expanded": (0, 1), "samples expanded": (0,), "rows expanded": (2,)}
REVERSED = {"samples reversed": 0, "channels reversed": 1, "rows reversed": 2, "last reversed": -1}


def arranged(array: np.ndarray, memory: str) -> np.ndarray:
    """The same elements of (N, C, *spatial), lying differently in memory.

    `transposed`: axes from last to first. `sliced`: every other element of a larger array. `cropped`: rows of a wider one.
    `samples apart`: some of the channels of a larger one. `swapped`: the last two axes exchanged. `reversed`: negative strides on
    every axis; `last reversed`, `channels reversed` and so on: on that one, rows being the first spatial axis. `expanded`: the first
    sample and channel stands for all others, by strides of zero, or only the first sample or row: there elements do change.
    """
    if memory == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if memory == "plain" or not array.size:
        return array
    plain = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    if memory in EXPANDED:
        axes = EXPANDED[memory]
        first = array[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(array.ndim))]
        return with_strides(np.broadcast_to(first, array.shape), tuple(0 if axis in axes else step for axis, step in enumerate(plain)))
    if memory in REVERSED:
        return with_strides(array, tuple(-step if axis == REVERSED[memory] % array.ndim else step for axis, step in enumerate(plain)))
    wider = [*array.shape[:-1], array.shape[-1] + 3]
    turned = [*array.shape[:-2], array.shape[-1], array.shape[-2]]
    pitches = [math.prod(turned[axis + 1 :]) for axis in range(array.ndim)]
    steps = {
        "transposed": [math.prod(array.shape[:axis]) for axis in range(array.ndim)],
        "sliced": [2 * step for step in plain],
        "cropped": [math.prod(wider[axis + 1 :]) for axis in range(array.ndim)],
        "swapped": [*pitches[:-2], pitches[-1], pitches[-2]],
        "samples apart": [plain[0] + plain[1], *plain[1:]],
        "reversed": [-step for step in plain],
    }[memory]
    return with_strides(array, tuple(steps))
