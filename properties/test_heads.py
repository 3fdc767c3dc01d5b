"""The ends of real networks, adaptive and global, and planes of tens of thousands of windows."""

import math
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.compare import assert_conforms
from backends.interface import LAYOUTS, OUTPUTS, Backend, Capabilities, Case, Layout, Output
from backends.spec import Adaptive, Global, PoolSpec, Sliding, Windows
from properties.laws import law
from properties.posing import SIMPLE, by_number
from properties.strategies import DTYPES, askable, number, scrambled

FLOATS = ("float32", "float64", "float16", "bfloat16")
HEADS = ("sevens", "sevens", "exact", "plane", "large plane")
"""Seven bins a side, as VGG's; bins of one size; one window of a thousand elements, and of more than 16384."""
LARGE = {"float16": 6e4, "float32": 2.0**17}
"""So large beside a thousand that a mean of eighteen thousand numbers shows it, whatever rounding takes."""


def heads(backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> st.SearchStrategy[Case]:
    """The heads of networks by every reduction, output, type and layout; each case follows from its number alone."""
    able = askable(backend, reductions_=reductions_, outputs=outputs, dtypes=dtypes)
    asked = [
        (name, output, dtype, layout, head)
        for name, can in able.items()
        for output in OUTPUTS
        for dtype in (*FLOATS, "int32")
        for layout in LAYOUTS
        for head in HEADS
        if output in can.outputs and output in outputs and layout in can.layouts and dtype in can.dtypes and dtype in dtypes
        if ("global" if "plane" in head else "adaptive") in can.windows and ("int" not in dtype or output != "gradient")
        # One tap of so many is little beside what rounding takes: two types show it.
        if head != "large plane" or (name != "max" and dtype in LARGE)
    ]
    if not asked:
        return st.nothing()
    return number(0, len(asked) - 1).map(lambda place: head_by(place, *asked[place], able[asked[place][0]]))


def head_by(place: int, name: str, output: Output, dtype: str, layout: Layout, head: str, can: Capabilities) -> Case:
    """The case of a number: what is not given varies with it."""
    varied = partial(by_number, place)
    ndim = 2 if 2 in can.ndims else min(can.ndims)
    windows: Windows = Global()
    if head == "plane":
        spatial = (37, 31) if ndim == 2 else _on_axes(ndim, 1147, 1)
    elif head == "large plane":
        spatial = (131, 137) if ndim == 2 else _on_axes(ndim, 17_947, 1)
    elif head == "sevens":
        windows, spatial = (
            Adaptive(output_size=_on_axes(ndim, 7, 7)),
            _on_axes(ndim, varied("height", (14, 7, 13, 15)), varied("width", (14, 12, 7, 16))),
        )
    else:
        bins = _on_axes(ndim, varied("rows", (2, 3, 4)), varied("columns", (3, 5, 2)))
        windows, spatial = Adaptive(output_size=bins), tuple(size * varied(f"each {axis}", (2, 3, 4)) for axis, size in enumerate(bins))
    shape = (1, varied("channels", (1, 2) if "plane" in head else (2, 3, 9)), *spatial)
    x = scrambled(shape, dtype, 1 + place * 37 % 250)
    lanes = x.reshape(*shape[:2], -1)
    if head == "plane" and dtype in FLOATS:
        lanes[..., varied("where", range(lanes.shape[-1]))] = np.nan
    elif head == "large plane":
        lanes[..., -1 - varied("where", (0, 0, 1, 140, 2047))] = LARGE[dtype]
    spec = PoolSpec(reduction=SIMPLE[name], windows=windows)
    cotangent = None
    if output == "gradient":
        cotangent = scrambled((*shape[:2], *spec.output_shape(spatial)), dtype, 1 + place * 41 % 250)
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


def _on_axes(ndim: int, *sizes: int) -> tuple[int, ...]:
    """Two sizes on so many axes: the first alone on one, beside a third of 1 on three."""
    return (*sizes, 1)[:ndim]


@law(draw=heads, windows={"adaptive", "global"}, most_taps=50_000, examples=2.8)
def test_heads(backend, case):
    """The heads of real networks conform: seven bins a side, bins of one size, and single windows of thousands of elements."""
    assert_conforms(case, backend.ask(case))


PLANES = ((33_000,), (70_001,)), ((190, 181), (129, 521))
"""Windows on each axis: past what 15 and 16 bits count in all, and no multiple of a block."""
CHANNELS = 17
"""So many fill a vector and leave one over."""
BESIDE = ((2100,), (66,)), ((41, 43), (18, 19))
"""Windows on each axis of so many channels."""
HELD = 150
"""How many windows of each stretch are held to the definition."""


def large_planes(backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> st.SearchStrategy[Case]:
    """Maps of tens of thousands of windows, by every reduction and layout, of values and indices."""
    able = askable(backend, reductions_=reductions_, windows=("sliding",), outputs=outputs, dtypes=dtypes)
    asked = [
        (name, output, dtype, layout, channels, can)
        for channels in (1, CHANNELS)
        for name, can in able.items()
        for output in ("values", "indices")
        for dtype in ("float32", "int32")
        for layout in LAYOUTS
        if output in can.outputs and output in outputs and layout in can.layouts and dtype in can.dtypes and dtype in dtypes
    ]
    if not asked:
        return st.nothing()
    return number(0, 2 * len(asked) - 1).map(lambda place: large_plane(place, *asked[place % len(asked)]))


def large_plane(place: int, name: str, output: Output, dtype: str, layout: Layout, channels: int, can: Capabilities) -> Case:
    """The case of a number: what is not given varies with it."""
    varied = partial(by_number, place)
    ndim = varied("axes", sorted(can.ndims & {1, 2}) or [3])
    sides = varied("side", (PLANES if channels == 1 else BESIDE)[min(ndim, 2) - 1])
    k, stride = (3, 2) if varied("step", (False, True)) else (2, 1)
    spatial = (*(k,) * (ndim - len(sides)), *((size - 1) * stride + k for size in sides))
    windows: Any = Sliding(kernel=(k,) * ndim, stride=(stride,) * ndim)
    x = scrambled((1, channels, *spatial), dtype, 1 + place * 37 % 250)
    return Case(spec=PoolSpec(reduction=SIMPLE[name], windows=windows), x=x, layout=layout, output=output)


@law(draw=large_planes, windows={"sliding"}, outputs={"values", "indices"}, most_taps=2**21, examples=0.7)
def test_large_planes(backend, case):
    """However many windows a map has, the last of them are pooled as the first are."""
    windows = math.prod(case.pooled_shape)
    cells = np.unique(np.concatenate([np.linspace(0, windows - 1, HELD).astype(np.int64), np.arange(windows - HELD, windows)]))
    assert_conforms(case, backend.unmended(case), cells=cells.tolist())
