"""Gaps are true: what a backend is said to refuse, it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings

import backends
from backends import text
from backends.compare import Nonconformity, assert_conforms
from backends.interface import Case, missing
from properties.questions import question
from properties.strategies import cases
from properties.subject import Subject
from reports.record import Gap, Writer

TRIALS = 100


def reasons(backend: Subject, records: Writer) -> dict[str, list[Case]]:
    """The gaps that drawn cases meet, with the cases that meet them; each is recorded once."""
    met: dict[str, list[Case]] = {}

    @settings(max_examples=400, derandomize=True, database=None)
    @given(case=cases(backend, palettes=("whole",), batches=(1,), channels=(1, 2), memory=("plain",)))
    def draw(case: Case) -> None:
        try:
            case.spec.check(case.spatial)
        except ValueError:
            return
        if missing(backend.capabilities, case) is None and (reason := backend.refusal(case)):
            if reason not in met:
                records.append(Gap(backend=backend.name, reduction=case.spec.reduction.name, reason=reason, question=question(case)))
            met.setdefault(reason, []).append(case)

    draw()
    return met


@pytest.fixture
def gaps(backend: Subject, records: Writer) -> dict[str, list[Case]]:
    """The gaps of a backend that cases meet."""
    return reasons(backend, records)


def test_reasons_say_who(backend: Subject, gaps: dict[str, list[Case]]) -> None:
    """Each gap of our own adapters says whether the framework refuses, or has no way to say it."""
    if backend.name.partition(":")[0] not in backends.adapters():
        pytest.skip("a stranger words its gaps as it likes")
    odd = [reason for reason in gaps if not reason.startswith(("refuses: ", "cannot say: "))]
    assert not odd


def test_refusals_are_not_stale(backend: Subject, gaps: dict[str, list[Case]]) -> None:
    """A gap that says the framework refuses is stale when random values of all its cases conform."""
    stale = []
    for reason, found in gaps.items():
        if reason.startswith("refuses: ") and all(conforms(backend, found[trial % len(found)], trial) for trial in range(TRIALS)):
            stale.append(f"{reason}: {text.write(found[0])}")
    assert not stale


def conforms(backend: Subject, case: Case, seed: int) -> bool:
    """Whether a refused case, asked all the same with random values, gets a conforming answer."""
    x = text.generate("integers", seed, case.x.shape, case.x.dtype.name)
    cotangent = None if case.cotangent is None else text.generate("integers", seed + 1, case.cotangent.shape, case.x.dtype.name)
    asked = case.replace(x=x, cotangent=cotangent)
    try:
        assert_conforms(asked, np.asarray(backends.run(backend.backend, asked)))
    except Nonconformity:
        return False
    except Exception:  # a refusal is whatever the framework raises
        return False
    return True
