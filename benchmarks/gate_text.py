"""The verdict as text: a forest plot that any fixed-width font draws, what to do next, and the table at the end."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.gate_again import Again, of_run
from benchmarks.gate_data import Run
from benchmarks.gate_verdict import Finding, Judgement, Verdict, percent, size
from benchmarks.table import aligned, seconds_text

WORDS = {
    "regression": "SLOWER", "different": "DIFFERENT", "inconclusive": "undecided", "improvement": "faster", "pass": "ok",
}  # fmt: skip
ORDER = tuple(WORDS)
HALF = 20
"""Cells of the plot on each side of "no change"."""
LEGEND = "● estimate, ├─┤ interval (all hold together, {confidence:.0%}), │ no change, ┊ threshold, ░ too small to be found for sure"


def ordered(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The gravest first, and the largest effect first among equals."""
    return sorted(judgements, key=lambda one: (ORDER.index(one.state), -abs(one.estimate), one.workload))


def forest(judgements: Sequence[Judgement], confidence: float) -> list[str]:
    """A line for each workload with its ratio, its interval and a plot of them, under a line with the scale."""
    if not judgements:
        return []
    reach = _reach(judgements)
    found = ordered(judgements)
    rows = [[line(one.workload), percent(one.estimate), within(one), WORDS[one.state]] for one in found]
    lines = aligned([["", "change", "interval", ""], *rows])
    width = max(map(len, lines))
    scale = f"{percent(-reach):<{HALF}}0{percent(reach):>{HALF}}"
    plots = [scale, *(_plot(one, reach) for one in found)]
    return [*(f"{text:<{width}}  {plot}".rstrip() for text, plot in zip(lines, plots, strict=True)), LEGEND.format(confidence=confidence)]


def within(one: Judgement) -> str:
    """The interval in words."""
    high = percent(one.high) if one.high < 10 else "∞"
    return f"{percent(one.low)} to {high}"


def _reach(judgements: Sequence[Judgement]) -> float:
    """The share at the ends of the scale: a round one that shows the intervals, as far as they say anything."""
    most = max(min(1.0, max(1.1 * abs(one.estimate), abs(one.low), abs(one.high), one.threshold, _visible(one, 0.3))) for one in judgements)
    return next((step for step in (0.05, 0.1, 0.2, 0.3, 0.5) if most <= step), 1.0)


def _visible(one: Judgement, most: float) -> float:
    return one.detectable if one.detectable < most else 0.0


def _plot(one: Judgement, reach: float) -> str:
    cells = [" "] * (2 * HALF + 1)

    def place(share: float) -> int:
        return round(max(-1.0, min(1.0, share / reach)) * HALF) + HALF

    band = min(one.detectable, reach)
    for cell in range(place(-band), place(band) + 1):
        cells[cell] = "░"
    cells[place(0)] = "│"
    if one.threshold <= reach:
        cells[place(one.threshold)] = "┊"
    low, high = place(one.low), place(one.high)
    for cell in range(low, high + 1):
        cells[cell] = "─"
    cells[low] = "├" if one.low >= -reach else "◂"
    cells[high] = "┤" if one.high <= reach else "▸"
    cells[place(one.estimate)] = "●"
    return "".join(cells)


# --- what to do next ------------------------------------------------------------------------------


def next_steps(run: Run, verdict: Verdict, again: Again) -> list[tuple[str, str]]:
    """What to do: sentences, each with a command or nothing."""
    steps: list[tuple[str, str]] = []
    slow, open_ones = verdict.having("regression"), verdict.having("inconclusive")
    if slow:
        steps.append((f"Look at {slow[0].workload} alone, again:", again.workload(slow[0].workload)))
        files = [str(Path(again.folder, f"gate-{side.role}.json")) for side in run.sides if side.kind != "stored"]
        files += [side.label for side in run.sides if side.kind == "stored"]
        steps.append(("Look at the times themselves:", shlex.join(["pytest-benchmark", "compare", *files])))
        steps.append(("If the slowdown is meant, say so where the change is reviewed; the next baseline has it.", ""))
    if open_ones:
        text = f"{open_ones[0].workload} could not be decided: measure it again, on a machine with less else to do."
        steps.append((text, again.workload(open_ones[0].workload)))
    steps += [step for finding in verdict.findings for step in _step(finding, run, again)]
    if verdict.state == "pass":
        steps.append(("Nothing needs to be done.", ""))
    return list(dict.fromkeys(steps))


def _step(finding: Finding, run: Run, again: Again) -> list[tuple[str, str]]:
    match finding.kind:
        case "partial":
            return [("Run it again, to its end.", again.whole)]
        case "sentinel" | "null":
            return [("The machine did something else meanwhile: run it again when it is quiet.", again.whole)]
        case "newly_diverging" if finding.case:
            return [(f"See what the candidate answers{again.under and f', {again.under}'}:", again.case(finding.case))]
        case "different" | "wrong":
            # A stored baseline has no answers.
            asked = "" if run.sides[0].kind == "stored" else again.meaning()
            return [(f"Find out why {finding.workload} answers differently before its speed matters.", asked)]
        case "skipped" if finding.workload:
            return [(f"Let the {finding.side} be asked {finding.workload} again, or the baseline lose it first.", "")]
        case "missing" | "renamed":
            return [(f"Bring {finding.workload or 'what is missing'} back under its name, or let the baseline lose it first.", "")]
        case "failed" | "died" | "hung" | "garbage" if finding.workload:
            return [(f"See {finding.workload} fail alone:", again.workload(finding.workload))]
        case "calibration":
            return [("Calibrate this machine:", again.calibration(run.sides[0].backend))]
    return []


# --- the end of a run -----------------------------------------------------------------------------


def summary(run: Run, verdict: Verdict, again: Again | None = None) -> str:
    """What a terminal shows at the end: the plot, the times, the findings, what to do, and the verdict last, where one looks."""
    parts: list[str] = []
    if verdict.judgements:
        parts += [*forest(verdict.judgements, verdict.rule.confidence), "", *times(verdict.judgements), ""]
    parts += [f"{finding.level}: {line(finding.message)}" for finding in verdict.findings]
    parts += [f"note: {line(note)}" for note in run.notes]
    for text, asked in next_steps(run, verdict, again or of_run(run)):
        parts.append(f"→ {line(text)}" + (f"\n    {plain(asked)}" if asked else ""))
    return "\n".join([*parts, "", f"{line(verdict.headline)} (exit status {verdict.status})"])


def times(judgements: Sequence[Judgement]) -> list[str]:
    """What lies behind the plot, a line for each workload."""
    head = ["", "baseline", "candidate", "clock", "pairs", "p", "red from", "found from"]
    return aligned([head, *([line(one.workload), *_facts(one)] for one in ordered(judgements))])


def _facts(one: Judgement) -> list[str]:
    return [*(seconds_text(each) for each in one.seconds), one.metric, str(one.pairs), f"{one.p:.2g}", *limits(one)]


def limits(one: Judgement) -> tuple[str, str]:
    """From which slowdown on it is red, and from which on it is found; a tilde where the machine is not calibrated."""
    needed, visible = (size(share) if share < 10 else "never" for share in (one.threshold, one.detectable))
    return needed, visible if one.calibrated else f"~{visible}"


def plain(text: str) -> str:
    """Foreign text without what a terminal would obey; its lines stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in str(text))


def line(text: str) -> str:
    """Foreign text on one line."""
    return " ".join(plain(text).split())
