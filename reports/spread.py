"""What repeated timings say: a median, how surely it is known, how far the rounds lie apart, and what is said of that by rule.

Medians and quartiles, because timings are skewed: a few rounds that the system interrupted would
move a mean, and say nothing about the code. The harness's own table and the report go by the same rules.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.words import duration, percent, plural, times

NOISY_IQR, NOISY_DRIFT, NOISY_CORES = 0.10, 0.05, 0.25
"""A timing is noisy by rule: its middle half spreads over more than 10 % of the median, its later rounds differ by more than
5 % from the earlier ones, or others kept more than a quarter of a core busy meanwhile."""
MORE_CORES, ENOUGH_PROCESSOR = 0.25, 0.05
"""A timing is remarked on where it computed on a quarter of a core more than the threads that were asked for; less processor
time than 0.05 s tells too little, since some systems count it in steps of 0.016 s."""
BEYOND = 1.1
"""A timing is remarked on where its limit takes so many times as long as it did."""
LAUNCHING = 0.9
"""A timing on a device is bound by launching where the host takes this share of it, or more, to launch."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Seconds: the median with its confidence interval, and the quartiles.

    `low` and `high` are None where there are too few rounds for an interval (under 6), or where
    the rounds themselves were not kept. `drift` is the median of the second half of the rounds
    over that of the first.
    """

    median: float
    low: float | None
    high: float | None
    q1: float
    q3: float
    rounds: int
    drift: float | None = None

    @property
    def relative_iqr(self) -> float:
        """The interquartile range as a share of the median."""
        return (self.q3 - self.q1) / self.median

    def noise(self, busy: float = 0.0) -> Iterator[str]:
        """Why this timing is noisy; nothing where no rule says so. `busy`: cores that others kept busy meanwhile."""
        if self.relative_iqr > NOISY_IQR:
            yield f"its rounds spread over {percent(self.relative_iqr)} of the median"
        if self.drift is not None and abs(math.log(self.drift)) > math.log(1 + NOISY_DRIFT):
            yield f"it drifted: the later half of its rounds took {times(self.drift)} the time of the first"
        if busy > NOISY_CORES:
            yield f"others kept {busy:.1f} cores busy meanwhile"

    def remarks(self, facts: Mapping[str, Any]) -> Iterator[str]:
        """Where this timing is not of what its setting says, by what was measured with it (pytest-benchmark's `extra_info`)."""
        threads, said = (_number(facts, *names) for names in (("threads_asked", "threads"), ("threads_said",)))
        cores, processor, launching = (float(facts.get(name, 0) or 0) for name in ("cores_used", "processor_seconds", "launch_seconds"))
        asked = f"where {plural(threads, 'thread')} {'was' if threads == 1 else 'were'} asked for"
        if threads and cores > threads + MORE_CORES and processor >= ENOUGH_PROCESSOR:
            yield f"it computed on {cores:.1f} cores {asked}"
        elif threads and said > threads:
            yield f"its backend says that it has {said} threads {asked}"
        if (least := float(facts.get("limit", 0) or 0)) > BEYOND * self.median:
            why = "measured while the machine was slower, or reading is faster than copying"
            yield f"it reached {least / self.median:.0%} of its limit: {why}"
        if launching >= LAUNCHING * self.median:
            yield f"it is bound by launching, for which the host takes {duration(launching)}: the device may be faster"


def of(rounds: Sequence[float]) -> Spread:
    """The spread of timings in seconds, in the order in which they were taken.

    Raises:
        ValueError: there are none, or one is not a positive finite number (a clock that stood still).
    """
    if not rounds:
        raise ValueError("no rounds")
    for number, value in enumerate(rounds):
        if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
            raise ValueError(f"round {number} took {value!r} s: a time is a positive number")
    ranked = sorted(rounds)
    n = len(ranked)
    rank = median_rank(n)
    half = n // 2
    return Spread(
        median=quantile(ranked, 0.5),
        low=ranked[rank - 1] if rank else None,
        high=ranked[n - rank] if rank else None,
        q1=quantile(ranked, 0.25),
        q3=quantile(ranked, 0.75),
        rounds=n,
        drift=quantile(sorted(rounds[half:]), 0.5) / quantile(sorted(rounds[:half]), 0.5) if half >= 3 else None,
    )


def _number(facts: Mapping[str, Any], *names: str) -> int:
    """The first of these facts that somebody gave, 0 where it is not a count."""
    text = str(next((facts[name] for name in names if name in facts), ""))
    return int(text) if text.isdecimal() else 0


def quantile(ranked: Sequence[float], share: float) -> float:
    """The quantile of sorted values, linear between neighbours (Hyndman and Fan's type 7, NumPy's default)."""
    place = (len(ranked) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


@functools.lru_cache(maxsize=256)
def median_rank(n: int) -> int:
    """The rank r such that the r-th smallest and the r-th largest of n values enclose the median, with 95 % confidence.

    Order statistics: the number of values below the true median is binomial(n, 1/2), whatever
    the distribution (David and Nagaraja, Order Statistics, section 7.1). 0 where n is too small.
    """
    if n > 1000:  # the normal approximation is off by less than one rank
        return math.floor((n - 1.959964 * math.sqrt(n)) / 2)
    term, tail, rank = 1, 0, 0
    for k in range(n // 2):
        tail += term
        if tail > 0.025 * 2**n:
            break
        rank = k + 1
        term = term * (n - k) // (k + 1)
    return rank
