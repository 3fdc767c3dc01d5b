"""Where the maximum of each window is: two ways, as steps of a program.

The index is that of the first maximum in row-major order, or of the first NaN, and no NumPy maximum
says where it was.

- By matches, for small windows: the maxima are known, so a tap is compared with them, axis by axis.
  What a pass keeps is how far the first match lies behind the window's start, a uint16, on which
  passes cost half of those on elements. About twice the cost of the maxima.
- By packing, for wide ones: an element's key and its position in one int64, of which the maximum
  *is* the first maximum and may be reduced in any order and by doubling. Ten passes to pack, then
  int64 maxima.
"""

import functools
from collections.abc import Sequence

import numpy as np

from backends.numpy_kernels import DOUBLING_FROM, at, maximum, reduce_axes, reduce_axis
from backends.numpy_numbers import canonical, integer_of
from backends.numpy_plan import Axis, Grid
from backends.numpy_program import Builder, copy

LOW = 0xFFFFFFFF
"""The low half of a packed key: room for a position."""

INT64 = np.dtype(np.int64)
UINT16 = np.dtype(np.uint16)
NEVER = 0xFFFF

Windows = Sequence[Axis | None]


def matchable(windows: Windows, strides: Sequence[int]) -> bool:
    """Whether windows are small enough for `by_matches` to pay, and for its offsets to fit."""
    grids = [(axis, stride) for axis, stride in zip(windows, strides, strict=True) if axis is not None]
    if not all(isinstance(axis, Grid) and axis.kernel < DOUBLING_FROM for axis, _ in grids):
        return False
    return sum((axis.reach - 1) * stride for axis, stride in grids if isinstance(axis, Grid)) < NEVER


# --- by matches ---------------------------------------------------------------------------------


def by_matches(
    build: Builder, source: str, dtype: np.dtype, inputs: Sequence[range], windows: Windows, strides: Sequence[int]
) -> tuple[str, np.ndarray]:
    """(offsets, starts): a uint16 register, and an array broadcast to it, whose sum is the position in the block.

    `inputs` are the parts of the axes that the block reads, `strides` row-major, 0 for samples and
    channels. The last step raises FloatingPointError if there is a NaN, which equals nothing.
    """
    if dtype.itemsize == 2 and dtype.kind not in "iu":
        source, dtype = canonical(build, source, dtype), integer_of(dtype)
    offsets = None
    starts = np.zeros((1,) * len(windows), INT64)
    for axis, (read, window, stride) in enumerate(zip(inputs, windows, strides, strict=True)):
        if isinstance(window, Grid):
            most = reduce_axis(build, maximum(dtype), source, axis, window, dtype)
            weight = window.dilation * stride
            if offsets is None:
                offsets = _first(build, source, most, axis, window, weight)
            else:
                offsets = _least(build, source, most, offsets, axis, window, weight)
            build.free(source)
            source = most
            first = np.arange(window.count) * window.stride - window.before
        else:
            first = np.arange(0, read.stop - read.start, read.step)
        starts = starts + first.reshape([-1 if i == axis else 1 for i in range(len(windows))]) * stride if stride else starts
    if offsets is None:
        offsets = build.buffer(build.shapes[source], UINT16)
        build.emit(copy, 0, out=offsets)
    elif dtype.kind not in "iu":
        build.emit(_refuse_nan, build.flat(source), out=None)
    build.free(source)
    return offsets, starts


def _first(build: Builder, source: str, most: str, axis: int, window: Grid, weight: int) -> str:
    """The first axis: how many taps come before the one that matches, counted as those that all differ up to there."""
    shape = build.shapes[most]
    differs, so_far, count = (build.buffer(shape, np.bool_) for _ in range(3))
    number = build.view(count, np.uint8)
    taps = {tap.number: tap for tap in window.taps()}
    for j in range(window.kernel - 1):
        target = differs if j else so_far
        missing = [slice(0, window.count)]
        if j in taps:
            read = taps[j]
            build.emit(np.not_equal, at(source, axis, read.source), at(most, axis, read.target), out=at(target, axis, read.target))
            missing = [slice(0, read.target.start), slice(read.target.stop, window.count)]
        for part in missing:
            if part.start < part.stop:
                build.emit(copy, True, out=at(target, axis, part))
        if j:
            build.emit(np.logical_and, so_far, differs, out=so_far)
            build.emit(np.add, number, build.view(so_far, np.uint8), out=number)
        else:
            build.emit(copy, so_far, out=count)
    offsets = build.buffer(shape, UINT16)
    build.emit(copy, number, out=offsets)
    build.emit(np.multiply, offsets, UINT16.type(weight), out=offsets)
    for register in (differs, so_far, count):
        build.free(register)
    return offsets


def _least(build: Builder, source: str, most: str, offsets: str, axis: int, window: Grid, weight: int) -> str:
    """A further axis: the least offset among the taps that match; all bits are set in that of one that does not."""
    shape = build.shapes[most]
    differs = build.buffer(shape, np.bool_)
    mask, offset, least = (build.buffer(shape, UINT16) for _ in range(3))
    taps = sorted(window.taps(), key=lambda tap: tap.target.start - tap.target.stop)
    for tap in taps:
        target = at(mask, axis, tap.target)
        build.emit(np.not_equal, at(source, axis, tap.source), at(most, axis, tap.target), out=at(differs, axis, tap.target))
        build.emit(copy, at(differs, axis, tap.target), out=target)
        build.emit(np.negative, target, out=target)
        lower = at(offsets, axis, tap.source)
        if tap.number:
            build.emit(np.add, lower, UINT16.type(tap.number * weight), out=at(offset, axis, tap.target))
            lower = at(offset, axis, tap.target)
        best = at(least, axis, tap.target)
        if tap is not taps[0]:
            build.emit(np.bitwise_or, target, lower, out=target)
            build.emit(np.minimum, best, target, out=best)
            continue
        build.emit(np.bitwise_or, target, lower, out=best)
        for part in (slice(0, tap.target.start), slice(tap.target.stop, window.count)):
            if part.start < part.stop:
                build.emit(copy, NEVER, out=at(least, axis, part))
    for register in (differs, mask, offset, offsets):
        build.free(register)
    return least


def _refuse_nan(values: np.ndarray) -> None:
    """Raise FloatingPointError if there is a NaN."""
    if values.size and np.isnan(values.max()):
        raise FloatingPointError("a NaN matches nothing")


# --- by packing ---------------------------------------------------------------------------------


def by_packing(build: Builder, source: str, dtype: np.dtype, inputs: Sequence[range], windows: Windows, strides: Sequence[int]) -> str:
    """A new int64 register with 2³² − 1 less the position in the block; arguments as of `by_matches`."""
    packed = build.buffer(build.shapes[source], INT64)
    if dtype.itemsize == 8:
        build.emit(_ranks, source, out=packed)
    elif dtype.kind in "iu":
        build.emit(copy, source, out=packed)
        if dtype.kind == "u":
            build.emit(np.subtract, packed, np.int64(2 ** (8 * dtype.itemsize - 1)), out=packed)
    else:
        key = canonical(build, source, dtype)
        build.emit(copy, key, out=packed)
        build.free(key)
    build.emit(np.left_shift, packed, np.int64(32), out=packed)
    build.emit(np.bitwise_or, packed, np.int64(LOW), out=packed)
    build.emit(np.subtract, packed, build.constant(_positions(tuple(inputs), tuple(strides))), out=packed)
    packed = reduce_axes(build, maximum(INT64), packed, windows, INT64)
    build.emit(np.bitwise_and, packed, np.int64(LOW), out=packed)
    return packed


def _ranks(x: np.ndarray, *, out: np.ndarray) -> None:
    """Each element's rank among the distinct ones, all NaN alike and last: 64 bits leave no room for a position, ranks do."""
    out[...] = np.unique(x, return_inverse=True)[1].reshape(x.shape)


@functools.lru_cache(maxsize=64)
def _positions(inputs: tuple[range, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Row-major positions from the block's first element on, broadcast over samples and channels."""
    positions = np.zeros((1,) * len(inputs), INT64)
    for axis, (read, stride) in enumerate(zip(inputs, strides, strict=True)):
        if stride:
            steps = np.arange(0, read.stop - read.start, read.step) * stride
            positions = positions + steps.reshape([-1 if i == axis else 1 for i in range(len(inputs))])
    return positions
