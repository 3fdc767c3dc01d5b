import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.environments import ROOT, Environment
from benchmarks import gate_command, gate_text
from benchmarks.gate_again import of_plan, of_run
from benchmarks.gate_decide import decide
from benchmarks.gate_run import Plan
from benchmarks.gate_sides import Choice
from benchmarks.gate_worker import Settings
from benchmarks.tests.gate_samples import MEANING, SIDES, pairs, run, slower, spread

HERE = Environment(label="HEAD", kind="revision", python=sys.executable, root=ROOT, home=ROOT, revision="bbbb")
WHEEL = replace(HERE, label="numpy==2.4.6", kind="requirements", python="/cache/env/bin/python", revision="")
PLAN = Plan(environments=(HERE, HERE), backends=("numpy", "numpy"))
DIVERGING = {**MEANING, "newly_diverging": [{"law": "values", "case": "max x=1", "message": "", "native": None}]}


@pytest.fixture
def again(monkeypatch, tmp_path):
    """What says how to run a plan again, asked for by some words, in CI or at a desk."""

    def ask(*words, plan=PLAN, measured=None, ci=False):
        monkeypatch.setenv("CI", "true" if ci else "")
        monkeypatch.setenv("TOX_ENV_NAME", "gate-torch")
        given = parsed(*words)
        return of_plan(plan, measured or run(), given, tmp_path / "out")

    return ask


def parsed(*words):
    return gate_command._parser("a: b\n\n").parse_args(words)


def test_after_ci_it_is_run_by_commits(again, tmp_path):
    """After CI the command names both sides by their commits, another project's checkout beside this one, and no path of CI."""
    mine = tmp_path / "work" / "mine"
    words = ("--checkout", str(mine), "--out", str(tmp_path), "--build", "make all")
    sides = tuple(replace(side, backend="my_kernel.py:Mine", label="HEAD") for side in SIDES)
    told = again(*words, measured=run(sides=sides), ci=True)
    assert told.whole == (
        "tox -e gate-torch -- --baseline aaaa --candidate bbbb --backend my_kernel.py:Mine --checkout ../mine --build 'make all' --level quick"
    )
    assert told.folder == ""
    assert str(tmp_path) not in told.whole + told.workload("a") + told.case("max x=1") + told.meaning()
    assert parsed(*shlex.split(told.workload("a"))[4:]).select == "a"


def test_what_was_asked_stays(again):
    """How it was measured, and what was chosen, is asked again; one workload alone takes the choice's place."""
    choice = Choice(level="all", select="m5", layout="channels_last", outputs=("values", "gradient"))
    plan = replace(PLAN, choice=choice, only="speed", injected=0.05, settings=Settings(quads=2, seed=7, limit=20.0))
    told = again("--threshold", "4.5", plan=plan)
    rest = "--layout channels_last --output values --output gradient --threshold 4.5 --inject 5 --seed 7 --quads 2 --limit 20"
    assert told.whole.endswith(f"--backend numpy --only speed --level all -k m5 {rest}")
    assert told.workload("m5-pool1").endswith(f"--backend numpy --only speed --level all {rest} -k m5-pool1")
    assert told.meaning().endswith(f"--backend numpy --level all -k m5 {rest} --only meaning")


def test_the_same_against_itself_is_asked_as_that():
    """Where both sides are one thing the command says so; two backends are named each."""
    baseline, candidate = SIDES
    null = run(sides=(replace(candidate, role="baseline"), candidate))
    assert of_run(null).whole == "tox -e gate -- --null --candidate bbbb --backend numpy"
    two = run(sides=(baseline, replace(candidate, backend="torch")))
    assert of_run(two).whole.endswith("--candidate bbbb --baseline-backend numpy --candidate-backend torch")


def test_a_case_is_replayed_where_the_candidate_lives(again):
    """A case is put to the candidate under its own interpreter and adapters here, and after CI the words say what it needs."""
    sides = (SIDES[0], replace(SIDES[1], kind="requirements", label=WHEEL.label, revision=""))
    plan = replace(PLAN, environments=(HERE, replace(WHEEL, root=Path("/old"), home=Path("/old"))))
    measured = run(sides=sides, meaning=DIVERGING)
    told = again(plan=plan, measured=measured)
    assert told.case("values: max x=1") == (
        "python -m properties --backend numpy --backend-python /cache/env/bin/python --backend-root /old 'values: max x=1'"
    )
    steps = dict(gate_text.next_steps(measured, decide(measured), told))
    assert steps["See what the candidate answers:"] == told.case("values: max x=1")
    steps = dict(gate_text.next_steps(measured, decide(measured), again(plan=plan, measured=measured, ci=True)))
    assert steps["See what the candidate answers, under numpy==2.4.6:"] == "python -m properties --backend numpy 'values: max x=1'"


def test_files_are_named_in_their_folder(again, tmp_path):
    """The times to be looked at are files of the folder that the gate left them in."""
    steps = gate_text.next_steps(slower(), decide(slower()), again())
    folder = tmp_path / "out"
    assert f"pytest-benchmark compare {folder / 'gate-baseline.json'} {folder / 'gate-candidate.json'}" in [asked for _, asked in steps]


def test_another_answer_is_looked_into_on_the_same_sides(again):
    """What finds out why answers differ compares the same sides and backend; a stored baseline has no answers to compare."""
    measured = run([*pairs("a", spread(0, 6), checksums=("aa", "bb"))])
    told = again(measured=replace(measured, workloads=("a",)))
    finding = decide(measured).findings
    assert "different" in [one.kind for one in finding]
    assert told.meaning() in [asked for _, asked in gate_text.next_steps(measured, decide(measured), told)]
    assert "--baseline aaaa --candidate bbbb --backend numpy" in told.meaning()
    stored = replace(measured, sides=(replace(SIDES[0], kind="stored", label="old.json"), SIDES[1]))
    assert not [asked for _, asked in gate_text.next_steps(stored, decide(stored), told) if "meaning" in asked]
