"""python -m reports, as it is run."""

import dataclasses
import json
import subprocess
import sys

import pytest

from reports import __main__ as command
from reports import render
from reports.tests import samples


@pytest.fixture
def run(tmp_path, capsys):
    """Build a report of a folder: (exit status, what was printed, what was complained of, the folder of the report)."""

    def call(*folders):
        arguments = [part for folder in folders for part in ("--records", str(folder))]
        status = command.main([*arguments, "--output", str(tmp_path / "report")])
        return status, *capsys.readouterr(), tmp_path / "report"

    return call


def test_a_run_becomes_three_files(tmp_path, run):
    """A whole run gives a page, a Markdown summary and JSON, and the last line printed is the page's path."""
    samples.whole_run(tmp_path)
    status, out, err, report = run(tmp_path)
    assert status == 0 and err == "" and out.splitlines()[-1] == str(report / "index.html")
    assert (report / "index.html").stat().st_size < render.MOST_HTML and (report / "summary.md").stat().st_size < render.MOST_MARKDOWN
    assert json.loads((report / "tables.json").read_text())["runs"][0]["headline"].startswith("kernel.py:Pool deviates")


@pytest.mark.parametrize("there", [True, False])
def test_no_records_says_what_to_run(tmp_path, run, there):
    """An empty folder, or none, exits with 2 and says what to run."""
    folder = tmp_path / "records"
    if there:
        folder.mkdir()
    status, out, err, report = run(folder)
    assert status == 2 and out == "" and "tox -e report" in err and not report.exists()


def test_bad_lines_alone_are_named(tmp_path, run):
    """A folder of nothing but unreadable lines exits with 2, names each, and still says what to run."""
    (tmp_path / "records.jsonl").write_text('{"schema": 9}\n{"kind"')
    status, _, err, _ = run(tmp_path)
    assert status == 2 and "records.jsonl:1: 1 lines of schema 9 left out" in err and "records.jsonl:2: the last line is cut off" in err


def test_what_cannot_be_read_is_on_the_page(tmp_path, run):
    """A truncated line is named on standard error and on the page; the rest is reported."""
    samples.write(tmp_path, [samples.observation()], name="records.jsonl")
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"kind"')
    status, _, err, report = run(tmp_path)
    page = (report / "index.html").read_text()
    assert (
        status == 0
        and "records.jsonl:3: the last line is cut off" in err
        and "the last line is cut off" in page
        and "numpy conforms." in page
    )


def test_an_interrupted_run_is_reported(tmp_path, run):
    """A run without tallies is reported with what it had, and says that it was interrupted."""
    samples.write(tmp_path, [samples.observation()])
    _, out, _, report = run(tmp_path)
    assert "The run was interrupted." in out and "interrupted" in (report / "index.html").read_text()


def test_folders_of_two_machines_are_kept_apart(tmp_path, run):
    """Two folders of two machines make one page that tells them apart."""
    for environment in (samples.HERE, samples.ELSEWHERE):
        (tmp_path / environment.id).mkdir()
        samples.whole_run(tmp_path / environment.id, environment)
    _, out, _, report = run(tmp_path / samples.HERE.id, tmp_path / samples.ELSEWHERE.id)
    page = (report / "index.html").read_text()
    assert len(out.splitlines()) == 3 and "2 environments recorded here" in page
    assert page.count('id="aaaa11112222-matrix"') == page.count('id="bbbb33334444-matrix"') == 1


def test_a_history_becomes_trends(tmp_path, capsys):
    """Two runs kept in one database are drawn as trends, each with its link."""
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        samples.whole_run(folder, dataclasses.replace(samples.HERE, created=f"2026-03-0{number}T10:00:00+00:00"))
        arguments = ["--records", str(folder), "--output", str(tmp_path / "report"), "--history", str(tmp_path / "runs.sqlite")]
        assert command.main([*arguments, "--link", f"https://ci.example/{number}"]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert capsys.readouterr().err == "" and page.count('<div class="chart chart-wide">') == 1 + 3 + len(samples.WORKLOADS)
    assert 'href="https://ci.example/1"' in page and 'href="https://ci.example/2"' in page


def test_a_history_that_cannot_be_used_costs_only_itself(tmp_path, capsys):
    """A file that is no database is named, on standard error and on the page; the report is made."""
    samples.whole_run(tmp_path)
    (tmp_path / "text").write_text("no database, though long enough to be mistaken for one. " * 30)
    status = command.main(["--records", str(tmp_path), "--output", str(tmp_path / "report"), "--history", str(tmp_path / "text")])
    assert status == 0 and "name another file; this one is left as it is" in capsys.readouterr().err
    assert "name another file; this one is left as it is" in (tmp_path / "report" / "index.html").read_text()


def test_no_framework_is_imported(tmp_path):
    """Building a report imports no backend and no framework."""
    samples.whole_run(tmp_path)
    code = (
        "import sys; from reports.__main__ import main\n"
        f"main(['--records', {str(tmp_path)!r}, '--output', {str(tmp_path / 'report')!r}])\n"
        "print(sorted({'torch', 'tensorflow', 'jax', 'keras', 'onnxruntime', 'backends', 'properties', 'benchmarks'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
