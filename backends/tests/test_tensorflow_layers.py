"""TensorFlow's and Keras' layers, as the image experiments use them, against NumPy by definition."""

import warnings

import numpy as np
import pytest

import backends


@pytest.fixture(scope="module")
def eager():
    """TensorFlow, eager, on CPU."""
    try:
        return backends.load("tensorflow")
    except backends.BrokenBackend as error:
        pytest.skip(str(error))


def whole(*shape):
    """Whole numbers in some order, whose products and sums are exact."""
    return np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)


EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)


def correlated(x, kernel):
    """Cross-correlation of the last two axes, by definition."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.einsum("ncyxij,ij->ncyx", np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(2, 3)), kernel)


def test_convolution_is_cross_correlation(eager):
    """The kernel is not flipped, and zeros surround the image."""
    x = whole(2, 3, 4, 6)
    assert np.array_equal(eager.convolve(x, EMBOSS), correlated(x, EMBOSS))


@pytest.mark.parametrize("kernel", [EDGES, EMBOSS], ids=["edges", "emboss"])
def test_layers_filter_detect_and_condense(eager, kernel):
    """Keras' layers give the map of convolving, rectifying and pooling 2×2 with SAME."""
    image = whole(2, 1, 5, 7)
    active = np.maximum(correlated(image, kernel), 0)
    cells = np.pad(active, ((0, 0), (0, 0), (0, 1), (0, 1))).reshape(2, 1, 3, 2, 4, 2)
    assert np.array_equal(eager.layers(image, kernel), cells.max(axis=(3, 5)))


def test_features_need_a_file_of_weights(eager):
    """Without weights, or with a path that leads nowhere, nothing is downloaded and nothing computed."""
    images = np.zeros((1, 3, 32, 32), np.uint8)
    with pytest.raises(ValueError, match="weights=None"):
        eager.features(images, None)
    with pytest.raises(FileNotFoundError, match="imagenet"):
        eager.features(images, "imagenet")


def test_features_are_those_of_the_network_with_these_weights(eager, tmp_path):
    """Given a file, the base is VGG16's with those weights, on images in our order of axes."""
    vgg16 = eager.tf.keras.applications.vgg16
    base = vgg16.VGG16(include_top=False, weights=None, input_shape=(32, 64, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras 3.15 hands NumPy 2 an array in an old way
        base.save_weights(tmp_path / "base.weights.h5")
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 64)).astype(np.uint8)
    expected = base(vgg16.preprocess_input(np.moveaxis(images, 1, -1).astype(np.float32))).numpy()
    got = eager.features(images, str(tmp_path / "base.weights.h5"))
    assert got.shape == (2, 512, 1, 2)
    np.testing.assert_array_equal(np.moveaxis(got, 1, -1), expected)
