"""Which backends a run is about, where it records, and how much it asks."""

import datetime
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import backends
from backends.interface import Backend
from backends.process import ROOT, Remote
from properties.answers import Recorder
from properties.divergence import named
from properties.laws import Budget
from properties.subject import Subject
from reports.record import DEFAULT_FOLDER, Loading, Writer

BUDGETS = {"ci": 2.5, "dev": 30.0, "thorough": 120.0}
"""Seconds that a law with one share of examples may ask one backend: a bound for compiled variants, more than others need."""
COMPILED = {"ci": 0.2, "dev": 0.3, "thorough": 1.0}
"""The share of them for what compiles each spec: someone waits for the first two."""

PASSIVE = {"OMP_WAIT_POLICY": "passive"}
"""Threads that spin between small calls would take the processor from whoever asks."""

_slow = list(hypothesis.HealthCheck)  # frameworks compile and gaps filter: neither says that a strategy is unsound
_common = {"deadline": None, "suppress_health_check": _slow, "report_multiple_bugs": False, "print_blob": False}
hypothesis.settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **_common)
hypothesis.settings.register_profile("dev", max_examples=100, **_common)
hypothesis.settings.register_profile("thorough", max_examples=2000, **_common)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

_elsewhere: dict[str, Any] = {}
"""Where the backends of this run live, if not here, and the file that keeps what they answer."""
_records = pytest.StashKey[Writer]()
_chosen = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("poolproof")
    group.addoption(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="a backend to ask, again for more: one of ours (torch, torch:compile, …), FILE.py:Name or package.module:Name; "
        "without it, each of ours whose framework is installed",
    )
    group.addoption(
        "--in-process",
        action="store_true",
        help="ask backends in this process, for a debugger or a profiler: a death or a hang then ends the run",
    )
    group.addoption("--records", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help=f"where records go (default {DEFAULT_FOLDER})")
    group.addoption(
        "--mutants",
        default=f"{datetime.date.today().toordinal() % 10}/10",
        metavar="PART",
        help="which seeded defects to try: all, none, or K/N (default: a tenth that changes by the day)",
    )
    group.addoption(
        "--beside",
        action="append",
        default=[],
        metavar="NAME",
        help="with --mutants all: on top of what this backend is recorded to do, again for more (default: tensorflow and torch, eager)",
    )
    group.addoption("--backend-python", metavar="PYTHON", help="the interpreter that backends live under (default: this one)")
    group.addoption("--backend-root", type=Path, metavar="DIR", help="the checkout whose adapters are asked (default: this one)")
    group.addoption(
        "--compared-with",
        action="append",
        default=[],
        type=named,
        metavar="NAME==VERSION",
        help="excuse what is known of that backend as well: who is compared with it is then judged alike",
    )
    group.addoption("--answers", type=Path, metavar="FILE", help="keep each answer, bit by bit, for `python -m properties.answers`")
    group.addoption("--budget", type=float, metavar="SECONDS", help="how long a law may ask one backend (default by profile)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law: a law of pooling, put to each backend that is asked")
    config.addinivalue_line("markers", "loads: fails, where others skip, when its backend cannot be loaded")
    config.addinivalue_line("markers", "slow: takes minutes or gigabytes; runs with the thorough profile only")
    try:
        config.stash[_chosen] = [backends.known(name) for name in config.getoption("--backend")] or _installed()
    except backends.UnknownBackend as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_records] = Writer(config.getoption("--records"))
    _elsewhere.update(python=config.getoption("--backend-python"), root=config.getoption("--backend-root") or ROOT)
    _elsewhere.update(answers=config.getoption("--answers"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if writer := config.stash.get(_records, None):
        writer.close()


def pytest_report_header(config: pytest.Config) -> str:
    profile = hypothesis.settings.get_current_profile_name()
    return f"poolproof: {', '.join(config.stash[_chosen])}; profile {profile}; records in {config.getoption('--records')}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With some backends named, the tests of other adapters have nothing to do."""
    framework = collection_path.name.split("_")[1] if collection_path.match("backends/tests/test_*_*.py") else ""
    if not config.getoption("--backend") or framework not in backends.adapters():
        return None
    return not any(name.split(":")[0] == framework for name in config.stash[_chosen]) or None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.stash[_chosen], indirect=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases each backend was asked, and how fast."""
    asked: dict[str, list[float]] = {}
    fast: dict[str, list[float]] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(getattr(report, "user_properties", []))
            if report.when != "call" or "compared" not in told:
                continue
            for seen in [asked] + [fast] * ("test_equivalence.py" in report.nodeid):
                total = seen.setdefault(told["backend"], [0, 0, 0.0])
                total[0] += 1
                total[1] += told["compared"]
                total[2] += told["seconds"]
    if asked:
        terminalreporter.section("cases")
    for name, (laws, cases, seconds) in sorted(asked.items()):
        equivalence = f"; equivalence: {fast[name][1] / fast[name][2]:,.0f} a second" if name in fast else ""
        terminalreporter.write_line(f"{name}: {cases:,.0f} compared in {laws:.0f} laws, {cases / seconds:,.0f} a second{equivalence}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hypothesis.settings.get_current_profile_name() == "thorough":
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: needs --hypothesis-profile thorough"))


def _installed() -> list[str]:
    """Our own plain backends whose framework can be found, without importing it."""
    return [name for name in backends.adapters() if importlib.util.find_spec(name)]


@pytest.fixture(scope="session")
def records(pytestconfig: pytest.Config) -> Iterator[Writer]:
    """Where this process records what it observes."""
    return pytestconfig.stash[_records]


@pytest.fixture(scope="session")
def loaded(pytestconfig: pytest.Config, records: Writer) -> Iterator[Callable[[str], Backend | Exception]]:
    """What gives the backend of a name, loaded once and in a process of its own, or what loading it raised."""
    found: dict[str, Backend | Exception] = {}

    def load(name: str) -> Backend | Exception:
        if name not in found:
            found[name] = _load(name, records, isolated=not pytestconfig.getoption("--in-process"))
        return found[name]

    yield load
    for backend in found.values():
        if isinstance(backend, Remote):
            backend.close()


@pytest.fixture
def backend(request: pytest.FixtureRequest, loaded: Callable[[str], Backend | Exception]) -> Subject:
    """A backend under observation; the test is skipped, with the reason, if it cannot be loaded."""
    from properties.divergences import DIVERGENCES

    found = loaded(request.param)
    if isinstance(found, Exception):
        if request.node.get_closest_marker("loads"):
            pytest.fail(str(found), pytrace=False)
        pytest.skip(f"not loaded: {found}")
    return Subject(found, DIVERGENCES, address=request.param, compared_with=request.config.getoption("--compared-with"))


@pytest.fixture
def budget(pytestconfig: pytest.Config) -> Budget:
    """How long a law may ask one backend."""
    given = pytestconfig.getoption("--budget")
    profile = hypothesis.settings.get_current_profile_name()
    return Budget(seconds=BUDGETS.get(profile, 30.0), compiled=COMPILED.get(profile, 1.0)) if given is None else Budget(seconds=given)


def _remote(name: str, *, answers: Path | None, **where: Any) -> Remote:
    if answers is None:
        return Remote(name, environment=PASSIVE, **where)
    return Recorder(answers, name, environment=PASSIVE, **where)


def _load(name: str, records: Writer, *, isolated: bool) -> Backend | Exception:
    try:
        backend: Backend = _remote(name, **_elsewhere) if isolated else backends.load(name)
    except backends.BrokenBackend as error:
        missing = "ModuleNotFoundError" in str(error)
        records.append(Loading(backend=name, status="missing" if missing else "broken", message=str(error)))
        return error
    except backends.UnknownBackend as error:
        records.append(Loading(backend=name, status="broken", message=str(error)))
        return error
    records.append(
        Loading(
            backend=backend.name, status="loaded", version=backend.version, device=str(getattr(backend, "device", "cpu")),
            capabilities={reduction: backends.plain(declared) for reduction, declared in backend.capabilities.items()},
            build=getattr(backend, "environment", dict)(),
        )
    )  # fmt: skip
    return backend
