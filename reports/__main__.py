"""python -m reports: make the report of a run from the files that it left.

    python -m reports                            out/records, out/gate -> out/report/index.html, summary.md, tables.json
    python -m reports --records DIR --output DIR     other folders; --records can be given several times
    python -m reports --history URL                  keep the run in a database, and draw the trends that it has
    python -m reports upstream ID                one known divergence as a bug report, in Markdown

The last line that it prints is the path of the page. Exit status: 0 a report was made, 2 there is nothing to report on.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from reports import record

if TYPE_CHECKING:  # a folder without records is refused before anything is drawn
    from reports import history, summary

DEFAULT_OUTPUT = Path("out/report")
GATE = Path("out/gate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is in the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Make the report of a run from the files that it left.")
    parser.add_argument(
        "--records", action="append", type=Path, metavar="DIR", help=f"a run's folder; repeatable (default: {record.DEFAULT_FOLDER})"
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="where to write (default: %(default)s)")
    parser.add_argument("--history", metavar="URL", help="keep the run in this database (a file, or postgresql://...) and draw its trends")
    parser.add_argument("--link", default="", metavar="URL", help="where the run can be seen, to be kept with it")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands, instead of the report")
    upstream = commands.add_parser("upstream", help="one known divergence as a bug report, in Markdown")
    upstream.add_argument("id", help="the divergence's id")
    upstream.add_argument("--records", action="append", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="as above")
    chosen = parser.parse_args(arguments)
    folders = chosen.records or [record.DEFAULT_FOLDER, *([GATE] if GATE.is_dir() else [])]
    with _nothing_is_garbage():
        loaded = record.load(*folders)
        if loaded.empty:
            return _nothing(loaded)
        if chosen.command == "upstream":
            return _upstream(loaded, chosen.id)
        return _report(loaded, folders, chosen)


def _nothing(loaded: record.Loaded) -> int:
    for problem in loaded.problems:
        print(f"{problem.file}{f':{problem.line}' if problem.line else ''}: {problem.message}", file=sys.stderr)
    where = ", ".join(map(str, loaded.folders))
    print(
        f"nothing to report on in {where}.\n"
        "  tox -e report                             runs everything and reports it\n"
        "  tox -e conform -- --backend NAME          asks one backend\n"
        "  python -m reports --records DIR           reports another folder",
        file=sys.stderr,
    )
    return 2


def _upstream(loaded: record.Loaded, ident: str) -> int:
    from reports import upstream

    try:
        print(upstream.written(loaded, ident))
    except upstream.UnknownDivergence as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _report(loaded: record.Loaded, folders: Sequence[Path], chosen: argparse.Namespace) -> int:
    from reports import render, summary

    output: Path = chosen.output
    told = summary.summarise(loaded)
    pasts: dict[str, history.Past] = {}
    if chosen.history:
        pasts, wrong = _kept(told.runs, chosen.history, chosen.link)
        told = dataclasses.replace(told, problems=(*told.problems, *wrong))
    made = f"Made {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    page, problems = render.html(told, folders, made, pasts)
    output.mkdir(parents=True, exist_ok=True)
    # A lone surrogate, which a message may hold, has no UTF-8: it is written out as \udXXX.
    for name, text in (
        ("index.html", page),
        ("summary.md", render.markdown(told, made)),
        ("tables.json", render.tables(told, problems, pasts)),
    ):
        (output / name).write_bytes(text.encode("utf-8", "backslashreplace"))
    for problem in (*told.problems, *problems):
        print(f"{problem.file}{f':{problem.line}' if problem.line else ''}: {problem.message}", file=sys.stderr)
    for run in told.runs:
        print(run.headline)
    for gate in told.gates:
        print(f"regression gate: {gate.headline}")
    print(output / "index.html")
    return 0


def _kept(runs: Sequence[summary.Run], url: str, link: str) -> tuple[dict[str, history.Past], list[record.Problem]]:
    """Keep each run, and fetch what came before it; a history that cannot be used costs only itself."""
    from reports import history

    pasts: dict[str, history.Past] = {}
    problems = []
    try:
        with history.History(url) as kept:
            for run in runs:
                try:
                    kept.save(run, link)
                except history.HistoryError as error:
                    problems.append(record.Problem("history", 0, f"this run was not kept: {error}"))
                pasts[run.environment.id] = kept.past(run.environment)
    except history.HistoryError as error:
        problems.append(record.Problem("history", 0, str(error)))
    return pasts, problems


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """Python's cycle collector would go through millions of records again and again: a third of the time that a report takes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


if __name__ == "__main__":
    sys.exit(main())
