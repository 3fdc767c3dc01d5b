"""The regression gate's verdict, read from its `gate.json` (benchmarks/gate.schema.json describes it)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.record import Problem
from reports.words import duration, listed, percent, plural, significant

SCHEMA = 1
SIDE = ("role", "label", "kind", "backend", "version", "python", "revision")
STATES = {"pass": "passed", "regression": "slower", "coverage": "different", "invalid": "no result", "inconclusive": "undecided"}
"""The gate's words for a run, and the page's."""
ROWS = {"regression": "slower", "different": "different", "inconclusive": "undecided", "improvement": "faster", "pass": "passed"}
"""Likewise for a workload, the gravest first."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One workload: shares (0.05 is 5 % slower) with a simultaneous interval; an end is None where there is none."""

    workload: str
    state: str
    estimate: float
    low: float
    high: float | None
    threshold: float | None
    detectable: float | None
    calibrated: bool
    p: float
    pairs: int
    metric: str
    seconds: tuple[float, float]
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A finding beside the speeds."""

    state: str
    text: str
    case: str = ""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One run of the gate; `state` is the page's word, `noise` what the calibration of its machine says in sentences."""

    file: str
    state: str
    headline: str
    status: int
    started: str
    machine: str
    sides: tuple[Mapping[str, str], ...]
    rows: tuple[Row, ...]
    findings: tuple[Told, ...]
    noise: tuple[str, ...]
    confidence: float
    threshold: float


def read(files: Iterable[Path]) -> tuple[list[Gate], list[Problem]]:
    """The gates in some files, and which of these cannot be read."""
    gates, problems = [], []
    for file in files:
        try:
            gates.append(_gate(file, json.loads(file.read_bytes(), parse_constant=_no_constant)))
        except json.JSONDecodeError as error:
            problems.append(Problem(str(file), error.lineno, f"not JSON, or cut off: {error.msg}"))
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            problems.append(Problem(str(file), 0, f"not a gate.json: {type(error).__name__}: {error}"))
    return gates, problems


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that was measured")


def _gate(file: Path, found: Any) -> Gate:
    if not isinstance(found, Mapping) or found.get("kind") != "gate":
        raise ValueError("no gate wrote it")
    if found["schema"] != SCHEMA:
        raise ValueError(f"schema {found['schema']!r}, and this report reads {SCHEMA}")
    run, verdict = found["run"], found["verdict"]
    described = run["machine"]["description"]
    rows = [_row(entry) for entry in verdict["judgements"]]
    return Gate(
        file=str(file), state=STATES[verdict["state"]], headline=str(verdict["headline"]), status=int(verdict["status"]),
        started=str(run["started"]), machine=str(described.get("cpu") or run["machine"]["fingerprint"]),
        sides=tuple({name: str(side[name]) for name in SIDE} for side in run["sides"]),
        rows=tuple(sorted(rows, key=lambda row: (list(ROWS.values()).index(row.state), -abs(row.estimate), row.workload))),
        findings=tuple(_told(entry) for entry in verdict["findings"]), noise=tuple(_noise(found["calibration"])),
        confidence=_number(verdict["rule"]["confidence"]), threshold=_number(verdict["rule"]["threshold"]),
    )  # fmt: skip


def _row(entry: Mapping[str, Any]) -> Row:
    before, now = (_number(value) for value in entry["seconds"])
    if min(before, now) <= 0:
        raise ValueError(f"{entry['workload']}: {min(before, now)!r} s: a time is a positive number")
    return Row(
        workload=str(entry["workload"]), state=ROWS[entry["state"]], estimate=_number(entry["estimate"]), low=_number(entry["low"]),
        high=_bound(entry["high"]), threshold=_bound(entry["threshold"]), detectable=_bound(entry["detectable"]),
        calibrated=bool(entry["calibrated"]), p=_number(entry["p"]), pairs=int(entry["pairs"]), metric=str(entry["metric"]),
        seconds=(before, now), message=str(entry["message"]),
    )  # fmt: skip


def _told(entry: Mapping[str, Any]) -> Told:
    # What is only told has no state of its own but its level.
    state = STATES[entry["state"]] if entry["state"] != "pass" else str(entry["level"])
    if state not in (*STATES.values(), "warning", "notice"):
        raise ValueError(f"level={state!r}")
    return Told(state=state, text=str(entry["message"]), case=str(entry["case"]))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r}: expected a number")
    return float(value)


def _bound(value: Any) -> float | None:
    return None if value is None else _number(value)


def _noise(known: Any) -> Iterable[str]:
    if known is None:
        yield "This machine was not calibrated: what can be found is judged from the run's own pairs."
        return
    alarms = known["alarms"]
    if alarms["gates"]:
        told = f"{alarms['red']} of {plural(alarms['gates'], 'gate')} of identical code went red here"
        yield f"{told}; with 95 % confidence fewer than {percent(_number(alarms['bound']))} do."
    for name, tally in known["swapped"].items():
        yield f"Decided again with the sides of {name} swapped at random, {tally['found']:,} of {tally['trials']:,} were red."
    for name, tally in known["sequential"].items():
        if tally["trials"]:
            share = percent(tally["found"] / tally["trials"])
            yield f"On the same runs, one compared with the next, pytest-benchmark's compare-fail={name} was red {share} of the time."
    for effect, table in sorted(known["power"].items(), key=lambda entry: float(entry[0])):
        found, trials = (sum(tally[key] for tally in table.values()) for key in ("found", "trials"))
        below = [name for name, tally in table.items() if tally["found"] < 0.95 * tally["trials"]]
        worse = f"; in fewer than 95 of 100 on {listed(below)}" if below else ""
        yield f"A known slowdown of {effect} % was found in {found} of {plural(trials, 'trial')}{worse}."
    if known["power"]:
        yield f"A known slowdown was called an improvement {plural(int(known['reversed']), 'time')}."


# --- in words -----------------------------------------------------------------------------------


def change(share: float | None) -> str:
    """A share with its sign: 0.052 -> "+5.2 %", None -> "∞"."""
    if share is None:
        return "∞"
    return f"{'+' if share > 0 else ''}{significant(100 * share, 2 if abs(share) < 0.1 else 3)} %" if abs(share) >= 5e-4 else "0 %"


def times_of(row: Row) -> str:
    """Both medians."""
    return " → ".join(duration(value) for value in row.seconds)


def visible(row: Row) -> str:
    """From which slowdown on it is found; a tilde where that was not calibrated."""
    return ("" if row.calibrated else "~") + ("never" if row.detectable is None else change(row.detectable))
