"""Numbers and lists as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import words


@pytest.mark.parametrize(
    "seconds, text",
    [
        (1.2345e-3, "1.23 ms"),
        (9.996e-4, "1.00 ms"),
        (125, "2 min 5 s"),
        (3.2e-8, "32.0 ns"),
        (0.5, "500 ms"),
        (99.96, "100 s"),
        (2, "2.00 s"),
    ],
)
def test_durations_take_the_unit_that_suits(seconds, text):
    """A duration has three digits and the unit that keeps it between 1 and 1000."""
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    "number, unit, text",
    [
        (24.49, "%", "24.5 %"),
        (12, "cells", "12 cells"),
        (math.nan, "cells", "not a number"),
        (math.inf, "s", "∞"),
        (2**30, "B", "1.00 GiB"),
        (0.5, "", "0.500"),
    ],
)
def test_quantities_say_their_unit(number, unit, text):
    """A number is written with its unit, and what is not finite in words."""
    assert words.quantity(number, unit) == text


@pytest.mark.parametrize("share, text", [(0.99999, "> 99.9 %"), (1.0, "100 %"), (0.0001, "< 0.1 %"), (0.0, "0 %"), (0.031, "3.1 %")])
def test_percentages_are_not_rounded_up_to_all(share, text):
    """What is not all is never called 100 %, and what is not nothing never 0 %."""
    assert words.percent(share) == text


def test_a_sign_is_not_lost_in_an_anchor():
    """Values that differ in their sign alone have anchors of their own, and everyday names keep theirs."""
    assert words.slug("cell", "numpy", "divisor", "-1") != words.slug("cell", "numpy", "divisor", "1") == "cell-numpy-divisor-1"
    assert words.slug("cell", "numpy", "values", "-inf") == "cell-numpy-values-inf"


@pytest.mark.parametrize("ratio, text", [(12.34, "12×"), (1.26, "1.3×"), (1.04, "1.04×"), (123.4, "123×")])
def test_ratios_keep_two_digits(ratio, text):
    """A ratio is as precise as it is of use."""
    assert words.times(ratio) == text


@pytest.mark.parametrize("names, text", [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (list("abcdefgh"), "a, b, c, d, e and 3 more")])
def test_lists_read_as_sentences(names, text):
    """A list ends in "and", a long one in how many more there are."""
    assert words.listed(names) == text


@given(parts=st.lists(st.text(max_size=120), min_size=1, max_size=3))
def test_anchors_are_plain_whatever_they_are_made_of(parts):
    """An anchor holds lower-case letters, digits and hyphens alone, and is the same every time."""
    anchor = words.slug(*parts)
    assert set(anchor) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and anchor == words.slug(*parts)


@pytest.mark.parametrize("one, other", [("<script>", "script"), ("Torch", "torch"), ("+inf", "inf"), ("ü", "ö")])
def test_anchors_of_different_names_differ(one, other):
    """What an anchor's letters lose is kept in a digest."""
    assert words.slug("d", one) != words.slug("d", other)


def test_values_are_ordered_as_known_then_by_number():
    """Known values come first, in their order; others follow, 9 before 10."""
    assert words.ordered({"k10", "k9", "float16", "float64"}, ("float64", "float16")) == ["float64", "float16", "k9", "k10"]
