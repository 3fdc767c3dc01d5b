"""Error bounds are sound and sharp, and a failed comparison says what, where and why."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import compare, oracle, text
from backends.compare import Nonconformity, assert_conforms
from backends.interface import Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

FLOATS = ["float16", "bfloat16", "float32", "float64"]
SLIDING = Sliding(kernel=(3, 2), stride=(2, 1), padding="same_upper")


def case_of(reduction, windows=SLIDING, dtype: str = "float32", output: str = "values", seed: int = 0, shape=(2, 3, 6, 5)) -> Case:
    spec = PoolSpec(reduction=reduction, windows=windows)
    x = text.generate("uniform", seed, shape, dtype)
    pooled = (*shape[:2], *spec.output_shape(shape[2:]))
    cotangent = text.generate("uniform", seed + 1, pooled, dtype) if output == "gradient" else None
    return Case(spec=spec, x=x, output=output, cotangent=cotangent)


def rounded(case: Case) -> np.ndarray:
    """The exact answer, correctly rounded to the case's type."""
    value = oracle.pool(case).value
    if case.output == "indices":
        return value
    # Through float32 on the way to bfloat16 would round twice; the nudge keeps what float32 drops.
    if case.x.dtype.name == "bfloat16":
        single = value.astype(np.float32)
        drops = single.astype(np.float64) != value
        bits = single.view(np.uint32)
        bits[drops & (bits & 0xFFFF == 0x8000)] += np.where(value > single, 1, -1)[drops & (bits & 0xFFFF == 0x8000)].astype(np.uint32)
    return value.astype(case.x.dtype)


REDUCTIONS = [Max(), Average(), Average(count_include_pad=True), Average(divisor=-3), Lp(p=1), Lp(p=2), Lp(p=3.5)]
QUESTIONS = [
    pytest.param(reduction, output, id=f"{reduction} {output}")
    for reduction in REDUCTIONS
    for output in ("values", "gradient", "indices")
    if output != "indices" or isinstance(reduction, Max)
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduction, output", QUESTIONS)
def test_correctly_rounded_conforms(reduction, output: str, dtype: str) -> None:
    """The exact answer, rounded once, conforms: in every reduction, output and type."""
    case = case_of(reduction, dtype=dtype, output=output)
    assert_conforms(case, rounded(case))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("reduction, output", QUESTIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_few_bounds_off_fails(reduction, output: str, dtype: str, sign: int) -> None:
    """An answer off by three bounds and one unit in the last place, anywhere, does not conform."""
    case = case_of(reduction, dtype=dtype, output=output)
    exact = oracle.pool(case)
    answer = rounded(case)
    bound = compare.compare(case, answer, exact).bound
    for index in [(0, 0, 0, 0), (1, 2, 2, 3)]:
        wrong = answer.copy()
        step = int if output == "indices" else dtype_named(dtype).type
        moved = float(exact.value[index]) + sign * 3 * float(bound[index])
        wrong[index] = answer[index] + sign if output == "indices" else _next(step(moved), sign)
        with pytest.raises(Nonconformity) as raised:
            assert_conforms(case, wrong, exact)
        assert str(index) in str(raised.value)


def _next(value: np.generic, sign: int) -> np.generic:
    """The neighbouring number of the same type."""
    array = np.array([value])
    bits = array.view(f"i{array.itemsize}")
    if not float(value):
        return array.dtype.type(sign * 1e-30 if array.dtype.name in ("float32", "float64", "bfloat16") else sign * 6e-8)
    bits += sign if float(value) > 0 else -sign
    return array[0]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [2, 9, 100, 1000])
def test_bounds_are_a_few_roundings_wide(dtype: str, count: int) -> None:
    """The bound of an average of n positive numbers is at most (n + 2) roundings of its accumulator, and one of its type."""
    case = case_of(Average(), Global(), dtype, shape=(1, 1, count)).replace(x=np.abs(text.generate("uniform", 3, (1, 1, count), dtype)))
    comparison = compare.compare(case, rounded(case))
    u = compare.format_of(compare.accumulator_of(case.x.dtype)).u
    half = compare.format_of(case.x.dtype).u if dtype in compare.HALF else 0
    y = float(comparison.exact.value[0, 0, 0])
    assert 0 < comparison.bound[0, 0, 0] <= y * ((count + 2) * u + 1.1 * half) + 1e-300 + 1e-7 * (dtype == "float16")


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), dtype=st.sampled_from(FLOATS), backwards=st.booleans())
def test_plain_summation_conforms(seed: int, dtype: str, backwards: bool) -> None:
    """Summing in the accumulator in any order, dividing, and rounding once stays within the bound."""
    case = case_of(Average(), Adaptive(output_size=(2, 2)), dtype, seed=seed)
    acc = compare.accumulator_of(case.x.dtype)
    answer = np.zeros(case.pooled_shape, case.x.dtype)
    for index in np.ndindex(*case.pooled_shape):
        (rows, _), (columns, _) = (
            windows.along(axis, size)[i]
            for windows, axis, size, i in zip([case.spec.windows] * 2, (0, 1), case.spatial, index[2:], strict=True)
        )
        values = case.x[index[0], index[1]][rows.start : rows.stop, columns.start : columns.stop].astype(acc).ravel()
        total = acc.type(0)
        for value in values[::-1] if backwards else values:
            total = acc.type(total + value)
        answer[index] = np.array(acc.type(total / acc.type(len(values)))).astype(case.x.dtype)
    assert_conforms(case, answer)


def one(reduction, numbers: list[float], dtype: str = "float32") -> Case:
    return Case(spec=PoolSpec(reduction=reduction, windows=Global()), x=np.array([[numbers]], np.float64).astype(dtype_named(dtype)))


@pytest.mark.parametrize(
    "case, answer, conforms",
    [
        pytest.param(one(Max(), [math.nan, 1]), math.nan, True, id="nan is nan"),
        pytest.param(one(Max(), [math.nan, 1]), 1.0, False, id="a dropped nan"),
        pytest.param(one(Max(), [-0.0, 0.0]), -0.0, True, id="the sign of zero is unspecified"),
        pytest.param(one(Max(), [-math.inf]), -3.4028235e38, False, id="lowest is not -inf"),
        pytest.param(one(Average(), [3e38, 3e38]), math.inf, True, id="float32: a partial sum may overflow"),
        pytest.param(one(Average(), [3e38, -3e38]), math.nan, False, id="but not become nan"),
        pytest.param(one(Average(), [1e38, 1e38]), math.inf, False, id="nor where no partial sum overflows"),
        pytest.param(one(Average(), [6e4] * 4, "float16"), math.inf, False, id="float16: its accumulator is wider"),
        pytest.param(one(Average(), [math.inf, 1]), math.inf, True, id="an infinity that is in the window"),
        pytest.param(one(Average(), [math.inf, 1]), -math.inf, False, id="of the wrong sign"),
        pytest.param(one(Average(), [math.inf, 1]), 1e38, False, id="an infinity lost"),
        pytest.param(one(Average(), [1, 2]), math.nan, False, id="a nan from nowhere"),
    ],
)
def test_special_values(case: Case, answer: float, conforms: bool) -> None:
    """NaN and infinity are asked for, and allowed, exactly where the definition says."""
    actual = np.full(case.pooled_shape, answer, case.x.dtype)
    if conforms:
        assert_conforms(case, actual)
    else:
        with pytest.raises(Nonconformity) as raised:
            assert_conforms(case, actual)
        assert raised.value.kind == ("value" if math.isfinite(answer) and np.isfinite(case.x.astype(np.float64)).all() else "special")


def test_float16_overflows_where_rounding_does() -> None:
    """A float16 sum past the largest number may be infinite, and one below it may not."""
    spec = PoolSpec(reduction=Average(divisor=1), windows=Sliding(kernel=(2,)))
    over = Case(spec=spec, x=np.float16([[[6e4, 6e4]]]))
    assert_conforms(over, np.float16([[[math.inf]]]))
    with pytest.raises(Nonconformity):
        assert_conforms(over, np.float16([[[65504]]]))
    with pytest.raises(Nonconformity):
        assert_conforms(Case(spec=spec, x=np.float16([[[3e4, 3e4]]])), np.float16([[[math.inf]]]))


def test_long_sums_are_vacuous_and_say_so() -> None:
    """Where rounding may take half of a sum its error is still at most m·u of the sum of magnitudes, and the element counts as vacuous."""
    case = one(Average(), [1.0, 2.0])
    exact = oracle.pool(case)
    long = type(exact)(**{**vars(exact), "terms": np.full((1, 1, 1), 2**24)})
    assert compare.compare(case, np.float32([[[1.4]]]), long).vacuous.all()
    assert not compare.compare(case, np.float32([[[1.4]]]), long).bad.any()
    assert compare.compare(case, np.float32([[[3.1]]]), long).bad.all()


@pytest.mark.parametrize(
    "windows, output, sizes, says",
    [
        (Global(), "values", (2**23,), True),
        (Sliding(kernel=(2**23,)), "values", (2**24,), True),
        (Sliding(kernel=(4096,)), "values", (2**24,), False),
        (Adaptive(output_size=(2**12, 2**11)), "gradient", (1, 1), True),
        (Sliding(kernel=(2**23,)), "gradient", (2**23,), False),
        (Global(), "values", (4096,), False),
    ],
)
def test_vacuous_cases_are_told_by_their_sizes(windows, output: str, sizes: tuple[int, ...], says: bool) -> None:
    """A case is vacuous by the definition where 2^23 terms or so meet in one element of float32."""
    x = np.broadcast_to(np.float32(1), (1, 1, *sizes))
    spec = PoolSpec(reduction=Average(), windows=windows)
    cotangent = np.broadcast_to(np.float32(1), (1, 1, *spec.output_shape(sizes))) if output == "gradient" else None
    assert compare.is_vacuous(Case(spec=spec, x=x, output=output, cotangent=cotangent)) is says


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(compare.oracle.LONG + 1, 3000),
    picks=st.lists(st.sampled_from([1, 0.7, 1.5, 0.01, 100, 3, 2.0**-12, 255]), min_size=1, max_size=5),
    dtype=st.sampled_from(compare.HALF),
    chunk=st.sampled_from([1, 2, 8, 64, 5000]),
    order=st.sampled_from([1, -1, 0]),
    sign=st.sampled_from([1, -1]),
)
def test_what_stays_of_long_sums_conforms(count: int, picks: list[float], dtype: str, chunk: int, order: int, sign: int) -> None:
    """A sum of any length kept in a half type, in parts or in one, forwards, backwards or by size, is within what that type is granted."""
    kind = dtype_named(dtype)
    numbers = np.resize(picks, count).astype(kind)
    case = Case(spec=PoolSpec(reduction=Average(), windows=Global()), x=(numbers * kind.type(sign)).reshape(1, 1, count))
    ordered = np.sort(numbers) if not order else numbers[::order]
    padded = np.concatenate([ordered, np.zeros(-count % chunk, kind)]).reshape(-1, chunk)
    total = _kept(_kept(padded.T).reshape(-1, 1))
    if np.isfinite(total).all():
        answer = (total / kind.type(count) * kind.type(sign)).astype(kind).reshape(1, 1, 1)
        comparison = compare.compare(case, answer, accumulator=dtype)
        assert not comparison.bad.any(), compare.explain(comparison)


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(compare.oracle.LONG + 1, 1500),
    picks=st.lists(st.sampled_from([1, 0.7, 1.5, 0.01, 10, 3, 2.0**-8, 2.0**-14]), min_size=1, max_size=5),
    p=st.sampled_from([1, 1.5, 2, 3, 7]),
    dtype=st.sampled_from(compare.HALF),
    chunk=st.sampled_from([1, 8, 64, 5000]),
    order=st.sampled_from([1, -1, 0]),
    by_mean=st.booleans(),
)
def test_what_stays_of_long_norms_conforms(
    count: int, picks: list[float], p: float, dtype: str, chunk: int, order: int, by_mean: bool
) -> None:
    """A norm of any length whose powers, their sum and perhaps mean are kept in a half type, in any order, is no less than that type is granted."""
    kind = dtype_named(dtype)
    numbers = np.resize(picks, count).astype(kind)
    case = Case(spec=PoolSpec(reduction=Lp(p=p), windows=Global()), x=numbers.reshape(1, 1, count))
    ordered = np.sort(numbers) if not order else numbers[::order]
    with np.errstate(over="ignore", under="ignore"):
        powers = (ordered.astype(np.float64) ** p).astype(kind)
        total = _kept(_kept(np.concatenate([powers, np.zeros(-count % chunk, kind)]).reshape(-1, chunk).T).reshape(-1, 1))
        if by_mean:
            total = (total / kind.type(count)).astype(kind) * kind.type(count)
        answer = (total.astype(np.float64) ** (1 / p)).astype(kind).reshape(1, 1, 1)
    if np.isfinite(answer).all():
        comparison = compare.compare(case, answer, accumulator=dtype)
        assert float(answer[0, 0, 0]) >= comparison.least[0, 0, 0], compare.explain(comparison)


@pytest.mark.parametrize("dtype, count", [("bfloat16", 400), ("float16", 4000)])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_long_norm_is_no_excuse_for_nothing(dtype: str, count: int, p: int) -> None:
    """However long the sum in a half type, neither 0, another sign nor a norm of far fewer elements is granted."""
    case = one(Lp(p=p), [1.0] * count, dtype)
    places = min(count, 1 / compare.format_of(case.x.dtype).u)
    for kept, conforms in ((places, True), (places / 3, False), (0.0, False)):
        answer = np.full((1, 1, 1), kept ** (1 / p)).astype(case.x.dtype)
        assert compare.compare(case, answer, accumulator=dtype).bad.all() != conforms
    assert compare.compare(case, np.full((1, 1, 1), -1).astype(case.x.dtype), accumulator=dtype).bad.all()


def _kept(columns: np.ndarray) -> np.ndarray:
    """The sum of each column, kept in the type itself, row after row."""
    total = np.zeros(columns.shape[1], columns.dtype)
    with np.errstate(over="ignore"):
        for row in columns:
            total = (total + row).astype(columns.dtype)
    return total


@pytest.mark.parametrize("dtype, places", [("bfloat16", 256), ("float16", 2048)])
def test_less_than_rounding_leaves_is_told(dtype: str, places: int) -> None:
    """Of ones past the places of a type, an answer below what rounding leaves is refused, and the message says what that is."""
    case = one(Average(), [1.0] * 4 * places, dtype)
    for share, conforms in ((0.25, True), (0.05, False), (0.0, False), (-0.25, False)):
        comparison = compare.compare(case, np.full((1, 1, 1), share).astype(case.x.dtype), accumulator=dtype)
        assert comparison.vacuous.all() and comparison.bad.all() != conforms
    assert "less than rounding leaves of terms of one sign, 0.12" in compare.explain(comparison)


@pytest.mark.parametrize(
    "answer, kind, says",
    [
        pytest.param([[1.5]], "type", "fetch returned list", id="a list"),
        pytest.param(np.float32([[1.5]]), "shape", "shape (1, 1): expected (1, 1, 1)", id="a missing axis"),
        pytest.param(np.float64([[[1.5]]]), "dtype", "dtype float64: expected float32", id="another dtype"),
        pytest.param(np.float32([[[1.6]]]), "value", "at (0, 0, 0): expected 1.5, got 1.6", id="another value"),
    ],
)
def test_messages(answer: object, kind: str, says: str) -> None:
    """A failed comparison says what is wrong, in the order type, shape, dtype, special values, values."""
    with pytest.raises(Nonconformity) as raised:
        assert_conforms(one(Average(), [1, 2]), answer)
    assert raised.value.kind == kind
    assert says in str(raised.value)


def test_a_value_message_names_the_bound() -> None:
    """A value that is off comes with its distance, its bound, and the rule that the bound comes from."""
    with pytest.raises(Nonconformity, match=r"off by 0\.1.*bound .*γ_\(n\+1\)"):
        assert_conforms(one(Average(), [1, 2]), np.float32([[[1.6]]]))
