"""One gate from its sides to a `Run`: what is measured is kept as it comes, so that an interrupted one keeps what it has."""

import datetime
import itertools
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backends.environments import Environment
from benchmarks import gate_baseline, gate_meaning
from benchmarks.gate_baseline import Baseline, judge
from benchmarks.gate_calibration import Calibration, Manner, require_threshold, this_machine
from benchmarks.gate_data import Invalid, Machine, Pair, Progress, Run, Side, Uncovered
from benchmarks.gate_decide import decide, suspicious
from benchmarks.gate_inject import BACKEND, SHARE
from benchmarks.gate_pairs import Measurement
from benchmarks.gate_sides import Choice, Listing, again, common, listing, ours
from benchmarks.gate_statistics import Rule
from benchmarks.gate_verdict import Verdict
from benchmarks.gate_worker import Contender, Settings

INJECTION = Path(__file__).resolve().with_name("gate_inject.py")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one gate compares and how. `threshold` is what the user asks for, a share, and must be one that this machine can tell.

    With `stored` the baseline was measured earlier, and both workers of a pair are the candidate's.
    `injected` is a share by which the candidate is made slower on purpose. `notes` are told with the verdict.
    """

    environments: tuple[Environment, Environment]
    backends: tuple[str, str]
    choice: Choice = field(default_factory=Choice)
    settings: Settings = field(default_factory=Settings)
    rule: Rule = field(default_factory=Rule)
    calibration: Calibration | None = None
    threshold: float | None = None
    stored: Baseline | None = None
    only: str = "both"
    injected: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def manner(self) -> Manner:
        """How it measures, as far as the noise depends on it."""
        return Manner(quads=self.settings.quads, layout=self.choice.layout, outputs=self.choice.outputs)

    @property
    def contenders(self) -> tuple[Contender, Contender]:
        """The two sides as they are started."""
        baseline, candidate = (
            Contender(role=role, backend=backend, environment=environment)
            for role, backend, environment in zip(("baseline", "candidate"), self.backends, self.environments, strict=True)
        )
        return baseline, slowed(candidate, self.injected) if self.injected else candidate


class Gate:
    """A gate while it runs. `run()` is what it has measured so far; it is whole once `finish` was called."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan, self.progress = plan, progress
        self.machine: Machine = this_machine()
        self.started = _now()
        self.finished: str | None = None
        self.workloads: list[str] = []
        self.pairs: list[Pair] = []
        self.uncovered: list[Uncovered] = []
        self.notes = list(plan.notes)
        self.meaning: Mapping[str, Any] | None = None
        self._versions: Mapping[str, tuple[str, str]] = {}
        self._listings: tuple[Listing, ...] = ()

    def look(self) -> None:
        """Ask each side what it has.

        Raises:
            Invalid: one does not start.
        """
        self._listings = tuple(listing(environment) for environment in self.plan.environments)

    def speed(self) -> None:
        """Measure: screening, then more pairs of what may be slower.

        Raises:
            Usage: nothing is chosen.
            Invalid: a side does not start.
        """
        plan = self.plan
        known = [each.workloads for each in self._listings]
        if None in known:
            spare = ours().workloads
            known = [spare if each is None else each for each in known]
        if plan.stored:
            questions, self.uncovered = again(plan.stored.workloads, known[1] or {}, plan.choice)
        else:
            questions, self.uncovered = common(known[0] or {}, known[1] or {}, plan.choice)
        self.workloads = [question.name for question in questions]
        self.workloads += [event.workload for event in self.uncovered if event.kind in ("missing", "renamed")]
        if plan.threshold is not None:
            require = gate_baseline.require_threshold if plan.stored else require_threshold
            require(plan.threshold, plan.calibration, self.workloads)
        if not questions:
            return
        measurement = Measurement(plan.contenders, plan.settings, self.progress)
        self._versions, lost = measurement.versions, list(self.uncovered)
        try:
            measurement.rehearse(questions)
            for gap in measurement.gaps:
                self.notes.append(f"neither side can be asked {gap}")
                self.workloads.remove(gap.partition(":")[0])
            names: Sequence[str] = [name for name, cell in measurement.cells.items() if not cell.sentinel]
            for stage in itertools.count():
                for pair in measurement.pairs(names, plan.rule.pairs[stage], stage):
                    self.pairs.append(pair)
                names = () if plan.stored else suspicious(self.pairs, plan.calibration, rule=plan.rule)
                if not names or stage + 1 >= len(plan.rule.pairs):
                    break
                self.progress.note(f"{', '.join(names)}: may be slower, {plan.rule.pairs[stage + 1]} more pairs")
        finally:
            self.uncovered = [*lost, *measurement.uncovered]
            measurement.close()

    def answers(self, folder: Path) -> None:
        """Put the laws to both sides.

        Raises:
            Invalid: one cannot be asked.
        """
        self.meaning = gate_meaning.compare(replace(self.plan, injected=0.0).contenders, folder / "meaning", self.progress)

    def finish(self) -> None:
        """Nothing is left to be done."""
        self.finished = _now()

    def judged(self, run: Run) -> Verdict:
        """The verdict on it."""
        if self.plan.stored:
            return judge(run, self.plan.stored, self.plan.calibration, rule=self.plan.rule)
        return decide(run, self.plan.calibration, rule=self.plan.rule)

    def run(self) -> Run:
        """What there is."""
        return Run(
            workloads=tuple(self.workloads), started=self.started, machine=self.machine, sides=self._sides(), pairs=tuple(self.pairs),
            uncovered=tuple(self.uncovered), meaning=self.meaning, only=self.plan.only, finished=self.finished,
            partial=self.finished is None, notes=tuple(self.notes),
        )  # fmt: skip

    def _sides(self) -> tuple[Side, Side]:
        sides, plan = [], self.plan
        for index, (role, backend, where) in enumerate(
            zip(("baseline", "candidate"), self.plan.backends, self.plan.environments, strict=True)
        ):
            known = self._listings[index] if index < len(self._listings) else Listing(workloads=None, packages={}, python="")
            if plan.stored and role == "baseline":
                stored = plan.stored
                sides.append(
                    Side(
                        role=role,
                        label=str(stored.path),
                        kind="stored",
                        backend=stored.backend,
                        version=stored.version,
                        python=stored.python,
                    )
                )
                continue
            version, python = self._versions.get(role, ("", known.python))
            sides.append(
                Side(
                    role=role, label=where.label, kind=where.kind, backend=backend, version=version, python=python, packages=known.packages,
                    revision=where.revision,
                )
            )  # fmt: skip
        return sides[0], sides[1]


def slowed(contender: Contender, share: float) -> Contender:
    """The same side, each call of which takes so much more of its own time."""
    variables = {**contender.variables, BACKEND: contender.environment.address(contender.backend), SHARE: repr(share)}
    return replace(contender, backend=f"{INJECTION}:Slowed", variables=variables)


def require_platform() -> None:
    """Refuse what the measurement cannot rely on.

    Raises:
        Invalid: this is not Linux with glibc, whose allocator and clocks it pins.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        raise Invalid(f"the gate needs Linux with glibc, and this is {sys.platform} with {platform.libc_ver()[0] or 'another C library'}")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
