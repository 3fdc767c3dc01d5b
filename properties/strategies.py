"""Hypothesis strategies that draw valid cases inside what a backend can be asked.

Every draw is ordered from plain to strange, so that a failure shrinks to a case that a person
understands at a glance: one sample, one channel, a window that just fits, zeros and small whole
numbers. Arrays are a short byte string that indexes a palette of values, tiled over the shape:
drawing element by element is some fifty times slower and shrinks worse. Parts of a case are plain
functions that take `draw`, over strategies that are made once: a strategy made for each draw is
validated for each draw, which costs more than the oracle.
"""

import functools
import itertools
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.interface import LAYOUTS, OUTPUTS, REDUCTIONS, WINDOWS, Backend, Capabilities, Case, dtype_named
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows
from properties.arranging import USUAL, arranged

MOST_TAPS = 4000
"""How many taps all windows of a drawn case may have: bounds the oracle's work at a few milliseconds."""

STACK = 6
"""How many patterns of values a case stacks in its batch for a backend to which a new spec costs a compilation."""

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "int16", "int8", "uint8", "uint16", "uint32", "uint64")
PALETTES = ("whole", "fractions", "special", "extreme")
ORDERS = (
    *(2.0, 1.0, 3.0),  # twice: kernels have paths of their own for them
    *(2.0, 1.0, 3.0, 1.5, 2.5, 4.0, 7.0, 12.0, 1.25, 33.0, 5.0, 6.0, 2.125, 1.099609375),
    *(8.0, 3.5, 10.0, 1.0302734375, 15.0, 64.0, 9.0, 5.26953125, 2.970703125, 11.0, 14.0, 24.0),
)
"""Orders of the Lp norm: even, odd, fractional, high, near another; each exact in float16, so that no adapter rounds it."""
STEEP = 7
BATCHES = (1, 2, 3) * 6 + (1, 0, 4, 5, 6, 7)
"""How many samples a case has: seldom none, which has a law of its own."""
CHANNELS = (1, 2, 3, 5, 8, 16, 17)


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
        # x86 makes a NaN of inf − inf whose sign is set.
        "special": [0, 1, math.nan, -math.inf, math.inf, -1, 2, -0.0, -math.inf, 3, math.copysign(math.nan, -1)],
        "extreme": [0, 1, largest, -largest, least, -least, normal, -normal, largest / 2, -0.0, math.sqrt(largest), math.sqrt(normal)],
    }[name]
    return np.array(numbers, np.float64).astype(kind)


def tile(picks: bytes, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The values that a byte string picks, repeated over a shape; zeros where it is empty."""
    indices = np.frombuffer(picks or b"\0", np.uint8) % len(values)
    return np.resize(values[indices], shape)


def scrambled(shape: tuple[int, ...], dtype: str, multiplier: int) -> np.ndarray:
    """Whole numbers in an order that a multiplier makes, all distinct up to as many as the type counts; none is far from zero."""
    kind = dtype_named(dtype)
    few = kind.itemsize == 1 or dtype == "bfloat16"
    prime = 251 if few else 2039  # exact in every type, and no multiple of a vector's width
    numbers = (np.arange(1, math.prod(shape) + 1) * multiplier) % prime
    return (numbers - (0 if kind.kind == "u" else prime // 2)).astype(kind).reshape(shape)


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


Layer = tuple[int, int, int | str, bool]
LAYERS: tuple[Layer, ...] = (
    (2, 2, 0, False),
    (3, 2, 1, False),
    (3, 1, 1, False),
    (3, 2, 0, True),
    (3, 2, 0, False),
    (7, 7, 0, False),
    (5, 3, 0, False),
    (13, 1, 6, False),
    (2, 2, 0, True),
    (7, 1, 0, False),
    (3, 3, 0, False),
    (2, 1, 0, False),
    (4, 4, 0, False),
    (8, 8, 0, False),
    (8, 1, 0, False),
    (4, 2, 1, False),
    (1, 2, 0, False),
    (5, 1, 2, False),
    (3, 2, "same_upper", False),
)
"""Windows of real networks, for which kernels have paths of their own: (kernel, stride, padding, ceil mode)."""


def layers_of(can: Capabilities) -> tuple[Layer, ...]:
    """The real layers that a backend can be asked."""
    return tuple(
        (k, s, pad, ceil_mode)
        for k, s, pad, ceil_mode in LAYERS
        if (not pad or (pad if isinstance(pad, str) else "symmetric") in can.paddings) and (can.ceil_mode or not ceil_mode)
    )


def padding_of(layer: Layer, ndim: int) -> Any:
    """The padding of a layer's windows on so many axes."""
    pad = layer[2]
    return pad if isinstance(pad, str) else ((pad, pad),) * ndim if pad else "valid"


def draw_layer(draw: st.DrawFn, can: Capabilities, ndim: int) -> tuple[Sliding, tuple[int, ...]]:
    """Windows of a real layer over a map of which one side is long."""
    fit = tuple(layer for layer in layers_of(can) if layer[0] ** ndim < 344)
    layer = draw(one_of(fit))
    k, s, pad, ceil_mode = layer
    least = 1 if isinstance(pad, str) else max(k - 2 * pad, 1)
    spatial = [least + draw(number(0, {1: 8, 2: 4, 3: 2}[ndim])) for _ in range(ndim)]
    axis = draw(number(0, ndim - 1))
    spatial[ndim - 1 - axis] = least + draw(number(0, {1: 64, 2: 40, 3: 12}[ndim]))
    return Sliding(kernel=(k,) * ndim, stride=(s,) * ndim, padding=padding_of(layer, ndim), ceil_mode=ceil_mode), tuple(spatial)


UNUSUAL = ("", "", "", "", "", "dilation", "stride", "kernel", "distinct")


def draw_sliding(draw: st.DrawFn, can: Capabilities, ndim: int) -> tuple[Sliding, tuple[int, ...]]:
    """Sliding windows and a spatial shape that they fit.

    Sizes differ on each axis as often as not: most defects that mix up axes hide from squares. Now and then one of
    them is past what most kernels are made for.
    """
    widest = {1: 7, 2: 5, 3: 3}[ndim]
    alike = draw(one_of((True, False)))
    unusual = draw(one_of(UNUSUAL))
    if unusual == "distinct" and ndim > 1:
        return _draw_distinct(draw, can, ndim)
    kernel = _each(draw, number(1, widest), ndim, alike)
    stride = _each(draw, number(1, 4), ndim, alike)
    dilation = _each(draw, number(1, 3), ndim, alike) if can.dilation and draw(number(0, 3)) == 3 else (1,) * ndim
    if unusual == "dilation" and can.dilation:
        dilation = _one_axis(draw, dilation, number(4, 12))
        kernel = tuple(max(k, 2) for k in kernel)
    elif unusual == "stride":
        stride = _one_axis(draw, stride, number(5, 9))
    elif unusual == "kernel":
        kernel = _one_axis(draw, kernel, number(widest + 1, {1: 40, 2: 13, 3: 6}[ndim]))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding, pads = _padding(draw, can, kernel, reach)
    ceil_mode = can.ceil_mode and padding not in SAME and draw(one_of((False, True)))
    room = _each(draw, number(0, {1: 24, 2: 8, 3: 4}[ndim]), ndim, alike)
    least = [1 if pads is None else max(1, r - sum(pad)) for r, pad in zip(reach, pads or [(0, 0)] * ndim, strict=True)]
    spatial = tuple(low + more for low, more in zip(least, room, strict=True))
    return Sliding(kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode), spatial


def _draw_distinct(draw: st.DrawFn, can: Capabilities, ndim: int) -> tuple[Sliding, tuple[int, ...]]:
    """Sliding windows of which no two axes have the same size, kernel, stride, dilation or pads, as far as a backend takes them."""
    kernel = draw(one_of(tuple(itertools.permutations((2, 3, 4), ndim))))
    stride = draw(one_of(tuple(itertools.permutations((1, 2, 3), ndim))))
    dilation = draw(one_of(tuple(itertools.permutations((1, 2, 3), ndim)))) if can.dilation else (1,) * ndim
    padding: Any = "valid"
    if {"symmetric", "asymmetric"} & can.paddings:
        # Half a kernel is what frameworks allow.
        fit = [pads for pads in itertools.permutations((0, 1, 2), ndim) if all(2 * p <= k for p, k in zip(pads, kernel, strict=True))]
        before = draw(one_of(tuple(fit)))
        alike = "asymmetric" not in can.paddings or ("symmetric" in can.paddings and draw(one_of((True, False))))
        padding = tuple(zip(before, before if alike else draw(one_of(tuple(fit))), strict=True))
    ceil_mode = can.ceil_mode and draw(one_of((False, True)))
    room = [draw(number(0, {2: 5, 3: 3}[ndim])) for _ in range(ndim)]
    spatial: list[int] = []
    for k, d, more in zip(kernel, dilation, room, strict=True):
        size = d * (k - 1) + 1 + more
        while size in spatial:
            size += 1
        spatial.append(size)
    return Sliding(kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode), tuple(spatial)


def _one_axis(draw: st.DrawFn, sizes: tuple[int, ...], size: st.SearchStrategy[int]) -> tuple[int, ...]:
    """The sizes with one of them drawn anew."""
    axis = draw(number(0, len(sizes) - 1))
    return (*sizes[:axis], draw(size), *sizes[axis + 1 :])


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
        layer = draw(number(0, 3)) == 3
        return draw_layer(draw, can, ndim) if layer else draw_sliding(draw, can, ndim)
    spatial = tuple(draw(number(1, {1: 30, 2: 9, 3: 5}[ndim])) for _ in range(ndim))
    if kind == "global":
        return Global(), spatial
    bins = tuple(draw(number(1, min(size + 2, 7))) for size in spatial)
    if draw(number(0, 2)) == 2:
        axis = draw(number(0, ndim - 1))
        bins = (*bins[:axis], draw(number(8, 64)), *bins[axis + 1 :])
        spatial = (*spatial[:axis], draw(number(1, 128)), *spatial[axis + 1 :])
    return Adaptive(output_size=bins), spatial


def draw_array(
    draw: st.DrawFn, shape: tuple[int, ...], dtype: str, palettes: Collection[str] = PALETTES, *, stacked: bool = False
) -> np.ndarray:
    """An array of a shape and dtype whose values come from one of the palettes; stacked, each sample has its own."""
    if stacked and shape[0]:
        return np.stack([draw_array(draw, shape[1:], dtype, palettes) for _ in range(shape[0])])
    names = tuple(name for name in PALETTES if name in palettes)
    # Special values hurt most kernels, so where there are others they come twice.
    twice = ("special",) if "special" in names[1:] else ()
    name = draw(one_of((*names[:1], "distinct", *names[1:], *twice) if "whole" in names else (*names, *twice)))
    if name == "distinct":
        return scrambled(shape, dtype, draw(number(1, 250)))
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
    memory: Collection[str] = USUAL,
    batches: Collection[int] = BATCHES,
    channels: Collection[int] = CHANNELS,
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
    samples = draw(one_of(tuple(batches)))
    most = MOST_TAPS // max(1, samples * count_along(spec, spatial))
    many = draw(one_of(tuple(channels)))
    # What to choose from stays the same, or a failure shrinks badly.
    few = many if many <= most else max((count for count in channels if count <= most), default=min(channels))
    shape = (stack * samples, few, *spatial)
    x = draw_array(draw, shape, dtype, palettes, stacked=stack > 1)
    cotangent = None
    if output == "gradient":
        # A slope of a high order underflows: whether it is zero decides what an infinite cotangent makes of it.
        steep = isinstance(spec.reduction, Lp) and spec.reduction.p > STEEP
        finite = [palette for palette in palettes if palette not in ("extreme", "special" if steep else "")]
        cotangent = draw_array(draw, (*shape[:2], *spec.output_shape(spatial)), dtype, finite or palettes, stacked=stack > 1)
        cotangent = arranged(cotangent, draw(one_of(tuple(memory))))
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


def count_along(spec: PoolSpec, spatial: Sequence[int]) -> int:
    """How many taps the windows of one sample and channel have."""
    return math.prod(sum(len(window.taps) for window in spec.windows.along(axis, size)) for axis, size in enumerate(spatial))


def count_taps(case: Case) -> int:
    """How many taps all windows of all samples and channels have: the oracle's work."""
    return math.prod(case.x.shape[:2]) * count_along(case.spec, case.spatial)
