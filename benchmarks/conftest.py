"""What is timed, how hard, on how many threads; and that nothing which was recorded is lost.

pytest-benchmark writes its JSON when a session ends. Here it is written after every cell, so that a
session that is killed leaves all it had timed; and what could not be timed is recorded, cell by cell.
"""

import argparse
import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import backends
from backends.interface import LAYOUTS, OUTPUTS, Backend, refusal
from benchmarks import machine
from benchmarks.cells import LEVELS, Cell, cells
from benchmarks.measure import Manner, Timing
from benchmarks.problems import now, status_of
from benchmarks.results import code_of
from benchmarks.workloads import WORKLOADS
from reports.record import BenchmarkProblem, Gap, Loading, Writer

LIMIT = 120.0
_session = pytest.StashKey["Session"]()


class Session:
    """What the hooks of one session share."""

    def __init__(self, events: Path | None) -> None:
        self.writer: Writer | None = None
        self.described: dict[str, Any] | None = None
        self.entries: list[Any] = []
        self.json: Path | None = None
        self.names: dict[str, str] = {}
        self.devices: dict[str, str] = {}
        self.kept: list[str] = []
        self.load = machine.load()
        self._events = events.open("a", encoding="utf-8") if events else None

    def tell(self, **event: Any) -> None:
        """Write an event, for whoever follows the run."""
        if self._events is not None:
            self._events.write(json.dumps(event) + "\n")
            self._events.flush()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("poolproof benchmarks")
    group.addoption("--level", choices=LEVELS, default="quick", help="how much is timed (default quick)")
    group.addoption("--layout", action="append", choices=LAYOUTS, default=[], help="this layout alone, again for more (default each)")
    group.addoption("--output", action="append", choices=OUTPUTS, default=[], help="this output alone, again for more (default by level)")
    group.addoption(
        "--threads", type=_threads, default=1, metavar="N", help="threads of each framework (default 1: least at the mercy of other work)"
    )
    group.addoption("--cold", action="store_true", help="every round meets a buffer that no cache holds")
    group.addoption(
        "--cell-limit",
        type=float,
        default=LIMIT,
        metavar="SECONDS",
        help=f"how long a cell's check and its timing may take each (default {LIMIT:g})",
    )
    group.addoption("--overhead", action="store_true", help="time a bare loop between the rounds as well, to show what the harness adds")
    group.addoption("--done", type=Path, metavar="FILE", help="leave out the cells that this file names, one a line")
    group.addoption("--events", type=Path, metavar="FILE", help="write what happens to this file as it happens, a line of JSON each")


def _threads(value: str) -> int:
    try:
        machine.pinned(number := int(value))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return number


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if _timed(config):
        # Before any framework is imported, since each reads this once. A run that only calls each benchmark once leaves them alone.
        machine.pin(config.getoption("--threads"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"workload", "layout", "output"} <= set(metafunc.fixturenames):
        option = metafunc.config.getoption
        chosen = cells(option("--level", "quick"), option("--layout", ()), option("--output", ()))
        rows = [(cell.workload.name, cell.layout, cell.output) for cell in chosen]
        metafunc.parametrize(("workload", "layout", "output"), rows)


# Last, so that `-k` has chosen before: what is left out then is what this run is about and has already.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # One framework after the other: the threads of one go on spinning for a while when the next is timed.
    asked = list(dict.fromkeys(item.callspec.params["backend"] for item in items if _key(item)))  # type: ignore[attr-defined]
    items.sort(key=lambda item: asked.index(item.callspec.params["backend"]) if _key(item) else -1)  # type: ignore[attr-defined]
    done: Path | None = config.getoption("--done", None)
    if done is not None:
        named = set(done.read_text(encoding="utf-8").splitlines())
        left_out = [item for item in items if (key := _key(item)) and key in named]
        config.hook.pytest_deselected(items=left_out)
        _shared(config).kept = [key for item in left_out if (key := _key(item))]
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session: pytest.Session) -> None:
    keys, shared = [key for item in session.items if (key := _key(item))], _shared(session.config)
    plugin = _plugin(session.config)
    if keys and plugin is not None and plugin.json is None and not plugin.disabled:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        plugin.json = shared.json = Path(session.config.getoption("--records")) / f"bench-{stamp}-{os.getpid()}.json"
    shared.tell(event="collected", cells=keys, kept=shared.kept, json=str(plugin.json) if plugin is not None else "")


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def known(pytestconfig: pytest.Config, records: Writer) -> dict[str, Backend | Exception]:
    """Backends by name, or what loading them raised."""
    _shared(pytestconfig).writer = records
    return {}


@pytest.fixture
def backend(request: pytest.FixtureRequest, records: Writer, known: dict[str, Backend | Exception]) -> Backend:
    """The backend itself, in this process, with nobody between it and the clock; skipped, with the reason, where it cannot be loaded."""
    name: str = request.param
    if name not in known:
        known[name] = _load(name, records)
    found = known[name]
    if isinstance(found, Exception):
        _shared(request.config).tell(event="broken", message=str(found))
        pytest.skip(f"not loaded: {found}")
    shared = _shared(request.config)
    if name not in shared.names:
        shared.names[name] = found.name
        shared.devices[name] = str(getattr(found, "device", "cpu"))
        shared.tell(event="loaded", name=found.name)
    return found


def _load(name: str, records: Writer) -> Backend | Exception:
    try:
        backend = backends.load(name)
    except (backends.BrokenBackend, backends.UnknownBackend) as error:
        status = "missing" if isinstance(error.__cause__, ModuleNotFoundError) else "broken"
        records.append(Loading(backend=name, status=status, message=str(error)))
        return error
    build: dict[str, str] = getattr(backend, "environment", dict)()
    device = str(getattr(backend, "device", "cpu"))
    records.append(Loading(backend=backend.name, status="loaded", version=backend.version, device=device, build=build))
    return backend


@pytest.fixture
def manner(request: pytest.FixtureRequest, backend: Backend, records: Writer) -> Manner:
    """How this session times."""
    config, address = request.config, request.node.callspec.params["backend"]
    option, level = config.getoption, config.getoption("--level", "quick")
    return Manner(
        effort=LEVELS[level], threads=option("--threads", 1), clock=_plugin(config).options["timer"].target,
        cold=option("--cold", False), bare=option("--overhead", False), longest=option("--cell-limit", LIMIT),
        notes={"level": level, "environment": records.environment.id, "address": address, "code": code_of(address)},
    )  # fmt: skip


@pytest.fixture
def timing(
    request: pytest.FixtureRequest, backend: Backend, workload: str, layout: Any, output: Any, records: Writer, manner: Manner
) -> Timing:
    """One cell on one backend, its answer found right; skipped, with the recorded reason, where the backend cannot say it."""
    cell = Cell(workload=WORKLOADS[workload], layout=layout, output=output)
    case = cell.case()
    if reason := refusal(backend, case):
        asked = {
            "workload": workload, "layout": layout, "output": output, "dtype": case.x.dtype.name, "windows": case.spec.windows.name,
            "device": str(getattr(backend, "device", "cpu")),
        }  # fmt: skip
        records.append(Gap(backend=backend.name, reduction=case.spec.reduction.name, reason=reason, question=asked))
        _shared(request.config).tell(event="gap", message=reason)
        pytest.skip(f"gap: {reason}")
    timing = Timing(cell, backend, manner)
    _shared(request.config).tell(event="checked")
    options: dict[str, Any] = {"group": f"{workload} {output}", "disable_gc": True}
    if timing.launches is not None:
        options["timer"] = timing.launches.clock
    # Before the fixture `benchmark` is made, which reads it.
    request.node.add_marker(pytest.mark.benchmark(**options), append=False)
    return timing


# --- nothing is lost ----------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    if not (key := _key(item)):
        return (yield)
    shared = _shared(item.config)
    shared.tell(event="start", cell=key)
    before = len(_timed_so_far(item.config))
    outcome = yield
    for entry in _timed_so_far(item.config)[before:]:
        shared.tell(event="timed", **{name: entry[name] for name in ("q1", "median", "q3")})
    _save(item.config, shared)
    shared.tell(event="end", cell=key)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    shared = _shared(item.config)
    if _key(item) and report.failed and call.excinfo is not None and shared.writer is not None:
        error, params = call.excinfo.value, item.callspec.params  # type: ignore[attr-defined]  # a cell has parameters
        status, message = status_of(error), f"{type(error).__name__}: {error}"
        asked = {name: params[name] for name in ("workload", "layout", "output")}
        backend = shared.names.get(params["backend"], params["backend"])
        option = item.config.getoption
        shared.writer.append(
            BenchmarkProblem(
                **asked, backend=backend, status=status, message=message, created=now(), device=shared.devices.get(params["backend"], ""),
                threads=str(option("--threads", 1)), mode="cold" if option("--cold", False) else "warm",
            )
        )  # fmt: skip
        shared.tell(event="problem", status=status, message=message)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, Any, Any]:
    plugin, shared = _plugin(session.config), _shared(session.config)
    if plugin is not None and shared.json is not None:
        plugin.json = None  # it is written already, whole; writing over it could be interrupted
    return (yield)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if (written := _shared(config).json) is not None and written.exists():
        terminalreporter.write_line(f"timings in {written}")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    rate = machine.comparison_rate(threads)
    far = machine.memory_bandwidth(threads)
    # pytest-benchmark asks when a cell has been timed already: the load that it met is that of the beginning.
    described = {**machine.describe(), "load": _shared(config).load}
    machine_info["poolproof"] = {**described, "comparisons a second": rate or "unknown", "copy bandwidth of memory": far or "unknown"}


def _save(config: pytest.Config, shared: Session) -> None:
    """Write pytest-benchmark's JSON of the cells that are timed so far; a reader meets a whole file or none."""
    plugin = _plugin(config)
    if plugin is None or plugin.json is None or plugin.disabled:
        return
    fresh = _timed_so_far(config)[len(shared.entries) :]
    if not fresh:
        return
    if shared.described is None:
        # The same for a whole session, and asking takes seconds.
        commit = config.hook.pytest_benchmark_generate_commit_info(config=config)
        shared.described = {"machine_info": plugin.get_machine_info(), "commit_info": commit}
    content = config.hook.pytest_benchmark_generate_json(config=config, benchmarks=fresh, include_data=True, **shared.described)
    shared.entries += content["benchmarks"]
    target = Path(plugin.json)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part")
    beside.write_text(json.dumps({**content, "benchmarks": shared.entries}, default=str), encoding="utf-8")
    beside.replace(target)


def _timed_so_far(config: pytest.Config) -> list[Any]:
    plugin = _plugin(config)
    return [entry for entry in plugin.benchmarks if entry and not entry.has_error] if plugin is not None else []


def _shared(config: pytest.Config) -> Session:
    if _session not in config.stash:
        config.stash[_session] = Session(config.getoption("--events", None))
    return config.stash[_session]


def _plugin(config: pytest.Config) -> Any:
    """pytest-benchmark's session, where it is installed and on."""
    return config.pluginmanager.get_plugin("pytest-benchmark")


def _timed(config: pytest.Config) -> bool:
    """Whether this session times, rather than calling each benchmark once."""
    option = config.getoption
    return bool(option("benchmark_enable", False) or not (option("benchmark_disable", True) or option("benchmark_skip", False)))


def _key(item: pytest.Item) -> str | None:
    """The key of the cell that a test times, None for another test."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if not {"workload", "layout", "output", "backend"} <= set(params):
        return None
    return Cell(workload=WORKLOADS[params["workload"]], layout=params["layout"], output=params["output"]).key(params["backend"])
