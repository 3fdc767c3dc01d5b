"""Runs of the gate that nobody measured: pairs with a chosen log-ratio, whole gates with a chosen noise."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks import gate_decide
from benchmarks.gate_calibration import Calibration, Noise
from benchmarks.gate_data import Machine, Pair, Quad, Run, Side
from benchmarks.gate_statistics import Rule

MACHINE = Machine(fingerprint="0123456789abcdef", description={"cpu": "Sample CPU", "usable cores": 2})
SIDES = (
    Side(role="baseline", label="main", kind="revision", backend="numpy", version="2.4.6", python="3.11.2", revision="aaaa"),
    Side(role="candidate", label="HEAD", kind="revision", backend="numpy", version="2.4.6", python="3.11.2", revision="bbbb"),
)
SENTINELS = ("sentinel-loop", "sentinel-copy", "sentinel-maximum")
MEANING = {
    "compared": 900, "newly_diverging": [], "newly_conforming": [], "newly_supported": [], "newly_unsupported": [],
    "different_bits": {"cases": 0, "largest": 0.0, "case": ""}, "problems": [],
}  # fmt: skip

Noisy = Callable[[np.random.Generator, int], np.ndarray]


def pair(workload="a", log=0.0, number=0, stage=0, seconds=1e-3, quads=1, **other) -> Pair:
    slow = seconds * math.exp(log)
    times = {"ABBA": (seconds, slow, slow, seconds), "BAAB": (slow, seconds, seconds, slow)}
    made = tuple(Quad(order=order, seconds=times[order], wall=times[order]) for order in (["ABBA", "BAAB"] * quads)[:quads])
    facts = {"first": ("baseline", "candidate")[number % 2], "iterations": 3, "metric": "cpu", "checksums": ("aa", "aa"), **other}
    return Pair(workload=workload, number=number, stage=stage, quads=made, **facts)


def pairs(workload, logs: Sequence[float], stage=0, **other) -> list[Pair]:
    return [pair(workload, float(log), number, stage, **other) for number, log in enumerate(logs)]


def spread(center: float, number: int, deviation=0.01) -> np.ndarray:
    """So many log-ratios, evenly about a center, of that standard deviation."""
    logs = np.linspace(-1, 1, number)
    return center + deviation * logs / logs.std(ddof=1)


def sentinels(number=6) -> list[Pair]:
    return [one for name in SENTINELS for one in pairs(name, spread(0, number, 0.005), sentinel=True)]


def run(measured: Sequence[Pair] = (), **other) -> Run:
    """A whole run, of two workloads that are alike where no pairs are given."""
    measured = list(measured) or [*pairs("a", spread(0, 6)), *pairs("b", spread(0.002, 6))]
    names = dict.fromkeys(one.workload for one in measured if not one.sentinel)
    facts = {
        "workloads": tuple(names),
        "sides": SIDES,
        "machine": MACHINE,
        "meaning": MEANING,
        "finished": "2026-01-02T03:09:05+00:00",
        **other,
    }
    return Run(started="2026-01-02T03:04:05+00:00", pairs=(*measured, *sentinels()), **facts)


def slower(effect=0.08) -> Run:
    """Workload "a" is slower, and confirmed; "b" is not."""
    log = math.log1p(effect)
    return run([*pairs("a", spread(log, 6)), *pairs("a", spread(log, 10), 1), *pairs("b", spread(0, 6))])


def calibration(deviation=0.012, names=("a", "b"), **other) -> Calibration:
    noise = {name: Noise(deviation=deviation, pairs=360, sequential=0.07, runs=60) for name in names}
    return Calibration(machine=MACHINE, backend="numpy", created="2026-01-01T00:00:00+00:00", workloads=noise, **other)


# --- whole gates with a chosen noise ------------------------------------------------------------


def normal(deviation: float) -> Noisy:
    return lambda rng, number: deviation * rng.standard_normal(number)


def heavy(deviation: float) -> Noisy:
    """Student's t with three degrees of freedom, whose standard deviation is √3."""
    return lambda rng, number: deviation / math.sqrt(3) * rng.standard_t(3, number)


def odd(deviation: float, share=0.05, jump=0.1) -> Noisy:
    """Now and then a process gets a bad place in memory."""
    return lambda rng, number: normal(deviation)(rng, number) + jump * (rng.random(number) < share) * rng.choice([-1, 1], number)


def skewed(deviation: float) -> Noisy:
    return lambda rng, number: deviation * (rng.exponential(1, number) - 1)


def drifting(deviation: float) -> Noisy:
    """A walk over the pairs, beside the noise of each: neighbours are alike."""

    def noise(rng: np.random.Generator, number: int) -> np.ndarray:
        walk = np.cumsum(rng.standard_normal(number)) * deviation / 3
        return normal(deviation)(rng, number) + walk - walk.mean()

    return noise


def gates(
    number: int, noise: Noisy, effects: dict[str, float], seed: int, known: Calibration | None = None
) -> Iterator[gate_decide.Verdict]:
    """So many gates as the gate runs them: screening, confirmation where it asks for it, the verdict."""
    rng, rule, still = np.random.default_rng(seed), Rule(), sentinels()
    for _ in range(number):
        measured = [*still]
        asked = tuple(effects)
        for stage, amount in enumerate(rule.pairs):
            measured += [one for name in asked for one in pairs(name, math.log1p(effects[name]) + noise(rng, amount), stage)]
            asked = gate_decide.suspicious(measured, known)
        told = replace(run([one for one in measured if not one.sentinel], only="speed", meaning=None), workloads=tuple(effects))
        yield gate_decide.decide(told, known)
