"""The NumPy backend's convolution, which the image experiments use."""

import math

import numpy as np
import pytest

from backends.numpy_backend import NumpyBackend


@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (1, 4)])
def test_convolution_is_a_cross_correlation_with_zeros_around(shape):
    """Each output is the sum of kernel times input over the window, an even kernel's odd zero coming after."""
    x, kernel = (
        np.arange(2 * 2 * 5 * 6, dtype=np.float32).reshape(2, 2, 5, 6),
        np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape),
    )
    expected = np.zeros_like(x)
    for (i, j), weight in np.ndenumerate(kernel):
        down, right = i - (shape[0] - 1) // 2, j - (shape[1] - 1) // 2
        rows, columns = range(max(0, -down), min(5, 5 - down)), range(max(0, -right), min(6, 6 - right))
        expected[:, :, rows.start : rows.stop, columns.start : columns.stop] += (
            weight * x[:, :, rows.start + down : rows.stop + down, columns.start + right : columns.stop + right]
        )
    got = NumpyBackend().convolve(x, kernel)
    assert got.dtype == np.float32 and np.array_equal(got, expected)


def test_convolution_refuses_other_ranks():
    """An image without a batch is an error that shows the shapes."""
    with pytest.raises(ValueError, match=r"x \(5, 5\) and kernel \(3, 3\)"):
        NumpyBackend().convolve(np.ones((5, 5)), np.ones((3, 3)))
