"""Records -> tables, sentences and a verdict: pure functions, which draw nothing and write nothing.

Everything is told once for each environment: what two machines, or two sets of versions, have
recorded is kept apart and never averaged.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reports import deviations, gates, laws, speed, timings, verdict
from reports.gates import Gate
from reports.matrix import CoverageRow, GapRow, Matrix, SupportRow, coverage, gap_rows, matrix, support
from reports.observed import grouped
from reports.record import Environment, Experiment, Line, Loaded, Loading, Mutant, Porting, Problem
from reports.words import ordered, slug

AnyLine = TypeVar("AnyLine", bound=Line)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one environment has to say.

    `prefix` keeps its anchors apart from those of another, and is empty where there is one
    environment. `names` are the backends that were asked, in the order of every table's columns.
    """

    environment: Environment
    loads: tuple[float, ...]
    prefix: str
    headline: str
    findings: tuple[verdict.Finding, ...]
    names: tuple[str, ...]
    backends: tuple[verdict.BackendRow, ...]
    deviations: tuple[deviations.Deviation, ...]
    matrix: Matrix
    laws: tuple[laws.LawRow, ...]
    coverage: tuple[CoverageRow, ...]
    loaded: tuple[str, ...]
    support: tuple[SupportRow, ...]
    gaps: tuple[GapRow, ...]
    speed: speed.Speed | None
    experiments: tuple[Experiment, ...]
    porting: tuple[Porting, ...]
    mutants: tuple[Mutant, ...]
    observations: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All that a report says."""

    runs: tuple[Run, ...]
    problems: tuple[Problem, ...]
    gates: tuple[Gate, ...] = ()
    folders: tuple[str, ...] = ()


def summarise(loaded: Loaded) -> Summary:
    """Tell what lies in the folders, one run for each environment, the one with most to say first."""
    measured = timings.read(loaded.benchmarks, {environment.id: environment.cpu for environment in loaded.environments})
    environments: dict[str, list[Environment]] = {}
    for environment in (*loaded.environments, *measured.machines):
        environments.setdefault(environment.id, []).append(environment)
    kinds: tuple[Sequence[Line], ...] = (
        loaded.observations,
        loaded.loadings,
        loaded.gaps,
        loaded.tallies,
        loaded.divergences,
        loaded.experiments,
        loaded.porting,
        loaded.mutants,
        loaded.untimed,
    )
    amount: Counter[str] = Counter(line.environment for kind in kinds for line in kind)
    amount.update(timing.environment for timing in measured.timings)
    idents = sorted(amount, key=lambda ident: (-amount[ident], ident))
    runs = []
    for ident in idents:
        known = environments.get(ident) or [Environment(id=ident, notes=("its own line is missing from the records",))]
        timed = [timing for timing in measured.timings if timing.environment == ident]
        runs.append(_run(loaded, timed, known, f"{slug(ident)}-" if len(idents) > 1 else ""))
    gated, wrong = gates.read(loaded.gates)
    problems = (*loaded.problems, *measured.problems, *wrong)
    return Summary(runs=tuple(runs), problems=problems, gates=tuple(gated), folders=tuple(map(str, loaded.folders)))


def _run(loaded: Loaded, timed: Sequence[timings.Timing], environments: Sequence[Environment], prefix: str) -> Run:
    environment = min(environments, key=lambda entry: entry.created)

    def of(lines: Iterable[AnyLine]) -> tuple[AnyLine, ...]:
        return tuple(line for line in lines if line.environment == environment.id)

    observations, tallies, gaps, mutants = of(loaded.observations), of(loaded.tallies), of(loaded.gaps), of(loaded.mutants)
    loadings = _latest(of(loaded.loadings))
    working = tuple(loading.backend for loading in loadings if loading.status == "loaded")
    versions = {record.backend: record.version for record in observations}
    versions |= {loading.backend: loading.version for loading in loadings if loading.status == "loaded"}
    names = tuple(ordered({*versions, *(tally.backend for tally in tallies)}, ()))

    groups = grouped(observations)
    found = deviations.told(groups, of(loaded.divergences), tallies, versions)
    table = laws.told(tallies, observations, names)
    asked = Counter(record.backend for record in observations if record.status != "unsupported")
    rows = verdict.backends(names, loadings, asked, found, versions)
    times = speed.told(timed, environment, of(loaded.untimed), gaps)
    return Run(
        environment=environment,
        loads=tuple(entry.load for entry in environments if entry.load is not None),
        prefix=prefix,
        headline=verdict.headline(rows, timed=times is not None, interrupted=bool(laws.having(table, "interrupted")), mutants=mutants),
        findings=tuple(verdict.findings(rows, found, table, mutants, times)),
        names=names,
        backends=rows,
        deviations=tuple(found),
        matrix=matrix(groups, found, loadings, gaps, names),
        laws=table,
        coverage=coverage(groups, names),
        loaded=working,
        support=support(loadings, gaps, working),
        gaps=gap_rows(gaps),
        speed=times,
        experiments=of(loaded.experiments),
        porting=of(loaded.porting),
        mutants=mutants,
        observations=len(observations),
    )


def _latest(loadings: Iterable[Loading]) -> list[Loading]:
    """One loading for each backend: one that worked, where several processes tried."""
    found: dict[str, Loading] = {}
    for loading in loadings:
        if loading.backend not in found or loading.status == "loaded":
            found[loading.backend] = loading
    return [found[name] for name in ordered(found, ())]
