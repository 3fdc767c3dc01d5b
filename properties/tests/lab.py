"""Small images, and backends to put them to."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st

import backends
from properties.steps import Steps

FRAMEWORKS = ("torch", "tensorflow")
sizes = st.integers(1, 9)
grays = st.binary(min_size=1, max_size=48)


def grid(pixels: bytes, height: int, width: int) -> np.ndarray:
    """Gray levels tiled over an image of shape (1, 1, height, width)."""
    return np.resize(np.frombuffer(pixels, np.uint8), (1, 1, height, width)).astype(np.float32)


def asking(name: str = "numpy") -> Steps:
    """One of our own backends at work, or a skip with the reason."""
    try:
        return Steps(backends.load(name))
    except backends.BrokenBackend as error:
        pytest.skip(str(error))


class Defective:
    """The NumPy backend with every pooled map changed in one way."""

    def __init__(self, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        self.sound = backends.load("numpy")
        self.name, self.version, self.capabilities = "defective", "1", self.sound.capabilities
        self.spoil = spoil

    def gap(self, case):
        return self.sound.gap(case)

    def bind(self, case):
        return self.sound.bind(case)

    def fetch(self, native):
        return self.spoil(self.sound.fetch(native))
