"""What becomes of a case that breaks the definition, and which row of the known divergences explains it."""

from collections.abc import Sequence

import numpy as np

import backends
from backends import oracle
from backends.interface import Case, Unsupported, refusal
from backends.process import Outcome, Remote, RemoteError, RemoteFailure
from properties.divergence import Divergence
from properties.divergences import DIVERGENCES


def invalid(case: Case) -> str | None:
    """Which rule a case breaks, as the definition's exception says it; None for a valid one."""
    try:
        oracle.pool(case)
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def is_ours(address: str) -> bool:
    """Whether `--backend` calls an adapter of ours so: those hand whatever they are asked to their frameworks."""
    return address.partition(":")[0] in backends.adapters()


def outcome(remote: Remote, case: Case, *, ours: bool) -> Outcome | None:
    """What becomes of a case; None where the backend says that it cannot be asked it.

    What a stranger does not claim is not held against it.
    """
    try:
        if not ours and refusal(remote, case):
            return None
        seen = remote.ask(case)
    except Unsupported:
        return None
    except RemoteError as error:
        return Outcome(outcome="raises", text=f"{error.type_name}: {error.text}")
    except RemoteFailure as failure:
        return Outcome(outcome=failure.outcome, text=str(failure), printed=failure.printed, logged=failure.logged)
    # It may have written past its memory: what comes after must not suffer for it.
    remote.renew()
    shown = f"array of shape {seen.array.shape} and dtype {seen.array.dtype.name}" if seen.array is not None else seen.returned
    return Outcome(outcome="returns", text=shown)


def knows(remote: Remote, outcome: str, smallest: str, case: Case | None) -> Divergence | None:
    """The row that explains an outcome: it pins this very call, or its `where` holds for the whole case."""
    for row in rows(remote):
        if row.outcome == outcome and (pins(row, smallest) or (case is not None and row.where is not None and np.all(row.where(case)))):
            return row
    return None


def pins(row: Divergence, smallest: str) -> bool:
    """Whether a row's smallest is this case, or has this native call among its ids."""
    return smallest == row.smallest or smallest in row.smallest.split()


def rows(remote: Remote) -> Sequence[Divergence]:
    """The rows that apply to a backend and are about calls that end in no answer, or should."""
    return [row for row in DIVERGENCES if row.outcome != "wrong" and row.applies_to(remote.name, remote.version)]
