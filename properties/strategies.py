"""Hypothesis strategies that draw valid cases inside what a backend can be asked.

Every draw is ordered from plain to strange, so that a failure shrinks to a case that a person
understands at a glance: one sample, one channel, a window that just fits, zeros and small whole
numbers. Arrays are a short byte string that indexes a palette of values, tiled over the shape:
drawing element by element is some fifty times slower and shrinks worse. Parts of a case are plain
functions that take `draw`, over strategies that are made once: a strategy made for each draw is
validated for each draw, which costs more than the oracle.
"""

import functools
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.interface import LAYOUTS, OUTPUTS, REDUCTIONS, WINDOWS, Backend, Capabilities, Case, dtype_named
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows
from backends.text import with_strides

MOST_TAPS = 4000
"""How many taps all windows of a drawn case may have: bounds the oracle's work at a few milliseconds."""

STACK = 6
"""How many patterns of values a case stacks in its batch for a backend to which a new spec costs a compilation."""

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
MEMORY = ("plain", "read-only", "transposed", "sliced", "reversed")
PALETTES = ("whole", "fractions", "special", "extreme")
ORDERS = (2.0, 1.0, 3.0, 1.5, 2.5, 4.0, 7.0)
"""Orders of the Lp norm: even, odd, fractional; each exact in float16, so that no adapter rounds it."""


@functools.cache
def one_of(choices: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of these, the first the plainest."""
    return st.sampled_from(choices)


@functools.cache
def number(low: int, high: int) -> st.SearchStrategy[int]:
    """A number within these, the lowest the plainest."""
    return st.integers(low, high)


PICKS = st.binary(max_size=48)


# --- values -------------------------------------------------------------------------------------


@functools.cache
def palette(name: str, dtype: str) -> np.ndarray:
    """Values that hurt, zero first: a byte string indexes them.

    `whole`: small whole numbers, with ties. `fractions`: numbers whose sums round. `special`: NaN,
    infinities and signed zeros among them. `extreme`: the ends of the range, and subnormals.
    """
    kind = dtype_named(dtype)
    if kind.kind in "iu":
        ends = np.iinfo(kind)
        low, high = int(ends.min), int(ends.max)
        whole = [0, 1, 2, 3, 4, 5, *([] if kind.kind == "u" else [-1, -2, -3])]
        return np.array([0, 1, low, high, low + 1, high - 1, high // 2] if name in ("special", "extreme") else whole, kind)
    import ml_dtypes

    info = ml_dtypes.finfo(kind)
    largest, normal, least = float(info.max), float(info.smallest_normal), float(info.smallest_subnormal)
    numbers = {
        "whole": [0, 1, 2, 3, -1, -2, -3, 4, 5, -5],
        "fractions": [0, 1, 0.5, 1 / 3, -0.1, 0.7, -2.3, 10.1, 1e-3, -1e2, 255.5, 1 + float(info.eps)],
        "special": [0, 1, math.nan, -math.inf, math.inf, -1, 2, -0.0, -math.inf, 3],
        "extreme": [0, 1, largest, -largest, least, -least, normal, -normal, largest / 2, -0.0, math.sqrt(largest), math.sqrt(normal)],
    }[name]
    return np.array(numbers, np.float64).astype(kind)


def tile(picks: bytes, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values that a byte string picks, repeated over a shape; zeros where it is empty."""
    indices = np.frombuffer(picks or b"\0", np.uint8) % len(values)
    return np.resize(values[indices], shape)


def arranged(array: np.ndarray, memory: str) -> np.ndarray:
    """The same elements of (N, C, *spatial), lying differently in memory.

    `transposed`: axes from last to first. `sliced`: every other element of a larger array.
    `reversed`: negative strides on every axis.
    """
    if memory == "read-only":
        array = array.copy()
        array.flags.writeable = False
        return array
    plain = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    steps = {
        "plain": plain,
        "transposed": [math.prod(array.shape[:axis]) for axis in range(array.ndim)],
        "sliced": [2 * step for step in plain],
        "reversed": [-step for step in plain],
    }[memory]
    return array if memory == "plain" or not array.size else with_strides(array, tuple(steps))


# --- specs --------------------------------------------------------------------------------------


def draw_reduction(draw: st.DrawFn, name: str, can: Capabilities, *, sliding: bool) -> Reduction:
    """A reduction of one kind, with the options that a backend takes."""
    return draw(one_of(_reductions(name, sliding and can.count_include_pad, sliding and can.divisor)))


@functools.cache
def _reductions(name: str, padded: bool, divisor: bool) -> tuple[Reduction, ...]:
    if name == "max":
        return (Max(),)
    if name == "lp":
        return tuple(Lp(p=p) for p in ORDERS)
    options = [Average()]
    if padded:
        options.append(Average(count_include_pad=True))
    if divisor:
        options += [Average(divisor=number) for number in (1, 3, -2, 7)]
    return tuple(options)


def draw_sliding(draw: st.DrawFn, can: Capabilities, ndim: int) -> tuple[Sliding, tuple[int, ...]]:
    """Sliding windows and a spatial shape that they fit.

    Sizes differ on each axis as often as not: most defects that mix up axes hide from squares.
    """
    widest = {1: 7, 2: 5, 3: 3}[ndim]
    alike = draw(one_of((True, False)))
    kernel = _each(draw, number(1, widest), ndim, alike)
    stride = _each(draw, number(1, 4), ndim, alike)
    dilation = _each(draw, number(1, 3), ndim, alike) if can.dilation and draw(number(0, 3)) == 3 else (1,) * ndim
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding, pads = _padding(draw, can, kernel, reach)
    ceil_mode = can.ceil_mode and padding not in SAME and draw(one_of((False, True)))
    room = _each(draw, number(0, {1: 24, 2: 8, 3: 4}[ndim]), ndim, alike)
    least = [1 if pads is None else max(1, r - sum(pad)) for r, pad in zip(reach, pads or [(0, 0)] * ndim, strict=True)]
    spatial = tuple(low + more for low, more in zip(least, room, strict=True))
    return Sliding(kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode), spatial


def _padding(draw: st.DrawFn, can: Capabilities, kernel: Sequence[int], reach: Sequence[int]) -> tuple[Any, Any]:
    """(padding, pairs): the pairs are None for SAME, which pads by itself."""
    ndim = len(kernel)
    kind = draw(one_of(tuple(kind for kind in ("valid", "symmetric", *SAME, "asymmetric") if kind in can.paddings)))
    if kind == "valid":
        return "valid", [(0, 0)] * ndim
    if kind in SAME:
        return kind, None
    # Half a kernel is what frameworks allow; up to a window less one is what the definition does.
    most = [k // 2 for k in kernel] if draw(one_of((True, True, False))) else [r - 1 for r in reach]
    before = [draw(number(0, m)) for m in most]
    after = before if kind == "symmetric" else [draw(number(0, m)) for m in most]
    pairs = tuple(zip(before, after, strict=True))
    return pairs, pairs


def _each(draw: st.DrawFn, size: st.SearchStrategy[int], ndim: int, alike: bool) -> tuple[int, ...]:
    return (draw(size),) * ndim if alike else tuple(draw(size) for _ in range(ndim))


def draw_geometry(draw: st.DrawFn, can: Capabilities, kinds: Collection[str], ndim: int) -> tuple[Windows, tuple[int, ...]]:
    """Windows of a kind that a backend takes, and a spatial shape."""
    kind = draw(one_of(tuple(kind for kind in WINDOWS if kind in kinds)))
    if kind == "sliding":
        return draw_sliding(draw, can, ndim)
    spatial = tuple(draw(number(1, {1: 30, 2: 9, 3: 5}[ndim])) for _ in range(ndim))
    if kind == "global":
        return Global(), spatial
    return Adaptive(output_size=tuple(draw(number(1, min(size + 2, 7))) for size in spatial)), spatial


def draw_array(
    draw: st.DrawFn, shape: tuple[int, ...], dtype: str, palettes: Collection[str] = PALETTES, *, stacked: bool = False
) -> np.ndarray:
    """An array of a shape and dtype whose values come from one of the palettes; stacked, each sample has its own."""
    if stacked and shape[0]:
        return np.stack([draw_array(draw, shape[1:], dtype, palettes) for _ in range(shape[0])])
    name = draw(one_of(tuple(name for name in PALETTES if name in palettes)))
    return tile(draw(PICKS), palette(name, dtype), shape)


def stack_of(backend: Any) -> int:
    """How many patterns of values each drawn sample stands for: a backend that compiles is asked fewer specs, and more of each."""
    return STACK if getattr(backend, "compiles", False) else 1


# --- cases --------------------------------------------------------------------------------------


@st.composite
def cases(
    draw: st.DrawFn,
    backend: Backend,
    *,
    reductions_: Collection[str] = REDUCTIONS,
    windows: Collection[str] = WINDOWS,
    outputs: Collection[str] = OUTPUTS,
    dtypes: Collection[str] = DTYPES,
    layouts: Collection[str] = LAYOUTS,
    palettes: Collection[str] = PALETTES,
    ndims: Collection[int] = (1, 2, 3),
    memory: Collection[str] = MEMORY,
    batches: Collection[int] = (1, 2, 3, 0),
    channels: Collection[int] = (1, 2, 3, 5, 17),
) -> Case:
    """Valid cases inside a backend's capabilities and these bounds; gaps are not left out.

    `palettes`, `memory` and the rest name what to draw from, plain first.
    """
    able = askable(backend, reductions_=reductions_, windows=windows, outputs=outputs, dtypes=dtypes, layouts=layouts, ndims=ndims)
    name = draw(one_of(tuple(name for name in REDUCTIONS if name in able)))
    can = able[name]
    output = draw(one_of(tuple(output for output in OUTPUTS if output in can.outputs and output in outputs)))
    floats_only = output == "gradient"
    dtype = draw(one_of(tuple(kind for kind in DTYPES if kind in can.dtypes and kind in dtypes and not (floats_only and "int" in kind))))
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims and n in ndims)))
    layout = draw(one_of(tuple(layout for layout in LAYOUTS if layout in can.layouts and layout in layouts)))
    kind, spatial = draw_geometry(draw, can, can.windows & set(windows), ndim)
    spec = PoolSpec(reduction=draw_reduction(draw, name, can, sliding=isinstance(kind, Sliding)), windows=kind)
    stack = stack_of(backend)
    shape = (stack * draw(one_of(tuple(batches))), draw(one_of(tuple(channels))), *spatial)
    x = draw_array(draw, shape, dtype, palettes, stacked=stack > 1)
    cotangent = None
    if output == "gradient":
        finite = [palette for palette in palettes if palette != "extreme"]
        cotangent = draw_array(draw, (*shape[:2], *spec.output_shape(spatial)), dtype, finite or palettes, stacked=stack > 1)
    return Case(spec=spec, x=arranged(x, draw(one_of(tuple(memory)))), layout=layout, output=output, cotangent=cotangent)


def askable(
    backend: Backend,
    *,
    reductions_: Collection[str] = REDUCTIONS,
    windows: Collection[str] = WINDOWS,
    outputs: Collection[str] = OUTPUTS,
    dtypes: Collection[str] = DTYPES,
    layouts: Collection[str] = LAYOUTS,
    ndims: Collection[int] = (1, 2, 3),
) -> dict[str, Capabilities]:
    """What a backend can be asked within some bounds, by reduction; empty if it can be asked nothing."""
    able = {}
    for name, declared in backend.capabilities.items():
        can = Capabilities.of(declared)
        floats = [dtype for dtype in can.dtypes & set(dtypes) if "int" not in dtype]
        wanted = can.outputs & set(outputs)
        if (
            name in reductions_
            and can.windows & set(windows)
            and (wanted - {"gradient"} and can.dtypes & set(dtypes) or wanted and floats)
            and can.layouts & set(layouts)
            and can.ndims & set(ndims)
        ):
            able[name] = can
    return able


def count_taps(case: Case) -> int:
    """How many taps all windows of all samples and channels have: the oracle's work."""
    windows = case.spec.windows
    per_axis = (sum(len(window.taps) for window in windows.along(axis, size)) for axis, size in enumerate(case.spatial))
    return math.prod(case.x.shape[:2]) * math.prod(per_axis)
