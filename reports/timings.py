"""pytest-benchmark's JSON, read: one `Timing` for each benchmark, with what was measured beside it.

The harness writes what a timing was of into `extra_info`: workload, backend, layout, output, reduction,
threads, device, bytes (that must move: each input element once, each output once),
copy_bandwidth (bytes a second, of this machine, in the same run), limit (seconds that copying or arithmetic takes at
least) and limited_by (which of them), environment (the records' id),
version, source, and optionally threads_asked (all backends alike), cores_used (by a call, over so many processor_seconds),
launch_seconds (of the host, for a launch on a device), mode ("warm", "cold"), cores_busy_elsewhere,
load_before and load_after (of the minute before each), returns ("indices": of indices, without the values), varies, and
family with its position ("window": 13).
`machine_info.poolproof` describes the machine as far as it changes from run to run: frequency, pages, settings.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import spread
from reports.lines import Environment
from reports.record import Problem

_THREADS = re.compile("THREADS|NPROC|NUM_INT(RA|ER)OP")
BEYOND = 1.1
"""The share of the limit from which a timing is said to have passed it: the copy beside it is measured to a few per cent."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One workload on one backend. `bytes`, `bandwidth` (bytes a second) and `limit` (seconds) are 0 where nobody said."""

    workload: str
    backend: str
    spread: spread.Spread
    layout: str = ""
    output: str = "values"
    reduction: str = ""
    threads: str = ""
    device: str = "cpu"
    mode: str = ""
    bytes: float = 0.0
    bandwidth: float = 0.0
    limit: float = 0.0
    limited_by: str = ""
    environment: str = ""
    version: str = ""
    source: str = ""
    family: str = ""
    position: float | None = None
    busy: float = 0.0
    remarks: tuple[str, ...] = ()
    load: tuple[float, ...] = ()
    conditions: str = ""
    created: str = ""
    returns: str = ""
    varies: bool = False

    @property
    def fraction(self) -> float | None:
        """The share of the machine's limit that was reached: of what arithmetic allows where that is less, else of the copy bandwidth."""
        if self.limit:
            return self.limit / self.spread.median
        if not (self.bytes and self.bandwidth):
            return None
        return self.bytes / self.spread.median / self.bandwidth

    @property
    def reached(self) -> str:
        """How many bytes must move, and how fast they did, beside how fast a copy moves as many; empty where nobody said."""
        if not (self.bytes and self.bandwidth):
            return ""
        return f"{self.bytes / 1e6:.3g} MB must move: {self.bytes / self.spread.median / 1e9:.3g} of {self.bandwidth / 1e9:.3g} GB/s"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was timed otherwise than a reader expects."""
        notes = ["indices alone: what returns the values with them writes more"] if self.returns == "indices" else []
        notes += ["its last bits vary from call to call"] if self.varies else []
        if (self.fraction or 0) > BEYOND:
            notes.append("faster than a copy of its size was in this run: the limit was measured too low, or not all of it moved")
        return tuple(notes)

    @property
    def series(self) -> str:
        """What is compared on one workload: the backend, and how it was given its input."""
        return " ".join(part for part in (self.backend, self.layout) if part)

    @property
    def setting(self) -> tuple[str, str, str, str]:
        """What must be the same before two times are put side by side."""
        return self.output, self.device, self.threads, self.mode


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The timings of several files. `machines` are the environments that only a benchmark file knows of."""

    timings: tuple[Timing, ...] = ()
    machines: tuple[Environment, ...] = ()
    problems: tuple[Problem, ...] = ()


def read(files: Iterable[Path], environments: Mapping[str, str]) -> Measured:
    """Read benchmark files; what cannot be read becomes a problem, the rest is kept.

    `environments` has the CPU of each by its id. A benchmark that does not name its environment belongs to the only one
    that there is, unless that has another CPU, or else to the machine that its file describes.
    """
    known = dict(environments)
    timings: list[Timing] = []
    machines: dict[str, Environment] = {}
    problems: list[Problem] = []
    for file in files:
        try:
            content = json.loads(file.read_bytes())
            benchmarks = content["benchmarks"]
            if not isinstance(benchmarks, list):
                raise TypeError("benchmarks is not a list")
        except json.JSONDecodeError as error:
            problems.append(Problem(str(file), error.lineno, f"not JSON: {error.msg}"))
            continue
        except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
            problems.append(Problem(str(file), 0, f"not pytest-benchmark's JSON: {type(error).__name__}: {error}"))
            continue
        machine, conditions = _machine(content), _conditions(content)
        home = machine.id
        if len(known) == 1:
            (only, cpu) = next(iter(known.items()))
            home = only if not machine.cpu or not cpu or machine.cpu == cpu else machine.id
        for number, benchmark in enumerate(benchmarks):
            try:
                timing = _timing(benchmark, home, conditions, str(content.get("datetime", "")))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                name = benchmark.get("name", number) if isinstance(benchmark, Mapping) else number
                problems.append(Problem(str(file), 0, f"benchmark {name}: {type(error).__name__}: {error}"))
                continue
            if timing.environment not in known:
                machines.setdefault(timing.environment, machine)
            timings.append(timing)
    apart = tuple(_renamed(environment, ident) for ident, environment in machines.items())
    return Measured(timings=tuple(timings), machines=apart, problems=tuple(problems))


def _timing(benchmark: Mapping[str, Any], home: str, conditions: str, created: str) -> Timing:
    extra: Mapping[str, Any] = benchmark.get("extra_info") or {}
    params: Mapping[str, Any] = benchmark.get("params") or {}

    def said(key: str, default: Any = "") -> Any:
        return extra.get(key, params.get(key, default))

    position, found = said("position", None), _spread(benchmark["stats"])
    return Timing(
        workload=str(said("workload", benchmark.get("group") or benchmark["name"])),
        backend=str(said("backend", "unnamed")),
        spread=found,
        layout=str(said("layout")),
        output=str(said("output", "values")),
        reduction=str(said("reduction")),
        threads=str(said("threads_asked", said("threads"))),
        device=str(said("device", "cpu")),
        mode=str(said("mode")),
        bytes=float(said("bytes", 0) or 0),
        bandwidth=float(said("copy_bandwidth", 0) or 0),
        limit=float(said("limit", 0) or 0),
        limited_by=str(said("limited_by")),
        environment=str(said("environment", home)),
        version=str(said("version")),
        source=str(said("source")),
        family=str(said("family")),
        position=None if position is None else float(position),
        busy=float(said("cores_busy_elsewhere", 0) or 0),
        remarks=tuple(found.remarks(extra)),
        load=tuple(float(extra[name]) for name in ("load_before", "load_after") if name in extra),
        conditions=conditions,
        created=created,
        returns=str(said("returns")),
        varies=bool(said("varies", False)),
    )


def _spread(stats: Mapping[str, Any]) -> spread.Spread:
    """From the rounds where the file has them, else from the statistics that it has, without an interval."""
    if stats.get("data"):
        return spread.of(stats["data"])
    median, q1, q3 = (float(stats[key]) for key in ("median", "q1", "q3"))
    spread.of([median, q1, q3])  # refuses a clock that stood still
    return spread.Spread(median=median, low=None, high=None, q1=q1, q3=q3, rounds=int(stats["rounds"]))


def _machine(content: Mapping[str, Any]) -> Environment:
    info = content.get("machine_info")
    info = info if isinstance(info, Mapping) else {}
    cpu = info.get("cpu")
    cpu = cpu if isinstance(cpu, Mapping) else {}
    described = [str(info.get("node", "")), str(cpu.get("brand_raw", info.get("processor", ""))), str(info.get("python_version", ""))]
    cores = cpu.get("count", 0)
    return Environment(
        id="bench-" + "-".join(part for part in described if part),
        created=str(content.get("datetime", "")),
        cpu=described[1],
        cores=cores if isinstance(cores, int) else 0,
        os=" ".join(str(info.get(key, "")) for key in ("system", "release", "machine")).strip(),
        python=f"{info.get('python_implementation', '')} {info.get('python_version', '')}".strip(),
        notes=("known from a benchmark file alone",),
    )


def _conditions(content: Mapping[str, Any]) -> str:
    """What the machine was set to, in words; empty where the file does not say."""
    info = content.get("machine_info")
    told = info.get("poolproof") if isinstance(info, Mapping) else None
    if not isinstance(told, Mapping):
        return ""
    words = {
        "usable cores": "usable cores",
        "virtual machine": "virtual machine",
        "governor": "frequency policy",
        "frequency": "frequency",
        "boost": "boost",
        "huge pages": "huge pages",
        "C library": "C library",
    }
    said = [f"{text} {told[name]}" for name, text in words.items() if told.get(name)]
    settings = told.get("settings")
    # How many threads were asked for stands with each timing.
    said += [f"{name}={value}" for name, value in settings.items() if not _THREADS.search(name)] if isinstance(settings, Mapping) else []
    return ", ".join(said)


def conditions(timings: Iterable[Timing]) -> list[str]:
    """What the machine was set to in all of these, what in some, and how loaded it was before and after them, in words."""
    told, loads = dict[str, list[str]](), list[float]()
    for timing in timings:
        told.setdefault(timing.conditions, timing.conditions.split(", ") if timing.conditions else [])
        loads += timing.load
    words = dict.fromkeys(word for said in told.values() for word in said)
    always = [word for word in words if all(word in said for said in told.values())]
    found = [", ".join(always)] if always else []
    found += [f"in some {', '.join(some)}"] if (some := [word for word in words if word not in always]) else []
    return [*found, *([f"load of the machine {min(loads):.2g} to {max(loads):.2g} before and after the timings"] if loads else [])]


def _renamed(environment: Environment, ident: str) -> Environment:
    return environment if environment.id == ident else Environment(**{**vars(environment), "id": ident})
