"""What pooling does to an image, on small ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import condensing, images
from properties.steps import AVERAGE, MAX
from properties.tests.lab import asking, grays, grid

positions = st.tuples(st.integers(0, 31), st.integers(0, 31))


@pytest.mark.parametrize(
    "first, second, depth",
    [((0, 0), (0, 1), 1), ((0, 1), (0, 2), 2), ((0, 3), (0, 4), 3), ((1, 7), (0, 8), 4), ((0, 15), (0, 16), 5), ((15, 3), (16, 3), 5)],
    ids=str,
)
def test_a_shared_cell_by_hand(first: tuple[int, int], second: tuple[int, int], depth: int) -> None:
    """The cell that two pixels share is the smallest of 2, 4, 8 or 16 that has both between its borders; 5 is none."""
    assert condensing.shared_cell(first, second) == depth


@given(first=positions, second=positions)
def test_two_dots_merge_with_their_cell(first: tuple[int, int], second: tuple[int, int]) -> None:
    """Two dots become one after as many poolings as it takes for one cell to have both."""
    pair = images.dots([(first, second)], 32)
    expected = 1 if first == second else condensing.shared_cell(first, second)
    assert condensing.merge_depths(asking(), pair).tolist() == [expected]


def test_the_sweep_has_every_distance_at_every_offset() -> None:
    """The pairs of the sweep differ, lie inside the field, and have each distance at each offset in a cell."""
    swept = condensing.pairs()
    assert len(set(swept)) == len(swept) == 3 * len(condensing.DISTANCES) * len(condensing.OFFSETS)
    assert max(coordinate for pair in swept for dot in pair for coordinate in dot) < condensing.FIELD
    assert {(second[1] - first[1], first[1] % 16) for first, second in swept if first[0] == second[0]} == {
        (distance, offset) for distance in condensing.DISTANCES for offset in condensing.OFFSETS
    }


@given(pixels=grays, height=st.integers(1, 3), width=st.integers(1, 3))
def test_averages_keep_the_mean_and_lose_contrast(pixels: bytes, height: int, width: int) -> None:
    """Average pooling 2×2 of whole cells keeps the mean exactly at every depth, and never adds contrast."""
    image = grid(pixels, 8 * height, 8 * width)
    levels = condensing.gray_levels([image, *asking().depths(image, AVERAGE, 3)])
    assert (levels["mean"] == levels["mean"][0]).all()
    assert (np.diff(levels["contrast"]) <= 1e-12 * 255).all()


@given(pixels=grays, height=st.integers(1, 3), width=st.integers(1, 3))
def test_max_keeps_the_peak(pixels: bytes, height: int, width: int) -> None:
    """Max pooling keeps the brightest pixel at every depth, and never darkens the mean."""
    image = grid(pixels, 8 * height, 8 * width)
    levels = condensing.gray_levels([image, *asking().depths(image, MAX, 3)])
    assert (levels["brightest"] == image.max()).all() and (np.diff(levels["mean"]) >= 0).all()


@pytest.mark.parametrize(
    "name, mean, contrast, brightest",
    [
        ("average", [9, 9.5], [5, 4], [20, 19]),
        ("average", [9, 9], [5, 6], [20, 19]),
        ("average", [9, 9], [5, 4], [20, 20]),
        ("max", [9, 9], [5, 5], [20, 20]),
        ("max", [9, 10], [5, 5], [20, 19]),
    ],
)
def test_a_broken_claim_about_gray_levels_is_seen(name: str, mean: list, contrast: list, brightest: list) -> None:
    """Gray levels of which one goes otherwise than claimed are not as claimed."""
    levels = {"mean": np.array(mean), "contrast": np.array(contrast), "brightest": np.array(brightest)}
    assert not condensing.as_claimed(name, levels)
