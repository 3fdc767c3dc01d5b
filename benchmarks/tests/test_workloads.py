import dataclasses
import re

import numpy as np
import pytest

from backends.interface import Case
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding
from benchmarks import workloads
from benchmarks.workloads import LAYERS, QUICK, WORKLOADS, Workload, bytes_moved, taps

EVERY = pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)


def test_names_are_distinct():
    """No two rows have one name, so none hides another."""
    rows = (LAYERS, workloads.BATCHES, workloads.HALVES, workloads.WINDOWS, workloads.SIDES, workloads.SAMPLES)
    assert sum(map(len, rows)) == len(WORKLOADS)


def test_rows_ask_different_questions():
    """Rows of one shape, dtype and pooling would time the same thing twice."""
    asked = [(row.shape, row.dtype, row.spec) for row in WORKLOADS.values() if "scaling" not in row.families]
    assert len(asked) == len(set(asked))


def test_there_are_enough_layers():
    """At least forty rows are layers of real networks."""
    assert len(LAYERS) >= 40


@EVERY
def test_sources_say_where(workload):
    """A source names a file of a project, a paper with its year, or that the row is generated."""
    generated = "scaling" in workload.families
    assert generated == workload.source.startswith("generated")
    assert generated or any(mark in workload.source for mark in (".py", ".lua", ".yaml", ".cfg", "20", "oneDNN")), workload.source
    assert workload.network
    assert workload.layer


@EVERY
def test_shapes_pool(workload):
    """Every row is valid by the definition, and has windows."""
    assert min(workload.pooled_shape) >= 1


@pytest.mark.parametrize("network, stride, channels", [("M5 of PyTorch's tutorial", 16, (32, 32, 64)), ("M5", 4, (128,))])
def test_audio_has_the_lengths_of_its_source(network, stride, channels):
    """Convolutions of 80 taps, then of 3, without padding, and pooling by 4 give the lengths from the samples that a row names."""
    rows = [row for row in LAYERS if row.network == network]
    assert [row.shape[1] for row in rows] == list(channels)
    for number, row in enumerate(rows, 1):
        filters, samples = (int(word) for word in re.findall(r"(\d+) (?:filters|samples)", row.layer))
        length = (samples - 80) // stride + 1
        for _ in range(number - 1):
            length = length // 4 - 2
        assert row.shape == (1, filters, length)


def test_quick_covers_each_kind():
    """The ten quick rows have every kind of pooling but the norms."""
    kinds = {type(row.spec.windows) for row in QUICK} | {type(row.spec.reduction) for row in QUICK}
    assert len(QUICK) == 10
    assert {Sliding, Adaptive, Global, Max, Average} <= kinds
    assert {len(row.shape) - 2 for row in QUICK} == {1, 2, 3}
    assert any(row.spec.windows.ceil_mode for row in QUICK if isinstance(row.spec.windows, Sliding))
    assert "spp" in frozenset().union(*(row.families for row in QUICK))


def test_dtypes_and_batches():
    """Half types, norms, and batches beside single samples are there."""
    assert {row.dtype for row in WORKLOADS.values()} == {"float32", "float16", "bfloat16"}
    assert any(isinstance(row.spec.reduction, Lp) for row in LAYERS)
    assert {row.shape[0] for row in workloads.BATCHES} == {8, 32}


@pytest.mark.parametrize(
    "family, positions",
    [
        ("max by window", {2, 3, 4, 5, 7, 9, 13, 17, 25, 33}),
        ("average by window", {2, 3, 4, 5, 7, 9, 13, 17, 25, 33}),
        ("max by image side", {32, 64, 128, 256, 512, 1024}),
        ("max by batch", {1, 2, 4, 8, 16, 32, 64}),
    ],
)
def test_families_scale_one_size(family, positions):
    """A family's rows lie at the sizes that it is drawn over."""
    rows = [row for row in WORKLOADS.values() if row.family == family]
    assert {row.position for row in rows} == positions
    assert len({row.pooled_shape[1:] for row in rows}) == 1 or family == "max by image side"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "has space"}, "name='has space'"),
        ({"source": ""}, "no source"),
        ({"shape": (1, 3)}, r"shape=\(1, 3\)"),
        ({"shape": (0, 3, 8, 8)}, r"shape=\(0, 3, 8, 8\)"),
        ({"shape": (1, 3, 1, 8)}, "window of 2 on axis 0"),
        ({"dtype": "float31"}, "float31"),
        ({"outputs": ("gradient",)}, "expected values"),
        ({"spec": PoolSpec(reduction=Average(), windows=Global()), "outputs": ("values", "indices")}, "expected values, and others"),
    ],
)
def test_wrong_rows_are_refused(changes, message):
    """A row that could not be timed is refused where it is written, with the value."""
    row = {
        "name": "row", "network": "Net", "layer": "one", "spec": PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2))),
        "shape": (1, 3, 8, 8), "source": "a/file.py",
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        Workload(**{**row, **changes})


def test_cases_repeat():
    """Two looks at a workload get the same numbers, and nobody can change them."""
    workload = WORKLOADS["m5-pool3"]
    first, again = workload.case(), dataclasses.replace(workload, name="again").case("channels_last")
    np.testing.assert_array_equal(first.x, again.x)
    assert not first.x.flags.writeable
    assert (first.x.dtype, first.x.shape) == (np.float32, workload.shape)


@pytest.mark.parametrize(
    "output, expected",
    [
        ("values", 4 * (2 * 3 * 7 * 8 + 2 * 3 * 3 * 2)),
        ("indices", 4 * (2 * 3 * 7 * 8) + 8 * (2 * 3 * 3 * 2)),
        ("gradient", 4 * (2 * (2 * 3 * 7 * 8) + 2 * 3 * 3 * 2)),
    ],
)
def test_bytes_moved(output, expected):
    """Each input element moves once and each output element once; a gradient has two inputs, indices take eight bytes."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(3, 4), stride=(2, 4)))
    cotangent = np.ones((2, 3, 3, 2), np.float32) if output == "gradient" else None
    assert bytes_moved(Case(spec, np.ones((2, 3, 7, 8), np.float32), "channels_last", output, cotangent)) == expected


@pytest.mark.parametrize(
    "reduction, output, beside, expected",
    [
        # Windows of one in three of the nine columns, and of all seven rows.
        (Max(), "values", False, 4 * 6 * (7 * 3 + 3 * 3)),
        (Max(), "indices", False, 4 * 6 * 7 * 3 + 8 * 6 * 3 * 3),
        (Max(), "indices", True, 4 * 6 * (7 * 3 + 3 * 3) + 8 * 6 * 3 * 3),
        (Max(), "gradient", False, 4 * 6 * (7 * 3 + 3 * 3 + 7 * 9)),
        (Lp(p=2), "gradient", False, 4 * 6 * (7 * 3 + 3 * 3 + 7 * 9)),
        (Average(), "gradient", False, 4 * 6 * (3 * 3 + 7 * 9)),
    ],
)
def test_bytes_that_need_not_move_do_not_count(reduction, output, beside, expected):
    """What no window reads need not move, nor x for the gradient of an average; what is returned beside indices must."""
    spec = PoolSpec(reduction=reduction, windows=Sliding(kernel=(3, 1), stride=(2, 3)))
    cotangent = np.ones((2, 3, 3, 3), np.float32) if output == "gradient" else None
    assert bytes_moved(Case(spec, np.ones((2, 3, 7, 9), np.float32), "channels_last", output, cotangent), beside=beside) == expected


def test_bytes_moved_of_half_types():
    """Half types move half the bytes."""
    whole, half = (bytes_moved(WORKLOADS[name].case()) for name in ("resnet50-stem", "resnet50-stem-bf16"))
    assert whole == 2 * half == 4 * (64 * 112 * 112 + 64 * 56 * 56)


def test_taps():
    """Padding is not read, and an element that two windows read counts twice."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(3,), stride=(2,), padding=((1, 1),)))
    assert taps(Case(spec, np.ones((2, 5, 4), np.float32))) == 2 * 5 * (2 + 3)
