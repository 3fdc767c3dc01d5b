"""A case is one line of text, and the line is the case."""

import ml_dtypes  # noqa: F401  # registers bfloat16 under its name
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import text
from backends.interface import Case, dtype_named, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "uint8", "int64", "uint64"]


@st.composite
def arrays(draw: st.DrawFn, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of any bit pattern, tiled, lying anyhow in memory."""
    kind = dtype_named(dtype)
    raw = draw(st.binary(min_size=kind.itemsize, max_size=kind.itemsize * 6))
    pattern = np.frombuffer(raw[: len(raw) // kind.itemsize * kind.itemsize], kind)
    array = np.resize(pattern, shape)
    steps = draw(st.sampled_from([1, 2, -1]))
    if array.size and steps != 1:
        array = text.with_strides(array, tuple(stride // array.itemsize * steps for stride in array.strides))
    if draw(st.booleans()):
        array.flags.writeable = False
    return array


@st.composite
def any_cases(draw: st.DrawFn) -> Case:
    """Any case that the vocabulary can say, valid or not."""
    ndim = draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(-1, 4)] * ndim)
    windows = draw(
        st.one_of(
            st.just(Global()),
            st.builds(lambda out: Adaptive(output_size=out), sizes),
            st.builds(
                lambda k, s, d, c, p: Sliding(kernel=k, stride=s, dilation=d, ceil_mode=c, padding=p),
                sizes, sizes, sizes, st.booleans(),
                st.one_of(st.sampled_from(["valid", "same_upper", "same_lower"]), st.tuples(*[st.tuples(st.integers(-1, 3), st.integers(0, 3))] * ndim)),
            ),
        )
    )  # fmt: skip
    reduction = draw(
        st.one_of(
            st.just(Max()),
            st.builds(lambda c, d: Average(count_include_pad=c, divisor=d), st.booleans(), st.one_of(st.none(), st.integers(-9, 9))),
            st.builds(lambda p: Lp(p=p), st.floats(0.5, 64)),
        )
    )
    shape = draw(st.tuples(*[st.integers(0, 3)] * 2, *[st.integers(1, 5)] * ndim))
    dtype = draw(st.sampled_from(DTYPES))
    output = draw(st.sampled_from(["values", "indices", "gradient"]))
    cotangent = draw(arrays(dtype, shape)) if output == "gradient" else None
    layout = draw(st.sampled_from(["channels_first", "channels_last"]))
    return Case(
        spec=PoolSpec(reduction=reduction, windows=windows), x=draw(arrays(dtype, shape)), layout=layout, output=output, cotangent=cotangent
    )


@given(case=any_cases(), law=st.sampled_from([None, "values", "axes_commute"]))
def test_parses_back(case: Case, law: str | None) -> None:
    """A line parses back to an equal case, with the same memory and the same law."""
    line = text.write(case, law)
    assert "\n" not in line
    again_law, again = text.parse(line)
    assert (again_law, again) == (law, case)
    assert not case.x.size or again.x.strides == case.x.strides
    assert again.x.flags.writeable == case.x.flags.writeable
    assert text.write(again, law) == line


@given(case=any_cases())
def test_needs_no_quotes(case: Case) -> None:
    """No character of a line means anything to a shell."""
    assert not set(text.write(case)) & set("'\"\\$`&|;<>()[]{}*?!#~^\t")


@pytest.mark.parametrize("name", sorted(text.GENERATORS))
@pytest.mark.parametrize("dtype", DTYPES)
def test_generated_arrays_are_named(name: str, dtype: str) -> None:
    """A large array that a seeded generator made is written as its name, and comes back."""
    x = text.generate(name, 7, (2, 3, 40, 40), dtype)
    line = text.write(Case(spec=PoolSpec(reduction=Max(), windows=Global()), x=x))
    assert f"@{name}/7" in line
    assert same_bits(text.parse(line)[1].x, x)


def test_generators_are_pinned() -> None:
    """Seeded generators give these numbers on every machine and in every NumPy."""
    assert text.generate("integers", 1, (6,), "int64").tolist() == [0, 7, 6, 3, -3, 6]
    assert text.generate("distinct", 1, (6,), "int64").tolist() == [2, 4, 5, 0, 3, 1]
    assert text.generate("uniform", 1, (2,), "float64").tolist() == [0.023643136024475098, 0.9009273052215576]


def test_large_arrays_of_no_generator() -> None:
    """A large array without a name is compressed, and comes back."""
    x = np.cumsum(np.arange(20000, dtype=np.float64)).reshape(1, 2, 100, 100) / 3
    case = Case(spec=PoolSpec(reduction=Max(), windows=Global()), x=x)
    assert text.parse(text.write(case))[1] == case


@pytest.mark.parametrize(
    "line, says",
    [
        ("", "expected one of max, average, lp"),
        ("max sliding kernel=2 values channels_first", "x= is missing"),
        ("max sliding values channels_first x=float32:1,1,2:0x2", "kernel= is missing"),
        ("max global values channels_first x=float99:1,1,2:0x2", "float99"),
        ("max global values channels_first x=float32:1,1,3:0x2", "2 numbers for the shape (1, 1, 3)"),
        ("max global values channels_first x=float32:1,1,2", "expected dtype:shape:data"),
        ("max global values channels_first x=float32:1,1,2:a,b", "could not convert"),
        ("max global values channels_first x=float32:1,1,2:@magic/3", "generator 'magic'"),
        ("max global values channels_first x=float32:1,1,2:0x2:upside-down", "upside-down"),
        ("max global values channels_first x=float32:1,1,2:0x2 speed=3", "speed=: not understood"),
        ("max min global values channels_first x=float32:1,1,2:0x2", "min: not understood"),
        ("max global values channels_first x=float32:1,1,2:0x2 x=float32:1,1,2:0x2", "x= stands twice"),
        ("max sliding kernel=2 padding=1/x values channels_first x=float32:1,1,2:0x2", "invalid literal"),
        ("max global gradient channels_first x=float32:1,1,2:0x2", "cotangent"),
    ],
)
def test_unreadable_lines_say_why(line: str, says: str) -> None:
    """A line that names no case raises, with the part that is wrong."""
    with pytest.raises(text.Unreadable) as raised:
        text.parse(line)
    assert says in str(raised.value)


def test_poison_lies_between_strided_elements() -> None:
    """What a strided input leaves out is NaN, so that a backend that reads it shows."""
    x = text.with_strides(np.ones((1, 1, 3), np.float32), (6, 6, 2))
    assert np.isnan(x.base).sum() == 2
