"""What is invalid raises: from native code, and from cases that break the definition.

Each call is made in a process of its own, so that a death by a signal and a hang are outcomes like
others. One that a row of `divergences.py` knows passes; the run goes on after any.
"""

import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator

import pytest

import backends
from backends import text
from backends.interface import Backend, Unsupported
from backends.process import Outcome, Remote, RemoteError, RemoteFailure
from properties import bad_calls
from properties.bad_calls import BadCall
from properties.divergence import Divergence
from properties.laws import Budget
from properties.refusals import invalid, is_ours, knows, outcome, pins, rows
from properties.subject import native_code
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
        asked = [pytest.param(*pair, id=f"{pair[0]}-{pair[1].id}", marks=[pytest.mark.slow] * pair[1].slow) for pair in pairs]
        metafunc.parametrize("address, bad_call", asked)
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
    seen = remote.execute(script, time_limit=remote.time_limit)
    deviates = seen.outcome != "raises" and not (seen.outcome == "returns" and bad_call.must == "survive")
    row = knows(remote, seen.outcome, bad_call.id, None) if deviates else None
    records.append(
        record(
            "bad_native_call", remote, bad_call.id, seen, deviates=deviates, row=row, rule=_rule(bad_call), about="a native call",
            native=script,
        )
    )  # fmt: skip
    unknown, known = deviates and row is None, row is not None
    records.append(tally(test_a_bad_native_call_raises, remote, drawn=1, asked=1, known=known, failed=unknown, started=started))
    stale = [pinned.id for pinned in rows(remote) if pins(pinned, bad_call.id) and not deviates]
    assert not stale, f"{stale}: mended upstream: remove the row"
    assert not unknown, f"{seen.outcome}: {_rule(bad_call)}\n{script}\n{seen.text}"


@pytest.mark.parametrize("violation", bad_calls.VIOLATIONS)
def test_a_bad_case_raises(remote: Remote, address: str, violation: str, records: Writer, budget: Budget) -> None:
    """A backend refuses a case that breaks the definition with a Python exception, in each reduction and dimension that time allows."""
    ours = is_ours(address)
    if not ours and violation not in bad_calls.OF_STRANGERS:
        pytest.skip("asked of our own adapters alone")
    square = not ours and any(outcome(remote, case, ours=False) is None for case in bad_calls.plain_cases(remote.capabilities))
    started, unknown, asked, known, left, unasked = time.perf_counter(), [], 0, 0, 0, 0
    cases = bad_calls.turned(violation, bad_calls.bad_cases(violation, remote.capabilities, square=square))
    for case in cases:
        # Where a compiler accepts what it should refuse, a case takes it seconds.
        if asked and time.perf_counter() - started > budget.of(remote):
            left += 1
            continue
        seen = outcome(remote, case, ours=ours)
        if seen is None:
            unasked += 1
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
    records.append(
        tally(
            test_a_bad_case_raises, remote, drawn=len(cases), filtered=unasked, asked=asked, known=known, failed=bool(unknown),
            started=started, message=f"{violation}: {left} of {len(cases)} left out, its time was up" if left else "",
        )
    )  # fmt: skip
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
    assert [text.write(case) for case in cases if invalid(case) is None] == []


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


def tally(
    test: Callable[..., None], remote: Remote, *, drawn: int, asked: int, known: int, failed: bool, started: float, filtered: int = 0,
    message: str = "",
) -> Tally:  # fmt: skip
    """What one test saw of a backend; the report adds up those of one law."""
    return Tally(
        law=test.__name__.removeprefix("test_a_").removesuffix("_raises"), claim=str(test.__doc__), backend=remote.name,
        status="failed" if failed else "passed", drawn=drawn, filtered=filtered, compared=asked, known=known,
        seconds=time.perf_counter() - started, message=message,
    )  # fmt: skip


def seconds_of_a_valid_case(remote: Remote) -> float:
    """What a valid case takes in a fresh process, where a compiler has to be imported too."""
    started = time.perf_counter()
    valid = next(iter(bad_calls.plain_cases(remote.capabilities)), None)
    if valid is not None:
        with contextlib.suppress(Unsupported, RemoteError, RemoteFailure):
            remote.ask(valid)
    return time.perf_counter() - started


def _rule(call: BadCall) -> str:
    return f"{call.violates} ({call.source})" if call.source else call.violates
