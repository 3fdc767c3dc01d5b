"""A stored baseline: pytest-benchmark's JSON of an earlier run on this machine, where both sides cannot be measured together.

Two runs one after the other differ by what the machine does meanwhile, some ten times more than two workers in turns. So
the candidate is judged by the noise of sequential runs as it was calibrated here, and without a calibration not at all.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy import special

from benchmarks import gate_findings
from benchmarks.gate_calibration import Calibration, Noise, machine_of
from benchmarks.gate_data import METRICS, SCHEMA, Invalid, Machine, Pair, Run, Usage, require_seconds
from benchmarks.gate_decide import concluded, measured, moved
from benchmarks.gate_files import load
from benchmarks.gate_statistics import Rule, detectable, holm
from benchmarks.gate_verdict import Finding, Judgement, Verdict, size

ACCEPTED = "a stored baseline is a side of an earlier gate, gate-candidate.json or gate-baseline.json: `tox -e gate -- --null` writes them"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One workload of an earlier run: its median in seconds a call, by which clock, and the checksum of its answer."""

    workload: str
    seconds: float
    metric: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """An earlier run on this machine. `skipped` says which of its benchmarks cannot be compared, and why."""

    path: Path
    created: str
    backend: str
    version: str
    python: str
    workloads: Mapping[str, Stored]
    skipped: tuple[str, ...] = ()


def read(path: Path, where: Machine, backend: str) -> Baseline:
    """An earlier run from its file: `gate-candidate.json` or `gate-baseline.json` of a gate that ran to its end.

    Other files of pytest-benchmark are not taken: their rounds are single calls, placed otherwise than the gate's blocks, and may
    have other threads.

    Raises:
        Invalid: it is truncated, foreign or newer, of another machine, of a gate that was cut short, or has nothing of this backend.
    """
    found = load(path, "pytest-benchmark's JSON")
    entries = found.get("benchmarks")
    if not isinstance(entries, list):
        raise Invalid(f"{path}: not pytest-benchmark's JSON: it has no list of benchmarks")
    _require_machine(path, found.get("machine_info"), where)
    workloads: dict[str, Stored] = {}
    skipped: list[str] = []
    version = ""
    for number, entry in enumerate(entries):
        name = str(entry.get("name", number)) if isinstance(entry, Mapping) else str(number)
        try:
            extra = entry["extra_info"]
            if isinstance(newer := extra.get("gate"), int) and newer > SCHEMA:
                raise Invalid(f"{path}: a gate of schema {newer} wrote it, and this one reads {SCHEMA}: use that one")
            if why := _unfit(extra, backend):
                skipped.append(f"{name}: {why}")
                continue
            stored = _stored(entry, extra)
        except Invalid:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Invalid(f"{path}: benchmark {name}: {type(error).__name__}: {error}") from error
        workloads[stored.workload], version = stored, str(extra.get("version", ""))
    info = found["machine_info"]
    if workloads:
        skipped += _unmeasured(path, info["poolproof"], workloads)
    else:
        why = f": {skipped[0]}" if skipped else ""
        raise Invalid(f"{path}: no benchmark of {backend} that a gate could be compared with{why}")
    return Baseline(
        path=path, created=str(found.get("datetime", "")), backend=backend, version=version, python=str(info.get("python_version", "")),
        workloads=workloads, skipped=tuple(skipped),
    )  # fmt: skip


def _require_machine(path: Path, info: Any, where: Machine) -> None:
    said = info.get("poolproof") if isinstance(info, Mapping) else None
    if not isinstance(said, Mapping):
        raise Invalid(f"{path}: does not say on which machine it was measured; {ACCEPTED}")
    cpu = info.get("cpu") if isinstance(info.get("cpu"), Mapping) else {}
    theirs = said.get("fingerprint") or machine_of({"cpu": cpu.get("brand_raw"), "architecture": info.get("machine"), **said}).fingerprint
    if theirs != where.fingerprint:
        name = str(cpu.get("brand_raw") or "unknown")[:100]
        raise Invalid(f"{path}: measured on another machine ({str(theirs)[:40]}, {name}), and this one is {where.fingerprint}")


def _unmeasured(path: Path, said: Mapping[str, Any], workloads: Mapping[str, Stored]) -> list[str]:
    if said.get("partial") is not False:
        raise Invalid(f"{path}: not of a gate that ran to its end: it has fewer rounds and workloads than were asked for; measure it again")
    named = said.get("workloads")
    if not isinstance(named, list):
        raise Invalid(f"{path}: does not say which workloads its gate set out to measure: workloads={named!r}")
    return [f"{name}: that run could not measure it" for name in map(str, named) if name not in workloads]


def _unfit(extra: Mapping[str, Any], backend: str) -> str:
    if (other := str(extra.get("backend", ""))) != backend:
        return f"of {other or 'no backend'}, not of {backend}"
    if extra.get("gate") != SCHEMA:
        return f"its rounds are single calls, placed otherwise than a gate's blocks, and may have had other threads; {ACCEPTED}"
    return ""


def _stored(entry: Mapping[str, Any], extra: Mapping[str, Any]) -> Stored:
    stats = entry["stats"]
    rounds = require_seconds(stats["data"], "stats.data")
    if not rounds:
        raise ValueError("stats.data is empty")
    checksum, metric = extra["checksum"], extra["metric"]
    if not (isinstance(checksum, list) and checksum and all(isinstance(one, str) and one for one in checksum)):
        raise ValueError(f"checksum={checksum!r}: expected a list of them")
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r}: expected one of {', '.join(METRICS)}")
    return Stored(workload=str(extra["workload"]), seconds=statistics.median(rounds), metric=metric, checksum=str(checksum[0]))


# --- the verdict --------------------------------------------------------------------------------


def judge(
    run: Run, baseline: Baseline, calibration: Calibration | None, threshold: float | None = None, rule: Rule | None = None
) -> Verdict:
    """The verdict on a candidate that was measured alone, against a stored baseline; `threshold` is a share.

    Both workers of each pair of the run are the candidate's, so that its blocks lie as in any gate. Sentinels and coverage count as ever.
    """
    rule = rule or Rule()
    rule = rule if threshold is None else replace(rule, threshold=threshold)
    findings = [
        *(finding for finding in gate_findings.of_run(run, calibration) if finding.kind != "stored"), *gate_findings.of_coverage(run),
        *gate_findings.of_pairs(run), *moved(run, rule), *_answers(run, baseline),
        *(gate_findings.of_meaning(run.meaning) if run.only != "speed" else ()),
    ]  # fmt: skip
    findings += [Finding(kind="skipped", message=f"{baseline.path.name}: {why}") for why in baseline.skipped]
    found: list[tuple[str, float, float, Noise, Pair, int]] = []
    for name, pairs in _candidate(run).items():
        stored, noise = baseline.workloads.get(name), calibration.workloads.get(name) if calibration else None
        if stored is None:
            findings.append(
                Finding(kind="new", workload=name, message=f"{name} is not in the stored baseline: there is nothing to compare it with")
            )
        elif noise is None or not _known(noise):
            text = f"{name}: the noise of one run after the other is not calibrated here, and nothing can be said without: run --aa"
            findings.append(Finding(kind="calibration", workload=name, state="invalid", level="error", message=text))
        elif stored.metric != pairs[0].metric:
            text = f"{name}: the stored time is of the {stored.metric} clock, and this run's of {pairs[0].metric}"
            findings.append(Finding(kind="garbage", workload=name, state="invalid", level="error", message=text))
        else:
            times = [each for pair in pairs for quad in pair.quads for each in quad.seconds]
            found.append((name, stored.seconds, statistics.median(times), noise, pairs[0], len(pairs)))
    differing = {finding.workload for finding in findings if finding.kind == "different"}
    judgements = _judged(found, differing, rule)
    if judgements:
        findings.append(_weaker(judgements, calibration, rule))
    return concluded(run, judgements, findings, rule, calibration is not None)


def require_threshold(threshold: float, calibration: Calibration | None, workloads: Iterable[str], rule: Rule | None = None) -> None:
    """Refuse a threshold (a share) that a user asks for and that one run after the other cannot tell from noise on this machine.

    Raises:
        Usage: it is too low; the message has the number that is not.
    """
    rule = rule or Rule()
    known = {name: noise for name in workloads if calibration and (noise := calibration.workloads.get(name)) and _known(noise)}
    if not known:
        return
    worst = max(known, key=lambda name: known[name].sequential)
    floor = math.expm1(min(rule.errors * known[worst].sequential, 50.0))
    if threshold < floor:
        raise Usage(
            f"threshold {size(threshold)}: against a stored baseline the noise of {worst}, one run after the other on this machine, allows "
            f"{math.ceil(1e3 * floor) / 10:.1f} % at least; give that, leave the workload out with -k, or measure both sides"
        )


def _known(noise: Noise) -> bool:
    return noise.sequential > 0 and noise.runs >= 3


def _candidate(run: Run) -> dict[str, list[Pair]]:
    every = measured(pair for pair in run.pairs if not pair.sentinel)
    return {one.workload: [pair for pairs in one.stages.values() for pair in pairs] for one in every}


def _judged(found: list[tuple[str, float, float, Noise, Pair, int]], differing: set[str], rule: Rule) -> list[Judgement]:
    delta = math.log1p(rule.delta)
    ps = [
        tuple(float(special.stdtr(noise.runs - 1, (delta - sign * math.log(now / before)) / noise.sequential)) for sign in (1, -1))
        for _, before, now, noise, _, _ in found
    ]
    slower, faster = (holm([p[side] for p in ps]) for side in (0, 1))
    judgements = []
    for place, (name, before, now, noise, pair, number) in enumerate(found):
        log, free = math.log(now / before), noise.runs - 1
        needed = max(math.log1p(rule.threshold), rule.errors * noise.sequential)
        half = noise.sequential * float(special.stdtrit(free, 1 - (1 - rule.confidence) / (2 * len(found))))
        state, message = "pass", ""
        if name in differing:
            state, message = "different", "its answers differ, so its speed says nothing"
        elif slower[place] <= rule.alpha and log >= needed:
            state = "regression"
        elif ps[place][0] < rule.screen_p and log > rule.screen_share * needed:
            state, message = "inconclusive", "it may be slower; a stored baseline cannot tell: measure both sides"
        elif faster[place] <= rule.alpha and -log >= needed:
            state = "improvement"
        judgements.append(
            Judgement(
                workload=name, state=state, stage=0, pairs=number, estimate=math.expm1(log), low=math.expm1(log - half),
                high=math.expm1(log + half), p=faster[place] if state == "improvement" else slower[place], threshold=math.expm1(needed),
                detectable=_visible(noise, needed, rule), calibrated=True, seconds=(before, now), metric=pair.metric, message=message,
            )
        )  # fmt: skip
    return judgements


def _visible(noise: Noise, needed: float, rule: Rule) -> float:
    """The slowdown that is found 95 times in 100, where it is the only one."""
    critical = math.log1p(rule.delta) + noise.sequential * float(special.stdtrit(noise.runs - 1, 1 - rule.alpha))
    return math.expm1(max(needed, critical) + noise.sequential * float(special.stdtrit(noise.runs - 1, 0.95)))


def _weaker(judgements: list[Judgement], calibration: Calibration | None, rule: Rule) -> Finding:
    worst = max(judgements, key=lambda one: one.detectable)
    known = calibration.deviation(worst.workload) if calibration else None
    beside = f", where both sides measured in turns would show {size(detectable(known, rule))}" if known else ""
    text = f"against a stored baseline a slowdown of {worst.workload} under {size(worst.detectable)} may go unseen{beside}"
    return Finding(kind="stored", level="warning", message=text)


def _answers(run: Run, baseline: Baseline) -> Iterator[Finding]:
    yield from gate_findings.of_answers(run)
    for name, pairs in _candidate(run).items():
        stored = baseline.workloads.get(name)
        now = {checksum for pair in pairs for checksum in pair.checksums}
        if stored and stored.checksum not in now:
            conforming = all(pair.conforming for pair in pairs)
            text = f"{name} answers with other bits than the stored baseline (sha256 {stored.checksum[:12]} was, {min(now)[:12]} is)"
            if conforming:
                yield Finding(kind="rounding", workload=name, message=f"{text}; this one lies within the bound of the definition")
            else:
                yield Finding(kind="different", workload=name, state="coverage", level="error", message=text)
