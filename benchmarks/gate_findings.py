"""What a run shows beside its speeds: coverage, answers, meaning, and whether it can be believed at all."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks.gate_calibration import Calibration
from benchmarks.gate_data import Pair, Run
from benchmarks.gate_verdict import Finding, Judgement, Verdict, percent, size

LISTS = {
    "newly_diverging": ("coverage", "error", "now diverges"),
    "newly_unsupported": ("pass", "warning", "is no longer supported"),
    "newly_conforming": ("pass", "notice", "now conforms"),
    "newly_supported": ("pass", "notice", "is now supported"),
}


def of_run(run: Run, calibration: Calibration | None) -> Iterator[Finding]:
    """Whether the run is whole, and judged by the noise of its own machine."""

    def invalid(kind: str, message: str) -> Finding:
        return Finding(kind=kind, state="invalid", level="error", message=message)

    if run.partial or not run.finished:
        why = "".join(f", {note}" for note in run.notes if note.startswith(("stopped: ", "interrupted")))
        yield invalid("partial", f"the run was cut short{why}: what it had measured until then is kept, and proves nothing")
    if not run.workloads and run.only != "meaning":
        yield invalid("incomplete", "there was nothing to compare: no workload was chosen, or the sides have none in common")
    if run.sides[0].kind == "stored" and run.only != "meaning":
        yield invalid("stored", "a stored baseline was not measured beside the candidate, and is judged by another rule")
    if calibration is not None and calibration.machine.fingerprint != run.machine.fingerprint:
        theirs, ours = calibration.machine.fingerprint, run.machine.fingerprint
        yield invalid("calibration", f"the calibration is of another machine ({theirs}) than the run ({ours}): calibrate here with --aa")
    if calibration is not None and calibration.backend != run.sides[0].backend:
        yield invalid("calibration", f"the calibration is of {calibration.backend}, and the baseline runs {run.sides[0].backend}")


def of_pairs(run: Run) -> Iterator[Finding]:
    """Pairs that contradict each other or the run."""

    def invalid(workload: str, message: str) -> Finding:
        return Finding(kind="garbage", workload=workload, state="invalid", level="error", message=message)

    known = set(run.workloads)
    told = set()
    metrics: dict[tuple[str, bool], set[str]] = {}
    for pair in run.pairs:
        metrics.setdefault((pair.workload, pair.sentinel), set()).add(pair.metric)
        if not pair.sentinel and pair.workload not in known and pair.workload not in told:
            told.add(pair.workload)
            yield invalid(pair.workload, f"{pair.workload} was measured, and is none of the workloads of this run")
    for (workload, _), several in metrics.items():
        if len(several) > 1:
            yield invalid(workload, f"{workload} was measured by different clocks: {', '.join(sorted(several))}")
    numbers = Counter((pair.workload, pair.stage, pair.number, pair.null, pair.sentinel) for pair in run.pairs)
    for (workload, stage, number, *_), times in numbers.items():
        if times > 1:
            yield invalid(workload, f"{workload}: pair {number} of stage {stage} stands here {times} times")


def of_coverage(run: Run) -> Iterator[Finding]:
    """What was not compared. A new workload loses nothing; what the baseline alone could not do is no fault of the candidate."""
    words = {
        "missing": "is gone", "new": "is new: there is nothing to compare it with", "renamed": "has another name", "skipped": "was skipped",
        "failed": "failed", "wrong": "answers wrongly", "died": "killed its process", "hung": "did not answer in time",
        "garbage": "answered what cannot be read",
    }  # fmt: skip
    for event in run.uncovered:
        if event.kind == "new":
            state, level = "pass", "notice"
        elif event.kind == "garbage" or (event.side == "baseline" and event.kind in ("failed", "died", "hung")):
            state, level = "invalid", "error"
        else:
            state, level = "coverage", "error"
        where = "" if event.side == "both" and event.kind in ("missing", "new", "renamed") else f" on {_sides(event.side)}"
        text = f"{event.workload or 'the whole side'} {words[event.kind]}{where}" + (f": {event.message}" if event.message else "")
        yield Finding(kind=event.kind, workload=event.workload, side=event.side, state=state, level=level, message=text)


def _sides(side: str) -> str:
    return "both sides" if side == "both" else f"the {side}'s side"


def differing(pairs: Iterable[Pair]) -> bool:
    """Whether the answers of a workload differ, between the sides or from one process to the next, and nobody found both right."""
    return len({checksum for pair in pairs if not pair.conforming for checksum in pair.checksums}) > 1


def of_answers(run: Run) -> Iterator[Finding]:
    """Workloads whose two sides answer with different bits."""
    by_workload: dict[tuple[str, bool], list[Pair]] = {}
    for pair in run.pairs:
        by_workload.setdefault((pair.workload, pair.sentinel), []).append(pair)
    for (workload, _), pairs in by_workload.items():
        if len({checksum for pair in pairs for checksum in pair.checksums}) == 1:
            continue
        alone = [{pair.checksums[side] for pair in pairs} for side in (0, 1)]
        if any(len(sums) > 1 for sums in alone):
            text = f"{workload} does not give the same answer each time it is asked"
        else:
            text = f"{workload} answers with other bits than the baseline (sha256 {_short(alone[0])} was, {_short(alone[1])} is)"
        if differing(pairs):
            yield Finding(kind="different", workload=workload, state="coverage", level="error", message=text)
        else:
            text += "; both lie within the bound of the definition"
            yield Finding(kind="rounding", workload=workload, message=text)


def _short(sums: set[str]) -> str:
    return min(sums)[:12]


def of_meaning(meaning: Any) -> Iterator[Finding]:
    """What the semantic gate found; whatever it does not say in full leaves the run incomplete."""

    def incomplete(message: str) -> Finding:
        return Finding(kind="meaning", state="invalid", level="error", message=message)

    if not isinstance(meaning, Mapping):
        yield incomplete("the conformance of the two sides was not compared")
        return
    compared = meaning.get("compared")
    if isinstance(compared, bool) or not isinstance(compared, int) or compared < 1:
        yield incomplete(f"the conformance of the two sides was not compared: compared={compared!r}")
    problems = meaning.get("problems")
    if not isinstance(problems, list | tuple):
        yield incomplete(f"the comparison of conformance is not whole: problems={problems!r}")
    else:
        yield from (incomplete(f"the comparison of conformance is not whole: {problem}") for problem in problems)
    for name, (state, level, words) in LISTS.items():
        entries = meaning.get(name)
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
            yield incomplete(f"the comparison of conformance is not whole: {name}={entries!r}")
            continue
        for entry in entries:
            law, case, message = (str(entry.get(key) or "") for key in ("law", "case", "message"))
            text = f"{law or 'a case'} {words}" + (f": {message}" if message else "")
            yield Finding(kind=name, state=state, level=level, message=text, case=f"{law}: {case}" if law and case else case)
    bits = meaning.get("different_bits")
    if isinstance(bits, Mapping) and bits.get("cases"):
        text = f"{bits['cases']} cases give other bits with the same verdict, at most {bits.get('largest', 'an unknown amount')} apart"
        yield Finding(kind="different_bits", message=text, case=str(bits.get("case") or ""))
        if unjudged := bits.get("unjudged"):
            text = f"{unjudged} of them were not held against the definition again: whether they deviate now in a known way is not said"
            yield Finding(kind="different_bits", level="warning", message=text)


# --- the first line -----------------------------------------------------------------------------


def headline(run: Run, verdict: Verdict) -> str:
    """The verdict in one line."""
    speeds = _speeds(verdict)
    match verdict.state:
        case "pass":
            return _passed(run, verdict)
        case "regression":
            return f"Slower: {speeds}."
        case "coverage":
            grave = [finding.message for finding in verdict.findings if finding.state == "coverage"]
            also = f" Also slower: {speeds}." if speeds else ""
            return f"Not the same: {_first(grave)}.{also}"
        case "invalid":
            return f"No verdict: {_first([finding.message for finding in verdict.findings if finding.state == 'invalid'])}."
    undecided = verdict.having("inconclusive")
    also = f" Slower: {speeds}." if speeds else ""
    return f"Undecided: {_first([f'{one.workload} {percent(one.estimate)} ({one.message})' for one in undecided])}.{also}"


def _passed(run: Run, verdict: Verdict) -> str:
    parts = []
    if run.only != "meaning":
        number = len(verdict.judgements)
        parts.append(f"none of {number} workloads is slower" if number != 1 else "the one workload is not slower")
        visible = max(one.detectable for one in verdict.judgements)
        parts.append(
            f"a slowdown of {size(visible)} would have been seen in each" if visible < 1 else "but the noise would hide a lot in some"
        )
        if faster := verdict.having("improvement"):
            parts.append(f"faster: {_named(faster)}")
    if run.only != "speed" and run.meaning:
        parts.append(f"{run.meaning['compared']:,} answers conform as before")
    text = "; ".join(parts)
    return f"Passed: {text}."


def _speeds(verdict: Verdict) -> str:
    return _named(verdict.having("regression"))


def _named(judgements: Iterable[Judgement], most: int = 3) -> str:
    every = list(judgements)
    named = [f"{one.workload} {percent(one.estimate)}" for one in every[:most]]
    return ", ".join(named) + (f" and {len(every) - most} more" if len(every) > most else "")


def _first(messages: list[str]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return (messages[0].rstrip(".") if messages else "nothing was measured") + more
