"""What oneDNN hands back in a graph is predicted up to the order in which it adds, and no further."""

import numpy as np
import pytest

from backends import oracle, text
from properties.divergences_tensorflow import ROWS

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
