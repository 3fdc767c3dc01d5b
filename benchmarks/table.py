"""Times as people read them."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.results import Result
from reports import spread

SHORT: Mapping[str, str] = {"channels_first": "first", "channels_last": "last"}
AIM, AIMED_FROM = 0.02, 100e-6
"""The harness may add this share to a call that takes so many seconds or more."""
REMARKS = 8
"""At most how many lines of remarks follow a table."""


def seconds_text(seconds: float) -> str:
    """Three digits and a unit: 2.31 ms."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def duration(seconds: float) -> str:
    """Minutes and seconds: 1:20."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def plural(number: int, noun: str) -> str:
    """1, "cell" -> "1 cell"; 2, "cell" -> "2 cells"."""
    return f"{number} {noun}{'s' * (number != 1)}"


Key = tuple[str, str, str, str]
"""(backend as it was asked for, workload, layout, output)"""


def table(results: Sequence[Result], words: Mapping[Key, str], names: Mapping[str, str]) -> str:
    """The medians, a row for each workload and output, a column for each backend and layout.

    `words` has what stands in a cell that was not timed: "gap", or why not. `names` are the backends' own names. A time
    with a tilde is noisy by the rules of `reports.spread`, and one with a ! has a remark by them; in brackets is the share of
    the machine's limit that was reached.
    """
    cells = dict(words)
    for result in results:
        facts = result.facts
        share = f" ({facts['limit'] / result.median:.0%}{'a' if facts['limited_by'] == 'arithmetic' else ''})" if facts.get("limit") else ""
        mark = ("!" if result.remarks else "") + ("~" if result.noise else "")
        cells[facts["address"], facts["workload"], facts["layout"], facts["output"]] = f"{mark}{seconds_text(result.median)}{share}"
    columns = list(dict.fromkeys((backend, layout) for backend in dict.fromkeys(key[0] for key in cells) for layout in SHORT))
    rows = list(dict.fromkeys((workload, output) for _, workload, _, output in cells))
    lines = [["", *(f"{names.get(backend, backend)} {SHORT[layout]}" for backend, layout in columns)]]
    for workload, output in rows:
        label = workload if output == "values" else f"{workload} {output}"
        lines.append([label, *(cells.get((backend, workload, layout, output), "") for backend, layout in columns)])
    legend = "channels first or last; in brackets the share of the limit: a copy of its size, or, with an a, arithmetic; ~ noisy"
    return "\n".join([*aligned(lines), legend, *_remarks(results, names)])


def _remarks(results: Sequence[Result], names: Mapping[str, str]) -> list[str]:
    """A line for each remark that a timing has; of many, the first."""
    lines = [
        f"! {names.get(facts['address'], facts['address'])} {facts['workload']} {facts['layout']} {facts['output']}: {remark}"
        for result in results
        for facts, remark in ((result.facts, remark) for remark in result.remarks)
    ]
    return lines if len(lines) <= REMARKS else [*lines[: REMARKS - 1], f"! and {len(lines) - REMARKS + 1} more; the report has all of them"]


def overhead(results: Sequence[Result], names: Mapping[str, str]) -> str:
    """What the harness reports beside what a bare loop says of the same call: medians, and the median of the paired ratios.

    A round and its bare partner follow each other, either of them first by chance; the interval holds that median with 95 %
    confidence, whatever the distribution. The aim is 2 % for calls of 100 µs and more, on a machine that does nothing else, and
    what misses it has a !; a shorter call shows what a reading of the clock costs.
    """
    lines = [["", "harness", "bare loop", "difference", "95 % interval"]]
    for result in results:
        facts, bare = result.facts, statistics.median(result.facts["bare"])
        ratios = spread.of([one / other for one, other in zip(result.seconds, facts["bare"], strict=True)])
        low, high = ratios.low, ratios.high
        interval = f"{low - 1:+.2%} to {high - 1:+.2%}" if low is not None and high is not None else "too few rounds"
        missed = "!" if result.median >= AIMED_FROM and abs(ratios.median - 1) > AIM else ""
        label = f"{names.get(facts['address'], facts['address'])} {facts['workload']} {facts['layout']} {facts['output']}"
        mark = "~" if result.noise else ""
        lines.append([label, f"{mark}{seconds_text(result.median)}", seconds_text(bare), f"{missed}{ratios.median - 1:+.2%}", interval])
    legend = f"difference: the median of the rounds' ratios; ! beyond {AIM:.0%} from {seconds_text(AIMED_FROM)} on; ~ noisy"
    return "\n".join([*aligned(lines), legend])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of one width, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]).rstrip() for row in rows
    ]
