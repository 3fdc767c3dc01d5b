"""What each law saw of each backend."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.observed import BAD_LAWS, outcomes
from reports.record import Record, Tally

NUMBERS = ("drawn", "filtered", "compared", "known", "vacuous", "seconds")


@dataclass(frozen=True, kw_only=True)
class LawCell:
    """What one law saw of one backend: "passed", "failed", "not run" or "interrupted"."""

    backend: str
    status: str
    drawn: int = 0
    filtered: int = 0
    compared: int = 0
    known: int = 0
    vacuous: int = 0
    seconds: float = 0.0
    message: str = ""

    @property
    def rate(self) -> float | None:
        """Compared cases a second; None where none was, or the clock did not move."""
        return self.compared / self.seconds if self.compared and self.seconds > 0 else None


@dataclass(frozen=True, kw_only=True)
class LawRow:
    """One law over all backends; a backend that was never put to it has None."""

    law: str
    claim: str
    cells: tuple[LawCell | None, ...]


def told(tallies: Sequence[Tally], observations: Sequence[Record], names: Sequence[str]) -> tuple[LawRow, ...]:
    """One row a law, one cell a backend; a law that was begun and has no tally was interrupted."""
    cells: dict[tuple[str, str], list[Tally]] = {}
    for tally in tallies:
        cells.setdefault((tally.law, tally.backend), []).append(tally)
    claims = {record.law: refused(record.law) for record in observations if record.law.startswith(BAD_LAWS)}
    claims |= {tally.law: tally.claim for tally in tallies}
    begun = Counter((record.law, record.backend) for record in observations)

    failing = {(record.law, record.backend) for record in observations if _unexplained(record)}

    def cell(law: str, name: str) -> LawCell | None:
        if (law, name) in cells:
            return _together(cells[law, name])
        if (law, name) in begun and law.startswith(BAD_LAWS):
            # Each bad call is a test of its own, so that no tally sums them up.
            return LawCell(backend=name, status="failed" if (law, name) in failing else "passed", compared=begun[law, name])
        if (law, name) in begun:
            why = "it has no tally: the run ended before it did"
            return LawCell(backend=name, status="interrupted", compared=begun[law, name], message=why)
        return None

    laws = sorted({law for law, _ in (*cells, *begun)})
    return tuple(LawRow(law=law, claim=claims.get(law, ""), cells=tuple(cell(law, name) for name in names)) for law in laws)


def refused(law: str) -> str:
    """The claim of a law that makes bad calls."""
    return f"What is invalid raises an exception: {law.replace('_', ' ')}s."


def having(rows: Iterable[LawRow], status: str) -> list[tuple[str, str]]:
    """(law, backend) of each cell with a status."""
    return [(row.law, cell.backend) for row in rows for cell in row.cells if cell is not None and cell.status == status]


def _unexplained(record: Record) -> bool:
    return any(sort == "new" for sort, _ in outcomes(record))


def _together(tallies: Sequence[Tally]) -> LawCell:
    worst = min(tallies, key=lambda tally: ("failed", "passed", "not run").index(tally.status))
    total = {name: sum(getattr(tally, name) for tally in tallies) for name in NUMBERS}
    return LawCell(backend=worst.backend, status=worst.status, message=worst.message, **total)
