"""Max pooling in NumPy: values, positions, and the gradient that goes to these positions."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from backends.numpy_kernels import maximum, reduce_axes
from backends.numpy_numbers import LOW, decode, encode, integer_of, pack
from backends.numpy_plan import Axis, Grid
from backends.numpy_pooling import (
    Block,
    Index,
    Plan,
    Programs,
    Question,
    accumulator,
    is_half,
    lanes,
    lengths,
    pieces,
    spans,
    values_of,
)  # fmt: skip
from backends.numpy_program import Builder, Operand, Program, copy

INT64 = np.dtype(np.int64)


def values(question: Question) -> Plan:
    """One maximum an axis; half types as integer keys."""
    dtype = question.x.dtype

    def write(inputs: tuple[int, ...], outputs: tuple[int, ...], windows: tuple[Axis | None, ...]) -> Program:
        build = Builder({"x": inputs, "y": outputs})
        if is_half(dtype):
            integer = integer_of(dtype)
            key = reduce_axes(build, maximum(integer), encode(build, "x", dtype), windows, integer)
            decode(build, key, dtype, "y")
        else:
            reduce_axes(build, maximum(dtype), "x", windows, dtype, "y")
        return build.program()

    programs = Programs(write)
    blocks = [
        Block(program=programs[lengths(inputs), lengths(outputs), windows], parts={"x": inputs, "y": outputs})
        for outputs, inputs, windows in pieces(question.axes, question.counts, dtype.itemsize, question.block)
    ]
    return Plan(shape=question.counts, dtype=dtype, arrays={"x": question.x}, blocks=blocks)


def indices(question: Question) -> Plan:
    """One maximum an axis of elements packed with their positions."""

    def write(inputs: tuple[range, ...], outputs: tuple[int, ...], windows: tuple[Axis | None, ...]) -> Program:
        build = Builder({"x": lengths(inputs), "y": outputs, "origin": ()})
        packed = reduce_axes(build, maximum(INT64), _packed(build, "x", question, inputs), windows, INT64)
        build.emit(np.bitwise_and, packed, np.int64(LOW), out="y")
        build.emit(np.subtract, "origin", "y", out="y")
        return build.program()

    programs = Programs(write)
    blocks, origins = [], list[int]()
    for outputs, inputs, windows in pieces(question.axes, question.counts, INT64.itemsize, question.block):
        program = programs[spans(inputs), lengths(outputs), windows]
        blocks.append(Block(program=program, parts={"x": inputs, "y": outputs, "origin": (len(origins),)}))
        origins.append(LOW + _offset(inputs, question.strides))
    arrays = {"x": question.x, "origin": np.array(origins, INT64)}
    return Plan(shape=question.counts, dtype=INT64, arrays=arrays, blocks=blocks)


def gradient(question: Question) -> Plan:
    """Positions as for indices, then each cotangent added where its maximum was.

    A block is some samples and channels, whole, since windows of two bands may meet in an element;
    bands follow each other inside it. Sums of half types, which round once, add up in a float32 buffer.
    """
    dtype, axes = question.x.dtype, question.axes
    acc = accumulator(dtype)
    disjoint = all(axis is None or (isinstance(axis, Grid) and axis.disjoint) for axis in axes)
    own = not disjoint and acc != dtype

    def write(shape: tuple[int, ...]) -> Program:
        counts = tuple(axis.count if axis else size for axis, size in zip(axes, shape, strict=True))
        build = Builder({"x": shape, "g": counts, "y": shape, "flat": (-1,)})
        target, strides = "flat", _memory_strides(question.x.shape)
        if own:
            buffer = build.buffer(shape, acc)
            target, strides = build.flat(buffer), _memory_strides(shape)
        build.emit(copy, 0, out=buffer if own else "y")
        spatial = [stride if axis else 0 for stride, axis in zip(strides, axes, strict=True)]
        for outputs, inputs, windows in pieces(axes, counts, INT64.itemsize, question.block):
            packed = _packed(build, build.part("x", inputs), question, inputs)
            packed = reduce_axes(build, maximum(INT64), packed, windows, INT64)
            build.emit(np.bitwise_and, packed, np.int64(LOW), out=packed)
            # The complement of a row-major position, times the elements between neighbours in memory.
            between = min((stride for stride in spatial if stride), default=1)
            if between > 1:
                build.emit(np.multiply, packed, np.int64(between), out=packed)
            base = _places(inputs, strides, axes) + (LOW * between + _offset(inputs, spatial))
            build.emit(np.subtract, build.constant(base), packed, out=packed)
            cotangent = build.buffer(lengths(outputs), acc)
            build.emit(copy, Operand("g", outputs), out=cotangent)
            build.emit(assign if disjoint else np.add.at, target, build.flat(packed), build.flat(cotangent), out=None)
            build.free(packed)
            build.free(cotangent)
        if own:
            build.emit(copy, buffer, out="y")
        return build.program()

    programs = Programs(write)
    blocks = []
    for lane in lanes(question, acc.itemsize, question.block if own else 4 * question.block, contiguous=not own):
        start = sum(part.start * stride for part, stride in zip(lane, _memory_strides(question.x.shape), strict=True))
        parts = {"x": lane, "g": values_of(lane, axes), "y": lane, "flat": (slice(start, None),)}
        blocks.append(Block(program=programs[(lengths(lane),)], parts=parts))
    return Plan(
        shape=question.x.shape,
        dtype=dtype,
        arrays={"x": question.x, "g": question.g},
        blocks=blocks,
        linear=None if disjoint else "g",
    )


def assign(target: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Each value to its own place."""
    target[places] = values


def _packed(build: Builder, source: str, question: Question, inputs: Sequence[slice | range]) -> str:
    return pack(build, source, question.x.dtype, _positions(tuple(question.strides), spans(inputs)))


@functools.lru_cache(maxsize=64)
def _positions(strides: tuple[int, ...], inputs: tuple[range, ...]) -> np.ndarray:
    """Row-major positions in the sample and channel, from the block's first element on, broadcast over these."""
    return _places(inputs, strides, [stride or None for stride in strides], batch=False)


def _places(inputs: Sequence[slice | range], strides: Sequence[int], axes: Sequence[object | None], *, batch: bool = True) -> np.ndarray:
    """Σ index · stride over the samples and channels of a part, or over its spatial axes."""
    places = np.zeros((1,) * len(inputs), INT64)
    for axis, (part, stride) in enumerate(zip(inputs, strides, strict=True)):
        if (axes[axis] is None) == batch:
            shape = [1] * len(inputs)
            shape[axis] = -1
            places = places + np.arange(part.start, part.stop, part.step or 1).reshape(shape) * stride
    return places


def _offset(inputs: Index, strides: Sequence[int]) -> int:
    return sum(part.start * stride for part, stride in zip(inputs, strides, strict=True))


def _memory_strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
