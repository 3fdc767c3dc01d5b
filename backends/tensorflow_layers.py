"""Layers of networks in TensorFlow and Keras, for the image experiments; TensorFlow is handed in."""

from pathlib import Path
from typing import Any

import numpy as np

from backends.interface import Unsupported
from backends.translate import ordered, restored


def convolve(tf: Any, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlate each channel of x, (N, C, H, W), with a kernel, (kh, kw), zeros around it: float32 of x's shape."""
    planes = tf.constant(x.reshape(-1, *x.shape[2:], 1), tf.float32)
    filters = tf.constant(kernel[:, :, None, None], tf.float32)
    return tf.nn.conv2d(planes, filters, strides=1, padding="SAME").numpy().reshape(x.shape)


def layers(tf: Any, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Keras' Conv2D, ReLU and MaxPool2D (2×2, stride 2, SAME): (N, 1, H, W) to (N, 1, ⌈H/2⌉, ⌈W/2⌉), float32."""
    keras = _keras(tf)
    convolution = keras.layers.Conv2D(1, kernel.shape, padding="same", use_bias=False)
    pooling = keras.layers.MaxPool2D(pool_size=2, strides=2, padding="same")
    model = keras.Sequential([keras.Input((*image.shape[2:], 1)), convolution, keras.layers.ReLU(), pooling])
    convolution.set_weights([kernel[:, :, None, None].astype(np.float32)])
    return restored(model(_channels_last(tf, image)).numpy(), "channels_last")


def features(tf: Any, images: np.ndarray, weights: str | None) -> np.ndarray:
    """What VGG16's convolutional base makes of images: (N, 3, H, W) in 0 … 255 to (N, 512, H/32, W/32), float32.

    Raises:
        ValueError: `weights` is None.
        FileNotFoundError: there is no such file; nothing is downloaded.
    """
    if weights is None:
        raise ValueError("weights=None: VGG16 needs a file of weights")
    if not Path(weights).is_file():
        raise FileNotFoundError(f"weights={weights!r}: there is no such file")
    vgg16 = _keras(tf).applications.vgg16
    base = vgg16.VGG16(include_top=False, weights=weights, input_shape=(*images.shape[2:], 3))
    return restored(base(vgg16.preprocess_input(_channels_last(tf, images)), training=False).numpy(), "channels_last")


def _channels_last(tf: Any, images: np.ndarray) -> Any:
    return tf.constant(ordered(images.astype(np.float32), "channels_last"))


def _keras(tf: Any) -> Any:
    """Keras, which computes with whatever KERAS_BACKEND named when it was first imported.

    Raises:
        Unsupported: with something else than TensorFlow.
    """
    keras = tf.keras
    if keras.backend.backend() != "tensorflow":
        raise Unsupported(f"Keras computes with {keras.backend.backend()} in this process, not with TensorFlow")
    return keras
