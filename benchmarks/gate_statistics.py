"""The arithmetic of the verdict: tests on the log-ratios of pairs, their intervals, what they can see.

Everything is in natural logarithms of candidate over baseline; a share of 0.05 is `log1p(0.05)`. `scipy.special` has the
distributions of `scipy.stats` in half the memory and a third of the time to import.
"""

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The numbers by which a run is judged; effects are shares (0.03 is 3 % slower).

    `delta` is what layout in memory alone can do: the hypothesis is that a workload is no slower than that. `threshold`
    is the least effect that is worth a red run. `pairs` are those of screening, confirmation, and the ones after that.
    A workload is confirmed where screening gives p under `screen_p` and more than `screen_share` of the threshold, by the pairs' own
    spread or by the calibrated one, which an odd pair does not widen; it is measured once more while more than that share is left.
    """

    alpha: float = 0.01
    delta: float = 0.01
    threshold: float = 0.03
    screen_p: float = 0.05
    screen_share: float = 0.6
    pairs: tuple[int, int, int] = (6, 10, 10)
    errors: float = 3.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        for name in ("alpha", "delta", "screen_p", "screen_share", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a share between 0 and 1")
        if not self.delta < self.threshold < math.inf:
            raise ValueError(f"threshold={self.threshold!r}: expected more than {self.delta:g}, which layout in memory alone can do")
        if len(self.pairs) != 3 or min(self.pairs) < 3:
            raise ValueError(f"pairs={self.pairs!r}: expected three numbers, at least 3")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The log-ratios of some pairs, summed up; `error` is the standard error of the mean, infinite for a single pair."""

    number: int
    mean: float
    median: float
    deviation: float

    @property
    def error(self) -> float:
        return self.deviation / math.sqrt(self.number)

    @property
    def least(self) -> float:
        """The nearer to zero of mean and median: one odd pair moves one of them alone. 0 where they disagree on the direction."""
        if self.mean * self.median <= 0:
            return 0.0
        return min(self.mean, self.median, key=abs)


def sample(logs: Sequence[float]) -> Sample:
    """Sum up the log-ratios of pairs.

    Raises:
        ValueError: there are none, or one is not finite.
    """
    if not logs:
        raise ValueError("no pairs")
    if not all(math.isfinite(value) for value in logs):
        raise ValueError(f"log-ratios {list(logs)}: expected finite numbers")
    mean = statistics.fmean(logs)
    squares = math.fsum((value - mean) ** 2 for value in logs)  # statistics.stdev counts in fractions, and takes fifty times as long
    deviation = math.sqrt(squares / (len(logs) - 1)) if len(logs) > 1 else math.inf
    return Sample(number=len(logs), mean=mean, median=statistics.median(logs), deviation=deviation)


def p_above(given: Sample, delta: float) -> float:
    """Student's one-sided test: how likely a mean this large is where the true one is `delta` (a logarithm)."""
    if given.number < 2:
        return 1.0
    if given.error == 0:
        return 0.0 if given.mean > delta else 1.0
    return float(special.stdtr(given.number - 1, (delta - given.mean) / given.error))


def p_above_known(effect: float, number: int, delta: float, deviation: float) -> float:
    """The same of an effect in `number` pairs whose deviation is known from other runs: the normal test."""
    if deviation == 0:
        return 0.0 if effect > delta else 1.0
    return float(special.ndtr((delta - effect) * math.sqrt(number) / deviation))


def p_moved(given: Sample, delta: float) -> float:
    """The two-sided test: how likely it is to be this far from zero, on either side, where the true mean is within ±delta."""
    mirrored = Sample(number=given.number, mean=-given.mean, median=-given.median, deviation=given.deviation)
    return min(1.0, 2 * min(p_above(given, delta), p_above(mirrored, delta)))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order: those at most α are rejected, with a familywise error of at most α.

    Holm 1979, A simple sequentially rejective multiple test procedure. Holds under any dependence.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, largest = [1.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def interval(given: Sample, family: int, confidence: float) -> tuple[float, float]:
    """Student's interval of the mean; `family` such intervals hold together with that confidence (Bonferroni)."""
    if given.number < 2:
        return -math.inf, math.inf
    half = given.error * float(special.stdtrit(given.number - 1, 1 - (1 - confidence) / (2 * family)))
    return given.mean - half, given.mean + half


def proportion(found: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share: two-sided, but one-sided where none or all were found.

    Raises:
        ValueError: there are no trials, or more found than tried.
    """
    if not 0 <= found <= trials or trials < 1:
        raise ValueError(f"{found} of {trials}: expected 0 to all of at least one trial")
    tail = (1 - confidence) / (1 if found in (0, trials) else 2)
    low = float(special.betaincinv(found, trials - found + 1, tail)) if found else 0.0
    high = float(special.betaincinv(found + 1, trials - found, 1 - tail)) if found < trials else 1.0
    return low, high


def least_visible(deviation: float, number: int, rule: Rule) -> float:
    """The least effect (a share) that may be called red: the threshold, or so many standard errors of `number` pairs."""
    return max(rule.threshold, math.expm1(min(rule.errors * deviation / math.sqrt(number), 50.0)))


@functools.lru_cache(maxsize=4096)
def detectable(deviation: float, rule: Rule, power: float = 0.95) -> float:
    """The smallest true slowdown (a share) that both stages find with that probability, one workload alone being slow.

    The ways to miss it are added up, so it is a little pessimistic: screening's test, its share of the threshold, the
    confirmation's test, its threshold. Infinite where nothing below a factor of 20 would be found.
    """
    if deviation == 0:
        return rule.threshold
    low, high = math.log1p(rule.delta), 3.0
    if _missed(high, deviation, rule) > 1 - power:
        return math.inf
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if _missed(middle, deviation, rule) <= 1 - power else (middle, high)
    return math.expm1(high)


def _missed(effect: float, deviation: float, rule: Rule) -> float:
    """A bound on how often a true effect (a logarithm) is missed."""
    screening, confirming, _ = rule.pairs
    needed = math.log1p(least_visible(deviation, confirming, rule))
    delta, missed = math.log1p(rule.delta), 0.0
    for number, p, least in ((screening, rule.screen_p, rule.screen_share * needed), (confirming, rule.alpha / 2, needed)):
        error = deviation / math.sqrt(number)
        critical = float(special.stdtrit(number - 1, 1 - p))
        away = (effect - delta) / error
        # Far out the noncentral distribution is not computed, and nothing is missed.
        missed += float(special.nctdtr(number - 1, away, critical)) if away < 30 else 0.0
        missed += float(special.ndtr((least - effect) / error))
    return missed
