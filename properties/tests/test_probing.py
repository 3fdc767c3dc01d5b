"""The linear probe, its filters and its statistics."""

import importlib.util

import numpy as np
import pytest

from properties import probing
from properties.steps import BLURRED_MAX, MAX
from properties.tests.lab import asking

pytestmark = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed: it fits the probes")


def test_the_bank_has_eight_directions() -> None:
    """The bank's first kernels are Sobel's, turned: each the negative of the one four turns on, none summing to more than 0."""
    compass = probing.compass()
    np.testing.assert_array_equal(compass[0], [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    np.testing.assert_array_equal(compass[2], [[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    np.testing.assert_array_equal(np.array(compass[4:]), -np.array(compass[:4]))
    assert {float(kernel.sum()) for kernel in probing.BANK} == {0.0}


def test_a_flat_image_has_no_features() -> None:
    """The bank sees nothing in an image of one gray level, not even its frame."""
    assert not probing.filtered(asking(), np.full((2, 1, 5, 6), 200, np.float32)).any()


def test_a_probe_judges_what_it_was_not_shown() -> None:
    """A probe learns what can be learnt, guesses what cannot, and judges each image once, hidden."""
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 60)
    noise = draw.normal(size=(120, 3))
    learnt, guessed = (probing.Probe.fit(features, labels) for features in (noise + 4 * labels[:, np.newaxis], noise))
    assert np.mean(learnt.decisions == labels) > 0.95
    assert 0.3 < np.mean(guessed.decisions == labels) < 0.7
    assert sorted(np.concatenate(learnt.held_out)) == list(range(120))
    np.testing.assert_array_equal(learnt.decide(noise + 4 * labels[:, np.newaxis]), learnt.decisions)


def test_an_interval_by_hand() -> None:
    """Wilson's 95 % interval of 8 in 10 is 0.490 to 0.943."""
    assert [round(end, 3) for end in probing.interval(8, 10)] == [0.490, 0.943]


@pytest.mark.parametrize("gained, lost, verdict", [(30, 2, True), (2, 30, False), (6, 5, None), (0, 0, None)])
def test_too_few_images_cannot_tell(gained: int, lost: int, verdict: bool | None) -> None:
    """A method is steadier, less steady, or not told apart, by the images that stay for one and not for the other."""
    stays = np.ones((2, probing.DEPTH, 4, 100))
    stays[0, 0, 0, :gained] = 0.5
    stays[1, 0, 0, 50 : 50 + lost] = 0.5
    found, text = probing.steadier({"max": stays[0], "blurred max": stays[1]}, MAX, BLURRED_MAX)
    assert found is verdict
    assert f"steadier on {gained} images, less steady on {lost}" in text
