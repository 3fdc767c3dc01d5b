"""The vocabulary: normalised once, checked once, and the one function that says where windows lie."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding, Window


def taps(windows: Sliding | Adaptive | Global, size: int) -> list[list[int]]:
    return [list(window.taps) for window in windows.along(0, size)]


def test_sliding_is_normalised_at_construction() -> None:
    """Sizes become tuples of ints, the stride defaults to the kernel, the dilation to ones."""
    windows = Sliding(kernel=[np.int64(3), 2], padding=[[0, 1], (2, 0)])
    assert windows == Sliding(kernel=(3, 2), stride=(3, 2), padding=((0, 1), (2, 0)), dilation=(1, 1), ceil_mode=False)
    assert Sliding(kernel=(3, 2), stride=2).stride == (2, 2)
    assert type(windows.kernel[0]) is int


@pytest.mark.parametrize("build", [Max, Average, lambda: Lp(p=2), lambda: Sliding(kernel=(2,)), lambda: Adaptive(output_size=(2,)), Global])
def test_vocabulary_is_frozen(build) -> None:
    """Nothing in a spec can be changed, and equal specs hash alike."""
    one = build()
    assert (one, hash(one)) == (build(), hash(build()))
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        one.kernel = (1,)


@pytest.mark.parametrize(
    "call, error, says",
    [
        ("Sliding(kernel=3)", TypeError, "kernel=3"),
        ("Sliding(kernel=())", ValueError, "kernel=()"),
        ("Sliding(kernel='33')", TypeError, "kernel='33'"),
        ("Sliding(kernel=(2.5,))", TypeError, "kernel=2.5"),
        ("Sliding(kernel=(True,))", TypeError, "kernel=True"),
        ("Sliding(kernel=(2, 2), stride=(1,))", ValueError, "stride=(1,)"),
        ("Sliding(kernel=(2,), padding='full')", TypeError, "padding='full'"),
        ("Sliding(kernel=(2,), padding=1)", TypeError, "padding=1"),
        ("Sliding(kernel=(2, 2), padding=((1, 1),))", ValueError, "for each of 2 axes"),
        ("Sliding(kernel=(2,), padding=((1, 1, 1),))", ValueError, "(before, after)"),
        ("Sliding(kernel=(2,), ceil_mode=1)", TypeError, "ceil_mode=1"),
        ("Adaptive(output_size=2)", TypeError, "output_size=2"),
        ("Average(divisor=0.5)", TypeError, "divisor=0.5"),
        ("Average(count_include_pad='no')", TypeError, "count_include_pad='no'"),
        ("Lp(p='2')", TypeError, "p='2'"),
        ("PoolSpec(reduction=Max, windows=Global())", TypeError, "reduction="),
        ("PoolSpec(reduction=Max(), windows=(2, 2))", TypeError, "windows=(2, 2)"),
    ],
    ids=lambda value: value if isinstance(value, str) and "(" in value else "",
)
def test_construction_refuses(call: str, error: type[Exception], says: str) -> None:
    """A wrong type or rank is refused at construction, with the value."""
    with pytest.raises(error) as raised:
        eval(call)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "reduction, windows, shape, says",
    [
        (Max(), Sliding(kernel=(2, 0)), (4, 4), "kernel=0 on axis 1"),
        (Max(), Sliding(kernel=(2, 2), stride=(1, 0)), (4, 4), "stride=0 on axis 1"),
        (Max(), Sliding(kernel=(2, 2), stride=(-1, 1)), (4, 4), "stride=-1 on axis 0"),
        (Max(), Sliding(kernel=(2,), dilation=(0,)), (4,), "dilation=0 on axis 0"),
        (Max(), Sliding(kernel=(2,), padding=((-1, 1),)), (4,), "padding=(-1, 1) on axis 0"),
        (Max(), Sliding(kernel=(5,)), (4,), "window of 5 on axis 0: larger than the padded input, 4"),
        (Max(), Sliding(kernel=(3,), dilation=(2,)), (4,), "window of 5 on axis 0"),
        (Max(), Sliding(kernel=(2, 2)), (4,), "2 sizes for the 1 spatial axes"),
        (Max(), Sliding(kernel=(2,), padding="same_upper", ceil_mode=True), (4,), "ceil_mode=True with padding='same_upper'"),
        (Max(), Sliding(kernel=(2,), stride=(1,), padding=((2, 0),)), (4,), "window 0 on axis 0: reads padding alone"),
        (Max(), Sliding(kernel=(2,), padding="same_upper", dilation=(5,)), (1,), "reads padding alone"),
        (Max(), Adaptive(output_size=(0,)), (4,), "output_size=0 on axis 0"),
        (Max(), Global(), (4, 0), "size 0 on axis 1"),
        (Max(), Global(), (), "no spatial axis"),
        (Average(divisor=0), Sliding(kernel=(2,)), (4,), "divisor=0"),
        (Average(divisor=2), Global(), (4,), "divisor=2"),
        (Average(count_include_pad=True), Adaptive(output_size=(2,)), (4,), "count_include_pad=True"),
        (Lp(p=0.5), Global(), (4,), "p=0.5"),
        (Lp(p=float("inf")), Global(), (4,), "p=inf"),
    ],
)
def test_check_refuses(reduction, windows, shape, says) -> None:
    """What the definition calls invalid raises ValueError naming the value and its axis."""
    with pytest.raises(ValueError, match=r".") as raised:
        PoolSpec(reduction=reduction, windows=windows).check(shape)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "windows, size, expected",
    [
        pytest.param(Sliding(kernel=(2,)), 5, [[0, 1], [2, 3]], id="valid drops what does not fill a window"),
        pytest.param(Sliding(kernel=(2,), ceil_mode=True), 5, [[0, 1], [2, 3], [4]], id="ceil mode keeps it, clipped"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), 4, [[0, 1], [1, 2, 3]], id="padding is not read"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding=((0, 2),)), 3, [[0, 1, 2], [2]], id="padding after only"),
        pytest.param(
            Sliding(kernel=(2,), stride=(2,), padding=((1, 1),), ceil_mode=True), 3, [[0], [1, 2]],
            id="a last window that starts in the padding after is dropped",
        ),
        pytest.param(
            Sliding(kernel=(1,), stride=(3,), padding=((0, 1),), ceil_mode=True), 3, [[0]], id="dropped in ceil mode whatever the padding is"
        ),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding="same_upper"), 4, [[0, 1, 2], [2, 3]], id="upper: the odd one after"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding="same_lower"), 4, [[0, 1], [1, 2, 3]], id="lower: the odd one before"),
        pytest.param(Sliding(kernel=(2,), stride=(3,), padding="same_upper"), 7, [[0, 1], [3, 4], [6]], id="a stride past the kernel"),
        pytest.param(Sliding(kernel=(2,), stride=(1,), dilation=(3,)), 5, [[0, 3], [1, 4]], id="dilation"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), dilation=(2,), padding="same_upper"), 3, [[0, 2], [0, 2]], id="dilated and padded"),
        pytest.param(Adaptive(output_size=(3,)), 5, [[0, 1], [1, 2, 3], [3, 4]], id="adaptive bins overlap"),
        pytest.param(Adaptive(output_size=(4,)), 2, [[0], [0], [1], [1]], id="more bins than elements"),
        pytest.param(Global(), 3, [[0, 1, 2]], id="global"),
    ],
)  # fmt: skip
def test_windows_by_hand(windows, size: int, expected: list[list[int]]) -> None:
    """Windows worked out by hand are those of `along`."""
    assert taps(windows, size) == expected
    assert len(expected) == windows.count(0, size)


@pytest.mark.parametrize(
    "windows, size, spans",
    [
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)), 4, [3, 3], id="explicit padding counts"),
        pytest.param(Sliding(kernel=(3,), stride=(2,), padding="same_upper"), 4, [3, 3], id="SAME's padding counts"),
        pytest.param(Sliding(kernel=(3,), ceil_mode=True), 4, [3, 1], id="the overhang does not"),
        pytest.param(Sliding(kernel=(3,), stride=(3,), padding=((1, 1),), ceil_mode=True), 6, [3, 3, 2], id="padding counts, overhang not"),
    ],
)
def test_spans_by_hand(windows, size: int, spans: list[int]) -> None:
    """A span counts the taps in the padded input, and not the overhang of ceil mode."""
    assert [window.span for window in windows.along(0, size)] == spans


@st.composite
def along(draw: st.DrawFn) -> tuple[Sliding, int]:
    padding = draw(st.sampled_from(["valid", "same_upper", "same_lower", "pairs"]))
    pairs = ((draw(st.integers(0, 4)), draw(st.integers(0, 4))),)
    windows = Sliding(
        kernel=(draw(st.integers(1, 5)),), stride=(draw(st.integers(1, 4)),), dilation=(draw(st.integers(1, 3)),),
        padding=pairs if padding == "pairs" else padding, ceil_mode="same" not in padding and draw(st.booleans()),
    )  # fmt: skip
    return windows, draw(st.integers(1, 12))


@given(drawn=along())
def test_along_reads_a_padded_line(drawn: tuple[Sliding, int]) -> None:
    """Windows are those that step over a line on which padding and overhang are written out."""
    windows, size = drawn
    before, after = windows.pads(0, size)
    line = ["pad"] * before + list(range(size)) + ["pad"] * after + ["beyond"] * 40
    found = windows.along(0, size)
    starts = [i * windows.stride[0] for i in range(len(found))]
    read = [[line[start + j * windows.dilation[0]] for j in range(windows.kernel[0])] for start in starts]
    expected = [
        Window(range(0), 0)._replace(span=sum(tap != "beyond" for tap in window)) for window in read
    ]  # fmt: skip
    assert [list(window.taps) for window in found] == [[tap for tap in window if isinstance(tap, int)] for window in read]
    assert [window.span for window in found] == [window.span for window in expected]


@given(drawn=along())
def test_output_shape_counts_the_windows(drawn: tuple[Sliding, int]) -> None:
    """The closed form is the number of windows, wherever there are any."""
    windows, size = drawn
    assert max(0, windows.count(0, size)) == len(windows.along(0, size))
