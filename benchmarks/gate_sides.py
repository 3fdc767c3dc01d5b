"""What the two sides are, and what they have in common: from the command line to questions."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.environments import ROOT, Environment, commit_of, git
from backends.interface import OUTPUTS
from benchmarks.gate_data import Invalid, Uncovered, Usage
from benchmarks.gate_worker import Question

LISTING = Path(__file__).with_name("gate_listing.py")
UPSTREAM = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a side has: its workloads by name (None where it has no benchmarks of ours), packages and Python version."""

    workloads: Mapping[str, Mapping[str, Any]] | None
    packages: Mapping[str, str]
    python: str


# --- defaults -------------------------------------------------------------------------------------


def merge_base(checkout: Path) -> str:
    """The commit at which HEAD left its upstream branch.

    Raises:
        Usage: there is none to be found.
    """
    branch = os.environ.get("GITHUB_BASE_REF")
    names = (f"origin/{branch}", branch) if branch else UPSTREAM
    for name in names:
        if commit_of(name, checkout) and (base := git(checkout, "merge-base", name, "HEAD")):
            return base
    raise Usage(f"--baseline: {checkout} has no branch {' or '.join(names)} with which HEAD shares a commit: say what to compare with")


def default_candidate() -> str:
    """HEAD in CI; on a desk the files as they are."""
    return "HEAD" if os.environ.get("CI") else "."


# --- what a side has ------------------------------------------------------------------------------


def listing(environment: Environment) -> Listing:
    """Ask a side's interpreter what there is.

    Raises:
        Invalid: it does not answer.
    """
    command = [environment.python, str(LISTING), str(environment.root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise ValueError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
        said = json.loads(done.stdout)
        workloads = None if said["workloads"] is None else {row["name"]: row for row in said["workloads"]}
        return Listing(workloads=workloads, packages=said["packages"], python=said["python"])
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        raise Invalid(f"{environment.label} does not start: {error}") from error


def ours() -> Listing:
    """What this checkout has: for sides that have no workloads of their own."""
    here = Environment(label="this checkout", kind="path", python=sys.executable, root=ROOT, home=ROOT)
    return listing(here)


# --- what they have in common ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which workloads: `level` "quick" or "all", an expression as pytest's -k takes it, a layout ("" for either), outputs."""

    level: str = "quick"
    select: str = ""
    layout: str = ""
    outputs: tuple[str, ...] = ("values",)


def common(baseline: Mapping[str, Any], candidate: Mapping[str, Any], choice: Choice) -> tuple[list[Question], list[Uncovered]]:
    """The questions that both sides have, and what one of them has not.

    The baseline says what is to be covered. A workload that asks another question under its old name is gone.

    Raises:
        Usage: the choice chooses nothing.
    """
    wanted = [row for row in baseline.values() if chosen(row, choice)]
    added = [row for row in candidate.values() if chosen(row, choice) and row["name"] not in baseline]
    if not wanted and not added:
        raise Usage(f"no workload is chosen by level {choice.level!r} and -k {choice.select!r}: `python -m benchmarks --list` lists them")
    questions: list[Question] = []
    uncovered: list[Uncovered] = []
    renamed = {_asks(row): row["name"] for row in added}
    for row in wanted:
        other = candidate.get(row["name"])
        if other is not None and _asks(other) == _asks(row):
            questions += _questions(row, choice)
        elif other is not None:
            uncovered.append(_event(row, "missing", "candidate", "its name now asks another question"))
        elif name := renamed.pop(_asks(row), None):
            uncovered.append(_event(row, "renamed", "candidate", f"the same question is called {name} now"))
        else:
            uncovered.append(_event(row, "missing", "candidate", "the candidate has no such workload"))
    uncovered += [_event(row, "new", "candidate", "the baseline has no such workload") for row in added if row["name"] in renamed.values()]
    return questions, uncovered


def again(names: Iterable[str], candidate: Mapping[str, Any], choice: Choice) -> tuple[list[Question], list[Uncovered]]:
    """The questions of the candidate that were measured before, and those that it has not any more.

    Raises:
        Usage: the choice chooses none of those that were measured.
    """
    wanted = [name for name in names if not choice.select or matches(choice.select, [name])]
    if not wanted:
        raise Usage(f"-k {choice.select!r} chooses nothing that the stored baseline has")
    every = Choice(level="all", layout=choice.layout, outputs=OUTPUTS)
    questions = {question.name: question for row in candidate.values() for question in _questions(row, every)}
    gone = [Uncovered(workload=name, kind="missing", side="candidate", message="the candidate has no such workload") for name in wanted]
    return [questions[name] for name in wanted if name in questions], [event for event in gone if event.workload not in questions]


def chosen(row: Mapping[str, Any], choice: Choice) -> bool:
    """Whether a workload is asked for."""
    if choice.level == "quick" and not row["quick"]:
        return False
    return not choice.select or any(matches(choice.select, [_name(row, output), *row["words"]]) for output in _outputs(row, choice))


def matches(expression: str, names: Sequence[str]) -> bool:
    """Whether an expression of words, `and`, `or`, `not` and parentheses holds: a word does if it is part of a name.

    Raises:
        Usage: it is none.
    """
    tokens = re.findall(r"[()]|[^\s()]+", expression)
    logic = {"and", "or", "not", "(", ")"}
    told = [token if token in logic else str(any(token.lower() in name.lower() for name in names)) for token in tokens]
    try:
        return bool(eval(compile(" ".join(told), "-k", "eval"), {"__builtins__": {}}))
    except (SyntaxError, TypeError) as error:
        raise Usage(f"-k {expression!r}: expected words with and, or, not and parentheses: {error}") from error


def _questions(row: Mapping[str, Any], choice: Choice) -> Iterable[Question]:
    for output in _outputs(row, choice):
        name = _name(row, output)
        if not choice.select or matches(choice.select, [name, *row["words"]]):
            yield Question(
                name=name, spec=row["spec"], shape=tuple(row["shape"]), dtype=row["dtype"], output=output,
                layout=choice.layout or "channels_first", any_layout=not choice.layout,
            )  # fmt: skip


def _outputs(row: Mapping[str, Any], choice: Choice) -> list[str]:
    return [output for output in row["outputs"] if output in choice.outputs]


def _name(row: Mapping[str, Any], output: str) -> str:
    return row["name"] if output == "values" else f"{row['name']}-{output}"


def _asks(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["spec"], tuple(row["shape"]), row["dtype"]


def _event(row: Mapping[str, Any], kind: str, side: str, message: str) -> Uncovered:
    return Uncovered(workload=row["name"], kind=kind, side=side, message=message)
