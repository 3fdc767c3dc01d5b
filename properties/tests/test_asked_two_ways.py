"""Laws that ask one question two ways see a backend that answers them differently: those that no stand-in can be put to."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

import properties.test_paths
import properties.test_shape  # registers its laws
from backends.interface import Case
from backends.process import Remote
from backends.spec import Lp, PoolSpec, Sliding
from properties.laws import LawBroken, Trial
from properties.relations import assert_agree
from properties.subject import Subject
from properties.tests import strangers
from properties.tests.test_laws import QUICK, REGISTRY, Budget, broken

HERE = Path(strangers.__file__)


def broken_elsewhere(name: str, law: str) -> str:
    """What a law says of a stranger in a process of its own."""
    address = f"{HERE}:{name}"
    with Remote(address) as remote:
        trial = Trial(REGISTRY[law], Subject(remote, address=address), None, Budget(seconds=60))
        with pytest.raises(LawBroken) as raised:
            trial.law.test(trial, settings(QUICK, max_examples=5, phases=[Phase.generate]))
    return str(raised.value)


@pytest.mark.parametrize(
    "stranger, law, says",
    [
        (strangers.RecordsOtherwise, "with_a_gradient_recorded", "with a gradient recorded"),
        (strangers.PoolsOtherwiseBesideIndices, "with_indices", "beside the indices"),
        (strangers.InfersOtherwise, "static_shape", "static"),
    ],
)
def test_a_second_way_that_differs_is_seen(stranger, law: str, says: str) -> None:
    """Values that change while a gradient is recorded or beside indices, and a shape that is inferred wrongly, break their laws."""
    assert says in broken(stranger(), law)


@pytest.mark.parametrize(
    "stranger, says", [(strangers.LeavesOver, "call 2 gives other bits"), (strangers.RaisesLater, "called 4 times: IndexError")]
)
def test_what_is_left_over_is_seen(stranger, says: str) -> None:
    """A bound call that adds to what the last one left, or can be made once alone, breaks the law, here and in another process."""
    assert says in broken(stranger(), "called_again")
    assert says in broken_elsewhere(stranger.__name__, "called_again")


def test_a_binding_that_the_next_replaces_is_seen() -> None:
    """A backend that keeps the last binding alone breaks the law."""
    assert "expected" in broken(strangers.BindsOne(), "bound_beside_another")


def test_a_compiled_answer_that_differs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant that answers otherwise than what it is compiled from breaks the law."""
    monkeypatch.setitem(properties.test_paths.EAGER, "threaded", f"{HERE}:Sound")
    assert "compiled" in broken_elsewhere("Threaded", "eager_or_compiled")


def test_an_answer_that_depends_on_threads_is_seen() -> None:
    """A backend that loses an element on several threads breaks the law."""
    assert broken_elsewhere("Threaded", "one_thread_or_more")


def test_what_is_unspecified_may_differ() -> None:
    """A gradient where float16 has no number for the norm may be NaN one way and 0 the other; beside it, it may not."""
    x, cotangent = np.float16([[[65504, 65504, 3, 4]]]), np.float16([[[0, 1]]])
    case = Case(spec=PoolSpec(reduction=Lp(p=2), windows=Sliding(kernel=(2,))), x=x, output="gradient", cotangent=cotangent)
    zero = np.float16([[[0, 0, 0.6, 0.8]]])
    unspecified, wrong = zero.copy(), zero.copy()
    unspecified[..., 0] = wrong[..., 2] = np.nan
    assert_agree(case, zero, unspecified, "compiled")
    with pytest.raises(AssertionError, match=r"compiled: at \(0, 0, 2\) nan"):
        assert_agree(case, zero, wrong, "compiled")
