"""What a NumPy pooling is made of: a plan of blocks, each with a program, and the loop that runs them.

A block is a part of the arrays that a core's cache holds: samples and channels first, then bands of
rows. Blocks write disjoint parts of the result, so they are shared out among threads; NumPy lets go
of the interpreter's lock inside each call.
"""

import itertools
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backends.interface import Case
from backends.numpy_plan import Axis, axis_of, ranges
from backends.numpy_program import ALIGNMENT, Program

PARALLEL_FROM = 1 << 20
"""Bytes of input from which a second thread saves more than waking it costs."""

Index = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A program, and the parts of the arrays that its registers are."""

    program: Program
    parts: Mapping[str, Index]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How to compute one array, called "y": its shape in memory, and blocks that write disjoint parts of it.

    `linear` names the register in which y is linear where a partial sum may overflow: such a block
    is mended by scaling it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    arrays: Mapping[str, np.ndarray]
    blocks: Sequence[Block]
    linear: str | None = None

    def run(self, threads: int) -> np.ndarray:
        """Compute the array, on up to so many threads."""
        y = np.empty(self.shape, self.dtype)
        arrays = {**self.arrays, "y": y, "flat": y.reshape(-1)}
        size = sum(array.nbytes for array in self.arrays.values())
        threads = min(threads, len(self.blocks), max(1, size // PARALLEL_FROM))
        if threads <= 1:
            self._work(self.blocks, arrays)
            return y
        share = -(-len(self.blocks) // threads)
        futures = [
            _pool(threads).submit(self._work, self.blocks[start : start + share], arrays) for start in range(share, len(self.blocks), share)
        ]
        try:
            self._work(self.blocks[:share], arrays)
        finally:
            for future in futures:
                future.result()
        return y

    def _work(self, blocks: Sequence[Block], arrays: Mapping[str, np.ndarray]) -> None:
        size = max((block.program.size for block in blocks), default=0)
        arena = np.empty(size + ALIGNMENT, np.uint8)
        arena = arena[-arena.ctypes.data % ALIGNMENT :]
        # An overflow, or an infinity less an infinity, sets a flag of the processor, which NumPy
        # reads after each call in any case: finding out costs nothing.
        strict: Literal["raise", "ignore"] = "raise" if self.linear else "ignore"
        with np.errstate(over=strict, invalid=strict, under="ignore", divide="ignore"):
            for block in blocks:
                given = {name: arrays[name][index] for name, index in block.parts.items()}
                try:
                    block.program.run(given, arena)
                except FloatingPointError:
                    self._mend(block.program, given, arena)

    def _mend(self, program: Program, given: dict[str, np.ndarray], arena: np.ndarray) -> None:
        """Compute a block anew, scaled so that no partial sum overflows; take from that what was not finite.

        A power of two scales exactly, but for numbers so small that they are lost in a sum that overflowed.
        """
        y, name = given["y"], self.linear or ""
        with np.errstate(all="ignore"):
            program.run(given, arena)
            if self.dtype == np.float16:
                return
            plain = y.copy()
            power = given[name].size.bit_length() + 1
            program.run({**given, name: given[name] * self.dtype.type(2.0**-power)}, arena)
            y *= self.dtype.type(2.0**power)
            np.copyto(y, plain, where=np.isfinite(plain))


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A case in memory order: x and the cotangent g with their axes sorted from the outermost in.

    For values and indices, which have no cotangent, g is empty. `block` is about how many bytes of input a block has.
    """

    case: Case
    order: tuple[int, ...]
    x: np.ndarray
    g: np.ndarray
    threads: int
    block: int

    @property
    def axes(self) -> list[Axis | None]:
        """The windows of each axis in memory; None for samples and channels."""
        windows = self.case.spec.windows
        return [axis_of(windows, axis - 2, self.case.x.shape[axis]) if axis >= 2 else None for axis in self.order]

    @property
    def counts(self) -> tuple[int, ...]:
        """The shape of the pooled values in memory."""
        return tuple(axis.count if axis else size for axis, size in zip(self.axes, self.x.shape, strict=True))

    @property
    def strides(self) -> list[int]:
        """The row-major stride of each spatial axis; 0 for samples and channels."""
        spatial = self.case.spatial
        return [math.prod(spatial[axis - 1 :]) if axis >= 2 else 0 for axis in self.order]

    def in_order(self, spatial: np.ndarray) -> np.ndarray:
        """An array of the shape (*spatial) or (), for every sample and channel, in memory order."""
        if not spatial.ndim:
            return spatial.reshape((1,) * len(self.order))
        return spatial[np.newaxis, np.newaxis].transpose(self.order)


def accumulator(dtype: np.dtype) -> np.dtype:
    """Where sums are kept: half types in float32."""
    return np.dtype(np.float32) if is_half(dtype) else dtype


def is_half(dtype: np.dtype) -> bool:
    """float16 or bfloat16."""
    return dtype.itemsize == 2 and dtype.kind not in "iu"


def pieces(
    axes: Sequence[Axis | None], counts: Sequence[int], itemsize: int, budget: int
) -> list[tuple[Index, Index, tuple[Axis | None, ...]]]:
    """(outputs, inputs, windows) of each block: index tuples into the arrays, and what is left to reduce on each axis."""
    blocks = []
    for combination in itertools.product(*ranges(counts, axes, itemsize, budget)):
        inputs, left = [], []
        for axis, (first, last) in zip(axes, combination, strict=True):
            part, windows = (slice(first, last), None) if axis is None else axis.cut(first, last)
            if windows is not None and (plain := windows.plain) is not None:
                part, windows = slice(part.start + plain.start, part.start + plain.stop, plain.step), None
            inputs.append(part)
            left.append(windows)
        blocks.append((tuple(slice(first, last) for first, last in combination), tuple(inputs), tuple(left)))
    return blocks


def lanes(question: Question, itemsize: int, budget: int, *, contiguous: bool) -> list[Index]:
    """Index tuples that cut samples and channels, and leave each sample and channel whole.

    With `contiguous`, channels that lie next to each other in memory are cut only so far as there
    are threads to give them to.
    """
    n, c = question.order.index(0), question.order.index(1)
    samples, channels = question.x.shape[n], question.x.shape[c]
    volume = itemsize * max(1, math.prod(question.case.spatial))
    if c == n + 1:
        step = max(1, budget // volume)
    elif contiguous:
        step = channels if samples >= question.threads else -(-channels // question.threads)
    else:
        step = max(1, budget // volume)
    step = min(step, channels)
    many = max(1, budget // (volume * channels)) if step == channels else 1
    whole = [slice(0, size) for size in question.x.shape]
    cut = []
    for i, j in itertools.product(range(0, samples, many), range(0, channels, step)):
        whole[n], whole[c] = slice(i, min(i + many, samples)), slice(j, min(j + step, channels))
        cut.append(tuple(whole))
    return cut


def lengths(index: Sequence[slice | range]) -> tuple[int, ...]:
    """The shape of what an index tuple of slices takes."""
    return tuple(len(range(part.start, part.stop, part.step or 1)) for part in index)


def spans(index: Sequence[slice | range]) -> tuple[range, ...]:
    """The same slices as ranges from 0 on: what blocks of one shape share, and what can be a key."""
    return tuple(range(0, part.stop - part.start, part.step or 1) for part in index)


def values_of(lane: Index, axes: Sequence[Axis | None]) -> Index:
    """The pooled values of some samples and channels."""
    return tuple(slice(0, axis.count) if axis else part for part, axis in zip(lane, axes, strict=True))


class Programs(dict):
    """Programs by what they depend on: most blocks of an array share one."""

    def __init__(self, write: Callable[..., Program]) -> None:
        super().__init__()
        self.write = write

    def __missing__(self, key: tuple) -> Program:
        self[key] = self.write(*key)
        return self[key]


# --- threads ------------------------------------------------------------------------------------

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="numpy-pooling")
        return _pools[threads]


# A forked child has none of its parent's threads: waiting for them would hang it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)
