import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import gate_statistics as gs

LOGS = st.lists(st.floats(-0.5, 0.5).map(lambda value: round(value, 6)), min_size=3, max_size=12).filter(lambda logs: len(set(logs)) > 2)


@given(LOGS, st.floats(0, 0.1))
def test_the_one_sided_test_is_students(logs, delta):
    """The p-value is the one-sided one of SciPy's own t test."""
    expected = stats.ttest_1samp(logs, delta, alternative="greater").pvalue
    # SciPy goes by way of another function, which loses digits in the tail; past 1e-300 both are as good as 0.
    assert gs.p_above(gs.sample(logs), delta) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@given(LOGS)
def test_the_two_sided_test_sees_both_directions_alike(logs):
    """Swapping the sides leaves the two-sided p-value as it is, and it is never over 1."""
    there, back = (gs.p_moved(gs.sample([sign * value for value in logs]), 0.01) for sign in (1, -1))
    # A mean of negatives is the negative of the mean to within the rounding of its sum.
    assert there == pytest.approx(back) and 0 <= there <= 1


@given(LOGS, st.floats(0.5, 0.999))
def test_one_interval_is_students(logs, confidence):
    """A family of one has Student's interval."""
    expected = stats.ttest_1samp(logs, 0).confidence_interval(confidence)
    # Two inversions of Student's distribution, each iterative; a bound near 0 is a difference of two larger numbers.
    assert gs.interval(gs.sample(logs), 1, confidence) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)


@given(LOGS, st.integers(2, 60))
def test_simultaneous_intervals_are_wider(logs, family):
    """Intervals that hold together are each wider than one that holds alone, and enclose the mean."""
    one, many = (gs.interval(gs.sample(logs), number, 0.95) for number in (1, family))
    assert many[0] < one[0] <= gs.sample(logs).mean <= one[1] < many[1]


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_has_the_exact_interval(counted):
    """Clopper and Pearson's interval is SciPy's exact one; with none or all found, its one-sided one."""
    found, trials = counted
    sides = {0: "less", trials: "greater"}.get(found, "two-sided")
    expected = stats.binomtest(found, trials, alternative=sides).proportion_ci(0.95, method="exact")
    # SciPy solves for the bound with a root finder of its own tolerance.
    assert gs.proportion(found, trials) == pytest.approx(tuple(expected), abs=1e-7)


def test_sixty_quiet_runs_allow_five_percent():
    """No alarm in 60 runs bounds the rate by 1 − 0.05^(1/60)."""
    # SciPy's root finder again.
    assert gs.proportion(0, 60) == pytest.approx((0, 1 - 0.05 ** (1 / 60)))


@pytest.mark.parametrize(
    "values, adjusted",
    [([], []), ([0.2], [0.2]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.9, 0.8], [1.0, 1.0]), ([0.01, 0.01], [0.02, 0.02])],
)
def test_holm(values, adjusted):
    """Each value times how many are at least as large, never falling, at most 1."""
    assert gs.holm(values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_lies_between_the_value_and_bonferroni(values):
    """Holm never rejects what a single test would not, and rejects whatever Bonferroni does."""
    assert all(p <= q <= min(1, len(values) * p) + 1e-15 for p, q in zip(values, gs.holm(values), strict=True))


@pytest.mark.parametrize("logs, delta, p", [([0.1], 0.0, 1.0), ([0.1] * 4, 0.01, 0.0), ([0.0] * 4, 0.01, 1.0), ([0.01] * 4, 0.01, 1.0)])
def test_without_spread_nothing_is_divided_by_zero(logs, delta, p):
    """One pair says nothing; pairs that agree exactly are above delta or not."""
    assert gs.p_above(gs.sample(logs), delta) == p


@pytest.mark.parametrize("logs", [[], [math.nan, 0.1], [math.inf]])
def test_what_cannot_be_summed_up_is_refused(logs):
    """No pairs, or a log-ratio that is not finite."""
    with pytest.raises(ValueError, match=r"no pairs|finite"):
        gs.sample(logs)


@pytest.mark.parametrize(
    "logs, least", [([0.05, 0.05, 0.2], 0.05), ([-0.05, -0.06, -0.2], -0.06), ([-0.01, -0.01, 0.5], 0.0), ([0.0, 0.0], 0.0)]
)
def test_the_nearer_of_mean_and_median_counts(logs, least):
    """One odd pair cannot make an effect, in either direction."""
    assert gs.sample(logs).least == pytest.approx(least)


@given(st.floats(0.001, 0.2))
def test_what_can_be_seen_is_at_least_the_threshold(deviation):
    """The detectable effect is over the threshold, and grows with the noise."""
    rule = gs.Rule()
    assert rule.threshold < gs.detectable(deviation, rule) <= gs.detectable(1.1 * deviation, rule) + 2e-4


@pytest.mark.parametrize("deviation, low, high", [(0.01, 0.03, 0.045), (0.015, 0.03, 0.05), (0.05, 0.08, 0.15)])
def test_what_can_be_seen_at_the_measured_noise(deviation, low, high):
    """With the noise of CPU time (1 to 1.5 %) 5 % is found; with the worst workload's (5 %) it is not."""
    assert low < gs.detectable(deviation, gs.Rule()) < high


@pytest.mark.parametrize(
    "wrong, message",
    [({"threshold": 0.005}, "threshold=0.005: expected more than 0.01"), ({"alpha": 0}, "alpha=0"), ({"pairs": (6, 2, 10)}, "pairs=")],
)
def test_a_rule_that_cannot_hold_is_refused(wrong, message):
    """A threshold under delta, a level outside 0 to 1, too few pairs."""
    with pytest.raises(ValueError, match=message):
        gs.Rule(**wrong)
