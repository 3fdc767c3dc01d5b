"""python -m reports: make the report of a run from the files that it left.

    python -m reports                            out/records -> out/report/index.html, summary.md, tables.json
    python -m reports --records DIR --output DIR     other folders; --records can be given several times
    python -m reports upstream ID                one known divergence as a bug report, in Markdown

The last line that it prints is the path of the page. Exit status: 0 a report was made, 2 there is nothing to report on.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from reports import record

DEFAULT_OUTPUT = Path("out/report")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is in the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Make the report of a run from the files that it left.")
    parser.add_argument(
        "--records", action="append", type=Path, metavar="DIR", help=f"a run's folder; repeatable (default: {record.DEFAULT_FOLDER})"
    )
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="where to write (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands, instead of the report")
    upstream = commands.add_parser("upstream", help="one known divergence as a bug report, in Markdown")
    upstream.add_argument("id", help="the divergence's id")
    upstream.add_argument("--records", action="append", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="as above")
    chosen = parser.parse_args(arguments)
    folders = chosen.records or [record.DEFAULT_FOLDER]
    loaded = record.load(*folders)
    if loaded.empty:
        return _nothing(loaded)
    if chosen.command == "upstream":
        return _upstream(loaded, chosen.id)
    return _report(loaded, folders, chosen.output)


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


def _report(loaded: record.Loaded, folders: Sequence[Path], output: Path) -> int:
    from reports import render, summary

    told = summary.summarise(loaded)
    made = f"Made {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    page, problems = render.html(told, folders, made)
    output.mkdir(parents=True, exist_ok=True)
    # A lone surrogate, which a message may hold, has no UTF-8: it is written out as \udXXX.
    for name, text in (("index.html", page), ("summary.md", render.markdown(told, made)), ("tables.json", render.tables(told))):
        (output / name).write_bytes(text.encode("utf-8", "backslashreplace"))
    for problem in (*told.problems, *problems):
        print(f"{problem.file}{f':{problem.line}' if problem.line else ''}: {problem.message}", file=sys.stderr)
    for run in told.runs:
        print(run.headline)
    print(output / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
