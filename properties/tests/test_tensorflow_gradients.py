"""What oneDNN hands back in a graph is predicted up to the order in which it adds, and no further."""

import numpy as np
import pytest

from backends import oracle, text
from properties.divergences_tensorflow import ROWS
from properties.tensorflow_gradients import select_and_scatter_picks

LINE = "max sliding kernel=7 stride=1 gradient channels_last x={0}:1,1,14:0,1,-nan,... cotangent={0}:1,1,8:1,-0.1,..."


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)])
def test_any_order_of_addition_is_excused(dtype: str, order: tuple[int, ...]) -> None:
    """The cotangents of the windows that oneDNN gives one element may be added in any order, in float32, and are rounded once."""
    row, case = _asked(dtype)
    given = np.float32([-0.1, 1, -0.1]).astype(case.x.dtype).astype(np.float32)
    total = np.float32(0)
    for term in given[list(order)]:
        total = total + term
    assert row.explains(case, _answer(row, case, total), oracle.pool(case))[0, 0, 7]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("total", [0.9, 1, -0.1, 0, 0.81])
def test_another_sum_is_not(dtype: str, total: float) -> None:
    """A cotangent too few, or a sum that is off by more than rounding, is not excused."""
    row, case = _asked(dtype)
    assert not row.explains(case, _answer(row, case, total), oracle.pool(case))[0, 0, 7]


def _asked(dtype):
    return next(row for row in ROWS if row.id == "tf-max-gradient-onednn"), text.parse(LINE.format(dtype))[1]


def _answer(row, case, total):
    answer = np.array(row.predict(case, None)).astype(case.x.dtype)
    answer[0, 0, 7] = total
    return answer


@pytest.mark.parametrize(
    "x, picks",
    [
        ("0,nan,0,0", [3, 3, 2, 3]),
        ("1,nan,0,0", [3, 3, 2, 3]),
        ("0,nan,nan,0", [3, 3, 3, 3]),
        ("0,0,nan,0", [1, 1, 3, 3]),
        ("0,1,1,0", [2, 1, 2, 3]),
        ("nan,1,0,0", [1, 1, 2, 3]),
    ],
)
def test_xla_picks(x: str, picks: list[int]) -> None:
    """XLA's pick goes on from the first columns of a window to the last one, as it was seen to do by TensorFlow 2.21, cotangent by cotangent."""
    _, case = text.parse(
        f"max sliding kernel=2,2 stride=1,1 padding=same_upper gradient channels_first x=float32:1,1,2,2:{x} cotangent=float32:1,1,2,2:1x4"
    )
    assert select_and_scatter_picks(case).tolist() == [picks]
