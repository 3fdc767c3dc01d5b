"""Deviations told one by one."""

import pytest

from reports import deviations, observed
from reports.observed import grouped
from reports.record import KnownDivergence, Tally
from reports.tests import samples


def _told(records, lines=(), tallies=(), versions=None):
    return deviations.told(grouped(records), list(lines), list(tallies), versions or {})


def test_the_smallest_case_is_shown():
    """Of the cases that break a law, the shortest text is the one that is told."""
    records = [samples.observation(status="diverges", case=case) for case in ("max x=1,1,40", "max x=1,1,4", "max x=1,1,400")]
    (found,) = _told(records)
    assert found.smallest == "max x=1,1,4" and found.seen == 3 and not found.known
    assert found.replay == "python -m properties 'conforms_to_the_definition: max x=1,1,4' --backend numpy"
    assert [case for case, _ in found.others] == ["max x=1,1,40", "max x=1,1,400"]


def test_unexplained_deviations_come_first():
    """What nobody has explained stands before a crash that is known, and that before a convention."""
    lines = [KnownDivergence(id=verdict, backend="numpy", verdict=verdict) for verdict in ("convention", "crash", "precision", "bug")]
    found = _told([samples.observation(status="diverges")], lines)
    assert [one.state for one in found] == ["diverges", "crash", "bug", "precision", "convention"]


def test_a_failed_law_without_a_case_is_told():
    """A law that failed and left no observation is a deviation with the law's message."""
    tally = Tally(law="l", claim="It holds.", backend="numpy", status="failed", message="returned a list")
    (found,) = _told([], tallies=[tally])
    assert (found.state, found.title, found.message, found.smallest) == ("diverges", "It holds.", "returned a list", "")


@pytest.mark.parametrize("recorder", ["tensorflow", "tensorflow:xla"])
def test_a_variant_that_records_a_row_is_named_once(recorder):
    """Whichever variant recorded a row, the backends that it is about have their variant once in their names."""
    line = KnownDivergence(id="x", backend=recorder, variants=["", "xla"], verdict="bug")
    assert observed.full_names(line) == ["tensorflow", "tensorflow:xla"]


def test_a_known_deviation_names_the_variants_that_ran():
    """A row is about each of its variants that this run loaded, and no other."""
    line = KnownDivergence(id="x", backend="tensorflow", variants=["", "xla", "graph"], verdict="bug")
    (found,) = _told([], [line], versions={"tensorflow": "2.21.0", "tensorflow:xla": "2.21.0"})
    assert found.backends == ("tensorflow", "tensorflow:xla") and found.versions == "tensorflow 2.21.0"


def test_a_known_deviation_without_its_row_is_still_told():
    """An interrupted run may lack the row that an observation names: the deviation stands, and says so."""
    (found,) = _told([samples.observation(status="diverges", divergence="lost")])
    assert found.id == "lost" and found.known and "interrupted" in found.message


def test_a_hostile_case_is_quoted_for_the_shell():
    """A case with a quote in it stays one word of the replaying command."""
    (found,) = _told([samples.observation(backend="a b", status="diverges", case="it's x=1; rm -rf /")])
    assert found.replay == """python -m properties 'conforms_to_the_definition: it'"'"'s x=1; rm -rf /' --backend 'a b'"""


@pytest.mark.parametrize("length, kept", [(4000, 4000), (4001, 4000)])
def test_long_texts_are_clipped_and_say_so(length, kept):
    """A text past what a page can carry is cut, with the number of characters that were."""
    text = deviations.clipped("x" * length)
    assert text.count("x") == kept and ("more characters" in text) == (length > kept)
