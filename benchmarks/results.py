"""The timings that a folder holds, read back: for a run that goes on, and for the table at its end."""

import hashlib
import importlib.util
import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backends
from benchmarks.machine import HELD, PINS
from reports import spread

SETTINGS = ("DNNL_", "GLIBC_TUNABLES", "KMP_", "LD_PRELOAD", "MALLOC_", "MKL_", "OMP_", "ONEDNN_", "TF_", "TORCH", "XLA_")
"""How the environment variables begin that choose other code, or other memory, for the same call."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One cell, timed: the rounds in seconds, in the order of time, and what was recorded with them."""

    seconds: tuple[float, ...]
    facts: Mapping[str, Any]

    @property
    def median(self) -> float:
        """Seconds of the middle round."""
        return statistics.median(self.seconds)

    @property
    def key(self) -> str:
        """`Cell.key` of this cell on the backend as it was asked for."""
        return " ".join(str(self.facts[name]) for name in ("address", "workload", "layout", "output"))

    @property
    def noise(self) -> list[str]:
        """Why this timing is not to be trusted far; empty where nothing speaks against it. The report says the same."""
        return list(spread.of(self.seconds).noise(self.facts.get("cores_busy_elsewhere") or 0.0))

    @property
    def remarks(self) -> list[str]:
        """Where this timing is not of what its setting says; the report says the same."""
        return list(spread.of(self.seconds).remarks(self.facts))


def read(files: Iterable[Path]) -> list[Result]:
    """The timings in pytest-benchmark's files; a file that cannot be read, or is another's, has none (the report says which)."""
    found = []
    for file in files:
        try:
            benchmarks = json.loads(file.read_text(encoding="utf-8"))["benchmarks"]
            found += [
                Result(seconds=tuple(one["stats"]["data"]), facts=one["extra_info"])
                for one in benchmarks
                if "workload" in one["extra_info"]
            ]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def code_of(address: str) -> str:
    """Sixteen hexadecimal digits of what computes: the adapter's file, or all of ours, and the settings of frameworks.

    A timing that was taken of other code says nothing of this one. What a stranger's file imports is not looked at.
    """
    where, _, _ = address.rpartition(":")
    if where.endswith(".py"):
        files = [Path(where)]
    elif address.partition(":")[0] in backends.adapters():
        files = sorted(Path(backends.__file__).parent.glob("*.py"))
    else:
        spec = importlib.util.find_spec(where) if where else None
        files = [Path(spec.origin)] if spec and spec.origin else []
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    variables = {**HELD, **os.environ}  # a process that is timed has them all, the one that asks for it need not
    settings = {name: value for name, value in variables.items() if name.startswith(SETTINGS) and name not in PINS}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def kept(folder: Path, addresses: Iterable[str], *, overhead: bool = False, **same: Any) -> list[Result]:
    """The timings that a folder has already of these backends as their code is now, asked under these facts: level, mode, threads, ...

    With `overhead`, those alone that have a bare loop beside them. A device may have been timed in another mode than was
    asked for: that is its answer, and not asked again.
    """
    codes = {address: code_of(address) for address in addresses}
    return [
        result
        for result in read(sorted(folder.glob("bench-*.json")))
        if result.facts.get("code") == codes.get(str(result.facts.get("address")), "")
        and all(result.facts.get(f"{name}_asked", result.facts.get(name)) == same[name] for name in same)
        and ("bare" in result.facts or not overhead)
    ]


def disagreements(results: Sequence[Result]) -> list[str]:
    """Where answers differ that are the same on all conforming backends: max takes an element, it computes none."""
    answers: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        facts = result.facts
        if facts["reduction"] == "max" and facts["output"] != "gradient":
            answers[facts["workload"], facts["output"]][facts["checksum"]].append(f"{facts['backend']} {facts['layout']}")
    return [
        f"{workload} {output}: " + " differs from ".join(", ".join(sorted(set(who))) for who in by_sum.values())
        for (workload, output), by_sum in answers.items()
        if len(by_sum) > 1
    ]
