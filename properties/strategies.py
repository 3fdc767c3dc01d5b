"""Hypothesis strategies that draw valid cases inside what a backend can be asked.

Every draw is ordered from plain to strange, so that a failure shrinks to a case that a person
understands at a glance: one sample, one channel, a window that just fits, zeros and small whole
numbers. Arrays are a short byte string that indexes a palette of values, tiled over the shape:
drawing element by element is some fifty times slower and shrinks worse.
"""

import functools
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.interface import LAYOUTS, OUTPUTS, REDUCTIONS, WINDOWS, Backend, Capabilities, Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows
from backends.text import with_strides

MOST_TAPS = 3000
"""How many taps the windows of one sample and channel may have in all: bounds the oracle's work."""

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
MEMORY = ("plain", "read-only", "transposed", "sliced", "reversed")
PALETTES = ("whole", "fractions", "special", "extreme")
ORDERS = (2.0, 1.0, 3.0, 1.5, 2.5, 4.0, 7.0)
"""Orders of the Lp norm: even, odd, fractional; each exact in float16, so that no adapter rounds it."""


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


def reductions(name: str, can: Capabilities, *, sliding: bool) -> st.SearchStrategy[Reduction]:
    """Reductions of one kind, with the options that a backend takes."""
    if name == "max":
        return st.just(Max())
    if name == "lp":
        return st.sampled_from(ORDERS).map(lambda p: Lp(p=p))
    options: list[Average] = [Average()]
    if sliding and can.count_include_pad:
        options.append(Average(count_include_pad=True))
    if sliding and can.divisor:
        options += [Average(divisor=divisor) for divisor in (1, 3, -2, 7)]
    return st.sampled_from(options)


@st.composite
def sliding(draw: st.DrawFn, can: Capabilities, ndim: int) -> tuple[Sliding, tuple[int, ...]]:
    """Sliding windows and a spatial shape that they fit.

    Sizes differ on each axis as often as not: most defects that mix up axes hide from squares.
    """
    widest = {1: 7, 2: 5, 3: 3}[ndim]
    alike = draw(st.booleans()) is False
    kernel = _each(draw, st.integers(1, widest), ndim, alike)
    stride = _each(draw, st.integers(1, 4), ndim, alike)
    dilation = _each(draw, st.integers(1, 3), ndim, alike) if can.dilation and draw(st.integers(0, 3)) == 3 else (1,) * ndim
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding, pads = _padding(draw, can, kernel, reach, alike)
    ceil_mode = can.ceil_mode and padding not in ("same_upper", "same_lower") and draw(st.booleans())
    room = _each(draw, st.integers(0, {1: 24, 2: 8, 3: 4}[ndim]), ndim, alike)
    least = [1 if pads is None else max(1, r - sum(pad)) for r, pad in zip(reach, pads or [(0, 0)] * ndim, strict=True)]
    spatial = tuple(low + more for low, more in zip(least, room, strict=True))
    return Sliding(kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode), spatial


def _padding(draw: st.DrawFn, can: Capabilities, kernel: Sequence[int], reach: Sequence[int], alike: bool) -> tuple[Any, Any]:
    """(padding, pairs): the pairs are None for SAME, which pads by itself."""
    ndim = len(kernel)
    kinds = [kind for kind in ("valid", "symmetric", "same_upper", "same_lower", "asymmetric") if kind in can.paddings]
    kind = draw(st.sampled_from(kinds))
    if kind == "valid":
        return "valid", [(0, 0)] * ndim
    if kind.startswith("same"):
        return kind, None
    # Half a kernel is what frameworks allow; up to a window less one is what the definition does.
    most = [k // 2 for k in kernel] if draw(st.booleans()) is False else [r - 1 for r in reach]
    before = [draw(st.integers(0, m)) for m in most]
    after = before if kind == "symmetric" else [draw(st.integers(0, m)) for m in most]
    pairs = tuple(zip(before, after, strict=True))
    return pairs, pairs


def _each(draw: st.DrawFn, size: st.SearchStrategy[int], ndim: int, alike: bool) -> tuple[int, ...]:
    return (draw(size),) * ndim if alike else tuple(draw(size) for _ in range(ndim))


@st.composite
def geometries(draw: st.DrawFn, can: Capabilities, kinds: Collection[str], ndim: int) -> tuple[Windows, tuple[int, ...]]:
    """Windows of a kind that a backend takes, and a spatial shape."""
    kind = draw(st.sampled_from([kind for kind in WINDOWS if kind in kinds]))
    if kind == "sliding":
        return draw(sliding(can, ndim))
    spatial = tuple(draw(st.integers(1, {1: 30, 2: 9, 3: 5}[ndim])) for _ in range(ndim))
    if kind == "global":
        return Global(), spatial
    return Adaptive(output_size=tuple(draw(st.integers(1, min(size + 2, 7))) for size in spatial)), spatial


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
    name = draw(st.sampled_from(sorted(able, key=REDUCTIONS.index)))
    can = able[name]
    output = draw(st.sampled_from([output for output in OUTPUTS if output in can.outputs and output in outputs]))
    wanted = [dtype for dtype in DTYPES if dtype in can.dtypes and dtype in dtypes and (output != "gradient" or "int" not in dtype)]
    dtype = draw(st.sampled_from(wanted))
    ndim = draw(st.sampled_from([n for n in (2, 1, 3) if n in can.ndims and n in ndims]))
    layout = draw(st.sampled_from([layout for layout in LAYOUTS if layout in can.layouts and layout in layouts]))
    kind, spatial = draw(geometries(can, can.windows & set(windows), ndim))
    spec = PoolSpec(reduction=draw(reductions(name, can, sliding=isinstance(kind, Sliding))), windows=kind)
    batch = draw(st.sampled_from(list(batches)))
    channel = draw(st.sampled_from(list(channels)))
    shape = (batch, channel, *spatial)
    x = draw(arrays(shape, dtype, palettes))
    cotangent = None
    if output == "gradient":
        cotangent = draw(arrays((batch, channel, *spec.output_shape(spatial)), dtype, [p for p in palettes if p != "extreme"] or palettes))
    lies = draw(st.sampled_from(list(memory)))
    return Case(spec=spec, x=arranged(x, lies), layout=layout, output=output, cotangent=cotangent)


def arrays(shape: tuple[int, ...], dtype: str, palettes: Collection[str] = PALETTES) -> st.SearchStrategy[np.ndarray]:
    """Arrays of a shape and dtype whose values come from one of the palettes."""
    names = st.sampled_from([name for name in PALETTES if name in palettes])
    return st.builds(lambda name, picks: tile(picks, palette(name, dtype), shape), names, st.binary(max_size=48))


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
    """How many taps the windows of one sample and channel have in all: the oracle's work."""
    windows = case.spec.windows
    return math.prod(sum(len(window.taps) for window in windows.along(axis, size)) for axis, size in enumerate(case.spatial))
