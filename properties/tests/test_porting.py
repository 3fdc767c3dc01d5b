"""The porting table: what it prints was run, and a row that is wrong is caught."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from properties import porting
from properties.ways import FRAMEWORKS, WAYS
from reports import record

NAMED = {way.name: way for way in WAYS}


def needs(framework: str) -> None:
    package = porting.DISTRIBUTIONS.get(framework, framework)
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_row_gives_what_it_promises(framework: str) -> None:
    """Every way of saying a pooling gives the definition's answers in every framework that is installed."""
    needs(framework)
    lines = porting.check(framework)
    assert {line.way: line.text for line in lines if not line.verified} == {}
    assert {line.way for line in lines} == set(NAMED)


@pytest.mark.parametrize(
    "code, says",
    [
        ("y = F.max_pool2d(x, 3, 2, padding=1)", "differs on an input of shape"),
        ("y = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)", "differs on an input of shape"),
        ("y = F.max_pool2d(x, 3, 2)", "expected (2, 3, 4, 4)"),
        ("y = F.max_pool2d(x, 3, 2, padding='same')", "raised on an input of shape (2, 3, 7, 8): TypeError"),
        ("import os; os._exit(3)", "ended with status 3"),
    ],
)
def test_a_wrong_row_is_caught(code: str, says: str) -> None:
    """A row that pads wrongly, raises or dies is not verified, and says what it did."""
    needs("torch")
    (line,) = porting.check("torch", [dataclasses.replace(NAMED["max-same"], code={"torch": code})])
    assert not line.verified and says in line.text, line.text


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_rows_are_whole(way) -> None:
    """Every row is said in every framework, and is one call somewhere."""
    assert set(way.code) == set(FRAMEWORKS) and way.own and way.own <= set(FRAMEWORKS) and set(way.notes) <= set(FRAMEWORKS)


def test_the_command_records_what_it_checked(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command records each row with the version that ran it, and nothing of a framework that is not there."""
    needs("torch")
    monkeypatch.setitem(porting.DISTRIBUTIONS, "jax", "a_framework_that_is_not_there")
    assert porting.main(["--framework", "torch", "--framework", "jax", "--records", str(tmp_path)]) == 0
    rows = record.load(tmp_path).porting
    assert {row.framework for row in rows} == {"torch"} and len(rows) == len(WAYS) and all(row.version and row.verified for row in rows)
    assert "jax is not installed" in capsys.readouterr().out
