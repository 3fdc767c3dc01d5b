"""What experiments recorded, drawn."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from reports import gallery
from reports.record import Experiment
from reports.tests import samples


def _line(backend="numpy", arrays="a.npz", **fields):
    return Experiment(experiment="e", claim="c", backend=backend, arrays=arrays, sentence="s", **fields)


def _pixels(picture):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2]))).convert("RGB"))


def test_each_kind_of_figure_is_drawn(tmp_path):
    """Pictures, curves, a heat map and bars are drawn, in the order in which the experiment shows them."""
    samples.experiment_arrays(tmp_path / "a.npz", "numpy")
    (exhibit,), problems = gallery.exhibits([_line()], [tmp_path])
    assert [figure.title for figure in exhibit.figures] == [
        "The circle and its maps",
        "Unchanged maps",
        "First depth without change",
        "Accuracy",
    ]
    assert problems == [] and all(figure.chart or figure.rows for figure in exhibit.figures)
    assert all(word in exhibit.figures[1].chart for word in ("max", "average", "poolings"))


def test_a_picture_shows_the_array(tmp_path):
    """A gray picture has an array's elements as its pixels, without interpolation."""
    samples.experiment_arrays(tmp_path / "a.npz", "numpy")
    (exhibit,), _ = gallery.exhibits([_line()], [tmp_path])
    picture = exhibit.figures[0].rows[0][0]
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(_pixels(picture)[..., 0], arrays["circle"])
    assert picture.alt == "input: 64 × 64 elements from 0 to 255"


@pytest.mark.parametrize("scale, black", [("gray", False), ("strength", True), ("signed", False), ("own", False)])
def test_scales_differ(tmp_path, scale, black):
    """Only a strength is black where it is zero and white at its own maximum."""
    about = {"figures": [{"kind": "images", "title": "t", "rows": [[{"array": "x", "title": "x", "scale": scale}]]}]}
    np.savez(tmp_path / "a.npz", about=np.array(json.dumps(about)), x=np.array([[0.0, 7.0]]))
    (exhibit,), _ = gallery.exhibits([_line()], [tmp_path])
    pixels = _pixels(exhibit.figures[0].rows[0][0])
    assert (tuple(pixels[0, 0]) == (0, 0, 0) and tuple(pixels[0, 1]) == (255, 255, 255)) == black


@pytest.mark.parametrize("amount, agrees", [(0.0, True), (0.5, False)])
def test_backends_are_held_against_each_other(tmp_path, amount, agrees):
    """Equal digests are said to agree; what differs is flagged by name."""
    for backend, more in (("numpy", 0.0), ("torch", amount)):
        samples.experiment_arrays(tmp_path / f"{backend}.npz", backend, more)
    (exhibit,), _ = gallery.exhibits([_line("numpy", "numpy.npz"), _line("torch", "torch.npz")], [tmp_path])
    assert exhibit.agrees is agrees and ("torch in map" in exhibit.agreement) is not agrees


def test_without_digests_the_arrays_are_compared(tmp_path):
    """Arrays that differ are named, with the largest difference."""
    for backend, value in (("numpy", 1.0), ("torch", 1.25)):
        np.savez(tmp_path / f"{backend}.npz", x=np.array([value, np.nan]))
    (exhibit,), _ = gallery.exhibits([_line("numpy", "numpy.npz"), _line("torch", "torch.npz")], [tmp_path])
    assert exhibit.agreement == "Not the same as numpy: torch in x (by up to 0.250)."


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "FileNotFoundError"),
        (b"PK not a zip", "e on numpy"),
        ({"about": np.array("{")}, "JSONDecodeError"),
        ({"about": np.array("[]")}, "about is not an object"),
        ({"about": np.array([{}], dtype=object)}, "allow_pickle"),
    ],
    ids=["missing", "not npz", "bad JSON", "not an object", "pickled"],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, content, said):
    """A missing, damaged or pickled file is named; the experiment's sentence is still told."""
    if isinstance(content, bytes):
        (tmp_path / "a.npz").write_bytes(content)
    elif content:
        np.savez(tmp_path / "a.npz", **content)
    (exhibit,), problems = gallery.exhibits([_line()], [tmp_path])
    assert said in f"{problems[0].file} {problems[0].message}" and exhibit.told[0].sentence == "s" and exhibit.figures == ()


@pytest.mark.parametrize(
    "figure",
    [
        {}, {"kind": "unheard of"}, {"kind": "images", "title": "t", "rows": [[{"array": "gone", "title": "x"}]]}, "text",
        {"kind": "bars", "title": "t", "bars": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_figure_that_cannot_be_drawn_costs_only_itself(tmp_path, figure):
    """A figure described wrongly is a problem; the next one is drawn."""
    good = {"kind": "bars", "title": "good", "y": {"label": "y"}, "bars": [{"title": "b", "value": 1.0}]}
    np.savez(tmp_path / "a.npz", about=np.array(json.dumps({"figures": [figure, good]})))
    (exhibit,), problems = gallery.exhibits([_line()], [tmp_path])
    assert len(problems) == 1 and [one.title for one in exhibit.figures] == ["good"]


def test_arrays_lie_beside_the_records(tmp_path):
    """A record cannot make the report read a file elsewhere."""
    _, problems = gallery.exhibits([_line(arrays="../../etc/passwd")], [tmp_path])
    assert "expected the name of a file beside the records" in problems[0].message


def test_a_huge_array_is_refused(tmp_path):
    """An array that no page can show is a problem, not a page that nobody can open."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((2001, 2000), np.uint8))
    _, problems = gallery.exhibits([_line()], [tmp_path])
    assert "4,002,000 elements" in problems[0].message


def test_sentences_that_agree_are_told_once():
    """The verdict has one sentence where backends measured the same, and says who where they did not."""
    alike = [_line("numpy", holds=True), _line("torch", holds=True)]
    other = Experiment(experiment="e", claim="c", backend="jax", holds=False, sentence="no", arrays="x.npz")
    assert gallery.summary(alike) == [("holds", "E: s", "experiment-e")]
    assert gallery.summary([*alike, other]) == [
        ("holds", "E (numpy and torch): s", "experiment-e"), ("does not hold", "E (jax): no", "experiment-e"),
    ]  # fmt: skip
