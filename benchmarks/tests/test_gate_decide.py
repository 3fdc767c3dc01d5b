import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import gate_decide
from benchmarks.gate_data import Machine, Uncovered
from benchmarks.gate_decide import decide, suspicious
from benchmarks.gate_statistics import Rule, proportion
from benchmarks.tests import gate_samples as samples
from benchmarks.tests.gate_samples import MEANING, SENTINELS, calibration, pair, pairs, run, sentinels, slower, spread

EVENTS = {
    ("missing", "candidate"): 4, ("missing", "baseline"): 4, ("new", "candidate"): 0, ("new", "baseline"): 0, ("renamed", "both"): 4, ("skipped", "candidate"): 4,
    ("skipped", "baseline"): 4, ("failed", "candidate"): 4, ("failed", "baseline"): 3, ("wrong", "candidate"): 4, ("wrong", "baseline"): 4,
    ("died", "candidate"): 4, ("died", "baseline"): 3, ("hung", "candidate"): 4, ("hung", "baseline"): 3, ("garbage", "candidate"): 3,
    ("garbage", "baseline"): 3,
}  # fmt: skip
NOISES = {
    "quiet": samples.normal(0.012), "noisy": samples.normal(0.03), "worst": samples.normal(0.056), "heavy": samples.heavy(0.02),
    "odd": samples.odd(0.012), "skewed": samples.skewed(0.02), "drifting": samples.drifting(0.012),
}  # fmt: skip


def state(verdict, workload="a"):
    return next(one.state for one in verdict.judgements if one.workload == workload)


# --- what it says of speeds ---------------------------------------------------------------------


def test_alike_is_a_pass():
    """Two sides that are alike pass, with everything that was asked compared."""
    verdict = decide(run(), calibration())
    assert (verdict.state, verdict.status) == ("pass", 0)
    assert [state(verdict, name) for name in "ab"] == ["pass", "pass"]


def test_a_confirmed_slowdown_is_a_regression():
    """8 % on one workload, in both stages, is red, and named in the first line with its size."""
    verdict = decide(slower(), calibration())
    assert verdict.status == 1 and state(verdict) == "regression" and state(verdict, "b") == "pass"
    assert verdict.headline == "Slower: a +8.0 %."


def test_confirmation_decides_alone():
    """Where the pairs of confirmation show nothing, what screening had shown counts for nothing."""
    verdict = decide(run([*pairs("a", spread(0.08, 6)), *pairs("a", spread(0, 10), 1), *pairs("b", spread(0, 6))]), calibration())
    # Logarithms that cancel leave their rounding.
    assert verdict.status == 0 and verdict.judgements[0].estimate == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("stages", [(6,), (6, 9)])
def test_what_was_not_confirmed_is_no_verdict(stages):
    """A suspicion without its ten pairs leaves the run undecided: neither red nor a pass."""
    measured = [one for stage, number in enumerate(stages) for one in pairs("a", spread(0.08, number), stage)]
    verdict = decide(run([*measured, *pairs("b", spread(0, 6))]), calibration())
    assert (verdict.state, verdict.status) == ("inconclusive", 3)


def test_still_straddling_is_inconclusive():
    """What is about as slow as the threshold after all pairs is not decided."""
    measured = [one for stage, number in enumerate((6, 10, 10)) for one in pairs("a", spread(0.028, number, 0.005), stage)]
    verdict = decide(run(measured), calibration())
    assert (verdict.status, state(verdict)) == (3, "inconclusive")
    assert verdict.headline.startswith("Undecided: a +2.8 %")


def test_faster_is_an_improvement():
    """8 % faster passes, and is named."""
    verdict = decide(run([*pairs("a", spread(-0.08, 6)), *pairs("b", spread(0, 6))]), calibration())
    assert (verdict.status, state(verdict)) == (0, "improvement") and "faster: a −7.7 %" in verdict.headline


@pytest.mark.parametrize("effect, red", [(0.028, False), (0.035, True)])
def test_the_threshold_is_three_percent(effect, red):
    """Less than the threshold is never red, however sure it is."""
    assert (decide(slower(effect), calibration(0.001)).status == 1) == red


def test_the_threshold_rises_with_calibrated_noise():
    """Three standard errors of identical code are asked for, as calibrated, not as these pairs happen to lie."""
    verdict = decide(slower(0.05), calibration(0.08))
    # The same number by way of a logarithm: the last bits differ.
    assert verdict.judgements[0].threshold == pytest.approx(math.expm1(3 * 0.08 / math.sqrt(10)))
    assert state(verdict) != "regression"


def test_one_odd_pair_does_not_make_a_regression():
    """The lesser of mean and median counts."""
    logs = [0.021] * 5 + [0.022] * 4 + [0.2]
    verdict = decide(run([*pairs("a", spread(0.05, 6)), *pairs("a", logs, 1)]), calibration())
    assert state(verdict) != "regression"


@given(st.lists(st.floats(-0.2, 0.2), min_size=6, max_size=6), st.lists(st.floats(-0.2, 0.2), min_size=10, max_size=10))
def test_the_direction_is_never_wrong(screening, confirming):
    """Red is on the slower side and improved on the faster one, for any pairs at all."""
    verdict = decide(run([*pairs("a", screening), *pairs("a", confirming, 1)]))
    judged = verdict.judgements[0]
    assert {"regression": judged.estimate > 0.0299, "improvement": judged.estimate < -0.0291}.get(judged.state, True)


@given(st.permutations(range(16)), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(order, random):
    """Pairs may come back in any order."""
    measured = [*pairs("a", spread(0.05, 6)), *pairs("a", spread(0.05, 10), 1)]
    shuffled = [measured[place] for place in order]
    # Sums in another order differ in their last bits.
    assert decide(run(shuffled), calibration()).judgements[0].p == pytest.approx(decide(run(measured), calibration()).judgements[0].p)


def test_intervals_hold_the_estimate():
    """Each interval encloses its estimate, and those of a larger family are wider."""
    alone, many = (decide(run([one for name in names for one in pairs(name, spread(0, 6))])).judgements[0] for names in ("a", "abcdefgh"))
    assert many.low < alone.low < alone.estimate < alone.high < many.high


# --- what needs more pairs ----------------------------------------------------------------------


def test_only_what_looks_slower_is_confirmed():
    """Of three workloads the slower one alone is measured again; one that is faster is not."""
    measured = [*pairs("a", spread(0.05, 6)), *pairs("b", spread(0, 6)), *pairs("c", spread(-0.05, 6)), *sentinels()]
    assert suspicious(measured, calibration(names="abc")) == ("a",)


@pytest.mark.parametrize("odd, center, again", [(-0.3, 0.06, ("a",)), (-0.3, 0.0, ()), (0.06, 0.06, ("a",))])
def test_an_odd_pair_hides_no_slowdown(odd, center, again):
    """One pair far off the five others, which widens their own spread, keeps no slow workload from being measured again."""
    assert suspicious(pairs("a", [*spread(center, 5), odd]), calibration()) == again


@pytest.mark.parametrize("mean, again", [(0.022, ("a",)), (0.015, ())])
def test_what_spreads_widely_is_measured_once_more(mean, again):
    """After confirmation a wide spread is no acquittal: what may still reach the threshold has ten more pairs."""
    measured = [*pairs("a", spread(0.08, 6)), *pairs("a", spread(mean, 10, 0.05), 1)]
    assert suspicious(measured, calibration()) == again


@pytest.mark.parametrize(
    "stages, again",
    [
        (((0.05, 6), (0.05, 10)), ()),
        (((0.05, 6), (0.0, 10)), ()),
        (((0.05, 6), (0.026, 10)), ("a",)),
        (((0.05, 6), (0.026, 10), (0.026, 10)), ()),
    ],
)
def test_what_is_still_open_is_measured_once_more(stages, again):
    """After confirmation only what straddles the threshold has ten more pairs, and none after that."""
    measured = [one for stage, (center, number) in enumerate(stages) for one in pairs("a", spread(center, number, 0.006), stage)]
    assert suspicious(measured, calibration()) == again


def test_a_wrong_answer_is_not_measured_again():
    """No time is spent on the speed of a workload whose answers differ."""
    assert suspicious(pairs("a", spread(0.08, 6), checksums=("aa", "bb")), calibration()) == ()


# --- what it says of the rest -------------------------------------------------------------------


@pytest.mark.parametrize("event, status", EVENTS.items(), ids=[" ".join(event) for event in EVENTS])
def test_coverage_has_its_own_verdict(event, status):
    """Each kind of uncovered workload has its exit status, and its message stands in the findings."""
    kind, side = event
    verdict = decide(run(uncovered=[Uncovered(workload="c", kind=kind, side=side, message="for a reason")]), calibration())
    assert verdict.status == status
    assert any(finding.kind == kind and "for a reason" in finding.message for finding in verdict.findings)


def test_other_bits_are_red_whatever_the_speed():
    """A faster workload with another checksum is no improvement but a difference."""
    verdict = decide(run(pairs("a", spread(-0.2, 6), checksums=("aa", "bb"))), calibration())
    assert (verdict.status, state(verdict)) == (4, "different") and "other bits" in verdict.headline


def test_other_bits_within_the_bound_are_told():
    """Where both answers were found right, another checksum is a rounding: told, and no failure."""
    verdict = decide(run(pairs("a", spread(0, 6), checksums=("aa", "bb"), conforming=True)), calibration())
    assert verdict.status == 0 and [finding.kind for finding in verdict.findings] == ["rounding"]


def test_an_answer_that_does_not_repeat_is_red():
    """One side with two checksums is a finding of its own."""
    measured = [pair("a", 0.001 * n, n, checksums=("aa", "aa") if n else ("bb", "bb")) for n in range(6)]
    assert "does not give the same answer" in decide(run(measured), calibration()).headline


@pytest.mark.parametrize("log", [0.05, -0.05])
@pytest.mark.parametrize("kind", ["sentinel", "null"])
def test_a_null_that_moves_makes_the_run_invalid(log, kind):
    """Where what cannot change does, in either direction, even a confirmed regression is no verdict."""
    moved = pairs(SENTINELS[0] if kind == "sentinel" else "a", spread(log, 6, 0.004), **{kind: True})
    whole = slower()
    kept = [one for one in whole.pairs if kind == "null" or one.workload != SENTINELS[0]]
    verdict = decide(replace(whole, pairs=(*kept, *moved)), calibration())
    assert (verdict.state, verdict.status) == ("invalid", 3) and "moved by" in verdict.headline


def test_newly_diverging_is_red():
    """A law that the candidate alone breaks is red, with its smallest case."""
    found = {"law": "test_values", "case": "max k2", "message": "got 1, expected 2", "native": None}
    verdict = decide(run(meaning={**MEANING, "newly_diverging": [found]}), calibration())
    assert verdict.status == 4 and "test_values now diverges" in verdict.headline
    assert [finding.case for finding in verdict.findings if finding.kind == "newly_diverging"] == ["test_values: max k2"]


@pytest.mark.parametrize("name", ["newly_conforming", "newly_supported", "newly_unsupported"])
def test_other_changes_of_meaning_are_listed(name):
    """They are told, and pass."""
    verdict = decide(run(meaning={**MEANING, name: [{"law": "test_values", "case": "c", "message": "m"}]}), calibration())
    assert verdict.status == 0 and [finding.kind for finding in verdict.findings] == [name]


@pytest.mark.parametrize("unjudged, levels", [(0, ["notice"]), (7, ["notice", "warning"])])
def test_other_bits_that_nobody_judged_are_told(unjudged, levels):
    """Cases with other bits are counted; those that were too many to be judged again are a warning."""
    bits = {"cases": 9, "largest": 0.5, "case": "max k2", "unjudged": unjudged}
    verdict = decide(run(meaning={**MEANING, "different_bits": bits}), calibration())
    assert [finding.level for finding in verdict.findings if finding.kind == "different_bits"] == levels


@pytest.mark.parametrize("only, dropped", [("speed", {"meaning": None}), ("meaning", {"pairs": ()})])
def test_half_a_gate_is_whole_where_no_more_was_asked(only, dropped):
    """`--only` asks for one half, and the other is not missed."""
    assert decide(replace(run(), only=only, **dropped), calibration()).status == 0


@pytest.mark.parametrize(
    "graver, status",
    [
        ({"uncovered": (Uncovered(workload="c", kind="missing", side="candidate"),)}, 4),
        ({"partial": True}, 3),
        ({"uncovered": (Uncovered(workload="c", kind="missing", side="candidate"),), "partial": True}, 4),
    ],
)
def test_the_gravest_state_counts(graver, status):
    """Lost coverage comes before an invalid run, and that before a regression."""
    assert decide(replace(slower(), **graver), calibration()).status == status


# --- it never passes what it should not ---------------------------------------------------------


def _without(chosen):
    return lambda given: replace(given, pairs=tuple(one for one in given.pairs if not chosen(one)))


def _changed(**values):
    return lambda given: replace(given, **values)


DAMAGES = {
    "cut short": _changed(partial=True),
    "not finished": _changed(finished=None),
    "nothing asked": lambda given: replace(given, workloads=(), pairs=tuple(one for one in given.pairs if one.sentinel)),
    "no pairs": _changed(pairs=()),
    "a workload without pairs": _without(lambda one: one.workload == "a"),
    "a workload with too few pairs": _without(lambda one: one.workload == "a" and one.number == 3),
    "no sentinels": _without(lambda one: one.sentinel),
    "a sentinel with too few pairs": _without(lambda one: one.workload == SENTINELS[1] and one.number == 2),
    "screening lost": lambda given: replace(given, pairs=tuple(replace(one, stage=1) if one.workload == "a" else one for one in given.pairs)),
    "a pair twice": lambda given: replace(given, pairs=(*given.pairs, given.pairs[0])),
    "a workload that nobody asked for": lambda given: replace(given, pairs=(*given.pairs, *pairs("z", spread(0, 6)))),
    "two clocks": lambda given: replace(given, pairs=(replace(given.pairs[0], metric="wall"), *given.pairs[1:])),
    "another machine": _changed(machine=Machine(fingerprint="another")),
    "another backend": lambda given: replace(given, sides=tuple(replace(side, backend="torch") for side in given.sides)),
    "a stored baseline": lambda given: replace(given, sides=(replace(given.sides[0], kind="stored"), given.sides[1])),
    "no meaning": _changed(meaning=None),
    "an empty meaning": _changed(meaning={}),
    "nothing asked of the laws": _changed(meaning={**MEANING, "compared": 0}),
    "a law that was interrupted": _changed(meaning={**MEANING, "problems": ["test_values was interrupted"]}),
    "a garbled meaning": _changed(meaning={**MEANING, "newly_diverging": "none"}),
    "a slower workload": lambda given: replace(given, workloads=("a", "b", "s"), pairs=(*given.pairs, *pairs("s", spread(0.1, 6)))),
    "another answer": lambda given: replace(given, pairs=(replace(given.pairs[0], checksums=("aa", "bb")), *given.pairs[1:])),
    **{
        f"{kind} on the {side}'s side": lambda given, kind=kind, side=side: replace(given, uncovered=(Uncovered(workload="c", kind=kind, side=side),))
        for (kind, side), status in EVENTS.items()
        if status
    },
}  # fmt: skip


@given(st.sets(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=4), st.booleans())
def test_a_damaged_run_never_passes(chosen, calibrated):
    """However a whole run is damaged, in one way or in several, its exit status is not 0, and a line says why."""
    damaged = run()
    for name in sorted(chosen, key=list(DAMAGES).index):
        damaged = DAMAGES[name](damaged) if damaged.pairs or name not in ("a pair twice", "two clocks", "another answer") else damaged
    only_machine = chosen <= {"another machine", "another backend"} and not calibrated
    verdict = decide(damaged, calibration() if calibrated else None)
    assert (verdict.status != 0 or only_machine) and verdict.headline.endswith(".")


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_alone_is_seen(name):
    """Each way of damage by itself keeps a run from passing."""
    assert decide(DAMAGES[name](run()), calibration()).status in (3, 4)


# --- how often it is wrong, by simulation -------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
def test_false_alarms_stay_under_one_in_a_hundred(noise):
    """400 simulated gates of identical code allow, with 95 % confidence, a rate of red runs under 1 %, and of all that do not pass under 2 %."""
    states = Counter(verdict.state for verdict in samples.gates(400, NOISES[noise], {f"w{i}": 0.0 for i in range(10)}, seed=11))
    assert proportion(states["regression"], 400)[1] < 0.01 and proportion(400 - states["pass"], 400)[1] < 0.02, states


@pytest.mark.parametrize("noise", ["quiet", "skewed", "drifting"])
@pytest.mark.parametrize("effect", [0.05, 0.1])
def test_a_slowdown_is_found(noise, effect):
    """5 and 10 % on half of ten workloads are found in over 95 % of 300 trials, and on the others nothing is."""
    effects = {f"w{i}": effect if i % 2 else 0.0 for i in range(10)}
    found = Counter(
        (effects[one.workload] > 0, one.state)
        for verdict in samples.gates(60, NOISES[noise], effects, seed=5)
        for one in verdict.judgements
    )
    assert proportion(found[True, "regression"], 300)[0] > 0.95 and found[False, "pass"] == 300, found


@pytest.mark.parametrize("effect", [0.05, -0.05])
def test_nothing_is_ever_found_on_the_wrong_side(effect):
    """At the noise of the worst workload, no slowdown is called faster and no gain slower."""
    verdicts = samples.gates(60, NOISES["worst"], {f"w{i}": effect for i in range(10)}, seed=7)
    found = Counter(one.state for verdict in verdicts for one in verdict.judgements)
    assert found["improvement" if effect > 0 else "regression"] == 0


def test_more_pairs_than_one_stage_are_asked_for_in_turn():
    """Stages follow each other: no workload has pairs of the third without the second."""
    rule = Rule()
    for verdict in samples.gates(20, NOISES["noisy"], {"a": 0.035, "b": 0.04}, seed=3):
        assert {one.pairs for one in verdict.judgements} <= {rule.pairs[0], rule.pairs[1], rule.pairs[1] + rule.pairs[2]}


def test_measured_keeps_the_order():
    """Workloads come in the order in which they were measured first."""
    assert [one.workload for one in gate_decide.compared([pair("b"), pair("a"), pair("b", number=1)])] == ["b", "a"]
