"""How the same elements may lie in memory: the strides that callers really hand over."""

import math
import random

import numpy as np

from backends.text import with_strides

MEMORY = (
    "plain", "read-only", "transposed", "sliced", "reversed", "cropped", "samples apart", "last reversed", "swapped", "rows reversed",
    "channels reversed", "samples reversed", "expanded", "samples expanded", "rows expanded", *(f"any {seed}" for seed in range(24)),
)  # fmt: skip
"""`any` and a number: strides of that number's own, since no list has all that callers make."""
USUAL = ("plain", "plain", *MEMORY)
"""With plain memory more often: there kernels write, keep and share what they copy elsewhere."""
REPEATED = tuple(f"any {seed}" for seed in range(3, 24, 8))
"""Of these, those that repeat elements by strides of zero."""

EXPANDED = {"expanded": (0, 1), "samples expanded": (0,), "rows expanded": (2,)}
REVERSED = {"samples reversed": 0, "channels reversed": 1, "rows reversed": 2, "last reversed": -1}


def arranged(array: np.ndarray, memory: str) -> np.ndarray:
    """The same elements of (N, C, *spatial), lying differently in memory.

    `transposed`: axes from last to first. `sliced`: every other element of a larger array. `cropped`: rows of a wider one.
    `samples apart`: some of the channels of a larger one. `swapped`: the last two axes exchanged. `reversed`: negative strides on
    every axis; `last reversed`, `channels reversed` and so on: on that one, rows being the first spatial axis. `expanded`: the first
    sample and channel stands for all others, by strides of zero, or only the first sample or row: there elements do change.
    `any` is told at `_any`.
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
    if memory.startswith("any "):
        return _any(array, int(memory.removeprefix("any ")))
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


def _any(array: np.ndarray, seed: int) -> np.ndarray:
    """The axes in some order, some with room between their steps, some from their end; of `REPEATED` some repeat one element."""
    chance, repeats = random.Random(seed), f"any {seed}" in REPEATED
    order = list(range(array.ndim))
    if seed % 6 == 1:
        order = [0, *range(2, array.ndim), 1]
    elif seed % 3:
        chance.shuffle(order)
    apart = chance.random() < 0.5
    steps, step = [0] * array.ndim, 1
    for axis in reversed(order):
        steps[axis] = step * (-1 if not repeats and chance.random() < 0.25 else 1)
        step *= array.shape[axis] + (chance.randint(1, 3) if apart and chance.random() < 0.4 else 0)
    if repeats:
        once = [axis for axis in range(array.ndim) if seed == 3 or chance.random() < 0.5] or [array.ndim - 1]
        array = np.broadcast_to(array[tuple(slice(0, 1) if axis in once else slice(None) for axis in range(array.ndim))], array.shape)
        steps = [0 if axis in once else step for axis, step in enumerate(steps)]
    return with_strides(array, tuple(steps))
