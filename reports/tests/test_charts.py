"""Charts: themed, described, and closed to markup."""

import re
from xml.etree import ElementTree

import pytest

from reports import charts

HOSTILE = "<script>alert(1)</script>&\"'"
POINTS = [{"series": HOSTILE, "x": float(x), "y": float(x * x), "low": x * x - 1.0, "high": x * x + 1.0} for x in range(4)]
DRAWN = {
    "intervals": lambda: charts.intervals(
        [{"workload": HOSTILE, "series": HOSTILE, "median": 1e-3, "low": 9e-4, "high": 2e-3}], [HOSTILE], label=HOSTILE
    ),
    "lines": lambda: charts.lines(
        [(HOSTILE, POINTS), ("b", POINTS)], [HOSTILE], x={"title": HOSTILE}, y={"title": "y", "log": False}, label=HOSTILE
    ),
    "bars": lambda: charts.bars(
        [{"title": HOSTILE, "value": 1.0, "low": 0.5, "high": 2.0}], [{"title": HOSTILE, "value": 1.5}], y={"title": HOSTILE}, label=HOSTILE
    ),
    "forest": lambda: charts.forest(
        [{"workload": HOSTILE, "series": HOSTILE, "estimate": 5.0, "low": -1.0, "high": 900.0, "threshold": 3.0, "band": 4.0}],
        {HOSTILE: "var(--diverges)"}, title=HOSTILE, label=HOSTILE,
    ),
    "heatmap": lambda: charts.heatmap(
        [{"x": 0.0, "y": 0.0, "value": 5.0}], x={"title": HOSTILE}, y={"title": "y"}, value=HOSTILE, names={"5": HOSTILE}, label=HOSTILE
    ),
}  # fmt: skip


@pytest.fixture(params=DRAWN, scope="module")
def drawn(request):
    """A chart of each kind, all of whose texts are hostile."""
    return DRAWN[request.param]()


def _svgs(drawn):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", str(drawn), re.DOTALL)]


def test_a_chart_is_drawn_for_screens_and_for_phones(drawn):
    """There are two drawings, the narrow one within 390 pixels."""
    _, narrow = _svgs(drawn)
    assert float(narrow.get("width")) <= 366
    assert 'class="chart chart-wide"' in drawn and 'class="chart chart-narrow"' in drawn


def test_a_chart_is_one_described_image(drawn):
    """A screen reader meets one image with one description, which is text."""
    assert [(svg.get("role"), svg.get("aria-label")) for svg in _svgs(drawn)] == [("img", HOSTILE)] * 2


def test_nothing_in_a_chart_is_markup(drawn):
    """A text that looks like markup stays text."""
    assert "<script" not in drawn and not [node for svg in _svgs(drawn) for node in svg.iter() if node.tag.endswith("script")]


def test_a_chart_takes_its_colours_from_the_page(drawn):
    """Every colour of a chart is one of the page's variables, so that it reads on a light page and on a dark one."""
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', str(drawn)))
    assert colours and all(colour in ("none", "transparent") or colour.startswith("var(--") for colour in colours)


def test_no_two_series_look_alike():
    """Sixteen series, eight colours and eight shapes: each pair of them comes once."""
    encoded = charts._series([f"s{number}" for number in range(16)], 3)
    pairs = list(zip(encoded["color"]["scale"]["range"], encoded["shape"]["scale"]["range"], strict=True))
    assert len(set(pairs)) == 16
