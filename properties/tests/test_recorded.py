"""Tests of the frameworks as they are recorded."""

import numpy as np
import pytest

from backends import compare, oracle, text
from backends.interface import Case
from backends.spec import Average, Lp, Max, PoolSpec, Sliding
from properties.divergences import DIVERGENCES
from properties.mutable import Steps
from properties.mutants import MUTANTS
from properties.recorded import FRAMEWORKS, Recorded
from properties.subject import Subject

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}
WRONG = [
    pytest.param(framework.name, row, id=row.id)
    for framework in FRAMEWORKS
    for row in DIVERGENCES
    if row.outcome == "wrong" and row.predict is not None and row.applies_to(framework.name, framework.version)
]


def recorded(name: str, inner: Steps | None = None) -> Recorded:
    return Recorded(BY_NAME[name], DIVERGENCES, Steps(), inner)


def answer(backend: Recorded, case: Case) -> np.ndarray:
    return backend.fetch(backend.bind(case)())


@pytest.mark.parametrize("name, row", WRONG)
def test_deviates_where_a_row_says(name, row):
    """On the smallest case of a row the recorded framework deviates, and its rows excuse that."""
    case = text.parse(row.smallest)[1]
    subject = Subject(recorded(name), DIVERGENCES)
    exact = oracle.pool(case).value
    assert not np.array_equal(
        answer(subject.backend, case), exact.astype(case.x.dtype if case.output != "indices" else np.int64), equal_nan=True
    )
    compare.assert_conforms(case, subject.ask(case))
    assert subject.excused


@pytest.mark.parametrize("name", BY_NAME)
def test_conforms_elsewhere(name):
    """Where no row holds, a recorded framework answers by the definition."""
    case = Case(
        spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(2,))), x=np.array([[[1, 2, -3, -4]]], np.float32), layout="channels_last"
    )
    np.testing.assert_array_equal(answer(recorded(name), case), [[[2, -3]]])


def test_a_defect_is_on_top():
    """Where a defect answers otherwise than the correct pooling its answer stands, and the framework's everywhere else."""
    defect = next(mutant for mutant in MUTANTS if (mutant.family, mutant.id) == ("padding value", "zeros_in_max"))
    x = np.array([[[-1, -1, np.nan, 2]]], np.float32)
    case = Case(
        spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(2,), padding="same_lower", stride=(1,))), x=x, layout="channels_last"
    )
    # The first window reads padding: the defect takes it for zero. The NaN is dropped, as TensorFlow does.
    np.testing.assert_array_equal(answer(recorded("tensorflow", defect.build()), case), [[[0, -1, -1, 2]]])


@pytest.mark.parametrize(
    "name, spec",
    [
        ("tensorflow", PoolSpec(reduction=Average(divisor=3), windows=Sliding(kernel=(2,)))),
        ("torch", PoolSpec(reduction=Lp(p=2), windows=Sliding(kernel=(2,), padding=((1, 1),)))),
    ],
    ids=["tensorflow", "torch"],
)
def test_has_the_gaps_of_its_adapter(name, spec):
    """A recorded framework cannot be asked what its adapter cannot say."""
    reason = recorded(name).gap(Case(spec=spec, x=np.zeros((1, 1, 4), np.float32)))
    assert reason is not None
    assert reason.startswith("cannot say: ")
