"""How windows are reduced along one axis, as steps of a program, and what each way costs.

Pooling is separable: a maximum of maxima, a sum of sums. So each axis is reduced by itself, the one
with the longest stride first, and a window of k×k costs 2(k−1) operations an element, not k²−1.
With n elements, o windows of k taps on an axis:

- `by_taps`: k−1 passes over o elements. Best for the small windows of most networks.
- `by_flat_taps`: maxima with a stride of two, where next to nothing lies between two taps in memory, such as an image's channels: a window
  at every element, over all memory as one run, k−1 passes over n elements of 0.08 ns instead of o = n/2 of 0.6 to 2, and a copy.
- `by_doubling`: stride 1; passes of widths 2, 4, 8, … over n elements each, then one overlapping
  pass (max) or one more for each bit of k (sums: disjoint blocks only, since a difference of running
  sums would cancel, and would spread one NaN to every window after it). log₂k passes.
- `by_reduce`: one `ufunc.reduce` a window. For few windows over many elements: global pooling.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends.numpy_plan import Axis, Bins, Grid, Tap
from backends.numpy_program import Builder, Operand, copy

DOUBLING_FROM = 6
"""Taps from which doubling, which also works on the padding, does less than tap by tap."""

FLAT_TO = 64
"""Bytes of a run, of the axes after the one that is reduced, up to which a pass over all memory beats one over such runs."""
FLAT_FROM = 1 << 15
"""Elements of a register from which that saves more than the calls for a copy and the borders cost."""


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """An associative operation, its identity, and whether an element may be counted twice.

    `rows`, where there is one, reduces contiguous rows faster than the ufunc does.
    """

    ufunc: np.ufunc
    identity: Any
    idempotent: bool
    rows: Callable[..., None] | None = None


def sum_rows(x: np.ndarray, *, out: np.ndarray) -> None:
    """Sum the last axis, three times as fast as `np.add.reduce` does short rows; FloatingPointError unless all sums are finite.

    It does not say what it overflowed, so that an infinity that the rows hold is refused as well.
    """
    np.einsum("...i->...", x, out=out[..., 0])
    if not np.isfinite(out).all():
        raise FloatingPointError("a sum that is not finite")


SUM = Reduction(ufunc=np.add, identity=0, idempotent=False)
QUICK_SUM = replace(SUM, rows=sum_rows)
"""A sum that may refuse."""


def maximum(dtype: np.dtype) -> Reduction:
    """The maximum, with the least value of a dtype."""
    least = np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf
    return Reduction(ufunc=np.maximum, identity=dtype.type(least), idempotent=True)


def minimum(dtype: np.dtype) -> Reduction:
    """The minimum, with the greatest value of an integer dtype."""
    return Reduction(ufunc=np.minimum, identity=dtype.type(np.iinfo(dtype).max), idempotent=True)


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """An index that takes a slice of one axis and all of those before and after it."""
    return (*(slice(None),) * axis, part)


def at(register: str, axis: int, part: slice) -> Operand:
    """A slice of a register along one axis."""
    return Operand(register, along(axis, part))


def reduce_axis(build: Builder, op: Reduction, source: str, axis: int, windows: Axis, dtype: np.dtype, out: str | None = None) -> str:
    """Reduce a register over the windows of one axis, into `out` or a new register, which is returned."""
    if out is None:
        shape = build.shapes[source]
        out = build.buffer((*shape[:axis], windows.count, *shape[axis + 1 :]), dtype)
    if isinstance(windows, Bins) or windows.count < windows.kernel // 2:
        by_reduce(build, op, source, axis, windows, out)
    elif windows.stride == 1 and windows.kernel >= DOUBLING_FROM:
        by_doubling(build, op, source, axis, windows, dtype, out)
    elif op.idempotent and windows.stride == 2 and windows.kernel > 2 and _is_flat(build, source, axis, dtype):
        by_flat_taps(build, op, source, axis, windows, dtype, out)
    else:
        by_taps(build, op, source, axis, windows, out)
    return out


def _is_flat(build: Builder, source: str, axis: int, dtype: np.dtype) -> bool:
    """Whether a register is contiguous and large, of short runs and of a type of which a vector takes many."""
    shape = build.shapes[source]
    run = math.prod(shape[axis + 1 :]) * dtype.itemsize
    return source in build.buffers and dtype.itemsize <= 4 and run <= FLAT_TO and math.prod(shape) >= FLAT_FROM


def by_flat_taps(build: Builder, op: Reduction, source: str, axis: int, windows: Grid, dtype: np.dtype, out: str) -> None:
    """A window at every element, whether it is wanted or not: k−1 passes over one run; then those that are whole are copied.

    Windows that reach past the end of a row read the next one's elements, and are not wanted; those at a border go tap by tap.
    """
    shape = build.shapes[source]
    first, last = _whole(windows)
    if first < last:
        everywhere = build.buffer(shape, dtype)
        tap = windows.dilation * math.prod(shape[axis + 1 :])
        length = math.prod(shape) - (windows.kernel - 1) * tap
        elements, running = build.flat(source), Operand(build.flat(everywhere), (slice(0, length),))
        so_far = Operand(elements, (slice(0, length),))
        for j in range(1, windows.kernel):
            build.emit(op.ufunc, so_far, Operand(elements, (slice(j * tap, j * tap + length),)), out=running)
            so_far = running
        start = first * windows.stride - windows.before
        wanted = slice(start, start + (last - first - 1) * windows.stride + 1, windows.stride)
        build.emit(copy, at(everywhere, axis, wanted), out=at(out, axis, slice(first, last)))
        build.free(everywhere)
    for low, high in ((0, min(first, windows.count)), (max(first, last), windows.count)):
        if low < high:
            read, border = windows.cut(low, high)
            by_taps(build, op, _piece(build, source, axis, read), axis, border, _piece(build, out, axis, slice(low, high)))


def _whole(windows: Grid) -> tuple[int, int]:
    """The first of the windows that no border clips, and the one after the last of them."""
    first = -(-max(0, windows.before) // windows.stride)
    return first, min(windows.count, (windows.size - windows.reach + windows.before) // windows.stride + 1)


def _piece(build: Builder, register: str, axis: int, part: slice) -> str:
    """A slice of a register along one axis, as a register."""
    return build.part(register, (*along(axis, part), *(slice(None),) * (len(build.shapes[register]) - axis - 1)))


def by_taps(build: Builder, op: Reduction, source: str, axis: int, windows: Grid, out: str) -> None:
    """Tap by tap: k−1 passes over the output."""
    taps = sorted(windows.taps(), key=lambda tap: tap.target.start - tap.target.stop)
    if len(taps) < 2:
        taps = [*taps, *[Tap(0, slice(0, 0), slice(0, 0))] * (2 - len(taps))]
    _begin(build, op, source, axis, taps[0], taps[1], windows.count, out)
    for tap in taps[2:]:
        build.emit(op.ufunc, at(out, axis, tap.target), at(source, axis, tap.source), out=at(out, axis, tap.target))


def _begin(build: Builder, op: Reduction, source: str, axis: int, a: Tap, b: Tap, count: int, out: str) -> None:
    """The first pass takes two taps; a window at a border that lacks one of them takes the other, or the identity."""
    low, high = max(a.target.start, b.target.start), min(a.target.stop, b.target.stop)
    cuts = sorted({0, count, a.target.start, a.target.stop, b.target.start, b.target.stop})
    if low < high:
        both = slice(low, high)
        build.emit(op.ufunc, at(source, axis, _part(a, both)), at(source, axis, _part(b, both)), out=at(out, axis, both))
    for start, stop in zip(cuts, cuts[1:], strict=False):
        if low <= start < high or start >= stop or stop > count:
            continue
        part = slice(start, stop)
        having = next((tap for tap in (a, b) if tap.target.start <= start and stop <= tap.target.stop), None)
        if having is None:
            build.emit(copy, op.identity, out=at(out, axis, part))
        else:
            build.emit(copy, at(source, axis, _part(having, part)), out=at(out, axis, part))


def _part(tap: Tap, windows: slice) -> slice:
    """The elements that some of a tap's windows read."""
    step = tap.source.step
    start = tap.source.start + (windows.start - tap.target.start) * step
    return slice(start, start + (windows.stop - windows.start - 1) * step + 1, step)


def by_doubling(build: Builder, op: Reduction, source: str, axis: int, windows: Grid, dtype: np.dtype, out: str) -> None:
    """Widths 2, 4, 8, …, each from the one before: log₂k passes over the padded input, then one or a few over the output.

    Where the input ends, the first pass writes the identity, so that no later pass has borders.
    """
    kernel, step, count = windows.kernel, windows.dilation, windows.count
    shape = build.shapes[source]
    wide, width, covered = source, 1, 0
    total: Operand | None = None
    while 2 * width <= kernel:
        size = count + (kernel - 2 * width) * step
        wider = out if 2 * width == kernel else build.buffer((*shape[:axis], size, *shape[axis + 1 :]), dtype)
        if width == 1:
            pairs = Grid(size=windows.size, count=size, kernel=2, stride=1, dilation=step, before=windows.before)
            by_taps(build, op, source, axis, pairs, wider)
        else:
            build.emit(op.ufunc, at(wide, axis, slice(0, size)), at(wide, axis, slice(width * step, width * step + size)), out=wider)
        if wide != source and not (total and total.register == wide):
            build.free(wide)
        wide, width = wider, 2 * width
        if kernel & width and width < kernel and not op.idempotent:
            # One disjoint block for each bit of k: they follow each other, the shortest first.
            part = at(wide, axis, slice(covered * step, covered * step + count))
            covered += width
            if total is None:
                total = part
            else:
                build.emit(op.ufunc, total, part, out=out)
                if total.register != out:
                    build.free(total.register)
                total = Operand(out)
    if op.idempotent and width < kernel:
        rest = (kernel - width) * step
        build.emit(op.ufunc, at(wide, axis, slice(0, count)), at(wide, axis, slice(rest, rest + count)), out=out)
    elif total and kernel & 1:
        _finish(build, op, source, axis, windows, total, out)
    if wide != out:
        build.free(wide)


def _finish(build: Builder, op: Reduction, source: str, axis: int, windows: Grid, so_far: Operand, out: str) -> None:
    """Add the last tap of windows with an odd number of taps; all before it are in `so_far`."""
    shift = windows.reach - 1 - windows.before
    last = min(windows.count, windows.size - shift)
    first = max(0, -shift)
    lead = so_far.part[-1].start if so_far.part else 0
    name = so_far.register
    if first < last:
        have = at(name, axis, slice(lead + first, lead + last))
        build.emit(op.ufunc, have, at(source, axis, slice(first + shift, last + shift)), out=at(out, axis, slice(first, last)))
    if name == out:
        return
    for start, stop in ((0, min(first, windows.count)), (max(last, first), windows.count)):
        if start < stop:
            build.emit(copy, at(name, axis, slice(lead + start, lead + stop)), out=at(out, axis, slice(start, stop)))


def by_reduce(build: Builder, op: Reduction, source: str, axis: int, windows: Axis, out: str) -> None:
    """Window by window: each element once, a call a window."""
    for i in range(windows.count):
        reads = windows.reads(i)
        target = at(out, axis, slice(i, i + 1))
        if op.rows and axis == len(build.shapes[source]) - 1 and len(reads):
            build.emit(op.rows, at(source, axis, slice(reads.start, reads.stop, reads.step)), out=target)
        elif len(reads):
            build.emit(op.ufunc.reduce, at(source, axis, slice(reads.start, reads.stop, reads.step)), out=target, axis=axis, keepdims=True)
        else:
            build.emit(copy, op.identity, out=target)


def spread_axis(build: Builder, source: str, axis: int, windows: Axis, dtype: np.dtype, out: str | None = None) -> str:
    """The adjoint of a sum over windows: each window's value added to all of its taps.

    Windows side by side only repeat their values. For stride 1 it is itself a sum over windows, of the
    values that meet in an element, and may be doubled; else tap by tap, k passes over o elements, into zeros.
    """
    shape = build.shapes[source]
    beside = isinstance(windows, Grid) and windows.side_by_side
    if isinstance(windows, Grid) and windows.stride == 1 and not beside:
        return reduce_axis(build, SUM, source, axis, windows.transposed(), dtype, out)
    if out is None:
        out = build.buffer((*shape[:axis], windows.size, *shape[axis + 1 :]), dtype)
    if isinstance(windows, Grid) and beside:
        count, kernel = windows.count, windows.kernel
        build.emit(copy, build.split(source, axis, (count, 1)), out=build.split(out, axis, (count, kernel)))
        if count * kernel < windows.size:
            build.emit(copy, 0, out=at(out, axis, slice(count * kernel, windows.size)))
        return out
    build.emit(copy, 0, out=out)
    if isinstance(windows, Grid) and windows.kernel < 2 * windows.count:
        for tap in windows.taps():
            part = at(out, axis, tap.source)
            build.emit(np.add, part, at(source, axis, tap.target), out=part)
        return out
    for i in range(windows.count):
        reads = windows.reads(i)
        part = at(out, axis, slice(reads.start, reads.stop, reads.step))
        build.emit(np.add, part, at(source, axis, slice(i, i + 1)), out=part)
    return out


def reduce_axes(build: Builder, op: Reduction, source: str, windows: Sequence[Axis | None], dtype: np.dtype, out: str | None = None) -> str:
    """Reduce every axis that has windows, the outermost in memory first: its passes are over the longest runs.

    Frees `source`. Returns the register of the result, `out` if it is given.
    """
    todo = [(axis, window) for axis, window in enumerate(windows) if window is not None]
    for axis, window in todo:
        result = reduce_axis(build, op, source, axis, window, dtype, out if axis == todo[-1][0] else None)
        build.free(source)
        source = result
    if out is not None and source != out:
        build.emit(copy, source, out=out)
        return out
    return source


def spread_axes(build: Builder, source: str, windows: Sequence[Axis | None], dtype: np.dtype, out: str | None = None) -> str:
    """The adjoint of `reduce_axes` for sums, the innermost axis first, while there are few elements."""
    todo = [(axis, window) for axis, window in reversed(list(enumerate(windows))) if window is not None]
    for axis, window in todo:
        result = spread_axis(build, source, axis, window, dtype, out if axis == todo[-1][0] else None)
        build.free(source)
        source = result
    if out is not None and source != out:
        build.emit(copy, source, out=out)
        return out
    return source
