"""Whether both sides mean the same: every law of pooling is put to each, the same cases, and the verdicts are compared.

The laws, the definition and the known divergences are this checkout's; only the backend is the side's. Neither is timed,
so both run at once, as processes of their own: `properties` is nothing that benchmarks import.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.environments import ROOT
from benchmarks.gate_data import ROLES, Invalid, Progress
from benchmarks.gate_worker import Contender, Launches, Settings
from benchmarks.table import duration
from reports import record

ANSWERS, HOLDS = "properties.answers", "properties.holds"
LAWS = ("properties", "--ignore", "properties/tests", "-m", "law")
CHANGES = ("newly_diverging", "newly_conforming", "newly_supported", "newly_unsupported")
FINISHED = (0, 1)
"""Statuses of pytest that mean that every law was put: some may have failed."""
PYTEST = "import sys; from backends.nursery import end_with_parent; end_with_parent(); import pytest; sys.exit(pytest.main(sys.argv[1:]))"
"""pytest that ends with the gate, however that ends: by SIGKILL as well."""
TOLD = 10.0
"""Seconds between two lines about how far the laws are."""
LONGEST = 3600.0
COLLECTED = re.compile(r"^collected (\d+) items?(?:.* (\d+) selected)?", re.MULTILINE)
"""How pytest says how many there are."""


@dataclass(frozen=True, kw_only=True)
class Laws:
    """What the laws said of one side."""

    role: str
    tallies: Mapping[str, record.Tally]
    failures: Mapping[str, record.Record]
    capabilities: Mapping[str, Mapping[str, Any]]
    problems: tuple[str, ...]


def compare(contenders: Sequence[Contender], folder: Path, progress: Progress, profile: str = "ci") -> dict[str, Any]:
    """Put the laws to both sides, and say what changed: the mapping that `Run.meaning` is.

    Records and answers stay in `folder`.

    Raises:
        Invalid: a side cannot be asked anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = _known(contenders)
    with _asked(contenders, folder, profile, known) as processes:
        _wait(processes, folder, progress)
        statuses = [process.returncode for process in processes]
    both = [_read(each.role, folder, status) for each, status in zip(contenders, statuses, strict=True)]
    found: dict[str, Any] = {"compared": 0, **{name: [] for name in CHANGES}, "different_bits": {}, "problems": []}
    for laws in both:
        found["problems"] += laws.problems
    _verdicts(both[0], both[1], found)
    _alike(contenders[0], "newly_diverging", known, found)
    _alike(contenders[1], "newly_conforming", known, found)
    _abilities(both[0], both[1], found)
    _answers(folder, found)
    return found


# --- asking ---------------------------------------------------------------------------------------


def _known(contenders: Sequence[Contender]) -> list[str]:
    """Options by which both sides are excused what is known of either: what is known of one version alone is no difference.

    Raises:
        Invalid: a side does not start.
    """
    known: list[str] = []
    for each in contenders:
        with each.start(Settings().limit, Settings().start_limit, Launches()) as remote:
            known.append(f"--compared-with={remote.name}=={remote.version}")
    return known


@contextlib.contextmanager
def _asked(contenders: Sequence[Contender], folder: Path, profile: str, known: Sequence[str]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for each in contenders:
            records = folder / each.role
            records.mkdir(exist_ok=True)
            for old in records.glob("*.jsonl"):
                old.unlink()
            where = each.environment
            command = [
                *(sys.executable, "-c", PYTEST, *LAWS, "-p", "no:cacheprovider", f"--hypothesis-profile={profile}"),
                *(*_where(each), *known, f"--records={records}", f"--answers={folder / f'{each.role}.answers'}"),
            ]
            with (folder / f"{each.role}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
                        env={**os.environ, "CI": "true", **where.variables},
                    )
                )  # fmt: skip
        yield processes
    finally:
        for process in processes:
            # Its own children hang up when it does.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _where(side: Contender) -> tuple[str, ...]:
    """Who is asked, as options of the laws' commands."""
    where = side.environment
    return f"--backend={where.address(side.backend)}", f"--backend-python={where.python}", f"--backend-root={where.root}"


def _wait(processes: Sequence["subprocess.Popen[bytes]"], folder: Path, progress: Progress) -> None:
    start = told = time.monotonic()
    while any(process.poll() is None for process in processes):
        time.sleep(0.1)
        now = time.monotonic()
        if now - start > LONGEST:
            raise Invalid(f"the laws were not done within {LONGEST:g} s")
        if now - told > TOLD:
            told = now
            progress.note(_far(folder, now - start))


def _far(folder: Path, seconds: float) -> str:
    """How far the laws are after so many seconds, with the time that the slower side still needs."""
    told, left = [], []
    for role in ROLES:
        done = sum(file.read_bytes().count(b'"kind":"tally"') for file in (folder / role).glob("*.jsonl"))
        said = (folder / f"{role}.log").read_text(encoding="utf-8", errors="replace")
        collected = COLLECTED.search(said)
        total = int(collected[2] or collected[1]) if collected else 0
        told.append(f"{done}{f' of {total}' if total else ''} of the {role}'s laws")
        left += [seconds / done * max(0, total - done)] if total and done else []
    about = f", about {duration(max(left))} left" if len(left) == len(ROLES) else ""
    return f"conformance: {', '.join(told)}, {duration(seconds)}{about}"


def _read(role: str, folder: Path, status: int) -> Laws:
    loaded = record.load(folder / role)
    problems = [f"the {role}: {file}:{line}: {message}" for file, line, message in loaded.problems]
    broken = [line for line in loaded.loadings if line.status != "loaded"]
    if broken or not loaded.loadings:
        said = broken[0].message if broken else _last(folder / f"{role}.log")
        raise Invalid(f"the {role} cannot be asked: {said}")
    if status not in FINISHED:
        problems.append(f"the {role}: the laws ended with status {status}: {_last(folder / f'{role}.log')}")
    failures = {line.law: line for line in loaded.observations if line.status != "conforms" and not line.divergence}
    capabilities = {line.backend: line.capabilities for line in loaded.loadings}
    return Laws(
        role=role, tallies={line.law: line for line in loaded.tallies}, failures=failures,
        capabilities=next(iter(capabilities.values()), {}), problems=tuple(problems),
    )  # fmt: skip


def _last(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError as error:
        return str(error)
    return " ".join(lines[-3:])[-300:] or "it said nothing"


# --- comparing ------------------------------------------------------------------------------------


def _verdicts(baseline: Laws, candidate: Laws, found: dict[str, Any]) -> None:
    """What each law says of both."""
    for law in sorted({*baseline.tallies, *candidate.tallies}):
        old, new = baseline.tallies.get(law), candidate.tallies.get(law)
        if old is None or new is None:
            found["problems"].append(f"the law {law} was not put to the {baseline.role if old is None else candidate.role}")
            continue
        match old.status, new.status:
            case "passed", "failed":
                found["newly_diverging"].append(_finding(candidate, law, new.message))
            case "failed", "passed":
                found["newly_conforming"].append(_finding(baseline, law, ""))
            case "not run", "failed":
                found["newly_diverging"].append(_finding(candidate, law, f"it was not asked this before: {new.message}"))
            case "not run", "passed":
                found["newly_supported"].append(_finding(candidate, law, ""))
            case "passed" | "failed", "not run":
                found["newly_unsupported"].append(_finding(candidate, law, new.message))


def _finding(side: Laws, law: str, message: str) -> dict[str, Any]:
    failure = side.failures.get(law)
    if failure is None:
        return {"law": law, "case": "", "message": message, "native": None}
    return {"law": law, "case": failure.case, "message": failure.message or message, "native": failure.native}


def _alike(other: Contender, change: str, known: Sequence[str], found: dict[str, Any]) -> None:
    """Forget what is no change: the other side's law fails on that case as well, and its time was over before it got there."""
    asked = [entry for entry in found[change] if entry["case"]]
    if not asked:
        return
    command = [sys.executable, "-m", HOLDS, *_where(other), *known]
    lines = "".join(f"{entry['law']}: {entry['case']}\n" for entry in asked)
    try:
        done = subprocess.run(
            command, cwd=ROOT, input=lines, capture_output=True, text=True, check=True, timeout=LONGEST,
            env={**os.environ, **other.environment.variables},
        )  # fmt: skip
        for entry, end in zip(asked, json.loads(done.stdout), strict=True):
            if end == "fails":
                found[change].remove(entry)
    except subprocess.CalledProcessError as error:
        found["problems"].append(f"the {other.role} cannot be asked the other's cases: {error.stderr.strip()[-300:]}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        found["problems"].append(f"the {other.role} cannot be asked the other's cases: {error}")


def _abilities(baseline: Laws, candidate: Laws, found: dict[str, Any]) -> None:
    """What a side says that it can be asked, and the other does not."""
    for name, more, less in (
        ("newly_supported", candidate.capabilities, baseline.capabilities),
        ("newly_unsupported", baseline.capabilities, candidate.capabilities),
    ):
        for reduction, can in more.items():
            other = less.get(reduction)
            if other is None:
                gained = [f"{reduction} pooling"]
            else:
                gained = [f"{reduction}, {key}: {value}" for key, values in can.items() for value in _beyond(values, other[key])]
            found[name] += [{"law": "", "case": "", "message": what, "native": None} for what in gained]


def _beyond(values: Any, others: Any) -> list[Any]:
    if isinstance(values, bool):
        return ["yes"] if values and not others else []
    return [value for value in values if value not in others]


def _answers(folder: Path, found: dict[str, Any]) -> None:
    """What changed from case to case: told by a process of its own, which has the definition."""
    files = [folder / f"{role}.answers" for role in ROLES]
    command = [sys.executable, "-m", ANSWERS, *map(str, files)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=LONGEST)
        told = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        found["problems"].append(f"the answers cannot be compared: {error.stderr.strip()[-300:]}")
        return
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        found["problems"].append(f"the answers cannot be compared: {error}")
        return
    found["compared"] = told["compared"]
    found["different_bits"] = told["different_bits"]
    for name in ("newly_diverging", "newly_conforming"):
        laws = {entry["case"] for entry in found[name]}
        others = [entry for entry in told[name] if not entry["known"] and entry["case"] not in laws]
        # A law that failed has told its smallest case; the cases beside it are of the same defect.
        found[name] += [*others[: 1 if laws else 5], *(entry for entry in told[name] if entry["known"])]


__all__ = ["Laws", "compare"]
