"""What many gates say of this machine: false alarms, noise, and how surely a known slowdown is found.

`--aa` runs gates of identical code, `--power` gates with a known slowdown; here their runs become a `Calibration`.
"""

import itertools
import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.gate_calibration import Calibration, Noise, Tally, detectable_effects
from benchmarks.gate_data import Pair, Quad, Run, Usage
from benchmarks.gate_decide import compared, decide, judge, suspicious
from benchmarks.gate_statistics import Rule, proportion
from benchmarks.gate_verdict import Verdict, size
from benchmarks.table import aligned

FEWEST = 10
"""Runs from which on their means say how much the pairs of one run share."""
FLIPPED = {"ABBA": "BAAB", "BAAB": "ABBA"}
SEQUENTIAL: Mapping[str, tuple[Callable[[Sequence[float]], float], float]] = {
    "mean:10%": (statistics.fmean, 0.10),
    "median:5%": (statistics.median, 0.05),
    "median:20%": (statistics.median, 0.20),
    "min:20%": (min, 0.20),
}
"""Rules of pytest-benchmark's --benchmark-compare-fail: a statistic of the rounds, and the rise that is red."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A gate with a known slowdown: `effect` is a share, `slowed` the workloads that had it."""

    effect: float
    slowed: tuple[str, ...]
    verdict: Verdict


def calibrate(runs: Sequence[Run], created: str, rule: Rule | None = None, swaps: int = 1000, seed: int = 0) -> Calibration:
    """A calibration from null gates, in the order in which they ran: the noise first, then how often that noise was red.

    Each run is decided again `swaps` times with the sides swapped at random.

    Raises:
        Usage: there are none, or they are of several machines or backends, or compared what is not the same.
    """
    rule = rule or Rule()
    whole = [run for run in runs if not run.partial and run.finished]
    if not whole:
        raise Usage("there is no null gate that ran to its end")
    for run in whole:
        if (run.machine.fingerprint, run.sides[0].backend) != (whole[0].machine.fingerprint, whole[0].sides[0].backend):
            raise Usage("null gates of several machines or backends make no calibration")
        if any(getattr(run.sides[0], name) != getattr(run.sides[1], name) for name in ("backend", "version", "revision")):
            raise Usage(f"a null gate compares the same with the same, and this one {run.sides[0].label!r} with {run.sides[1].label!r}")
    draft = Calibration(machine=whole[0].machine, backend=whole[0].sides[0].backend, created=created, workloads=noises(whole))
    states = Counter(decide(run, draft, rule=rule).state for run in whole)
    swapped = {name: swap(whole, draft, rule, swaps, seed, together=name == "runs") for name in ("pairs", "runs")}
    red = {name: Tally(found=counts["regression"], trials=counts.total()) for name, counts in swapped.items()}
    notes = tuple(f"sides of {name} swapped: {counts['inconclusive']} of {counts.total()} undecided" for name, counts in swapped.items())
    return replace(draft, states=dict(states), swapped=red, sequential=sequential_alarms(whole), notes=notes)


def noises(runs: Sequence[Run]) -> dict[str, Noise]:
    """The noise of each workload that has at least three pairs of identical code.

    Its deviation is about zero, which is the true effect, and where there are enough runs no less than what the means of runs
    vary by: what the pairs of one run share counts too.
    """
    logs: dict[str, list[list[float]]] = defaultdict(list)
    medians: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for one in compared(run.pairs):
            logs[one.workload].append([pair.log_ratio for pairs in one.stages.values() for pair in pairs])
            medians[one.workload].append(math.log(one.seconds("baseline")))
    found = {}
    for name, by_run in logs.items():
        every = [value for values in by_run for value in values]
        if len(every) < 3:
            continue
        within = _about_zero(every)
        shared = _about_zero([statistics.fmean(values) * math.sqrt(len(values)) for values in by_run]) if len(by_run) >= FEWEST else 0.0
        steps = [after - before for before, after in itertools.pairwise(medians[name])]
        sequential = _about_zero(steps) if len(steps) >= 2 else 0.0
        found[name] = Noise(deviation=max(within, shared), pairs=len(every), sequential=sequential, runs=len(by_run))
    return found


def _about_zero(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


def power(calibration: Calibration, trials: Iterable[Trial]) -> Calibration:
    """The calibration with how often known slowdowns were found; a workload without a judgement was not."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    wrong = 0
    for trial in trials:
        states = {one.workload: one.state for one in trial.verdict.judgements}
        for name in trial.slowed:
            tally = found[f"{100 * trial.effect:g}"][name]
            tally[0] += states.get(name) == "regression"
            tally[1] += 1
            wrong += states.get(name) == "improvement"
    table = {effect: {name: Tally(found=a, trials=b) for name, (a, b) in tallies.items()} for effect, tallies in found.items()}
    return replace(calibration, power=table, reversed=wrong)


# --- the recorded pairs, decided again ----------------------------------------------------------


def swapped(pair: Pair) -> Pair:
    """The same pair with its sides called by each other's name."""
    quads = tuple(Quad(order=FLIPPED[quad.order], seconds=quad.seconds, wall=quad.wall) for quad in pair.quads)
    return replace(pair, quads=quads, checksums=pair.checksums[::-1])


def swap(runs: Sequence[Run], calibration: Calibration, rule: Rule, swaps: int, seed: int, *, together: bool) -> Counter[str]:
    """How null gates would have ended with their sides swapped at random, by state: of identical code either order is as likely.

    Each pair is swapped by itself, or all pairs that a run has of a workload `together`, which keeps what they share.
    Where a swap makes a workload suspicious, its confirmation is drawn from the other runs' pairs of that workload.
    These decisions are not independent of each other: the bound that they allow is that of their runs.
    """
    chance = random.Random(f"{seed} {together}")
    both = [{one.workload: _both(one.stages) for one in compared(run.pairs)} for run in runs]
    states: Counter[str] = Counter()
    for number, workloads in enumerate(both):
        screening = {name: [entry for entry in pairs if entry[0].stage == 0] for name, pairs in workloads.items()}
        for _ in range(swaps):
            chosen = [pair for pairs in screening.values() for pair in _oriented(pairs, chance, together=together)]
            states[_again(chosen, both, number, calibration, rule, chance, together=together)] += 1
    return states


def _both(stages: Mapping[int, tuple[Pair, ...]]) -> list[tuple[Pair, Pair]]:
    return [(pair, swapped(pair)) for pairs in stages.values() for pair in pairs]


def _oriented(pairs: Sequence[tuple[Pair, Pair]], chance: random.Random, *, together: bool) -> Iterator[Pair]:
    side = chance.random() < 0.5
    for entry in pairs:
        yield entry[side if together else chance.random() < 0.5]


def _again(
    pairs: list[Pair], both: Sequence[Mapping[str, list[tuple[Pair, Pair]]]], own: int, calibration: Calibration, rule: Rule,
    chance: random.Random, *, together: bool,
) -> str:  # fmt: skip
    asked = suspicious(pairs, calibration, rule=rule)
    if not asked:
        return "pass"
    # What is not suspicious is never red, and has no part in the tests of what is.
    measured = [pair for pair in pairs if pair.workload in asked]
    for stage in (1, 2):
        for name in asked:
            others = [run[name] for place, run in enumerate(both) if place != own and name in run]
            measured += _drawn(others, rule.pairs[stage], stage, chance, together=together)
        asked = suspicious(measured, calibration, rule=rule)
        if not asked:
            break
    states = {one.state for one in judge(measured, calibration, rule)}
    return next((state for state in ("regression", "inconclusive") if state in states), "pass")


def _drawn(runs: list[list[tuple[Pair, Pair]]], number: int, stage: int, chance: random.Random, *, together: bool) -> list[Pair]:
    drawn: list[Pair] = []
    for pairs in chance.sample(runs, len(runs)):
        drawn += _oriented(pairs, chance, together=together)
        if len(drawn) >= number:
            break
    return [replace(pair, stage=stage, number=place) for place, pair in enumerate(drawn[:number])]


# --- what a comparison of one run with the one before would have said ------------------------------


def sequential_alarms(runs: Sequence[Run]) -> dict[str, Tally]:
    """How often pytest-benchmark's compare-fail would have gone red on these runs of identical code.

    The rounds are the wall times of the baseline's blocks; each run is compared with the one before it, and that with it.
    """
    rounds = [
        {
            one.workload: [time for pair in one.stages.get(0, ()) for quad in pair.quads for time in quad.blocks("baseline", wall=True)]
            for one in compared(run.pairs)
        }
        for run in runs
    ]
    found = {}
    for name, (statistic, rise) in SEQUENTIAL.items():
        values = [{workload: statistic(times) for workload, times in each.items() if times} for each in rounds]
        couples = [couple for first, second in itertools.pairwise(values) for couple in ((first, second), (second, first))]
        red = sum(any(after[key] > (1 + rise) * before[key] for key in before.keys() & after.keys()) for before, after in couples)
        found[name] = Tally(found=red, trials=len(couples))
    return found


# --- in words -----------------------------------------------------------------------------------


def summary(calibration: Calibration, rule: Rule | None = None) -> str:
    """A calibration as a terminal shows it."""
    lines = []
    if calibration.gates:
        red = calibration.states.get("regression", 0)
        high = proportion(red, calibration.gates)[1]
        lines.append(
            f"{red} of {calibration.gates} gates of identical code went red; with 95 % confidence fewer than {100 * high:.2g} % do"
        )
        others = {state: number for state, number in calibration.states.items() if state not in ("pass", "regression")}
        lines += [f"{number} of them ended {state}" for state, number in sorted(others.items())]
    for name, tally in calibration.swapped.items():
        lines.append(f"decided again with the sides of {name} swapped at random: {tally.found} of {tally.trials} red")
    for name, tally in calibration.sequential.items():
        if tally.trials:
            share = 100 * tally.found / tally.trials
            lines.append(
                f"pytest-benchmark --benchmark-compare-fail={name} on the same runs: {tally.found} of {tally.trials} red ({share:.0f} %)"
            )
    effects = sorted(calibration.power, key=float)
    visible = detectable_effects(calibration, rule)
    rows = [["", "noise of a pair", "of runs in turn", "found from", *(f"+{effect} % found" for effect in effects)]]
    for name, noise in sorted(calibration.workloads.items()):
        seen = size(visible[name]) if math.isfinite(visible[name]) else "never"
        counts = [_count(calibration.power[effect].get(name)) for effect in effects]
        rows.append([name, size(noise.deviation), size(noise.sequential) if noise.sequential else "", seen, *counts])
    lines += ["", *aligned(rows)]
    if effects:
        lines.append(f"called faster although slower: {calibration.reversed}")
    return "\n".join(lines)


def _count(tally: Tally | None) -> str:
    return f"{tally.found} of {tally.trials}" if tally else ""
