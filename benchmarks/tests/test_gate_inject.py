"""A known slowdown is real work, of the kind that the call cannot hide."""

import numpy as np
import pytest

from backends.interface import Case
from backends.spec import Max, PoolSpec, Sliding
from benchmarks import gate_inject
from benchmarks.gate_inject import BACKEND, LARGE, SHARE, Copies, Slowed, looped

SPEC = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2)))


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch) -> Slowed:
    """The NumPy backend, slowed by seven turns of whatever work a call gets."""
    monkeypatch.setenv(BACKEND, "numpy")
    monkeypatch.setenv(SHARE, "0.05")
    monkeypatch.setattr(gate_inject, "turns_of", lambda call, work, share: 7)
    return Slowed()


def test_copies_meet_other_memory_each_time() -> None:
    """Each turn copies the part after the last one's, and after all of them the first again."""
    copies = Copies()
    copies(3)
    copies(2)
    assert copies.target[:5].all() and not copies.target[5:].any()
    copies(len(copies.target) - 5)
    assert copies.target.all()
    copies.target[...] = 0
    copies(1)
    assert copies.target[0].all() and not copies.target[1:].any()


@pytest.mark.parametrize("side, copied", [(32, False), (2 * int((LARGE / 16) ** 0.5 + 1), True)])
def test_what_waits_for_memory_is_slowed_by_copying(slowed: Slowed, side: int, copied: bool) -> None:
    """A large input's call is preceded by copies, a small one's by turns of a loop, and the answer is the backend's own."""
    x = np.random.default_rng(0).random((1, 1, side, side), np.float32)
    call = slowed.bind(Case(spec=SPEC, x=x))
    assert (call.work is looped, isinstance(call.work, Copies)) == (not copied, copied)
    np.testing.assert_array_equal(slowed.fetch(call()), x.reshape(1, 1, side // 2, 2, side // 2, 2).max(axis=(3, 5)))
    if copied:
        assert call.work.target[:7].all() and not call.work.target[7:].any()
