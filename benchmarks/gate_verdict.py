"""What a gate says: a judgement of each workload, findings beside the speeds, one state and exit status of the run."""

from dataclasses import dataclass

from benchmarks.gate_data import _one_of
from benchmarks.gate_statistics import Rule

STATES = {"pass": 0, "regression": 1, "invalid": 3, "inconclusive": 3, "coverage": 4}
"""The states of a run with their exit status; 2 is a wrong command, which has no verdict."""
WORKLOAD_STATES = ("pass", "regression", "improvement", "inconclusive", "different")
LEVELS = ("error", "warning", "notice")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One workload that was compared.

    `estimate`, `low`, `high`, `threshold` and `detectable` are shares: 0.05 is 5 % slower, −0.05 is 5 % faster. `low` to `high`
    is its interval, which holds together with those of all other workloads. `p` is adjusted for every test of the family. `stage` is
    that of the pairs which decided, `pairs` their number. `detectable` is the smallest slowdown that is found 95 times
    in 100, from the noise that was calibrated on this machine or else from that of these very pairs. `seconds` are the medians of
    one call, the baseline's and the candidate's.
    """

    workload: str
    state: str
    stage: int
    pairs: int
    estimate: float
    low: float
    high: float
    p: float
    threshold: float
    detectable: float
    calibrated: bool
    seconds: tuple[float, float]
    metric: str
    message: str = ""

    def __post_init__(self) -> None:
        _one_of("state", self.state, WORKLOAD_STATES)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something beside the speeds. `state` is what it makes of the run: "pass" where it is only told."""

    kind: str
    message: str
    state: str = "pass"
    workload: str = ""
    level: str = "notice"
    side: str = ""
    case: str = ""

    def __post_init__(self) -> None:
        _one_of("state", self.state, STATES)
        _one_of("level", self.level, LEVELS)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a run; `headline` is one line for people."""

    state: str
    headline: str
    judgements: tuple[Judgement, ...]
    findings: tuple[Finding, ...]
    rule: Rule
    calibrated: bool

    def __post_init__(self) -> None:
        _one_of("state", self.state, STATES)

    @property
    def status(self) -> int:
        """The exit status."""
        return STATES[self.state]

    def having(self, *states: str) -> tuple[Judgement, ...]:
        """The judgements in one of these states, the largest effect first."""
        return tuple(sorted((one for one in self.judgements if one.state in states), key=lambda one: -abs(one.estimate)))


def percent(share: float) -> str:
    """A share with its sign: +5.2 %."""
    if share == float("inf"):
        return "∞"
    shown = f"{100 * share:+.1f}" if abs(share) < 0.9995 else f"{100 * share:+,.0f}"
    return f"{shown.replace('-', '−')} %".replace("+0.0", "0.0").replace("−0.0", "0.0")


def size(share: float) -> str:
    """A share without a sign: 5.2 %."""
    return percent(abs(share)).lstrip("+")
