"""What a gate leaves behind when it has ended: its files, its words, and what GitHub shows."""

import contextlib
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from benchmarks import gate_files
from benchmarks.gate_again import Again
from benchmarks.gate_calibration import Calibration
from benchmarks.gate_ci import annotation, annotations, refused_junit, write_junit
from benchmarks.gate_data import Run
from benchmarks.gate_findings import headline
from benchmarks.gate_markdown import markdown, refused_markdown
from benchmarks.gate_text import summary
from benchmarks.gate_verdict import Finding, Verdict

SIDES, JUNIT, SUMMARY = ("gate-baseline.json", "gate-candidate.json"), "junit.xml", "summary.md"
FILES = (gate_files.GATE, *SIDES, JUNIT, SUMMARY)


def clear(out: Path) -> None:
    """Remove what an earlier run left: nobody shall take it for this one's."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)


def leave(run: Run, verdict: Verdict, out: Path, calibration: Calibration | None, again: Again) -> Verdict:
    """Write every file into `out`, print the end, and return the verdict that holds: none where any of it cannot be written.

    A file that cannot be written is removed, and the others then say so.
    """
    for tell in (_files, _words, _step_summary):
        if error := tell(run, verdict, out, calibration, again):
            finding = Finding(kind="unwritten", state="invalid", level="error", message=f"what was found cannot be written: {error}")
            verdict = replace(verdict, state="invalid", findings=(finding, *verdict.findings))
            verdict = replace(verdict, headline=headline(run, verdict))
            # The record comes first, and has the room of all that stood here.
            _remove(out / name for name in FILES)
            _files(run, verdict, out, calibration, again)
    return verdict


def refuse(message: str, status: int, out: Path, asked: str) -> None:
    """Say in `out`, and to GitHub, why a gate ended before it measured: in whatever of it can be written."""
    told = refused_markdown(message, status, asked)
    for write in (
        lambda: clear(out),
        lambda: out.mkdir(parents=True, exist_ok=True),
        lambda: (out / SUMMARY).write_text(told, encoding="utf-8"),
        lambda: (out / JUNIT).write_text(refused_junit(message), encoding="utf-8"),
        lambda: _append(told),
        lambda: _on_github(annotation("error", "Gate", message)),
    ):
        with contextlib.suppress(OSError):
            write()


def flushed(stream: TextIO | None) -> bool:
    """Whether all that was printed has gone out; what has not is given up, as Python would end with a status of its own for it."""
    if stream is None:
        return True
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        return False
    return True


def _files(run: Run, verdict: Verdict, out: Path, calibration: Calibration | None, again: Again) -> Exception | None:
    """Each on its own, so that one that cannot be written takes no other along; the first error."""
    errors = [
        _tried(lambda: gate_files.write(run, verdict, out, calibration), [out / gate_files.GATE]),
        _tried(lambda: gate_files.write_sides(run, out), [out / name for name in SIDES]),
        _tried(lambda: write_junit(run, verdict, out / JUNIT, again), [out / JUNIT]),
        _tried(lambda: (out / SUMMARY).write_text(markdown(run, verdict, calibration, again), encoding="utf-8"), [out / SUMMARY]),
    ]
    return next(filter(None, errors), None)


def _words(run: Run, verdict: Verdict, _out: Path, _calibration: Calibration | None, again: Again) -> Exception | None:
    def told() -> None:
        print(summary(run, verdict, again), flush=True)
        _on_github(annotations(run, verdict, again))

    return _tried(told)


def _step_summary(run: Run, verdict: Verdict, _out: Path, calibration: Calibration | None, again: Again) -> Exception | None:
    return _tried(lambda: _append(markdown(run, verdict, calibration, again)))


def _tried(write: Callable[[], Any], files: Iterable[Path] = ()) -> Exception | None:
    """What went wrong, None if nothing did; what stands half written, or from before, is then removed."""
    try:
        write()
    except Exception as error:
        _remove(files)
        if not isinstance(error, OSError):
            with contextlib.suppress(OSError):
                traceback.print_exc()
        return error
    return None


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _append(told: str) -> None:
    if shown := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(shown).open("a", encoding="utf-8") as file:
            file.write(told + "\n")


def _on_github(told: str) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(told, flush=True)
