"""The definition, checked by hand rule by rule, and against a second formulation that shares nothing with it."""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import oracle
from backends.interface import Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

NAN, INF = math.nan, math.inf


def line(*numbers: float, dtype: str = "float32") -> np.ndarray:
    """A 1-D input of one sample and one channel."""
    return np.array(numbers, np.float64 if "int" not in dtype else dtype).astype(dtype_named(dtype)).reshape(1, 1, -1)


def ask(reduction, windows, x: np.ndarray, output: str = "values", cotangent: list[float] | None = None) -> list[float]:
    """The exact answer, rounded to float64, as a flat list."""
    spec = PoolSpec(reduction=reduction, windows=windows)
    weight = None if cotangent is None else np.array(cotangent).astype(x.dtype).reshape(1, 1, *spec.output_shape(x.shape[2:]))
    return oracle.pool(Case(spec=spec, x=x, output=output, cotangent=weight)).value.ravel().tolist()


K2, K3 = Sliding(kernel=(2,)), Sliding(kernel=(3,))


@pytest.mark.parametrize(
    "reduction, windows, x, expected",
    [
        pytest.param(Max(), K2, line(1, 2, 4, 3), [2, 4], id="max"),
        pytest.param(Max(), K2, line(-5, -2), [-2], id="max of negatives"),
        pytest.param(Max(), K2, line(NAN, 9, 9, NAN), [NAN, NAN], id="4.4: a NaN wins wherever it is"),
        pytest.param(Max(), K2, line(-INF, -INF, -INF, 1), [-INF, 1], id="4.4: a window of -inf"),
        pytest.param(Max(), Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), line(-1, -2, -3), [-1, -2], id="4.2: padding is no zero"),
        pytest.param(Max(), K2, line(127, -128, -128, -127, dtype="int8"), [127, -127], id="4.4: integers are exact"),
        pytest.param(Max(), K2, line(2**53, 2**53 + 1, dtype="int64"), [2**53 + 1], id="4.4: int64 past float64's integers"),
        pytest.param(Average(), K2, line(1, 2, 5, 6), [1.5, 5.5], id="average"),
        pytest.param(Average(), Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), line(1, 2, 3), [1.5, 2.5], id="4.3: over the taps"),
        pytest.param(
            Average(count_include_pad=True), Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), line(1, 2, 3), [1, 5 / 3],
            id="4.3: over the padded taps",
        ),
        pytest.param(
            Average(count_include_pad=True), Sliding(kernel=(3,), ceil_mode=True), line(1, 2, 3, 4), [2, 4], id="4.3: the overhang never counts"
        ),
        pytest.param(Average(divisor=-4), K2, line(1, 3), [-1], id="4.3: a divisor overrides, sign kept"),
        pytest.param(
            Average(divisor=4, count_include_pad=True), Sliding(kernel=(2,), padding=((1, 1),)), line(2, 4), [0.5, 1], id="4.3: over everything"
        ),
        pytest.param(Average(), K2, line(NAN, 1, INF, NAN), [NAN, NAN], id="4.3: a NaN in the window"),
        pytest.param(Average(), K2, line(INF, -INF, INF, 1), [NAN, INF], id="4.3: both infinities, and one"),
        pytest.param(Average(divisor=-2), K2, line(INF, 1), [-INF], id="4.3: an infinity takes the divisor's sign"),
        pytest.param(Average(), K2, line(3e38, 3e38), [float(np.float32(3e38))], id="4.3: the mean of huge numbers is no infinity"),
        pytest.param(Average(), Global(), line(*[6e4] * 16, dtype="float16"), [60000.0], id="4.7: float16 accumulates wider"),
        pytest.param(Average(), Global(), line(*[1] * 4096, dtype="bfloat16"), [1], id="4.7: bfloat16 accumulates wider"),
        pytest.param(Lp(p=2), K2, line(3, -4), [5], id="4.8: Lp"),
        pytest.param(Lp(p=3), K2, line(-1, 0), [1], id="4.8: odd p, of magnitudes"),
        pytest.param(Lp(p=1), Sliding(kernel=(3,), ceil_mode=True), line(1, 2, 3, 4), [6, 4], id="4.8: unscaled in partial windows"),
        pytest.param(Lp(p=2), K2, line(3e38, 0), [float(np.float32(3e38))], id="4.8: no overflow on the way"),
        pytest.param(Lp(p=2), K2, line(1e-45, 0), [float(np.float32(1e-45))], id="4.8: no underflow on the way"),
        pytest.param(Lp(p=2), K2, line(NAN, INF, -INF, 1), [NAN, INF], id="4.8: NaN beats inf"),
        pytest.param(Average(), Adaptive(output_size=(3,)), line(1, 2, 3, 4, 5), [1.5, 3, 4.5], id="4.9: adaptive bins"),
        pytest.param(Max(), Sliding(kernel=(2,), ceil_mode=True), line(1, 2, 3), [2, 3], id="4.1: ceil mode"),
        pytest.param(Average(), Sliding(kernel=(3,), stride=(2,), padding="same_upper"), line(10, 20), [15], id="SAME averages its taps"),
    ],
)  # fmt: skip
def test_values_by_hand(reduction, windows, x: np.ndarray, expected: list[float]) -> None:
    """Values worked out by hand from a rule of the definition are the oracle's."""
    np.testing.assert_array_equal(ask(reduction, windows, x), expected)


@pytest.mark.parametrize(
    "windows, x, expected",
    [
        pytest.param(K2, line(1, 2, 4, 3), [1, 2], id="flat"),
        pytest.param(K3, line(5, 5, 5), [0], id="4.5: the first of ties"),
        pytest.param(K3, line(9, NAN, NAN), [1], id="4.5: the first NaN"),
        pytest.param(Sliding(kernel=(2,), stride=(1,)), line(-INF, -INF, -INF), [0, 1], id="4.5: the first tap of a window of -inf"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), line(-3, -2, -1), [1, 2], id="4.5: unpadded"),
        pytest.param(Sliding(kernel=(2, 2)), np.float32([[[[0, 1, 7, 0], [2, 0, 0, 7]]]]), [4, 2], id="4.5: row-major in the volume"),
        pytest.param(Sliding(kernel=(2,), dilation=(2,)), line(1, 9, 2), [2], id="dilated"),
    ],
)
def test_indices_by_hand(windows, x: np.ndarray, expected: list[int]) -> None:
    """Indices worked out by hand are the oracle's."""
    assert ask(Max(), windows, x, "indices") == expected


@pytest.mark.parametrize(
    "reduction, windows, x, cotangent, expected",
    [
        pytest.param(Max(), K2, line(1, 2, 4, 3), [10, 20], [0, 10, 20, 0], id="4.6: the whole cotangent to the index"),
        pytest.param(Max(), Sliding(kernel=(2,), stride=(1,)), line(1, 5, 2), [10, 20], [0, 30, 0], id="4.6: overlaps add"),
        pytest.param(Max(), K2, line(3, 3), [1], [1, 0], id="4.6: ties go to the first"),
        pytest.param(Max(), K3, line(1, NAN, NAN), [1], [0, 1, 0], id="4.6: to the first NaN"),
        pytest.param(Average(), K2, line(1, 2, 3), [1], [0.5, 0.5, 0], id="4.6: what no window reads gets nothing"),
        pytest.param(Average(), Sliding(kernel=(3,), ceil_mode=True), line(1, 2, 3, 4), [3, 5], [1, 1, 1, 5], id="4.6: over the divisor"),
        pytest.param(Average(divisor=-2), K2, line(1, 2), [1], [-0.5, -0.5], id="4.6: the divisor's sign"),
        pytest.param(Average(), Sliding(kernel=(2,), stride=(1,)), line(0, 0, 0), [INF, -INF], [INF, NAN, -INF], id="infinite cotangents"),
        pytest.param(Lp(p=2), K2, line(3, -4), [1], [0.6, -0.8], id="4.6: Lp"),
        pytest.param(Lp(p=1), K2, line(3, -4), [2], [2, -2], id="4.6: p = 1 gives signs"),
        pytest.param(Lp(p=2), K2, line(0, 0), [1], [0, 0], id="4.6: 0 where y is 0"),
    ],
)
def test_gradients_by_hand(reduction, windows, x: np.ndarray, cotangent: list[float], expected: list[float]) -> None:
    """Gradients worked out by hand are the oracle's."""
    np.testing.assert_array_equal(ask(reduction, windows, x, "gradient", cotangent), expected)


def test_lp_gradient_is_free_where_the_norm_is_not_finite() -> None:
    """Where y is infinite the gradient of Lp is unspecified, and only there."""
    x = line(INF, 1, 1, 1)
    case = Case(spec=PoolSpec(reduction=Lp(p=2), windows=K2), x=x, output="gradient", cotangent=np.float32([[[1, 1]]]))
    assert oracle.pool(case).free.ravel().tolist() == [True, True, False, False]


@pytest.mark.parametrize("spatial", [(3,), (2, 3)])
def test_empty_batch(spatial: tuple[int, ...]) -> None:
    """An empty batch gives an empty answer of the right shape."""
    spec = PoolSpec(reduction=Max(), windows=Global())
    assert oracle.pool(Case(spec=spec, x=np.zeros((0, 2, *spatial), np.float32))).value.shape == (0, 2, *(1,) * len(spatial))


@pytest.mark.parametrize(
    "case, says",
    [
        (lambda: Case(spec=PoolSpec(reduction=Average(), windows=K2), x=line(1, 2, dtype="int32")), "max values and indices only"),
        (lambda: Case(spec=PoolSpec(reduction=Average(), windows=K2), x=line(1, 2), output="indices"), "only max has them"),
        (lambda: Case(spec=PoolSpec(reduction=Max(), windows=K2), x=np.zeros((1, 0, 4), np.float32)), "at least one channel"),
        (lambda: Case(spec=PoolSpec(reduction=Max(), windows=K2), x=np.zeros((4, 4), np.float32)), "expected (N, C, *spatial)"),
        (
            lambda: Case(
                spec=PoolSpec(reduction=Max(), windows=K2), x=line(1, 2), output="gradient", cotangent=np.zeros((1, 1, 2), np.float32)
            ),
            "the cotangent has the shape",
        ),
    ],
)
def test_invalid_cases_are_refused(case, says: str) -> None:
    """What the definition calls invalid raises ValueError with the value."""
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace("*", r"\*").replace(")", r"\)")):
        oracle.pool(case())


# --- a second formulation -----------------------------------------------------------------------


def second_formulation(case: Case) -> np.ndarray:
    """Pooling over a padded copy on which every position says what it is; Fractions; 1-D to 3-D alike.

    Shares nothing with `spec.along`: it walks the padded array, as frameworks' kernels do.
    """
    windows, reduction = case.spec.windows, case.spec.reduction
    starts_and_taps = []
    for axis, n in enumerate(case.spatial):
        if isinstance(windows, Global):
            starts_and_taps.append([[(i, True) for i in range(n)]])
        elif isinstance(windows, Adaptive):
            o = windows.output_size[axis]
            starts_and_taps.append([[(i, True) for i in range(n) if b * n < (i + 1) * o and i * o < (b + 1) * n] for b in range(o)])
        else:
            k, s, d = windows.kernel[axis], windows.stride[axis], windows.dilation[axis]
            if isinstance(windows.padding, tuple):
                before, after = windows.padding[axis]
            else:
                need = max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n) if windows.padding != "valid" else 0
                before = need // 2 if windows.padding == "same_upper" else need - need // 2
                after = need - before
            rows, start = [], -before
            while start + (k - 1) * d < n + after or (windows.ceil_mode and start + (k - 1) * d < n + after + s and start < n):
                rows.append([(start + j * d, start + j * d < n + after) for j in range(k)])
                start += s
            starts_and_taps.append(rows)
    out = np.zeros(case.pooled_shape, object)
    for n, c in np.ndindex(*case.x.shape[:2]):
        for cell in np.ndindex(*case.pooled_shape[2:]):
            positions = list(itertools.product(*(rows[i] for rows, i in zip(starts_and_taps, cell, strict=True))))
            inside = [
                tuple(p for p, _ in position)
                for position in positions
                if all(0 <= p < size for (p, _), size in zip(position, case.spatial, strict=True))
            ]
            values = [Fraction(float(case.x[(n, c, *position)])) for position in inside]
            if isinstance(reduction, Max):
                out[(n, c, *cell)] = max(values)
            elif isinstance(reduction, Average):
                counted = sum(all(padded for _, padded in position) for position in positions)
                out[(n, c, *cell)] = sum(values) / (reduction.divisor or (counted if reduction.count_include_pad else len(values)))
            else:
                out[(n, c, *cell)] = Fraction(float(sum(float(abs(v)) ** reduction.p for v in values) ** (1 / reduction.p)))
    return out


@st.composite
def small_cases(draw: st.DrawFn) -> Case:
    ndim = draw(st.integers(1, 3))
    sizes = st.integers(1, {1: 9, 2: 5, 3: 3}[ndim])
    spatial = tuple(draw(sizes) for _ in range(ndim))
    kind = draw(st.sampled_from(["sliding", "adaptive", "global"]))
    if kind == "sliding":
        padding = draw(st.sampled_from(["valid", "same_upper", "same_lower", "pairs"]))
        windows = Sliding(
            kernel=tuple(draw(st.integers(1, 3)) for _ in spatial), stride=tuple(draw(st.integers(1, 3)) for _ in spatial),
            dilation=tuple(draw(st.integers(1, 2)) for _ in spatial), ceil_mode="same" not in padding and draw(st.booleans()),
            padding=tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in spatial) if padding == "pairs" else padding,
        )  # fmt: skip
    else:
        windows = Adaptive(output_size=tuple(draw(st.integers(1, 5)) for _ in spatial)) if kind == "adaptive" else Global()
    options = [Max(), Average(), Lp(p=draw(st.sampled_from([1.0, 2.0, 2.5, 3.0])))]
    if kind == "sliding":
        options += [Average(count_include_pad=True), Average(divisor=draw(st.sampled_from([-3, 1, 5])))]
    values = draw(st.lists(st.integers(-6, 6), min_size=1, max_size=20))
    x = np.resize(np.array(values, np.float64), (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *spatial))
    return Case(spec=PoolSpec(reduction=draw(st.sampled_from(options)), windows=windows), x=x)


def is_valid(case: Case) -> bool:
    try:
        case.spec.check(case.spatial)
    except ValueError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(case=small_cases().filter(is_valid))
def test_second_formulation_agrees(case: Case) -> None:
    """An independent walk over the padded array, in Fractions, gives the same values."""
    exact, other = oracle.pool(case), second_formulation(case)
    assert exact.value.shape == other.shape
    if isinstance(case.spec.reduction, Lp):
        # The other takes its powers and root in float64, a few units in the last place each; the oracle rounds once.
        np.testing.assert_allclose(exact.value, other.astype(np.float64), rtol=1e-14)
    elif isinstance(case.spec.reduction, Max):
        assert (exact.value == other.astype(np.float64)).all()
    else:
        assert all(Fraction(v) + Fraction(r) - f == 0 or abs(Fraction(v) + Fraction(r) - f) < abs(f) / 2**100
                   for v, r, f in zip(exact.value.ravel().tolist(), exact.rest.ravel().tolist(), other.ravel(), strict=True))  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(case=small_cases().filter(is_valid))
def test_gradient_is_the_transpose_of_the_exact_derivative(case: Case) -> None:
    """For max and average, ⟨g, y(x)⟩ = ⟨dx, x⟩ exactly, in every sample and channel."""
    if isinstance(case.spec.reduction, Lp):
        case = case.replace(spec=PoolSpec(reduction=Max(), windows=case.spec.windows))
    weight = np.resize(np.array([1.0, -2.0, 3.0, 5.0]), case.pooled_shape)
    y = oracle.pool(case)
    dx = oracle.pool(case.replace(output="gradient", cotangent=weight))
    left = sum(
        (Fraction(v) + Fraction(r)) * Fraction(g) for v, r, g in zip(*(a.ravel().tolist() for a in (y.value, y.rest, weight)), strict=True)
    )
    right = sum(
        (Fraction(v) + Fraction(r)) * Fraction(x)
        for v, r, x in zip(*(a.ravel().tolist() for a in (dx.value, dx.rest, case.x)), strict=True)
    )
    assert abs(left - right) <= Fraction(1, 2**90)


@settings(max_examples=100, deadline=None)
@given(case=small_cases().filter(is_valid), output=st.sampled_from(["values", "indices"]))
def test_cells_are_those_of_the_whole(case: Case, output: str) -> None:
    """Asking some cells alone gives what asking all of them gives there."""
    if output == "indices":
        case = case.replace(spec=PoolSpec(reduction=Max(), windows=case.spec.windows), output="indices")
    whole = oracle.pool(case)
    cells = list(range(0, whole.value.size, 2))
    some = oracle.pool(case, cells)
    assert (some.value == whole.value.ravel()[cells]).all()
    assert (some.terms == whole.terms.ravel()[cells]).all()


@given(value=st.floats(allow_nan=False, allow_infinity=False), dtype=st.sampled_from(["float16", "float32", "float64", "bfloat16"]))
def test_single_element_averages_are_exact(value: float, dtype: str) -> None:
    """The average of one element is that element, subnormal or huge, in every float type."""
    with np.errstate(over="ignore"):
        x = np.array([[[value]]]).astype(dtype_named(dtype))
    np.testing.assert_array_equal(ask(Average(), Global(), x), x.astype(np.float64).ravel())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_overflow_threshold(dtype: str) -> None:
    """The threshold is where rounding gives infinity: just below it the largest number comes back."""
    kind, largest = dtype_named(dtype), float(ml_dtypes.finfo(dtype_named(dtype)).max)
    threshold = oracle.overflow_threshold(kind)
    if dtype == "float64":
        assert threshold == INF
        return
    with np.errstate(over="ignore"):
        assert np.isinf(np.array(threshold).astype(kind))
        # Through float32, as ml_dtypes itself goes on its way from float64.
        below = np.nextafter(np.float32(threshold), np.float32(0)) if dtype == "bfloat16" else np.nextafter(threshold, 0)
        assert float(np.array(below).astype(kind)) == largest
