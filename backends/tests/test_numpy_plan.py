"""The NumPy backend's slices are the windows of the vocabulary, whole or cut."""

import functools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backends import numpy_plan
from backends.numpy_kernels import at
from backends.numpy_plan import Bins, Grid, axis_of, divisors, memory_order, ranges
from backends.numpy_program import Builder, Operand
from backends.spec import Adaptive, Average, Global, PoolSpec, Sliding


@st.composite
def windows_of_an_axis(draw):
    """(windows, size): valid windows of every kind over one axis."""
    size = draw(st.integers(1, 24))
    kind = draw(st.sampled_from(["sliding", "adaptive", "global"]))
    if kind == "global":
        return Global(), size
    if kind == "adaptive":
        return Adaptive(output_size=(draw(st.integers(1, 30)),)), size
    padding = draw(
        st.one_of(st.sampled_from(["valid", "same_upper", "same_lower"]), st.tuples(st.tuples(st.integers(0, 6), st.integers(0, 6))))
    )
    windows = Sliding(
        kernel=(draw(st.integers(1, 9)),),
        stride=(draw(st.integers(1, 5)),),
        dilation=(draw(st.integers(1, 3)),),
        padding=padding,
        ceil_mode=draw(st.booleans()) and not isinstance(padding, str),
    )
    spec = PoolSpec(reduction=Average(), windows=windows)
    try:
        spec.check((size,))
    except ValueError:
        assume(False)
    return windows, size


def by_taps(axis):
    """Each window's elements, collected from the slices of its taps."""
    reads = [set() for _ in range(axis.count)]
    for tap in axis.taps():
        elements = range(tap.source.start, tap.source.stop, tap.source.step)
        for window, element in zip(range(tap.target.start, tap.target.stop), elements, strict=True):
            reads[window].add(element)
    return reads


@given(windows_of_an_axis())
def test_an_axis_reads_what_the_vocabulary_says(drawn):
    """The windows of an axis, one by one, read the taps that `along` lists."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    assert [axis.reads(i) for i in range(axis.count)] == [window.taps for window in windows.along(0, size)]


@given(windows_of_an_axis())
def test_taps_hold_every_element_of_every_window_once(drawn):
    """The slices of a grid's taps are its windows, transposed; none is clipped twice or left out."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    assume(isinstance(axis, Grid))
    assert by_taps(axis) == [set(window.taps) for window in windows.along(0, size)]
    assert sum(tap.target.stop - tap.target.start for tap in axis.taps()) == sum(len(window.taps) for window in windows.along(0, size))


@given(windows_of_an_axis(), st.data())
def test_a_cut_keeps_its_windows(drawn, data):
    """Some windows of an axis, cut out with what they read, read the same elements."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    first = data.draw(st.integers(0, axis.count - 1))
    last = data.draw(st.integers(first + 1, axis.count))
    part, cut = axis.cut(first, last)
    moved = [{part.start + element for element in cut.reads(i)} for i in range(cut.count)]
    assert moved == [set(axis.reads(i)) for i in range(first, last)]
    assert cut.size == part.stop - part.start


@given(windows_of_an_axis(), st.data())
def test_elements_that_are_cut_out_keep_the_windows_that_meet_in_them(drawn, data):
    """Some elements of an axis meet the same windows before and after they are cut out."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first + 1, size))
    part, cut = axis.cut_elements(first, last)
    met = {(part.start + i, first + element) for i in range(cut.count) for element in cut.reads(i) if 0 <= element < last - first}
    assert met == {(i, element) for i in range(axis.count) for element in axis.reads(i) if first <= element < last}


@given(windows_of_an_axis())
def test_the_transpose_of_a_grid_swaps_windows_and_elements(drawn):
    """For stride 1, element e reads window w in the transpose exactly when w reads e."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    assume(isinstance(axis, Grid) and axis.stride == 1)
    forward = {(i, e) for i in range(axis.count) for e in axis.reads(i)}
    turned = axis.transposed()
    assert {(i, e) for e in range(turned.count) for i in turned.reads(e)} == forward


@given(windows_of_an_axis())
def test_a_table_lists_the_taps_of_chosen_windows(drawn):
    """A table's rows are windows, with marks on the taps that exist, and no index outside the axis."""
    windows, size = drawn
    axis = axis_of(windows, 0, size)
    taps, exists = axis.table(np.arange(axis.count))
    assert [set(row[mark].tolist()) for row, mark in zip(taps, exists, strict=True)] == [set(w.taps) for w in windows.along(0, size)]
    assert taps.min() >= 0 and taps.max() < size


@st.composite
def windows_of_a_plane(draw):
    """(windows, spatial): sliding windows over two axes, different on each."""
    pair = st.tuples(st.integers(1, 6), st.integers(1, 6))
    pads = st.tuples(st.integers(0, 2), st.integers(0, 2))
    padding = draw(st.one_of(st.sampled_from(["valid", "same_upper", "same_lower"]), st.tuples(pads, pads)))
    ceil_mode = draw(st.booleans()) and not isinstance(padding, str)
    windows = Sliding(kernel=draw(pair), stride=draw(pair), dilation=draw(pair), padding=padding, ceil_mode=ceil_mode)
    return windows, draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))


@given(windows_of_a_plane(), st.booleans())
def test_divisors_are_products_of_counts(drawn, include):
    """An average divides by the product of taps, or of spans, of the windows along each axis."""
    windows, spatial = drawn
    spec = PoolSpec(reduction=Average(count_include_pad=include), windows=windows)
    assume(_invalid(spec.check, spatial) is None)
    rows, columns = ([w.span if include else len(w.taps) for w in windows.along(axis, size)] for axis, size in enumerate(spatial))
    assert np.array_equal(np.broadcast_to(divisors(spec, spatial), spec.output_shape(spatial)), np.outer(rows, columns))


@given(windows_of_a_plane())
def test_a_quick_check_finds_what_the_slow_one_finds(drawn):
    """The check that lists no windows raises what `spec.check` raises, word for word, or nothing."""
    windows, spatial = drawn
    spec = PoolSpec(reduction=Average(), windows=windows)
    assert _invalid(functools.partial(numpy_plan.check, spec), spatial) == _invalid(spec.check, spatial)


def _invalid(check, spatial):
    try:
        check(spatial)
    except ValueError as error:
        return str(error)
    return None


@given(st.lists(windows_of_an_axis(), min_size=1, max_size=3), st.integers(1, 3), st.integers(1, 600), st.integers(1, 5000), st.booleans())
def test_blocks_cover_every_output_once(drawn, samples, channels, budget, last):
    """The ranges of an axis follow each other from its first output to its last, whatever a block may hold."""
    axes = [axis_of(windows, 0, size) for windows, size in drawn]
    counts = [axis.count for axis in axes]
    order = ([None, *axes, None], [samples, *counts, channels]) if last else ([None, None, *axes], [samples, channels, *counts])
    for size, cuts in zip(order[1], ranges(order[1], order[0], 4, budget), strict=True):
        assert [i for start, stop in cuts for i in range(start, stop)] == list(range(size))


def test_channels_in_a_row_are_not_cut_short():
    """A block takes long runs of channels that lie next to each other, however little it may hold."""
    cuts = ranges([1, 4, 2000], [None, Grid(size=4, count=4, kernel=1, stride=1, dilation=1, before=0), None], 4, 64)
    assert len(cuts[-1]) > 1 and min(stop - start for start, stop in cuts[-1]) >= numpy_plan.LONG


def test_bins_of_one_size_are_a_grid():
    """Adaptive bins at equal steps cost no more than sliding windows; uneven ones stay bins."""
    assert isinstance(axis_of(Adaptive(output_size=(7,)), 0, 15), Grid)
    assert isinstance(axis_of(Adaptive(output_size=(4,)), 0, 10), Bins)


@pytest.mark.parametrize(
    "permutation, layout, logical, expected",
    [
        ((0, 1, 2, 3), "channels_first", False, (0, 1, 2, 3)),
        ((0, 1, 2, 3), "channels_last", False, (0, 2, 3, 1)),
        ((0, 2, 3, 1), "channels_first", False, (0, 2, 3, 1)),
        ((0, 1, 3, 2), "channels_first", False, (0, 1, 3, 2)),
        ((0, 1, 3, 2), "channels_first", True, (0, 1, 2, 3)),
        ((0, 3, 2, 1), "channels_first", True, (0, 2, 3, 1)),
    ],
)  # fmt: skip
def test_axes_are_taken_as_they_lie_in_memory(permutation, layout, logical, expected):
    """The outermost axis in memory comes first; positions keep the spatial axes in their order."""
    sizes = (2, 3, 4, 5)
    x = np.zeros([sizes[axis] for axis in permutation]).transpose(np.argsort(permutation))
    assert memory_order(x, layout, logical=logical) == expected


def test_a_register_that_was_freed_is_not_read():
    """A program whose step reads or writes scratch memory that was given back is refused when it is written."""
    build = Builder({"x": (4,)})
    held, freed = build.buffer((4,), np.float32), build.buffer((4,), np.float32)
    seen = build.view(freed, np.int32)
    build.emit(np.add, held, freed, out=held)
    build.free(freed)
    with pytest.raises(ValueError, match="was freed before this step, 1"):
        build.emit(np.add, held, seen, out=held)
    with pytest.raises(ValueError, match="was freed before this step, 1"):
        build.emit(np.add, held, held, out=freed)
    build.emit(np.add, held, "x", out=held)


def test_a_part_that_is_all_of_a_register_is_the_register() -> None:
    """A step looks at no part where that is everything: each look costs a call a fifth of a microsecond."""
    build = Builder({"x": (3, 4), "y": (3, 4)})
    build.emit(np.negative, at("x", 1, slice(0, 4)), out=at("y", 1, slice(0, 3)))
    (step,) = build.program().steps
    assert step.inputs == (Operand("x"),) and step.out == at("y", 1, slice(0, 3))
