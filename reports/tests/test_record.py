"""Records: written line by line, read back whole, with every bad line named."""

import json
import math
import multiprocessing
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import record
from reports.lines import read_line
from reports.tests import samples

OBSERVATION = {"kind": "observation", "law": "a", "case": "b", "backend": "c", "version": "d", "status": "conforms"}


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]


@given(text=st.text(st.characters()), value=st.floats() | st.integers(-(2**53), 2**53))
def test_a_line_is_read_as_it_was_written(text, value):
    """Any text and any number survive a line: lone surrogates, line ends and NaN too."""
    written = samples.observation(message=text, numbers={text: {"value": value, "unit": text}})
    line = written.to_json()
    read = read_line(json.loads(line, parse_constant=pytest.fail))
    number = record.as_number(read.numbers[text]["value"])
    assert "\n" not in line and line.isascii()
    assert read.message == text and (number == value or math.isnan(number) and math.isnan(value))


def test_a_folder_gives_back_what_was_recorded(tmp_path):
    """What a whole run records is loaded by kind, under the environment that it was recorded in."""
    samples.whole_run(tmp_path)
    loaded = record.load(tmp_path)
    found = {
        kind: len(getattr(loaded, kind)) for kind in ("loadings", "gaps", "tallies", "divergences", "experiments", "porting", "mutants")
    }
    assert found == {"loadings": 6, "gaps": 3, "tallies": 15, "divergences": 3, "experiments": 2, "porting": 2, "mutants": 3}
    assert {line.environment for line in loaded.observations} == {samples.HERE.id}
    assert loaded.problems == () and len(loaded.benchmarks) == 1 and len(loaded.arrays) == 2


def test_the_first_line_is_the_environment(tmp_path):
    """A file begins with the environment, and each line that names none belongs to it."""
    with record.Writer(tmp_path) as writer:
        kept = writer.append(OBSERVATION)
    first, second = _lines(tmp_path)
    assert first["kind"] == "environment" and first["id"] == second["environment"] == kept.environment


def test_an_environment_keeps_its_id():
    """The id of an environment depends on the machine and the versions, not on when or under which load it was captured."""
    first, second = record.Environment.capture(), record.Environment.capture(notes=["again"])
    assert first.id == second.id and first.packages["numpy"]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kind": "observations"}, "kind='observations'"),
        ({"kind": ["observation"]}, "expected one of"),
        ({"status": "fine"}, "status='fine'"),
        ({"law": 1}, "law=1: expected str"),
        ({"surprise": 1}, "unknown surprise"),
    ],
    ids=str,
)
def test_a_wrong_line_is_refused_by_name(tmp_path, change, said):
    """A mapping that is no line raises ValueError with the key or the value that is wrong."""
    with pytest.raises(ValueError, match=re.escape(said)):
        record.Writer(tmp_path).append(OBSERVATION | change)


def test_a_missing_key_is_named(tmp_path):
    """A mapping without a key that its kind needs raises ValueError naming the key."""
    with pytest.raises(ValueError, match="'status'"):
        record.Writer(tmp_path).append({key: value for key, value in OBSERVATION.items() if key != "status"})


@pytest.mark.parametrize(
    "raw, message",
    [
        (b'{"kind":"observ', "the last line is cut off"),
        (b"[1, 2]\n", "not a record: list, where an object was expected"),
        (b"\xff\xfe\n", "not a record"),
        (b'{"schema":1,"kind":"observation"}\n', "not a record"),
        (b'{"schema":2,"kind":"observation"}\n{"schema":2}\n', "2 lines of schema 2 left out: this report reads schema 1"),
        (b"[" * 100_000 + b"\n", "not a record"),
    ],
    ids=["truncated", "foreign", "binary", "missing keys", "another schema", "deep"],
)
def test_a_bad_line_costs_only_itself(tmp_path, raw, message):
    """What cannot be read is a problem with its file and line; the good lines before it are kept."""
    samples.write(tmp_path, [samples.observation()], name="records.jsonl")
    file = tmp_path / "records.jsonl"
    file.write_bytes(file.read_bytes() + raw)
    loaded = record.load(tmp_path)
    (problem,) = loaded.problems
    assert len(loaded.observations) == 1
    assert problem.file == str(file) and problem.line == 3 and problem.message.startswith(message)


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    """A folder that does not exist is named, and nothing is loaded."""
    loaded = record.load(tmp_path / "nowhere")
    assert loaded.empty and "no such folder" in loaded.problems[0].message


def _append_in_child(writer: record.Writer) -> None:
    writer.append(OBSERVATION)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # pytest's own threads; the child only writes
def test_a_forked_child_writes_to_a_file_of_its_own(tmp_path):
    """Two processes never share a file, though one inherited the other's writer."""
    with record.Writer(tmp_path) as writer:
        writer.append(OBSERVATION)
        child = multiprocessing.get_context("fork").Process(target=_append_in_child, args=(writer,))
        child.start()
        child.join()
    assert child.exitcode == 0 and len(list(tmp_path.glob("*.jsonl"))) == 2
    assert len(record.load(tmp_path).observations) == 2
