"""What a run of seeded defects says at its end: which law saw each, how fast, and the score."""

from collections import Counter
from typing import Any

import pytest

from properties.sensitivity import ALONE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the seeded defects that were tried, and count what became of them, alone and beside each framework."""
    seeded: list[dict[str, Any]] = []
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        told = dict(getattr(report, "user_properties", []))
        if report.when != "call":
            continue
        if "seeded" in told:
            seeded.append(told["seeded"])
        if "random" in told:
            terminalreporter.write_line(
                f"{told['random']:,} random cases on the correct pooling: {'no alarm' if report.passed else 'an alarm'}"
            )
    if not seeded:
        return
    terminalreporter.section("seeded defects")
    for one in sorted(seeded, key=lambda one: (one["mutant"], one["beside"] != ALONE, one["beside"])):
        seen = f"{one['outcome']:32} {one['compared']:6} cases {one['cpu']:6.2f} s"
        terminalreporter.write_line(f"{one['mutant']:44} {one['beside']:16} {seen}")
    for beside in sorted({one["beside"] for one in seeded}, key=lambda beside: (beside != ALONE, beside)):
        outcomes = Counter(one["outcome"] for one in seeded if one["beside"] == beside)
        known, unasked, survived = outcomes["known"], outcomes["cannot be asked"], outcomes["survived"]
        killed = outcomes.total() - known - unasked - survived
        where = "alone" if beside == ALONE else f"beside {beside}"
        rest = "" if beside == ALONE else f"; {known} are what it is known to do, {unasked} it cannot be asked"
        terminalreporter.write_line(f"{where}: {killed} of {killed + survived} killed, {survived} survived{rest}")
