import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.environments import ROOT, Environment
from benchmarks import gate_calibration, gate_command, gate_files, gate_repeat
from benchmarks.gate import main
from benchmarks.gate_data import Usage
from benchmarks.gate_repeat import effects, series
from benchmarks.gate_run import Plan

STRANGER = f"{Path(__file__).with_name('gate_strangers.py')}:Plain"
HERE = Environment(label=".", kind="path", python=sys.executable, root=ROOT, home=ROOT, identity="path here")
PLAN = Plan(environments=(HERE, HERE), backends=(STRANGER, STRANGER))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs Linux")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The gate.json of a null gate."""
    out = tmp_path_factory.mktemp("measured")
    chosen = ("--only", "speed", "--level", "quick", "-k", "m5-wide-pool1", "--quads", "2")
    main(["--null", "--candidate", ".", "--backend", STRANGER, *chosen, "--out", str(out)])
    return out / gate_files.GATE


@pytest.fixture
def ran(measured, tmp_path, monkeypatch):
    """What runs a series whose gates are copies of a measured one: (its status, the plans that were run); `most` gates, then it is stopped."""
    monkeypatch.setattr(gate_calibration, "FOLDER", tmp_path / "calibrations")

    def run(nulls=0, shares=(), trials=0, most=99, plan=PLAN):
        done = []

        def once(one, folder):
            folder.mkdir(parents=True)
            if len(done) < most:
                shutil.copy(measured, folder / gate_files.GATE)
            done.append(one)
            return 0

        return series(plan, once, tmp_path / "series", nulls=nulls, shares=shares, trials=trials), done

    return run


def test_a_series_becomes_a_calibration(ran, tmp_path):
    """Null gates make a calibration of this machine, which the gate finds by itself from then on."""
    status, done = ran(nulls=3)
    assert (status, len(done)) == (0, 3)
    found = gate_calibration.find(gate_calibration.this_machine(), STRANGER, [tmp_path / "calibrations"])
    assert found.gates == 3
    assert set(found.workloads) == {"m5-wide-pool1"}
    assert len({one.settings.seed for one in done}) == 3


def test_a_series_that_was_stopped_goes_on(ran, tmp_path):
    """What ran to its end is not run again; a gate that did not is."""
    status, done = ran(nulls=3, most=1)
    assert (status, len(done)) == (gate_repeat.STOPPED, 2)
    assert not (tmp_path / "calibrations").exists()
    shutil.rmtree(tmp_path / "series" / "null-002")
    status, done = ran(nulls=3)
    assert (status, len(done)) == (0, 2)
    assert ran(nulls=3) == (0, [])


def test_known_slowdowns_are_counted_by_effect(ran, tmp_path):
    """Each effect has its gates, with real extra work of that share, and its own row in the calibration."""
    status, done = ran(nulls=3, shares=(0.05, 0.1), trials=2)
    assert status == 0
    assert sorted(one.injected for one in done) == [0, 0, 0, 0.05, 0.05, 0.1, 0.1]
    found = gate_calibration.find(gate_calibration.this_machine(), STRANGER, [tmp_path / "calibrations"])
    assert {effect: table["m5-wide-pool1"].trials for effect, table in found.power.items()} == {"5": 2, "10": 2}


def test_slowdowns_alone_make_no_calibration(ran):
    """Without a null gate there is no noise to hold a slowdown against."""
    assert ran(shares=(0.05,), trials=1)[0] == gate_repeat.STOPPED


def test_a_folder_is_one_series(ran):
    """Gates of other sides or settings are not counted in."""
    ran(nulls=1)
    with pytest.raises(Usage, match="a series of something else"):
        ran(nulls=1, plan=replace(PLAN, settings=replace(PLAN.settings, seed=5)))


@pytest.mark.parametrize("quads, goes_on", [(32, True), (2, False)])
def test_a_series_that_did_not_tell_its_quads_had_the_usual(ran, tmp_path, quads, goes_on):
    """A series from before quads were told goes on with as many, and with no others."""
    ran(nulls=3, most=1)
    file = tmp_path / "series" / "series.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told.pop("quads") == 32
    file.write_text(json.dumps(told), encoding="utf-8")
    shutil.rmtree(tmp_path / "series" / "null-002")
    plan = replace(PLAN, settings=replace(PLAN.settings, quads=quads))
    if goes_on:
        assert len(ran(nulls=3, plan=plan)[1]) == 2
    else:
        with pytest.raises(Usage, match="a series of something else"):
            ran(nulls=3, plan=plan)


def test_a_series_of_other_settings_has_its_own_calibration(ran, tmp_path):
    """What is measured with other quads says so, and neither takes the usual calibration's place nor is taken for it."""
    ran(nulls=3)
    shutil.rmtree(tmp_path / "series")
    plan = replace(PLAN, settings=replace(PLAN.settings, quads=2))
    ran(nulls=4, plan=plan)
    where = gate_calibration.this_machine()
    assert gate_calibration.find(where, STRANGER).gates == 3
    found = gate_calibration.find(where, STRANGER, settings=plan.manner)
    assert (found.gates, found.settings.quads) == (4, 2)


def test_noise_of_other_settings_is_left_alone(ran):
    """A gate that measures otherwise than this machine was calibrated is not judged by that, and says so."""
    ran(nulls=3)
    assert gate_command._calibrated(PLAN, None).calibration.gates == 3
    told = gate_command._calibrated(replace(PLAN, choice=replace(PLAN.choice, layout="channels_last")), None)
    assert told.calibration is None
    assert told.notes == (
        "this machine is calibrated with 32 quads, either layout, and this gate measures 32 quads, channels_last: nothing of that is used",
    )


def test_fewer_gates_replace_no_better_calibration(ran, tmp_path, capsys):
    """A calibration from fewer gates is written beside, and does not replace what is there."""
    ran(nulls=4)
    shutil.rmtree(tmp_path / "series")
    ran(nulls=3)
    found = gate_calibration.find(gate_calibration.this_machine(), STRANGER, [tmp_path / "calibrations"])
    assert found.gates == 4
    assert "says more (4 gates" in capsys.readouterr().out
    assert gate_calibration.read(tmp_path / "series" / "calibration.json").gates == 3


@pytest.mark.parametrize("written, shares", [("3,5,10", (0.03, 0.05, 0.1)), ("2.5", (0.025,))])
def test_effects_are_per_cents(written, shares):
    """`--power 3,5,10` means shares of a hundredth."""
    assert effects(written) == shares


@pytest.mark.parametrize("written", ["", "0", "-3", "3;5", "1e9", "nan"])
def test_effects_that_are_none_are_refused(written):
    """An effect is a positive per cent."""
    with pytest.raises(Usage, match="per cents"):
        effects(written)
