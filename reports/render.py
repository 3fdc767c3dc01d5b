"""Tables -> one HTML file that opens anywhere, Markdown for a pull request, JSON for other tools.

Everything that a record says is escaped wherever it goes: it is text, never markup.
"""

import base64
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from reports import gallery, gates, plots, speed, words
from reports.deviations import MEANING, STATES, asked_again, clipped
from reports.gallery import Exhibit, Picture
from reports.history import Past
from reports.matrix import Cell, Row
from reports.plots import Plot
from reports.record import Mutant, Problem, Record
from reports.summary import Run, Summary

TEMPLATES = Path(__file__).parent / "templates"
MOST_HTML = 5_000_000
MOST_MARKDOWN = 60_000
TABLES_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Family:
    """The seeded defects of one family: how many were seen, alone or beside a framework, and how long the slowest took (seconds)."""

    name: str
    scores: tuple[tuple[int, int], ...]
    slowest: float


@dataclass(frozen=True, kw_only=True)
class View:
    """A run with what only a page needs."""

    run: Run
    name: str
    kicker: str
    versions: Mapping[str, str]
    sections: tuple[tuple[str, str], ...]
    has_matrix: bool
    plots: tuple[Plot, ...]
    exhibits: tuple[Exhibit, ...]
    shown: tuple[tuple[str, str, str], ...]
    mutants: tuple[Mutant, ...]
    beside: tuple[str, ...]
    families: tuple[Family, ...]
    environment: tuple[tuple[str, str], ...]
    past: Past | None
    changes: tuple[Plot, ...]


@functools.cache
def templates() -> jinja2.Environment:
    """The folder of templates, with the functions that they use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["by"] = _by
    for function in (
        is_link,
        words.slug, words.count, words.plural, words.duration, words.times, words.percent, words.significant, words.listed, speed.interval,
        is_path, shown_width, breakable, gates.change, gates.times_of, gates.visible,
    ):  # fmt: skip
        environment.globals[function.__name__] = function
    return environment


def _by(rows: Iterable[Any], attribute: str) -> list[tuple[str, list[Any]]]:
    """Neighbours that share an attribute, together."""
    return [(key, list(members)) for key, members in itertools.groupby(rows, key=lambda row: getattr(row, attribute))]


def is_path(name: str) -> bool:
    """Whether a backend's name is a file's or a module's, whose colon begins no variant."""
    return "/" in name or "." in name.partition(":")[0]


def is_link(text: str) -> bool:
    """Whether a text is the address of a page and nothing else."""
    return re.fullmatch(r"https?://[^\s<>\"'`]+", text) is not None


def breakable(text: str) -> Markup:
    """A name that may go on in the next line after an underscore, a dot or a hyphen."""
    return Markup(re.sub(r"(?<=[_.-])(?=[^\W\d_])", "<wbr>", str(escape(text))))


def shown_width(row: Sequence[Picture], _: Picture) -> int:
    """How many pixels wide the pictures of a row are shown: as large as fits, and all alike."""
    return {1: 300, 2: 260, 3: 230}.get(len(row), 176)


# --- HTML ---------------------------------------------------------------------------------------


def html(summary: Summary, folders: Sequence[Path], made: str, pasts: Mapping[str, Past] | None = None) -> tuple[str, list[Problem]]:
    """The whole page, under 5 MB, and what of the experiments' files could not be drawn.

    `pasts` are what a history knows of each environment, by id. A page that would be larger leaves out pictures first, then further
    cases, and says so.
    """
    too_large = "were left out: with them the page would be larger than 5 MB."
    for pictures, lean, cut in (
        (True, False, ""),
        (False, False, f"Pictures {too_large}"),
        (False, True, f"Pictures, and all but the smallest case of each deviation, {too_large}"),
    ):
        views, problems = [], []
        for run in summary.runs:
            view, wrong = _view(_lean(run) if lean else run, folders, pictures, (pasts or {}).get(run.environment.id))
            views.append(view)
            problems += wrong
        page = _page(summary, views, [*summary.problems, *problems], made, cut)
        size = len(page.encode("utf-8", "backslashreplace"))
        if size < MOST_HTML:
            break
    else:
        text = f"the page has {words.size(size)}, and 5 MB are what it may have: report fewer backends or folders at once"
        problems.append(Problem("index.html", 0, text))
    return page, problems


def _lean(run: Run) -> Run:
    """A run without the further cases of its deviations, and without the cells' examples."""
    blocks = {
        name: tuple(dataclasses.replace(row, cells=tuple(dataclasses.replace(cell, examples=()) for cell in row.cells)) for row in rows)
        for name, rows in run.matrix.blocks.items()
    }
    deviations = tuple(dataclasses.replace(deviation, others=()) for deviation in run.deviations)
    return dataclasses.replace(run, matrix=dataclasses.replace(run.matrix, blocks=blocks), deviations=deviations)


def _page(summary: Summary, views: Sequence[View], problems: Sequence[Problem], made: str, cut: str) -> str:
    names = sorted({name for view in views for name in _named(view.run)}, key=words.natural)
    number = {name: place for place, name in enumerate(names)}
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    headlines = [one.headline for one in (summary.runs or summary.gates)]
    title = headlines[0] if len(headlines) == 1 else f"{len(headlines)} {'environments' if summary.runs else 'gates'}"
    used = {cell.state for view in views for row in _rows(view.run) for cell in row.cells}
    used |= {deviation.state for view in views for deviation in view.run.deviations}
    return templates().get_template("page.html.j2").render(
        views=views, problems=problems, names=names, number=number, made=made, cut=cut, folders=summary.folders,
        title=title, gates=[(gate, plots.of_gate(gate)) for gate in summary.gates],
        states=[state for state in STATES if state in used], meanings={state: MEANING[state] for state in STATES if state in used},
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")), script=Markup(script), script_hash=_digest(script),
        data=embedded(_details(views)),
    )  # fmt: skip


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def embedded(values: Any) -> Markup:
    """JSON that can stand in a script element whatever it holds."""
    text = json.dumps(values, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _named(run: Run) -> Iterator[str]:
    yield from run.names
    yield from (row.name for row in run.backends)
    for deviation in run.deviations:
        yield from deviation.backends
    if run.speed:
        yield from (entry.timing.backend for block in run.speed.blocks for entry in block.entries)
        yield from (one.backend for block in run.speed.blocks for one in block.absent)


def _rows(run: Run) -> Iterator[Row]:
    for rows in run.matrix.blocks.values():
        yield from rows


def _view(run: Run, folders: Sequence[Path], pictures: bool, past: Past | None) -> tuple[View, list[Problem]]:
    exhibits, problems = gallery.exhibits(run.experiments, folders, pictures=pictures)
    has_matrix = any(cell.state != "not run" for row in _rows(run) for cell in row.cells)
    machine = run.environment
    name = ", ".join(
        part for part in (machine.cpu or machine.id, words.plural(machine.cores, "core") if machine.cores else "", machine.python) if part
    )
    sections = (
        ("verdict", "Verdict", True),
        ("matrix", "Conformance", has_matrix),
        ("divergences", "Deviations", bool(run.deviations)),
        ("speed", "Speed", run.speed is not None),
        ("history", "History", past is not None),
        ("gallery", "What pooling does", bool(exhibits)),
        ("porting", "Porting", bool(run.porting)),
        ("laws", "Laws", bool(run.laws)),
        ("sensitivity", "Sensitivity", bool(run.mutants)),
        ("support", "Support", bool(run.support)),
        ("coverage", "Coverage", bool(run.coverage)),
        ("backends", "Backends and environment", True),
    )
    beside = tuple(sorted({mutant.beside for mutant in run.mutants}))
    view = View(
        run=run,
        name=name,
        kicker=" · ".join(part for part in (machine.created[:16].replace("T", " "), name) if part),
        versions={row.name: row.version for row in run.backends},
        sections=tuple((anchor, text) for anchor, text, there in sections if there),
        has_matrix=has_matrix,
        plots=tuple(plots.of_speed(run.speed)) if run.speed else (),
        exhibits=tuple(exhibits),
        shown=tuple(gallery.summary(run.experiments)),
        mutants=tuple(
            sorted(run.mutants, key=lambda mutant: (bool(mutant.killed_by or mutant.known), mutant.family, mutant.mutant, mutant.beside))
        ),
        beside=beside,
        families=tuple(_families(run.mutants, beside)),
        environment=tuple(_environment(run)),
        past=past,
        changes=tuple(plots.of_history(past)) if past else (),
    )
    return view, problems


def _families(mutants: Sequence[Mutant], beside: Sequence[str]) -> Iterator[Family]:
    for name, members in _by(sorted(mutants, key=lambda mutant: mutant.family), "family"):
        tried = {one: [mutant for mutant in members if mutant.beside == one and not mutant.known] for one in beside}
        scores = tuple((sum(mutant.killed_by is not None for mutant in tried[one]), len(tried[one])) for one in beside)
        yield Family(name=name, scores=scores, slowest=max((mutant.seconds for mutant in members), default=0.0))


def _environment(run: Run) -> Iterator[tuple[str, str]]:
    machine = run.environment
    yield "Recorded", machine.created
    yield "Environment", machine.id
    yield "CPU", " · ".join(part for part in (machine.cpu, words.plural(machine.cores, "core") if machine.cores else "") if part)
    yield "Memory", words.size(machine.memory) if machine.memory else ""
    yield "Caches", ", ".join(f"{name} {size}" for name, size in machine.caches.items())
    yield "System", machine.os
    yield "Python", machine.python
    yield "Packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    yield "Threads", ", ".join(f"{name}={value}" for name, value in machine.threads.items())
    if run.loads:
        yield "Load", f"{min(run.loads):g} to {max(run.loads):g}, when a process began to record"
    yield "Notes", "; ".join(machine.notes)


def _details(views: Sequence[View]) -> dict[str, Any]:
    """What the dialog of a cell says, for every cell of every matrix."""
    cells: dict[str, Any] = {}
    cases: list[dict[str, str]] = []
    places: dict[tuple[str, str, str], int] = {}
    deviations = {}
    for view in views:
        prefix = view.run.prefix
        for deviation in view.run.deviations:
            deviations[prefix + deviation.anchor] = {"title": deviation.title, "state": deviation.state, "upstream": deviation.upstream}
        for row in _rows(view.run):
            for cell in row.cells:
                cells[prefix + cell.anchor] = {
                    "backend": cell.backend, "row": f"{row.heading}: {row.label}", "state": cell.state, "sentence": _sentence(cell),
                    "deviating": cell.deviating, "reasons": [clipped(reason) for reason in cell.reasons],
                    "deviations": [prefix + anchor for anchor in cell.deviations],
                    "examples": [_example(record, cases, places) for record in cell.examples],
                }  # fmt: skip
    return {"cells": cells, "cases": cases, "deviations": deviations}


def _example(record: Record, cases: list[dict[str, str]], places: dict[tuple[str, str, str], int]) -> int:
    key = record.backend, record.law, record.case
    if key not in places:
        places[key] = len(cases)
        case = clipped(record.case)
        told = {
            "case": case, "law": record.law, "expected": record.expected or "", "actual": record.actual or "",
            "bound": record.bound or "", "message": clipped(record.message), "native": clipped(record.native or ""),
            "seed": "" if record.seed is None else str(record.seed), "replay": asked_again(record.law, case, record.backend),
        }  # fmt: skip
        cases.append(told)
    return places[key]


def _sentence(cell: Cell) -> str:
    if cell.state in ("gap", "not run"):
        return MEANING[cell.state] + "."
    of = f"{words.plural(cell.asked, 'answer')} under {words.plural(cell.laws, 'law')}"
    if not cell.deviating:
        return f"in all of {of}."
    where = " Some of it occurs in this row and nowhere else." if cell.specific else ""
    return f"is the worst of {of}; {words.count(cell.deviating)} deviate.{where}"


# --- Markdown and JSON --------------------------------------------------------------------------


def markdown(summary: Summary, made: str) -> str:
    """A summary for a pull request: the verdict first, under 60 kB; what does not fit is left out from the end, and said."""
    parts = []
    for run in summary.runs:
        text = (
            templates()
            .get_template("summary.md.j2")
            .render(
                run=run,
                md=markdown_text,
                code=markdown_code,
                shown=gallery.summary(run.experiments),
                several=len(summary.runs) > 1,
                gates=summary.gates if run is summary.runs[0] else (),
            )
        )
        parts.append(str(text))
    parts += [
        str(templates().get_template("gate.md.j2").render(gate=gate, md=markdown_text, alone=not summary.runs)) for gate in summary.gates
    ]
    body = "\n".join(parts)
    if summary.problems:
        body += (
            f"\n{words.plural(len(summary.problems), 'line or file', 'lines or files')} could not be read; the HTML report names them.\n"
        )
    body += f"\n{made}.\n"
    raw = body.encode("utf-8", "backslashreplace")
    if len(raw) < MOST_MARKDOWN:
        return raw.decode()
    told = "\n\nCut here: the HTML report has the rest.\n"
    kept = raw[: MOST_MARKDOWN - len(told) - 8].decode("utf-8", "ignore").rpartition("\n")[0]
    # A fence that the cut left open would swallow the note.
    return kept + ("\n```" if kept.count("```") % 2 else "") + told


def markdown_text(value: object) -> Markup:
    """Text inside Markdown: nothing of it is markup, of Markdown or of HTML, and it stays on its line."""
    escaped = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]#|~":
        escaped = escaped.replace(mark, f"\\{mark}" if mark != "|" else "&#124;")
    return Markup(" ".join(escaped.split()))


def markdown_code(value: object, language: str = "") -> Markup:
    """Text in a fence that it cannot close."""
    text = str(value)
    fence = "`" * max(3, 1 + max((len(list(run)) for mark, run in itertools.groupby(text) if mark == "`"), default=0))
    return Markup(f"{fence}{language}\n{text}\n{fence}")


def tables(summary: Summary, problems: Sequence[Problem] = (), pasts: Mapping[str, Past] | None = None) -> str:
    """Every table as JSON, for other tools; `problems` are those beside the summary's own, `pasts` as for `html`."""
    values = {
        "schema": TABLES_SCHEMA,
        "runs": [_plain(run) for run in summary.runs],
        "gates": [_plain(gate) for gate in summary.gates],
        "history": {ident: _plain(past) for ident, past in (pasts or {}).items()},
        "problems": [problem._asdict() for problem in (*summary.problems, *problems)],
    }
    return json.dumps(values, indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """Dataclasses as objects; numbers that JSON does not have, as words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
