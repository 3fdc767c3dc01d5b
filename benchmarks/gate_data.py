"""What the gate measures, as data: quads, pairs of worker processes, sides, what was not covered, a whole run.

The measuring half makes these, the deciding half reads them, `gate.json` keeps them. Each refuses at
construction what cannot be believed, so that no later step meets a time that is not a positive, finite number.
"""

import functools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

SCHEMA = 1
METRICS = ("cpu", "wall", "device")
ROLES = ("baseline", "candidate")
SIDE_KINDS = ("revision", "path", "python", "requirements", "stored")
UNCOVERED_KINDS = ("missing", "new", "renamed", "skipped", "failed", "wrong", "died", "hung", "garbage")
ORDERS = {"ABBA": ((0, 3), (1, 2)), "BAAB": ((1, 2), (0, 3))}
"""Which of four blocks are the baseline's (A), and which the candidate's (B)."""


class GateError(ValueError):
    """Why there is no comparison to judge; `status` is the exit status that it means."""

    status = 3


class Usage(GateError):
    """The command asks for what cannot be: a threshold below the noise, a workload that does not exist."""

    status = 2


class Invalid(GateError):
    """What was handed in cannot be believed: truncated, foreign, of another machine or of a newer schema."""


def require_seconds(values: Any, what: str) -> tuple[float, ...]:
    """The times as floats.

    Raises:
        ValueError: one is not a positive, finite number.
    """
    times = []
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{what}[{number}]={value!r}: a time is a positive, finite number of seconds")
        times.append(float(value))
    return tuple(times)


def _one_of(what: str, value: Any, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{what}={value!r}: expected one of {', '.join(map(str, allowed))}")


def _text(what: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what}={value!r}: expected text")


def _count(what: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{what}={value!r}: expected a whole number, at least {least}")


@dataclass(frozen=True, kw_only=True)
class Quad:
    """One ABBA or BAAB of four blocks of one workload in one pair; A is the baseline, B the candidate.

    `seconds` are the metric's seconds a call of each block, `wall` those of the wall clock, in time order.
    """

    order: str
    seconds: tuple[float, float, float, float]
    wall: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        _one_of("order", self.order, ORDERS)
        for name in ("seconds", "wall"):
            times = require_seconds(getattr(self, name), name)
            if len(times) != 4:
                raise ValueError(f"{name}={times}: expected four blocks")
            object.__setattr__(self, name, times)

    def blocks(self, role: str, *, wall: bool = False) -> tuple[float, float]:
        """Seconds a call of the two blocks of one side, in time order."""
        first, second = ORDERS[self.order][ROLES.index(role)]
        times = self.wall if wall else self.seconds
        return times[first], times[second]

    @property
    def log_ratio(self) -> float:
        """The logarithm of candidate over baseline: what drifts linearly over the four blocks falls out of it."""
        (a, d), (b, c) = self.blocks("baseline"), self.blocks("candidate")
        return (math.log(b) + math.log(c) - math.log(a) - math.log(d)) / 2


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What two fresh worker processes measured of one workload; the unit of replication.

    `stage` is 0 for screening, 1 for confirmation, 2 for the pairs after that. `first` is the role whose worker was started
    first. `checksums` are of the baseline's and the candidate's pooled array (bytes, shape and dtype; NaN
    canonical, −0 as 0). `conforming` says that both answers were held against the definition and lie within its bound:
    then checksums that differ are another rounding, to be told, not a wrong answer. `sentinel`: no change can touch
    this workload. `null`: baseline against baseline.
    """

    workload: str
    number: int
    stage: int
    first: str
    iterations: int
    metric: str
    quads: tuple[Quad, ...]
    checksums: tuple[str, str]
    sentinel: bool = False
    null: bool = False
    conforming: bool = False

    def __post_init__(self) -> None:
        _text("workload", self.workload)
        _count("number", self.number, 0)
        _one_of("stage", self.stage, (0, 1, 2))
        _one_of("first", self.first, ROLES)
        _count("iterations", self.iterations, 1)
        _one_of("metric", self.metric, METRICS)
        object.__setattr__(self, "quads", tuple(self.quads))
        if not self.quads:
            raise ValueError(f"{self.workload}: a pair without quads")
        object.__setattr__(self, "checksums", tuple(self.checksums))
        if len(self.checksums) != 2:
            raise ValueError(f"checksums={self.checksums!r}: expected the baseline's and the candidate's")
        for checksum in self.checksums:
            _text("checksum", checksum)

    @functools.cached_property
    def log_ratio(self) -> float:
        """The logarithm of candidate over baseline: the median over the quads."""
        return statistics.median(quad.log_ratio for quad in self.quads)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared; `label` is as the user wrote it."""

    role: str
    label: str
    kind: str
    backend: str
    version: str = ""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""

    def __post_init__(self) -> None:
        _one_of("role", self.role, ROLES)
        _one_of("kind", self.kind, SIDE_KINDS)


@dataclass(frozen=True, kw_only=True)
class Uncovered:
    """A workload that was not compared, or not rightly; `workload` is empty where a whole side is meant."""

    workload: str
    kind: str
    side: str
    message: str = ""

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, UNCOVERED_KINDS)
        _one_of("side", self.side, (*ROLES, "both"))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it was measured: calibrations and stored baselines hold for one fingerprint."""

    fingerprint: str
    description: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _text("fingerprint", self.fingerprint)


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that one gate has measured.

    `workloads` are those that it set out to compare, sentinels left out: one of them without pairs makes the run incomplete,
    whatever else was said. `only` is what was asked: "speed", "meaning" or "both". `started` and `finished` are
    ISO 8601 in UTC; `finished` is None, and `partial` true, where the run was cut short.

    `meaning` is what the semantic gate found, None where it did not run:
    {"compared": int, "newly_diverging": [finding], "newly_conforming": [finding], "newly_supported": [finding],
    "newly_unsupported": [finding], "different_bits": {"cases": int, "largest": float, "case": str}, "problems": [str]}; a finding is
    {"law": str, "case": text of the smallest case, "message": str, "native": str or None}, and of a single case
    "known": [id of the divergence that makes the difference]. A problem leaves it incomplete.
    """

    workloads: tuple[str, ...]
    started: str
    machine: Machine
    sides: tuple[Side, Side]
    pairs: tuple[Pair, ...] = ()
    uncovered: tuple[Uncovered, ...] = ()
    meaning: Mapping[str, Any] | None = None
    only: str = "both"
    finished: str | None = None
    partial: bool = False
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        for name in ("workloads", "sides", "pairs", "uncovered", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _one_of("only", self.only, ("both", "speed", "meaning"))
        if self.schema != SCHEMA:
            raise ValueError(f"schema={self.schema!r}: expected {SCHEMA}")
        if tuple(side.role for side in self.sides) != ROLES:
            raise ValueError(f"sides={[side.role for side in self.sides]}: expected the baseline, then the candidate")
        for workload in self.workloads:
            _text("workload", workload)
        if len(set(self.workloads)) != len(self.workloads):
            raise ValueError(f"workloads={self.workloads}: one is named twice")


class Progress(Protocol):
    """Who is told what the measuring does, as it does it."""

    def began(self, workload: str, pair: int, total: int) -> None:
        """Pair number `pair` of `total` is about to be measured."""

    def ended(self, pair: Pair) -> None:
        """A pair was measured."""

    def note(self, text: str) -> None:
        """Something worth a line happened."""
