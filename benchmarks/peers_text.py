"""What a comparison of NumPy with its peers says: ratios, what they must be, and why some are not."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backends.interface import LAYOUTS
from benchmarks.results import SPREAD
from benchmarks.table import SHORT, aligned, seconds_text
from benchmarks.workloads import WORKLOADS

OURS = "numpy"
FRAMEWORKS = ("torch", "tensorflow", "jax")
PLAIN = ("benchmarks.plain:BlockReduce", "benchmarks.plain:WindowView")
AIM, EXPLAIN, MOST, PLAIN_AIM = 1.2, 1.5, 2.5, 5.0
LARGE, EXTRA = 8 << 20, 0.10
"""Inputs of more bytes may cost no more memory beside the output than this share of them."""

Column = tuple[str, str]
"""(contender, layout)"""


@dataclass(kw_only=True)
class Comparison:
    """What one workload took each contender, turn by turn; `None` for a turn that it did not have.

    `words` say of each that was not timed why; `lost` contenders died or hung. `memory` is NumPy's peak beside its output
    by layout, `bytes` what must move, `input` what of it is read, all in bytes; `bandwidth` is that of a copy of as many,
    bytes a second.
    """

    turns: dict[Column, list[float | None]] = field(default_factory=dict)
    words: dict[Column, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    input: int = 0
    bandwidth: float = 0.0

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

    def against(self, names: Sequence[str]) -> float | None:
        """NumPy's time over that of the fastest of some contenders, each in its better layout."""
        ours, theirs = self.fastest((OURS,)), self.fastest(names)
        return self.ratio(ours, theirs) if ours and theirs else None

    def noisy(self, names: Sequence[str]) -> bool:
        """Whether the middle half of these ratios spreads as far as that of a timing that counts as noisy."""
        ours, theirs = self.fastest((OURS,)), self.fastest(names)
        if not (ours and theirs) or len(values := self.ratios(ours, theirs)) < 4:
            return False
        first, middle, third = statistics.quantiles(values, n=4)
        return (third - first) / middle > SPREAD

    def ahead(self, name: str) -> float | None:
        """How many times as long plain code takes as NumPy, in the layout where that is least."""
        ratios = [
            self.ratio((name, layout), (OURS, layout))
            for layout in LAYOUTS
            if (name, layout) in self.turns and (OURS, layout) in self.turns
        ]
        return min(ratios, default=None)

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
    ratios = {name: ratio for name, comparison in found.items() if (ratio := comparison.against(FRAMEWORKS)) is not None}
    if ratios:
        mean = geometric_mean(ratios.values())
        lines.append(f"NumPy takes {mean:.2f} times as long as the fastest framework, over {len(ratios)} workloads (must be under {AIM})")
        over = {name: ratio for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > EXPLAIN}
        lines += [f"  {name}: {ratio:.2f}{f', more than {MOST}' if ratio > MOST else ''}{_because(name)}" for name, ratio in over.items()]
    for plain in PLAIN:
        ahead = {name: ratio for name, comparison in found.items() if (ratio := comparison.ahead(plain)) is not None}
        if ahead:
            worst = min(ahead, key=ahead.__getitem__)
            text = f"{_label(plain)} takes {geometric_mean(ahead.values()):.1f} times as long as NumPy, over {len(ahead)} workloads"
            lines.append(f"{text}, at least {ahead[worst]:.1f} times ({worst}; aim: {PLAIN_AIM:g} everywhere)")
    extras = {name: extra for name, comparison in found.items() if (extra := comparison.extra) is not None}
    if extras:
        worst = max(extras, key=extras.__getitem__)
        text = f"NumPy needs at most {extras[worst]:.1%} of the input beside its output ({worst})"
        lines.append(f"{text}, over {len(extras)} workloads of more than {LARGE >> 20} MiB (must be at most {EXTRA:.0%})")
    noisy = [name for name, comparison in found.items() if comparison.noisy(FRAMEWORKS)]
    if noisy:
        lines.append(f"noisy: the middle half of the ratios spreads over more than {SPREAD:.0%} on {len(noisy)} of {len(found)}")
    gaps: Counter[tuple[str, str]] = Counter()
    for name, comparison in found.items():
        for (who, layout), words in comparison.words.items():
            status, _, message = words.partition(": ")
            if status == "gap":
                gaps[labels.get(who, who), message] += 1
            else:
                lines.append(f"{name}: {_label(labels.get(who, who))} {layout}: {words}")
    return lines + [f"gap: {who}: {message} ({count} cell{'s' * (count > 1)})" for (who, message), count in gaps.items()]


def _because(name: str) -> str:
    """Why NumPy is slow at a workload, as far as that is known."""
    workload = WORKLOADS.get(name)
    return f": {reason}" if workload and (reason := workload_reason(workload.dtype, workload.spec.reduction.name)) else ""


def workload_reason(dtype: str, reduction: str) -> str:
    """What makes some pooling slower in NumPy than it need be; empty where nothing is known."""
    if dtype == "float16" and reduction == "average":
        return "NumPy converts float16 number by number; by their bits it is five integer operations an element, thirteen a result"
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
            words = {comparison.words.get((name, layout), "").partition(":")[0] for layout in LAYOUTS}
            times.append(f"{seconds_text(comparison.seconds(best))} {SHORT[best[1]]}" if best else " ".join(sorted(words)).strip())
        ratio = comparison.against(FRAMEWORKS)
        mark = "~" if comparison.noisy(FRAMEWORKS) else ""
        ratios = [f"{mark}{ratio:.2f}" if ratio is not None else ""]
        ratios += ["" if (one := comparison.ahead(name)) is None else f"{one:.2f}" for name in plain]
        shares = ["" if one is None else f"{one:.0%}" for one in (comparison.share, comparison.extra)]
        rows.append([workload, *times, *ratios, *shares])
    legend = "each in its better layout: channels first or last; ~ noisy; of a copy: the share of the bandwidth of a copy of as many bytes"
    return "\n".join([*aligned(rows), legend])


def _label(name: str) -> str:
    return {"benchmarks.plain:BlockReduce": "block_reduce", "benchmarks.plain:WindowView": "sliding_window_view"}.get(name, name)
