"""The suite sees what it is meant to see: each seeded defect is killed by a law, and the correct pooling by none.

`--mutants` says which defects: `all`, `none`, or a part such as `3/10`; without it a tenth that
changes by the day.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable

import backends
from backends import oracle
from backends.interface import Case
from backends.spec import Average, Max, PoolSpec, Sliding
from properties.__main__ import laws
from properties.divergence import Divergence
from properties.divergences import DIVERGENCES
from properties.laws import Budget, Law, LawBroken, Trial
from properties.mutable import Steps
from properties.mutants import MUTANTS, Mutant
from properties.subject import Subject, stopwatch
from reports.record import Mutant as MutantRecord
from reports.record import Writer

FIRST = (
    "values",
    "indices",
    "gradient",
    "extremes",
    "one_hurting_value",
    "windows_of_infinities",
    "vector_tails",
    "long_sums",
    "empty_batch",
)
GENERATE = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)  # fmt: skip


def ordered() -> list[Law]:
    """Every law but those that take minutes on one case, those that see most first."""
    return sorted(
        (law for law in laws().values() if law.examples >= 0.1),
        key=lambda law: (FIRST.index(law.name) if law.name in FIRST else len(FIRST), law.name),
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which law killed a defect, and after how much."""

    killed_by: str | None
    seconds: float
    compared: int


def trial(backend: object, rows: tuple[Divergence, ...], examples: int = 100) -> Verdict:
    """Put every law to a backend until one breaks."""
    elapsed, compared = stopwatch(), 0
    for law in ordered():
        subject = Subject(backend, rows)
        one = Trial(law, subject, None, Budget(seconds=600))
        try:
            law.test(one, settings(GENERATE, max_examples=examples))
        except LawBroken:
            return Verdict(killed_by=law.name, seconds=elapsed(), compared=compared + subject.tally.compared)
        except Unsatisfiable:
            pass
        compared += subject.tally.compared
    return Verdict(killed_by=None, seconds=elapsed(), compared=compared)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mutant" in metafunc.fixturenames:
        chosen = part(metafunc.config.getoption("--mutants"))
        metafunc.parametrize("mutant", chosen, ids=lambda mutant: f"{mutant.family}: {mutant.id}")


def part(which: str) -> list[Mutant]:
    """The mutants that `--mutants` names.

    Raises:
        pytest.UsageError: it is not all, none, or K/N.
    """
    if which in ("all", "none"):
        return list(MUTANTS) if which == "all" else []
    try:
        k, n = map(int, which.split("/"))
        if not 0 <= k < n:
            raise ValueError(which)
    except ValueError:
        raise pytest.UsageError(f"--mutants={which}: expected all, none, or K/N with 0 <= K < N") from None
    return list(MUTANTS[k::n])


def test_is_killed(mutant: Mutant, records: Writer, record_property) -> None:
    """A law sees the seeded defect."""
    verdict = trial(mutant.build(), DIVERGENCES)
    record_property("killed_by", verdict.killed_by)
    records.append(
        MutantRecord(
            mutant=mutant.id,
            family=mutant.family,
            killed_by=verdict.killed_by,
            seconds=verdict.seconds,
            description=mutant.description,
        )
    )
    print(f"killed by {verdict.killed_by} after {verdict.compared} cases, {verdict.seconds:.1f} s")
    assert verdict.killed_by, f"{mutant.family}: {mutant.id} survived {verdict.compared} cases: {mutant.description}"


def test_the_correct_pooling_survives() -> None:
    """No law finds anything wrong with the correct pooling."""
    verdict = trial(Steps(), DIVERGENCES, examples=20)
    assert verdict.killed_by is None
    assert verdict.compared > 300


@pytest.mark.slow
def test_twenty_thousand_cases_raise_no_alarm() -> None:
    """Twenty thousand random cases on the correct pooling break no law."""
    verdict = trial(Steps(), (), examples=500)
    assert verdict.killed_by is None
    assert verdict.compared >= 20_000


def test_there_are_enough_defects() -> None:
    """At least eighty defects in at least fifteen families, each with a name of its own."""
    assert len(MUTANTS) >= 80
    assert len({mutant.family for mutant in MUTANTS}) >= 15
    assert len({(mutant.family, mutant.id) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("plain", [pytest.param(mutant, id=mutant.id) for mutant in MUTANTS if mutant.plain])
@pytest.mark.parametrize("reduction", [Max(), Average()], ids=lambda reduction: reduction.name)
def test_hides_from_a_plain_case(plain: Mutant, reduction: Max | Average) -> None:
    """The defect changes nothing on a plain 4×4 input with 2×2 windows: ordinary tests would not see it."""
    x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    case = Case(spec=PoolSpec(reduction=reduction, windows=Sliding(kernel=(2, 2))), x=x)
    np.testing.assert_array_equal(backends.run(plain.build(), case), oracle.pool(case).value)
