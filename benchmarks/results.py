"""The timings that a folder holds, read back: for a run that goes on, and for the table at its end."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPREAD, DRIFT, BUSY = 0.10, 0.05, 0.25
"""A timing is noisy by rule: its middle half spreads over more than 10 % of the median, its last third differs from
the first by more than 5 %, or others kept more than a quarter of a core busy meanwhile."""


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
        """Why this timing is not to be trusted far; empty where nothing speaks against it."""
        found = []
        if len(self.seconds) >= 4:
            first, _, third = statistics.quantiles(self.seconds, n=4)
            if (spread := (third - first) / self.median) > SPREAD:
                found.append(f"spread {spread:.0%}")
        if (part := len(self.seconds) // 3) >= 3:
            drift = statistics.median(self.seconds[-part:]) / statistics.median(self.seconds[:part]) - 1
            if abs(drift) > DRIFT:
                found.append(f"drift {drift:+.0%}")
        if (busy := self.facts.get("cores_busy_elsewhere") or 0.0) > BUSY:
            found.append(f"others kept {busy:.1f} cores busy")
        return found


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


def kept(folder: Path, **same: Any) -> list[Result]:
    """The timings that a folder has already, asked under these facts: level, environment, mode, threads.

    A device may have been timed in another mode than was asked for: that is its answer, and not asked again.
    """
    results = read(sorted(folder.glob("bench-*.json")))
    return [result for result in results if all(result.facts.get(f"{name}_asked", result.facts.get(name)) == same[name] for name in same)]


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
