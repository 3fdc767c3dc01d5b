"""What an experiment leaves to be drawn: small arrays, and a description of its figures.

The convention, which `reports/gallery.py` reads without knowing any experiment. An experiment on
a backend is one compressed file, `experiment-<name>-<backend>-<environment>.npz` (load it with
`allow_pickle=False`), in the folder of the records; the record's `arrays` names it. Its key
`about` is a 0-d array of text holding JSON:

    {"experiment": "shifted-circle", "title": "...", "claim": "...", "backend": "torch",
     "sources": [{"name", "title", "author", "licence", "url"}, ...]     the photographs drawn, to be credited
     "digests": {"what": "16 hex digits of SHA-256", ...}                equal where two backends computed the same
     "figures": [figure, ...]}                                           in the order in which to show them

Every other key is an array that the figures name. A figure is one of

    {"kind": "images",  "title", "caption", "rows": [[panel, ...], ...]}
        panel = {"array", "title", "scale"}: a 2-D array, drawn without interpolation. `scale` is
        "gray" (0…255, black to white), "strength" (0 to its own maximum, black to white),
        "signed" (symmetric about 0, diverging colours) or "own" (its own minimum to its maximum).
    {"kind": "curves",  "title", "caption", "x": axis, "y": axis, "panels": [{"title", "lines": [line, ...]}, ...]}
        small multiples that share both axes; line = {"array", "title", "low", "high"}: 1-D arrays
        along x's; `low` and `high` bound a band, or are null. One title, one colour, in all panels.
    {"kind": "heatmap", "title", "caption", "array", "x": axis, "y": axis, "value": axis, "names": {"5": "never", ...}}
        a 2-D array [y, x] of numbers; `names` words for some of its values, as they read in a legend.
    {"kind": "bars",    "title", "caption", "y": axis, "bars": [{"title", "value", "low", "high"}, ...],
     "references": [{"title", "value"}, ...]}
        numbers themselves; `low` and `high` an interval, or null; references are lines across.

axis = {"label", "unit", "array", "low", "high"}: `unit` may be ""; `array` names the positions (null where
there are none); `low` and `high` say where the axis ends, null where the data may.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

SCALES = ("gray", "strength", "signed", "own")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What an axis or a colour scale means."""

    label: str
    unit: str = ""
    array: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture: a 2-D array."""

    array: str
    title: str
    scale: str = "gray"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: expected one of {', '.join(SCALES)}")


@dataclass(frozen=True, kw_only=True)
class Images:
    """Rows of pictures."""

    kind: ClassVar[str] = "images"

    title: str
    rows: tuple[tuple[Panel, ...], ...]
    caption: str = ""

    def arrays(self) -> Iterable[tuple[str | None, int]]:
        """The keys that are drawn, each with the dimensions that its array has."""
        return [(panel.array, 2) for row in self.rows for panel in row]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve, with a band where both its bounds are given."""

    array: str
    title: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One of several small charts that share their axes."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Curves over a common x, in small charts side by side."""

    kind: ClassVar[str] = "curves"

    title: str
    x: Axis
    y: Axis
    panels: tuple[Chart, ...]
    caption: str = ""

    def arrays(self) -> Iterable[tuple[str | None, int]]:
        """The keys that are drawn, each with the dimensions that its array has."""
        lines = [line for chart in self.panels for line in chart.lines]
        return [(self.x.array, 1), *((key, 1) for line in lines for key in (line.array, line.low, line.high))]


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """A table of numbers as colours."""

    kind: ClassVar[str] = "heatmap"

    title: str
    array: str
    x: Axis
    y: Axis
    value: Axis
    names: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""

    def arrays(self) -> Iterable[tuple[str | None, int]]:
        """The keys that are drawn, each with the dimensions that its array has."""
        return [(self.array, 2), (self.x.array, 1), (self.y.array, 1)]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One number, with its interval."""

    title: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A few numbers side by side."""

    kind: ClassVar[str] = "bars"

    title: str
    y: Axis
    bars: tuple[Bar, ...]
    references: tuple[Bar, ...] = ()
    caption: str = ""

    def arrays(self) -> Iterable[tuple[str | None, int]]:
        """Bars carry their numbers."""
        return ()


Figure = Images | Curves | Heatmap | Bars


@dataclass(frozen=True, kw_only=True)
class Album:
    """The figures of one experiment and the arrays that they name.

    Raises:
        ValueError: a figure names an array that is not there, or one of another dimension.
    """

    arrays: Mapping[str, np.ndarray]
    figures: tuple[Figure, ...]

    def __post_init__(self) -> None:
        for figure in self.figures:
            for key, ndim in figure.arrays():
                if key is None:
                    continue
                if key not in self.arrays:
                    raise ValueError(f"figure {figure.title!r}: there is no array {key!r}; there are {', '.join(self.arrays)}")
                if self.arrays[key].ndim != ndim:
                    raise ValueError(f"figure {figure.title!r}: array {key!r} has the shape {self.arrays[key].shape}, expected {ndim}-D")

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the arrays and the description, with what else `about` says, as one .npz file."""
        described = [{"kind": figure.kind, **dataclasses.asdict(figure)} for figure in self.figures]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**about, "figures": described}, ensure_ascii=False, allow_nan=False)
        arrays: dict[str, Any] = {key: compact(array) for key, array in self.arrays.items()}
        np.savez_compressed(path, about=np.array(text), **arrays)


def compact(array: np.ndarray) -> np.ndarray:
    """The array in the smallest type that draws the same: uint8 where it is exact, else float16.

    Values past float16's range stay float32.
    """
    if array.size and np.isin(array, np.arange(256)).all():
        return array.astype(np.uint8)
    if np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape)).max(initial=0) > float(np.finfo(np.float16).max):
        return array.astype(np.float32)
    return array.astype(np.float16)
