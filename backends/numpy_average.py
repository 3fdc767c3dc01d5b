"""Average pooling in NumPy: one sum an axis and one product with the divisor's reciprocal.

The reciprocal costs a second rounding; with the n−1 of the sum that makes the n+1 of the bound.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from backends.numpy_kernels import QUICK_SUM, SUM, at, reduce_axes, spread_axes
from backends.numpy_numbers import narrow, reciprocal, shrinks, widen
from backends.numpy_plan import Axis, divisors, ranges
from backends.numpy_pooling import OVERFLOW, Block, Index, Plan, Question, accumulator, lengths, pieces
from backends.numpy_program import Builder, Operand, Program, copy

Shape = tuple[int, ...]
Runs = tuple[tuple[int, int, int], ...]

FEW, LEAST, MOST = 8, 256, 1 << 16
"""How many unlike rows of a map are held, of how many numbers at least, and how many numbers in all at most: a core's cache has them."""


def values(question: Question) -> Plan:
    """Sums in the accumulator's type, scaled, rounded once."""
    question = question.collapsed()
    dtype = question.x.dtype
    acc = accumulator(dtype)
    number, exponent = reciprocal(divisors(question.case.spec, question.case.spatial), acc)
    factor = Factor.of(question.in_order(number * acc.type(shrinks(dtype))), question)

    def write(inputs: Shape, outputs: Shape, factors: Shape, runs: Runs, windows: tuple[Axis | None, ...], finite: bool) -> Program:
        build = Builder({"x": inputs, "y": outputs, "factor": factors})
        total = "y" if acc == dtype else None
        total = reduce_axes(build, QUICK_SUM if finite else SUM, widen(build, "x", dtype, acc, finite=finite), windows, acc, total)
        scale(build, total, runs, total)
        if exponent:
            build.emit(np.ldexp, total, exponent, out=total)
        if acc != dtype:
            narrow(build, total, dtype, "y", finite=finite)
        return build.program()

    programs = functools.cache(write)
    blocks = []
    for outputs, inputs, windows in pieces(question, question.counts, acc.itemsize):
        factors, runs = factor.part(outputs)
        key = (lengths(inputs), lengths(outputs), lengths(factors), runs, windows)
        parts = {"x": inputs, "y": outputs, "factor": factors}
        blocks.append(Block(program=programs(*key, True), parts=parts, slow=functools.partial(programs, *key, False)))
    return Plan(
        shape=question.counts,
        dtype=dtype,
        arrays={"x": question.x, "factor": factor.array},
        blocks=blocks,
        traps=OVERFLOW,
        linear="x",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Factor:
    """What each sum is multiplied by: one number, or a map of the windows, or, with `rows`, few rows of such a map.

    With channels last a row, repeated for every channel, is a run as long as that of the sums, where each number of the
    map would begin a run of its own: 0.1 ns an element instead of 0.2 to 0.3. Rows differ near a border only, and those that
    follow each other and are equal are held once. `rows` has the number of each outermost spatial index's row in `array`.
    """

    array: np.ndarray
    rows: tuple[int, ...] = ()

    @classmethod
    def of(cls, factor: np.ndarray, question: Question) -> "Factor":
        """Of a number, or of a map in memory order."""
        channels = question.x.shape[-1]
        if not factor.ndim or question.order[0] != 0 or question.order[-1] != 1 or channels == 1:
            return cls(array=factor)
        rows = np.broadcast_to(factor[0], (*question.counts[1:-1], 1))
        other = (rows[1:] != rows[:-1]).any(axis=tuple(range(1, rows.ndim)))
        unlike, length = 1 + np.count_nonzero(other), rows[0].size * channels
        if unlike > FEW or length < LEAST or unlike * length > MOST:
            return cls(array=factor)
        first = [0, *(np.flatnonzero(other) + 1).tolist()]
        return cls(array=np.repeat(rows[first], channels, axis=-1), rows=(0, *np.cumsum(other).tolist()))

    def part(self, index: Index) -> tuple[Index, Runs]:
        """What goes with a part of the sums: a part of the array, () for all of it, and the rows of it that follow each other."""
        if not self.array.ndim:
            return (), ()
        if not self.rows:
            return tuple(part if size > 1 else slice(0, 1) for part, size in zip(index, self.array.shape, strict=True)), ()
        runs, start = list[tuple[int, int, int]](), 0
        windows: slice = index[1]
        for number, same in itertools.groupby(self.rows[windows]):
            stop = start + len(list(same))
            runs.append((start, stop, number))
            start = stop
        return (slice(0, len(self.array)), *index[2:]), tuple(runs)


def scale(build: Builder, source: str, runs: Runs, out: str) -> None:
    """Multiply by the register "factor": all of it, or by row `number` from `start` to `stop` of the outermost spatial axis."""
    if not runs:
        build.emit(np.multiply, source, "factor", out=out)
    for start, stop, number in runs:
        some = slice(start, stop)
        build.emit(np.multiply, at(source, 1, some), Operand("factor", (number,)), out=at(out, 1, some))


def gradient(question: Question) -> Plan:
    """Each cotangent over its divisor, spread over the taps of its window one axis at a time."""
    dtype = question.x.dtype
    acc = accumulator(dtype)
    number, exponent = reciprocal(divisors(question.case.spec, question.case.spatial), acc)
    factor = Factor.of(question.in_order(number * acc.type(shrinks(dtype))), question)

    def write(inputs: Shape, outputs: Shape, factors: Shape, runs: Runs, windows: tuple[Axis | None, ...], finite: bool) -> Program:
        build = Builder({"g": inputs, "y": outputs, "factor": factors})
        if 0 in inputs:
            build.emit(copy, 0, out="y")
            return build.program()
        wide = widen(build, "g", dtype, acc, finite=finite)
        terms = build.buffer(inputs, acc) if wide == "g" else wide
        scale(build, wide, runs, terms)
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
        factors, runs = factor.part(tuple(meet))
        key = (lengths(tuple(meet)), lengths(elements), lengths(factors), runs, tuple(left))
        parts = {"g": tuple(meet), "y": elements, "factor": factors}
        blocks.append(Block(program=programs(*key, True), parts=parts, slow=functools.partial(programs, *key, False)))
    return Plan(
        shape=question.x.shape,
        dtype=dtype,
        arrays={"g": question.g, "factor": factor.array},
        blocks=blocks,
        traps=OVERFLOW,
        linear="g",
    )
