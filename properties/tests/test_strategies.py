"""Strategies draw what a backend can be asked, valid and varied."""

import dataclasses
import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.interface import LAYOUTS, OUTPUTS, Capabilities, missing, same_bits
from properties.__main__ import laws
from properties.arranging import EXPANDED, MEMORY, REPEATED, arranged
from properties.mutable import Steps
from properties.questions import question
from properties.strategies import DTYPES, PALETTES, STACK, cases, count_taps, palette, scrambled, tile
from properties.test_heads import heads
from properties.test_sizes import large_extents, real_layers
from properties.test_values import CHANNELS, nan_everywhere, wide_and_hurt, with_nan_everywhere
from properties.tests.strangers import Sound

RELAXED = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@RELAXED
@given(case=cases(Sound()))
def test_cases_stay_inside_the_capabilities(case) -> None:
    """What is drawn for a backend that can do little is what it can do."""
    assert missing(Sound.capabilities, case) is None


@RELAXED
@given(case=cases(Steps()))
def test_most_cases_are_valid(case) -> None:
    """A drawn case that the definition calls invalid has a window that reads padding alone, and nothing else wrong."""
    why = ""
    try:
        case.spec.check(case.spatial)
    except ValueError as error:
        why = str(error)
    assert not why or "reads padding alone" in why


class Compiling(Sound):
    """A backend to which a new spec costs a compilation."""

    compiles = True


@RELAXED
@given(case=cases(Compiling(), batches=(1, 2)))
def test_a_compiling_backend_is_asked_more_of_a_spec(case) -> None:
    """Each sample that is drawn for a backend that compiles stands for several patterns of values."""
    assert case.x.shape[0] in (STACK, 2 * STACK)


def test_stacked_patterns_differ() -> None:
    """The patterns of one stacked case come from palettes of their own: one has a NaN, another has none."""
    mixed = []

    @settings(RELAXED, derandomize=True, database=None)
    @given(case=cases(Compiling(), batches=(1, 2)))
    def draw(case) -> None:
        hurt = np.isnan(case.x.reshape(len(case.x), -1)).any(axis=1)
        mixed.append(0 < hurt.sum() < len(hurt))

    draw()
    assert any(mixed)


def test_cases_cover_the_question_space() -> None:
    """Two thousand cases ask every dtype, output, layout, memory, padding, option and dimension."""
    seen: Counter[tuple[str, str]] = Counter()
    valid = []

    @settings(RELAXED, max_examples=2000, derandomize=True, database=None)
    @given(case=cases(Steps()))
    def draw(case) -> None:
        seen.update(question(case).items())
        valid.append(count_taps(case) <= 4000)

    draw()
    asked = {f"{name}={value}" for name, value in seen}
    wanted = {f"dtype={dtype}" for dtype in DTYPES} | {f"output={output}" for output in ("values", "indices", "gradient")}
    wanted |= {f"padding={kind}" for kind in ("valid", "same_upper", "same_lower", "symmetric", "asymmetric")}
    wanted |= {"dilation=yes", "ceil_mode=yes", "count_include_pad=yes", "divisor=negative", "divisor=positive", "batch=empty"}
    wanted |= {f"ndim={n}-D" for n in (1, 2, 3)} | {
        f"memory={kind}" for kind in ("contiguous", "read-only", "transposed", "strided", "negative strides")
    }
    wanted |= {f"kernel={size}" for size in ("1", "2 to 3", "4 to 8")} | {f"channels={size}" for size in ("1", "2 to 7", "8 to 16")}
    wanted |= {"stride=windows overlap", "stride=windows adjoin", "stride=windows leave gaps", "axes=distinct", "axes=alike in part"}
    wanted |= {"axes=distinct, pads and dilations too", "cotangent_values=nan", "values=integer extremes"}
    wanted |= {f"cotangent_memory={kind}" for kind in ("contiguous", "read-only", "transposed", "strided", "negative strides")}
    wanted |= {f"bins={kind}" for kind in ("one an axis", "of one size", "of two sizes", "more than elements")}
    assert wanted <= asked
    assert sum(valid) > 0.9 * len(valid)


@pytest.mark.parametrize("memory", [memory for memory in MEMORY if memory not in {*EXPANDED, *REPEATED}])
def test_arranged_keeps_the_elements(memory: str) -> None:
    """However an array lies in memory, its elements are the same."""
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    assert same_bits(arranged(array, memory), array)


def test_expanded_repeats_by_strides_of_zero() -> None:
    """An expanded array has the first sample and channel everywhere, and keeps it once."""
    array = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    expanded = arranged(array, "expanded")
    assert same_bits(expanded, array[:, [0, 0]])
    assert expanded.strides[:2] == (0, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scrambled_is_distinct(dtype: str) -> None:
    """Scrambled numbers are distinct as far as the smallest type counts, whatever the multiplier, and exact in theirs."""
    assert len(set(scrambled((250,), dtype, 7).tolist())) == 250


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PALETTES)
def test_palettes_begin_with_zero(name: str, dtype: str) -> None:
    """Every palette shrinks to zero, and has the dtype it was asked for."""
    values = palette(name, dtype)
    assert (values[0], values.dtype.name) == (0, dtype)


@given(picks=st.binary(max_size=48), size=st.integers(0, 100))
def test_tile_repeats(picks: bytes, size: int) -> None:
    """A byte string is repeated over the shape, and an empty one gives zeros."""
    values = palette("whole", "int64")
    tiled = tile(picks, values, (size,))
    assert tiled.tolist() == [int(values[(picks or b"\0")[i % max(1, len(picks))] % len(values)]) for i in range(size)]


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_nan_is_everywhere(channels: int, ndim: int) -> None:
    """Over the samples of one case each position of each channel is NaN once, and no two in a channel of one sample."""
    can = dataclasses.replace(Capabilities.of(Steps.capabilities["max"]), ndims=frozenset({ndim}))
    case = with_nan_everywhere("max", "gradient", channels, "float16", "channels_last", can)
    nan = np.isnan(case.x.astype(np.float32)).reshape(*case.x.shape[:2], -1)
    assert case.x.shape[1] == channels
    assert (nan.sum(axis=0) == 1).all() and (nan.sum(axis=2) == 1).all()


def test_nan_is_put_everywhere_in_a_run() -> None:
    """The usual examples of a run ask every number of channels in each layout of each output: of maxima in every type, and of sums."""
    seen = set()
    examples = settings(RELAXED, max_examples=round(100 * laws()["nan_everywhere"].examples), derandomize=True, database=None)

    @examples
    @given(case=nan_everywhere(Steps()))
    def collect(case) -> None:
        seen.add((case.spec.reduction.name, case.output, case.layout, case.x.shape[1], case.x.dtype.name))

    collect()
    floats = ("float32", "float64", "float16", "bfloat16")
    assert {asked[1:] for asked in seen if asked[0] == "max"} == set(itertools.product(OUTPUTS, LAYOUTS, CHANNELS, floats))
    sums = itertools.product(("average", "lp"), ("values", "gradient"), LAYOUTS, CHANNELS)
    assert {asked[:4] for asked in seen if asked[0] != "max"} == set(sums)


@pytest.mark.parametrize("table", [real_layers, large_extents, nan_everywhere, wide_and_hurt, heads])
def test_a_table_is_asked_whole(table) -> None:
    """The usual examples of a run are enough for each case that a law lists: more of them bring no other."""
    (law,) = [one for one in laws().values() if one.draw is table]

    def asked(examples: float) -> set[str]:
        found = set()

        @settings(RELAXED, max_examples=round(examples), derandomize=True, database=None)
        @given(case=table(Steps(), **law.bounds))
        def collect(case) -> None:
            found.add(
                hashlib.sha256(
                    f"{case.spec} {case.layout} {case.output} {case.x.dtype} {case.x.strides}".encode() + case.x.tobytes()
                ).digest()
            )

        collect()
        return found

    usual = asked(100 * law.examples)
    assert len(usual) > 200
    assert usual == asked(150 * law.examples)
