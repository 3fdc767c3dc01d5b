import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks import gate_calibration, gate_trials
from benchmarks.gate_calibration import Manner, Noise, Tally, detectable_effects, find, place, read, require_threshold, this_machine, write
from benchmarks.gate_data import Invalid, Machine, Usage
from benchmarks.gate_decide import decide
from benchmarks.gate_run import Plan
from benchmarks.gate_statistics import Rule
from benchmarks.tests.gate_samples import MACHINE, SIDES, calibration, pairs, run, slower, spread

SAME = (SIDES[0], replace(SIDES[1], revision=SIDES[0].revision))
NOISE = {"a": 0.01, "b": 0.03}


def nulls(number, shared=0.0, step=0.0, seed=0):
    """Null gates: the noise of each pair, what those of one run share, and how far runs lie apart."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        place = math.exp(step * rng.standard_normal())
        logs = {name: deviation * rng.standard_normal(6) + shared * rng.standard_normal() for name, deviation in NOISE.items()}
        made.append(run([one for name in logs for one in pairs(name, logs[name], seconds=1e-3 * place)], sides=SAME))
    return made


# --- the noise ----------------------------------------------------------------------------------


def test_the_noise_is_that_of_the_pairs():
    """From 60 null gates the deviation of each workload is found within 15 %, and nearly all of them pass."""
    made = gate_trials.calibrate(nulls(60), "2026-01-01", swaps=2)
    assert {name: noise.deviation for name, noise in made.workloads.items()} == pytest.approx(NOISE, rel=0.15)
    assert made.states["pass"] > 57 and "regression" not in made.states and made.gates == 60
    assert (made.machine, made.backend, made.workloads["a"].pairs, made.workloads["a"].runs) == (MACHINE, "numpy", 360, 60)


def test_what_the_pairs_of_a_run_share_counts():
    """Pairs that are alike inside a run and differ between runs are not taken for many."""
    alone, shared = (gate_trials.noises(nulls(40, shared=share))["a"].deviation for share in (0.0, 0.02))
    assert shared > 3 * alone


def test_runs_one_after_the_other_differ_by_more():
    """The sequential noise is what one run's median differs from the last one's by: √2 times that of a run."""
    noise = gate_trials.noises(nulls(60, step=0.1))["a"]
    assert noise.sequential == pytest.approx(0.1 * math.sqrt(2), rel=0.25) and noise.deviation < 0.02


def test_too_few_runs_say_nothing_of_sequences():
    """Two runs have one step, which is no deviation."""
    assert gate_trials.noises(nulls(2))["a"].sequential == 0


@pytest.mark.parametrize(
    "runs, message",
    [
        ([], "no null gate that ran to its end"),
        ([replace(nulls(1)[0], partial=True)], "no null gate that ran to its end"),
        ([*nulls(1), replace(nulls(1)[0], machine=Machine(fingerprint="x"))], "several machines"),
        ([slower()], "compares the same with the same"),
    ],
    ids=["none", "partial", "machines", "no null"],
)
def test_what_makes_no_calibration_is_refused(runs, message):
    """No whole null gate, several machines, or sides that differ."""
    with pytest.raises(Usage, match=message):
        gate_trials.calibrate(runs, "2026-01-01", swaps=1)


# --- swaps and sequences --------------------------------------------------------------------------


def test_a_swapped_pair_is_its_mirror():
    """Swapping the sides turns the log-ratio around, and twice gives the pair back."""
    one = pairs("a", [0.03], checksums=("aa", "bb"), quads=3)[0]
    assert gate_trials.swapped(one).log_ratio == pytest.approx(-0.03)
    assert gate_trials.swapped(one).checksums == ("bb", "aa") and gate_trials.swapped(gate_trials.swapped(one)) == one


@pytest.mark.parametrize("together", [False, True])
def test_swapped_null_gates_stay_quiet(together):
    """Of 40 null gates, each decided again 30 times with sides swapped, none goes red."""
    runs = nulls(40)
    counts = gate_trials.swap(runs, calibration(0.01), Rule(), 30, 1, together=together)
    assert counts.total() == 1200 and counts["regression"] == 0


def test_swaps_find_what_is_no_noise():
    """Runs that share a large difference are red under swaps as well: the check can fail."""
    runs = [run([*pairs("a", spread(0.08 * (-1) ** number, 6)), *pairs("b", spread(0, 6))], sides=SAME) for number in range(6)]
    assert gate_trials.swap(runs, calibration(0.01), Rule(), 40, 1, together=True)["regression"] > 0


def test_the_same_seed_gives_the_same_swaps():
    """A calibration can be made again."""
    one, two = (gate_trials.calibrate(nulls(5), "2026", swaps=20, seed=4) for _ in range(2))
    assert one == two


def test_what_others_would_have_said():
    """On runs that lie 10 % apart pytest-benchmark's rules go red, the tightest most; on equal ones never."""
    apart, equal = (gate_trials.sequential_alarms(nulls(20, step=step)) for step in (0.1, 0.0))
    assert apart["median:5%"].found >= apart["mean:10%"].found >= apart["median:20%"].found > 0
    assert {tally.found for name, tally in equal.items() if name in ("mean:10%", "median:20%")} == {0}


# --- power ----------------------------------------------------------------------------------------


def test_found_slowdowns_are_counted():
    """Found, missed and reversed ones are told apart, by effect and workload."""
    faster = run([*pairs("a", spread(-0.08, 6)), *pairs("b", spread(0, 6))])
    trials = [gate_trials.Trial(effect=0.05, slowed=("a", "b"), verdict=decide(each)) for each in (slower(), slower(), faster)]
    made = gate_trials.power(calibration(), trials)
    assert made.power == {"5": {"a": Tally(found=2, trials=3), "b": Tally(found=0, trials=3)}} and made.reversed == 1


def test_the_summary_says_what_was_found():
    """False alarms with their bound, swaps, what others would have said, and each workload's row."""
    made = calibration(
        states={"pass": 59, "invalid": 1}, swapped={"pairs": Tally(found=0, trials=1000)}, power={"5": {"a": Tally(found=19, trials=20)}},
        sequential={"mean:10%": Tally(found=9, trials=10)},
    )  # fmt: skip
    text = gate_trials.summary(made)
    wanted = [
        "0 of 60 gates",
        "fewer than 4.9 % do",
        "1 of them ended invalid",
        "0 of 1000 red",
        "9 of 10 red (90 %)",
        "19 of 20",
        "+5 % found",
    ]
    assert [part for part in wanted if part not in text] == []


# --- the file -------------------------------------------------------------------------------------


def test_a_calibration_survives_its_file(tmp_path):
    """What is found for this machine and backend is what was kept."""
    made = gate_trials.power(
        gate_trials.calibrate(nulls(6), "2026", swaps=2), [gate_trials.Trial(effect=0.05, slowed=("a",), verdict=decide(slower()))]
    )
    write(made, place(tmp_path, MACHINE, "numpy"))
    assert find(MACHINE, "numpy", [tmp_path / "none", tmp_path]) == made
    assert find(MACHINE, "torch:compile", [tmp_path]) is None


def test_a_file_says_what_follows_from_it(tmp_path):
    """The file has the false alarms with their bound, and the smallest slowdown that is found of each workload, null where none is."""
    made = calibration(states={"pass": 59, "invalid": 1})
    write(replace(made, workloads={**made.workloads, "wild": Noise(deviation=1e9, pairs=9)}), tmp_path / "made.json")
    kept = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert kept["alarms"] == {"red": 0, "gates": 60, "bound": pytest.approx(0.0487, abs=1e-4)}
    assert kept["detectable"] == {**detectable_effects(made), "wild": None}


OTHERWISE = [Manner(quads=2), Manner(layout="channels_last"), Manner(quads=16, layout="channels_first")]


@pytest.mark.parametrize("settings", OTHERWISE, ids=str)
def test_noise_holds_for_how_it_was_measured(settings, tmp_path):
    """Other quads or another layout have a calibration of their own, which nothing else is judged by."""
    usual, other = calibration(0.01), replace(calibration(0.05), settings=settings)
    write(usual, place(tmp_path, MACHINE, "numpy"))
    assert find(MACHINE, "numpy", [tmp_path], settings) is None
    write(other, place(tmp_path, MACHINE, "numpy", settings))
    assert find(MACHINE, "numpy", [tmp_path], settings) == other
    assert find(MACHINE, "numpy", [tmp_path]) == usual
    with pytest.raises(Invalid, match=f"calibrated with 32 quads, either layout, and this gate measures {settings}"):
        read(place(tmp_path, MACHINE, "numpy"), MACHINE, "numpy", settings)


def test_what_is_asked_beside_values_keeps_its_noise(tmp_path):
    """A gradient is a workload of its own, so a calibration that has it holds for a gate of values alone."""
    write(replace(calibration(), settings=Manner(outputs=("values", "gradient"))), place(tmp_path, MACHINE, "numpy"))
    assert find(MACHINE, "numpy", [tmp_path], Manner()) is not None


def test_a_file_that_does_not_say_was_measured_as_usual(tmp_path):
    """A calibration from before settings were told is of the defaults, which are the gate's."""
    older = {key: value for key, value in CONTENT.items() if key != "settings"}
    (tmp_path / "older.json").write_text(json.dumps(older), encoding="utf-8")
    assert read(tmp_path / "older.json", settings=Manner()) == calibration()
    assert Manner() == Plan(environments=(), backends=()).manner


def test_kept_calibrations_can_be_read():
    """What this checkout has of machines is read whole."""
    kept = list(gate_calibration.FOLDER.glob("*.json"))
    assert kept
    assert all(read(file).gates for file in kept)


CONTENT = {"kind": gate_calibration.KIND, **asdict(calibration())}
BAD = {
    "truncated": (json.dumps(CONTENT)[:-9], "not a whole calibration"),
    "empty": ("", "not a whole calibration"),
    "a list": ("[]", "not a calibration of this gate"),
    "foreign": ('{"benchmarks": []}', "not a calibration of this gate"),
    "newer": (json.dumps({**CONTENT, "schema": 2}), "schema 2, and this gate reads 1"),
    "no workloads": (json.dumps({key: value for key, value in CONTENT.items() if key != "workloads"}), "KeyError"),
    "not a number": (json.dumps({**CONTENT, "workloads": {"a": {"deviation": math.nan, "pairs": 6}}}), "NaN is not a number"),
    "a negative noise": (json.dumps({**CONTENT, "workloads": {"a": {"deviation": -1, "pairs": 6}}}), "deviation=-1"),
    "more found than tried": (json.dumps({**CONTENT, "swapped": {"pairs": {"found": 2, "trials": 1}}}), "2 of 1"),
    "no quads": (json.dumps({**CONTENT, "settings": {"quads": 0}}), "quads=0"),
    "an unknown field": (json.dumps({**CONTENT, "odd": 1}), "odd"),
    "another machine": (json.dumps({**CONTENT, "machine": {"fingerprint": "x", "description": {"cpu": "Other"}}}), "another machine (x, Other)"),
    "another backend": (json.dumps({**CONTENT, "backend": "torch"}), "calibrated for torch, not for numpy"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_calibration_is_refused(name, tmp_path):
    """What is no calibration of this machine is refused with the file and the reason."""
    text, message = BAD[name]
    path = place(tmp_path, MACHINE, "numpy")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Invalid, match=path.name) as refused:
        find(MACHINE, "numpy", [tmp_path])
    assert message in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    """A calibration that is asked for by name must be there."""
    with pytest.raises(Invalid, match="No such file"):
        read(tmp_path / "none.json")


def test_a_machine_has_one_fingerprint():
    """Load and frequency come and go; the fingerprint stays, and another processor has another."""
    one, two = this_machine(), this_machine()
    assert one.fingerprint == two.fingerprint != this_machine(cpu="another").fingerprint
    assert gate_calibration.machine_of({**one.description, "load": 99, "frequency": "1 Hz"}).fingerprint == one.fingerprint


# --- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "threshold, known, message",
    [
        (0.02, None, "run --aa first"),
        (0.01, calibration(), "expected more than 1.0 %"),
        (math.nan, calibration(), "nan"),
        (0.012, calibration(0.02), "allows 1.92 % at least"),
        (0.05, calibration(0.08), "allows 7.8"),
        (0.02, calibration(names=("b",)), "a was not calibrated"),
    ],
)
def test_a_threshold_under_the_noise_is_refused(threshold, known, message):
    """The number that the machine allows is named, and the status is that of a wrong command."""
    with pytest.raises(Usage, match=message) as refused:
        require_threshold(threshold, known, ("a",))
    assert refused.value.status == 2


@pytest.mark.parametrize("threshold, known", [(0.03, None), (0.05, None), (0.02, calibration(0.012)), (0.03, calibration(names=()))])
def test_a_threshold_over_the_noise_is_taken(threshold, known):
    """The default needs no calibration; less does, and has it here."""
    require_threshold(threshold, known, ("a",))


def test_what_can_be_seen_is_told_by_workload():
    """Every calibrated workload has the slowdown from which on it is found."""
    assert set(detectable_effects(calibration())) == {"a", "b"}


@pytest.mark.parametrize("wrong", [{"deviation": math.inf, "pairs": 6}, {"deviation": 0.01, "pairs": 2}, {"deviation": True, "pairs": 6}])
def test_noise_is_a_number(wrong):
    """A deviation is finite and of at least three pairs."""
    with pytest.raises(ValueError, match=r"deviation|pairs"):
        Noise(**wrong)
