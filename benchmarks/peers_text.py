"""What a comparison of NumPy with its peers says: ratios, what they must be, and why some are not."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backends.interface import LAYOUTS
from benchmarks.costs import Costs
from benchmarks.results import Result
from benchmarks.table import SHORT, aligned, seconds_text
from benchmarks.workloads import WORKLOADS
from reports.spread import NOISY_CORES, NOISY_DRIFT, NOISY_IQR

OURS = "numpy"
FRAMEWORKS = ("torch", "tensorflow", "jax")
VIEW = "benchmarks.plain:WindowView"
PLAIN = ("benchmarks.plain:BlockReduce", VIEW)
AIM, EXPLAIN, MOST, PLAIN_AIM = 1.2, 1.5, 2.5, 5.0
SHARE, MANY = 0.2, 1.5
"""What a reason must have of NumPy's time, and how many times the bytes that must move passes move, for them to be one."""
LARGE, EXTRA = 8 << 20, 0.10
"""Inputs of more bytes may cost no more memory beside the output than this share of them."""
_NOISES = {
    "spread": f"the middle half of the ratios spreads over more than {NOISY_IQR:.0%}",
    "drifted": f"the later half of them differs from the first by more than {NOISY_DRIFT:.0%}",
    "others": f"others kept more than {NOISY_CORES:g} cores busy",
}

Column = tuple[str, str]
"""(contender, layout)"""


@dataclass(kw_only=True)
class Comparison:
    """What one workload took each contender, turn by turn; `None` for a turn that it did not have.

    `words` say of each that was not timed why; `lost` contenders died or hung. `memory` is NumPy's peak beside its output
    by layout, `bytes` what must move, `input` what of it is read, all in bytes; `bandwidth` is that of a copy of as many,
    bytes a second; `busy` how many cores others kept busy during the turns, None where nobody says; `costs` what NumPy's
    calls cost in its better layout, where it is slow.
    """

    turns: dict[Column, list[float | None]] = field(default_factory=dict)
    words: dict[Column, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    input: int = 0
    bandwidth: float = 0.0
    busy: float | None = None
    costs: Costs | None = None

    @property
    def peers(self) -> list[str]:
        """Whom NumPy is measured by: all who were timed but itself and plain code."""
        return list(dict.fromkeys(name for name, _ in self.turns if name != OURS and name not in PLAIN))

    def seconds(self, column: Column) -> float:
        """The median turn."""
        return statistics.median(turn for turn in self.turns[column] if turn is not None)

    def fastest(self, names: Sequence[str]) -> Column | None:
        """The faster layout of the fastest of some contenders."""
        mine = [column for column in self.turns if column[0] in names]
        return min(mine, key=self.seconds, default=None)

    def ratios(self, above: Column, below: Column) -> list[float]:
        """How many times as long one takes as the other, by turns of one sweep."""
        both = zip(self.turns[above], self.turns[below], strict=True)
        return [a / b for a, b in both if a is not None and b is not None]

    def ratio(self, above: Column, below: Column) -> float:
        """Their median."""
        return statistics.median(self.ratios(above, below))

    @property
    def against(self) -> float | None:
        """NumPy's time over that of the fastest of its peers, each in its better layout."""
        ours, theirs = self.fastest((OURS,)), self.fastest(self.peers)
        return self.ratio(ours, theirs) if ours and theirs else None

    @property
    def noise(self) -> list[str]:
        """Why this ratio is not to be trusted far, by the rule of a timing; empty where nothing speaks against it."""
        ours, theirs = self.fastest((OURS,)), self.fastest(self.peers)
        if not (ours and theirs):
            return []
        return Result(seconds=tuple(self.ratios(ours, theirs)), facts={"cores_busy_elsewhere": self.busy}).noise

    @property
    def ratio_text(self) -> str:
        """The ratio, with a tilde where it is noisy; or why there is none."""
        if self.against is not None:
            return f"{'~' if self.noise else ''}{self.against:.2f}"
        return "no peer" if self.fastest((OURS,)) else f"{_label(OURS)}: {self.status(OURS) or 'not asked'}"

    def status(self, name: str) -> str:
        """What became of a contender that was not timed, in a word or two: gap, wrong."""
        return " ".join(sorted({self.words[name, layout].partition(":")[0] for layout in LAYOUTS if (name, layout) in self.words}))

    def failed(self, name: str) -> list[str]:
        """What went wrong with a contender, by layout; a gap is not wrong."""
        return [words for layout in LAYOUTS if (words := self.words.get((name, layout), "gap")).partition(":")[0] != "gap"]

    def ahead(self, name: str) -> float | None:
        """How many times as long plain code takes as NumPy, in the layout where that is least."""
        layout = self._least_ahead(name)
        return self.ratio((name, layout), (OURS, layout)) if layout else None

    def room(self, name: str) -> float | None:
        """How many times as long plain code takes as a copy of as many bytes, in that layout: nothing can be further ahead of it."""
        layout = self._least_ahead(name)
        return self.seconds((name, layout)) * self.bandwidth / self.bytes if layout and self.bandwidth and self.bytes else None

    def _least_ahead(self, name: str) -> str | None:
        both = [layout for layout in LAYOUTS if (name, layout) in self.turns and (OURS, layout) in self.turns]
        return min(both, key=lambda layout: self.ratio((name, layout), (OURS, layout)), default=None)

    @property
    def share(self) -> float | None:
        """Of the bandwidth of a copy of as many bytes, what NumPy reaches in its better layout."""
        ours = self.fastest((OURS,))
        return self.bytes / self.seconds(ours) / self.bandwidth if ours and self.bandwidth else None

    @property
    def extra(self) -> float | None:
        """NumPy's peak memory beside its output, as a share of the input, in the layout where it is more."""
        return max(self.memory.values()) / self.input if self.memory else None


def verdict(found: Mapping[str, Comparison], labels: Mapping[str, str]) -> list[str]:
    """What the comparison says, in sentences: geometric means of ratios, where they are worst and why, memory, gaps, and noise."""
    lines = []
    if failed := [name for name, comparison in found.items() if comparison.failed(OURS)]:
        lines.append(f"{_label(OURS)} itself was wrong or failed on {len(failed)} of {len(found)}: {', '.join(failed)}")
    ratios = {name: ratio for name, comparison in found.items() if (ratio := comparison.against) is not None}
    if ratios:
        mean = geometric_mean(ratios.values())
        peers = dict.fromkeys(peer for name in ratios for peer in found[name].peers)
        named = ", ".join(labels.get(peer, peer) for peer in peers)
        whom, must = (
            f"the fastest of {named}" if len(peers) > 1 else named,
            f" (must be under {AIM})" if set(peers) <= set(FRAMEWORKS) else "",
        )
        lines.append(f"NumPy takes {mean:.2f} times as long as {whom}, over {len(ratios)} workloads{must}")
        over = {name: ratio for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > EXPLAIN}
        lines += [
            f"  {name}: {ratio:.2f}{f', more than {MOST}' if ratio > MOST else ''}: {_because(name, found[name])}"
            for name, ratio in over.items()
        ]
    lines += [line for plain in PLAIN for line in _ahead(found, plain)]
    extras = {name: extra for name, comparison in found.items() if (extra := comparison.extra) is not None}
    if extras:
        worst = max(extras, key=extras.__getitem__)
        text = f"NumPy needs at most {extras[worst]:.1%} of the input beside its output ({worst})"
        lines.append(f"{text}, over {len(extras)} workloads of more than {LARGE >> 20} MiB (must be at most {EXTRA:.0%})")
    noises = Counter(word for comparison in found.values() for why in comparison.noise for word in _NOISES if word in why)
    if noises:
        why = ", ".join(f"{_NOISES[word]} on {count}" for word, count in noises.items())
        lines.append(f"noisy: {sum(bool(comparison.noise) for comparison in found.values())} of {len(found)}: {why}")
    gaps: Counter[tuple[str, str]] = Counter()
    for name, comparison in found.items():
        for (who, layout), words in comparison.words.items():
            status, _, message = words.partition(": ")
            if status == "gap":
                gaps[labels.get(who, who), message] += 1
            else:
                lines.append(f"{name}: {_label(labels.get(who, who))} {layout}: {words}")
    return lines + [f"gap: {who}: {message} ({count} cell{'s' * (count > 1)})" for (who, message), count in gaps.items()]


def _ahead(found: Mapping[str, Comparison], plain: str) -> Iterable[str]:
    """How far NumPy is ahead of some plain code: of the window view's maximum and mean apart, since the aim is of the maximum."""
    ahead = {name: ratio for name, comparison in found.items() if (ratio := comparison.ahead(plain)) is not None}
    averages = {name for name in ahead if name in WORKLOADS and WORKLOADS[name].spec.reduction.name == "average"}
    label = _label(plain)
    several = [(f"{label}(…).max", ahead.keys() - averages, True), (f"{label}(…).mean", averages, False)]
    for said, names, aimed in several if plain == VIEW else [(label, ahead.keys(), True)]:
        if not names:
            continue
        worst = min(sorted(names), key=ahead.__getitem__)
        text = f"{said} takes {geometric_mean(ahead[name] for name in names):.1f} times as long as NumPy, over {len(names)} workloads"
        yield f"{text}, at least {ahead[worst]:.1f} times ({worst}{f'; aim: {PLAIN_AIM:g} everywhere' if aimed else '; no aim'})"
        behind = [name for name in names if ahead[name] < PLAIN_AIM]
        if aimed and behind:
            bound = sum((found[name].room(plain) or math.inf) < PLAIN_AIM for name in behind)
            yield f"  {len(behind)} miss it; on {bound} of them even copying the bytes that must move takes more than a fifth of its time"


def _because(name: str, comparison: Comparison) -> str:
    """Why NumPy is slow at a workload, as far as that is known."""
    workload, costs = WORKLOADS.get(name), comparison.costs
    reasons = [workload_reason(workload.dtype, workload.spec.reduction.name) if workload else ""]
    reasons.append(cost_reason(costs, comparison.bytes) if costs else "")
    return "; ".join(filter(None, reasons)) or "unexplained"


def cost_reason(costs: Costs, nbytes: int) -> str:
    """Where most of NumPy's time goes that a kernel which reads each element once need not spend; empty where nothing stands out.

    `nbytes` must move in any case.
    """
    spent, passes = costs.seconds, costs.moved / nbytes if nbytes else 0.0
    whole = max(costs.whole, sum(spent.values()))
    told = {
        "counts": "in multiplying by a map, since windows do not all count as much",
        "strided": "in passes over elements that are not neighbours, which NumPy's vector loops do not take",
        "converted": "in conversions of type",
        "rows": f"in reductions over runs of {costs.runs.get('rows')} elements, each of which NumPy begins anew",
        "short": f"in passes over runs of {costs.runs.get('short')} elements, which NumPy begins anew or gathers in its buffer",
        "passes": f"in passes over long runs, where all passes move {passes:.1f} times the bytes that must move" if passes >= MANY else "",
    }
    shares = {text: spent[kind] / whole for kind, text in told.items() if text and spent[kind] > 0}
    shares[f"in {costs.calls} calls themselves, {costs.empty * 1e6:.1f} µs each and the interpreter between them"] = (
        1 - sum(spent.values()) / whole
    )
    most = sorted(((share, text) for text, share in shares.items() if share >= SHARE), reverse=True)
    return ", ".join(f"{share:.0%} {text}" for share, text in most)


def workload_reason(dtype: str, reduction: str) -> str:
    """What makes some pooling slower in NumPy than it need be; empty where nothing is known."""
    if dtype == "float16" and reduction == "average":
        return "NumPy converts float16 number by number; by their bits it is five passes of integers an element, thirteen a result"
    if dtype == "bfloat16" and reduction == "average":
        return "bfloat16 is rounded number by number, where frameworks have an instruction"
    if dtype in ("float16", "bfloat16"):
        return "NumPy has no maximum of halves in vectors: they are compared as integers, for the largest and for the smallest"
    return ""


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that does not depend on which side is divided by which."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def table(found: Mapping[str, Comparison], labels: Mapping[str, str]) -> str:
    """A row for each workload: the better layout of each contender, NumPy's ratios, and how near it is to a copy."""
    plain = [name for name in labels if name in PLAIN]
    rows = [["", *labels.values(), "NumPy / fastest", *(f"{labels[name]} / NumPy" for name in plain), "of a copy", "extra memory"]]
    for workload, comparison in found.items():
        times = []
        for name in labels:
            best = comparison.fastest((name,))
            times.append(f"{seconds_text(comparison.seconds(best))} {SHORT[best[1]]}" if best else comparison.status(name))
        ratios = [comparison.ratio_text]
        ratios += ["" if (one := comparison.ahead(name)) is None else f"{one:.2f}" for name in plain]
        shares = ["" if one is None else f"{one:.0%}" for one in (comparison.share, comparison.extra)]
        rows.append([workload, *times, *ratios, *shares])
    legend = "each in its better layout: channels first or last; ~ noisy; of a copy: the share of the bandwidth of a copy of as many bytes"
    return "\n".join([*aligned(rows), legend])


def _label(name: str) -> str:
    return {"benchmarks.plain:BlockReduce": "block_reduce", "benchmarks.plain:WindowView": "sliding_window_view"}.get(name, name)
