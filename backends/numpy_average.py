"""Average pooling in NumPy: one sum an axis and one product with the divisor's reciprocal.

The reciprocal costs a second rounding; with the n−1 of the sum that makes the n+1 of the bound.
"""

import functools
import itertools

import numpy as np

from backends.numpy_kernels import QUICK_SUM, SUM, reduce_axes, spread_axes
from backends.numpy_numbers import narrow, reciprocal, shrinks, widen
from backends.numpy_plan import Axis, divisors, ranges
from backends.numpy_pooling import OVERFLOW, Block, Index, Plan, Question, accumulator, lengths, pieces
from backends.numpy_program import Builder, Program, copy

Shape = tuple[int, ...]


def values(question: Question) -> Plan:
    """Sums in the accumulator's type, scaled, rounded once."""
    question = question.collapsed()
    dtype = question.x.dtype
    acc = accumulator(dtype)
    factor, exponent = reciprocal(divisors(question.case.spec, question.case.spatial), acc)
    factor = question.in_order(factor * acc.type(shrinks(dtype)))

    def write(inputs: Shape, outputs: Shape, factors: Shape, windows: tuple[Axis | None, ...], finite: bool) -> Program:
        build = Builder({"x": inputs, "y": outputs, "factor": factors})
        total = "y" if acc == dtype else None
        total = reduce_axes(build, QUICK_SUM if finite else SUM, widen(build, "x", dtype, acc, finite=finite), windows, acc, total)
        build.emit(np.multiply, total, "factor", out=total)
        if exponent:
            build.emit(np.ldexp, total, exponent, out=total)
        if acc != dtype:
            narrow(build, total, dtype, "y", finite=finite)
        return build.program()

    programs = functools.cache(write)
    blocks = []
    for outputs, inputs, windows in pieces(question, question.counts, acc.itemsize):
        factors = broadcast_part(outputs, factor)
        key = (lengths(inputs), lengths(outputs), lengths(factors), windows)
        parts = {"x": inputs, "y": outputs, "factor": factors}
        blocks.append(Block(program=programs(*key, True), parts=parts, slow=functools.partial(programs, *key, False)))
    return Plan(
        shape=question.counts,
        dtype=dtype,
        arrays={"x": question.x, "factor": factor},
        blocks=blocks,
        traps=OVERFLOW,
        linear="x",
    )


def broadcast_part(index: Index, array: np.ndarray) -> Index:
    """The part of an array that goes with a part of what it is broadcast to; () of a number."""
    if not array.ndim:
        return ()
    return tuple(part if size > 1 else slice(0, 1) for part, size in zip(index, array.shape, strict=True))


def gradient(question: Question) -> Plan:
    """Each cotangent over its divisor, spread over the taps of its window one axis at a time."""
    dtype = question.x.dtype
    acc = accumulator(dtype)
    factor, exponent = reciprocal(divisors(question.case.spec, question.case.spatial), acc)
    factor = question.in_order(factor * acc.type(shrinks(dtype)))

    def write(inputs: Shape, outputs: Shape, factors: Shape, windows: tuple[Axis | None, ...], finite: bool) -> Program:
        build = Builder({"g": inputs, "y": outputs, "factor": factors})
        if 0 in inputs:
            build.emit(copy, 0, out="y")
            return build.program()
        wide = widen(build, "g", dtype, acc, finite=finite)
        terms = build.buffer(inputs, acc) if wide == "g" else wide
        build.emit(np.multiply, wide, "factor", out=terms)
        if exponent:
            build.emit(np.ldexp, terms, exponent, out=terms)
        total = spread_axes(build, terms, windows, acc, "y" if acc == dtype else None)
        if acc != dtype:
            narrow(build, total, dtype, "y", finite=finite)
        return build.program()

    programs = functools.cache(write)
    blocks = []
    none: list[Axis | None] = [None] * len(question.order)
    for combination in itertools.product(*ranges(question.x.shape, none, acc.itemsize, question.block, question.threads)):
        meet, left = [], []
        for axis, size, (first, last) in zip(question.axes, question.x.shape, combination, strict=True):
            if axis is None or (axis.plain == slice(0, size, 1)):
                part, windows = slice(first, last), None
            elif (first, last) == (0, size):
                part, windows = slice(0, axis.count), axis
            else:
                part, windows = axis.cut_elements(first, last)
            meet.append(part)
            left.append(windows)
        elements = tuple(slice(first, last) for first, last in combination)
        factors = broadcast_part(tuple(meet), factor)
        key = (lengths(tuple(meet)), lengths(elements), lengths(factors), tuple(left))
        parts = {"g": tuple(meet), "y": elements, "factor": factors}
        blocks.append(Block(program=programs(*key, True), parts=parts, slow=functools.partial(programs, *key, False)))
    return Plan(
        shape=question.x.shape,
        dtype=dtype,
        arrays={"g": question.g, "factor": factor},
        blocks=blocks,
        traps=OVERFLOW,
        linear="g",
    )
