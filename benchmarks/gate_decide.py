"""From what was measured to a verdict: which workloads need more pairs, what each one shows, what the run is worth.

The pair is the unit, never the round. Screening chooses, and the pairs measured after it decide alone, so that the choice
costs nothing in error rate. Red needs two things: Holm's p, over the confirmed workloads and both looks at them, at most
alpha; and an effect of at least the threshold, and of three standard errors of identical code.

Nothing ends as a pass by default: a run passes when every workload it set out to compare was compared, the nulls
stood still, and no finding speaks against it.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import gate_findings
from benchmarks.gate_calibration import Calibration
from benchmarks.gate_data import Pair, Run
from benchmarks.gate_statistics import Rule, Sample, detectable, holm, interval, least_visible, p_above, p_above_known, p_moved, sample
from benchmarks.gate_verdict import Finding, Judgement, Verdict, percent

LOOKS = 2
"""How often confirmed pairs may be looked at: after the first ten and after the second."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The pairs of one workload, stage by stage."""

    workload: str
    stages: Mapping[int, tuple[Pair, ...]]

    @property
    def stage(self) -> int:
        """The last stage that was measured."""
        return max(self.stages)

    @property
    def deciding(self) -> tuple[Pair, ...]:
        """The pairs that decide: screening's, or else all that came after screening."""
        if self.stage == 0:
            return self.stages[0]
        return tuple(pair for stage, pairs in self.stages.items() if stage for pair in pairs)

    def sample(self, *, screening: bool = False) -> Sample:
        """The log-ratios of the deciding pairs summed up, or of screening's."""
        return sample([pair.log_ratio for pair in (self.stages.get(0, ()) if screening else self.deciding)])

    def enough(self, rule: Rule) -> bool:
        """Whether every stage has the pairs that it must have."""
        return 0 in self.stages and all(len(self.stages.get(stage, ())) >= rule.pairs[stage] for stage in range(self.stage + 1))

    def seconds(self, role: str) -> float:
        """The median of one call."""
        return statistics.median(time for pair in self.deciding for quad in pair.quads for time in quad.blocks(role))


def measured(pairs: Iterable[Pair]) -> list[Measured]:
    """Pairs by workload, in the order in which they come."""
    found: dict[str, dict[int, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        found[pair.workload][pair.stage].append(pair)
    return [
        Measured(workload=name, stages={stage: tuple(pairs) for stage, pairs in sorted(stages.items())}) for name, stages in found.items()
    ]


def compared(pairs: Iterable[Pair]) -> list[Measured]:
    """Baseline against candidate alone: neither sentinels nor the baseline against itself."""
    return measured(pair for pair in pairs if not pair.sentinel and not pair.null)


def suspicious(
    pairs: Sequence[Pair], calibration: Calibration | None = None, threshold: float | None = None, rule: Rule | None = None
) -> tuple[str, ...]:
    """The workloads that need the pairs of their next stage: maybe slower, and not yet known to be.

    `threshold` is a share. A workload whose answers differ is not measured on: no speed of it would count.
    """
    rule = _with(rule, threshold)
    every = [one for one in compared(pairs) if not gate_findings.differing(one.deciding)]
    red = {one.workload for one, (p, _) in zip(every, _tests(every, rule), strict=True) if _red(one, p, calibration, rule)}
    return tuple(
        one.workload for one in every if one.stage < 2 and one.workload not in red and _suspect(one.sample(), one, calibration, rule)
    )


def decide(run: Run, calibration: Calibration | None = None, threshold: float | None = None, rule: Rule | None = None) -> Verdict:
    """The verdict on a run; `threshold` is a share, that of the rule by default.

    Damage in the run is a verdict too, never an exception: invalid, or coverage.
    """
    rule = _with(rule, threshold)
    findings = [
        *gate_findings.of_run(run, calibration),
        *gate_findings.of_coverage(run),
        *gate_findings.of_answers(run),
        *(gate_findings.of_meaning(run.meaning) if run.only != "speed" else ()),
    ]
    judgements: list[Judgement] = []
    if run.only != "meaning":
        findings += [*moved(run, rule), *gate_findings.of_pairs(run)]
        if calibration is None:
            findings.append(_uncalibrated())
        judgements = judge(run.pairs, calibration, rule)
    return concluded(run, judgements, findings, rule, calibration is not None)


def judge(pairs: Sequence[Pair], calibration: Calibration | None, rule: Rule) -> list[Judgement]:
    """What each workload shows."""
    every = compared(pairs)
    tests = _tests(every, rule)
    return [
        _judgement(one, p, improved, family=len(every), calibration=calibration, rule=rule)
        for one, (p, improved) in zip(every, tests, strict=True)
    ]


def concluded(run: Run, judgements: Sequence[Judgement], findings: Sequence[Finding], rule: Rule, calibrated: bool) -> Verdict:
    """One state from all of it, the gravest first; whatever is missing keeps it from passing."""
    told = [*findings, *_incomplete(run, judgements, findings)]
    states = Counter(finding.state for finding in told)
    states.update(one.state for one in judgements)
    if states["coverage"] or states["different"]:
        state = "coverage"
    elif states["invalid"]:
        state = "invalid"
    elif states["regression"]:
        state = "regression"
    else:
        state = "inconclusive" if states["inconclusive"] else "pass"
    verdict = Verdict(
        state=state, headline="", judgements=tuple(judgements), findings=tuple(told), rule=rule, calibrated=calibrated
    )  # fmt: skip
    return replace(verdict, headline=gate_findings.headline(run, verdict))


# --- one workload -------------------------------------------------------------------------------


def _tests(every: Sequence[Measured], rule: Rule) -> list[tuple[float, float]]:
    """For each workload the adjusted p of being slower, and of being faster.

    Those that were confirmed are a family of their own: by pairs that had no say in choosing them. Faster is tested on
    screening's pairs of all workloads, since nothing was chosen for being fast.
    """
    delta = math.log1p(rule.delta)
    slower, faster = [1.0] * len(every), [1.0] * len(every)
    for confirmed in (False, True):
        family = [place for place, one in enumerate(every) if (one.stage > 0) == confirmed]
        for place, p in zip(family, holm([p_above(every[place].sample(), delta) for place in family]), strict=True):
            slower[place] = min(1.0, p * LOOKS) if confirmed else p
    screened = [place for place, one in enumerate(every) if 0 in one.stages]
    mirrored = [_mirrored(every[place].sample(screening=True)) for place in screened]
    for place, p in zip(screened, holm([p_above(one, delta) for one in mirrored]), strict=True):
        faster[place] = p
    return list(zip(slower, faster, strict=True))


def _mirrored(given: Sample) -> Sample:
    return Sample(number=given.number, mean=-given.mean, median=-given.median, deviation=given.deviation)


def _deviation(one: Measured, calibration: Calibration | None) -> tuple[float, bool]:
    """The noise of a pair as it was calibrated, or else that of these pairs; and which of the two."""
    known = calibration.deviation(one.workload) if calibration else None
    return (known, True) if known is not None else (one.sample().deviation, False)


def _needed(one: Measured, calibration: Calibration | None, rule: Rule, *, screening: bool) -> float:
    """The least effect (a logarithm) that may be called red."""
    number = rule.pairs[1] if screening else len(one.deciding)
    return math.log1p(least_visible(_deviation(one, calibration)[0], number, rule))


def _suspect(given: Sample, one: Measured, calibration: Calibration | None, rule: Rule) -> bool:
    """Maybe slower: a p that is small by itself, and a good part of the threshold.

    Screening, which decides nothing, takes the calibrated noise and the median too: an odd pair must not hide a slowdown.
    After the first confirmation whatever may still reach the threshold is measured once more.
    """
    least = rule.screen_share * _needed(one, calibration, rule, screening=one.stage == 0)
    if one.stage == 1:
        return given.mean > least
    delta = math.log1p(rule.delta)
    suspect = p_above(given, delta) < rule.screen_p and given.mean > least
    known = calibration.deviation(one.workload) if calibration else None
    if suspect or one.stage or known is None:
        return suspect
    most = max(given.mean, given.median)
    return most > least and p_above_known(most, given.number, delta, known) < rule.screen_p


def _red(one: Measured, p: float, calibration: Calibration | None, rule: Rule) -> bool:
    needed = _needed(one, calibration, rule, screening=False)
    return one.stage > 0 and one.enough(rule) and p <= rule.alpha and one.sample().least >= needed


def _judgement(one: Measured, p: float, improved: float, *, family: int, calibration: Calibration | None, rule: Rule) -> Judgement:
    given, needed = one.sample(), _needed(one, calibration, rule, screening=False)
    deviation, calibrated = _deviation(one, calibration)
    state, message = _state(one, p, improved, calibration, rule)
    low, high = interval(given, family, rule.confidence)
    return Judgement(
        workload=one.workload, state=state, stage=one.stage, pairs=given.number, estimate=_share(given.mean), low=_share(low),
        high=_share(high), p=improved if state == "improvement" else p, threshold=math.expm1(needed),
        detectable=detectable(deviation, rule), calibrated=calibrated, seconds=(one.seconds("baseline"), one.seconds("candidate")),
        metric=one.deciding[0].metric, message=message,
    )  # fmt: skip


def _state(one: Measured, p: float, improved: float, calibration: Calibration | None, rule: Rule) -> tuple[str, str]:
    if gate_findings.differing(pair for pairs in one.stages.values() for pair in pairs):
        return "different", "its answers differ, so its speed says nothing"
    if not one.enough(rule):
        counts = ", ".join(f"{len(one.stages.get(stage, ()))} of {rule.pairs[stage]}" for stage in range(one.stage + 1))
        return "inconclusive", f"too few pairs were measured: {counts}"
    if _red(one, p, calibration, rule):
        return "regression", ""
    if _suspect(one.sample(), one, calibration, rule):
        return "inconclusive", "it may be slower, and was not measured again" if one.stage < 2 else "still undecided after all pairs"
    screened = _mirrored(one.sample(screening=True))
    needed = math.log1p(least_visible(_deviation(one, calibration)[0], screened.number, rule))
    if one.stage == 0 and improved <= rule.alpha and screened.least >= needed:
        return "improvement", ""
    return "pass", ""


def _share(log: float) -> float:
    return math.expm1(min(log, 700.0))


# --- what must stand still ----------------------------------------------------------------------


def moved(run: Run, rule: Rule) -> Iterable[Finding]:
    """Sentinels, and the baseline against itself: neither can change, so a run in which one moves measured something else.

    Workloads of one null pair share its processes. They are counted as if they did not: one odd process is reason enough to doubt.
    """
    sentinels = measured(pair for pair in run.pairs if pair.sentinel)
    if not sentinels:
        yield Finding(
            kind="sentinel", state="invalid", level="error", message="no sentinel was measured: nothing shows that the machine stood still"
        )
    samples = [
        (f"the sentinel {one.workload}", one.workload, [pair.log_ratio for pair in pairs])
        for one in sentinels
        for pairs in one.stages.values()
    ]
    if len(nulls := [pair.log_ratio for pair in run.pairs if pair.null]) > 2:
        samples.append(("the baseline against itself", "", nulls))
    for one in sentinels:
        if len(one.stages.get(0, ())) < rule.pairs[0]:
            text = f"the sentinel {one.workload} has {len(one.stages.get(0, ()))} of {rule.pairs[0]} pairs"
            yield Finding(kind="sentinel", workload=one.workload, state="invalid", level="error", message=text)
    for name, workload, logs in samples:
        given = sample(logs)
        p = p_moved(given, math.log1p(rule.delta)) * len(samples)
        if given.number > 2 and p <= rule.alpha and abs(given.least) >= math.log1p(rule.threshold):
            text = f"{name} moved by {percent(_share(given.mean))} (p = {p:.1g}), and cannot have: something else on the machine did"
            yield Finding(kind="sentinel", workload=workload, state="invalid", level="error", message=text)


def _incomplete(run: Run, judgements: Sequence[Judgement], findings: Sequence[Finding]) -> Iterable[Finding]:
    """What was to be compared and was not, with nobody saying why."""
    if run.only == "meaning":
        return
    seen = {one.workload for one in judgements} | {event.workload for event in run.uncovered}
    seen |= {finding.workload for finding in findings if finding.kind == "new" or finding.state != "pass"}
    for workload in run.workloads:
        if workload not in seen:
            text = f"{workload} was to be compared, and was not measured"
            yield Finding(kind="incomplete", workload=workload, state="invalid", level="error", message=text)
    if not judgements:
        yield Finding(kind="incomplete", state="invalid", level="error", message="no workload was compared")


def _with(rule: Rule | None, threshold: float | None) -> Rule:
    rule = rule or Rule()
    return rule if threshold is None else replace(rule, threshold=threshold)


def _uncalibrated() -> Finding:
    text = "this machine is not calibrated (--aa does it): what could have been seen is judged from this run's own pairs"
    return Finding(kind="uncalibrated", message=text)
