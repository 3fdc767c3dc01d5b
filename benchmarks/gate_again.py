"""How a person runs a gate again, or a part of it: commands of what was compared, that mean the same on another machine."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from backends.environments import ROOT
from benchmarks.gate_data import Run, Side
from benchmarks.gate_run import Plan
from benchmarks.gate_sides import Choice
from benchmarks.gate_worker import Settings

TOX = ("tox", "-e", "gate", "--")
REPLAY = ("python", "-m", "properties")


@dataclass(frozen=True, kw_only=True)
class Again:
    """Commands by their words.

    `words` ask for the whole comparison, and `tool` stands before them. `replay` puts a case to the candidate, and `under` says where
    if that is another machine. `folder` is where the files lie; empty where the reader has them elsewhere.
    """

    words: tuple[str, ...]
    tool: tuple[str, ...] = TOX
    replay: tuple[str, ...]
    under: str = ""
    folder: str = ""

    @property
    def whole(self) -> str:
        """The whole comparison."""
        return shlex.join([*self.tool, *self.words])

    def workload(self, name: str) -> str:
        """One workload."""
        return self._having("-k", name)

    def meaning(self) -> str:
        """What both sides answer, without their speed."""
        return self._having("--only", "meaning")

    def calibration(self, backend: str) -> str:
        """What calibrates this machine."""
        return shlex.join([*self.tool, "--backend", backend, "--null", "--aa", "20"])

    def case(self, text: str) -> str:
        """One case, put to the candidate."""
        return shlex.join([*self.replay, text])

    def _having(self, option: str, value: str) -> str:
        words = list(self.words)
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
        return shlex.join([*self.tool, *words, option, value])


def of_run(run: Run) -> Again:
    """As far as a run alone tells."""
    candidate = run.sides[1]
    under = f"in a checkout of {candidate.revision[:12]}" if candidate.kind == "revision" else f"under {candidate.label}"
    return Again(words=tuple(sides(run)), replay=(*REPLAY, "--backend", candidate.backend), under=under)


def of_plan(plan: Plan, run: Run, given: argparse.Namespace, out: Path) -> Again:
    """How to run it again: here by the paths that there are here, after CI by what another machine has as well."""
    elsewhere = bool(os.environ.get("CI"))
    told = replace(of_run(run), words=(*sides(run), *_options(plan, given, elsewhere=elsewhere)), tool=tool())
    if elsewhere:
        return told
    where = plan.environments[1]
    found = [f"{name}={value}" for name, value in where.variables.items()]
    replay = [*(("env", *found) if found else ()), *REPLAY, "--backend", where.address(plan.backends[1])]
    replay += ["--backend-python", where.python] if where.python != sys.executable else []
    replay += ["--backend-root", str(where.root)] if where.root != ROOT else []
    return replace(told, replay=tuple(replay), under="", folder=os.path.relpath(out) if out.is_relative_to(Path.cwd()) else str(out))


def tool() -> tuple[str, ...]:
    """What a person types before the words: the tox environment that this runs in, if it does."""
    tox = os.environ.get("TOX_ENV_NAME")
    return ("tox", "-e", tox, "--") if tox else ("python", "-m", "benchmarks.gate")


def _options(plan: Plan, given: argparse.Namespace, *, elsewhere: bool) -> Iterator[str]:
    """What was asked for beside the sides, where it is not what is asked anyway."""
    choice, settings, usual = plan.choice, plan.settings, Settings()
    checkout = f"../{given.checkout.resolve().name}" if elsewhere else str(given.checkout)
    told = [
        ("--checkout", "" if given.checkout.resolve() == ROOT else checkout, ""),
        ("--build", given.build, ""), ("--only", plan.only, "both"), ("--level", choice.level, ""),
        ("-k", choice.select, ""), ("--layout", choice.layout, ""),
        *(("--output", output, "") for output in choice.outputs if choice.outputs != Choice().outputs),
        ("--threshold", given.threshold, None), ("--calibration", None if elsewhere else given.calibration, None),
        ("--inject", 100 * plan.injected, 0), ("--seed", settings.seed, usual.seed), ("--quads", settings.quads, usual.quads),
        ("--limit", settings.limit, usual.limit), ("--start-limit", settings.start_limit, usual.start_limit),
    ]  # fmt: skip
    for option, value, unsaid in told:
        if value != unsaid:
            yield from (option, f"{value:.12g}" if isinstance(value, float) else str(value))


def sides(run: Run) -> list[str]:
    """The options that name both sides: a revision by its commit, everything else as it was written."""
    baseline, candidate = run.sides
    named = ["--candidate", _named(candidate)]
    if _named(baseline) == _named(candidate) and baseline.backend == candidate.backend:
        named.insert(0, "--null")
    else:
        named = ["--baseline", _named(baseline), *named]
    if baseline.backend == candidate.backend:
        return [*named, "--backend", candidate.backend]
    return [*named, "--baseline-backend", baseline.backend, "--candidate-backend", candidate.backend]


def _named(side: Side) -> str:
    return side.revision if side.kind == "revision" and side.revision else side.label
