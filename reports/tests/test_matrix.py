"""The conformance matrix, coverage and support."""

import pytest

from reports import deviations, matrix
from reports.observed import grouped
from reports.record import Gap, KnownDivergence, Loading
from reports.tests import samples

BUG = KnownDivergence(id="nan", backend="numpy", verdict="bug")


def _matrix(records, lines=(), loadings=(), gaps=(), backends=("numpy",)):
    groups = grouped(records)
    return matrix.matrix(groups, deviations.told(groups, list(lines), [], {}), list(loadings), list(gaps), list(backends))


def _cell(built, attribute, value, backend="numpy", block=matrix.EVERY):
    row = next(row for row in built.blocks[block] if (row.attribute, row.value) == (attribute, value))
    return row.cells[built.backends.index(backend)]


def _deviates(divergence=None, status="diverges", **asked):
    return samples.observation(status=status, divergence=divergence, question=samples.question(**asked))


@pytest.mark.parametrize(
    "record, lines, state",
    [
        (samples.observation(), (), "conforms"),
        (_deviates(), (), "diverges"),
        (_deviates(status="crashed"), (), "diverges"),
        (_deviates(status="error"), (), "diverges"),
        (_deviates(divergence="nan"), (BUG,), "bug"),
        (_deviates(divergence="nan", status="crashed"), (KnownDivergence(id="nan", backend="numpy", verdict="crash"),), "crash"),
        (_deviates(divergence="nan"), (KnownDivergence(id="nan", backend="numpy", verdict="convention"),), "convention"),
        (_deviates(divergence="nan"), (KnownDivergence(id="nan", backend="numpy", verdict="precision"),), "precision"),
        (samples.observation(status="unsupported"), (), "gap"),
    ],
    ids=["conforms", "unexplained", "unexplained crash", "unexplained error", "bug", "crash", "convention", "precision", "gap"],
)
def test_a_cell_has_the_state_of_its_answers(record, lines, state):
    """Each way in which an answer can come out is a state of its own."""
    assert _cell(_matrix([record], lines), "dtype", "float32").state == state


def test_a_cell_is_as_bad_as_its_worst_answer():
    """One unexplained answer among many good ones makes a cell diverge, and is counted."""
    cell = _cell(_matrix([samples.observation(), _deviates("nan"), _deviates()], [BUG]), "dtype", "float32")
    assert (cell.state, cell.asked, cell.deviating, len(cell.deviations)) == ("diverges", 3, 2, 2)


def test_special_values_count_only_in_their_own_rows():
    """What happens to a NaN is told in the NaN's row, not in every row that met one."""
    built = _matrix([samples.observation(), _deviates("nan", values="nan +inf")], [BUG])
    assert _cell(built, "dtype", "float32").state == "conforms"
    assert _cell(built, "values", "nan").state == _cell(built, "values", "+inf").state == "bug"


def test_a_row_that_holds_all_of_a_deviation_is_marked():
    """A cell is specific where a deviation lies wholly in it and others were asked too."""
    built = _matrix(
        [samples.observation(), _deviates("nan", dtype="float16"), samples.observation(question=samples.question(dtype="float16"))], [BUG]
    )
    assert _cell(built, "dtype", "float16").specific
    assert not _cell(built, "windows", "sliding").specific


def test_one_answer_with_two_causes_is_one_answer():
    """An answer that two known divergences explain counts once among those asked."""
    other = KnownDivergence(id="inf", backend="numpy", verdict="crash")
    cell = _cell(_matrix([_deviates("inf, nan")], [BUG, other]), "dtype", "float32")
    assert (cell.state, cell.asked, cell.deviating) == ("crash", 1, 1)


@pytest.mark.parametrize("dtype, state", [("float64", "not run"), ("int8", "gap")])
def test_what_was_not_asked_is_a_gap_or_not_run(dtype, state):
    """A value outside the declared capabilities is a gap; one inside that nobody asked is not run."""
    loadings = [
        Loading(backend="numpy", status="loaded", capabilities={"max": samples.capabilities()}),
        Loading(backend="torch", status="loaded", capabilities={"max": samples.capabilities(dtypes=["int8", "float64"])}),
    ]
    built = _matrix([samples.observation()], loadings=loadings, backends=("numpy", "torch"))
    assert _cell(built, "dtype", dtype).state == state


def test_each_reduction_has_a_block():
    """A block counts the answers of its reduction alone."""
    records = [samples.observation(), _deviates(reduction="average")]
    built = _matrix(records)
    assert _cell(built, "dtype", "float32", block="max").state == "conforms"
    assert _cell(built, "dtype", "float32", block="average").state == "diverges"


def test_anchors_are_unique_and_stable():
    """Every cell has an anchor of its own, the same whenever the report is built."""
    records = list(samples.conforming())
    built = [
        [cell.anchor for rows in _matrix(each, backends=tuple(samples.VERSIONS)).blocks.values() for row in rows for cell in row.cells]
        for each in (records, records[::-1])
    ]
    assert built[0] == built[1] and len(set(built[0])) == len(built[0])


def test_coverage_counts_each_value():
    """Coverage counts the answers to each value, special values one by one, and not what was unsupported."""
    asked = [
        samples.observation(question=samples.question(values="nan +inf")),
        samples.observation(),
        samples.observation(status="unsupported"),
    ]
    rows = {(row.heading, row.value): row.counts for row in matrix.coverage(grouped(asked), ["numpy", "torch"])}
    assert rows["Dtype", "float32"] == (2, 0) and rows["Special values", "nan"] == rows["Special values", "+inf"] == (1, 0)


def test_a_phrase_is_one_value():
    """ "integer extremes" is one value, not two."""
    rows = matrix.coverage(grouped([samples.observation(question=samples.question(values="integer extremes"))]), ["numpy"])
    assert [row.value for row in rows if row.heading == "Special values"] == ["integer extremes"]


def test_support_says_why_only_in_part():
    """A reason whose every question shares a value qualifies that value's row, and no other."""
    gaps = [
        Gap(backend="torch", reduction="average", reason="cannot say: dilation", question={"ndim": ndim, "dilation": "yes"})
        for ndim in ("1-D", "2-D", "3-D")
    ]
    loadings = [Loading(backend="torch", status="loaded", capabilities={"average": samples.capabilities(count_include_pad=False)})]
    rows = {(row.heading, row.value): row.cells[0] for row in matrix.support(loadings, gaps, ["torch"])}
    assert rows["Options", "dilated"] == ("in part", ("cannot say: dilation",))
    assert rows["Dimensions", "2-D"] == ("yes", ()) and ("Options", "padding counted") not in rows


def test_gaps_are_told_once_each():
    """A reason stands once, with how often it was met and the shortest question."""
    gaps = [Gap(backend="b", reduction="max", reason="refuses: x", question={"dtype": dtype}) for dtype in ("float16", "int8")]
    (row,) = matrix.gap_rows(gaps)
    assert (row.count, row.question) == (2, "dtype=int8")
