"""A known divergence excuses what it predicts, and nothing else."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import oracle
from backends.interface import Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding
from properties.divergence import Divergence, ends, may_round, mend
from properties.divergences import DIVERGENCES
from properties.divergences_tensorflow import ROWS as TENSORFLOW
from properties.divergences_torch import ROWS
from properties.mutable import narrow

CASE = Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(2,))), x=np.float32([[[1, np.nan, 3, 4, np.nan, np.nan]]]))
RIGHT = np.float32([[[np.nan, 4, np.nan]]])


def row(**changes) -> Divergence:
    """A row that says: a NaN in the window is dropped; −9 stands for a window of NaN alone."""
    given = {
        "id": "drops-nan", "backend": "torch", "variants": frozenset({"", "compile"}), "versions": ">=2.11,<2.14", "verdict": "bug",
        "smallest": "", "observed": "", "description": "", "where": lambda case: np.isnan(case.x.reshape(1, 1, 3, 2)).any(-1),
        "predict": lambda case, exact: np.float32([[[1, 4, -9]]]),
    }  # fmt: skip
    return Divergence(**{**given, **changes})


def test_what_is_predicted_is_excused() -> None:
    """An answer that deviates as predicted, where predicted, is mended to the definition's."""
    mended = mend(CASE, np.float32([[[1, 4, -9]]]), [row()])
    np.testing.assert_array_equal(mended.answer, RIGHT)
    assert mended.excused == {"drops-nan": 2}


def test_another_value_there_is_not() -> None:
    """A second defect at the same place stays as it is, and fails."""
    mended = mend(CASE, np.float32([[[2, 4, -9]]]), [row()])
    assert mended.answer[0, 0].tolist()[0] == 2
    assert mended.excused == {"drops-nan": 1}


@pytest.mark.parametrize("came, excused", [(1, True), (3, True), (2, False)])
def test_answers_that_differ_from_call_to_call(came: float, excused: bool) -> None:
    """Where answers differ from call to call, one of those that may come is excused, and nothing between them."""
    either = row(nearest=lambda case, actual: np.where(actual < 2, 1, [[[3, 4, -9]]]).astype(np.float32))
    assert ("drops-nan" in mend(CASE, np.float32([[[came, 4, np.nan]]]), [either]).excused) is excused


def test_the_same_value_elsewhere_is_not() -> None:
    """A deviation beside the places that the row names stays, and fails."""
    mended = mend(CASE, np.float32([[[1, 3, -9]]]), [row()])
    assert mended.answer[0, 0, 1] == 3


def test_a_right_answer_needs_no_row() -> None:
    """An answer that conforms is left alone, and no row counts as met."""
    assert mend(CASE, RIGHT, [row()]).excused == {}


@pytest.mark.parametrize(
    "outcome, where, known",
    [("signal:SIGABRT", True, True), ("signal:SIGSEGV", True, False), ("raises", True, False), ("signal:SIGABRT", False, False)],
)
def test_an_end_is_known_by_outcome_and_case(outcome: str, where: bool, known: bool) -> None:
    """A row knows a case that ends without an answer where it holds for the case, and by that very outcome alone."""
    dies = row(outcome="signal:SIGABRT", predict=None, where=lambda case: np.array(where))
    assert ends(CASE, outcome, [dies]) is (dies if known else None)


@pytest.mark.parametrize("answer", [np.float64([[[1, 4, -9]]]), np.float32([[[1, 4]]]), [1, 4, -9]])
def test_a_wrong_shape_or_type_is_never_excused(answer) -> None:
    """No row excuses a wrong shape, dtype or type."""
    assert mend(CASE, answer, [row()]).answer is answer


@pytest.mark.parametrize("ulps, excused", [(3, {"drops-nan": 3}), (1000, {})])
def test_the_bound_is_that_of_the_prediction(ulps: int, excused: dict[str, int]) -> None:
    """What is predicted may be far larger than the definition's: the answer is held to that size's own rounding."""
    case = Case(
        spec=PoolSpec(reduction=Lp(p=7), windows=Global()), x=np.float32([[[3, -5, 5]]]), output="gradient", cotangent=np.float32([[[1]]])
    )
    large = row(predict=lambda case, exact: np.full((1, 1, 3), 30000), where=lambda case: np.ones(3, bool))
    assert mend(case, np.full((1, 1, 3), 30000 + np.spacing(np.float32(30000)) * ulps, np.float32), [large]).excused == excused


@pytest.mark.parametrize("output", ["values", "gradient"])
@pytest.mark.parametrize("apart, excused", [(4e-15, True), (1e-12, False)])
def test_a_prediction_that_cancels_is_granted_its_rounding(output: str, apart: float, excused: bool) -> None:
    """Where signed powers cancel, rounding is granted that the definition's own sum cannot have, and no more than that."""
    x = np.float64([[[763, 859, -892, -796, 260, 356, 644, 740]]])
    cotangent = np.ones((1, 1, 1)) if output == "gradient" else None
    case = Case(spec=PoolSpec(reduction=Lp(p=7), windows=Global()), x=x, output=output, cotangent=cotangent)
    formula = next(row for row in ROWS if row.id == "torch-lp-formula")
    came = formula.predict(case, oracle.pool(case)) * (1 + apart)
    assert formula.explains(case, came, oracle.pool(case)).all() == excused


@pytest.mark.parametrize(
    "x, p, came, excused",
    [
        ([0, -5, 5] * 6, 33, 0, True),
        ([0, -5, 5] * 6, 33, math.nan, True),
        ([0, -5, 5] * 6, 33, 3, True),
        ([0, -5, 5] * 6, 33, 5.39, False),
        ([0, -5, 5] * 6, 33, math.inf, False),
        ([1, -1], 3, 0, True),
        ([1, -1], 3, 0.001, False),
        ([1, -1], 3, math.nan, False),
    ],
)
def test_what_is_left_of_a_sum_that_cancels(x: list[int], p: int, came: float, excused: bool) -> None:
    """Where signed powers cancel to nothing but rounding, what rounding can leave is excused; where none is rounded, 0 alone."""
    case = Case(spec=PoolSpec(reduction=Lp(p=p), windows=Global()), x=np.float32([[x]]))
    formula = next(row for row in ROWS if row.id == "torch-lp-formula")
    assert formula.explains(case, np.full((1, 1, 1), came, np.float32), oracle.pool(case)).all() == excused


def test_an_accumulator_widens_the_bound() -> None:
    """A row that names an accumulator excuses what its rounding explains, and not more."""
    case = Case(spec=PoolSpec(reduction=Average(), windows=Sliding(kernel=(4,))), x=np.full((1, 1, 4), 1.1).astype(np.float16))
    lossy = row(predict=None, accumulator="float16", where=lambda case: np.ones((1, 1, 1), bool))
    assert mend(case, np.float16([[[1.098]]]), [lossy]).excused == {"drops-nan": 1}
    assert mend(case, np.float16([[[1.2]]]), [lossy]).excused == {}


def test_an_accumulator_is_no_excuse_for_a_sum_that_it_holds() -> None:
    """Where the accumulator has a place for every partial sum, an answer off by less than its bound is not excused."""
    lossy = row(predict=None, accumulator="float16", where=lambda case: np.ones((1, 1, 1), bool))
    for value, excused in ((1.1, True), (1, False)):
        case = Case(spec=PoolSpec(reduction=Average(), windows=Global()), x=np.full((1, 1, 49), value, np.float16))
        assert bool(mend(case, np.float16([[[value * 49 / 48]]]), [lossy]).excused) is excused


def bins(count: int, dtype: str = "bfloat16", reduction: Reduction | None = None) -> Case:
    """The gradient of one element in so many bins, each of whose cotangents has a share of 1 in it."""
    spec = PoolSpec(reduction=reduction or Max(), windows=Adaptive(output_size=(count,)))
    x = np.ones((1, 1, 1), dtype_named(dtype))
    return Case(spec=spec, x=x, output="gradient", cotangent=np.ones((1, 1, count), x.dtype))


@pytest.mark.parametrize("reduction", [Max(), Average()], ids=str)
@pytest.mark.parametrize("count", [200, 300, 4096])
@pytest.mark.parametrize("share, excused", [("stays", True), (0, False), (-1, False), (0.1, False), (-0.6, False), (-math.inf, False)])
def test_a_long_sum_of_one_sign_keeps_its_sign_and_size(reduction: Reduction, count: int, share: float | str, excused: bool) -> None:
    """Where an accumulator may lose most of a sum of one sign, what it cannot add up to is not excused: 0, less than it has places for, or another sign."""
    lossy = next(row for row in ROWS if row.id == "torch-bfloat16-gradient")
    case = bins(count, reduction=reduction)
    answer = min(count, 256) if share == "stays" else share * min(count, 256)
    if answer != count:
        assert lossy.explains(case, np.full((1, 1, 1), answer).astype(case.x.dtype), oracle.pool(case)).all() == excused


@pytest.mark.parametrize("fill", [1, -1])
@pytest.mark.parametrize("share, excused", [(1, True), (0.9, True), (0, False), (0.1, False), (-1, False)])
def test_a_predicted_sum_keeps_its_sign_and_size(fill: int, share: float, excused: bool) -> None:
    """Where a row predicts a long sum, and grants an accumulator's rounding, 0 and another sign are not excused."""
    count = next(row for row in TENSORFLOW if row.id == "tf-float16-count")
    windows = Sliding(kernel=(5000,))
    case = Case(spec=PoolSpec(reduction=Average(), windows=windows), x=np.full((1, 1, 5000), fill, np.float16))
    exact = oracle.pool(case)
    came = count.predict(case, exact) * share
    assert count.explains(case, came.astype(np.float16), exact).all() == excused


def test_what_is_excused_by_half_of_a_sum_counts_as_vacuous() -> None:
    """An answer that a bound excuses which may take half of its sum is said to be vacuous, one of a short sum is not."""
    lossy = next(row for row in ROWS if row.id == "torch-bfloat16-gradient")
    assert mend(bins(300), bins(300).x * bins(300).x.dtype.type(256), [lossy]).vacuous
    short = bins(3).replace(cotangent=np.array([[[256, 1, 1]]]).astype(bins(3).x.dtype))
    mended = mend(short, short.x * short.x.dtype.type(256), [lossy])
    assert mended.excused and not mended.vacuous


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@given(picks=st.lists(st.sampled_from([0, 1, -1, 3, 2.0**-3, 255, -256, 1024, 1.5, 2.0**-14, 60000, np.inf]), min_size=1, max_size=4))
def test_sums_that_may_be_rounded_are_known(kind: str, picks: list[float]) -> None:
    """A sum that is said to lose nothing is exact in every order of addition, kept in its type."""
    x = np.array([[picks]], dtype_named(kind))
    case = Case(spec=PoolSpec(reduction=Average(), windows=Global()), x=x)
    if not may_round(case, kind).any():
        numbers = x.ravel().astype(np.float64).tolist()
        assert {narrow(list(order), x.dtype) for order in itertools.permutations(numbers)} == {math.fsum(numbers)}


def test_most_small_sums_lose_nothing() -> None:
    """Of a few small whole numbers no sum may be rounded, of numbers far apart it may."""
    for numbers, rounds in (
        ([1, -2, 3], False),
        ([2048, 1], True),
        ([1024, 1], False),
        ([60000, 60000], True),
        ([np.inf, 1], True),
        ([], False),
    ):
        case = Case(spec=PoolSpec(reduction=Average(), windows=Global()), x=np.float16([[[0, *numbers]]]))
        assert may_round(case, "float16").all() == rounds


@pytest.mark.parametrize(
    "name, version, applies",
    [
        ("torch", "2.13.0+cpu", True),
        ("torch:compile", "2.11.0", True),
        ("torch:cuda", "2.13.0", False),
        ("tensorflow", "2.13.0", False),
        ("torch", "2.14.0", False),
        ("torch", "unknown", False),
    ],
)
def test_rows_apply_by_name_and_version(name: str, version: str, applies: bool) -> None:
    """A row is about the variants and the versions that it names."""
    assert row().applies_to(name, version) is applies


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"outcome": "odd"}, "outcome='odd'"),
        ({"where": None}, "needs `where`"),
        ({"predict": None}, "`predict` or `accumulator`"),
        ({"versions": "two"}, "two"),
    ],
)
def test_a_malformed_row_is_refused(changes: dict, says: str) -> None:
    """A row that could excuse anything, or says nothing readable, is refused at construction."""
    with pytest.raises(ValueError, match=says):
        row(**changes)


def test_every_row_has_a_smallest_case() -> None:
    """Each row names what shows it: a case that reads, or native calls by their ids."""
    assert [row.id for row in DIVERGENCES if not row.smallest] == []


def test_conventions_are_documented() -> None:
    """A row that is called a convention says where the framework documents it, or where its maintainers said that it is meant."""
    assert [row.id for row in DIVERGENCES if row.verdict == "convention" and not (row.documentation or row.upstream)] == []
