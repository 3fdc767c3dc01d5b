"""What a gate leaves behind when it has ended: its files, its words, and what GitHub shows."""

import os
import sys
from pathlib import Path

from benchmarks import gate_files
from benchmarks.gate_calibration import Calibration
from benchmarks.gate_ci import annotations, write_junit
from benchmarks.gate_data import Run
from benchmarks.gate_markdown import markdown
from benchmarks.gate_text import summary
from benchmarks.gate_verdict import Verdict

FILES = ("gate.json", "gate-baseline.json", "gate-candidate.json", "junit.xml", "summary.md")


def clear(out: Path) -> None:
    """Remove what an earlier run left: nobody shall take it for this one's."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def leave(run: Run, verdict: Verdict, out: Path, calibration: Calibration | None, prefix: str) -> None:
    """Write every file into `out` and print the end; the record comes first, so that a full disk takes the rest before it.

    `prefix` is the command that asked for this run.

    Raises:
        OSError: something cannot be written.
    """
    gate_files.write(run, verdict, out, calibration)
    gate_files.write_sides(run, out)
    write_junit(run, verdict, out / "junit.xml", prefix)
    told = markdown(run, verdict, calibration, prefix)
    (out / "summary.md").write_text(told, encoding="utf-8")
    if shown := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(shown).open("a", encoding="utf-8") as file:
            file.write(told + "\n")
    print(summary(run, verdict, prefix))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(annotations(run, verdict, prefix))
    sys.stdout.flush()
