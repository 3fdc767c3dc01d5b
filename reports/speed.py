"""Timings side by side: tables, a heat map, and advice in words.

Times are compared only within one setting (output, device, threads, cache mode) of one
environment, and never averaged across runs: of two runs in one folder the later one is shown.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports.record import BenchmarkProblem, Environment, Gap
from reports.spread import NOISY_DRIFT, NOISY_IQR
from reports.timings import Timing, conditions
from reports.untimed import Absent, absences, last
from reports.words import count, duration, listed, natural, percent, plural, times

WORTH_SAYING = 1.5
"""A ratio under this is no reason to change a program."""
FAR_FROM_LIMIT = 0.10

FORMS = {"values": "forward", "indices": "forward with indices", "gradient": "gradient"}
SAID = {"channels_first": "contiguous NCHW (channels_first)", "channels_last": "channels_last"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One timing beside the others of its workload. `repeats` counts earlier runs that it replaces."""

    timing: Timing
    ratio: float
    repeats: int = 0
    noise: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of it."""
        earlier = (f"the last of {self.repeats + 1} runs",) if self.repeats else ()
        return (*self.timing.remarks, *self.timing.notes, *(f"noisy: {why}" for why in self.noise), *earlier)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One workload in one setting: entries, fastest first, and what could not be timed."""

    workload: str
    output: str
    device: str
    threads: str
    mode: str
    source: str
    entries: tuple[Entry, ...]
    absent: tuple[Absent, ...] = ()

    @property
    def setting(self) -> str:
        """The setting in words, without what nobody said."""
        return in_words(self.output, self.device, self.threads, self.mode)

    @property
    def family(self) -> str:
        """The scaling family that it is a step of; "" for a layer of its own."""
        return next((entry.timing.family for entry in self.entries if entry.timing.family), "")


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """A ratio to the fastest and its shade in percent; or no ratio, a word instead and the reason."""

    ratio: float | None = None
    shade: int = 0
    word: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Ratios to the fastest in one setting: workloads down, (backend, layout) across."""

    setting: str
    series: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]


Point = tuple[float, float, float, float]
"""Where along the family, and the median and the quartiles of the time, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How the time of each series grows along a family of workloads ("window": 2, 3, 5, ...), or over threads."""

    family: str
    setting: str
    lines: tuple[tuple[str, tuple[Point, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Everything that a run's timings say."""

    blocks: tuple[Block, ...]
    heats: tuple[Heat, ...]
    advice: tuple[str, ...]
    warnings: tuple[str, ...]
    scaling: tuple[Scaling, ...] = ()
    untimed: tuple[BenchmarkProblem, ...] = ()

    @property
    def conditions(self) -> list[str]:
        """What the machine was set to, and how loaded it was before and after the timings."""
        return conditions(entry.timing for block in self.blocks for entry in block.entries)

    @property
    def doubtful(self) -> bool:
        """Whether so many timings were noisy that none should be acted on."""
        entries = [entry for block in self.blocks for entry in block.entries]
        return sum(bool(entry.noise) for entry in entries) > len(entries) / 4


def told(
    timings: Sequence[Timing], environment: Environment, untimed: Sequence[BenchmarkProblem] = (), gaps: Sequence[Gap] = ()
) -> Speed | None:
    """The tables and the advice of one environment's timings; None where there is nothing to tell.

    Gaps count here if their question names a workload.
    """
    if not timings and not untimed:
        return None
    timings, untimed = last(timings, untimed)
    blocks = tuple(_blocks(timings, absences(untimed, gaps)))
    return Speed(
        blocks=blocks,
        heats=tuple(_heats(layers(blocks))),
        advice=tuple(_advice(layers(blocks))),
        warnings=tuple(_warnings(blocks, environment)),
        scaling=(*_families(blocks), *_threads(blocks)),
        untimed=tuple(untimed),
    )


def layers(blocks: Sequence[Block]) -> Sequence[Block]:
    """The layers of networks, without the steps of scaling families, which have curves; all where there is nothing else."""
    return [block for block in blocks if not block.family] or blocks


def in_words(output: str, device: str = "cpu", threads: str = "", mode: str = "") -> str:
    """A setting in words, without what nobody said."""
    how_many = "1 thread" if threads == "1" else f"{threads} threads" if threads else ""
    said = [FORMS.get(output, output), "" if device == "cpu" else device, how_many, "" if mode == "warm" else mode]
    return ", ".join(part for part in said if part)


def _blocks(timings: Sequence[Timing], absent: Mapping[tuple[str, str], Sequence[Absent]]) -> Iterator[Block]:
    latest: dict[tuple[str, tuple[str, str, str, str], str], list[Timing]] = {}
    for timing in timings:
        latest.setdefault((timing.workload, timing.setting, timing.series), []).append(timing)
    together: dict[tuple[str, tuple[str, str, str, str]], list[tuple[Timing, int]]] = {}
    for (workload, setting, _), runs in latest.items():
        newest = max(runs, key=lambda timing: timing.created)
        together.setdefault((workload, setting), []).append((newest, len(runs) - 1))
    for (workload, setting), found in sorted(together.items(), key=lambda item: (_place(item[0][1][0]), item[0][1][1:])):
        output, device, threads, mode = setting
        found.sort(key=lambda pair: pair[0].spread.median)
        best = found[0][0].spread.median
        timed = {timing.series for timing, _ in found}
        here = (one for one in absent.get((workload, output), ()) if one.belongs(device, threads, mode))
        missing = {one.series: one for one in here if one.series not in timed}
        yield Block(
            workload=workload,
            output=output,
            device=device,
            threads=threads,
            mode=mode,
            source=next((timing.source for timing, _ in found if timing.source), ""),
            entries=tuple(
                Entry(timing=timing, ratio=timing.spread.median / best, repeats=repeats, noise=tuple(timing.spread.noise(timing.busy)))
                for timing, repeats in found
            ),
            absent=tuple(missing.values()),
        )


def _place(output: str) -> tuple[int, str]:
    known = ("values", "indices", "gradient")
    return (known.index(output) if output in known else len(known), output)


def _heats(blocks: Sequence[Block]) -> Iterator[Heat]:
    for setting in dict.fromkeys(block.setting for block in blocks):
        rows = [block for block in blocks if block.setting == setting]
        pairs = {(entry.timing.backend, entry.timing.layout) for block in rows for entry in block.entries}
        series = tuple(sorted(pairs, key=lambda pair: (natural(pair[0]), pair[1])))
        if len(rows) > 1 and len(series) > 1:
            yield Heat(setting=setting, series=series, rows=tuple((block.workload, _heat_row(block, series)) for block in rows))


def _heat_row(block: Block, series: Sequence[tuple[str, str]]) -> tuple[HeatCell, ...]:
    ratios = {(entry.timing.backend, entry.timing.layout): entry.ratio for entry in block.entries}
    missing = {(one.backend, one.layout): one for one in block.absent}
    cells = []
    for pair in series:
        if pair in ratios:
            # 1× is blank, 2× a third, 10× and more the darkest shade: what a reader should avoid stands out.
            shade = min(50, round(50 * math.log10(ratios[pair])))
            cells.append(HeatCell(ratio=ratios[pair], shade=shade))
        elif pair in missing:
            cells.append(HeatCell(word=missing[pair].status, why=missing[pair].message))
        else:
            cells.append(HeatCell(word="not run", why="not timed in this run"))
    return tuple(cells)


# --- words --------------------------------------------------------------------------------------


def _advice(blocks: Sequence[Block]) -> Iterator[str]:
    yield from _layouts(blocks)
    yield from _variants(blocks)
    yield from _fastest(blocks)
    yield from _limits(blocks)


def _apart(slow: Timing, fast: Timing) -> bool:
    """Whether two medians differ by more than their intervals leave open."""
    low = slow.spread.low if slow.spread.low is not None else slow.spread.q1
    high = fast.spread.high if fast.spread.high is not None else fast.spread.q3
    return low > high


def _layouts(blocks: Sequence[Block]) -> Iterator[str]:
    """What the other layout costs a backend, where it costs a lot, and where it is the other way round."""
    found: dict[tuple[str, str, str], dict[str, list[tuple[float, str]]]] = {}
    for block in blocks:
        layouts: dict[str, dict[str, Timing]] = {}
        for entry in block.entries:
            layouts.setdefault(entry.timing.backend, {})[entry.timing.layout] = entry.timing
        for backend, timed in layouts.items():
            if {"channels_first", "channels_last"} <= timed.keys():
                slow, fast = sorted(timed.values(), key=lambda timing: -timing.spread.median)
                if _apart(slow, fast):
                    sides = found.setdefault((backend, slow.reduction, block.setting), {})
                    sides.setdefault(slow.layout, []).append((slow.spread.median / fast.spread.median, block.workload))
    told = []
    for (backend, reduction, setting), by_layout in found.items():
        slow_layout = max(by_layout, key=lambda layout: (len(by_layout[layout]), sum(ratio for ratio, _ in by_layout[layout])))
        ratios = [ratio for ratio, _ in by_layout.pop(slow_layout)]
        others = [one for rest in by_layout.values() for one in rest if one[0] >= WORTH_SAYING]
        told.append((statistics.median(ratios), backend, reduction, setting, slow_layout, ratios, others))
    for middle, backend, reduction, setting, slow_layout, ratios, others in sorted(told, key=lambda one: (-round(one[0], 3), one[1:4])):
        if middle < WORTH_SAYING:
            continue
        fast_layout = "channels_last" if slow_layout == "channels_first" else "channels_first"
        what = f"{reduction} pooling" if reduction else "pooling"
        low, high = times(min(ratios)), times(max(ratios))
        reach = f", {low} to {high}" if low != high else ""
        of = f"median of {plural(len(ratios), 'workload')}{reach}" if len(ratios) > 1 else "one workload"
        but = listed(f"{name}, {times(ratio)}" for ratio, name in sorted(others, reverse=True))
        yield (
            f"{backend} {what} on {SAID[slow_layout]} takes {times(middle)} the time of {fast_layout} here ({setting}; {of}): "
            f"convert once, before the first layer.{f' The other way round on {but}.' if others else ''}"
        )


def _variants(blocks: Sequence[Block]) -> Iterator[str]:
    """Where a variant of a backend (compiled, say) beats the plain one, or loses to it."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for block in blocks:
        timed = {(entry.timing.backend, entry.timing.layout): entry.timing for entry in block.entries}
        for (backend, layout), timing in timed.items():
            plain = timed.get((backend.partition(":")[0], layout))
            if ":" in backend and plain is not None:
                ratio = plain.spread.median / timing.spread.median
                apart = _apart(plain, timing) if ratio > 1 else _apart(timing, plain)
                found.setdefault((backend, layout, block.setting), []).append(ratio if apart else 1.0)
    for (backend, layout, setting), ratios in sorted(found.items()):
        middle, plain_name = statistics.median(ratios), backend.partition(":")[0]
        of = f"median of {plural(len(ratios), 'workload')}" if len(ratios) > 1 else "one workload"
        where = ", ".join(part for part in (layout, setting) if part)
        if middle >= WORTH_SAYING:
            yield f"{plain_name} takes {times(middle)} the time of {backend} ({where}; {of}), compilation not counted: it pays in a loop."
        elif middle <= 1 / WORTH_SAYING:
            yield f"{backend} takes {times(1 / middle)} the time of {plain_name} ({where}; {of}): do not compile a pooling on its own."


def _fastest(blocks: Sequence[Block]) -> Iterator[str]:
    for setting in dict.fromkeys(block.setting for block in blocks):
        compared = [block for block in blocks if block.setting == setting and len(block.entries) > 1]
        if not compared:
            continue
        wins: dict[str, int] = {}
        for block in compared:
            winner = block.entries[0].timing.series
            wins[winner] = wins.get(winner, 0) + 1
        ranked = sorted(wins.items(), key=lambda item: (-item[1], item[0]))
        told = [f"{name} on {count(number)}" for name, number in ranked]
        yield f"Fastest of {plural(len(compared), 'workload')} ({setting}): {listed(told)}."


def _limits(blocks: Sequence[Block]) -> Iterator[str]:
    """How far from the machine's limit even the fastest stays."""
    for setting in dict.fromkeys(block.setting for block in blocks):
        far = []
        for block in blocks:
            reached = [entry.timing.fraction for entry in block.entries if entry.timing.fraction is not None]
            if block.setting == setting and reached and max(reached) < FAR_FROM_LIMIT:
                far.append((max(reached), block.workload))
        if far:
            far.sort()
            workloads = listed((f"{name} ({percent(share)})" for share, name in far), most=4)
            yield f"Even the fastest stays under a tenth of what this machine allows ({setting}) on {workloads}: there is room."


def _warnings(blocks: Iterable[Block], environment: Environment) -> Iterator[str]:
    entries = [(block, entry) for block in blocks for entry in block.entries]
    noisy = [(block, entry) for block, entry in entries if entry.noise]
    if noisy:
        block, entry = max(noisy, key=lambda pair: pair[1].timing.spread.relative_iqr)
        yield (
            f"{count(len(noisy))} of {plural(len(entries), 'timing')} were noisy: their rounds spread over more than {NOISY_IQR * 100:g} % "
            f"of the median or drifted by more than {NOISY_DRIFT * 100:g} %, or the machine had other work. "
            f"Worst: {block.workload} on {entry.timing.series}: {listed(entry.noise)}."
        )
    if marked := [(block, entry) for block, entry in entries if entry.timing.remarks]:
        block, entry = marked[0]
        yield (
            f"{count(len(marked))} of {plural(len(entries), 'timing')} were not of what their setting says: do not compare them with the "
            f"others. First: {block.workload} on {entry.timing.series}: {listed(entry.timing.remarks)}."
        )
    # What the environment says is of the start of the run, which may have been minutes before the first timing.
    load = max((load for _, entry in entries for load in entry.timing.load), default=environment.load)
    if load is not None and environment.cores and load > environment.cores:
        yield f"The machine had other work: a load of {load:g} on {plural(environment.cores, 'core')}."
    few = [entry for _, entry in entries if entry.timing.spread.low is None]
    if few:
        yield f"{plural(len(few), 'timing')} had too few rounds for a confidence interval, or kept only their summary."


# --- scaling ------------------------------------------------------------------------------------


def _families(blocks: Sequence[Block]) -> Iterator[Scaling]:
    found: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for block in blocks:
        for entry in block.entries:
            timing = entry.timing
            if timing.family and timing.position is not None:
                lines = found.setdefault((timing.family, block.setting), {})
                lines.setdefault(timing.series, []).append((timing.position, timing.spread.median, timing.spread.q1, timing.spread.q3))
    yield from _scalings(found)


def _threads(blocks: Sequence[Block]) -> Iterator[Scaling]:
    found: dict[tuple[str, str], dict[str, list[Point]]] = {}
    for block in blocks:
        if not block.threads.isdigit():
            continue
        for entry in block.entries:
            lines = found.setdefault((f"threads: {block.workload}", in_words(block.output, block.device, mode=block.mode)), {})
            spread = entry.timing.spread
            lines.setdefault(entry.timing.series, []).append((float(block.threads), spread.median, spread.q1, spread.q3))
    yield from _scalings(found)


def _scalings(found: dict[tuple[str, str], dict[str, list[Point]]]) -> Iterator[Scaling]:
    for (family, setting), lines in found.items():
        long = tuple((name, tuple(sorted(points))) for name, points in sorted(lines.items()) if len(points) > 1)
        if long:
            yield Scaling(family=family, setting=setting, lines=long)


def interval(timing: Timing) -> str:
    """The confidence interval of a median, in words."""
    if timing.spread.low is None or timing.spread.high is None:
        return "too few rounds"
    return f"{duration(timing.spread.low)} – {duration(timing.spread.high)}"
