"""What is invalid raises: from native code, and from cases that break the definition.

Each call is made in a process of its own, so that a death by a signal and a hang are outcomes like
others. One that a row of `divergences.py` knows passes; the run goes on after any.
"""

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

import backends
from backends import oracle, text
from backends.interface import Backend, Case, Unsupported, refusal
from backends.process import Outcome, Remote, RemoteError, RemoteFailure
from properties import bad_calls, subject
from properties.bad_calls import BadCall
from properties.divergence import Divergence
from properties.divergences import DIVERGENCES
from properties.laws import Budget
from reports.record import Record, Tally, Writer

LIMIT = 20.0
"""Seconds after which a call hangs: the slowest native one that ends takes one. A compiled variant gets more."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask the backends of the run, without importing their frameworks here."""
    if "address" not in metafunc.fixturenames:
        return
    given = [backends.known(name) for name in metafunc.config.getoption("--backend")]
    names = given or [name for name in backends.adapters() if importlib.util.find_spec(name)]
    if "bad_call" in metafunc.fixturenames:
        pairs = [(name, call) for name in names for call in bad_calls.calls(name)]
        metafunc.parametrize("address, bad_call", [pytest.param(*pair, id=f"{pair[0]}-{pair[1].id}") for pair in pairs])
    else:
        metafunc.parametrize("address", names)


@pytest.fixture(scope="module")
def patience() -> dict[str, float]:
    """The time limit of each backend, in seconds, once it has been measured."""
    return {}


@pytest.fixture
def remote(address: str, loaded: Callable[[str], Backend | Exception], patience: dict[str, float]) -> Iterator[Remote]:
    """The backend that is asked, in a process of its own, with a time limit after which a call hangs."""
    found = loaded(address)
    if isinstance(found, Exception):
        pytest.skip(f"not loaded: {found}")
    if not isinstance(found, Remote):
        pytest.skip("--in-process: a bad call may end this process")
    if address not in patience:
        patience[address] = LIMIT + 5 * seconds_of_a_valid_case(found)
    usual, found.time_limit = found.time_limit, patience[address]
    yield found
    found.time_limit = usual


def test_a_bad_native_call_raises(remote: Remote, address: str, bad_call: BadCall, records: Writer) -> None:
    """A framework refuses a call that breaks a rule of pooling with a Python exception."""
    started = time.perf_counter()
    script = bad_call.script(address)
    seen = remote.execute(script, time_limit=LIMIT)
    deviates = seen.outcome != "raises" and not (seen.outcome == "returns" and bad_call.must == "survive")
    row = knows(remote, seen.outcome, bad_call.id, None) if deviates else None
    records.append(
        record(
            "bad_native_call", remote, bad_call.id, seen, deviates=deviates, row=row, rule=_rule(bad_call), about="a native call",
            native=script,
        )
    )  # fmt: skip
    unknown, known = deviates and row is None, row is not None
    records.append(tally(test_a_bad_native_call_raises, remote, asked=1, known=known, failed=unknown, started=started))
    stale = [pinned.id for pinned in _rows(remote) if _pins(pinned, bad_call.id) and not deviates]
    assert not stale, f"{stale}: mended upstream: remove the row"
    assert not unknown, f"{seen.outcome}: {_rule(bad_call)}\n{script}\n{seen.text}"


@pytest.mark.parametrize("violation", bad_calls.VIOLATIONS)
def test_a_bad_case_raises(remote: Remote, address: str, violation: str, records: Writer, budget: Budget) -> None:
    """A backend refuses a case that breaks the definition with a Python exception, in each reduction and dimension."""
    ours = address.partition(":")[0] in backends.adapters()
    if not ours and violation not in bad_calls.OF_STRANGERS:
        pytest.skip("asked of our own adapters alone")
    square = not ours and any(remote.gap(case) for case in bad_calls.plain_cases(remote.capabilities))
    started, unknown, asked, known = time.perf_counter(), [], 0, 0
    for case in bad_calls.bad_cases(violation, remote.capabilities, square=square):
        # What a stranger does not claim is not held against it; ours hand everything to their frameworks.
        if not ours and refusal(remote, case):
            continue
        # A compiled variant takes seconds a case.
        if asked and time.perf_counter() - started > budget.seconds:
            break
        seen = outcome(remote, case)
        if seen is None:
            continue
        asked += 1
        deviates = seen.outcome != "raises"
        row = knows(remote, seen.outcome, text.write(case), case) if deviates else None
        if deviates or asked == 1:
            native = native_code(remote, case) if deviates else None
            records.append(
                record(
                    "bad_case", remote, text.write(case), seen, deviates=deviates, row=row, rule=violation, about=violation, native=native
                )
            )
        known += row is not None
        if deviates and row is None:
            unknown.append(f"{seen.outcome}: {text.write(case)}\n  {seen.text[:300]}")
    if not asked:
        pytest.skip(f"{remote.name} cannot be asked that")
    records.append(tally(test_a_bad_case_raises, remote, asked=asked, known=known, failed=bool(unknown), started=started))
    assert not unknown, "\n".join([f"{violation}: no exception from {len(unknown)} of {asked}", *unknown])


@pytest.mark.parametrize("violation", bad_calls.VIOLATIONS)
def test_the_definition_refuses_each_bad_case(violation: str) -> None:
    """The table has invalid cases only: the definition itself raises for each that any backend can be asked."""
    everything = {
        "windows": {"sliding", "adaptive", "global"}, "ndims": {1, 2, 3}, "dtypes": {"float32"}, "layouts": {"channels_first"},
        "outputs": {"values", "indices", "gradient"}, "paddings": {"valid", "same_upper", "same_lower", "symmetric", "asymmetric"},
        "dilation": True, "ceil_mode": True, "count_include_pad": True, "divisor": True,
    }  # fmt: skip
    cases = list(bad_calls.bad_cases(violation, {"max": everything, "average": everything, "lp": everything}))
    assert cases
    assert [text.write(case) for case in cases if not _refused(case)] == []


def outcome(remote: Remote, case: Case) -> Outcome | None:
    """What becomes of a case; None where the backend says that it cannot be asked it."""
    try:
        seen = remote.ask(case)
    except Unsupported:
        return None
    except RemoteError as error:
        return Outcome(outcome="raises", text=f"{error.type_name}: {error.text}")
    except RemoteFailure as failure:
        return Outcome(outcome=failure.outcome, text=str(failure), printed=failure.printed, logged=failure.logged)
    # It may have written past its memory: what comes after must not suffer for it.
    remote.renew()
    shown = f"array of shape {seen.array.shape} and dtype {seen.array.dtype.name}" if seen.array is not None else seen.returned
    return Outcome(outcome="returns", text=shown)


def native_code(remote: Remote, case: Case) -> str | None:
    """The framework's own code of a bad case, where its adapter can write what it should refuse to say."""
    try:
        return subject.native_code(remote, case)
    except (RemoteError, RemoteFailure):
        return None


def knows(remote: Remote, outcome: str, smallest: str, case: Case | None) -> Divergence | None:
    """The row that explains an outcome: it pins this very call, or its `where` holds for the whole case."""
    for row in _rows(remote):
        if row.outcome == outcome and (_pins(row, smallest) or (case is not None and row.where is not None and np.all(row.where(case)))):
            return row
    return None


def record(
    law: str, remote: Remote, case: str, seen: Outcome, *, deviates: bool, row: Divergence | None, rule: str, about: str,
    native: str | None,
) -> Record:  # fmt: skip
    """One call, and what became of it; `about` is the row of the report's matrix that it counts in."""
    died = seen.outcome not in ("raises", "returns")
    return Record(
        law=law, case=case, backend=remote.name, version=remote.version, device=getattr(remote, "device", "cpu"),
        status="conforms" if not deviates else "crashed" if died else "diverges",
        expected="raises", actual=seen.outcome, divergence=row.id if row else None, message=f"{rule}: {seen.text[:500]}", native=native,
        question={"bad_call": about},
    )  # fmt: skip


def tally(test: Callable[..., None], remote: Remote, *, asked: int, known: int, failed: bool, started: float) -> Tally:
    """What one test saw of a backend; the report adds up those of one law."""
    return Tally(
        law=test.__name__.removeprefix("test_a_").removesuffix("_raises"), claim=str(test.__doc__), backend=remote.name,
        status="failed" if failed else "passed", drawn=asked, compared=asked, known=known, seconds=time.perf_counter() - started,
    )  # fmt: skip


def _pins(row: Divergence, smallest: str) -> bool:
    """Whether a row's smallest is this case, or has this native call among its ids."""
    return smallest == row.smallest or smallest in row.smallest.split()


def seconds_of_a_valid_case(remote: Remote) -> float:
    """What a valid case takes in a fresh process, where a compiler has to be imported too."""
    started = time.perf_counter()
    valid = next(iter(bad_calls.plain_cases(remote.capabilities)), None)
    if valid is not None:
        with contextlib.suppress(Unsupported, RemoteError, RemoteFailure):
            remote.ask(valid)
    return time.perf_counter() - started


def _rows(remote: Remote) -> Sequence[Divergence]:
    return [row for row in DIVERGENCES if row.outcome != "wrong" and row.applies_to(remote.name, remote.version)]


def _rule(call: BadCall) -> str:
    return f"{call.violates} ({call.source})" if call.source else call.violates


def _refused(case: Case) -> bool:
    try:
        oracle.pool(case)
    except (ValueError, TypeError):
        return True
    return False
