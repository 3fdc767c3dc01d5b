"""Why a cell could not be timed, as one word."""

import re
import signal
from datetime import datetime, timezone

from benchmarks.check import Wrong
from benchmarks.measure import TimedOut

STATUSES = ("wrong", "error", "timeout", "memory")
_MEMORY = re.compile(
    r"out of memory|(can't|can ?not|could not|failed to|unable to) allocate|alloc(ation)?_?failed|cudaErrorMemoryAllocation"
    r"|not enough memory|resource_?exhausted|\bOOM\b|bad_alloc",
    re.IGNORECASE,
)


def now() -> str:
    """The time, as pytest-benchmark writes it into its files."""
    return datetime.now(timezone.utc).isoformat()


def status_of(error: BaseException) -> str:
    """What an exception says about the cell that raised it: one of `STATUSES`."""
    if isinstance(error, Wrong):
        return "wrong"
    if isinstance(error, TimedOut | TimeoutError):
        return "timeout"
    # Every framework has its own exception for a lack of memory, and some raise RuntimeError.
    if isinstance(error, MemoryError) or _MEMORY.search(f"{type(error).__name__}: {error}"):
        return "memory"
    return "error"


def status_of_death(returncode: int) -> tuple[str, str]:
    """(status, message) of a process that ended by itself in the middle of a cell."""
    if returncode >= 0:
        return "error", f"the process ended with status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    if name == "SIGKILL":
        return "memory", "killed by SIGKILL, which is how the kernel ends a process when memory runs out"
    return "error", f"killed by {name}"
