"""What the experiments recorded, drawn: pictures by matplotlib, charts by Vega-Lite.

An experiment leaves one .npz file a backend: arrays, and under the key `about` a JSON text that describes the
figures (the convention stands in `properties/figures.py`). One backend's figures are drawn, and
the others are held against it: equal digests mean equal results, and what differs is said.
"""

import base64
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from reports import charts
from reports.record import Experiment, Problem, as_number
from reports.words import listed, quantity, significant, slug

LONGEST_SIDE = 320
"""A larger picture is thinned: the page shows none wider."""
MOST_ELEMENTS = 4_000_000
SCALES = {"gray": ("gray", "fixed"), "strength": ("gray", "from zero"), "signed": ("RdBu_r", "about zero"), "own": ("viridis", "own")}
Broken = (KeyError, TypeError, ValueError, IndexError, AttributeError, OSError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One array as an image: `source` is a data URL, `width` and `height` its elements, `alt` what it shows."""

    title: str
    source: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Rows of pictures, or a chart."""

    title: str
    caption: str
    rows: tuple[tuple[Picture, ...], ...] = ()
    chart: Markup | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one backend measured: `holds` is "holds", "does not hold", "cannot tell" or "no result"."""

    backend: str
    holds: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Together:
    """What several backends measured alike."""

    holds: str
    sentence: str
    backends: str


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One experiment over all backends.

    `numbers` are rows of a name and one text a backend. `agreement` says whether the backends
    computed the same; `agrees` is None where only one did.
    """

    anchor: str
    title: str
    claim: str
    told: tuple[Told, ...]
    numbers: tuple[tuple[str, tuple[str, ...]], ...]
    agreement: str
    agrees: bool | None
    drawn_for: str
    figures: tuple[Figure, ...]
    sources: tuple[Mapping[str, str], ...]

    @property
    def grouped(self) -> list[Together]:
        """What was measured, each sentence once with the backends that say it."""
        by_sentence: dict[tuple[str, str], list[str]] = {}
        for one in self.told:
            by_sentence.setdefault((one.holds, one.sentence), []).append(one.backend)
        return [Together(holds=holds, sentence=text, backends=listed(names)) for (holds, text), names in by_sentence.items()]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One backend's .npz file."""

    backend: str
    about: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def exhibits(experiments: Sequence[Experiment], folders: Sequence[Path], *, pictures: bool = True) -> tuple[list[Exhibit], list[Problem]]:
    """Every experiment of a run, drawn; a file that is missing or damaged is a problem, and costs only itself."""
    together: dict[str, dict[str, Experiment]] = {}
    for line in experiments:
        together.setdefault(line.experiment, {})[line.backend] = line
    found, problems = [], []
    for name, lines in together.items():
        kept = []
        for backend, line in sorted(lines.items()):
            if line.arrays is None:
                continue
            try:
                kept.append(_read(_where(line.arrays, folders), backend))
            except Broken as error:
                problems.append(Problem(line.arrays, 0, f"experiment {name} on {backend}: {type(error).__name__}: {error}"))
        figures, wrong = _figures(kept[0], pictures) if kept else ([], [])
        problems += wrong
        found.append(_exhibit(name, [lines[backend] for backend in sorted(lines)], kept, figures))
    return found, problems


def _where(name: str, folders: Iterable[Path]) -> Path:
    if Path(name).name != name:
        raise ValueError(f"arrays={name!r}: expected the name of a file beside the records")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} does not lie beside the records")


def _read(path: Path, backend: str) -> Kept:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"][()])) if "about" in file.files else {}
        arrays = {key: file[key] for key in file.files if key != "about"}
    if not isinstance(about, dict):
        raise TypeError("about is not an object")
    for key, array in arrays.items():
        if array.size > MOST_ELEMENTS:
            raise ValueError(f"array {key!r} has {array.size:,} elements: a figure has at most {MOST_ELEMENTS:,}")
    return Kept(backend=backend, about=about, arrays=arrays)


def _exhibit(name: str, lines: Sequence[Experiment], kept: Sequence[Kept], figures: Sequence[Figure]) -> Exhibit:
    about = kept[0].about if kept else {}
    agreement, agrees = _agreement(kept)
    names = dict.fromkeys(key for line in lines for key in line.numbers if key != "digest")
    sources = about.get("sources", ())
    return Exhibit(
        anchor=slug("experiment", name),
        title=str(about.get("title") or name.replace("-", " ").capitalize()),
        claim=lines[0].claim,
        told=tuple(Told(backend=line.backend, holds=_holds(line), sentence=line.sentence) for line in lines),
        numbers=tuple((key, tuple(_number(line.numbers.get(key)) for line in lines)) for key in names),
        agreement=agreement,
        agrees=agrees,
        drawn_for=kept[0].backend if kept else "",
        figures=tuple(figures),
        sources=tuple(source for source in sources if isinstance(source, Mapping)) if isinstance(sources, list) else (),
    )


def _holds(line: Experiment) -> str:
    if line.holds is None:
        return "no result" if line.arrays is None and not line.numbers else "cannot tell"
    return "holds" if line.holds else "does not hold"


def _number(entry: Mapping[str, Any] | None) -> str:
    return "" if entry is None else quantity(as_number(entry.get("value")), str(entry.get("unit", "")))


def _agreement(kept: Sequence[Kept]) -> tuple[str, bool | None]:
    """Whether the backends computed the same, by the digests that they left; else by the arrays."""
    if len(kept) < 2:
        return "", None
    first, *others = kept
    differing = {other.backend: found for other in others if (found := list(_differences(first, other)))}
    if not differing:
        return f"{listed(one.backend for one in kept)} agree bit by bit.", True
    said = (f"{backend} in {listed(found, most=4)}" for backend, found in differing.items())
    return f"Not the same as {first.backend}: {'; '.join(said)}.", False


def _differences(first: Kept, other: Kept) -> Iterator[str]:
    marks, others = first.about.get("digests"), other.about.get("digests")
    if isinstance(marks, Mapping) and isinstance(others, Mapping) and marks and others:
        shared = marks.keys() & others.keys()
        yield from (str(what) for what in marks if what in shared and marks[what] != others[what])
        if not shared:
            yield "all of it: nothing was asked of both"
        return
    for key, array in first.arrays.items():
        against = other.arrays.get(key)
        if against is None or against.shape != array.shape:
            yield f"{key} (another shape)"
        elif not np.array_equal(array, against, equal_nan=array.dtype.kind == "f"):
            apart = np.nanmax(np.abs(array.astype(np.float64) - against.astype(np.float64)))
            yield f"{key} (by up to {significant(float(apart))})"


# --- drawing ------------------------------------------------------------------------------------


def _figures(kept: Kept, pictures: bool) -> tuple[list[Figure], list[Problem]]:
    figures, problems = [], []
    described = kept.about.get("figures", [])
    for figure in described if isinstance(described, list) else []:
        try:
            if figure["kind"] != "images" or pictures:
                figures.append(DRAW[figure["kind"]](figure, kept.arrays))
        except Broken as error:
            what = figure.get("title", "a figure") if isinstance(figure, Mapping) else "a figure"
            problems.append(Problem(str(kept.about.get("experiment", "")), 0, f"figure {what!r}: {type(error).__name__}: {error}"))
    return figures, problems


def _images(figure: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Figure:
    rows = tuple(tuple(_picture(panel, arrays[panel["array"]]) for panel in row) for row in figure["rows"])
    return Figure(title=str(figure["title"]), caption=str(figure.get("caption", "")), rows=rows)


def _picture(panel: Mapping[str, Any], array: np.ndarray) -> Picture:
    if array.ndim != 2 or not array.size:
        raise ValueError(f"array {panel['array']!r} has the shape {array.shape}: a picture is 2-D")
    from matplotlib import image  # slow to import, and only pages with pictures need it

    shown = array.astype(np.float64)
    thin = math.ceil(max(shown.shape) / LONGEST_SIDE)
    shown = np.nan_to_num(shown[::thin, ::thin], posinf=0, neginf=0)
    colours, range_ = SCALES[panel.get("scale", "gray")]
    low, high = _limits(shown, range_)
    written = io.BytesIO()
    image.imsave(written, shown, cmap=colours, vmin=low, vmax=high, format="webp", pil_kwargs={"lossless": True, "quality": 100})
    height, width = shown.shape
    title = str(panel["title"])
    alt = (
        f"{title}: {array.shape[1]} × {array.shape[0]} elements from {significant(float(array.min()))} to {significant(float(array.max()))}"
    )
    source = "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
    return Picture(title=title, source=source, width=width, height=height, alt=alt)


def _limits(shown: np.ndarray, range_: str) -> tuple[float, float]:
    if range_ == "fixed":
        return 0.0, 255.0
    top = float(np.abs(shown).max()) or 1.0
    if range_ == "from zero":
        return 0.0, float(shown.max()) or 1.0
    if range_ == "about zero":
        return -top, top
    low, high = float(shown.min()), float(shown.max())
    return low, high if high > low else low + 1


def _curves(figure: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Figure:
    x = figure["x"]
    panels = []
    names: dict[str, None] = {}
    for panel in figure["panels"]:
        points = []
        for line in panel["lines"]:
            names[str(line["title"])] = None
            heights = arrays[line["array"]].astype(float)
            places = arrays[x["array"]].astype(float) if x.get("array") else np.arange(float(len(heights)))
            low, high = (arrays[line[bound]].astype(float) if line.get(bound) else [None] * len(heights) for bound in ("low", "high"))
            points += [
                {"series": str(line["title"]), "x": float(at), "y": float(value), "low": below, "high": above}
                for at, value, below, above in zip(places, heights, low, high, strict=True)
            ]
        panels.append((str(panel["title"]), points))
    label = f"{figure['title']}: {listed(names)} over {x['label']}"
    return _chart(figure, charts.lines(panels, list(names), x=_axis(x), y=_axis(figure["y"]), label=label))


def _heatmap(figure: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Figure:
    array = arrays[figure["array"]].astype(float)
    down = arrays[figure["y"]["array"]] if figure["y"].get("array") else np.arange(array.shape[0])
    across = arrays[figure["x"]["array"]] if figure["x"].get("array") else np.arange(array.shape[1])
    cells = [
        {"x": float(across[column]), "y": float(down[row]), "value": float(array[row, column])}
        for row in range(array.shape[0])
        for column in range(array.shape[1])
        if math.isfinite(array[row, column])
    ]
    value = _axis(figure["value"])["title"]
    names = {str(key): str(word) for key, word in figure.get("names", {}).items()}
    label = f"{figure['title']}: {value} over {figure['x']['label']} and {figure['y']['label']}"
    return _chart(figure, charts.heatmap(cells, x=_axis(figure["x"]), y=_axis(figure["y"]), value=value, names=names, label=label))


def _bars(figure: Mapping[str, Any], _: Mapping[str, np.ndarray]) -> Figure:
    values = [{key: bar.get(key) for key in ("title", "value", "low", "high")} for bar in figure["bars"]]
    references = [{"title": str(one["title"]), "value": float(one["value"])} for one in figure.get("references", ())]
    told = listed((f"{bar['title']} {significant(float(bar['value']))}" for bar in values), most=12)
    label = f"{figure['title']}, {figure['y']['label']}: {told}"
    return _chart(figure, charts.bars(values, references, y=_axis(figure["y"]), label=label))


DRAW = {"images": _images, "curves": _curves, "heatmap": _heatmap, "bars": _bars}


def _chart(figure: Mapping[str, Any], drawn: Markup) -> Figure:
    return Figure(title=str(figure["title"]), caption=str(figure.get("caption", "")), chart=drawn)


def _axis(axis: Mapping[str, Any]) -> dict[str, Any]:
    unit = axis.get("unit")
    return {"title": f"{axis['label']} ({unit})" if unit else str(axis["label"]), "low": axis.get("low"), "high": axis.get("high")}


def summary(experiments: Sequence[Experiment]) -> list[tuple[str, str, str]]:
    """(state, sentence, anchor) of each experiment for the verdict: the first sentence, told once where backends agree."""
    together: dict[str, dict[tuple[str, str], list[str]]] = {}
    for line in experiments:
        first, stop, _ = line.sentence.partition(". ")
        told = together.setdefault(line.experiment, {})
        told.setdefault((_holds(line), first + stop.strip()), []).append(line.backend)
    said = []
    for name, told in together.items():
        for (holds, sentence), backends in told.items():
            on = "" if len(told) == 1 else f" ({listed(backends)})"
            said.append((holds, f"{name.replace('-', ' ').capitalize()}{on}: {sentence}", slug("experiment", name)))
    return said
