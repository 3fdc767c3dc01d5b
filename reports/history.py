"""Every run, kept in one database: so that a report can draw how a backend's times and verdicts have changed.

The database is a file of SQLite, or a PostgreSQL server where many machines write into one:

    runs.sqlite    sqlite:///runs.sqlite    postgresql://user@host/name      (the last needs psycopg)

A run is written in one transaction, and once: reporting a folder again replaces it. Points of a trend are the
medians of single runs on one sort of machine; nothing is averaged across runs.
"""

import hashlib
import itertools
import json
import math
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from reports.record import Environment
from reports.speed import Block, Entry, in_words
from reports.summary import Run
from reports.words import natural

SCHEMA = 1
PATIENCE = 20.0
"""Seconds to wait for another writer."""
FEWEST_STEPS = 10

TABLES = (
    "CREATE TABLE poolproof_meta (schema_version INTEGER NOT NULL)",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, created TEXT NOT NULL, environment TEXT NOT NULL, machine TEXT NOT NULL, described TEXT NOT NULL,
        headline TEXT NOT NULL, link TEXT NOT NULL
    )""",
    """CREATE TABLE verdicts (
        run TEXT NOT NULL REFERENCES runs (id), backend TEXT NOT NULL, version TEXT NOT NULL, state TEXT NOT NULL, sentence TEXT NOT NULL,
        PRIMARY KEY (run, backend)
    )""",
    """CREATE TABLE timings (
        run TEXT NOT NULL REFERENCES runs (id), workload TEXT NOT NULL, backend TEXT NOT NULL, version TEXT NOT NULL, layout TEXT NOT NULL,
        output TEXT NOT NULL, device TEXT NOT NULL, threads TEXT NOT NULL, mode TEXT NOT NULL, median DOUBLE PRECISION NOT NULL,
        low DOUBLE PRECISION, high DOUBLE PRECISION, noisy INTEGER NOT NULL,
        PRIMARY KEY (run, workload, backend, layout, output, device, threads, mode)
    )""",
    "CREATE INDEX runs_of_machine ON runs (machine, created)",
)
MIGRATIONS: dict[int, tuple[str, ...]] = {}
"""What makes the schema of version n + 1 from that of version n."""


class HistoryError(Exception):
    """The database cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One run as it was kept: `versions` by backend, `states` likewise."""

    id: str
    created: str
    headline: str
    link: str
    versions: dict[str, str]
    states: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One timing of one run, in seconds."""

    run: str
    created: str
    link: str
    version: str
    median: float
    low: float | None
    high: float | None
    noisy: bool


@dataclass(frozen=True, kw_only=True)
class Trend:
    """One workload in one setting on one backend and layout, run after run, oldest first."""

    workload: str
    setting: str
    backend: str
    layout: str
    points: tuple[Point, ...]

    @property
    def series(self) -> str:
        """As `Timing.series`."""
        return " ".join(part for part in (self.backend, self.layout) if part)

    @property
    def change(self) -> float:
        """The last median over the one before."""
        return self.points[-1].median / self.points[-2].median

    @property
    def sure(self) -> bool:
        """Whether the intervals of the last two points leave no doubt about the direction."""
        before, now = self.points[-2], self.points[-1]
        if None in (before.low, before.high, now.low, now.high) or before.noisy or now.noisy:
            return False
        return now.low > before.high or now.high < before.low  # type: ignore[operator]  # none of them is None here

    @property
    def upgrades(self) -> tuple[tuple[str, str], ...]:
        """(when, to which version) of each change of version along the way."""
        pairs = zip(self.points, self.points[1:], strict=False)
        return tuple((now.created, now.version) for before, now in pairs if now.version != before.version)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a history knows of one sort of machine."""

    runs: tuple[PastRun, ...]
    trends: tuple[Trend, ...]

    @property
    def restless(self) -> tuple[float, int] | None:
        """How far times go from one run to the next without a change of version: the median step, a share, and of how many."""
        steps = [
            abs(math.log(now.median / before.median))
            for trend in self.trends
            for before, now in itertools.pairwise(trend.points)
            if now.version == before.version
        ]
        return (math.expm1(statistics.median(steps)), len(steps)) if len(steps) >= FEWEST_STEPS else None


def machine_of(environment: Environment) -> str:
    """A name for one sort of machine: runs on others are never drawn on its curve.

    Memory counts in gigabytes: what a kernel keeps for itself differs from one boot to the next.
    """
    described = [environment.cpu, environment.cores, round((environment.memory or 0) / 2**30), dict(environment.caches)]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def run_id(run: Run) -> str:
    """The name under which a run is kept: its environment's id and when it began."""
    return f"{run.environment.id} {run.environment.created}"


class History:
    """A database of runs; use it as a context manager."""

    def __init__(self, url: str) -> None:
        """Open the database, and make its tables if it is new.

        Raises:
            HistoryError: it is locked, cannot be read, is no database or another's, or has a newer schema.
        """
        self.url = url
        self._postgres = url.startswith(("postgresql://", "postgres://"))
        self._errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        self._connection = self._connect_postgres() if self._postgres else self._connect_sqlite()
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def save(self, run: Run, link: str = "") -> str:
        """Keep a run, in one transaction, and return its id; a run that was kept before is replaced.

        Raises:
            HistoryError: another writer held the database too long, or it cannot be written to.
        """
        ident = run_id(run)
        machine = run.environment
        described = json.dumps({"cpu": machine.cpu, "cores": machine.cores, "os": machine.os, "packages": dict(machine.packages)})
        with self._writing() as execute:
            execute("DELETE FROM timings WHERE run = ?", (ident,))
            execute("DELETE FROM verdicts WHERE run = ?", (ident,))
            execute("DELETE FROM runs WHERE id = ?", (ident,))
            execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (ident, machine.created, machine.id, machine_of(machine), described, _text(run.headline), _text(link)),
            )
            for row in run.backends:
                values = (ident, _text(row.name), _text(row.version), row.state, _text(row.sentence))
                execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?)", values)
            for block in run.speed.blocks if run.speed else ():
                for entry in block.entries:
                    execute("INSERT INTO timings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (ident, *_timing(block, entry, run)))
        return ident

    def past(self, environment: Environment, most: int = 100) -> Past:
        """The last runs on machines like this one, and their trends.

        Raises:
            HistoryError: the database cannot be read.
        """
        machine = machine_of(environment)
        with self._guarded():
            rows = self._execute(
                "SELECT id, created, headline, link FROM runs WHERE machine = ? ORDER BY created DESC LIMIT ?", (machine, most)
            )
            kept = {row[0]: row for row in reversed(rows)}
            verdicts = self._execute(
                "SELECT v.run, v.backend, v.version, v.state FROM verdicts v JOIN runs r ON r.id = v.run WHERE r.machine = ?", (machine,)
            )
            timings = self._execute(
                """SELECT t.run, t.workload, t.backend, t.version, t.layout, t.output, t.device, t.threads, t.mode, t.median, t.low, t.high,
                    t.noisy FROM timings t JOIN runs r ON r.id = t.run WHERE r.machine = ?""",
                (machine,),
            )
        versions: dict[str, dict[str, str]] = {}
        states: dict[str, dict[str, str]] = {}
        for run, backend, version, state in verdicts:
            versions.setdefault(run, {})[backend] = version
            states.setdefault(run, {})[backend] = state
        return Past(
            runs=tuple(
                PastRun(
                    id=ident, created=created, headline=headline, link=link, versions=versions.get(ident, {}), states=states.get(ident, {})
                )
                for ident, created, headline, link in kept.values()
            ),
            trends=tuple(_trends(timings, kept)),
        )

    # --- the database ---

    def _connect_sqlite(self) -> Any:
        path = Path(self.url.removeprefix("sqlite:///"))
        if self.url.partition("://")[1] and not self.url.startswith("sqlite:///"):
            raise HistoryError(f"history {self.url.partition('://')[0]}://…: expected a file, sqlite:///FILE or postgresql://...")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise HistoryError(f"history {path}: {error}; name a file in a folder that can be written to") from error
        return connection

    def _connect_postgres(self) -> Any:
        try:
            import psycopg
        except ImportError as error:
            raise HistoryError(f"history {self._shown}: PostgreSQL needs psycopg: pip install 'psycopg[binary]'") from error
        self._errors = (psycopg.Error,)
        try:
            connection = psycopg.connect(self.url, autocommit=True, connect_timeout=round(PATIENCE), client_encoding="utf8")
            connection.execute(f"SET lock_timeout = '{round(PATIENCE)}s'")
        except psycopg.Error as error:
            raise HistoryError(f"history {self._shown}: {self._without_password(str(error).strip())}") from None
        return connection

    @property
    def _shown(self) -> str:
        """The URL without a password, and without its query, which may hold one."""
        if not self._postgres:
            return self.url
        parts = urlsplit(self.url)
        login, at, where = parts.netloc.rpartition("@")
        return f"{parts.scheme}://{login.partition(':')[0]}{at}{where}{parts.path}"

    def _without_password(self, said: str) -> str:
        parts = urlsplit(self.url)
        login = parts.netloc.rpartition("@")[0].partition(":")[2]
        secrets = {text for text in (login, unquote(login), *parse_qs(parts.query).get("password", ())) if text}
        for secret in secrets:
            said = said.replace(secret, "…")
        return said

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql.replace("?", "%s") if self._postgres else sql, tuple(values))
        return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            said = str(error).strip()
            advice = {
                "lock timeout": f"another process has held it for {PATIENCE:g} s; try again when it has finished",
                "locked": f"another process has held it for {PATIENCE:g} s; try again when it has finished",
                "readonly": "it is read-only: make it writable, or copy it",
                "read-only": "it is read-only: make it writable, or copy it",
                "not a database": "name another file; this one is left as it is",
            }
            what = next((text for mark, text in advice.items() if mark in said), "")
            raise HistoryError(f"history {self._shown}: {said}" + (f"; {what}" if what else "")) from error

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """One transaction that no other writer's can overlap; nothing of it stays if it fails."""
        with self._guarded():
            self._execute("BEGIN" if self._postgres else "BEGIN IMMEDIATE")
            try:
                if self._postgres:
                    self._execute("SELECT pg_advisory_xact_lock(hashtext('poolproof history'))")
                yield self._execute
                self._execute("COMMIT")
            except BaseException:
                # Where the statement that failed has ended the transaction itself, there is nothing to undo.
                if self._postgres or self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise

    def _tables(self) -> set[str]:
        if self._postgres:
            return {
                name for (name,) in self._execute("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
            }
        return {name for (name,) in self._execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _version(self) -> int | None:
        """The schema's version; None where the database is empty."""
        tables = self._tables()
        if "poolproof_meta" in tables:
            known = self._execute("SELECT schema_version FROM poolproof_meta")
            if not known:
                raise HistoryError(f"history {self._shown}: its schema's version is missing; name another file, this one is left as it is")
            return int(known[0][0])
        if {"runs", "verdicts", "timings"} & tables or (tables and not self._postgres):
            raise HistoryError(f"history {self._shown}: a database of something else ({', '.join(sorted(tables))}); name another")
        return None

    def _prepare(self) -> None:
        with self._guarded():
            if self._version() == SCHEMA:
                return
        with self._writing() as execute:
            version = self._version()
            if version is None:
                for statement in TABLES:
                    execute(statement)
                execute("INSERT INTO poolproof_meta VALUES (?)", (SCHEMA,))
                return
            if version > SCHEMA:
                raise HistoryError(f"history {self._shown}: has schema {version}, and this is written for {SCHEMA}; update the suite")
            for step in range(version, SCHEMA):
                if step not in MIGRATIONS:
                    raise HistoryError(f"history {self._shown}: has schema {version}, and there is no way from {step} to {step + 1}")
                for statement in MIGRATIONS[step]:
                    execute(statement)
            execute("UPDATE poolproof_meta SET schema_version = ?", (SCHEMA,))


def _timing(block: Block, entry: Entry, run: Run) -> tuple[Any, ...]:
    timing = entry.timing
    version = timing.version or next((row.version for row in run.backends if row.name == timing.backend), "")
    names = (timing.workload, timing.backend, version, timing.layout, block.output, block.device, block.threads, block.mode)
    spread = timing.spread
    return (*map(_text, names), spread.median, spread.low, spread.high, int(bool(entry.noise)))


def _text(value: str) -> str:
    """A text that a database takes: PostgreSQL has no NUL, and neither has lone surrogates."""
    return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _trends(rows: Sequence[tuple[Any, ...]], kept: dict[str, tuple[Any, ...]]) -> Iterator[Trend]:
    together: dict[tuple[str, str, str, str], list[Point]] = {}
    for run, workload, backend, version, layout, output, device, threads, mode, median, low, high, noisy in rows:
        if run in kept:
            _, created, _, link = kept[run]
            key = workload, in_words(output, device, threads, mode), backend, layout
            point = Point(run=run, created=created, link=link, version=version, median=median, low=low, high=high, noisy=bool(noisy))
            together.setdefault(key, []).append(point)
    for (workload, setting, backend, layout), points in sorted(together.items(), key=lambda item: [natural(part) for part in item[0]]):
        ordered = tuple(sorted(points, key=lambda point: point.created))
        if len(ordered) > 1:
            yield Trend(workload=workload, setting=setting, backend=backend, layout=layout, points=ordered)
