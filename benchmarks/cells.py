"""What a run times: one cell for each workload, layout and output, asked of each backend."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.interface import LAYOUTS, OUTPUTS, Case, Layout, Output
from benchmarks.workloads import QUICK, WORKLOADS, Workload


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long a cell is timed: about `seconds` of timed calls, in `least` to `most` rounds over so many placements in memory."""

    seconds: float
    placements: int
    least: int = 5
    most: int = 300


LEVELS: dict[str, Effort] = {
    "quick": Effort(seconds=0.6, placements=5),
    "standard": Effort(seconds=0.4, placements=4),
    "full": Effort(seconds=1.5, placements=10, least=10, most=600),
}
"""quick: ten workloads, forward. standard: every workload, and what is usually asked of it. full: everything that can be asked."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One thing to time on each backend."""

    workload: Workload
    layout: Layout
    output: Output

    def case(self) -> Case:
        """The question itself."""
        return self.workload.case(self.layout, self.output)

    def key(self, backend: str) -> str:
        """What tells this cell from every other of a run, in one line."""
        return f"{backend} {self.workload.name} {self.layout} {self.output}"


def cells(level: str, layouts: Sequence[str] = (), outputs: Sequence[str] = ()) -> list[Cell]:
    """The cells of a level, in an order that keeps one workload's together; `layouts` and `outputs` choose among them.

    Asking for an output by name asks every workload of the level that has it, usual or not.

    Raises:
        ValueError: the level, a layout or an output has no such name.
    """
    if level not in LEVELS:
        raise ValueError(f"level={level!r}: expected one of {', '.join(LEVELS)}")
    for given, known in ((layouts, LAYOUTS), (outputs, OUTPUTS)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"{unknown[0]!r}: expected one of {', '.join(known)}")
    return [
        Cell(workload=workload, layout=layout, output=output)
        for workload in (QUICK if level == "quick" else WORKLOADS.values())
        for output in _asked(workload, level, outputs)
        for layout in LAYOUTS
        if not layouts or layout in layouts
    ]


def _asked(workload: Workload, level: str, outputs: Sequence[str]) -> Iterable[Output]:
    if outputs:
        return [output for output in workload.valid_outputs if output in outputs]
    if level == "quick":
        return ("values",)
    return workload.valid_outputs if level == "full" else workload.outputs
