"""Runs kept in a database, SQLite's or PostgreSQL's."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from reports import history, record, summary
from reports.history import History, HistoryError, machine_of
from reports.tests import samples

BIN = (
    next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None) or Path(shutil.which("postgres") or "/nowhere").parent
)


def _run(folder, number=0, slow=1.0, environment=samples.HERE):
    """The run of a folder of its own, `number` days after the first."""
    environment = dataclasses.replace(environment, created=f"2026-03-{1 + number:02}T10:00:00+00:00")
    folder = folder / f"run-{number}-{environment.id}"
    folder.mkdir()
    samples.write(folder, [*samples.around(), samples.observation()], environment)
    (folder / "bench-1.json").write_text(json.dumps(samples.benchmarks(environment.id, slow=slow)))
    (run,) = summary.summarise(record.load(folder)).runs
    return run


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server of this test alone, on a socket."""
    pytest.importorskip("psycopg", reason="no psycopg: PostgreSQL is not tried")
    if not (BIN / "initdb").exists():
        pytest.skip("no PostgreSQL: Debian's package postgresql has it")
    # Not pytest's folder, which is root's alone: PostgreSQL does not run as root, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="pp-"))
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, **user)
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    options = {**user, "stdout": subprocess.DEVNULL, "timeout": 120, "env": environment, "cwd": folder}
    subprocess.run([BIN / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8"], check=True, **options)
    start = ["-o", f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off", "-l", folder / "log", "-w", "start"]
    subprocess.run([BIN / "pg_ctl", "-D", data, *start], check=True, **options)
    yield f"postgresql://tester@/postgres?host={folder}"
    subprocess.run([BIN / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, **options)
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        yield str(tmp_path / "deep" / "runs.sqlite")
        return
    import psycopg

    address = request.getfixturevalue("server")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    yield address


def test_runs_become_trends(url, tmp_path):
    """Runs of one machine make a trend for each workload and series, in the order of time, with each run's version."""
    with History(url) as kept:
        for number, slow in ((1, 1.1), (0, 1.0), (2, 2.2)):
            kept.save(_run(tmp_path, number, slow), link=f"https://ci.example/{number}")
        past = kept.past(samples.HERE)
    trend = next(one for one in past.trends if (one.workload, one.series) == ("resnet50.stem", "torch channels_last"))
    assert [point.median for point in trend.points] == pytest.approx([1e-3, 1.1e-3, 2.2e-3]) and trend.change == pytest.approx(2.0)
    assert [point.link for point in trend.points] == [f"https://ci.example/{number}" for number in range(3)]
    assert len(past.trends) == 16 and {point.version for point in trend.points} == {"2.13.0"}
    assert [run.created[:10] for run in past.runs] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert past.runs[0].states["numpy"] == "conforms" and past.runs[0].states["jax"] == "missing"


def test_what_runs_differ_by_is_measured(tmp_path):
    """How far times go from run to run without a change of version is said from the runs themselves, once there are enough."""
    with History(str(tmp_path / "runs.sqlite")) as kept:
        kept.save(_run(tmp_path))
        assert kept.past(samples.HERE).restless is None
        kept.save(_run(tmp_path, 1, 1.1))
        share, steps = kept.past(samples.HERE).restless
    assert steps == 16 and share == pytest.approx(0.1)


def test_a_boot_makes_no_other_machine(tmp_path):
    """A kernel that keeps some more megabytes for itself leaves the machine what it was."""
    smaller = dataclasses.replace(samples.HERE, memory=samples.HERE.memory - 2**24)
    assert machine_of(smaller) == machine_of(samples.HERE) != machine_of(samples.ELSEWHERE)


def test_a_run_is_kept_once(url, tmp_path):
    """A run that is reported again replaces what was kept of it."""
    run = _run(tmp_path)
    with History(url) as kept:
        assert kept.save(run) == kept.save(run)
        assert len(kept.past(samples.HERE).runs) == 1


def test_machines_are_kept_apart(url, tmp_path):
    """A run on another sort of machine is no point of this one's trend."""
    with History(url) as kept:
        kept.save(_run(tmp_path))
        kept.save(_run(tmp_path, 1, environment=samples.ELSEWHERE))
        assert len(kept.past(samples.HERE).runs) == 1 and kept.past(samples.HERE).trends == ()


def test_any_text_is_kept(url, tmp_path):
    """Names and links that hold quotes, NULs or lone surrogates are kept as text."""
    run = _run(tmp_path)
    hostile = "'; DROP TABLE runs; --\x00\ud800<script>"
    row = dataclasses.replace(run.backends[0], name=hostile)
    with History(url) as kept:
        kept.save(dataclasses.replace(run, backends=(row,), headline=hostile), link=hostile)
        (past,) = kept.past(samples.HERE).runs
    assert past.headline == "'; DROP TABLE runs; --\\x00\\ud800<script>" and list(past.states) == [past.headline]


def test_a_run_that_fails_halfway_leaves_nothing(url, tmp_path):
    """A run is written whole or not at all, and what it would have replaced stays."""
    run = _run(tmp_path)
    twice = dataclasses.replace(run, headline="another", backends=(*run.backends, run.backends[0]))
    with History(url) as kept:
        kept.save(run)
        with pytest.raises(HistoryError):
            kept.save(twice)
        (past,) = kept.past(samples.HERE).runs
    assert past.headline == run.headline and len(past.states) == len(run.backends)


def _save_many(url: str, run: summary.Run, first: int) -> None:
    for number in range(first, first + 5):
        environment = dataclasses.replace(run.environment, created=f"2026-04-{1 + number:02}")
        with History(url) as kept:
            kept.save(dataclasses.replace(run, environment=environment))


def test_two_writers_lose_nothing(url, tmp_path):
    """Two processes that write at once, into a database that neither has made, lose no run."""
    run = _run(tmp_path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_save_many, args=(url, run, first)) for first in (0, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with History(url) as kept:
        assert len(kept.past(samples.HERE).runs) == 10


def test_a_newer_schema_is_refused(url, monkeypatch):
    """A database that a newer version has made is left alone, with a word on what to do."""
    with monkeypatch.context() as newer:
        newer.setattr(history, "SCHEMA", 7)
        History(url).__exit__()
    with pytest.raises(HistoryError, match="has schema 7, and this is written for 1; update the suite"):
        History(url)


def test_an_older_schema_is_migrated(url, tmp_path, monkeypatch):
    """An older database is brought to this schema, and keeps its runs; without a way it is refused."""
    with History(url) as kept:
        kept.save(_run(tmp_path))
    monkeypatch.setattr(history, "SCHEMA", 2)
    with pytest.raises(HistoryError, match="no way from 1 to 2"):
        History(url)
    monkeypatch.setattr(history, "MIGRATIONS", {1: ("ALTER TABLE runs ADD COLUMN branch TEXT NOT NULL DEFAULT ''",)})
    with History(url) as kept:
        assert len(kept.past(samples.HERE).runs) == 1
    History(url).__exit__()


def test_what_is_no_database_is_refused(tmp_path):
    """A file that is no database, and a database of something else, are left as they are."""
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("not a database, but long enough to look like one " * 30)
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(HistoryError, match="name another file; this one is left as it is"):
        History(str(text))
    with pytest.raises(HistoryError, match="a database of something else"):
        History(str(other))
    assert text.read_text().startswith("not a database")


def test_a_locked_database_says_so(tmp_path, monkeypatch):
    """A database that another process holds is refused after a while, saying so."""
    monkeypatch.setattr(history, "PATIENCE", 0.1)
    url = str(tmp_path / "runs.sqlite")
    History(url).__exit__()
    holder = sqlite3.connect(url, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(HistoryError, match=r"locked; another process has held it for 0\.1 s"):
        History(url)
    holder.close()


def test_a_read_only_database_can_be_read(tmp_path):
    """A read-only database gives its trends; writing to it says that it is read-only."""
    url, run = str(tmp_path / "runs.sqlite"), _run(tmp_path)
    with History(url) as kept:
        kept.save(run)
        kept._execute("PRAGMA query_only = ON")
        assert len(kept.past(samples.HERE).runs) == 1
        with pytest.raises(HistoryError, match="it is read-only"):
            kept.save(run)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://nobody:secret@host/name",
        "postgresql://nobody:secret@127.0.0.1:1/none",
        "postgresql://127.0.0.1:1/none?user=nobody&password=secret",
        "postgresql://127.0.0.1/none?password=secret&port=none",
    ],
)
def test_what_cannot_be_reached_is_named_without_its_password(url):
    """An address that cannot be used raises one error that shows no password."""
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="no psycopg: PostgreSQL is not tried")
    with pytest.raises(HistoryError) as error:
        History(url)
    assert "secret" not in str(error.value)
