"""What a run leaves behind: one line of JSON for each thing that it observed.

A run writes `records-*.jsonl` into one folder, and beside them pytest-benchmark's `bench-*.json` and the
experiments' `*.npz`. Each line carries a schema version, a kind and the id of the environment
that it was observed in. It is written and flushed as it happens: an interrupted run keeps what it
saw. Values are raw; whatever is a statistic is computed when the folder is read.

    writer = Writer(folder)
    writer.append(Record(law="...", case="...", backend="numpy", version="2.4.6", status="conforms"))
    writer.append({"kind": "tally", "law": "...", ...})
    loaded = load(folder)          # loaded.observations, .tallies, ..., .problems

Standard library only, so that whoever records pays nothing for it.
"""

import dataclasses
import json
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reports.lines import (
    KINDS,
    SCHEMA,
    BenchmarkProblem,
    Environment,
    Experiment,
    Gap,
    KnownDivergence,
    Line,
    Loading,
    Mutant,
    Porting,
    Record,
    Tally,
    as_number,
    read_line,
)

__all__ = [
    "DEFAULT_FOLDER", "KINDS", "SCHEMA", "BenchmarkProblem", "Environment", "Experiment", "Gap", "KnownDivergence", "Line", "Loaded",
    "Loading", "Mutant", "Porting", "Problem", "Record", "Tally", "Writer", "as_number", "load", "read_line",
]  # fmt: skip

DEFAULT_FOLDER = Path("out/records")


# --- writing ------------------------------------------------------------------------------------


class Writer:
    """Appends lines to a file of its own in `folder`, flushed one by one.

    The file is opened at the first line, which is the environment's. A forked child gets a file
    of its own, so two processes never share one.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str | None = None, environment: Environment | None = None) -> None:
        self.folder = Path(folder)
        self._name = name
        self._environment = environment
        self._lock = threading.Lock()
        self._file: Any = None
        self._pid = 0

    @property
    def environment(self) -> Environment:
        """What the lines are recorded under."""
        if self._environment is None:
            self._environment = Environment.capture()
        return self._environment

    def append(self, line: Line | Mapping[str, Any]) -> Line:
        """Write one line, and return it as it was written.

        Raises:
            ValueError: a mapping that is not a line; the message has the key or value.
        """
        entry = line if isinstance(line, Line) else read_line(line)
        if not entry.environment:
            entry = dataclasses.replace(entry, environment=self.environment.id)
        with self._lock:
            if self._pid != os.getpid():
                self._open()
            self._file.write(entry.to_json() + "\n")
            self._file.flush()
        return entry

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        forked = self._pid != 0
        self._pid = os.getpid()
        name = self._name if self._name and not forked else f"records-{self._pid}-{secrets.token_hex(4)}.jsonl"
        self._file = (self.folder / name).open("a", encoding="ascii")
        self._file.write(self.environment.to_json() + "\n")

    def close(self) -> None:
        """Close the file; a later line opens another."""
        with self._lock:
            if self._file is not None and self._pid == os.getpid():
                self._file.close()
            self._file, self._pid = None, 0

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# --- reading ------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Something that could not be read, and where; line 0 means the whole file."""

    file: str
    line: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Everything that lay in one folder or several, by kind, and what could not be read.

    `benchmarks`, `arrays` and `gates` are the paths of bench-*.json, *.npz and gate.json files.
    """

    folders: tuple[Path, ...] = ()
    observations: tuple[Record, ...] = ()
    loadings: tuple[Loading, ...] = ()
    gaps: tuple[Gap, ...] = ()
    tallies: tuple[Tally, ...] = ()
    divergences: tuple[KnownDivergence, ...] = ()
    experiments: tuple[Experiment, ...] = ()
    porting: tuple[Porting, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    untimed: tuple[BenchmarkProblem, ...] = ()
    environments: tuple[Environment, ...] = ()
    benchmarks: tuple[Path, ...] = ()
    arrays: tuple[Path, ...] = ()
    gates: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to report on."""
        lines = (self.observations, self.loadings, self.gaps, self.tallies, self.divergences, self.experiments, self.porting, self.mutants)
        return not any(lines) and not self.untimed and not self.benchmarks and not self.gates


_PLURALS = {
    "observation": "observations", "backend": "loadings", "gap": "gaps", "tally": "tallies", "divergence": "divergences",
    "experiment": "experiments", "porting": "porting", "mutant": "mutants", "benchmark-problem": "untimed", "environment": "environments",
}  # fmt: skip


def load(*folders: str | os.PathLike[str]) -> Loaded:
    """Read the records of one folder or several; what cannot be read becomes a problem, the rest is kept.

    Lines of another schema are never mixed with ours: they are counted, and said to be left out.
    """
    lines: dict[str, list[Line]] = {name: [] for name in _PLURALS.values()}
    problems: list[Problem] = []
    paths = [Path(folder) for folder in folders]
    for folder in paths:
        if not folder.is_dir():
            problems.append(Problem(str(folder), 0, "there is no such folder"))
        for file in sorted(folder.glob("*.jsonl")):
            _load_file(file, lines, problems)
    return Loaded(
        folders=tuple(paths),
        benchmarks=tuple(file for folder in paths for file in sorted(folder.glob("bench-*.json"))),
        arrays=tuple(file for folder in paths for file in sorted(folder.glob("*.npz"))),
        gates=tuple(file for folder in paths if (file := folder / "gate.json").is_file()),
        problems=tuple(problems),
        **{name: tuple(found) for name, found in lines.items()},  # type: ignore[arg-type]  # each list holds its own kind
    )


def _load_file(file: Path, lines: dict[str, list[Line]], problems: list[Problem]) -> None:
    other: dict[Any, tuple[int, int]] = {}
    try:
        raw_lines = file.read_bytes().split(b"\n")
    except OSError as error:
        problems.append(Problem(str(file), 0, f"cannot be read: {error.strerror}"))
        return
    last = len(raw_lines)
    for number, raw in enumerate(raw_lines, 1):
        if not raw.strip():
            continue
        try:
            values = json.loads(raw)
            if not isinstance(values, dict):
                raise ValueError(f"{type(values).__name__}, where an object was expected")
            if (schema := values.get("schema")) != SCHEMA:
                first, count = other.get(str(schema), (number, 0))
                other[str(schema)] = first, count + 1
                continue
            line = read_line(values)
        except (ValueError, RecursionError) as error:
            why = "the last line is cut off" if number == last else "not a record"
            problems.append(Problem(str(file), number, f"{why}: {error}"))
        else:
            lines[_PLURALS[line.kind]].append(line)
    for schema, (first, count) in other.items():
        said = f"{count} lines of schema {schema} left out: this report reads schema {SCHEMA}"
        problems.append(Problem(str(file), first, said))
