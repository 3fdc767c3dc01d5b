"""Sizes for which kernels have ways of their own: those of vectors, of wide windows, of real layers, of many bins."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from backends.compare import assert_conforms
from backends.interface import LAYOUTS, OUTPUTS, WINDOWS, Backend, Capabilities, Case, Layout, Output
from backends.spec import SAME, Adaptive, Average, Global, PoolSpec, Sliding
from properties.arranging import USUAL, arranged
from properties.laws import law
from properties.posing import SIMPLE, by_number, fitting, placed, posed, setting
from properties.strategies import (
    DTYPES,
    MOST_TAPS,
    PALETTES,
    Layer,
    askable,
    count_along,
    draw_array,
    draw_reduction,
    layers_of,
    number,
    one_of,
    padding_of,
    scrambled,
)

FLOATS, HALF = ("float32", "float64", "float16", "bfloat16"), ("float16", "bfloat16")
WIDTHS = (8, 7, 9, 16, 17, 15, 32, 33, 31, 64, 65, 63, 129, 127)
"""Sizes on either side of the vector widths of current processors."""
WIDE = (8, 5, 16, 7, 32, 9, 15, 17, 31, 33, 12, 24, 40, 63, 64, 65)
"""Windows at and around powers of two, where doubling has nothing, one or most of its steps left over."""


@st.composite
def odd_widths(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """As many outputs on an axis, or channels, as lie around a vector's width, by every stride and padding."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    width, axis = draw(one_of(WIDTHS)), ndim - 1 - draw(one_of((0, 0, 0, ndim - 1)))
    in_channels = draw(one_of((False, False, True)))
    k, stride = draw(number(1, 4)), draw(one_of((1, 2, 3)))
    kinds = tuple(kind for kind in ("valid", "symmetric", "same_upper", "same_lower") if kind in can.paddings)
    kind = draw(one_of(kinds or ("valid",)))
    ceil_mode = can.ceil_mode and kind not in SAME and draw(one_of((False, True)))
    dilation = draw(one_of((1, 1, 2))) if can.dilation and kind == "valid" else 1
    count = 3 if in_channels else width
    size = count * stride if kind in SAME else (count - 1) * stride + dilation * (k - 1) + 1 - 2 * (k // 2) * (kind == "symmetric")
    size = max(1, size + (draw(number(0, stride - 1)) if stride > 1 else 0))
    on_axis = lambda wide, thin: tuple(wide if i == axis else thin for i in range(ndim))  # noqa: E731
    padding = on_axis((k // 2, k // 2), (0, 0)) if kind == "symmetric" else kind
    windows = Sliding(
        kernel=on_axis(k, draw(number(1, 2))),
        stride=on_axis(stride, 1),
        padding=padding,
        dilation=on_axis(dilation, 1),
        ceil_mode=ceil_mode,
    )
    spec = PoolSpec(reduction=fitting(draw, reduction, can), windows=windows)
    shape = (1, width if in_channels else draw(number(1, 2)), *on_axis(size, 2))
    x = placed(draw, draw_array(draw, shape, dtype, PALETTES), spec)
    return posed(draw, spec, arranged(x, draw(one_of(USUAL))), layout, output)


@law(draw=odd_widths, windows={"sliding"}, examples=4)
def test_vector_tails(backend, case):
    """As many outputs or channels as lie on either side of a vector's width lose nothing in the tail, by any stride."""
    assert_conforms(case, backend.ask(case))


@st.composite
def wide_windows(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """Windows of up to 65 taps on one axis, for which kernels take other ways than for small ones: doubling, running, by blocks."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    k = draw(one_of(WIDE))
    dilation = draw(one_of((1, 1, 2, 3, 4, 11))) if can.dilation and k < 20 else 1
    reach = dilation * (k - 1) + 1
    size = reach + draw(number(0, 12))
    place = draw(number(0, ndim - 1))
    on_axis = lambda wide, thin: tuple(wide if axis == place else thin for axis in range(ndim))  # noqa: E731
    kinds = tuple(kind for kind in ("symmetric", "asymmetric", "symmetric", *SAME) if kind in can.paddings and dilation == 1)
    kind = draw(one_of(kinds or ("valid",)))
    padding: Any = kind
    if kind in ("symmetric", "asymmetric"):
        before, after = draw(number(0, k // 2)), draw(number(0, k // 2))
        pads = (before, before if kind == "symmetric" else after)
        padding = on_axis(pads, (0, 0)) if any(pads) else "valid"
    stride = draw(one_of((1, 2, 1, 3, k)))
    ceil_mode = can.ceil_mode and kind not in SAME and draw(one_of((False, True)))
    cross = draw(number(1, 2))
    windows = Sliding(
        kernel=on_axis(k, cross), stride=on_axis(stride, 1), dilation=on_axis(dilation, 1), padding=padding, ceil_mode=ceil_mode
    )
    spec = PoolSpec(reduction=fitting(draw, reduction, can), windows=windows)
    x = draw_array(draw, (1, draw(number(1, 3)), *on_axis(size, 2)), dtype, PALETTES)
    return posed(draw, spec, arranged(placed(draw, x, spec), draw(one_of(USUAL))), layout, output)


@law(draw=wide_windows, windows={"sliding"}, examples=4)
def test_wide_windows(backend, case):
    """Windows of every width up to 65 conform, whatever way a kernel takes for wide ones."""
    assert_conforms(case, backend.ask(case))


SIDES: Mapping[int, tuple[tuple[int, ...], ...]] = {
    1: ((600,), (129,), (257,)),
    2: ((18, 20), (34, 17), (66, 9)),
    3: ((9, 17, 3), (5, 9, 10)),
}
"""How many windows a large map has on each axis: more than what kernels compute at once."""
COUNTED: Mapping[int, tuple[int, ...]] = {1: (511,), 2: (19, 17), 3: (7, 7, 7)}
"""Maps of more elements than bfloat16 counts exactly, and of so few that a count that is off by one shows in gradients of their means."""
PLANES: Mapping[int, tuple[tuple[int, ...], ...]] = {1: ((1200,), (2100,)), 2: ((35, 34), (13, 90)), 3: ((11, 10, 12),)}
"""More than a thousand windows."""
SAMPLES, LANES = (9, 17, 33, 65), (129, 65, 257, 33, 129, 65, 257, 33, 1030)
STEPS = ((2, 1), (3, 2), (3, 1), (2, 2), (1, 1), (3, 3), (4, 2))
MOST_WORK = 2000


def large_extents(
    backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_
) -> st.SearchStrategy[Case]:
    """Windows of every kind over many samples, many channels, or a map that is large on each axis.

    Sliding ones also over a plane of more than a thousand windows, and where channels and a row both fill vectors.

    Each case follows from its number alone, so that of every reduction, output, type, layout and kind of window each is asked.
    """
    able = askable(backend, reductions_=reductions_, outputs=outputs, dtypes=dtypes)
    asked = tuple(
        (name, output, dtype, layout, kind, what)
        for what in ("samples", "channels", "map", "plane", "lanes")
        for name, can in able.items()
        for kind in (WINDOWS if what in ("samples", "channels", "map") else ("sliding",))
        for output in OUTPUTS
        for dtype in (DTYPES if what in ("samples", "channels", "map") else ("float32", "float16", "int32"))
        for layout in LAYOUTS
        if kind in can.windows and output in can.outputs and output in outputs and layout in can.layouts
        if dtype in can.dtypes and dtype in dtypes and ("int" not in dtype or output != "gradient")
    )  # fmt: skip
    return number(0, len(asked) - 1).map(lambda place: large_extent(place, *asked[place], able))


def large_extent(
    place: int, name: str, output: Output, dtype: str, layout: Layout, kind: str, what: str, able: Mapping[str, Capabilities]
) -> Case:
    """The case of a number: what is not given varies with it."""
    can, varied = able[name], partial(by_number, place)
    ndim = varied("axes", [n for n in ((2, 1, 2, 3) if what in ("map", "plane") else (2, 1, 3)) if n in can.ndims])
    kernel, stride = (2, 1) if ndim == 3 else varied("step", STEPS)
    samples, channels = varied("samples", (1, 2)), varied("channels", (1, 2, 3))
    dilated = what != "lanes" and varied("dilated", (False,) * 5 + (True,))
    # Few windows, where there are many samples or channels: the oracle's work is their product.
    reach = 2 * kernel - 1 if dilated else kernel
    spatial = (reach + 1, reach, reach + 2)[-ndim:] if kind == "sliding" else (3, 4, 5)[:ndim]
    if what == "lanes":
        samples, channels = 1, varied("many channels", (17, 16, 20))
        kernel, stride = 2 if ndim > 1 else kernel, 1
        spatial = (*(2,) * (ndim - 1), varied("row", range(18, 24)))
    elif what in ("map", "plane"):
        samples, channels = 1, varied("channels", (1, 2)) if what == "map" else 1
        stride = stride if what == "map" else 1
        spatial = tuple(stride * size for size in varied("side", SIDES[ndim] if what == "map" else PLANES[ndim]))
    elif what == "samples":
        samples = varied("many samples", SAMPLES)
    else:
        channels = varied("many channels", LANES if name != "lp" else (65, 33))
    means = name == "average" and kind == "global" and what == "map"
    if means:
        spatial = COUNTED[ndim]
    windows = {
        "sliding": sliding_by(place, can, ndim, kernel, stride, dilated=dilated),
        "adaptive": Adaptive(
            output_size=((varied("bins", range(9, 17)) // (2 if ndim == 3 else 1)) if what == "map" else varied("bins", (2, 3)),) * ndim
        ),
        "global": Global(),
    }[kind]
    reduction = SIMPLE[name]
    if isinstance(reduction, Average) and kind == "sliding":
        counted, divided = varied("counted", (False,) * 4 + (True,)), varied("divisor", (None, None, None, 7))
        reduction = Average(count_include_pad=can.count_include_pad and counted, divisor=divided if can.divisor else None)
    spec = PoolSpec(reduction=reduction, windows=windows)
    most = max(1, MOST_WORK // (4 if name == "lp" else 1) // count_along(spec, spatial))
    if what == "samples":
        channels = min(channels, max(1, most // samples))
    elif what != "lanes":
        samples = min(samples, max(1, most // channels))
    x = scrambled((samples, channels, *spatial), dtype, 1 + place * 37 % 250)
    if dtype in FLOATS and what != "map" and varied("NaN", (False, False, True)):
        # One in each plane, each at another place: whoever drops it in some lanes shows.
        planes = x.reshape(samples * channels, -1)
        planes[np.arange(len(planes)), np.arange(len(planes)) % planes.shape[1]] = np.nan
    cotangent = None
    if output == "gradient":
        cotangent = scrambled((samples, channels, *spec.output_shape(spatial)), dtype, 1 + place * 41 % 250)
    return Case(spec=spec, x=arranged(x, varied("memory", USUAL)), layout=layout, output=output, cotangent=cotangent)


def sliding_by(place: int, can: Capabilities, ndim: int, kernel: int, stride: int, *, dilated: bool) -> Sliding:
    """Sliding windows of a number, with whatever padding, dilation and rounding a backend takes."""
    kinds = [kind for kind in ("valid", "symmetric", "same_upper", "asymmetric", "symmetric", "same_lower") if kind in can.paddings]
    kind, pad = by_number(place, "padding", kinds) if kinds else "valid", kernel // 2
    pairs = {"symmetric": ((pad, pad),) * ndim, "asymmetric": ((pad, 0),) * ndim}
    dilation = 2 if can.dilation and dilated else 1
    padding: Any = pairs.get(kind, kind) if pad or kind in SAME else "valid"
    ceil_mode = can.ceil_mode and kind not in SAME and by_number(place, "ceil", (False, False, True))
    return Sliding(kernel=(kernel,) * ndim, stride=(stride,) * ndim, dilation=(dilation,) * ndim, padding=padding, ceil_mode=ceil_mode)


@law(draw=large_extents, most_taps=100_000, examples=8.6)
def test_large_extents(backend, case):
    """However many samples and channels there are, and however large a map is on each axis, every window is found."""
    assert_conforms(case, backend.ask(case))


def real_layers(backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> st.SearchStrategy[Case]:
    """Windows of real layers in 2-D, by every reduction, output and type.

    Each case follows from its number alone, so that Hypothesis, which asks no number twice, asks them all.
    """
    able = askable(backend, reductions_=reductions_, windows=("sliding",), outputs=outputs, dtypes=dtypes)
    asked = tuple(
        (name, layer, dtype, output, small, lanes, layout)
        for name, can in able.items()
        for output in OUTPUTS
        for dtype in DTYPES
        for layer in layers_of(can)
        if output in can.outputs and output in outputs and dtype in can.dtypes and dtype in dtypes
        if "int" not in dtype or output != "gradient"
        for halves in [name == "average" and dtype in HALF and output == "values"]
        # Half types twice, in both layouts: what is lost in a half accumulator shows in large numbers, all else in sums that none rounds.
        for small in ((False, True) if halves else (False,))
        for layout in ([each for each in LAYOUTS if each in can.layouts] if halves else (None,))
        for lanes in ((False, True) if name == "max" and output == "values" else (False,))
    )  # fmt: skip
    return number(0, len(asked) - 1).map(lambda place: real_layer(place, *asked[place], able))


def real_layer(
    place: int,
    name: str,
    layer: Layer,
    dtype: str,
    output: Output,
    small: bool,
    lanes: bool,
    layout: Layout | None,
    able: Mapping[str, Capabilities],
) -> Case:
    """The case of a number: what is not given varies with it.

    `lanes`: channels that fill a vector, and lie next to each other.
    """
    can, varied = able[name], partial(by_number, place)
    k, stride, pad, ceil_mode = layer
    ndim = 2 if 2 in can.ndims else min(can.ndims)
    windows = Sliding(kernel=(k,) * ndim, stride=(stride,) * ndim, padding=padding_of(layer, ndim), ceil_mode=ceil_mode)
    reduction = SIMPLE[name]
    if isinstance(reduction, Average) and can.count_include_pad and varied("counted", (False, False, True)):
        reduction = Average(count_include_pad=True)
    short, long = (1 if isinstance(pad, str) else max(k - 2 * pad, 1)) + varied("short", range(5)), max(k, varied("long", range(9, 41)))
    spatial = (long, short) if varied("upright", (False, False, False, True)) else (short, long)
    spec = PoolSpec(reduction=reduction, windows=windows)
    most = max(1, MOST_TAPS // 2 // count_along(spec, spatial[-ndim:]))
    channels = 16 if lanes else varied("channels", (1, 3, 8))
    x = scrambled((1, min(most, channels), *spatial[-ndim:]), dtype, 1 + place * 37 % 250)
    x = np.sign(x) if small else x
    layouts = [layout for layout in LAYOUTS if layout in can.layouts][-1 if lanes else 0 :]
    cotangent = None
    if output == "gradient":
        cotangent = scrambled((*x.shape[:2], *spec.output_shape(x.shape[2:])), dtype, 1 + place * 41 % 250)
    return Case(spec=spec, x=x, layout=layout or varied("layout", layouts), output=output, cotangent=cotangent)


@law(draw=real_layers, windows={"sliding"}, examples=12)
def test_real_layers(backend, case):
    """The windows of real networks conform on maps of any width: kernels have paths of their own for them."""
    assert_conforms(case, backend.ask(case))


def _rounds(bins: int, size: int) -> bool:
    """Whether bins that begin at i·(size/bins) in float32 begin or end elsewhere than whole numbers say."""
    i = np.arange(bins)
    edges = np.arange(bins + 1, dtype=np.float32) * np.float32(size / bins)
    return bool((edges[:-1].astype(int) != i * size // bins).any() or (np.ceil(edges[1:]) != -(-(i + 1) * size // bins)).any())


ROUNDED = tuple((bins, size) for bins in range(4, 65) for size in range(4, 129) if _rounds(bins, size))
"""Numbers of bins and sizes for which rounding a quotient moves an edge."""


@st.composite
def many_bins(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """Up to 100 adaptive bins on one axis, or twenty on both, over distinct numbers."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "adaptive")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    axis = draw(number(0, ndim - 1))
    bins, spatial = [draw(number(1, 2)) for _ in range(ndim)], [draw(number(2, 3)) for _ in range(ndim)]
    sizes = draw(one_of(("rounded", "many", "both", "long")))
    if sizes == "both" and ndim == 2:
        bins, spatial = [draw(number(7, 20)) for _ in bins], [draw(number(7, 24)) for _ in bins]
    elif sizes == "rounded":
        bins[axis], spatial[axis] = draw(one_of(ROUNDED))
    elif sizes == "long":
        bins[axis], spatial[axis] = draw(number(2, 100)), draw(number(129, 700))
    else:
        bins[axis], spatial[axis] = draw(number(4, 64)), draw(number(4, 128))
    spec = PoolSpec(reduction=draw_reduction(draw, reduction.name, can, sliding=False), windows=Adaptive(output_size=tuple(bins)))
    x = scrambled((1, draw(number(1, 3)), *spatial), dtype, draw(number(1, 250)))
    return posed(draw, spec, x, layout, output)


@law(draw=many_bins, windows={"adaptive"}, examples=3)
def test_many_bins(backend, case):
    """However many adaptive bins an axis has, each begins and ends where whole numbers say."""
    assert_conforms(case, backend.ask(case))
