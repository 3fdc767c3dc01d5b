"""Sums of some of the cotangents that go to an element are told from other numbers."""

import numpy as np
import pytest

from properties.tensorflow_wide_windows import FEW, nearest_sum


@pytest.mark.parametrize(
    "terms, answer, nearest",
    [
        ([1, 4], 0, 0), ([1, 4], 5, 5), ([1, 4], 3, 4), ([1, 4], 77, 5), ([1, -4], -9, -4), ([], 2, 0),
        ([np.inf, 1], np.inf, np.inf), ([np.inf, 1], 1, 1), ([np.inf, 1], np.nan, 0), ([np.inf, -np.inf], np.nan, np.nan),
        ([1] * (FEW + 1), 2.5, 2.5), ([1] * (FEW + 1), 99, FEW + 1), ([1] * (FEW + 1), -1, 0),
        ([np.nan] + [1] * FEW, np.nan, np.nan), ([1] * FEW + [np.inf], -np.inf, 0),
    ],
)  # fmt: skip
def test_nearest_sum(terms: list[float], answer: float, nearest: float) -> None:
    """Of few terms each partial sum is one of its own, of many anything between the extremes; what is not finite decides."""
    np.testing.assert_equal(nearest_sum(np.array(terms, np.float64), answer), nearest)
