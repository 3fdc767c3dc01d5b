"""What a small shift does to a pooled map, on small ones."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import invariance
from properties.steps import AVERAGE, BLURRED_SUBSAMPLING, MAX
from properties.tests.lab import asking, grays, grid

pytestmark = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed: it draws the circle")


def test_the_tutorials_circle_and_another() -> None:
    """Four max poolings forget every shift of the circle of radius 28, three forget none, and of radius 24 most stay."""
    tutorial, another = (invariance.forgotten(invariance.circle_maps(asking(), MAX, radius)) for radius in (28, 24))
    assert np.sort(tutorial).tolist() == [1] + [4] * 48
    assert np.sum(another <= 4) == 4 and another[invariance.MOVED] == 5


@given(pixels=grays, down=st.integers(0, 15), right=st.integers(0, 15))
def test_means_of_blurred_maps_do_not_shift(pixels: bytes, down: int, right: int) -> None:
    """Averages and blurs over borders that wrap weigh all pixels alike: no shift changes the mean of what is left."""
    image = grid(pixels, 16, 16)
    moved = np.roll(image, (down, right), axis=(2, 3))
    steps = asking()
    both = [[invariance.means(steps, each, method) for method in (AVERAGE, BLURRED_SUBSAMPLING)] for each in (image, moved)]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (1, 1), (5, 2), (7, 15)], ids=str)
def test_adaptive_polyphase_sampling_forgets_shifts(shift: tuple[int, int]) -> None:
    """A shift over borders that wrap only shifts the output of adaptive polyphase sampling, and no mean."""
    image = np.random.default_rng(3).integers(0, 256, (2, 1, 16, 16)).astype(np.float32)
    moved = np.roll(image, shift, axis=(2, 3))
    once, of_moved = (invariance.adaptive_polyphase(asking(), each) for each in (image, moved))
    assert not np.array_equal(once, asking().halve(image, MAX)), "a grid other than the first should be chosen for one of these images"
    np.testing.assert_array_equal(np.sort(once, axis=None), np.sort(of_moved, axis=None))
    np.testing.assert_array_equal(invariance.means(asking(), image, None), invariance.means(asking(), moved, None))


def test_change_is_between_nothing_and_unrelated() -> None:
    """A map has changed by 0 from itself, and by about 1 from an unrelated one, whatever its gray levels."""
    draw = np.random.default_rng(0)
    maps, others = (draw.normal(100, 40, (3, 1, 64, 64)) for _ in range(2))
    assert invariance.change(maps, maps).tolist() == [0, 0, 0]
    np.testing.assert_allclose(invariance.change(maps, others), 1, atol=0.05)
    np.testing.assert_allclose(invariance.change(maps, others), invariance.change(7 * maps + 3, 7 * others + 3))
