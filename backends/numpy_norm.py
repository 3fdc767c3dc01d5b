"""Lp pooling in NumPy: powers, one sum an axis, and a root.

For float32 and the half types, and p up to 6, float64 holds every power and every sum of them, so
that nothing needs scaling. Otherwise each sum is looked at: where it is so large or so small that
a power may have been lost, the window is gathered and computed by itself, scaled by its largest
element (`_norms`). That is slow, and rare.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from backends.numpy_kernels import SUM, reduce_axes, spread_axes
from backends.numpy_plan import Axis
from backends.numpy_pooling import Block, Plan, Question, accumulator, lanes, lengths, pieces, values_of
from backends.numpy_program import Builder, Program, copy
from backends.spec import Lp

FLOAT64 = np.dtype(np.float64)
SAFE = 6
"""The largest p for which the p-th powers of all float32, 2^−149 … 2^128, are normal float64."""

LEAST, MOST = 2.0**-900, 2.0**900
"""Sums of powers in which nothing that matters was lost: 2^−1074 is far below the least."""

Windows = Sequence[Axis | None]


def values(question: Question) -> Plan:
    """Sums of powers, their root, rounded once.

    For p of 1 and 2 first in the type that averages add up in: products and sums set a flag of the
    processor where they overflow or lose bits, which a power does not do on all processors.
    """
    question = question.collapsed()
    dtype, p = question.x.dtype, _order(question)
    acc = accumulator(dtype) if p in (1, 2) else FLOAT64

    def write(inputs: tuple[int, ...], outputs: tuple[int, ...], windows: Windows, kind: np.dtype, mend: bool) -> Program:
        build = Builder({"x": inputs, "y": outputs})
        total = reduce_axes(build, SUM, _powers(build, "x", dtype, kind, p), windows, kind)
        root = _root(build, total, kind, p, precise=dtype == FLOAT64)
        build.emit(copy, root, out="y")
        if mend:
            build.emit(functools.partial(_mend, windows=windows, p=p), total, "x", out="y")
        return build.program()

    programs = functools.cache(write)
    blocks = []
    for outputs, inputs, windows in pieces(question, question.counts, acc.itemsize):
        shapes, parts = (lengths(inputs), lengths(outputs), windows), {"x": inputs, "y": outputs}
        slow = functools.partial(programs, *shapes, FLOAT64, not _safe(dtype, p))
        program = programs(*shapes, acc, False) if p in (1, 2) else slow()
        blocks.append(Block(program=program, parts=parts, slow=slow))
    return Plan(shape=question.counts, dtype=dtype, arrays={"x": question.x}, blocks=blocks, traps=("over", "under") if p in (1, 2) else ())


def gradient(question: Question) -> Plan:
    """sign(x)·|x|^(p−1) · Σ g/y^(p−1): what depends on the tap comes out of the sum, which is then separable."""
    dtype, p, axes = question.x.dtype, _order(question), question.axes

    def write(shape: tuple[int, ...]) -> Program:
        counts = tuple(axis.count if axis else size for axis, size in zip(axes, shape, strict=True))
        build = Builder({"x": shape, "g": counts, "y": shape})
        if not _safe(dtype, p):
            build.emit(functools.partial(_gradient_by_window, windows=axes, p=p), "x", "g", out="y")
            return build.program()
        powers = _powers(build, "x", dtype, FLOAT64, p)
        terms = build.buffer(counts, FLOAT64)
        build.emit(copy, "g", out=terms)
        if p > 1:
            norm = _root(build, reduce_axes(build, SUM, powers, axes, FLOAT64), FLOAT64, p, precise=False)
            if p != 2:
                build.emit(np.power, norm, p - 1, out=norm)
            build.emit(np.divide, terms, norm, out=terms)
            build.free(norm)
        terms = spread_axes(build, terms, axes, FLOAT64)
        slopes = build.buffer(shape, FLOAT64)
        build.emit(copy, "x", out=slopes)
        if p != 2:
            size = build.buffer(shape, FLOAT64)
            build.emit(np.absolute, slopes, out=size)
            build.emit(np.power, size, p - 1, out=size)
            build.emit(np.copysign, size, slopes, out=slopes)
        build.emit(np.multiply, terms, slopes, out=slopes)
        build.emit(_settle, "x", out=slopes)
        build.emit(copy, slopes, out="y")
        return build.program()

    programs = functools.cache(write)
    blocks = [
        Block(program=programs(lengths(lane)), parts={"x": lane, "g": values_of(lane, axes), "y": lane})
        for lane in lanes(question, FLOAT64.itemsize, question.block, contiguous=False)
    ]
    return Plan(shape=question.x.shape, dtype=dtype, arrays={"x": question.x, "g": question.g}, blocks=blocks)


def _order(question: Question) -> float:
    reduction = question.case.spec.reduction
    if not isinstance(reduction, Lp):
        raise TypeError(f"{reduction!r}: expected an Lp reduction")
    return reduction.p


def _safe(dtype: np.dtype, p: float) -> bool:
    """Whether no p-th power, nor their sum, can leave the range of normal float64."""
    return dtype != FLOAT64 and p <= SAFE


def _powers(build: Builder, source: str, given: np.dtype, dtype: np.dtype, p: float) -> str:
    """|x|^p of a register, given in one type, in a new register of another one."""
    powers = build.buffer(build.shapes[source], dtype)
    if given != dtype:
        build.emit(copy, source, out=powers)
        source = powers
    if p == 2:
        build.emit(np.multiply, source, source, out=powers)
        return powers
    build.emit(np.absolute, source, out=powers)
    if p != 1:
        build.emit(np.power, powers, p, out=powers)
    return powers


def _root(build: Builder, total: str, dtype: np.dtype, p: float, *, precise: bool) -> str:
    """The p-th root, in a new register.

    1/p is not a float64 in general, and s^(1/p) magnifies what it is off by ln(s); where the answer is
    a float64 itself, s^(1/p) = s^q·s^(1/p − q) ≈ s^q·(1 + (1/p − q)·ln s) with q the float nearest to 1/p.
    """
    root = build.buffer(build.shapes[total], dtype)
    if p in (1, 2, 3):
        build.emit({1: np.positive, 2: np.sqrt, 3: np.cbrt}[int(p)], total, out=root)
        return root
    build.emit(np.power, total, 1 / p, out=root)
    if precise and (left := float(1 / Fraction(p) - Fraction(1 / p))):
        correction = build.buffer(build.shapes[total], FLOAT64)
        build.emit(np.log, total, out=correction)
        build.emit(np.multiply, correction, left, out=correction)
        build.emit(np.multiply, correction, root, out=correction)
        build.emit(np.add, root, correction, out=root)
        build.free(correction)
    return root


def _settle(x: np.ndarray, *, out: np.ndarray) -> None:
    """The slope at zero is zero, whatever the cotangents are; so is that of an infinity or a NaN, unless a window reads it."""
    np.copyto(out, 0, where=(x == 0) | ~np.isfinite(x))


# --- window by window, scaled -------------------------------------------------------------------


def _mend(total: np.ndarray, x: np.ndarray, *, out: np.ndarray, windows: Windows, p: float) -> None:
    """Compute anew the norms of which the sum of powers may have lost something."""
    doubtful = np.argwhere(~((total >= LEAST) & (total <= MOST)) & ~np.isnan(total))
    for cells, elements, _, _ in _gathered(x, windows, doubtful):
        largest, root = _norms(elements, p)
        out[tuple(cells.T)] = (largest * root).astype(out.dtype)


def _gradient_by_window(x: np.ndarray, g: np.ndarray, *, out: np.ndarray, windows: Windows, p: float) -> None:
    """sign(x)·(|x|/y)^(p−1)·g, added up in float64, with cotangents scaled where their sum might overflow."""
    total = np.zeros(x.size)
    g = g.astype(np.float64)
    sizes = np.abs(g)
    scale = 2.0**-64 if np.max(sizes, where=np.isfinite(sizes), initial=0) > MOST else 1.0
    for cells, elements, places, _ in _gathered(x, windows, np.argwhere(np.ones(g.shape, bool))):
        largest, root = (part[:, np.newaxis] for part in _norms(elements, p))
        weights = np.broadcast_to(g[tuple(cells.T)][:, np.newaxis] * scale, elements.shape)
        terms = np.sign(elements) * weights
        finite = np.isfinite(weights)
        # Not |x|/(largest·root): a norm that is subnormal, or past the largest float, is not a float.
        terms = np.where(finite, terms * _slopes(elements, largest, root, p), terms)
        sloping = (elements != 0) & (largest != 0)
        np.add.at(total, places[sloping], terms[sloping])
    copy(total.reshape(x.shape) / scale, out=out)


def _slopes(elements: np.ndarray, largest: np.ndarray, root: np.ndarray, p: float) -> np.ndarray:
    """(|x|/y)^(p−1), a product of three powers near 1: a ratio too small for a normal float may have a power that is one.

    Not of 2^e: an exponent e·(p−1) that is rounded is off by hundreds of times what its power may be.
    """
    mantissas, exponents = np.frexp(np.abs(elements))
    unit, exponent = np.frexp(largest)
    apart = exponents - exponent
    third = apart // 3
    step = np.ldexp(1.0, third) ** (p - 1)
    return np.ldexp(mantissas / unit / root, apart - 2 * third) ** (p - 1) * step * step


def _norms(elements: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    """The norms of rows as (largest element, norm over it): scaled so, a sum of powers is between 1 and n."""
    sizes = np.abs(elements)
    largest = sizes.max(axis=1)
    scalable = (largest != 0) & ~np.isinf(largest)
    sums = ((sizes / np.where(scalable, largest, 1)[:, np.newaxis]) ** p).sum(axis=1)
    return largest, np.where(scalable, sums, 1) ** (1 / p)


def _gathered(x: np.ndarray, windows: Windows, cells: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(cells, elements, places, read) of windows, a row each, some at a time: their taps as float64, flat places in x, and which exist.

    What a clipped window does not read is 0.
    """
    widest = math.prod(axis.widest for axis in windows if axis)
    step = max(1, (1 << 16) // widest)
    for start in range(0, len(cells), step):
        some = cells[start : start + step]
        rank = sum(axis is not None for axis in windows)
        index, read, spatial = [], np.ones((len(some),) + (1,) * rank, bool), 0
        for axis, column in zip(windows, some.T, strict=True):
            if axis is None:
                index.append(column.reshape(-1, *(1,) * rank))
                continue
            taps, exists = axis.table(column)
            shape = (len(some), *(1,) * spatial, -1, *(1,) * (rank - spatial - 1))
            index.append(taps.reshape(shape))
            read = read & exists.reshape(shape)
            spatial += 1
        places = sum(part * stride for part, stride in zip(index, _strides(x.shape), strict=True))
        elements = np.where(read, x[tuple(index)].astype(np.float64), 0)
        rows = (len(some), -1)
        yield some, elements.reshape(rows), np.broadcast_to(places, elements.shape).reshape(rows), read.reshape(rows)


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
