"""The steps of the experiments: what halves a map, and what is compared between backends."""

import numpy as np
import pytest
from hypothesis import given

from properties import condensing, images
from properties.steps import (
    AVERAGE,
    BLURRED_MAX,
    BLURRED_SUBSAMPLING,
    MAX,
    METHODS,
    SUBSAMPLING,
    Steps,
    active,
    digest,
    fingerprint,
)  # fmt: skip
from properties.tests import strangers
from properties.tests.lab import FRAMEWORKS, asking, grays, grid, sizes

RAMP = np.array([[1, -2], [3, 5]], np.float32)


@pytest.mark.parametrize("method", [MAX, AVERAGE], ids=lambda method: method.title)
@given(pixels=grays, height=sizes, width=sizes)
def test_halving_is_same_padding(method, pixels: bytes, height: int, width: int) -> None:
    """Max and average pooling of whole windows over a replicated border give what SAME padding gives."""
    steps, image = asking(), grid(pixels, height, width)
    (stage,) = method.stages
    same = steps.pool(image, stage.reduction, kernel=2, stride=2, padding="same_upper")
    np.testing.assert_array_equal(steps.halve(image, method), same)


@given(pixels=grays, height=sizes, width=sizes)
def test_subsampling_is_a_strided_slice(pixels: bytes, height: int, width: int) -> None:
    """Max pooling of one element at stride 2 takes every other pixel."""
    image = grid(pixels, height, width)
    np.testing.assert_array_equal(asking().halve(image, SUBSAMPLING), image[:, :, ::2, ::2])


@pytest.mark.parametrize("name", ["numpy", *FRAMEWORKS])
def test_two_averages_are_the_binomial_blur(name: str) -> None:
    """Averaging over 2 at stride 1 and again at stride 2 is the filter [1 2 1]/4 on each axis, at every other pixel."""
    steps = asking(name)
    image = grid(bytes(range(7, 250, 5)), 8, 6)
    binomial = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)
    blurred = steps.convolve(image, binomial)[:, :, 1:-1:2, 1:-1:2] / 16
    np.testing.assert_array_equal(steps.halve(image, BLURRED_SUBSAMPLING)[:, :, :-1, :-1], blurred[:, :, :3, :2])


def test_a_blurred_max_is_dense_max_pooling_then_the_blur() -> None:
    """Blurred max pooling is max pooling at stride 1 with the blur and the subsampling after it."""
    image = grid(bytes(range(3, 240, 11)), 6, 8)
    padded = images.replicated(image, after=1)
    dense = np.maximum.reduce([padded[:, :, down : down + 6, right : right + 8] for down in (0, 1) for right in (0, 1)])
    np.testing.assert_array_equal(asking().halve(image, BLURRED_MAX), asking().halve(dense, BLURRED_SUBSAMPLING))


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 4)], ids=str)
@pytest.mark.parametrize("kernel", condensing.KERNELS.values(), ids=condensing.KERNELS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_layers_give_the_steps_of_an_adapter(framework: str, kernel: np.ndarray, size: tuple[int, int]) -> None:
    """A framework's own layers give what convolution, ReLU and SAME max pooling give one by one."""
    steps = asking(framework)
    image = grid(bytes(range(0, 251, 7)), *size)
    detected = np.maximum(steps.convolve(image, kernel), 0)
    in_steps = asking().pool(detected, MAX.stages[0].reduction, kernel=2, stride=2, padding="same_upper")
    np.testing.assert_array_equal(steps.backend.layers(image, kernel), in_steps)


@pytest.mark.parametrize("name", ["numpy", *FRAMEWORKS])
def test_a_convolution_is_cross_correlation_with_zeros_around(name: str) -> None:
    """A convolution multiplies the kernel, unturned, with the image in a frame of zeros."""
    steps = asking(name)
    image = np.zeros((1, 1, 4, 5), np.float32)
    image[0, 0, 1, 2] = 1
    image[0, 0, 3, 4] = 10
    emboss = np.zeros((1, 1, 4, 5), np.float32)
    emboss[0, 0, :3, 1:4] = condensing.EMBOSS[::-1, ::-1]
    emboss[0, 0, 2:, 3:] += 10 * condensing.EMBOSS[::-1, ::-1][:2, :2]
    np.testing.assert_array_equal(steps.convolve(image, condensing.EMBOSS), emboss)


def test_what_a_backend_cannot_be_asked_is_said_once() -> None:
    """Methods that a stranger cannot be asked are left out, and named with their common reason."""
    methods, remark = Steps(strangers.Sound()).able(METHODS)
    assert methods == [MAX, SUBSAMPLING]
    assert remark == " Not asked for average and blurred subsampling and blurred max (not in its capabilities: average pooling)."


def test_a_digest_is_of_values() -> None:
    """Digests are equal for equal values of one shape: the sign of a zero and the dtype do not count, all else does."""
    zeros = np.array([[0.0, 1.0]], np.float32)
    assert digest(zeros) == digest(-zeros * [[1, -1]]) == digest(zeros.astype(np.int64))
    assert len({digest(zeros), digest(zeros.T), digest(zeros + np.float32(1e-3)), digest(zeros[:, ::-1])}) == 4


def test_a_digest_of_parts_forgives_rounding_alone() -> None:
    """Twenty-fifths that differ in their last bit have one digest; those that differ by a twenty-fifth have not."""
    means = np.array([7, 13], np.float32) / np.float32(25)
    assert digest(means, parts=25) == digest(np.nextafter(means, np.float32(1)), parts=25)
    assert digest(means, parts=25) != digest(means + np.float32(1 / 25), parts=25)
    assert digest(means) != digest(np.nextafter(means, np.float32(1)))


def test_a_fingerprint_depends_on_every_digest() -> None:
    """The fingerprint of an experiment changes with each of its digests, and fits a float64."""
    marks = {"a": digest(RAMP), "b": digest(-RAMP)}
    assert fingerprint(marks) != fingerprint({**marks, "b": digest(RAMP)})
    assert fingerprint(marks) == fingerprint(dict(reversed(marks.items()))) < 2**48


def test_activity_is_what_is_above_zero() -> None:
    """The share of active pixels counts those above 0, not those that differ from 0."""
    assert active(np.array([-1.0, 0.0, 2.0, 3.0])) == 0.5
