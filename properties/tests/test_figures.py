"""Figures as data: what an album refuses, and what it keeps."""

import json
from pathlib import Path

import numpy as np
import pytest

from properties.figures import Album, Axis, Bar, Bars, Chart, Curves, Heatmap, Images, Line, Panel, compact

RAMP = np.array([[1, -2], [3, 5]], np.float32)


def test_an_album_refuses_what_is_not_there() -> None:
    """A figure that names a missing array, or one of another dimension, is an error that names figure and array."""
    figure = Images(title="Two", rows=((Panel(array="a", title="A"),),))
    with pytest.raises(ValueError, match="figure 'Two': there is no array 'a'; there are b"):
        Album(arrays={"b": RAMP}, figures=(figure,))
    with pytest.raises(ValueError, match=r"figure 'Two': array 'a' has the shape \(2,\), expected 2-D"):
        Album(arrays={"a": RAMP[0]}, figures=(figure,))


def test_a_panel_refuses_a_scale_that_nobody_draws() -> None:
    """A panel's scale is one of those that the gallery draws."""
    with pytest.raises(ValueError, match="scale='rainbow': expected one of gray"):
        Panel(array="a", title="A", scale="rainbow")


def test_an_album_is_kept_as_the_convention_says(tmp_path: Path) -> None:
    """Every kind of figure comes back from its file as the convention describes it, with the arrays it names."""
    x, y = Axis(label="x", array="x"), Axis(label="y", unit="px", low=0)
    figures = (
        Images(title="pictures", rows=((Panel(array="m", title="M", scale="signed"),),)),
        Curves(title="curves", x=x, y=y, panels=(Chart(title="one", lines=(Line(array="x", title="X", low="x", high="x"),)),)),
        Heatmap(title="heat", array="m", x=x, y=Axis(label="y", array="x"), value=Axis(label="v"), names={"5": "never"}),
        Bars(title="bars", y=y, bars=(Bar(title="b", value=0.5),), references=(Bar(title="chance", value=0.25),)),
    )
    Album(arrays={"m": RAMP, "x": np.array([1, 2])}, figures=figures).save(tmp_path / "new" / "album.npz", {"title": "Überschrift"})
    with np.load(tmp_path / "new" / "album.npz", allow_pickle=False) as file:
        about = json.loads(str(file["about"][()]))
        np.testing.assert_array_equal(file["m"], RAMP)
        np.testing.assert_array_equal(file["x"], [1, 2])
    assert about["title"] == "Überschrift"
    assert [figure["kind"] for figure in about["figures"]] == ["images", "curves", "heatmap", "bars"]
    assert about["figures"][0]["rows"] == [[{"array": "m", "title": "M", "scale": "signed"}]]
    assert about["figures"][1]["panels"][0]["lines"] == [{"array": "x", "title": "X", "low": "x", "high": "x"}]
    assert about["figures"][2]["names"] == {"5": "never"} and about["figures"][2]["y"]["array"] == "x"
    assert about["figures"][3]["references"] == [{"title": "chance", "value": 0.25, "low": None, "high": None}]


@pytest.mark.parametrize(
    "values, dtype",
    [([0, 255], "uint8"), ([0.5, 255], "float16"), ([-1, 3], "float16"), ([256], "float16"), ([1e5], "float32"), ([np.nan, 1], "float16")],
    ids=str,
)
def test_arrays_are_kept_as_small_as_they_draw(values: list[float], dtype: str) -> None:
    """Whole gray levels are kept in a byte, other values in float16, and what float16 cannot hold in float32."""
    kept = compact(np.array(values))
    assert kept.dtype.name == dtype
    np.testing.assert_allclose(kept, values, rtol=1e-3)
