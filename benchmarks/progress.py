"""How far a run is: lines that stay, and on a terminal one beneath them that does not."""

from typing import Any

from benchmarks.table import duration

CLEAR = "\r\x1b[K"


class Screen:
    """Where a run says what it does."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.live = bool(getattr(out, "isatty", lambda: False)())

    def say(self, text: str) -> None:
        """A line that stays."""
        self.out.write((CLEAR if self.live else "") + text + "\n")
        self.out.flush()

    def show(self, text: str) -> None:
        """What is being done now; on a terminal alone, until the next line."""
        if self.live:
            self.out.write(CLEAR + text)
            self.out.flush()


def bar(done: int, total: int, left: float | None, which: str = "") -> str:
    """How much of `total` is done, in words of which, and how many seconds the rest takes, if that is known.

    [#####...............] 5/20 1:20 left
    """
    filled = round(20 * done / total) if total else 20
    return f"[{'#' * filled}{'.' * (20 - filled)}] {done}/{total}{which}{'' if left is None else f' {duration(left)} left'}"
