"""What the experiments look at: bundled photographs, and patterns that are drawn."""

import importlib.util
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import images, invariance
from properties.tests.lab import grays, grid

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed: it ships the photographs"
)


def test_photographs_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every photograph and the two classes come out of the installed package, as whole gray levels."""
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a photograph was looked for elsewhere"))
    images._gray.cache_clear()
    found = [photograph.gray() for photograph in images.PHOTOGRAPHS.values()] + [images.two_classes()[0]]
    assert {image.dtype.name for image in found} == {"float32"}
    assert all(image.min() >= 0 and image.max() <= 255 and (image == np.rint(image)).all() and image.std() > 10 for image in found)


def test_every_source_says_who_and_on_what_terms() -> None:
    """Each photograph, and the set of two classes, names its title, author and licence."""
    sources = [*images.PHOTOGRAPHS.values(), images.TWO_CLASSES]
    assert [source.name for source in sources if not (source.title and source.author and source.licence)] == []


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, 5), (-2, 4)], ids=str)
def test_a_crop_moves_the_scene(shift: tuple[int, int]) -> None:
    """A crop of a shifted scene has each pixel where it was, moved by the shift."""
    photograph, (down, right) = images.PHOTOGRAPHS["chelsea"], shift
    still, crop = photograph.crop(64), photograph.crop(64, shift)
    inner = (slice(8, 56), slice(8, 56))
    np.testing.assert_array_equal(crop[0, 0][8 + down : 56 + down, 8 + right : 56 + right], still[0, 0][inner])


def test_a_crop_past_the_border_is_refused() -> None:
    """A crop larger than its photograph is an error that names the photograph and its size."""
    with pytest.raises(ValueError, match=r"crop of 320 shifted by \(0, 0\): chelsea has 300×451 pixels"):
        images.PHOTOGRAPHS["chelsea"].crop(320)


@given(pixels=grays, down=st.integers(-3, 3), right=st.integers(-3, 3))
def test_moving_replicates_the_border(pixels: bytes, down: int, right: int) -> None:
    """A moved image has at each place the pixel that the shift brings there, or the nearest one to it."""
    image = grid(pixels, 5, 4)
    rows, columns = (np.clip(np.arange(size) - by, 0, size - 1) for size, by in ((5, down), (4, right)))
    np.testing.assert_array_equal(images.moved(image, (down, right))[0, 0], image[0, 0][np.ix_(rows, columns)])


def test_every_circle_stays_inside_under_every_shift() -> None:
    """No shift moves a pixel of the largest circle out of the field, nor replicates one."""
    lit = [np.count_nonzero(images.moved(images.circle(), shift)) for shift in invariance.shifts()]
    assert set(lit) == {np.count_nonzero(images.circle())}


def test_smooth_maps_are_smooth_and_seeded() -> None:
    """Maps with a decaying spectrum are whole numbers up to ±100, the same for a seed, smoother than noise."""
    maps = images.smooth_maps(8, 5, seed=0)
    rough = images.smooth_maps(8, 5, seed=0, decay=0)
    np.testing.assert_array_equal(maps, images.smooth_maps(8, 5, seed=0))
    assert not np.array_equal(maps, images.smooth_maps(8, 5, seed=1))
    assert maps.shape == (1, 8, 5, 5) and np.abs(maps).max() == 100 and (maps == np.rint(maps)).all()
    assert np.abs(np.diff(maps)).mean() < np.abs(np.diff(rough)).mean()
