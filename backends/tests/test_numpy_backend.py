"""The NumPy backend conforms however its work is cut, keeps its hands off its input, and says what it cannot do."""

import itertools
import math
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import backends
from backends import numpy_backend, numpy_kernels, oracle
from backends.compare import assert_conforms
from backends.interface import Case, Unsupported, dtype_named
from backends.numpy_backend import FLOATS, INTEGERS, NumpyBackend
from backends.numpy_program import Script
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

LAYOUTS = ("channels_first", "channels_last")
K3 = Sliding(kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)))


def spec_of(reduction, windows):
    return PoolSpec(reduction=reduction, windows=windows)


def numbers(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype_named(dtype))


@pytest.fixture(autouse=True)
def small_arrays_are_shared_out(monkeypatch):
    """Let arrays of any size be computed on several threads."""
    monkeypatch.setattr(numpy_backend, "PARALLEL_FROM", 1)


# --- conforming ---------------------------------------------------------------------------------


def palette(dtype):
    """Values that hurt, zero first: what shrinking ends at."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, info.max, info.max - 1, info.min, info.min + 1], dtype)
    import ml_dtypes

    info = ml_dtypes.finfo(dtype)
    most, least = float(info.max), float(info.smallest_subnormal)
    hurting = [0, 1, 2, -1, 0.5, -3, 7, -0.0, math.nan, math.inf, -math.inf, most, -most, most / 2, least, -3 * least, float(info.tiny)]
    return np.array(hurting).astype(dtype)


@st.composite
def cases(draw):
    """Valid cases of every kind, small, of values that hurt, lying anyhow in memory."""
    reduction = draw(
        st.one_of(
            st.just(Max()),
            st.builds(Average, count_include_pad=st.booleans(), divisor=st.sampled_from([None, None, 1, -3, 7, 10**40])),
            st.builds(Lp, p=st.sampled_from([1, 2, 3, 1.5, 7.3, 100])),
        )
    )
    ndim = draw(st.integers(1, 3))
    spatial = draw(st.tuples(*[st.integers(1, 7 if ndim < 3 else 4)] * ndim))
    sizes = st.tuples(*[st.integers(1, 7)] * ndim)
    small = st.tuples(*[st.integers(1, 3)] * ndim)
    pads = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * ndim)
    windows = draw(
        st.one_of(
            st.builds(Sliding, kernel=sizes, stride=small, dilation=small, padding=st.sampled_from(["valid", "same_upper", "same_lower"])),
            st.builds(Sliding, kernel=sizes, stride=small, dilation=small, padding=pads, ceil_mode=st.booleans()),
            st.builds(Adaptive, output_size=sizes),
            st.just(Global()),
        )
    )
    if isinstance(reduction, Average) and not isinstance(windows, Sliding):
        reduction = Average()
    spec = spec_of(reduction, windows)
    try:
        spec.check(spatial)
    except ValueError:
        assume(False)
    exact = isinstance(reduction, Max)
    output = draw(st.sampled_from(["values", "gradient", "indices"] if exact else ["values", "gradient"]))
    dtype = dtype_named(draw(st.sampled_from(FLOATS + (INTEGERS if exact and output != "gradient" else ()))))
    batch = draw(st.tuples(st.integers(0, 2), st.integers(1, 3)))
    assume(math.prod(batch) * math.prod(spec.output_shape(spatial)) < 400)
    x = _drawn_array(draw, (*batch, *spatial), dtype)
    cotangent = _drawn_array(draw, (*batch, *spec.output_shape(spatial)), dtype) if output == "gradient" else None
    return Case(spec, x, draw(st.sampled_from(LAYOUTS)), output, cotangent)


def _drawn_array(draw, shape, dtype):
    values = palette(dtype)
    pattern = np.frombuffer(draw(st.binary(min_size=1, max_size=24)), np.uint8)
    order = draw(st.permutations(range(len(shape))))
    array = values[np.resize(pattern, [shape[axis] for axis in order]) % len(values)].transpose(np.argsort(order))
    array = array[..., ::-1] if draw(st.booleans()) else array
    array.flags.writeable = False
    return array


@settings(max_examples=400)
@given(cases(), st.sampled_from([1, 64, 500, 1 << 20]), st.integers(1, 3))
def test_conforms_in_blocks_of_any_size(case, block, threads):
    """Every answer conforms, in blocks of one row or whole, on one thread or three."""
    backend = NumpyBackend(threads=threads, block=block)
    assert_conforms(case, backends.run(backend, case))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", range(1, 34))
@pytest.mark.parametrize(
    "reduction, output",
    [
        (Max(), "values"), (Max(), "indices"), (Max(), "gradient"),
        (Average(), "values"), (Average(), "gradient"), (Average(count_include_pad=True), "values"),
    ],
)  # fmt: skip
def test_windows_of_every_width(reduction, output, kernel, dilation, layout):
    """Windows from 1 to 33, near and past powers of two, conform where they are clipped and where they are not."""
    pad = dilation * (kernel - 1) // 2
    windows = Sliding(kernel=(kernel,), stride=(1,), dilation=(dilation,), padding=((pad, pad),))
    case = Case(spec_of(reduction, windows), numbers((1, 2, 41)), layout)
    if output != "values":
        g = numbers(oracle.pool(case).value.shape) if output == "gradient" else None
        case = case.replace(output=output, cotangent=g)
    assert_conforms(case, backends.run(NumpyBackend(threads=1), case))


def by_two(*kernel, **more):
    return Sliding(kernel=kernel, stride=(2,) * len(kernel), **more)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "dtype, output",
    [
        ("float32", "values"),
        ("float16", "values"),
        ("int8", "values"),
        ("float32", "indices"),
        ("float16", "indices"),
        ("float32", "gradient"),
        ("bfloat16", "gradient"),
    ],
)
@pytest.mark.parametrize(
    "windows, spatial",
    [
        (by_two(3, 3), (9, 12)),
        (by_two(3, 3, padding=((1, 1), (1, 1))), (9, 12)),
        (by_two(3, 3, ceil_mode=True), (8, 10)),
        (by_two(5, 4, padding=((2, 1), (2, 2)), ceil_mode=True), (7, 9)),
        (by_two(3, 3, padding=((2, 2), (1, 0)), dilation=(2, 3)), (9, 13)),
        (by_two(3, 4, padding="same_upper"), (4, 3)),
        (by_two(3, 4, 3, padding="same_lower"), (5, 6, 7)),
        (by_two(1, 3), (5, 7)),
    ],
)
def test_stepping_windows_over_all_memory_as_one_run(monkeypatch, windows, spatial, dtype, output, layout):
    """Windows that step by two conform when every one between them is computed too: inside, at borders, and where all are clipped."""
    taken = []
    monkeypatch.setattr(numpy_kernels, "FLAT_FROM", 1)
    flat = numpy_kernels.by_flat_taps
    monkeypatch.setattr(numpy_kernels, "by_flat_taps", lambda *given: taken.append(1) or flat(*given))
    values = palette(dtype_named(dtype))
    x = values[np.random.default_rng(0).integers(len(values), size=(2, 3, *spatial))]
    for one in (x, x[:, :1]):
        case = Case(spec_of(Max(), windows), one, layout)
        g = numbers(case.pooled_shape, dtype) if output == "gradient" else None
        case = case.replace(output=output, cotangent=g)
        assert_conforms(case, backends.run(NumpyBackend(threads=1), case))
    if output == "values":
        # The first axis that is reduced reads the input, which may lie anyhow.
        assert bool(taken) == (sum(k > 1 for k in windows.kernel) > 1)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("divisor", [None, -4])
def test_an_average_survives_partial_sums_that_overflow(dtype, divisor):
    """The mean of numbers near the end of the range is finite; an infinity still wins, and small numbers beside them stay exact."""
    most = float(np.ldexp(1.0, 1023 if dtype == "float64" else 127))
    rows = [[most] * 4, [most, most, -most, -most], [most, most, -np.inf, most], [1.0, 2.0, 3.0, 6.0], [most, np.nan, most, most]]
    x = np.array(rows).reshape(1, 5, 4).astype(dtype_named(dtype))
    case = Case(spec_of(Average(divisor=divisor), Sliding(kernel=(4,))), x)
    got = backends.run(NumpyBackend(threads=1), case).astype(np.float64).ravel()
    sign = 1 if divisor is None else -1
    assert np.array_equal(got, [sign * most, 0, sign * -np.inf, sign * 3, np.nan], equal_nan=True)


def test_a_gradient_survives_partial_sums_that_overflow():
    """Cotangents that overflow on the way to one element leave an infinity that they meet there as it is."""
    most = np.finfo(np.float32).max
    spec = spec_of(Max(), Sliding(kernel=(3,), stride=(1,)))
    x = np.array([0, 0, 9, 0, 0], np.float32).reshape(1, 1, 5)
    case = Case(spec, x, output="gradient", cotangent=np.array([most, most, -np.inf], np.float32).reshape(1, 1, 3))
    assert backends.run(NumpyBackend(threads=1), case).ravel().tolist() == [0, 0, -np.inf, 0, 0]


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", range(9))
def test_a_nan_of_either_sign_wins_with_its_index(name, sign, place):
    """A NaN anywhere in a window is its maximum, and the first of several has the index."""
    x = np.full((1, 1, 3, 3), np.inf).astype(dtype_named(name))
    x.reshape(-1)[place:] = np.copysign(np.nan, sign)
    spec = spec_of(Max(), Sliding(kernel=(3, 3)))
    assert np.isnan(backends.run(NumpyBackend(), Case(spec, x)).astype(np.float64)).all()
    assert backends.run(NumpyBackend(), Case(spec, x, output="indices")).item() == place


@pytest.mark.parametrize("p", [1, 2, 3, 2.5, 50])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_a_norm_neither_overflows_nor_vanishes(p, scale):
    """The norm of numbers of any size has their size, where powers of them are not floats."""
    x = np.array([3.0, -4.0, 0.0, 1.0]).reshape(1, 1, 4) * scale
    case = Case(spec_of(Lp(p=p), Global()), x)
    assert_conforms(case, backends.run(NumpyBackend(), case))


@pytest.mark.parametrize("large", [1.0, 1e300, np.finfo(np.float64).max])
@pytest.mark.parametrize("small", [5e-324, 3e-310, 1.0])
@pytest.mark.parametrize("p", [1.1, 1.5, 7.3])
def test_a_slope_beside_a_huge_element(p, small, large):
    """A slope (|x|/y)^(p−1) keeps its digits where |x|/y is no normal float."""
    x = np.array([small, large, 0.0]).reshape(1, 1, 3)
    case = Case(spec_of(Lp(p=p), Global()), x, output="gradient", cotangent=np.ones((1, 1, 1)))
    assert_conforms(case, backends.run(NumpyBackend(), case))


# --- the same answer, whatever way it is computed -------------------------------------------------

QUESTIONS = [
    (Max(), K3, "values"), (Max(), K3, "indices"), (Max(), K3, "gradient"), (Max(), Sliding(kernel=(7, 6), stride=(1, 1)), "values"),
    (Average(), K3, "values"), (Average(), K3, "gradient"), (Average(), Global(), "values"),
    (Lp(p=2), K3, "values"), (Lp(p=3), K3, "gradient"),
]  # fmt: skip


def asked(reduction, windows, output, dtype="float32", shape=(3, 5, 23, 19), layout="channels_first"):
    spec = spec_of(reduction, windows)
    cotangent = numbers((*shape[:2], *spec.output_shape(shape[2:])), dtype, 1) if output == "gradient" else None
    return Case(spec, numbers(shape, dtype), layout, output, cotangent)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reduction, windows, output", QUESTIONS)
def test_repeats_bit_for_bit(reduction, windows, output, layout):
    """One bound call made again, from another thread too, and a call bound anew, give the same bits."""
    case = asked(reduction, windows, output, layout=layout)
    call = NumpyBackend(threads=2, block=2000).bind(case)
    first = call().tobytes()
    others = []
    threads = [threading.Thread(target=lambda: others.append(call().tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [*others, NumpyBackend(threads=2, block=2000).bind(case)().tobytes()] == [first] * 5


@pytest.mark.parametrize("output", ["values", "indices"])
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_a_maximum_has_the_same_bits_however_it_is_cut(dtype, output):
    """Max values and indices do not depend on blocks, threads or layout, for any dtype."""
    case = asked(Max(), K3, output, dtype=dtype) if dtype in FLOATS else None
    case = case or Case(spec_of(Max(), K3), np.random.default_rng(0).integers(0, 100, (3, 5, 23, 19)).astype(dtype), output=output)
    ways = itertools.product([300, 5000, 1 << 20], [1, 3], LAYOUTS)
    answers = {backends.run(NumpyBackend(threads=t, block=b), case.replace(layout=layout)).tobytes() for b, t, layout in ways}
    assert len(answers) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reduction, windows, output", QUESTIONS)
def test_the_answer_lies_as_the_layout_says(reduction, windows, output, layout):
    """What comes back is contiguous in the memory order that went in, writeable, and no part of the input."""
    case = asked(reduction, windows, output, layout=layout)
    got = backends.run(NumpyBackend(), case)
    assert (got if layout == "channels_first" else np.moveaxis(got, 1, -1)).flags.c_contiguous
    assert got.flags.writeable and not np.shares_memory(got, case.x)


@pytest.mark.parametrize("windows", [Sliding(kernel=(1, 1)), Global(), Sliding(kernel=(1, 1), stride=(2, 2))])
def test_nothing_to_reduce_is_still_a_copy(windows):
    """A window of one element gives that element, in memory of its own."""
    x = numbers((2, 3, 1, 1))
    got = backends.run(NumpyBackend(), Case(spec_of(Max(), windows), x))
    assert np.array_equal(got, x) and not np.shares_memory(got, x)


@pytest.mark.parametrize("output", ["values", "indices", "gradient"])
def test_foreign_byte_order(output):
    """An array of the other byte order is pooled like its equal, and its values come back in that order."""
    case = asked(Max(), K3, output)
    swapped = case.x.dtype.newbyteorder("S")
    cotangent = None if case.cotangent is None else case.cotangent.astype(swapped)
    got = backends.run(NumpyBackend(), case.replace(x=case.x.astype(swapped), cotangent=cotangent))
    assert got.dtype == (np.int64 if output == "indices" else swapped)
    assert np.array_equal(got, backends.run(NumpyBackend(), case))


def test_long_axes():
    """An axis past 2^24 elements is pooled whole, with indices that float32 could not count."""
    size = (1 << 24) + 3
    x = np.zeros((1, 1, size), np.float32)
    x[..., -1] = 1
    spec = spec_of(Max(), Sliding(kernel=(2,), padding=((0, size % 2),)))
    assert backends.run(NumpyBackend(), Case(spec, x))[..., -1] == 1
    assert backends.run(NumpyBackend(), Case(spec, x, output="indices"))[..., -1] == size - 1


# --- bad calls ----------------------------------------------------------------------------------

X = np.ones((1, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    "case, error, words",
    [
        (Case(spec_of(Max(), Sliding(kernel=(5, 5))), X), ValueError, "larger than the padded input"),
        (Case(spec_of(Max(), Sliding(kernel=(2, 2), stride=(0, 1))), X), ValueError, "stride=0 on axis 0"),
        (Case(spec_of(Max(), Sliding(kernel=(2,))), X), ValueError, "spatial axes"),
        (Case(spec_of(Max(), Global()), np.ones((2, 3))), ValueError, "expected (N, C, *spatial)"),
        (Case(spec_of(Max(), Global()), np.ones((2, 0, 3))), ValueError, "at least one channel"),
        (Case(spec_of(Average(), Global()), X.astype(np.int32)), ValueError, "integers have max values and indices only"),
        (Case(spec_of(Average(), Global()), X, output="indices"), ValueError, "only max has them"),
        (Case(spec_of(Max(), Global()), X.astype(np.complex64)), Unsupported, "complex64"),
        (Case(spec_of(Max(), Global()), X, output="gradient", cotangent=X), ValueError, "(1, 2, 1, 1) of float32; got (1, 2, 4, 4)"),
        (Case(spec_of(Max(), Global()), X, output="gradient", cotangent=np.ones((1, 2, 1, 1))), ValueError, "got (1, 2, 1, 1) of float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_bad_calls_raise(case, error, words):
    """What the definition calls invalid raises, with the value and the rule."""
    with pytest.raises(error) as caught:
        NumpyBackend().bind(case)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "dtype, gap", [("float32", None), ("int8", "refuses: a gradient of int8: integers have max values and indices only")]
)
def test_the_gradient_of_integers_is_a_gap(dtype, gap):
    """The only question inside the capabilities that is refused is the gradient of integers."""
    case = Case(spec_of(Max(), Global()), X.astype(dtype), output="gradient", cotangent=np.ones((1, 2, 1, 1), dtype))
    assert NumpyBackend().gap(case) == gap


# --- what an adapter may offer ------------------------------------------------------------------


@pytest.mark.parametrize("block", [1 << 8, 1 << 21])
@pytest.mark.parametrize("reduction, windows, output", QUESTIONS)
def test_the_calls_are_those_of_the_pooling(reduction, windows, output, block):
    """The calls that the backend names, made one by one in their order, compute the answer."""
    case, backend = asked(reduction, windows, output), NumpyBackend(threads=2, block=block)
    calls = backend.plan(case).calls()
    for call in calls:
        call.function(*call.inputs, **({} if call.out is None else {"out": call.out}), **call.arguments)
    last = calls[-1].inputs[0] if calls[-1].out is None else calls[-1].out
    answer = backends.run(backend, case)
    np.testing.assert_array_equal((last if last.base is None else last.base).reshape(answer.shape), answer)


@pytest.mark.parametrize(
    "windows, shape, layout, buffer",
    [
        (Sliding(kernel=(2, 2)), (1, 64, 8, 8), "channels_last", 2048),
        (Sliding(kernel=(2, 2)), (1, 256, 8, 8), "channels_last", 384),
        (Sliding(kernel=(2, 2)), (1, 256, 8, 400), "channels_first", 2048),
        (Global(), (1, 256, 8, 8), "channels_last", 8192),
    ],
)
def test_the_buffer_is_as_runs_are_long(windows, shape, layout, buffer, monkeypatch):
    """NumPy's buffer has the size that suits the plan, while its calls are made and no longer."""
    seen = []
    monkeypatch.setattr(Script, "run", lambda script, settled, given: seen.append(np.getbufsize()))
    backends.run(NumpyBackend(threads=1), asked(Max(), windows, "values", shape=shape, layout=layout))
    assert set(seen) == {buffer}
    assert np.getbufsize() == 8192


@pytest.mark.parametrize(
    "share, reduction, windows, more",
    [
        (1, Max(), Sliding(kernel=(2, 2)), {}),
        (2 / 3, Max(), Sliding(kernel=(3, 3), stride=(1, 1)), {}),
        (4 / 3, Average(), Adaptive(output_size=(5, 4)), {}),
        (4, Max(), Global(), {}),
        (1, Max(), Global(), {"threads": 2}),
        (1, Max(), Global(), {"dtype": "bfloat16"}),
        (1, Lp(p=2), Global(), {}),
        (1, Average(), Global(), {"output": "gradient"}),
    ],
)
def test_blocks_are_as_large_as_passes_allow(share, reduction, windows, more, monkeypatch):
    """A block is smaller where every pass is over all of it, and larger for bins, and where one pass over it is all."""
    monkeypatch.setattr(numpy_backend, "PARALLEL_FROM", 1)
    backend = NumpyBackend(threads=more.get("threads", 1), block=3 << 12)
    question, _ = backend._planned(asked(reduction, windows, more.get("output", "values"), more.get("dtype", "float32")))
    assert question.block == int(share * (3 << 12))


@pytest.mark.parametrize("reduction, windows", [(Max(), Sliding(kernel=(3, 3), stride=(2, 2))), (Average(), Sliding(kernel=(5, 5)))])
def test_blocks_share_what_they_have_in_common(reduction, windows):
    """A bound call holds little for each of its blocks: the calls are those of their program."""
    bound = NumpyBackend(threads=1, block=1 << 12)
    case = asked(reduction, windows, "values", "float16", shape=(8, 16, 60, 60))
    tracemalloc.start()
    try:
        call = bound.bind(case)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    plan = bound.plan(case)
    assert len(plan.blocks) > 100
    assert held - plan.scratch < 4000 * len(plan.blocks)
    assert call().shape == case.pooled_shape


def test_native_code_runs(capsys):
    """The script of a case prints its answer as it stands."""
    case = Case(spec_of(Max(), Sliding(kernel=(2, 2))), np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    exec(NumpyBackend().native(case), {})
    assert str(backends.run(NumpyBackend(), case)) in capsys.readouterr().out


def test_the_environment_says_how_numpy_was_built():
    """Compiler, BLAS, vector instructions and threads are given as words."""
    environment = NumpyBackend(threads=2).environment()
    assert set(environment) == {"compiler", "BLAS", "SIMD baseline", "SIMD found", "threads"}
    assert all(environment.values()) and environment["threads"] == "2"


def test_the_input_is_never_written():
    """A thousand values that hurt are still there, bit by bit, after every question."""
    x = np.resize(palette(np.dtype(np.float32)), (2, 3, 13, 11))
    before = x.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for reduction, windows, output in QUESTIONS:
            spec = spec_of(reduction, windows)
            cotangent = np.ones((2, 3, *spec.output_shape((13, 11))), np.float32) if output == "gradient" else None
            backends.run(NumpyBackend(), Case(spec, x, "channels_first", output, cotangent))
    assert x.tobytes() == before
    assert oracle.pool(Case(spec_of(Max(), Global()), x)).value.shape == (2, 3, 1, 1)
