"""Medians, their intervals, and what is refused as a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import spread

times = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60)


@given(rounds=times)
def test_quartiles_are_numpys(rounds):
    """Median and quartiles are those of numpy.quantile."""
    found = spread.of(rounds)
    assert np.allclose([found.q1, found.median, found.q3], np.quantile(rounds, [0.25, 0.5, 0.75]), rtol=1e-12, atol=0)


@given(rounds=times)
def test_the_interval_holds_the_median(rounds):
    """Where there is an interval, the median lies in it; under six rounds there is none."""
    found = spread.of(rounds)
    assert (found.low is None) == (len(rounds) < 6)
    assert found.low is None or found.low <= found.median <= found.high


@pytest.mark.parametrize("n", [6, 7, 11, 50, 333, 1000, 1001, 4321])
def test_the_interval_is_the_narrowest_that_covers(n):
    """Ranks r and n+1−r miss the median with probability 5 % at most, and the next narrower ones with more."""
    rank = spread.median_rank(n)
    below = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(rank + 3)]
    tail = np.cumsum(np.exp(below))
    assert 2 * tail[rank - 1] <= 0.0501 and 2 * tail[rank + 1] > 0.05


@pytest.mark.parametrize("rounds", [[], [1.0, 0.0], [-1.0], [math.nan], [math.inf], ["1"], [True]], ids=str)
def test_what_is_no_time_is_refused(rounds):
    """A clock that stood still, or ran backwards, gives no statistics."""
    with pytest.raises(ValueError, match=r"no rounds|positive number"):
        spread.of(rounds)


@pytest.mark.parametrize(
    "threads, cores, processor, said",
    [
        (1, 1.9, 0.1, True),
        (2, 2.2, 0.1, False),
        (2, 3.0, 0.1, True),
        (1, 1.2, 0.1, False),
        (1, 1.9, 0.03, False),
        (0, 1.9, 0.1, False),
        ("auto", 1.9, 0.1, False),
    ],
)
def test_more_cores_than_threads_are_remarked_on(threads, cores, processor, said):
    """A quarter of a core beyond the threads is remarked on, where enough processor time was counted and somebody said how many threads."""
    facts = {"threads": threads, "cores_used": cores, "processor_seconds": processor}
    assert bool(list(spread.of([1.0]).remarks(facts))) == said


def test_a_backend_that_says_more_threads_is_remarked_on():
    """What a backend says of its threads is held against those asked for, where its cores do not tell already."""
    told = [list(spread.of([1.0]).remarks({"threads": 1, "threads_said": said})) for said in (1, 2)]
    assert told == [[], ["its backend says that it has 2 threads where 1 thread was asked for"]]


@pytest.mark.parametrize("launching, said", [(9.9e-6, True), (3e-6, False), (0.0, False)])
def test_launching_that_takes_as_long_is_remarked_on(launching, said):
    """Where the host takes as long to launch as a timing on a device is, the timing is of the host, and says so."""
    told = list(spread.of([1e-5] * 9).remarks({"launch_seconds": launching}))
    assert told == (["it is bound by launching, for which the host takes 9.90 µs: the device may be faster"] if said else [])


@pytest.mark.parametrize("limit, said", [(2.08e-5, True), (1.05e-5, False), (0.5e-5, False), (0.0, False), (None, False)])
def test_a_limit_that_was_passed_is_remarked_on(limit, said):
    """What took less than the machine's limit, by more than both were measured, says so."""
    (told,) = list(spread.of([1e-5] * 9).remarks({"limit": limit})) or [""]
    assert told.startswith("it reached 208% of its limit: ") == said


def test_drift_compares_the_halves():
    """Drift is the later half's median over the earlier half's."""
    assert spread.of([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]).drift == 2.0
