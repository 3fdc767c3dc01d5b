"""Charts as SVG, drawn by Vega-Lite (vl-convert, offline), in the colours of the page.

A chart's colours are CSS variables, so that one drawing serves light, dark and paper; its text is
text. A series has a colour and a shape: neither is needed to tell it from its neighbour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from markupsafe import Markup, escape

COLOURS = tuple(f"var(--series-{number})" for number in range(1, 9))
SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 4], [1, 3], [12, 2, 2, 2])

CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "padding": {"left": 8, "right": 10, "top": 4, "bottom": 6},
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "titleFontWeight": 400, "labelFontSize": 12, "titleFontSize": 12,
        "gridColor": "var(--line)", "domainColor": "var(--line)", "tickColor": "var(--line)", "labelLimit": 220, "titlePadding": 8,
    },
    "legend": {"labelColor": "var(--ink)", "titleColor": "var(--muted)", "labelFontSize": 12, "symbolSize": 70, "labelLimit": 320},
    "header": {"labelColor": "var(--ink)", "labelFontSize": 13, "titleColor": "var(--muted)"},
    "text": {"color": "var(--ink)", "fontSize": 12},
}  # fmt: skip


def _series(names: Sequence[str], columns: int) -> dict[str, Any]:
    """Encodings that give each name a colour and a shape."""
    told = {"title": None, "orient": "top", "columns": columns, "symbolOpacity": 1, "columnPadding": 28}
    field = {"field": "series", "type": "nominal", "sort": list(names)}
    return {
        "color": {**field, "legend": told, "scale": {"domain": list(names), "range": _repeated(COLOURS, len(names))}},
        "shape": {**field, "legend": told, "scale": {"domain": list(names), "range": _shapes(len(names))}},
    }


def _shapes(number: int) -> list[str]:
    """A shape for each series: where the colours begin again, the shapes begin one later, so that no pair comes twice."""
    return [SHAPES[(place + place // len(COLOURS)) % len(SHAPES)] for place in range(number)]


def _repeated(values: Sequence[Any], number: int) -> list[Any]:
    return [values[place % len(values)] for place in range(number)]


def intervals(rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, label: str) -> Markup:
    """Points with bars across, one line of them for each workload, on a logarithmic axis of milliseconds.

    A row has workload, series, median, low and high, in seconds.
    """
    values = [{**row, **{key: row[key] * 1e3 for key in ("median", "low", "high")}} for row in rows]
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    offset = {"field": "series", "sort": list(names)}
    low, high = min(row["low"] for row in values), max(row["high"] for row in values)

    ticks = {"values": _round(low / 1.15, high * 1.15), "format": "~g", "labelOverlap": "greedy"}

    def spec(width: int, columns: int) -> dict[str, Any]:
        scale = {"type": "log", "domain": [low / 1.15, high * 1.15], "nice": False}
        across = {"field": "median", "type": "quantitative", "scale": scale, "title": "time of one call (ms, logarithmic)", "axis": ticks}
        down = {
            "field": "workload", "type": "nominal", "sort": workloads, "title": None,
            "axis": {"labelLimit": 150 if width < 500 else 260, "ticks": False, "domain": False, "grid": True, "tickBand": "extent"},
        }  # fmt: skip
        colour = _series(names, columns)
        return {
            "width": width,
            "height": {"step": 11 if len(names) > 3 else 14, "for": "offset"},
            "data": {"values": values},
            "encoding": {"y": {**down, "scale": {"paddingInner": 0.3}}, "yOffset": offset},
            "layer": [
                {
                    "mark": {"type": "rule", "strokeWidth": 2.5, "opacity": 0.55},
                    "encoding": {"x": {**across, "field": "low"}, "x2": {"field": "high"}, "color": colour["color"]},
                },
                {"mark": {"type": "point", "filled": True, "size": 55, "opacity": 1}, "encoding": {"x": across, **colour}},
            ],
        }

    return _both(spec(740, 3), spec(190, 1), label)


def lines(
    panels: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    names: Sequence[str],
    *,
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    label: str,
) -> Markup:
    """Curves in small charts side by side; a point has series, x, y and optionally low and high.

    `x` and `y` say title, and where the axis begins and ends (low, high: None leaves it to the data), and
    whether it is "log".
    """
    values = [{**point, "panel": title} for title, points in panels for point in points if math.isfinite(point["y"])]
    titles = [title for title, _ in panels]
    dash = {
        "strokeDash": {
            "field": "series", "type": "nominal", "legend": None,
            "scale": {"domain": list(names), "range": _repeated(DASHES, len(names))},
        }
    }  # fmt: skip

    def spec(width: int, columns: int) -> dict[str, Any]:
        base = {
            "x": {"field": "x", "type": "quantitative", "title": x["title"], "scale": _domain(x), "axis": _whole(values)},
            "y": {"field": "y", "type": "quantitative", "title": y["title"], "scale": _domain(y), "axis": {"tickCount": 5}},
        }
        colour = _series(names, 3 if width > 300 or columns > 1 else 1)
        layers: list[dict[str, Any]] = []
        if any(point.get("low") is not None for point in values):
            band = {**base, "y": {**base["y"], "field": "low"}, "y2": {"field": "high"}, "color": colour["color"]}
            banded = {"transform": [{"filter": "isValid(datum.low) && isValid(datum.high)"}]}
            layers.append({"mark": {"type": "area", "opacity": 0.16}, "encoding": band, **banded})
        layers.append({"mark": {"type": "line", "strokeWidth": 2}, "encoding": {**base, "color": colour["color"], **dash}})
        layers.append({"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1}, "encoding": {**base, **colour}})
        one = {"width": width, "height": round(width * 0.72) if len(panels) > 1 else min(280, round(width * 0.6)), "layer": layers}
        if len(panels) == 1:
            return {"data": {"values": values}, **one}
        facet = {"field": "panel", "type": "nominal", "sort": titles, "title": None}
        return {"data": {"values": values}, "facet": facet, "columns": columns, "spec": one}

    across = 2 if len(panels) == 4 else min(3, len(panels))
    return _both(spec(640 if across == 1 else 780 // across - 10, across), spec(270, 1), label)


def trends(points: Sequence[Mapping[str, Any]], upgrades: Sequence[Mapping[str, Any]], names: Sequence[str], *, label: str) -> Markup:
    """Times run after run; a point has series, created, median, low and high (ms), an upgrade created and text."""
    low, high = min(point["low"] for point in points) / 1.15, max(point["high"] for point in points) * 1.15
    scale = {"type": "log", "domain": [low, high], "nice": False}

    def spec(width: int, columns: int) -> dict[str, Any]:
        across = {
            "field": "created",
            "type": "temporal",
            "title": "when the run began",
            "axis": {"labelOverlap": "greedy", "format": "%Y-%m-%d", "tickCount": width // 110},
        }
        ticks = {"values": _round(low, high), "format": "~g"}
        up = {"field": "median", "type": "quantitative", "title": "time of one call (ms, logarithmic)", "scale": scale, "axis": ticks}
        colour = _series(names, columns)
        values = {"values": list(points)}
        bounds = {"y": {**up, "field": "low"}, "y2": {"field": "high"}}
        layers: list[dict[str, Any]] = [
            {"data": values, "mark": {"type": "line", "strokeWidth": 1.5}, "encoding": {"x": across, "y": up, "color": colour["color"]}},
            {"data": values, "mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": across, **bounds, "color": colour["color"]}},
            {
                "data": values,
                "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
                "encoding": {"x": across, "y": up, **colour},
            },
        ]
        if upgrades:
            told = {"text": {"field": "text", "type": "nominal"}, "y": {"value": 10}}
            marked = {"values": list(upgrades)}
            rule = {"type": "rule", "strokeDash": [4, 3], "color": "var(--muted)"}
            text = {"type": "text", "align": "right", "dx": -4, "color": "var(--muted)", "limit": round(width * 0.6)}
            layers += [
                {"data": marked, "mark": rule, "encoding": {"x": across}},
                {"data": marked, "mark": text, "encoding": {"x": across, **told}},
            ]
        return {"width": width, "height": 200, "layer": layers}

    return _both(spec(700, 3), spec(250, 1), label)


def forest(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str], *, title: str, label: str) -> Markup:
    """A forest plot: changes in per cent about zero, each with its interval, its threshold and the band in which a change may go unseen.

    A row has workload, series, estimate, low, high, threshold and band, all in per cent; what lies beyond the axis is cut at its end.
    `names` are the series with their colours.
    """
    reach = min(100.0, max(5.0, 1.1 * max(max(abs(row["estimate"]), abs(row["low"]), abs(row["high"]), row["threshold"]) for row in rows)))
    keys = ("estimate", "low", "high", "threshold", "band")
    values = [{**row, **{key: max(-reach, min(reach, row[key])) for key in keys}} for row in rows]
    values = [{**row, "unseen": -row["band"]} for row in values]
    workloads = [row["workload"] for row in rows]

    def spec(width: int, columns: int) -> dict[str, Any]:
        scale = {"type": "linear", "domain": [-reach, reach], "nice": False}
        axis = {"format": "+~g", "tickCount": 9 if width > 500 else 5, "labelOverlap": "greedy"}
        across = {"field": "estimate", "type": "quantitative", "scale": scale, "title": title, "axis": axis}
        down = {
            "field": "workload", "type": "nominal", "sort": workloads, "title": None,
            "axis": {"labelLimit": 150 if width < 500 else 260, "ticks": False, "domain": False},
        }  # fmt: skip
        colour = _series(list(names), columns)
        colour["color"]["scale"]["range"] = list(names.values())
        bounds = {"x": {**across, "field": "low"}, "x2": {"field": "high"}}
        return {
            "width": width,
            "height": {"step": 20},
            "data": {"values": values},
            "encoding": {"y": down},
            "layer": [
                {
                    "mark": {"type": "bar", "height": 13, "color": "var(--muted)", "opacity": 0.18},
                    "encoding": {"x": {**across, "field": "unseen"}, "x2": {"field": "band"}},
                },
                {
                    "mark": {"type": "rule", "color": "var(--ink)", "opacity": 0.6},
                    "encoding": {"x": {"datum": 0, "scale": scale}, "y": None},
                },
                {
                    "mark": {"type": "tick", "size": 13, "thickness": 1.5, "color": "var(--ink)", "opacity": 0.6},
                    "encoding": {"x": {**across, "field": "threshold"}},
                },
                {"mark": {"type": "rule", "strokeWidth": 2.5}, "encoding": {**bounds, "color": colour["color"]}},
                {"mark": {"type": "point", "filled": True, "size": 65, "opacity": 1}, "encoding": {"x": across, **colour}},
            ],
        }

    return _both(spec(700, 5), spec(190, 2), label)


def bars(values: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]], *, y: Mapping[str, Any], label: str) -> Markup:
    """Numbers as horizontal bars with intervals; a bar has title, value, low and high, a reference title and value."""
    names = [value["title"] for value in values]
    ends = [value["value"] for value in (*values, *references)]
    middle = ((y.get("low") or min(ends, default=0)) + (y.get("high") or max(ends, default=0))) / 2

    def spec(width: int) -> dict[str, Any]:
        down = {"field": "title", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 150 if width < 500 else 320}}
        across = {"field": "value", "type": "quantitative", "title": y["title"], "scale": _domain(y)}
        layers: list[dict[str, Any]] = [
            {
                "data": {"values": list(values)},
                "mark": {"type": "bar", "color": "var(--series-1)", "opacity": 0.85, "height": 14},
                "encoding": {"y": down, "x": across},
            }
        ]
        bounded = [value for value in values if value.get("low") is not None and value.get("high") is not None]
        if bounded:
            layers.append({
                "data": {"values": bounded}, "mark": {"type": "rule", "strokeWidth": 2, "color": "var(--ink)"},
                "encoding": {"y": down, "x": {**across, "field": "low"}, "x2": {"field": "high"}},
            })  # fmt: skip
        if references:
            rule = {"type": "rule", "strokeDash": [4, 3], "color": "var(--ink)"}
            layers.append({"data": {"values": list(references)}, "mark": rule, "encoding": {"x": across}})
        for reference in references:
            # On the side where there is more room.
            right = reference["value"] > middle
            text = {"type": "text", "align": "right" if right else "left", "dx": -4 if right else 4, "y": -6, "limit": round(width * 0.6)}
            told = {"x": across, "text": {"field": "title", "type": "nominal"}}
            layers.append({"data": {"values": [reference]}, "mark": text, "encoding": told})
        return {"width": width, "height": {"step": 26}, "layer": layers}

    return _both(spec(520), spec(180), label)


def heatmap(
    cells: Sequence[Mapping[str, Any]], *, x: Mapping[str, Any], y: Mapping[str, Any], value: str, names: Mapping[str, str], label: str
) -> Markup:
    """A table of numbers as shades, each with its number written in it; `names` replaces some of the numbers by words."""
    marked = [{**cell, "text": names.get(_plain(cell["value"]), _plain(cell["value"]))} for cell in cells]
    high = max((cell["value"] for cell in cells), default=1)
    low = min((cell["value"] for cell in cells), default=0)
    told = {key: text for key, text in names.items() if any(_plain(cell["value"]) == key for cell in cells)}
    title = value + "".join(f"; {key} means {text}" for key, text in told.items())
    columns = len({cell["x"] for cell in cells})

    def spec(width: int) -> dict[str, Any]:
        step = max(18, min(44, width // max(1, columns)))
        base = {
            "x": {"field": "x", "type": "ordinal", "title": x["title"], "axis": {"labelAngle": 0}},
            "y": {"field": "y", "type": "ordinal", "title": y["title"]},
        }
        # Opacity of one colour, not a colour scale: it reads on a light page and on a dark one.
        shade = {"field": "value", "type": "quantitative", "legend": None, "scale": {"domain": [low, high], "range": [0.06, 0.62]}}
        layers = [{"mark": {"type": "rect", "color": "var(--series-1)", "stroke": "var(--paper)"}, "encoding": {**base, "opacity": shade}}]
        written = "text" if step >= 40 or not told else "number"
        layers.append({"mark": {"type": "text", "fontSize": 11}, "encoding": {**base, "text": {"field": written, "type": "nominal"}}})
        values = [{**cell, "number": _plain(cell["value"])} for cell in marked]
        return {
            "data": {"values": values},
            "title": _caption(title),
            "width": {"step": step},
            "height": {"step": min(step, 30)},
            "layer": layers,
        }

    return _both(spec(560), spec(240), label)


def _caption(title: str) -> dict[str, Any]:
    return {"text": title, "anchor": "start", "fontSize": 12, "fontWeight": 400, "color": "var(--muted)", "limit": 560}


def _plain(value: float) -> str:
    return f"{value:g}"


def _round(low: float, high: float) -> list[float]:
    """1, 2 and 5 in each power of ten between two numbers, or the powers alone where that is many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _domain(axis: Mapping[str, Any]) -> dict[str, Any]:
    scale: dict[str, Any] = {"zero": False, "nice": True}
    if axis.get("log"):
        scale |= {"type": "log"}
    if axis.get("low") is not None:
        scale["domainMin"] = axis["low"]
    if axis.get("high") is not None:
        scale["domainMax"] = axis["high"]
    return scale


def _whole(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ticks at the positions that there are, where they are few."""
    places = sorted({point["x"] for point in values})
    return {"values": places, "format": "~g"} if len(places) <= 13 else {"tickCount": 8}


def _both(wide: dict[str, Any], narrow: dict[str, Any], label: str) -> Markup:
    """A drawing for screens and one for phones; the page shows the one that fits."""
    drawn = [f'<div class="chart chart-{name}">{_svg(spec, label)}</div>' for name, spec in (("wide", wide), ("narrow", narrow))]
    return Markup("".join(drawn))


def _svg(spec: dict[str, Any], label: str) -> str:
    drawn = vl_convert.vegalite_to_svg({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "config": CONFIG, **spec})
    # One image with one description: the parts of it that Vega names would be read out one by one.
    opened, _, rest = drawn.partition(">")
    return f'{opened} role="img" aria-label="{escape(label)}">{rest}'
