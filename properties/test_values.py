"""Values that hurt: NaN at every channel, windows of infinities, integer extremes, subnormals, sums too long for their type."""

import math
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st

from backends.compare import assert_conforms, assert_shaped, format_of, growth
from backends.interface import LAYOUTS, OUTPUTS, Backend, Capabilities, Case, Layout, Output, dtype_named
from backends.spec import Adaptive, Global, Max, PoolSpec, Sliding
from backends.text import generate
from properties.arranging import MEMORY
from properties.laws import law
from properties.posing import COTANGENTS, SIMPLE, by_number, posed, setting
from properties.strategies import DTYPES, askable, number, one_of, palette, scrambled, tile

FLOATS = ("float32", "float64", "float16", "bfloat16")
HALF = ("float16", "bfloat16")


@st.composite
def one_in_channels(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_
) -> Case:
    """One hurting value at any place of any of 1 … 33 channels, among distinct numbers."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    channels = draw(number(1, 33))
    # Windows of three and five taps have a last one that pairs and vectors leave over.
    kernel = draw(one_of((2, 2, 3, 5) if ndim == 1 else (2, 2, 3)))
    # Between the taps of a dilated window, and beside a padded one, lies what it does not read, and what may not hurt it.
    dilation = draw(one_of((1, 2))) if can.dilation else 1
    pad = draw(number(0, 1)) if "symmetric" in can.paddings else 0
    spatial = tuple(dilation * (kernel - 1) + 1 + draw(number(0, 2)) for _ in range(ndim))
    x = np.resize(np.arange(1.0, 12.0), (1, channels, *spatial)) * draw(one_of((1, -1)))
    hurting = draw(one_of((np.nan, np.inf, -np.inf)))
    x.reshape(-1)[draw(number(0, x.size - 1))] = hurting
    padding = ((pad, pad),) * ndim if pad else "valid"
    sliding = Sliding(kernel=(kernel,) * ndim, stride=(draw(number(1, 2)),) * ndim, dilation=(dilation,) * ndim, padding=padding)
    spec = PoolSpec(reduction=reduction, windows=sliding)
    return posed(draw, spec, x.astype(dtype_named(dtype)), layout, output)


@law(draw=one_in_channels, windows={"sliding"}, dtypes=FLOATS, examples=2)
def test_one_hurting_value(backend, case):
    """One NaN or infinity, at any place of any channel, shows in the windows that read it and in no other."""
    assert_conforms(case, backend.ask(case))


CHANNELS = range(1, 34)


def sides_of(can: Capabilities) -> list[str]:
    """The paddings to choose from by number: none, as often as SAME."""
    return ["valid", *(side for side in ("same_upper", "valid", "same_lower") if side in can.paddings)]


def nan_everywhere(
    backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_
) -> st.SearchStrategy[Case]:
    """A NaN at each position of each of 1 … 33 channels: of maxima a case for every number of channels, output, type and layout.

    Sums have a type for each of the others. Each case follows from its number alone, so that Hypothesis, which asks no number
    twice, asks them all.
    """
    able = askable(backend, reductions_=reductions_, windows=("sliding",), outputs=outputs, dtypes=dtypes)
    asked = [
        (name, output, channels, dtype, layout, can)
        for name, can in able.items()
        for kinds in [[kind for kind in dtypes if kind in can.dtypes]]
        for output in OUTPUTS
        for layout in LAYOUTS
        for channels in CHANNELS
        for dtype in (kinds if name == "max" else [by_number(channels, f"{name} {output} {layout}", kinds)])
        if output in can.outputs and output in outputs and layout in can.layouts
    ]
    return number(0, len(asked) - 1).map(lambda place: with_nan_everywhere(*asked[place]))


def with_nan_everywhere(name: str, output: Output, channels: int, dtype: str, layout: Layout, can: Capabilities) -> Case:
    """As many samples as there are positions: sample s has in channel c its NaN at s + c, and distinct numbers elsewhere.

    What x holds means nothing to the gradient of an average: there the cotangent has such a NaN as well.
    """
    ndim = 2 if 2 in can.ndims else min(can.ndims)
    spatial = {1: (8,), 2: (2, 4), 3: (2, 2, 2)}[ndim]
    padding = by_number(channels, f"padding {name} {output} {dtype} {layout}", sides_of(can))
    spec = PoolSpec(reduction=SIMPLE[name], windows=Sliding(kernel=(2,) * ndim, stride=(1,) * ndim, padding=padding))
    size, out = math.prod(spatial), spec.output_shape(spatial)
    x = scrambled((size, channels, size), dtype, 5 * channels)
    sample, channel = np.indices((size, channels))
    x[sample, channel, (sample + channel) % size] = np.nan
    cotangent = None
    if output == "gradient":
        cotangent = scrambled((size, channels, math.prod(out)), dtype, 7 * channels)
        if name == "average":
            cotangent[sample, channel, (sample + channel) % math.prod(out)] = np.nan
        cotangent = cotangent.reshape(size, channels, *out)
    return Case(spec=spec, x=x.reshape(size, channels, *spatial), layout=layout, output=output, cotangent=cotangent)


@law(draw=nan_everywhere, windows={"sliding"}, dtypes=FLOATS, most_taps=10_000, examples=11)
def test_nan_everywhere(backend, case):
    """A NaN shows from every position of every channel of 1 … 33, in the body of a vector and in its tail."""
    assert_conforms(case, backend.ask(case))


WIDE = {"row": (8, 12, 16, 17, 33, 9), "lanes": (8, 5, 16, 9), "plane": (5, 7, 9, 6), "many": (17, 16, 18)}
"""Taps on an axis: of one wide axis, with few channels and with many, of two, and of so many in all that a byte does not count them."""
HUGE = {"float16": 6e4, "bfloat16": 2.0**100, "float32": 2.0**100, "float64": 2.0**600}
"""Beside them small numbers are lost: a running sum that has met one is never right again."""


def wide_and_hurt(
    backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_
) -> st.SearchStrategy[Case]:
    """Wide windows at stride 1 over small numbers and one that hurts, of every reduction, output, type and layout.

    What is computed by running along an axis must forget the one that hurts. Each case follows from its number alone.
    """
    able = askable(backend, reductions_=reductions_, windows=("sliding",), outputs=outputs, dtypes=dtypes)
    asked = [
        (name, output, dtype, layout, kind)
        for name, can in able.items()
        for output in OUTPUTS
        for dtype in dtypes
        for layout in LAYOUTS
        for kind in WIDE
        if output in can.outputs and output in outputs and dtype in can.dtypes and layout in can.layouts
        if kind in ("row", "lanes") or can.ndims & {2, 3}
    ]
    return number(0, len(asked) - 1).map(lambda place: wide_and_hurt_by(place, *asked[place], able[asked[place][0]]))


def wide_and_hurt_by(place: int, name: str, output: Output, dtype: str, layout: Layout, kind: str, can: Capabilities) -> Case:
    """The case of a number: what is not given varies with it."""
    varied = partial(by_number, place)
    row = kind in ("row", "lanes")
    ndim = varied("axes", sorted(can.ndims & {1, 2}) or [3]) if row else min(can.ndims & {2, 3})
    k, wide = varied("taps", WIDE[kind]), varied("axis", (ndim - 1, ndim - 1, 0)) if row else ndim - 1
    kernel = tuple(k if axis == wide else 1 for axis in range(ndim)) if row else (1,) * (ndim - 2) + (k, k)
    over = {"row": 25, "lanes": 20, "plane": 6, "many": 2}[kind]
    spatial = tuple(taps + over if taps > 1 else 1 for taps in kernel)
    padding: Any = varied("padding", [*sides_of(can), "symmetric"] if "symmetric" in can.paddings else sides_of(can))
    padding = tuple((taps // 3, taps // 3) for taps in kernel) if padding == "symmetric" else padding
    spec = PoolSpec(reduction=SIMPLE[name], windows=Sliding(kernel=kernel, stride=(1,) * ndim, padding=padding))
    channels = varied("channels", {"row": (1, 3), "lanes": (9, 17, 12)}.get(kind, (1, 2)))
    # The square of what is huge is too large: another law is about that.
    hurting = varied("hurting", {"average": (np.nan, HUGE[dtype], np.inf, HUGE[dtype])}.get(name, (np.nan, np.nan, np.inf, -np.inf)))
    x = scrambled((1, channels, *spatial), dtype, 1 + place * 37 % 250)
    cotangent = None
    if output == "gradient":
        cotangent = scrambled((1, channels, *spec.output_shape(spatial)), dtype, 1 + place * 41 % 250)
    hurt = cotangent if name == "average" and cotangent is not None else x
    lanes = hurt.reshape(channels, -1)
    # Early along the wide axis, so that most windows come after it: beside that of a row all others have one element.
    lanes[:, varied("where", range(hurt.shape[2 + wide] // 2))] = hurting
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


@law(draw=wide_and_hurt, windows={"sliding"}, dtypes=FLOATS, most_taps=20_000, examples=2.3)
def test_wide_windows_that_hurt(backend, case):
    """A NaN, an infinity or a huge number shows in the wide windows that read it, and in none that comes after them."""
    assert_conforms(case, backend.ask(case))


@st.composite
def infinite_windows(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_
) -> Case:
    """Windows of one infinity, of both, and of −inf beside the lowest finite number."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    kind = dtype_named(dtype)
    lowest = palette("extreme", dtype)[2] * kind.type(-1)
    values = np.array([-np.inf, float(lowest), -1, np.inf, np.nan], np.float64)[: draw(number(1, 5))].astype(kind)
    spatial = tuple(draw(number(2, 5)) for _ in range(ndim))
    padding = draw(one_of(tuple(name for name in ("valid", "same_upper", "symmetric", "same_lower") if name in can.paddings)))
    kernel = tuple(draw(number(1, 2)) + 1 for _ in range(ndim))
    # Padding before a window of −inf: its first element is not where the window begins.
    padding = ((1, 1),) * ndim if padding == "symmetric" else padding
    spatial = tuple(max(size, k) for size, k in zip(spatial, kernel, strict=True))
    spec = PoolSpec(reduction=reduction, windows=Sliding(kernel=kernel, stride=(1,) * ndim, padding=padding))
    x = tile(draw(st.binary(max_size=24)), values, (1, draw(number(1, 9)), *spatial))
    return posed(draw, spec, x, layout, output)


@law(draw=infinite_windows, windows={"sliding"}, dtypes=FLOATS)
def test_windows_of_infinities(backend, case):
    """A maximum of −inf alone is −inf, and no finite number stands in for it; sums of infinities follow IEEE."""
    assert_conforms(case, backend.ask(case))


@law(palettes=("extreme",), dtypes=FLOATS, examples=2)
def test_extremes(backend, case):
    """The ends of a float type's range, and its subnormals, come through."""
    assert_conforms(case, backend.ask(case))


@law(
    reductions={"max"},
    outputs={"values", "indices"},
    dtypes=set(DTYPES) - set(FLOATS),
    palettes=("extreme", "whole"),
    memory=("plain", "transposed"),
    examples=3,
)
def test_integers(backend, case):
    """Integers are exact, to both ends of their type."""
    assert_conforms(case, backend.ask(case))


@law(reductions={"max"}, dtypes=FLOATS, palettes=("whole",), channels=(1, 3, 8, 16, 33), memory=("plain",))
def test_all_negative(backend, case):
    """All-negative inputs have negative maxima: padding is no zero."""
    negative = case.replace(x=(-np.abs(case.x.astype(np.float64)) - 1).astype(case.x.dtype))
    assert_conforms(negative, backend.ask(negative))


@st.composite
def long_sums(draw: st.DrawFn, backend: Backend, *, reductions_=("average",), dtypes=FLOATS, outputs=("values",), **_) -> Case:
    """One window over thousands of elements."""
    able = askable(backend, reductions_=reductions_, outputs=outputs, dtypes=dtypes)
    name = draw(one_of(tuple(name for name in reductions_ if name in able)))
    can = able[name]
    dtype = draw(one_of(tuple(kind for kind in ("bfloat16", "float16", "float32", "float64") if kind in can.dtypes)))
    layout = draw(one_of(tuple(layout for layout in LAYOUTS if layout in can.layouts)))
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    side = draw(number({1: 300, 2: 20, 3: 7}[ndim], {1: 5000, 2: 70, 3: 17}[ndim]))
    spatial = (side,) * ndim
    windows = {"global": Global(), "adaptive": Adaptive(output_size=(1,) * ndim), "sliding": Sliding(kernel=spatial)}
    kind = draw(one_of(tuple(name for name in ("global", "sliding", "adaptive") if name in can.windows)))
    fill = draw(one_of(("ones", "large", "uniform")))
    if fill == "uniform":
        x = generate("uniform", draw(number(0, 99)), (1, 2, *spatial), dtype)
    else:
        x = np.full((1, 2, *spatial), 1.0 if fill == "ones" else 6e4 if dtype == "float16" else 1e30).astype(dtype_named(dtype))
    return Case(spec=PoolSpec(reduction=SIMPLE[name], windows=windows[kind]), x=x, layout=layout)


@law(draw=long_sums, reductions={"average"}, outputs={"values"}, dtypes=FLOATS, most_taps=60_000, examples=0.3)
def test_long_sums(backend, case):
    """A sum of thousands neither stops growing nor overflows: half types accumulate in float32."""
    assert_conforms(case, backend.ask(case))


@st.composite
def crowded_gradients(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=("gradient",), **_
) -> Case:
    """Many wide windows that step by one, so that hundreds meet in one element, or thousands of bins of one element or two."""
    kind = draw(one_of(tuple(kind for kind in ("sliding", "adaptive") if askable(backend, windows=(kind,), outputs=("gradient",)))))
    reduction, can, _, dtype, layout = setting(draw, backend, tuple(reductions_), ("gradient",), tuple(dtypes), kind)
    ndim = draw(one_of(tuple(n for n in (1, 2) if n in can.ndims) or (3,)))
    if kind == "sliding":
        k = draw(number(2, {1: 300, 2: 12, 3: 4}[ndim]))
        # Without bins it takes windows as wide, whose million taps cost the oracle a second.
        if ndim == 1 and reduction != SIMPLE["lp"] and "adaptive" not in can.windows and draw(number(0, 24)) == 24:
            k = 1025
        spatial, windows = (2 * k - 1,) * ndim, Sliding(kernel=(k,) * ndim, stride=(1,) * ndim)
    else:
        k, bins = 1 + draw(number(0, 1)), draw(number(2, {1: 4096, 2: 64, 3: 16}[ndim]))
        spatial, windows = (k,) * ndim, Adaptive(output_size=(bins,) * ndim)
    spec = PoolSpec(reduction=reduction, windows=windows)
    x = np.zeros((1, 1, *spatial))
    x[(0, 0, *[k - 1] * ndim)] = 1  # every sliding window reads the middle, and its maximum is there
    pooled = (1, 1, *spec.output_shape(spatial))
    weights = draw(one_of(("ones", "uniform", "large first")))
    cotangent = np.ones(pooled, dtype_named(dtype)) if weights != "uniform" else generate("uniform", draw(number(0, 99)), pooled, dtype)
    if weights == "large first":
        # A sum in the type itself stays where the spacing of its numbers is 2.
        cotangent.reshape(-1)[0] = 2 / float(ml_dtypes.finfo(dtype_named(dtype)).eps)
    return Case(spec=spec, x=x.astype(dtype_named(dtype)), layout=layout, output="gradient", cotangent=cotangent)


@law(draw=crowded_gradients, outputs={"gradient"}, dtypes=FLOATS, most_taps=1025**2, examples=0.5)
def test_crowded_gradients(backend, case):
    """Where thousands of windows meet in one element, half types still accumulate in float32."""
    assert_conforms(case, backend.ask(case))


@law(palettes=("special", "extreme"), memory=MEMORY[1:])
def test_hurting_values_in_strange_memory(backend, case):
    """Hurting values come through strided, reversed and read-only memory as well."""
    assert_conforms(case, backend.ask(case))


BLOCK = 4096
"""Elements of a window of a huge axis: few enough that a sum of them is exact."""


@st.composite
def huge_axis(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average"), dtypes=("float32",), outputs=OUTPUTS, **_) -> Case:
    """A 1-D input of more than 2^24 elements, where float32 can no longer count them."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ones = (1,) * (min(can.ndims) - 1)
    x = np.zeros((1, 1, *ones, 2**24 + draw(number(1, 64))), dtype_named(dtype))
    x[..., -1 - draw(number(0, 3))] = 1
    spec = PoolSpec(reduction=reduction, windows=Sliding(kernel=(*ones, BLOCK)))
    cotangent = None
    if output == "gradient":
        cotangent = np.resize(np.array(COTANGENTS[0], x.dtype), (1, 1, *spec.output_shape(x.shape[2:])))
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


def of_blocks(case: Case) -> np.ndarray:
    """The answer to a case whose windows are the blocks of one axis, and whose sums are exact."""
    flat = case.x.reshape(-1)
    blocks = flat[: flat.size // BLOCK * BLOCK].reshape(-1, BLOCK)
    places = np.argmax(blocks, axis=1) + np.arange(len(blocks)) * BLOCK
    is_max = case.spec.reduction == Max()
    if case.output == "gradient":
        given, answer = case.cotangent.reshape(-1), np.zeros_like(flat)
        answer[places if is_max else slice(blocks.size)] = given if is_max else np.repeat(given / BLOCK, BLOCK)
        return answer.reshape(case.x.shape)
    values = blocks.max(axis=1) if is_max else blocks.sum(axis=1) / BLOCK
    return (places if case.output == "indices" else values).reshape(case.pooled_shape)


@pytest.mark.slow
@law(draw=huge_axis, reductions={"max", "average"}, windows={"sliding"}, dtypes={"float32"}, most_taps=2**25, examples=0.005)
def test_past_2_to_the_24(backend, case):
    """Past 2^24 elements on an axis, shapes, maxima, averages, indices and gradients are still right."""
    answer = backend.unmended(case)
    assert_shaped(case, answer)
    wrong = np.flatnonzero((answer != of_blocks(case)).reshape(-1))
    assert not wrong.size, f"{wrong.size} of {answer.size} elements, the first at {wrong[0]}: {answer.reshape(-1)[wrong[0]]}"


@st.composite
def huge_means(draw: st.DrawFn, backend: Backend, *, dtypes=("float64",), **_) -> Case:
    """One window over more than 2^24 ones, and a large number among the last of them."""
    reduction, can, output, dtype, layout = setting(draw, backend, ("average",), ("values",), tuple(dtypes), "global")
    # An odd number: float32 rounds it.
    x = np.ones((1, 1, *(1,) * (min(can.ndims) - 1), 2**24 + 1 + 2 * draw(number(0, 31))), dtype_named(dtype))
    x[..., -1 - draw(number(0, 3))] = 2.0**20
    return Case(spec=PoolSpec(reduction=reduction, windows=Global()), x=x, layout=layout, output=output)


@pytest.mark.slow
@law(
    draw=huge_means,
    reductions={"average"},
    windows={"global"},
    outputs={"values"},
    dtypes={"float64"},
    most_taps=2**25,
    examples=0.002,
)
def test_means_past_2_to_the_24(backend, case):
    """An average of more than 2^24 elements of float64 counts and adds them in float64."""
    answer = backend.unmended(case)
    assert_shaped(case, answer)
    expected = (case.x.size - 1 + 2.0**20) / case.x.size
    off, bound = abs(answer.item() - expected), growth(case.x.size + 1, format_of(case.x.dtype).u) * expected
    assert off <= bound, f"expected {expected}, got {answer.item()}, off by {off:.3g}, bound {bound:.3g}"
