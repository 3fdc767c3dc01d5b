"""The verdict as Markdown, for `$GITHUB_STEP_SUMMARY` or a comment: the verdict in its first line, under 60 kB."""

import itertools
import math
from collections.abc import Sequence

from benchmarks.gate_again import Again, of_run
from benchmarks.gate_calibration import Calibration
from benchmarks.gate_data import Run, Side
from benchmarks.gate_statistics import proportion
from benchmarks.gate_text import WORDS, forest, limits, line, next_steps, ordered, plain, within
from benchmarks.gate_verdict import Judgement, Verdict, percent
from benchmarks.table import seconds_text

MOST = 60_000
"""Bytes; GitHub refuses a summary over 1 MiB and a comment over 65,536 characters."""
MARKS = {"pass": "✅", "regression": "🔴", "coverage": "🔴", "invalid": "⚠️", "inconclusive": "⚠️"}
SHOWN = 80
"""Workloads in the plot, the gravest first; findings and commands likewise."""


def markdown(run: Run, verdict: Verdict, calibration: Calibration | None = None, again: Again | None = None) -> str:
    """The whole text."""
    asked = again or of_run(run)
    parts = [f"# {MARKS[verdict.state]} {text(verdict.headline)}", *_findings(verdict), *_next(run, verdict, asked)]
    found = ordered(verdict.judgements)
    if found:
        parts.append(fenced("\n".join(forest(found[:SHOWN], verdict.rule.confidence))))
        if len(found) > SHOWN:
            parts.append(f"{len(found) - SHOWN} more, that are no slower, are in gate.json.")
        parts.append(_explained(verdict))
        parts.append(_table(found[:SHOWN], asked))
    parts += [_sides(run), _noise(run, verdict, calibration)]
    return _cut("\n\n".join(part for part in parts if part) + "\n")


def refused_markdown(message: str, status: int, asked: str) -> str:
    """The text of a gate that ended before it measured; its first line is the verdict here too."""
    first, _, rest = message.partition("\n")
    parts = [
        f"# {MARKS['invalid']} {text(first[:1].upper() + first[1:])}", fenced(rest) if rest else "",
        f"Nothing was compared: exit status {status}. What was asked:", fenced(asked, "sh"),
    ]  # fmt: skip
    return _cut("\n\n".join(part for part in parts if part) + "\n")


def _findings(verdict: Verdict) -> list[str]:
    order = {"error": 0, "warning": 1, "notice": 2}
    told = sorted(verdict.findings, key=lambda finding: order[finding.level])
    lines = [f"- **{finding.level}** {text(finding.message)}{_case(finding.case)}" for finding in told[:SHOWN]]
    if len(told) > SHOWN:
        lines.append(f"- and {len(told) - SHOWN} more in gate.json")
    return ["\n".join(lines)] if lines else []


def _case(case: str) -> str:
    return f"\n\n{_indented(fenced(case[:500]))}\n" if case else ""


def _next(run: Run, verdict: Verdict, asked: Again) -> list[str]:
    steps = next_steps(run, verdict, asked)[:12]
    return ["## What to do next", *(text(words) + (f"\n\n{fenced(given, 'sh')}" if given else "") for words, given in steps)]


def _explained(verdict: Verdict) -> str:
    rule = verdict.rule
    return (
        f"Red needs a slowdown of at least {percent(rule.threshold)} and of three standard errors of identical code, in worker pairs "
        f"measured after the suspicion, with p ≤ {rule.alpha:g} over all of those together (Holm). In the shaded band a slowdown may go "
        "unseen."
    )


def _table(found: Sequence[Judgement], asked: Again) -> str:
    rows = [
        "<details><summary>Every workload, with the command that runs it again</summary>", "",
        "| workload | | change | interval | baseline | candidate | clock | pairs | p | red from | found from | again |",
        "|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|---|",
    ]  # fmt: skip
    for one in found:
        cells = [
            text(one.workload), WORDS[one.state], percent(one.estimate), within(one), *(seconds_text(each) for each in one.seconds),
            one.metric, str(one.pairs), f"{one.p:.2g}", *limits(one), coded(asked.workload(one.workload)),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, "", "</details>"])


def _sides(run: Run) -> str:
    head = "| | side | revision | backend | version | Python |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(_side(side) for side in run.sides)])


def _side(side: Side) -> str:
    cells = (side.role, f"{side.label} ({side.kind})", side.revision[:12], side.backend, side.version, side.python)
    return f"| {' | '.join(text(cell) for cell in cells)} |"


def _noise(run: Run, verdict: Verdict, calibration: Calibration | None) -> str:
    words = [f"Measured on {text(run.machine.description.get('cpu') or run.machine.fingerprint)}"]
    if run.finished:
        words.append(f"from {text(run.started)} to {text(run.finished)}")
    if calibration is None:
        return f"{' '.join(words)}. This machine is not calibrated: values with ~ are judged from this run alone."
    told = f"{' '.join(words)}."
    if calibration.gates:
        red = calibration.states.get("regression", 0)
        gates = calibration.gates
        told += f" Here {red} of {gates} gates of identical code went red: with 95 % confidence under {_rate(red, gates)} do."
    if run.only != "meaning" and verdict.judgements and not all(math.isfinite(one.detectable) for one in verdict.judgements):
        told += " Some workloads are too noisy here for any slowdown to be found for sure."
    return told


def _rate(found: int, trials: int) -> str:
    return f"{100 * proportion(found, trials)[1]:.2g} %"


# --- text inside Markdown -------------------------------------------------------------------------


ESCAPED = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "\\`*_[]~"}, "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "#": "&#35;", "@": "@&#8203;"}
)


def text(value: object) -> str:
    """Foreign text: nothing of it is markup, of Markdown or of HTML, nor a link or a mention, and it stays on its line."""
    told = line(str(value))[:500].encode("utf-8", "backslashreplace").decode()
    return told.translate(ESCAPED).replace("://", ":&#8203;//")


def fenced(value: str, language: str = "") -> str:
    """Text in a fence that it cannot close."""
    return f"{(fence := _ticks(value, 3))}{language}\n{plain(value)}\n{fence}"


def coded(value: str) -> str:
    """Text in a code span of a table, on one line."""
    told, ticks = line(value).replace("|", "\\|"), _ticks(value, 1)
    return f"{ticks}{' ' if '`' in told else ''}{told}{' ' if '`' in told else ''}{ticks}"


def _ticks(value: str, least: int) -> str:
    return "`" * max(least, 1 + max((len(list(run)) for mark, run in itertools.groupby(value) if mark == "`"), default=0))


def _indented(value: str) -> str:
    return "\n".join(f"  {each}" for each in value.splitlines())


def _cut(told: str) -> str:
    raw = told.encode("utf-8", "backslashreplace")
    if len(raw) < MOST:
        return raw.decode()
    note = "\n\nCut here: gate.json has the rest.\n"
    kept = raw[: MOST - len(note) - 32].decode("utf-8", "ignore").rpartition("\n")[0]
    # A fence or a table that the cut left open would swallow the note.
    if sum(each.startswith("```") for each in kept.splitlines()) % 2:
        kept += "\n```"
    if kept.count("<details>") > kept.count("</details>"):
        kept += "\n\n</details>"
    return kept + note
