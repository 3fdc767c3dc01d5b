"""The suite sees what it is meant to see: each seeded defect is killed by a law, and the correct pooling by none.

`--mutants` says which defects: `all`, `none`, or a part such as `3/10`; without it a tenth that
changes by the day. With `all`, each is tried alone and on top of what TensorFlow and PyTorch are
recorded to do eagerly, or what `--beside` names, so that no row of `divergences.py` hides it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import backends
from backends import oracle
from backends.interface import Case, Unsupported
from backends.spec import Average, Max, PoolSpec, Sliding
from properties.__main__ import laws
from properties.divergences import DIVERGENCES
from properties.laws import Trial
from properties.mutable import Steps
from properties.mutant import Mutant
from properties.mutants import MUTANTS
from properties.recorded import EAGER, FRAMEWORKS
from properties.sensitivity import ALONE, EVERY, LEFT_OUT, UNBOUNDED, Bench, Memory, Verdict, ordered, remembering
from properties.subject import Subject
from reports.record import Mutant as MutantRecord
from reports.record import Writer

RANDOM_CASES = 20_000
PLAIN = Case(spec=PoolSpec(reduction=Average(), windows=Sliding(kernel=(2, 2))), x=np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4))


@pytest.fixture(scope="session")
def bench() -> Iterator[Callable[[str], Bench]]:
    """What gives the bench on which defects are tried alone or beside a framework, made once."""
    memory, made = Memory(), dict[str, Bench]()
    frameworks = {framework.name: framework for framework in FRAMEWORKS}

    def of(beside: str) -> Bench:
        if beside not in made:
            framework = frameworks.get(beside)
            rows = [row for row in DIVERGENCES if framework and row.applies_to(framework.name, framework.version)]
            made[beside] = Bench(list(laws().values()), framework, rows, memory, of(ALONE) if framework else None)
        return made[beside]

    with remembering(memory):
        yield of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--mutants")
    beside = besides(metafunc.config.getoption("--beside"))
    # A defect that was seen alone is put next beside the frameworks, to what showed it.
    if "mutant" in metafunc.fixturenames:
        metafunc.parametrize("mutant", part(chosen), ids=lambda mutant: f"{mutant.family}: {mutant.id}")
    if "known" in metafunc.fixturenames:
        metafunc.parametrize("known, beside", known(beside) if chosen == "all" else [])
    elif "beside" in metafunc.fixturenames:
        # What a framework is recorded to do costs minutes to compute: a part of the defects is tried alone.
        metafunc.parametrize("beside", (ALONE, *beside) if chosen == "all" else (ALONE,))


def besides(names: Sequence[str]) -> tuple[str, ...]:
    """The recorded frameworks that `--beside` names.

    Raises:
        pytest.UsageError: one of them is not recorded.
    """
    recorded = [framework.name for framework in FRAMEWORKS]
    if unknown := [name for name in names if name not in recorded]:
        raise pytest.UsageError(f"--beside={unknown[0]}: expected one of {', '.join(recorded)}")
    return tuple(names) or tuple(framework.name for framework in EAGER)


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


@pytest.mark.slow
def test_random_cases_raise_no_alarm(record_property) -> None:
    """Twenty thousand random cases on the correct pooling break no law."""
    put, compared = ordered(list(laws().values())), 0
    examples = -(-RANDOM_CASES // int(sum(law.examples for law in put))) * 1.2
    for law in put:
        subject = Subject(Steps(), ())
        law.test(Trial(law, subject, None, UNBOUNDED), settings(max_examples=round(examples), **EVERY))
        compared += subject.tally.compared
    record_property("random", compared)
    assert compared >= RANDOM_CASES


def test_is_killed(mutant: Mutant, beside: str, bench: Callable[[str], Bench], records: Writer, record_property) -> None:
    """A law sees the seeded defect, alone and on top of what a framework is recorded to do."""
    place = bench(beside)
    if beside != ALONE:
        # So that what shows it alone is asked here, whichever worker tried it alone.
        bench(ALONE).judge(mutant)
    verdict = place.judge(mutant)
    outcome = verdict.killed_by or "survived"
    if not verdict.killed_by and beside != ALONE:
        # Only what can be seen where the framework can be asked may be hidden by its rows.
        if not place.judge(mutant, rows=(), among=verdict.differing).killed_by:
            outcome = "cannot be asked"
        elif mutant.known_as & {row.id for row in place.rows}:
            outcome = "known"
    told = {
        "mutant": f"{mutant.family}: {mutant.id}",
        "beside": beside,
        "outcome": outcome,
        "compared": verdict.compared,
        "cpu": verdict.seconds,
    }
    record_property("seeded", told)
    if outcome != "cannot be asked":
        own = sorted(mutant.known_as & {row.id for row in place.rows}) if outcome == "known" else ()
        records.append(_line(mutant, beside, verdict, ", ".join(own)))
    assert outcome != "survived", f"{told['mutant']} survived {verdict.compared} cases {beside}: {mutant.description}; {verdict.excused}"


def _line(mutant: Mutant, beside: str, verdict: Verdict, known: str) -> MutantRecord:
    return MutantRecord(
        mutant=mutant.id, family=mutant.family, killed_by=verdict.killed_by, seconds=verdict.seconds,
        beside="" if beside == ALONE else beside, known=known, description=mutant.description,
    )  # fmt: skip


def known(beside: Sequence[str]) -> list[Any]:
    """Defects that these frameworks are recorded to have."""
    return [
        pytest.param(mutant, framework.name, id=f"{mutant.id} in {framework.name}")
        for mutant in MUTANTS
        for framework in FRAMEWORKS
        if framework.name in beside
        and mutant.known_as & {row.id for row in DIVERGENCES if row.applies_to(framework.name, framework.version)}
    ]


def test_is_excused_by_its_own_row_alone(known: Mutant, beside: str, bench: Callable[[str], Bench]) -> None:
    """A defect that a framework is recorded to have is excused by the rows that it names, and by no other."""
    place = bench(beside)
    own = [row for row in place.rows if row.id in known.known_as]
    others = [row for row in place.rows if row.id not in known.known_as]
    verdict = place.judge(known, rows=own)
    assert verdict.killed_by is None
    assert place.judge(known, rows=others, among=verdict.differing).killed_by is not None


def test_no_law_breaks_without_a_defect(beside: str, bench: Callable[[str], Bench]) -> None:
    """The correct pooling breaks no law, nor does what a framework is recorded to do once its rows excuse it."""
    place = bench(beside)
    assert sum(len(place.questions(law)) for law in place.laws) > 1500


@pytest.mark.parametrize("name", sorted(LEFT_OUT.keys() - {"large_arrays", "large_planes", "means_past_2_to_the_24", "past_2_to_the_24"}))
def test_what_is_left_out_has_nothing_to_ask(name: str) -> None:
    """A law that is not put to stand-ins has nothing to ask of them."""
    with pytest.raises(Unsupported):
        laws()[name].claim(Subject(Steps(), ()), PLAIN)


def test_there_are_enough_defects() -> None:
    """At least eighty defects in at least fifteen families, each with a name of its own."""
    assert len(MUTANTS) >= 80
    assert len({mutant.family for mutant in MUTANTS}) >= 15
    assert len({(mutant.family, mutant.id) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("plain", [pytest.param(mutant, id=mutant.id) for mutant in MUTANTS if mutant.plain])
@pytest.mark.parametrize("reduction", [Max(), Average()], ids=lambda reduction: reduction.name)
def test_hides_from_a_plain_case(plain: Mutant, reduction: Max | Average) -> None:
    """The defect changes nothing on a plain 4×4 input with 2×2 windows: ordinary tests would not see it."""
    case = PLAIN.replace(spec=PoolSpec(reduction=reduction, windows=PLAIN.spec.windows))
    np.testing.assert_array_equal(backends.run(plain.build(), case), oracle.pool(case).value)
