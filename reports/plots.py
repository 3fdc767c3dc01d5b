"""The charts of a run: its timings, and those of the runs before it."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from reports import charts, gates, speed, words
from reports.history import Past, Trend

MOST_TRENDS = 12
MOST_GATED = 60
GATED = {
    "slower": "var(--diverges)", "different": "var(--crash)", "undecided": "var(--idle)", "faster": "var(--series-1)",
    "passed": "var(--conforms)",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A chart of timings."""

    title: str
    caption: str
    chart: Markup


def of_gate(gate: gates.Gate) -> Plot | None:
    """The changes of a gate's workloads with their intervals, the gravest first; None where nothing was compared."""
    if not gate.rows:
        return None
    rows = [
        {
            "workload": row.workload, "series": row.state, "estimate": 100 * row.estimate, "low": 100 * row.low,
            "high": 1e6 if row.high is None else 100 * row.high, "threshold": 1e6 if row.threshold is None else 100 * row.threshold,
            "band": 1e6 if row.detectable is None else 100 * row.detectable,
        }
        for row in gate.rows[:MOST_GATED]
    ]  # fmt: skip
    names = {row.state: GATED[row.state] for row in gate.rows[:MOST_GATED]}
    left_out = (
        f" {words.plural(len(gate.rows) - MOST_GATED, 'workload')} that changed less are in the table."
        if len(gate.rows) > MOST_GATED
        else ""
    )
    return Plot(
        title="Candidate against baseline",
        caption=f"A mark is the change of a workload's time, the bar its interval; all intervals hold together with {gate.confidence:.0%} "
        f"confidence. The tick is where red begins; in the shaded band a change may go unseen.{left_out}",
        chart=charts.forest(
            rows, names, title="change of the time of one call (%)",
            label=f"Changes of {words.plural(len(rows), 'workload')}: {gate.headline} The table below has the numbers",
        ),
    )  # fmt: skip


def of_speed(found: speed.Speed) -> Iterator[Plot]:
    """One plot a setting, with every workload and how far its rounds spread; then times over sizes and over threads."""
    told = speed.layers(found.blocks)
    for setting in dict.fromkeys(block.setting for block in told):
        blocks = [block for block in told if block.setting == setting]
        rows = [
            {
                "workload": block.workload, "series": entry.timing.series, "median": entry.timing.spread.median,
                "low": entry.timing.spread.q1, "high": entry.timing.spread.q3,
            }
            for block in blocks
            for entry in block.entries
        ]  # fmt: skip
        names = words.ordered((entry.timing.series for block in blocks for entry in block.entries), ())
        label = f"Times of {words.plural(len(blocks), 'workload')} on {words.listed(names)}; the table below has the numbers"
        yield Plot(
            title=setting[:1].upper() + setting[1:],
            caption="A mark is the median of a workload's rounds, the bar across it their middle half.",
            chart=charts.intervals(rows, names, label=label),
        )
    for scaling in found.scaling:
        points = [
            {"series": name, "x": position, "y": median * 1e3, "low": low * 1e3, "high": high * 1e3}
            for name, line in scaling.lines
            for position, median, low, high in line
        ]
        names = [name for name, _ in scaling.lines]
        axis = "threads" if scaling.family.startswith("threads: ") else scaling.family
        label = f"Time over {axis} of {words.listed(names)}"
        yield Plot(
            title=f"Time over {scaling.family}, {scaling.setting}",
            caption="Medians in a band of their middle half. Where curves part, so do the algorithms.",
            chart=charts.lines(
                [("", points)], names, x={"title": axis}, y={"title": "time of one call (ms, logarithmic)", "log": True}, label=label
            ),
        )


def of_history(past: Past) -> Iterator[Plot]:
    """A chart for each workload, those first that changed most from the last run but one to the last."""
    together: dict[tuple[str, str], list[Trend]] = {}
    for trend in past.trends:
        together.setdefault((trend.workload, trend.setting), []).append(trend)
    by_change = sorted(together.items(), key=lambda item: -max(abs(math.log(trend.change)) for trend in item[1]))
    for (workload, setting), trends in by_change[:MOST_TRENDS]:
        points = [
            {
                "series": trend.series, "created": point.created, "median": point.median * 1e3,
                "low": (point.low or point.median) * 1e3, "high": (point.high or point.median) * 1e3,
            }
            for trend in trends
            for point in trend.points
        ]  # fmt: skip
        marks = sorted({(when, f"{trend.backend.partition(':')[0]} {version}") for trend in trends for when, version in trend.upgrades})
        # Several frameworks may have been upgraded before one run: one line, one label.
        upgrades = [
            {"created": when, "text": ", ".join(text for _, text in group)}
            for when, group in itertools.groupby(marks, key=lambda mark: mark[0])
        ]
        names = [trend.series for trend in trends]
        yield Plot(
            title=f"{workload}, {setting}",
            caption="",
            chart=charts.trends(points, upgrades, names, label=f"Times of {workload} on {words.listed(names)}, run after run"),
        )
