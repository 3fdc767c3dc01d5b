"""Times every cell, with a process of its own for each backend, and says how far it is.

A process to itself keeps one framework's threads away from another's timing, and what kills it (a
signal, the kernel for want of memory, the time limit here) costs one cell: that is recorded, and a new
process goes on with the next.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.cells import LEVELS, cells
from benchmarks.problems import now, status_of_death
from benchmarks.progress import Screen, bar
from benchmarks.table import duration, overhead, plural, seconds_text, table
from reports.record import BenchmarkProblem, Loading, Writer

TEST = Path(__file__).with_name("test_speed.py")
LOADING, GRACE, POLL = 300.0, 30.0, 0.1
"""Seconds that a framework may take to import, that a check or a timing may overrun its limit inside one call, and between two looks."""
INTERRUPTED = 130
"""The exit status of an interrupted run."""
OTHERWISE = 1.0
"""Seconds that a cell takes beside its timed rounds, guessed until one is finished."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is to be timed, and where it is recorded."""

    backends: tuple[str, ...]
    level: str = "quick"
    layouts: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    threads: int = 1
    cold: bool = False
    overhead: bool = False
    longest: float = 120.0
    select: str = ""
    records: Path = Path("out/records")
    resume: bool = False
    number: int = 1
    of: int = 1
    """Which run this is, of how many that a person asked for at once."""


@dataclass(kw_only=True)
class Tally:
    """What became of the cells of a run."""

    timed: int = 0
    gaps: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    words: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    loading: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    """What the records had timed before, as `--resume` asks."""
    kept: set[str] = field(default_factory=set)
    """Which of that this run is about."""


def run(options: Options, out: Any = sys.stdout) -> int:
    """Time everything; return 0 where every cell was timed or is a gap, 1 where one had a problem, 130 when interrupted."""
    begun, progress = time.monotonic(), Progress(options, out)
    tally = Tally()
    known: list[results.Result] = []
    with Writer(options.records) as writer:
        if options.resume:
            same = {"level": options.level, "environment": writer.environment.id, "mode": "cold" if options.cold else "warm"}
            known = results.kept(options.records, options.backends, overhead=options.overhead, **same, threads=options.threads)
            progress.skip([result.facts["address"] for result in known])
        done = tally.known = frozenset(result.key for result in known)
        try:
            for backend in options.backends:
                _run_backend(backend, options, done, tally, progress, writer)
        except KeyboardInterrupt:
            progress.say(f"interrupted: what was timed is in {options.records}; go on with --resume")
            return INTERRUPTED
    known = [result for result in known if result.key in tally.kept]
    found = [*known, *results.read(tally.files)]
    for result in found:  # a backend that had nothing left to time was not loaded, and has not said its name
        tally.names.setdefault(result.facts["address"], result.facts["backend"])
    if found or tally.words:
        progress.say(table(found, tally.words, tally.names))
    if options.overhead and (both := [result for result in found if "bare" in result.facts]):
        progress.say(overhead(both, tally.names))
    for line in (*(f"answers differ: {text}" for text in results.disagreements(found)), *tally.loading, *tally.problems):
        progress.say(line)
    for (backend, reason), count in tally.gaps.items():
        progress.say(f"gap: {tally.names.get(backend, backend)}: {reason} ({plural(count, 'cell')})")
    progress.say(
        f"{plural(progress.done, 'cell')} on {plural(len(options.backends), 'backend')} in {duration(time.monotonic() - begun)}: "
        f"{tally.timed} cells timed, {sum(tally.gaps.values())} gaps, {len(tally.problems)} problems; recorded in {options.records}"
    )
    return 1 if tally.problems or tally.loading or not (tally.words or known) else 0


# --- one backend --------------------------------------------------------------------------------


def _run_backend(backend: str, options: Options, known: frozenset[str], tally: Tally, progress: "Progress", writer: Writer) -> None:
    """Run processes for one backend until one of them gets to the end."""
    done = set(known)
    while True:
        ended, crashed, log = _run_process(backend, options, done, tally, progress)
        done |= ended
        if crashed is None:
            return
        cell, status, message = crashed
        if cell is None:
            tally.loading.append(f"{backend}: {message}\n{log}")
            writer.append(Loading(backend=backend, status="broken", message=message))
            return
        workload, layout, output = cell.split(" ")[-3:]
        name = tally.names.get(backend, backend)
        mode = "cold" if options.cold else "warm"
        writer.append(
            BenchmarkProblem(
                workload=workload, backend=name, layout=layout, output=output, status=status, message=message, created=now(),
                threads=str(options.threads), mode=mode,
            )
        )  # fmt: skip
        _problem(tally, progress, cell, status, message)
        done.add(cell)


def _run_process(
    backend: str, options: Options, done: set[str], tally: Tally, progress: "Progress"
) -> tuple[set[str], tuple[str | None, str, str] | None, str]:
    """(the cells that ended, what killed the process and in which cell, None while it loaded; the end of its log)."""
    with tempfile.TemporaryDirectory(prefix="poolproof-") as folder:
        events, log, left_out = (Path(folder, name) for name in ("events", "log", "done"))
        left_out.write_text("\n".join(sorted(done)), encoding="utf-8")
        events.touch()
        with log.open("wb") as sink:
            process = subprocess.Popen(
                _command(backend, options, events, left_out),
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=machine.timed(options.threads),
            )
        ended: set[str] = set()
        cell: str | None = None
        collected = loaded = timed_out = False
        try:
            for event in _follow(events, process, options.longest):
                match event.get("event"):
                    case "collected":
                        collected = True
                        progress.collected(backend, len(event["cells"]))
                        if fresh := (tally.known & set(event["kept"])) - tally.kept:
                            tally.kept |= fresh
                            progress.say(f"{len(fresh)} cells are timed already")
                        if event["json"]:
                            tally.files.append(Path(event["json"]))
                    case "loaded":
                        loaded, tally.names[backend] = True, event["name"]
                        progress.loaded()
                    case "start":
                        cell = event["cell"]
                        progress.started(cell)
                    case "end":
                        ended.add(event["cell"])
                        cell = None
                    case "late":
                        timed_out = True
                    case _:
                        _happened(tally, progress, backend, cell or "", event)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(GRACE / 3)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    where = cell if loaded else None
    if timed_out:
        return ended, (where, "timeout", f"took longer than {options.longest:g} s, in one call" if where else "did not load in time"), tail
    if cell is not None or not collected or process.returncode not in (0, 1, 5):
        return ended, (where, *status_of_death(process.returncode)), tail
    return ended, None, tail


def _happened(tally: Tally, progress: "Progress", backend: str, cell: str, event: dict[str, Any]) -> None:
    where = tuple(cell.split(" ")[-3:])
    match event.get("event"):
        case "timed":
            tally.timed += 1
            tally.words[(backend, *where)] = seconds_text(event["median"])  # type: ignore[index]  # a key of four
            q1, median, q3 = (seconds_text(event[name]) for name in ("q1", "median", "q3"))
            progress.finished(cell, f"{median}, half of the rounds between {q1} and {q3}", timed=True)
        case "gap":
            tally.gaps[backend, event["message"]] += 1
            tally.words[(backend, *where)] = "gap"  # type: ignore[index]
            progress.finished(cell, f"gap: {event['message']}")
        case "problem":
            _problem(tally, progress, cell, event["status"], event["message"])
        case "broken":
            progress.finished(cell, "")
            if (text := f"{backend} could not be loaded: {event['message']}") not in tally.loading:
                tally.loading.append(text)


def _problem(tally: Tally, progress: "Progress", cell: str, status: str, message: str) -> None:
    backend, workload, layout, output = cell.rsplit(" ", 3)
    tally.words[backend, workload, layout, output] = status
    tally.problems.append(f"{status}: {cell}: {message}")
    progress.finished(cell, f"{status}: {message.partition(chr(10))[0]}")


def _command(backend: str, options: Options, events: Path, done: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "pytest", str(TEST), "--benchmark-enable", "--benchmark-quiet", "-q"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", f"--backend={backend}", f"--records={options.records}", f"--level={options.level}"),
        *(f"--threads={options.threads}", f"--cell-limit={options.longest}", f"--events={events}", f"--done={done}"),
        *(f"--layout={layout}" for layout in options.layouts),
        *(f"--output={output}" for output in options.outputs),
        *(["--cold"] if options.cold else []),
        *(["--overhead"] if options.overhead else []),
        *(["-k", options.select] if options.select else []),
    ]


def _follow(events: Path, process: subprocess.Popen[bytes], longest: float) -> Iterator[dict[str, Any]]:
    """What a process tells, as it tells it, to its end; a last event "late" when it is silent for longer than it may be.

    A check and a timing may take `longest` seconds each, and end themselves unless they hang in one call.
    """
    allowed, heard, partial, loaded = LOADING, time.monotonic(), "", False
    with events.open(encoding="utf-8") as told:
        while True:
            over = process.poll() is not None
            *lines, partial = (partial + told.read()).split("\n")
            for event in map(json.loads, lines):
                loaded = loaded or event["event"] == "loaded"
                limited = loaded and event["event"] in ("start", "loaded", "checked")
                allowed, heard = (longest + GRACE if limited else LOADING), time.monotonic()
                yield event
            if over:
                return
            if time.monotonic() - heard > allowed:
                yield {"event": "late"}
                return
            time.sleep(POLL)


# --- how far it is ------------------------------------------------------------------------------


class Progress(Screen):
    """A line for each finished cell, with a bar and the time that is left; on a terminal also what is timed now."""

    def __init__(self, options: Options, out: Any) -> None:
        super().__init__(out)
        self.left = dict.fromkeys(options.backends, len(cells(options.level, options.layouts, options.outputs)))
        self.whole = dict(self.left)
        self.number, self.of = options.number, options.of
        self.done = self.timed = 0
        self.guess, self.spent = LEVELS[options.level].seconds + OTHERWISE, 0.0
        self._backend, self._since = "", time.monotonic()
        self._begun: set[str] = set()
        self._skipped: Counter[str] = Counter()

    def skip(self, backends: Sequence[str]) -> None:
        """Leave out a cell of each of these backends."""
        self._skipped.update(backends)
        for backend, count in Counter(backends).items():
            self.left[backend] = max(0, self.left[backend] - count)

    def collected(self, backend: str, count: int) -> None:
        """A process has said how many cells it has."""
        self._backend, self.left[backend] = backend, count
        if backend not in self._begun:  # another process, after one that died, has what is left alone
            self.whole[backend] = count + self._skipped[backend]
        self._begun.add(backend)
        for other in self.left.keys() - self._begun:
            self.left[other] = min(self.left[other], count)
            self.whole[other] = min(self.whole[other], self.whole[backend])

    def started(self, cell: str) -> None:
        """A cell is being timed."""
        self.show(f"{self.bar()} {cell} …")

    def loaded(self) -> None:
        """The framework is imported, which the first cell has waited for, and others do not."""
        self._since = time.monotonic()

    def finished(self, cell: str, what: str, *, timed: bool = False) -> None:
        """A cell came to an end."""
        if timed:
            self.timed += 1
            self.spent += time.monotonic() - self._since
        # From here on, so that recording a cell counts to the next one's time.
        self._since = time.monotonic()
        self.done += 1
        self.left[self._backend] = max(0, self.left.get(self._backend, 0) - 1)
        if what:
            self.say(f"{self.bar()} {cell}: {what}")

    def bar(self) -> str:
        """How much of this run is done, and how long the rest takes, with the runs after it, if every cell of them is timed."""
        left = sum(self.left.values())
        each = self.spent / self.timed if self.timed else self.guess
        which = f" of run {self.number} of {self.of}," if self.of > 1 else ""
        later = (self.of - self.number) * sum(self.whole.values())
        return bar(self.done, self.done + left, (left + later) * each, which)
