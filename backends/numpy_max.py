"""Max pooling in NumPy: values, positions, and the gradient that goes to these positions."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from backends.numpy_kernels import maximum, minimum, reduce_axes
from backends.numpy_numbers import decode, encode, infinity_bits, integer_of, refuse_above
from backends.numpy_plan import Axis, Grid
from backends.numpy_pooling import (
    OVERFLOW,
    Block,
    Index,
    Plan,
    Question,
    accumulator,
    is_half,
    lanes,
    lengths,
    pieces,
    spans,
    values_of,
)  # fmt: skip
from backends.numpy_positions import INT64, LOW, by_matches, by_packing, matchable
from backends.numpy_program import Builder, Operand, Program, copy


def values(question: Question) -> Plan:
    """One maximum an axis; half types as integers."""
    question = question.collapsed()
    dtype = question.x.dtype

    def write(inputs: tuple[int, ...], outputs: tuple[int, ...], windows: tuple[Axis | None, ...], ordered: bool) -> Program:
        build = Builder({"x": inputs, "y": outputs})
        if not is_half(dtype):
            reduce_axes(build, maximum(dtype), "x", windows, dtype, "y")
        elif ordered:
            _half_values(build, windows, dtype)
        else:
            integer = integer_of(dtype)
            key = reduce_axes(build, maximum(integer), encode(build, "x", dtype), windows, integer)
            decode(build, key, dtype, "y")
        return build.program()

    programs = functools.cache(write)
    blocks = []
    for outputs, inputs, windows in pieces(question, question.counts, dtype.itemsize):
        key = (lengths(inputs), lengths(outputs), windows)
        parts = {"x": inputs, "y": outputs}
        blocks.append(Block(program=programs(*key, True), parts=parts, slow=functools.partial(programs, *key, False)))
    return Plan(shape=question.counts, dtype=dtype, arrays={"x": question.x}, blocks=blocks)


def _half_values(build: Builder, windows: tuple[Axis | None, ...], dtype: np.dtype) -> None:
    """The maximum of half floats by their bits alone, read as integers.

    Those of positive floats ascend and are above those of negative ones, which descend. So the
    largest integer is the maximum if it is positive; else all are negative, and the least one is. Only
    a NaN with a sign bit fits neither way, and is refused.
    """
    integer = integer_of(dtype)
    build.emit(refuse_above, build.view("x", np.uint16), infinity_bits(dtype) | 0x8000, out=None)
    bits = build.view("x", integer)
    most = reduce_axes(build, maximum(integer), bits, windows, integer)
    least = reduce_axes(build, minimum(integer), bits, windows, integer)
    if most == bits:
        build.emit(copy, bits, out=build.view("y", integer))
        return
    # With a sign bit, and read without a sign, the least one is above every positive float, and below the other negative ones.
    build.emit(np.bitwise_or, least, integer.type(-(2**15)), out=least)
    build.emit(np.minimum, build.view(most, np.uint16), build.view(least, np.uint16), out=build.view("y", np.uint16))


def indices(question: Question) -> Plan:
    """Positions, by matches where windows are small, and anew by packing where there is a NaN."""
    dtype, strides = question.x.dtype, question.strides

    def write(inputs: tuple[range, ...], outputs: tuple[int, ...], windows: tuple[Axis | None, ...], small: bool) -> Program:
        build = Builder({"x": lengths(inputs), "y": outputs, "origin": ()})
        if small:
            offsets, starts = by_matches(build, "x", dtype, inputs, windows, strides)
            base = build.buffer(starts.shape, INT64)
            build.emit(np.add, build.constant(starts), "origin", out=base)
            build.emit(copy, offsets, out="y")
            build.emit(np.add, "y", base, out="y")
            return build.program()
        last = build.buffer((1,), INT64)
        build.emit(np.add, "origin", np.int64(LOW), out=last)
        build.emit(np.subtract, last, by_packing(build, "x", dtype, inputs, windows, strides), out="y")
        return build.program()

    programs = functools.cache(write)
    blocks, origins = [], list[int]()
    for outputs, inputs, windows in pieces(question, question.counts, dtype.itemsize):
        key = (spans(inputs), lengths(outputs), windows)
        program = programs(*key, matchable(windows, strides))
        parts = {"x": inputs, "y": outputs, "origin": (len(origins),)}
        blocks.append(Block(program=program, parts=parts, slow=functools.partial(programs, *key, False)))
        origins.append(_offset(inputs, strides))
    arrays = {"x": question.x, "origin": np.array(origins, INT64)}
    return Plan(shape=question.counts, dtype=INT64, arrays=arrays, blocks=blocks)


def gradient(question: Question) -> Plan:
    """Positions as for indices, then each cotangent added where its maximum was.

    A block is some samples and channels, whole, since windows of two bands may meet in an element;
    bands follow each other inside it. Sums of half types, which round once, add up in a float32 buffer.
    """
    dtype, axes, strides = question.x.dtype, question.axes, question.strides
    acc = accumulator(dtype)
    disjoint = all(axis is None or (isinstance(axis, Grid) and axis.disjoint) for axis in axes)
    own = not disjoint and acc != dtype

    def write(shape: tuple[int, ...], small: bool) -> Program:
        counts = tuple(axis.count if axis else size for axis, size in zip(axes, shape, strict=True))
        build = Builder({"x": shape, "g": counts, "y": shape, "flat": (-1,)})
        target, memory = "flat", _memory_strides(question.x.shape)
        if own:
            buffer = build.buffer(shape, acc)
            target, memory = build.flat(buffer), _memory_strides(shape)
        build.emit(copy, 0, out=buffer if own else "y")
        # Elements in memory between neighbours on the last spatial axis: 1, or the channels.
        between = memory[max(axis for axis, stride in enumerate(strides) if stride)]
        lanes = [0 if stride else step for step, stride in zip(memory, strides, strict=True)]
        for outputs, inputs, windows in pieces(question, counts, dtype.itemsize):
            part, read = build.part("x", inputs), spans(inputs)
            origin = between * _offset(inputs, strides) + _offset(inputs, lanes)
            if small:
                offsets, starts = by_matches(build, part, dtype, read, windows, strides)
                places = build.buffer(lengths(outputs), INT64)
                build.emit(copy, offsets, out=places)
                build.free(offsets)
                build.emit(np.multiply, places, np.int64(between), out=places)
                build.emit(np.add, places, build.constant(starts * between + origin), out=places)
            else:
                places = by_packing(build, part, dtype, read, windows, strides)
                build.emit(np.multiply, places, np.int64(-between), out=places)
                build.emit(np.add, places, np.int64(LOW * between + origin), out=places)
            build.emit(np.add, places, build.constant(_places(read, lanes)), out=places)
            cotangent = build.buffer(lengths(outputs), acc)
            build.emit(copy, Operand("g", outputs), out=cotangent)
            build.emit(assign if disjoint else np.add.at, target, build.flat(places), build.flat(cotangent), out=None)
            build.free(places)
            build.free(cotangent)
        if own:
            build.emit(copy, buffer, out="y")
        return build.program()

    programs = functools.cache(write)
    blocks = []
    for lane in lanes(question, acc.itemsize, question.block, contiguous=not own):
        parts = {"x": lane, "g": values_of(lane, axes), "y": lane, "flat": (slice(_offset(lane, _memory_strides(question.x.shape)), None),)}
        program = programs(lengths(lane), matchable(axes, strides))
        blocks.append(Block(program=program, parts=parts, slow=functools.partial(programs, lengths(lane), False)))
    return Plan(
        shape=question.x.shape,
        dtype=dtype,
        arrays={"x": question.x, "g": question.g},
        blocks=blocks,
        traps=() if disjoint else OVERFLOW,
        linear="" if disjoint else "g",
        flat=True,
    )


def assign(target: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Each value to its own place."""
    target[places] = values


def _places(read: Sequence[range], strides: Sequence[int]) -> np.ndarray:
    """Σ index · stride over the axes that have a stride, broadcast over the others."""
    places = np.zeros((1,) * len(read), INT64)
    for axis, (part, stride) in enumerate(zip(read, strides, strict=True)):
        if stride:
            places = places + (np.arange(len(part)) * stride).reshape([-1 if i == axis else 1 for i in range(len(read))])
    return places


def _offset(inputs: Index, strides: Sequence[int]) -> int:
    return sum(part.start * stride for part, stride in zip(inputs, strides, strict=True))


def _memory_strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
