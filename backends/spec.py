"""The vocabulary of pooling, and its window arithmetic: a pooling is a reduction over windows.

Every kind of window is a product of one-dimensional ones, so all geometry is one function:
`windows.along(axis, size)`. Output shapes, padding, divisors, indices and gradients follow from
it; nothing else in the suite computes where a window lies. Standard library only.

Sizes are tuples with one int for each spatial axis of an array of shape (N, C, *spatial).
Construction checks types and ranks, so that invalid *values* (stride 0, a window larger than its
input) can still be put to a framework; `PoolSpec.check` judges those.
"""

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SAME = ("same_upper", "same_lower")
Pads = tuple[tuple[int, int], ...]


class Window(NamedTuple):
    """What one window covers on one axis.

    `taps`: the indices of the unpadded input that it reads; may be empty, or clipped by a border.
    `span`: how many of its taps lie in the padded input (SAME's padding included, the overhang
    of ceil mode excluded).
    """

    taps: range
    span: int


# --- reductions ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Max:
    """The largest element of the window; a NaN in the window wins."""

    name = "max"

    def check(self, *, sliding: bool) -> None:
        """Every value of a `Max` is valid."""


@dataclass(frozen=True, kw_only=True)
class Average:
    """The sum over the window, divided by its taps, by its padded taps, or by `divisor`."""

    count_include_pad: bool = False
    divisor: int | None = None

    name = "average"

    def __post_init__(self) -> None:
        _require_bool("count_include_pad", self.count_include_pad)
        if self.divisor is not None:
            object.__setattr__(self, "divisor", _integer("divisor", self.divisor))

    def check(self, *, sliding: bool) -> None:
        """Raise ValueError for a zero divisor, and for options that need sliding windows."""
        if self.divisor == 0:
            raise ValueError("divisor=0: an average divides by a nonzero integer")
        if not sliding and self.count_include_pad:
            raise ValueError("count_include_pad=True: only sliding windows are padded")
        if not sliding and self.divisor is not None:
            raise ValueError(f"divisor={self.divisor}: only sliding windows take a divisor")


@dataclass(frozen=True, kw_only=True)
class Lp:
    """The p-norm of the window, `(Σ|x|^p)^(1/p)`; p is kept as a float."""

    p: float

    name = "lp"

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, int | float):
            raise TypeError(f"p={self.p!r}: expected a number")
        object.__setattr__(self, "p", float(self.p))

    def check(self, *, sliding: bool) -> None:
        """Raise ValueError unless p is finite and at least 1."""
        if not (math.isfinite(self.p) and self.p >= 1):
            raise ValueError(f"p={self.p}: the order of a norm is finite and at least 1")


Reduction = Max | Average | Lp


# --- windows ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """Windows of one size that step over the padded input.

    `stride` defaults to the kernel and `dilation` to ones; an int for either is meant for each
    axis. `padding` is "valid", "same_upper", "same_lower", or a pair (before, after) for each
    axis; "valid" is kept as a word, so that an adapter can hand it on.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...] = None  # type: ignore[assignment]  # None means the kernel, until __post_init__
    padding: str | Pads = "valid"
    dilation: tuple[int, ...] = None  # type: ignore[assignment]  # None means ones, until __post_init__
    ceil_mode: bool = False

    name = "sliding"

    def __post_init__(self) -> None:
        kernel = _sizes("kernel", self.kernel)
        rank = len(kernel)
        object.__setattr__(self, "kernel", kernel)
        object.__setattr__(self, "stride", _sizes("stride", self.stride, rank, default=kernel))
        object.__setattr__(self, "dilation", _sizes("dilation", self.dilation, rank, default=(1,) * rank))
        object.__setattr__(self, "padding", _padding(self.padding, rank))
        _require_bool("ceil_mode", self.ceil_mode)

    @property
    def rank(self) -> int:
        return len(self.kernel)

    def reach(self, axis: int) -> int:
        """How many padded elements a window stretches over: d(k−1)+1."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def pads(self, axis: int, size: int) -> tuple[int, int]:
        """The padding (before, after) of an axis of `size` elements.

        SAME pads just enough for ⌈n/s⌉ windows, the odd element after (upper) or before (lower):
        TensorFlow's documented rule and ONNX's auto_pad.
        """
        if self.padding == "valid":
            return 0, 0
        if isinstance(self.padding, tuple):
            return self.padding[axis]
        step = self.stride[axis]
        total = max(0, (_ceil_div(size, step) - 1) * step + self.reach(axis) - size)
        small, large = total // 2, total - total // 2
        return (small, large) if self.padding == "same_upper" else (large, small)

    def count(self, axis: int, size: int) -> int:
        """How many windows an axis of `size` elements has; not positive where none fits."""
        before, after = self.pads(axis, size)
        step = self.stride[axis]
        room = size + before + after - self.reach(axis)
        if not self.ceil_mode:
            return room // step + 1
        count = _ceil_div(room, step) + 1
        # A window that starts past the input and its padding before would read padding alone;
        # PyTorch drops it, and so do we, whatever the padding is.
        return count - 1 if (count - 1) * step >= size + before else count

    def check(self, spatial_shape: Sequence[int]) -> None:
        """Raise ValueError naming the axis and the value that make these windows invalid."""
        _check_rank("kernel", self.kernel, spatial_shape)
        if self.ceil_mode and self.padding in SAME:
            raise ValueError(f"ceil_mode=True with padding={self.padding!r}: SAME already fixes the output size")
        for axis, size in enumerate(spatial_shape):
            for label in ("kernel", "stride", "dilation"):
                if (value := getattr(self, label)[axis]) < 1:
                    raise ValueError(f"{label}={value} on axis {axis}: must be at least 1")
            before, after = self.pads(axis, size)
            if before < 0 or after < 0:
                raise ValueError(f"padding={(before, after)} on axis {axis}: must not be negative")
            if self.count(axis, size) < 1:
                raise ValueError(f"window of {self.reach(axis)} on axis {axis}: larger than the padded input, {size + before + after}")

    @functools.lru_cache(maxsize=4096)  # noqa: B019  # frozen and small: a leak of a few ranges is bounded
    def along(self, axis: int, size: int) -> tuple[Window, ...]:
        """The windows on one axis of `size` elements, in order."""
        before, after = self.pads(axis, size)
        step, dilation, kernel = self.stride[axis], self.dilation[axis], self.kernel[axis]
        windows = []
        for i in range(self.count(axis, size)):
            start = i * step - before
            stop = start + dilation * kernel
            first = start if start >= 0 else start % dilation
            taps = range(first, min(stop, size), dilation)
            span = len(range(start, min(stop, size + after), dilation))
            windows.append(Window(taps, span))
        return tuple(windows)


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """A fixed number of bins over each axis: bin i of o over n reads ⌊i·n/o⌋ … ⌈(i+1)·n/o⌉."""

    output_size: tuple[int, ...]

    name = "adaptive"

    def __post_init__(self) -> None:
        object.__setattr__(self, "output_size", _sizes("output_size", self.output_size))

    @property
    def rank(self) -> int:
        return len(self.output_size)

    def count(self, axis: int, size: int) -> int:
        """How many bins an axis has, whatever its size."""
        return self.output_size[axis]

    def check(self, spatial_shape: Sequence[int]) -> None:
        """Raise ValueError naming the axis and the value that make these windows invalid."""
        _check_rank("output_size", self.output_size, spatial_shape)
        for axis, bins in enumerate(self.output_size):
            if bins < 1:
                raise ValueError(f"output_size={bins} on axis {axis}: must be at least 1")

    @functools.lru_cache(maxsize=4096)  # noqa: B019  # frozen and small: a leak of a few ranges is bounded
    def along(self, axis: int, size: int) -> tuple[Window, ...]:
        """The bins on one axis of `size` elements, in order; they overlap where o does not divide n."""
        bins = self.output_size[axis]
        taps = (range(i * size // bins, _ceil_div((i + 1) * size, bins)) for i in range(bins))
        return tuple(Window(tap, len(tap)) for tap in taps)


@dataclass(frozen=True, kw_only=True)
class Global:
    """One window over everything, in any number of dimensions."""

    name = "global"
    rank = None

    def count(self, axis: int, size: int) -> int:
        """One window, whatever the size."""
        return 1

    def check(self, spatial_shape: Sequence[int]) -> None:
        """A global window fits every shape."""

    def along(self, axis: int, size: int) -> tuple[Window, ...]:
        """The one window of an axis: all of it."""
        return (Window(range(size), size),)


Windows = Sliding | Adaptive | Global


# --- the operation ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """A pooling operation: a reduction over windows."""

    reduction: Reduction
    windows: Windows

    def __post_init__(self) -> None:
        if not isinstance(self.reduction, Reduction):
            raise TypeError(f"reduction={self.reduction!r}: expected Max, Average or Lp")
        if not isinstance(self.windows, Windows):
            raise TypeError(f"windows={self.windows!r}: expected Sliding, Adaptive or Global")

    def check(self, spatial_shape: Sequence[int]) -> None:
        """Raise ValueError, naming the axis and the value, unless this pools an input of that shape.

        `spatial_shape` is what follows (N, C). Invalid by the definition: a value out of range, a
        rank that does not match, a window larger than the padded input, and any window that would
        read no input at all (padding is the identity of the reduction, never data).
        """
        if not spatial_shape:
            raise ValueError("no spatial axis: an input has the shape (N, C, *spatial)")
        self.reduction.check(sliding=isinstance(self.windows, Sliding))
        self.windows.check(spatial_shape)
        for axis, size in enumerate(spatial_shape):
            if size < 1:
                raise ValueError(f"size {size} on axis {axis}: a window reads at least one element")
            for i, window in enumerate(self.windows.along(axis, size)):
                if not window.taps:
                    raise ValueError(f"window {i} on axis {axis}: reads padding alone, of an input of {size}")

    def output_shape(self, spatial_shape: Sequence[int]) -> tuple[int, ...]:
        """The spatial shape of the pooled values, in closed form."""
        return tuple(self.windows.count(axis, size) for axis, size in enumerate(spatial_shape))


# --- normalisation, once ------------------------------------------------------------------------


def _integer(label: str, value: object) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{label}={value!r}: expected an integer")
    try:
        return operator.index(value)  # type: ignore[arg-type]  # the TypeError of any other type is the point
    except TypeError:
        raise TypeError(f"{label}={value!r}: expected an integer") from None


def _sizes(label: str, value: object, rank: int | None = None, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    if value is None and rank is not None:
        return default
    if rank is not None and not isinstance(value, Iterable):
        return (_integer(label, value),) * rank
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise TypeError(f"{label}={value!r}: expected a tuple with one integer for each spatial axis")
    sizes = tuple(_integer(label, size) for size in value)
    if not sizes:
        raise ValueError(f"{label}=(): expected at least one spatial axis")
    if rank is not None and len(sizes) != rank:
        raise ValueError(f"{label}={sizes}: expected {rank} sizes, one for each axis of the kernel")
    return sizes


def _padding(value: object, rank: int) -> str | Pads:
    if value in ("valid", *SAME):
        return str(value)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"padding={value!r}: expected 'valid', 'same_upper', 'same_lower' or a pair for each axis")
    pairs = tuple(_sizes("padding", pair) for pair in value)
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"padding={value!r}: expected a pair (before, after) for each of {rank} axes")
    return tuple((before, after) for before, after in pairs)


def _require_bool(label: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{label}={value!r}: expected True or False")


def _check_rank(label: str, sizes: tuple[int, ...], spatial_shape: Sequence[int]) -> None:
    if len(sizes) != len(spatial_shape):
        raise ValueError(f"{label}={sizes}: {len(sizes)} sizes for the {len(spatial_shape)} spatial axes {tuple(spatial_shape)}")


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
