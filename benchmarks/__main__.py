"""python -m benchmarks: time layers of real networks on each backend."""

import argparse
import importlib.util
import itertools
import math
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import backends
from backends.interface import LAYOUTS, OUTPUTS
from benchmarks import machine
from benchmarks.cells import LEVELS, cells
from benchmarks.run import INTERRUPTED, TEST, Options, run
from benchmarks.table import aligned, duration
from benchmarks.workloads import WORKLOADS
from reports.record import DEFAULT_FOLDER

DEFAULT = ("numpy", "torch", "tensorflow")
DEVICES = (":cuda", ":cuda-compile", ":gpu")
"""Variants that are timed when they are named, and in `full` where the system has a GPU."""
UNLIKE_PEERS = {
    "resume": "a comparison of peers is of one run",
    "layout": "--peers compares each contender in its better layout",
    "cold": "--peers compares calls on warm caches",
    "overhead": "--peers has no harness beside a bare loop",
}
"""Options that a comparison of peers cannot honour, and why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        print("\n".join(_listing()))
        return 0
    level = given.level or ("standard" if given.peers else "quick")
    # A run that is told to end takes the processes that it started with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    records = given.records.resolve()
    try:
        records.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--records {given.records}: expected a folder, or where one can be made: {error.strerror}")
    try:
        machine.pinned(1 if given.threads is None else given.threads)
        chosen = tuple(backends.known(name) for name in given.backend or _installed(level))
    except ValueError as error:
        parser.error(str(error))
    # What it takes to import gate and peers is for those who ask for it.
    if given.peers:
        for option, why in UNLIKE_PEERS.items():
            if getattr(given, option):
                parser.error(f"--{option}: {why}")
        if len(given.output) > 1:
            parser.error(f"--output {' --output '.join(given.output)}: --peers compares one output a run")
        from benchmarks.gate_data import Usage
        from benchmarks.peers import compare

        try:
            return compare(
                threads=1 if given.threads is None else given.threads,
                records=records,
                select=given.select,
                level=level,
                names=tuple(given.backend),
                output=given.output[0] if given.output else "values",
                patience=given.cell_limit,
            )
        except Usage as error:
            parser.error(str(error))
    if reason := _nothing(given.select, chosen, level, tuple(given.layout), tuple(given.output)):
        parser.error(reason)
    status, begun = 0, time.monotonic()
    series = manners(level, given.threads, cold=given.cold)
    for number, (threads, cold) in enumerate(series, 1):
        options = Options(
            backends=chosen,
            level=level,
            layouts=tuple(given.layout),
            outputs=tuple(given.output),
            threads=threads,
            cold=cold,
            overhead=given.overhead,
            longest=given.cell_limit,
            select=given.select,
            records=records,
            resume=given.resume,
            number=number,
            of=len(series),
        )
        status = max(status, ended := run(options))
        if ended == INTERRUPTED:
            return status
    if len(series) > 1:
        print(f"{len(series)} runs in {duration(time.monotonic() - begun)}")
    return status


def manners(level: str, threads: int | None, *, cold: bool) -> list[tuple[int, bool]]:
    """(threads, cold) of each run that a level is made of: `full` is one thread and all, a warm cache and a cold one, unless told which."""
    if level != "full":
        return [(threads or 1, cold)]
    several = (threads,) if threads else dict.fromkeys((1, machine.usable_cores()))
    return list(itertools.product(several, (True,) if cold else (False, True)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Times layers of real networks on each backend; a wrong answer is not timed."
    )
    add = parser.add_argument
    add(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="a backend, again for more (default: numpy, torch and tensorflow, if installed; --peers: jax too, numpy always)",
    )
    add(
        "--level",
        "--set",
        choices=LEVELS,
        help="quick: ten workloads, forward; standard: all; full: the whole product (default: quick; of --peers standard)",
    )
    add("--layout", action="append", choices=LAYOUTS, default=[], help="this layout alone, again for more")
    add("--output", action="append", choices=OUTPUTS, default=[], help="this output alone, again for more (--peers: one, default values)")
    add(
        "-k",
        dest="select",
        default="",
        metavar="EXPRESSION",
        help="only the cells whose names match, as in pytest (--peers: the workloads)",
    )
    add(
        "--threads",
        type=int,
        metavar="N",
        help="threads of each framework (default 1: least at the mercy of other work; of full: 1, and all)",
    )
    add("--cold", action="store_true", help="every round meets a buffer that no cache holds (full: that too)")
    add(
        "--cell-limit",
        type=_seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long a cell's check and its timing may take each (--peers: a contender, for one thing)",
    )
    add("--records", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help=f"where records go (default {DEFAULT_FOLDER})")
    add("--resume", action="store_true", help="leave out what the records have timed already, on this machine and these versions")
    add("--overhead", action="store_true", help="time a bare loop beside the harness, round by round, and compare")
    add(
        "--peers",
        action="store_true",
        help="NumPy against the backends that are named, interleaved in one run (default: frameworks, plain NumPy code)",
    )
    add("--list", action="store_true", help="list the workloads and their sources")
    return parser


def _nothing(select: str, names: Sequence[str], level: str, layouts: Sequence[str], outputs: Sequence[str]) -> str:
    """Why there is nothing to time, known before a framework is started; empty where there is something."""
    having = cells(level, layouts, outputs)
    if not having:
        return f"no workload of level {level!r} has {' or '.join(outputs)}"
    if not select:
        return ""
    from benchmarks.gate_data import Usage
    from benchmarks.gate_sides import matches

    seen = [[f"{TEST.name}::test_speed[{name}-{cell.workload.name}-{cell.layout}-{cell.output}]"] for name in names for cell in having]
    try:
        found = any(matches(select, words) for words in seen)
    except Usage as error:
        return str(error)
    return (
        ""
        if found
        else f"-k {select!r}: chooses none of {len(seen)} cells such as {seen[0][0]}; `python -m benchmarks --list` has the workloads"
    )


def _seconds(text: str) -> float:
    """A time limit."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds above 0")
    return seconds


def _installed(level: str) -> list[str]:
    """The backends that are timed unless some are named; of `full` every variant: those for a GPU where there is one."""
    names = [name for name in backends.available() if name.partition(":")[0] in backends.adapters()] if level == "full" else DEFAULT
    found = [name for name in names if importlib.util.find_spec(name.partition(":")[0])]
    if machine.has_gpu():
        return found
    if left_out := [name for name in found if name.endswith(DEVICES)]:
        print(f"left out: {', '.join(left_out)}: this system shows no GPU; name one with --backend to have it tried all the same")
    return [name for name in found if name not in left_out]


def _listing() -> list[str]:
    rows = [["workload", "layer", "shape", "dtype", "source"]]
    rows += [[w.name, f"{w.network}, {w.layer}", "×".join(map(str, w.shape)), w.dtype, w.source] for w in WORKLOADS.values()]
    return aligned(rows)


if __name__ == "__main__":
    sys.exit(main())
