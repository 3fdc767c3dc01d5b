"""Where the NumPy backend's windows lie, as slices, and how an array is cut into cache-sized blocks.

Everything here is geometry of one axis, or of memory: no element is touched. An axis is either a
`Grid` (windows of one size at equal steps, clipped at the borders: every sliding window, and the
bins of most adaptive poolings) or `Bins` (bins of unequal size). Both can be cut, so that a block
of an array is pooled by the same code as the whole of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backends.spec import Average, Global, PoolSpec, Sliding, Windows

BLOCK = 3 << 18
"""Bytes of a block's input: few enough to stay, with its scratch, in the 1 or 2 MB that recent cores have of their own; enough to
make a call's half microsecond small."""
DENSE, BINS, WHOLE = 2 / 3, 4 / 3, 4.0
"""How much smaller a block is where there are about as many windows as elements, so that every pass is over all of them (a fifth less time
than in blocks of 1 MB, and up to two fifths); how much larger where every block has calls for each of its bins, and where one pass takes
each element once, and what it leaves is small."""


LONG = 512
"""Elements of a run in memory from which the cost of starting on it is lost in that of the run."""


class Tap(NamedTuple):
    """Tap number j of a run of windows: the windows `target` read the elements `source`, one each."""

    number: int
    source: slice
    target: slice


@dataclass(frozen=True, kw_only=True)
class Grid:
    """`count` windows over `size` elements: tap j of window i is the element i·stride − before + j·dilation.

    Taps outside 0 … size−1 are not read. `before` may be negative: the first window then starts
    inside the axis.
    """

    size: int
    count: int
    kernel: int
    stride: int
    dilation: int
    before: int

    @property
    def reach(self) -> int:
        """How many elements a window stretches over."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def disjoint(self) -> bool:
        """Whether no element is read by two windows."""
        return self.count == 1 or self.stride >= self.reach

    @property
    def whole(self) -> bool:
        """Whether the only window is all of the axis."""
        return self.count == 1 and self.kernel == self.size and self.before == 0 and self.dilation == 1

    @property
    def side_by_side(self) -> bool:
        """Whether the windows follow each other from the first element on, none of them clipped."""
        near = self.dilation == 1 and (self.count == 1 or self.stride == self.kernel)
        return near and self.before == 0 and self.count * self.kernel <= self.size

    @property
    def plain(self) -> slice | None:
        """The elements themselves, where every window has one tap: nothing to reduce."""
        return slice(0, (self.count - 1) * self.stride + 1, self.stride) if self.kernel == 1 else None

    def taps(self) -> Iterator[Tap]:
        """Each tap once: the windows that have it are neighbours, so one slice holds its elements."""
        for j in range(self.kernel):
            shift = j * self.dilation - self.before
            first = max(0, -(shift // self.stride))
            last = min(self.count, (self.size - 1 - shift) // self.stride + 1)
            if first < last:
                start = first * self.stride + shift
                yield Tap(j, slice(start, start + (last - first - 1) * self.stride + 1, self.stride), slice(first, last))

    def reads(self, window: int) -> range:
        """The elements that one window reads."""
        start = window * self.stride - self.before
        first = start if start >= 0 else start % self.dilation
        return range(first, min(start + self.reach, self.size), self.dilation)

    @property
    def widest(self) -> int:
        """The most taps that a window can have."""
        return self.kernel

    def table(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The taps of some windows, a row each, and which of them exist; those that do not are clipped to an element."""
        taps = windows[:, np.newaxis] * self.stride - self.before + np.arange(self.kernel) * self.dilation
        return taps.clip(0, self.size - 1), (taps >= 0) & (taps < self.size)

    def cut(self, first: int, last: int) -> "tuple[slice, Grid]":
        """The windows first … last−1, and the slice of the axis that they read."""
        start = first * self.stride - self.before
        low, high = max(0, start), min(self.size, (last - 1) * self.stride - self.before + self.reach)
        return slice(low, high), Grid(
            size=high - low, count=last - first, kernel=self.kernel, stride=self.stride, dilation=self.dilation, before=low - start
        )

    def cut_elements(self, first: int, last: int) -> "tuple[slice, Grid]":
        """The elements first … last−1 as an axis of their own, and the slice of the windows that meet it."""
        low = min(self.count, max(0, -((self.reach - 1 - first - self.before) // self.stride)))
        high = max(low, min(self.count, (last - 1 + self.before) // self.stride + 1))
        return slice(low, high), Grid(
            size=last - first,
            count=high - low,
            kernel=self.kernel,
            stride=self.stride,
            dilation=self.dilation,
            before=self.before + first - low * self.stride,
        )

    def transposed(self) -> "Grid":
        """For stride 1: the windows that read an element, as a grid whose windows are the elements."""
        return Grid(
            size=self.count, count=self.size, kernel=self.kernel, stride=1, dilation=self.dilation, before=self.reach - 1 - self.before
        )


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Windows over `size` elements of which number i reads the elements bounds[i][0] … bounds[i][1]−1."""

    size: int
    bounds: tuple[tuple[int, int], ...]

    plain = None
    disjoint = False

    @property
    def count(self) -> int:
        return len(self.bounds)

    def reads(self, window: int) -> range:
        """The elements that one window reads."""
        return range(*self.bounds[window])

    @property
    def widest(self) -> int:
        """The most taps that a window can have."""
        return max(high - low for low, high in self.bounds)

    def table(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The taps of some windows, a row each, and which of them exist; those that do not are clipped to an element."""
        low, high = np.array(self.bounds)[windows].T[:, :, np.newaxis]
        taps = low + np.arange(self.widest)
        return taps.clip(0, self.size - 1), taps < high

    def cut(self, first: int, last: int) -> "tuple[slice, Bins]":
        """The windows first … last−1, and the slice of the axis that they read."""
        low, high = self.bounds[first][0], self.bounds[last - 1][1]
        return slice(low, high), Bins(size=high - low, bounds=tuple((a - low, b - low) for a, b in self.bounds[first:last]))

    def cut_elements(self, first: int, last: int) -> "tuple[slice, Bins]":
        """The elements first … last−1 as an axis of their own, and the slice of the windows that meet it."""
        meet = [i for i, (low, high) in enumerate(self.bounds) if low < last and high > first]
        bounds = tuple((max(self.bounds[i][0], first) - first, min(self.bounds[i][1], last) - first) for i in meet)
        return slice(meet[0], meet[-1] + 1), Bins(size=last - first, bounds=bounds)


Axis = Grid | Bins


def axis_of(windows: Windows, axis: int, size: int) -> Axis:
    """The windows of one spatial axis, from the numbers of the spec; `spec.along` lists the same windows one by one."""
    if isinstance(windows, Sliding):
        return Grid(
            size=size,
            count=windows.count(axis, size),
            kernel=windows.kernel[axis],
            stride=windows.stride[axis],
            dilation=windows.dilation[axis],
            before=windows.pads(axis, size)[0],
        )
    if isinstance(windows, Global):
        return Grid(size=size, count=1, kernel=size, stride=1, dilation=1, before=0)
    return _regular(size, tuple((window.taps.start, window.taps.stop) for window in windows.along(axis, size)))


def _regular(size: int, bounds: tuple[tuple[int, int], ...]) -> Axis:
    """Bins of one size at equal steps are a grid, and cost as little."""
    kernel, stride = bounds[0][1] - bounds[0][0], max(1, bounds[1][0] - bounds[0][0] if len(bounds) > 1 else 1)
    if all((low, high) == (i * stride, i * stride + kernel) for i, (low, high) in enumerate(bounds)):
        return Grid(size=size, count=len(bounds), kernel=kernel, stride=stride, dilation=1, before=0)
    return Bins(size=size, bounds=bounds)


def check(spec: PoolSpec, spatial: Sequence[int]) -> None:
    """Raise ValueError as `spec.check` does, without listing the windows of long axes one by one."""
    if isinstance(spec.windows, Sliding) and len(spatial) == spec.windows.rank and min(spatial) > 0:
        spec.reduction.check(sliding=True)
        spec.windows.check(spatial)
        if all(_counts(spec.windows, axis, size, include=False).min() > 0 for axis, size in enumerate(spatial)):
            return
    spec.check(spatial)


def divisors(spec: PoolSpec, spatial: Sequence[int]) -> np.ndarray:
    """What an average divides each window by: an integer array of the shape (*out), or one number where all agree.

    Definition, rule 3: the taps that a window reads; its padded taps with `count_include_pad`; the
    divisor where one is given.
    """
    average = spec.reduction
    if isinstance(average, Average) and average.divisor is not None:
        return np.array(average.divisor, dtype=object)
    include = isinstance(average, Average) and average.count_include_pad
    product = np.array(1, dtype=np.int64)
    for axis, size in enumerate(spatial):
        counts = _counts(spec.windows, axis, size, include=include)
        counts = counts[:1] if (counts == counts[0]).all() else counts
        product = product[..., np.newaxis] * counts if axis else counts
    return product.reshape(()) if product.size == 1 else product


def _counts(windows: Windows, axis: int, size: int, *, include: bool) -> np.ndarray:
    """len(taps), or span, of each window of an axis."""
    if not isinstance(windows, Sliding):
        return np.array([window.span for window in windows.along(axis, size)])
    before, after = windows.pads(axis, size)
    dilation, reach = windows.dilation[axis], windows.reach(axis)
    start = np.arange(windows.count(axis, size), dtype=np.int64) * windows.stride[axis] - before
    first = start if include else np.where(start < 0, start % dilation, start)
    stop = np.minimum(start + reach, size + after if include else size)
    return -((first - stop) // dilation)


# --- memory -------------------------------------------------------------------------------------


def memory_order(x: np.ndarray, layout: str, *, logical: bool) -> tuple[int, ...]:
    """The axes of x, (N, C, *spatial), from the outermost in memory to the innermost.

    With `logical` the spatial axes keep their order, as row-major positions need it.
    """
    first = tuple(range(x.ndim))
    last = (0, *range(2, x.ndim), 1)
    if layout == "channels_last" or (not x.flags.c_contiguous and x.transpose(last).flags.c_contiguous):
        return last
    if x.flags.c_contiguous or not x.size:
        return first
    strides = [abs(stride) for stride in x.strides]
    if logical:
        return last if strides[1] < min(strides[2:]) and x.shape[1] > 1 else first
    long = [axis for axis in first if x.shape[axis] > 1]
    ordered = iter(sorted(long, key=lambda axis: -strides[axis]))
    return tuple(next(ordered) if x.shape[axis] > 1 else axis for axis in first)


def ranges(sizes: Sequence[int], axes: Sequence[Axis | None], itemsize: int, budget: int, threads: int = 1) -> list[list[tuple[int, int]]]:
    """For each axis, from the outermost, the ranges that cut an array into blocks of about `budget` bytes.

    `sizes` counts what is written along an axis: samples, channels, windows. `axes` has the windows of
    the spatial axes. Outer axes are cut first, so that a block stays long in memory; an axis of
    overlapping windows is not cut so finely that its borders, which two blocks read, come to half of it,
    nor are channels that lie next to each other cut into short runs. Blocks of an axis are of about one
    size, and as many as `threads` can share out evenly.
    """
    rest = [itemsize]
    for size, axis in zip(reversed(sizes), reversed(axes), strict=True):
        rest.append(rest[-1] * (axis.size if axis else size))
    cuts = []
    taken, enough = 1, False
    for number, (size, axis) in enumerate(zip(sizes, axes, strict=True)):
        step = size
        if not enough:
            reach, stride = _reach(axis)
            room = budget // max(1, taken * rest[-2 - number])
            step = max(1, (room - reach) // stride + 1, -(-2 * (reach - stride) // stride))
            if number == len(sizes) - 1 and axis is None:
                step = max(step, LONG)
            enough = room >= reach
            count = size // step if step == LONG else -(-size // step)
            if enough and count > 1:
                count = -(-count // threads) * threads
            step = max(1, -(-size // max(1, count)))
            taken *= (step - 1) * stride + reach
        cuts.append([(start, min(start + step, size)) for start in range(0, size, step)])
    return cuts


def _reach(axis: Axis | None) -> tuple[int, int]:
    """How many elements one output reads along an axis, and how many the next one adds."""
    if axis is None:
        return 1, 1
    if isinstance(axis, Grid):
        return min(axis.size, axis.reach), axis.stride
    return max(high - low for low, high in axis.bounds), max(1, axis.size // axis.count)
