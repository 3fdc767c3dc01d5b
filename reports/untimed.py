"""What each benchmark cell came to last: a time, a gap, or a problem.

A folder may hold several runs. A kernel that was wrong and is mended has a time and is wrong no more; one that has
become wrong has no time, whatever it took before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.record import BenchmarkProblem, Gap
from reports.timings import Timing


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A cell without a time: a gap, or "wrong", "error", "timeout", "memory". Threads, mode and device are "" where any is meant."""

    backend: str
    layout: str
    status: str
    message: str
    threads: str = ""
    mode: str = ""
    device: str = ""

    @property
    def series(self) -> str:
        """As `Timing.series`."""
        return " ".join(part for part in (self.backend, self.layout) if part)

    def belongs(self, device: str, threads: str, mode: str) -> bool:
        """Whether it is one of the cells of such a setting; a device says itself in which mode it was timed."""
        same_mode = not (self.mode and mode) or self.mode == mode or device != "cpu"
        return self.device in ("", device) and self.threads in ("", threads) and same_mode


def last(timings: Sequence[Timing], problems: Sequence[BenchmarkProblem]) -> tuple[list[Timing], list[BenchmarkProblem]]:
    """The timings and the problems that nothing which happened later to the same cell replaces.

    A problem of which nobody recorded when it happened is kept, and so is the time beside it.
    """
    newest: dict[tuple[str, ...], BenchmarkProblem] = {}
    for problem in problems:
        key = (*_cell(problem), problem.threads, problem.mode, problem.device)
        if key not in newest or problem.created >= newest[key].created:
            newest[key] = problem
    kept = [problem for problem in newest.values() if not any(_of(problem, one) and one.created > problem.created for one in timings)]
    valid = [one for one in timings if not any(_of(problem, one) and problem.created > one.created for problem in newest.values())]
    return valid, kept


def _cell(one: Timing | BenchmarkProblem) -> tuple[str, str, str, str]:
    return one.workload, one.backend, one.layout, one.output


def _of(problem: BenchmarkProblem, timing: Timing) -> bool:
    """Whether both are of one cell, asked in one setting."""
    return (
        bool(problem.created) and _cell(problem) == _cell(timing) and _absent(problem).belongs(timing.device, timing.threads, timing.mode)
    )


def absences(problems: Iterable[BenchmarkProblem], gaps: Iterable[Gap]) -> Mapping[tuple[str, str], Sequence[Absent]]:
    """What has no time, by (workload, output); a gap counts here if its question names a workload."""
    found: dict[tuple[str, str], list[Absent]] = {}
    for problem in problems:
        found.setdefault((problem.workload, problem.output), []).append(_absent(problem))
    for gap in gaps:
        asked = {name: str(value) for name, value in gap.question.items()}
        if "workload" in asked:
            layout, device = asked.get("layout", ""), asked.get("device", "")
            one = Absent(backend=gap.backend, layout=layout, status="gap", message=gap.reason, device=device)
            found.setdefault((asked["workload"], asked.get("output", "values")), []).append(one)
    return found


def _absent(problem: BenchmarkProblem) -> Absent:
    return Absent(
        backend=problem.backend, layout=problem.layout, status=problem.status, message=problem.message, threads=problem.threads,
        mode=problem.mode, device=problem.device,
    )  # fmt: skip
