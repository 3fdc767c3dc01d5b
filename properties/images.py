"""What the experiments look at: photographs with their sources and licences, and drawn patterns.

The photographs and the two-class set lie inside the scikit-image package itself: nothing is
downloaded. Pixels are whole numbers 0…255 in float32, so that filters with whole weights and
averages over 4 taps are exact, and every backend must give the very same map.
"""

import functools
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

Shift = tuple[int, int]
"""How far content moves, in pixels: (down, right)."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a picture comes from, and what allows its use."""

    name: str
    title: str
    author: str
    licence: str
    url: str

    def credit(self) -> dict[str, str]:
        """The source as plain data, for whoever draws the picture."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Photograph(Source):
    """A photograph of `skimage.data`, by the name of its function there."""

    def gray(self) -> np.ndarray:
        """Its gray levels, shape (1, 1, H, W)."""
        return _gray(self.name)[np.newaxis, np.newaxis]

    def crop(self, size: int, shift: Shift = (0, 0)) -> np.ndarray:
        """The middle `size`×`size` pixels of the scene after it moved by `shift`, shape (1, 1, size, size).

        What moves in at a border is the rest of the photograph.

        Raises:
            ValueError: the photograph is too small for that.
        """
        image = _gray(self.name)
        top, left = ((extent - size) // 2 - moved for extent, moved in zip(image.shape, shift, strict=True))
        if min(top, left) < 0 or top + size > image.shape[0] or left + size > image.shape[1]:
            raise ValueError(f"crop of {size} shifted by {shift}: {self.name} has {image.shape[0]}×{image.shape[1]} pixels")
        return image[np.newaxis, np.newaxis, top : top + size, left : left + size]


PHOTOGRAPHS = {
    photograph.name: photograph
    for photograph in (
        Photograph(name="camera", title="Cameraman", author="Lav Varshney", licence="CC0", url="https://github.com/scikit-image/scikit-image/issues/3927"),
        Photograph(name="astronaut", title="Eileen Collins", author="NASA", licence="public domain", url="https://flic.kr/p/r9qvLn"),
        Photograph(name="coffee", title="Coffee cup", author="Rachel Michetti, courtesy of Pikolo Espresso Bar", licence="CC0", url=""),
        Photograph(name="chelsea", title="Chelsea the cat", author="Stefan van der Walt", licence="CC0", url=""),
        Photograph(
            name="rocket", title="Launch of DSCOVR", author="SpaceX", licence="public domain",
            url="https://www.flickr.com/photos/spacexphotos/16511594820/",
        ),
        Photograph(name="brick", title="Brick wall", author="CC0Textures", licence="CC0", url="https://cc0textures.com/view.php?tex=Bricks25"),
        Photograph(name="gravel", title="Gravel", author="CC0Textures", licence="CC0", url="https://cc0textures.com/view.php?tex=Gravel04"),
        Photograph(name="clock", title="Clock in motion", author="Stefan van der Walt", licence="public domain", url=""),
    )
}  # fmt: skip

TWO_CLASSES = Source(
    name="lfw_subset",
    title="100 faces and 100 backgrounds, from Labeled Faces in the Wild",
    author="G. Huang, M. Mattar, H. Lee and E. Learned-Miller",
    licence="a research data set; crops of 25×25 pixels, shipped with scikit-image",
    url="http://vis-www.cs.umass.edu/lfw/",
)


@functools.cache
def _gray(name: str) -> np.ndarray:
    """Rec. 601 luma, rounded to whole gray levels by integer arithmetic."""
    import skimage.data

    image = getattr(skimage.data, name)()
    if image.ndim == 3:
        image = (image.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000
    image = image.astype(np.float32)
    image.flags.writeable = False
    return image


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    """(images, labels): shapes (200, 1, 25, 25) and (200,); label 1 is a face, 0 a background."""
    import skimage.data

    images = np.rint(skimage.data.lfw_subset() * 255).astype(np.float32)
    return images[:, np.newaxis], np.repeat([1, 0], 100)


def circle(size: int = 64, radius: int = 28) -> np.ndarray:
    """A bright one-pixel circle on black, shape (1, 1, size, size), centred on pixel (size/2, size/2)."""
    from skimage.draw import circle_perimeter

    image = np.zeros((1, 1, size, size), np.float32)
    rows, columns = circle_perimeter(size // 2, size // 2, radius)
    image[0, 0, rows, columns] = 255
    return image


def dots(pairs: Iterable[tuple[Shift, Shift]], size: int) -> np.ndarray:
    """One image a pair of positions, two bright pixels on black, shape (N, 1, size, size)."""
    positions = np.array(list(pairs))
    images = np.zeros((len(positions), 1, size, size), np.float32)
    for dot in (0, 1):
        rows, columns = positions[:, dot].T
        images[np.arange(len(positions)), 0, rows, columns] = 255
    return images


def smooth_maps(count: int, size: int, *, seed: int, decay: float = 2.0, peak: int = 100) -> np.ndarray:
    """Random smooth maps of whole numbers in ±`peak`, shape (1, count, size, size).

    Noise whose spectrum falls with the `decay`-th power of the frequency.
    """
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((count, size, size)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1 / size
    maps = np.fft.ifft2(noise * frequency**-decay).real
    return np.rint(maps / np.abs(maps).max(axis=(1, 2), keepdims=True) * peak).astype(np.float32)[np.newaxis]


def moved(images: np.ndarray, shift: Shift) -> np.ndarray:
    """Images of shape (N, C, H, W) with their content moved, and the border replicated into the gap."""
    (down, right), (height, width) = shift, images.shape[2:]
    margin = max(abs(down), abs(right))
    padded = replicated(images, before=margin, after=margin)
    return padded[:, :, margin - down : margin - down + height, margin - right : margin - right + width]


def replicated(images: np.ndarray, *, before: int = 0, after: int = 0, mode: str = "edge") -> np.ndarray:
    """Images of shape (N, C, H, W) with their borders replicated, or wrapped around with mode="wrap"."""
    return np.pad(images, ((0, 0), (0, 0), (before, after), (before, after)), mode=mode)  # type: ignore[call-overload]
