"""Where kernels take another way: clipped windows, windows of hundreds, the far ends of every axis, memory that repeats itself."""

import math

import numpy as np
from hypothesis import strategies as st

from backends.compare import assert_conforms
from backends.interface import OUTPUTS, Backend, Capabilities, Case, dtype_named, same_bits
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding
from backends.text import with_strides
from properties.arranging import MEMORY, arranged
from properties.laws import law
from properties.posing import fitting, posed, setting
from properties.relations import assert_agree, plain
from properties.strategies import DTYPES, ORDERS, STEEP, draw_array, draw_reduction, number, one_of, scrambled, tile

FLOATS = ("float32", "float64", "float16", "bfloat16")
SIGNED = ("int8", "int16", "int32", "int64")


def clipping(draw: st.DrawFn, can: Capabilities, kinds: tuple[str, ...], dilated: tuple[bool, ...]) -> tuple[Sliding, tuple[int, ...]]:
    """Windows of which the first and the last are clipped on each axis, by padding or by the overhang of ceil mode, and a shape."""
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    each = lambda low, high: tuple(draw(number(low, high)) for _ in range(ndim))  # noqa: E731
    kernel, stride = each(2, {1: 5, 2: 4, 3: 3}[ndim]), each(1, 4)
    kind = draw(one_of(tuple(kind for kind in kinds if kind in can.paddings) or ("valid",)))
    dilation = each(1, 2) if can.dilation and draw(one_of(dilated)) else (1,) * ndim
    pads = tuple((draw(number(1, k // 2)), draw(number(0, k // 2))) for k in kernel)
    if kind == "symmetric":
        pads = tuple((before, before) for before, _ in pads)
    padding = pads if kind in ("symmetric", "asymmetric") else kind
    ceil_mode = can.ceil_mode and kind not in SAME and draw(one_of((True, False)))
    spatial = tuple(
        d * (k - 1) + 1 + s * draw(number(0, 2)) + draw(number(0, s - 1)) for k, s, d in zip(kernel, stride, dilation, strict=True)
    )
    return Sliding(kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode), spatial


def of_one_sign(draw: st.DrawFn, spatial: tuple[int, ...], dtype: str) -> np.ndarray:
    """Whole numbers, (1, 2, *spatial): nothing is zero, and all have one sign, so that padding that is read shows in every reduction."""
    sign = -1 if dtype in (*FLOATS, *SIGNED) and draw(one_of((True, False))) else 1
    x = sign * (1 + (np.arange(math.prod(spatial) * 2) * draw(one_of((1, 5, 7)))) % 11).reshape(1, 2, *spatial)
    return x.astype(dtype_named(dtype))


@st.composite
def clipped(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """Every reduction, and whatever may be said of it, over windows that are clipped."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    windows, spatial = clipping(draw, can, ("symmetric", "asymmetric", "valid", *SAME), (False, False, True))
    spec = PoolSpec(reduction=fitting(draw, reduction, can), windows=windows)
    return posed(draw, spec, of_one_sign(draw, spatial, dtype), layout, output)


@law(draw=clipped, windows={"sliding"}, examples=3)
def test_clipped_windows(backend, case):
    """What padding or ceil mode clips from a window is neither read nor counted, unless padding is asked to count."""
    assert_conforms(case, backend.ask(case))


@st.composite
def counted(draw: st.DrawFn, backend: Backend, *, reductions_=("average",), dtypes=FLOATS, outputs=OUTPUTS, **_) -> Case:
    """Averages that divide by as many as they count, over windows that are clipped in every way at once."""
    _, can, output, dtype, layout = setting(draw, backend, ("average",), tuple(outputs), tuple(dtypes), "sliding")
    windows, spatial = clipping(draw, can, ("asymmetric", "symmetric", "asymmetric", *SAME), (True, False))
    reduction = Average(count_include_pad=can.count_include_pad and draw(one_of((True, True, False))))
    return posed(draw, PoolSpec(reduction=reduction, windows=windows), of_one_sign(draw, spatial, dtype), layout, output)


@law(draw=counted, reductions={"average"}, windows={"sliding"}, dtypes=FLOATS, examples=2)
def test_counted_padding(backend, case):
    """An average divides by the elements that it reads, and by the padding that it covers where that counts, but never by an overhang."""
    assert_conforms(case, backend.ask(case))


@st.composite
def hundreds(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """One or two windows of hundreds of elements, all alike but one, which lies anywhere."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    kernel = (draw(number(100, 600)),) if ndim == 1 else tuple(draw(number({2: 10, 3: 5}[ndim], {2: 24, 3: 8}[ndim])) for _ in range(ndim))
    spatial = (*kernel[:-1], kernel[-1] + draw(number(0, 1)))
    pad = draw(one_of((0, 1, 1))) if "symmetric" in can.paddings else 0
    padding = ((0, 0),) * (ndim - 1) + ((pad, pad),) if pad else "valid"
    if isinstance(reduction, Average) and pad and can.count_include_pad:
        reduction = Average(count_include_pad=draw(one_of((False, True))))
    kinds = {
        "sliding": Sliding(kernel=kernel, stride=(1,) * ndim, padding=padding),
        "global": Global(),
        "adaptive": Adaptive(output_size=(1,) * ndim),
    }
    windows = kinds[draw(one_of(tuple(kind for kind in ("sliding", *kinds) if kind in can.windows)))]
    x = np.ones((1, 2, math.prod(spatial)))
    odd = (3.0, np.nan, 3.0, np.inf) if dtype in FLOATS else (3.0,)
    x[..., draw(number(0, x.shape[-1] - 1))] = draw(one_of(odd))
    return posed(draw, PoolSpec(reduction=reduction, windows=windows), x.reshape(1, 2, *spatial).astype(dtype_named(dtype)), layout, output)


@law(draw=hundreds, windows={"sliding"}, most_taps=5000, examples=2)
def test_windows_of_hundreds(backend, case):
    """In a window of hundreds no element is out of reach."""
    assert_conforms(case, backend.ask(case))


@st.composite
def long_axes(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=DTYPES, outputs=OUTPUTS, **_) -> Case:
    """One axis that is longer than the blocks in which kernels work: samples, channels or any spatial one."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    shape, axis = [1, 1, *(2,) * ndim], draw(number(0, ndim + 1))
    shape[axis] = draw(one_of((9, 17, 33, 65, 70, 129, 140, 192, 257, 530)))
    kernel = tuple(draw(number(1, 2)) for _ in range(ndim))
    # A pattern that repeats hides what is read from a place too early.
    distinct = scrambled(tuple(shape), dtype, draw(number(1, 250))) if draw(one_of((False, True))) else None
    x = draw_array(draw, tuple(shape), dtype, ("whole", "special")) if distinct is None else distinct
    return posed(draw, PoolSpec(reduction=reduction, windows=Sliding(kernel=kernel, stride=(1,) * ndim)), x, layout, output)


@law(draw=long_axes, windows={"sliding"}, examples=2)
def test_long_axes(backend, case):
    """However long an axis is, be it samples, channels or space, none of it is lost."""
    assert_conforms(case, backend.ask(case))


@st.composite
def far_places(draw: st.DrawFn, backend: Backend, *, reductions_=("max",), dtypes=FLOATS, outputs=OUTPUTS, **_) -> Case:
    """Maxima whose flat indices are past what one byte, half precision or two bytes hold."""
    _, can, output, _dtype, layout = setting(draw, backend, ("max",), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    least = draw(one_of((2**8, 2**11, 2**16)))
    k = math.ceil(least ** (1 / ndim) / 4) + draw(number(1, 3))
    dtype = draw(one_of(tuple(kind for kind in FLOATS if kind in can.dtypes)))
    x = np.zeros((1, 1, *(4 * k,) * ndim))
    x[(..., *(slice(k - 1, None, k),) * ndim)] = 1  # the last of each window, so the last of all
    kernel, x = (k,) * ndim, x.astype(dtype_named(dtype))
    return posed(draw, PoolSpec(reduction=Max(), windows=Sliding(kernel=kernel)), x, layout, output)


@law(
    draw=far_places,
    reductions={"max"},
    windows={"sliding"},
    outputs={"indices", "gradient"},
    dtypes=FLOATS,
    most_taps=100_000,
    examples=0.2,
)
def test_far_places(backend, case):
    """Indices and gradients find their element however far from the first it lies."""
    assert_conforms(case, backend.ask(case))


@st.composite
def near_ties(draw: st.DrawFn, backend: Backend, *, reductions_=("max",), dtypes=FLOATS, outputs=OUTPUTS, **_) -> Case:
    """Floats that are next to each other, of either sign and of any size."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    kind = dtype_named(dtype)
    start = np.array(draw(one_of((1.0, -1.0, 0.001, -3.0, 8.0, 6e4))), kind)
    values = [start]
    for _ in range(3):
        values.append(np.nextafter(values[-1], kind.type(np.inf)))
    spatial = tuple(draw(number(2, 5)) for _ in range(ndim))
    x = tile(draw(st.binary(min_size=1, max_size=24)), np.array(values, kind), (1, 2, *spatial))
    return posed(draw, PoolSpec(reduction=reduction, windows=Sliding(kernel=(2,) * ndim, stride=(1,) * ndim)), x, layout, output)


@law(draw=near_ties, reductions={"max"}, windows={"sliding"}, dtypes=FLOATS)
def test_near_ties(backend, case):
    """Of two numbers that are next to each other the larger is the maximum, and they are no ties."""
    assert_conforms(case, backend.ask(case))


@st.composite
def in_every_channel(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_
) -> Case:
    """One hurting value in each of many channels, at a place that moves on from channel to channel."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    channels = draw(one_of((33, 17, 9, 65)))
    spatial = tuple(draw(number(2, {1: 6, 2: 4, 3: 3}[ndim])) for _ in range(ndim))
    size = math.prod(spatial)
    x = np.resize(np.arange(1.0, 12.0), (channels, size)) * draw(one_of((1, -1)))
    x[np.arange(channels), (np.arange(channels) + draw(number(0, size - 1))) % size] = draw(one_of((np.nan, np.inf, -np.inf)))
    sliding = Sliding(kernel=(2,) * ndim, stride=(draw(number(1, 2)),) * ndim)
    kinds = {"sliding": sliding, "global": Global(), "adaptive": Adaptive(output_size=(2,) * ndim)}
    spec = PoolSpec(reduction=reduction, windows=kinds[draw(one_of(tuple(kind for kind in kinds if kind in can.windows)))])
    return posed(draw, spec, x.reshape(1, channels, *spatial).astype(dtype_named(dtype)), layout, output)


@law(draw=in_every_channel, windows={"sliding"}, dtypes=FLOATS)
def test_a_hurting_value_in_every_channel(backend, case):
    """A NaN or an infinity in each channel shows in the windows that read it, in the tail of a vector as in its body."""
    assert_conforms(case, backend.ask(case))


@law(outputs={"gradient"}, batches=(1, 2), channels=(1, 2, 3))
def test_memory_of_the_cotangent(backend, case):
    """How the cotangent lies in memory changes nothing, and it is left alone."""
    ways = MEMORY[1:]
    way = ways[int(np.prod(case.cotangent.shape)) % len(ways)]
    strange = case.replace(cotangent=arranged(plain(case.cotangent), way))
    straight, other = backend.answers(case.replace(cotangent=plain(strange.cotangent)), strange)
    assert_agree(case, straight, other, f"with a {way} cotangent")


@law(batches=(1, 2), channels=(2, 3, 5), memory=("plain",))
def test_repeated_memory(backend, case):
    """A channel that is repeated by a stride of zero is one that is copied."""
    copied = np.repeat(plain(case.x)[:, :1], case.x.shape[1], axis=1)
    steps = [stride // case.x.itemsize for stride in plain(case.x)[:, :1].strides]
    repeated = with_strides(copied, (steps[0], 0, *steps[2:]))
    first, second = backend.answers(case.replace(x=copied), case.replace(x=repeated))
    assert_agree(case.replace(x=copied), first, second, "repeated by a stride of zero")


@law(reductions={"max"}, dtypes=SIGNED, outputs={"values", "indices"}, palettes=("whole", "extreme"), memory=("plain",))
def test_all_negative_integers(backend, case):
    """All-negative integers have negative maxima, down to the least of their type."""
    negative = case.replace(x=np.minimum(plain(case.x), ~plain(case.x)))
    assert_conforms(negative, backend.ask(negative))


@st.composite
def infinite_sums(draw: st.DrawFn, backend: Backend, *, reductions_=("average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_) -> Case:
    """Sums with one infinity or more, under every divisor and order."""
    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    values = np.array([np.inf, 1, -np.inf, 0, np.nan][: draw(number(2, 5))], np.float64).astype(dtype_named(dtype))
    spatial = tuple(draw(number(2, 4)) for _ in range(ndim))
    picks = np.frombuffer(draw(st.binary(min_size=1, max_size=12)), np.uint8) % len(values)
    x = np.resize(values[picks], (1, 2, *spatial))
    # A divisor's sign shows in an infinity alone where its size does not.
    spec = PoolSpec(reduction=fitting(draw, reduction, can, (None, -2, 3)), windows=Sliding(kernel=(2,) * ndim, stride=(1,) * ndim))
    return posed(draw, spec, x, layout, output)


@law(draw=infinite_sums, reductions={"average", "lp"}, windows={"sliding"}, dtypes=FLOATS, examples=2)
def test_infinite_sums(backend, case):
    """A sum with an infinity in it is that infinity over the divisor, with its sign; both infinities are NaN."""
    assert_conforms(case, backend.ask(case))


@st.composite
def infinite_cotangents(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=("gradient",), **_
) -> Case:
    """Small numbers, zeros among them, whose gradient is asked for cotangents of which some are not finite."""
    reduction, can, _output, dtype, layout = setting(draw, backend, tuple(reductions_), ("gradient",), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    kind, spatial = dtype_named(dtype), tuple(draw(number(2, 4)) for _ in range(ndim))
    x = tile(draw(st.binary(min_size=1, max_size=12)), np.array([0.0, 1.0, -2.0, 3.0]).astype(kind), (1, 2, *spatial))
    if reduction.name == "lp":
        reduction = Lp(p=draw(one_of(tuple(p for p in ORDERS if p <= STEEP))))
    spec = PoolSpec(reduction=reduction, windows=Sliding(kernel=(2,) * ndim, stride=(draw(number(1, 2)),) * ndim))
    weights = np.array([np.inf, 1, -np.inf, 0, np.nan][: draw(number(1, 5))]).astype(kind)
    cotangent = tile(draw(st.binary(min_size=1, max_size=12)), weights, (1, 2, *spec.output_shape(spatial)))
    return Case(spec=spec, x=x, layout=layout, output="gradient", cotangent=cotangent)


@law(draw=infinite_cotangents, windows={"sliding"}, outputs={"gradient"}, dtypes=FLOATS)
def test_infinite_cotangents(backend, case):
    """A cotangent that is not finite reaches what its window hands it to, and nothing else: not a zero whose slope is none."""
    assert_conforms(case, backend.ask(case))


@st.composite
def tiny(
    draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=("values", "indices"), **_
) -> Case:
    """Numbers on either side of the smallest normal one."""
    import ml_dtypes

    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    info = ml_dtypes.finfo(dtype_named(dtype))
    least, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    values = np.array([0, least, 3 * least, normal / 2, normal, -least, -normal / 2], np.float64).astype(dtype_named(dtype))
    spatial = tuple(draw(number(2, 5)) for _ in range(ndim))
    x = tile(draw(st.binary(min_size=1, max_size=16)), values, (1, 2, *spatial))
    return posed(draw, PoolSpec(reduction=reduction, windows=Sliding(kernel=(2,) * ndim, stride=(1,) * ndim)), x, layout, output)


@law(draw=tiny, windows={"sliding"}, outputs={"values", "indices"}, dtypes=FLOATS)
def test_subnormals(backend, case):
    """Subnormal numbers are numbers: none is taken for zero, and no result is."""
    assert_conforms(case, backend.ask(case))


@law(reductions={"lp"}, palettes=("whole", "fractions"))
def test_norms(backend, case):
    """A norm of any order is that of the magnitudes, and its gradient has their signs."""
    assert_conforms(case, backend.ask(case))


@law(reductions={"lp"}, palettes=("whole", "fractions"), dtypes={"float64"}, examples=0.3)
def test_orders_of_doubles(backend, case):
    """The order of a norm of float64 is a float64 itself: 2.1 is not the float32 nearest to it."""
    windows, reduction = case.spec.windows, case.spec.reduction
    fractional = case.replace(spec=PoolSpec(reduction=Lp(p=reduction.p + 0.1), windows=windows))
    assert_conforms(fractional, backend.ask(fractional))


@law(reductions={"average", "lp"}, palettes=("fractions",), batches=(1, 2))
def test_sums_again(backend, case):
    """A sum is added in one order: the same question gets the same bits."""
    first, second = backend.answers(case, case)
    assert same_bits(first, second)


@st.composite
def magnitudes(draw: st.DrawFn, backend: Backend, *, reductions_=("max", "average", "lp"), dtypes=FLOATS, outputs=OUTPUTS, **_) -> Case:
    """Small whole numbers times one power of two, anywhere in the range of their type."""
    import ml_dtypes

    reduction, can, output, dtype, layout = setting(draw, backend, tuple(reductions_), tuple(outputs), tuple(dtypes), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    info = ml_dtypes.finfo(dtype_named(dtype))
    exponent = draw(number(0, int(info.maxexp) - int(info.minexp) - 4)) + int(info.minexp)
    spatial = tuple(draw(number(2, 4)) for _ in range(ndim))
    whole = tile(draw(st.binary(min_size=1, max_size=12)), np.array([1.0, 2.0, -3.0, 0.0, -1.0]), (1, 2, *spatial))
    windows = Sliding(kernel=(2,) * ndim, stride=(1,) * ndim)
    if reduction.name == "lp":
        reduction = draw_reduction(draw, "lp", can, sliding=True)
    return posed(draw, PoolSpec(reduction=reduction, windows=windows), np.ldexp(whole, exponent).astype(dtype_named(dtype)), layout, output)


@law(draw=magnitudes, windows={"sliding"}, dtypes=FLOATS, examples=2)
def test_every_magnitude(backend, case):
    """What is pooled may be of any size: nothing overflows or underflows on the way to a result that does not."""
    assert_conforms(case, backend.ask(case))


@st.composite
def past_half_range(draw: st.DrawFn, backend: Backend, *, reductions_=("average",), dtypes=("float16",), outputs=("values",), **_) -> Case:
    """Averages of float16 whose sums are past its range."""
    reduction, can, output, _, layout = setting(draw, backend, ("average",), ("values",), ("float16",), "sliding")
    ndim = draw(one_of(tuple(n for n in (1, 2, 3) if n in can.ndims)))
    spatial = tuple(draw(number(2, 5)) for _ in range(ndim))
    values = np.array([6e4, 3e4, 65504, -2e4, -65504], np.float16)[: draw(number(1, 5))]
    x = tile(draw(st.binary(min_size=1, max_size=12)), values, (1, draw(number(1, 9)), *spatial))
    kinds = {"sliding": Sliding(kernel=(2,) * ndim, stride=(1,) * ndim), "global": Global(), "adaptive": Adaptive(output_size=(1,) * ndim)}
    windows = kinds[draw(one_of(tuple(kind for kind in kinds if kind in can.windows)))]
    return posed(draw, PoolSpec(reduction=reduction, windows=windows), x, layout, output)


@law(draw=past_half_range, reductions={"average"}, windows={"sliding"}, outputs={"values"}, dtypes={"float16"}, examples=0.5)
def test_sums_past_half_precision(backend, case):
    """A sum past float16's range is no infinity: it is divided first, or kept in a wider type."""
    assert_conforms(case, backend.ask(case))
