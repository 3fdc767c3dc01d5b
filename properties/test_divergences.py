"""Known divergences are real: each still deviates, as it says it does, and hides nothing else."""

import ast
from typing import Any

import numpy as np
import pytest

import backends
from backends import compare, oracle, text
from backends.interface import REDUCTIONS, Case
from backends.process import Remote
from properties import bad_calls, refusals
from properties import subject as observed
from properties.divergence import Divergence, ends
from properties.divergences import DIVERGENCES
from properties.subject import Subject
from reports.record import KnownDivergence, Writer

WRONG = [row for row in DIVERGENCES if row.outcome == "wrong"]
ENDS = [row for row in DIVERGENCES if row.outcome != "wrong" and row.smallest.partition(" ")[0] in REDUCTIONS]
CALLS = [row for row in DIVERGENCES if row.outcome != "wrong" and row not in ENDS]


HANGS_AFTER = 20.0
"""Seconds after which a case hangs that is known to: what ends takes one."""
SHOWN = 64
"""Elements of the definition's answer up to which a record has them all."""
CALLS_AT_MOST = 50
"""How often a case is asked whose answers differ from call to call: the first calls of a process find its memory clean."""


TOLD = 100
"""Up to so many numbers a reproducer tells one by one."""
NUMBERS = f"""
import hashlib, numpy
given = globals().get("answer", globals().get("result"))
given = given[-1] if isinstance(given, tuple) else given
given = given.detach().double().numpy() if hasattr(given, "detach") else numpy.asarray(given)
given = given.astype(numpy.float64).ravel() + 0.0
given[numpy.isnan(given)] = numpy.nan
given.tobytes().hex() if given.size <= {TOLD} else hashlib.sha256(given.tobytes()).hexdigest()
"""
"""What follows a reproducer here: the numbers that it computed, or a digest of many."""
ATTEMPTS = 5
"""How often a reproducer is run whose answers differ from call to call."""


def numbers_of(array: np.ndarray) -> set[str]:
    """What NUMBERS may say of an answer: frameworks have their channels second or last."""
    *_, told = NUMBERS.strip().splitlines()
    found = set()
    for answer in (array, np.moveaxis(array, 1, -1)):
        scope: dict[str, Any] = {"answer": answer}
        exec(NUMBERS.removesuffix(told + "\n"), scope)
        found.add(str(eval(told, scope)))
    return found


def named(row: Divergence) -> str:
    return row.id


def deviating(row: Divergence, backend: Subject, case: Case, exact: oracle.Exact) -> np.ndarray:
    """The answer to the row's smallest case; where answers differ from call to call, the first that deviates, if one does."""
    for _ in range(1 if row.nearest is None else CALLS_AT_MOST):
        answer = backends.run(backend.backend, case)
        if compare.compare(case, answer, exact).bad.any():
            break
    return answer


@pytest.mark.parametrize("row", WRONG, ids=named)
def test_smallest_case_deviates(row: Divergence, backend: Subject, records: Writer) -> None:
    """The pinned smallest case of a divergence still deviates, and its row explains all of it."""
    if row not in backend.divergences:
        pytest.skip(f"not about {backend.name} {backend.version}")
    _, case = text.parse(row.smallest)
    exact = oracle.pool(case)
    actual = deviating(row, backend, case, exact)
    comparison = compare.compare(case, actual, exact)
    assert comparison.bad.any(), f"{row.id}: mended upstream: remove the row"
    left = comparison.bad & ~row.explains(case, actual, exact)
    expected, got, _ = _first(comparison)
    records.append(
        KnownDivergence(
            id=row.id, backend=backend.name, verdict=row.verdict, variants=sorted(row.variants), versions=row.versions, outcome=row.outcome,
            smallest=row.smallest, observed=f"{got}", expected=f"{expected}", upstream=row.upstream,
            native=observed.native_code(backend.backend, case), description=row.description, documentation=row.documentation, since=row.since,
        )
    )  # fmt: skip
    assert not left.any(), f"{row.id}: {compare.explain(comparison)}"


@pytest.mark.parametrize("row", WRONG, ids=named)
def test_row_hides_nothing_else(row: Divergence, backend: Subject) -> None:
    """A row excuses what it predicts and no other wrong answer to its own smallest case."""
    if row not in backend.divergences:
        pytest.skip(f"not about {backend.name} {backend.version}")
    _, case = text.parse(row.smallest)
    exact = oracle.pool(case)
    actual = deviating(row, backend, case, exact)
    bad = compare.compare(case, actual, exact).bad
    other = actual.copy()
    other[bad] = 77 if actual.dtype.kind in "iu" else np.asarray(77.125).astype(actual.dtype)
    assert not (row.explains(case, other, exact) & bad).any()


@pytest.mark.parametrize("row", WRONG, ids=named)
def test_native_code_reproduces(row: Divergence, backend: Subject, capsys: pytest.CaptureFixture[str]) -> None:
    """The native code of a divergence runs as it stands, prints, and computes the very numbers that the row is about."""
    if row not in backend.divergences:
        pytest.skip(f"not about {backend.name} {backend.version}")
    _, case = text.parse(row.smallest)
    code = observed.native_code(backend.backend, case)
    if code is None:
        pytest.skip(f"{backend.name} offers no native code")
    exact, one = oracle.pool(case), case.x.shape[:2] == (1, 1)

    def told() -> str:
        printed, numbers = run_with_numbers(row, backend, code, capsys)
        assert printed.strip()
        return numbers

    if case.output == "indices" and not one:
        told()  # a framework counts places in its own way
    elif row.nearest is None:
        assert told() in numbers_of(deviating(row, backend, case, exact))
    else:
        assert any(deviates(case, exact, told()) for _ in range(ATTEMPTS))


def deviates(case: Case, exact: oracle.Exact, numbers: str) -> bool:
    """Whether the numbers of a reproducer leave the definition: beyond its bound, or in any bit where they are not told one by one."""
    dtype = np.dtype(np.int64) if case.output == "indices" else case.x.dtype
    with np.errstate(over="ignore"):
        if exact.value.size > TOLD or case.x.shape[:2] != (1, 1):
            return numbers not in numbers_of(exact.value.astype(dtype))
        answer = np.frombuffer(bytes.fromhex(numbers)).reshape(exact.value.shape).astype(dtype)
    return bool(compare.compare(case, answer, exact).bad.any())


def run_with_numbers(row: Divergence, backend: Subject, code: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """(what a reproducer printed, what NUMBERS says of what it computed)."""
    if isinstance(backend.backend, Remote):
        seen = backend.backend.execute(code + NUMBERS, time_limit=120)
        assert seen.outcome == "returns", seen.text
        return seen.printed, str(ast.literal_eval(seen.text))
    scope: dict[str, Any] = {"__name__": "__main__"}
    *_, told = NUMBERS.strip().splitlines()
    exec(compile(code + NUMBERS.removesuffix(told + "\n"), f"{row.id}.py", "exec"), scope)
    return capsys.readouterr().out, str(eval(told, scope))


@pytest.mark.parametrize("row", ENDS, ids=named)
def test_smallest_case_ends_so(row: Divergence, backend: Subject, records: Writer) -> None:
    """The pinned case of a row that ends in no answer, or in one where it should raise, still ends as the row says, and so does its code."""
    if row not in backend.divergences:
        pytest.skip(f"not about {backend.name} {backend.version}")
    if not isinstance(backend.backend, Remote):
        pytest.skip("--in-process: the case may end this process")
    remote = backend.backend
    _, case = text.parse(row.smallest)
    right = definition(case)
    limit = HANGS_AFTER if row.outcome == "hangs" else 120.0
    usual, remote.time_limit = remote.time_limit, limit
    ended = refusals.outcome(remote, case, ours=True)
    remote.time_limit = usual
    assert ended is not None, f"{row.id}: {backend.name} cannot be asked its case"
    outcome = ended.outcome
    assert outcome != ("raises" if right == "raises" else "returns"), f"{row.id}: mended upstream: remove the row"
    code = observed.native_code(remote, case)
    records.append(
        KnownDivergence(
            id=row.id, backend=backend.name, verdict=row.verdict, variants=sorted(row.variants), versions=row.versions, outcome=row.outcome,
            smallest=row.smallest, observed=outcome, expected=right, upstream=row.upstream,
            native=code, description=row.description, documentation=row.documentation, since=row.since,
        )
    )  # fmt: skip
    assert outcome == row.outcome and ends(case, outcome, [row])
    if code:
        # What is written outside its memory may hit nothing in a script of its own.
        written = row.outcome.startswith("signal:") and right != "raises"
        assert remote.execute(code, time_limit=limit).outcome in {row.outcome, *["returns"] * written}, (
            f"{row.id}: its code does not end so"
        )


def definition(case: Case) -> str:
    """What the definition answers, as text; "raises" where it refuses the case."""
    try:
        value = oracle.pool(case).value
    except (ValueError, TypeError):
        return "raises"
    return str(value.tolist()) if value.size <= SHOWN else f"an array of shape {value.shape}"


@pytest.mark.parametrize("row", CALLS, ids=named)
def test_bad_calls_are_pinned(row: Divergence, backend: Subject, records: Writer) -> None:
    """A row about invalid native calls names calls of that backend; `test_bad_calls` makes them."""
    if row not in backend.divergences:
        pytest.skip(f"not about {backend.name} {backend.version}")
    records.append(
        KnownDivergence(
            id=row.id, backend=backend.name, verdict=row.verdict, variants=sorted(row.variants), versions=row.versions, outcome=row.outcome,
            smallest=row.smallest, observed=row.outcome, expected="raises", upstream=row.upstream, description=row.description,
            documentation=row.documentation,
        )
    )  # fmt: skip
    assert row.smallest
    assert set(row.smallest.split()) <= {call.id for call in bad_calls.calls(backend.name)}


def _first(comparison: compare.Comparison) -> tuple[str, str, str]:
    index = tuple(np.argwhere(comparison.bad)[0])
    return str(comparison.exact.value[index]), str(comparison.actual[index]), str(comparison.bound[index])
