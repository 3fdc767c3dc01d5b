"""The NumPy backend's averages multiply each sum by its own window's factor, however the factors are held."""

import itertools

import numpy as np
import pytest

import backends
from backends import numpy_average
from backends.compare import assert_conforms
from backends.interface import LAYOUTS, Case
from backends.numpy_average import Factor
from backends.numpy_backend import NumpyBackend
from backends.spec import Adaptive, Average, PoolSpec, Sliding

SAME = Sliding(kernel=(3,), stride=(1,), padding="same_upper")
SQUARE = Sliding(kernel=(3, 3), stride=(1, 1), padding="same_upper")
CASES = [
    (SAME, (3, 6, 17)),
    (SQUARE, (2, 5, 9, 8)),
    (Sliding(kernel=(4, 3), stride=(3, 2), padding=((2, 1), (1, 1)), ceil_mode=True), (1, 4, 11, 10)),
    (Sliding(kernel=(3, 1), stride=(1, 1), padding=((1, 1), (0, 0))), (2, 3, 5, 4)),
    (Sliding(kernel=(1, 3), stride=(1, 1), padding=((0, 0), (1, 1))), (2, 3, 5, 4)),
    (Sliding(kernel=(3, 3, 3), stride=(1, 2, 1), padding="same_lower"), (1, 2, 5, 6, 7)),
    (Adaptive(output_size=(3, 4)), (2, 3, 7, 10)),
    (Adaptive(output_size=(1, 4)), (2, 3, 1, 10)),
    (Adaptive(output_size=(1, 1, 3)), (1, 2, 1, 1, 2)),
]


def asked(windows, shape, output="values", dtype="float32", layout="channels_last"):
    spec = PoolSpec(reduction=Average(), windows=windows)
    draw = np.random.default_rng(0).standard_normal
    g = draw((*shape[:2], *spec.output_shape(shape[2:]))).astype(dtype) if output == "gradient" else None
    return Case(spec, draw(shape).astype(dtype), layout, output, g)


@pytest.fixture(autouse=True)
def short_rows_are_held(monkeypatch):
    """Let rows of any length be held."""
    monkeypatch.setattr(numpy_average, "LEAST", 1)


def factor_of(case):
    question, _ = NumpyBackend(threads=1)._planned(case)
    return Factor.of(question.in_order(1 / numpy_average.divisors(case.spec, case.spatial)), question)


@pytest.mark.parametrize("block", [1, 500, 1 << 20])
@pytest.mark.parametrize("output", ["values", "gradient"])
@pytest.mark.parametrize("windows, shape", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_rows_of_factors_are_the_map(windows, shape, output, dtype, block, monkeypatch):
    """Sums are multiplied by the same numbers, to the bit, by rows of factors and by the map; the answer conforms."""
    case, backend = asked(windows, shape, output, dtype), NumpyBackend(threads=1, block=block)
    by_rows = backends.run(backend, case)
    assert_conforms(case, by_rows)
    monkeypatch.setattr(numpy_average, "FEW", 0)
    assert not factor_of(case).rows
    assert by_rows.tobytes() == backends.run(backend, case).tobytes()


@pytest.mark.parametrize(
    "windows, shape, few, held",
    [
        (SAME, (3, 6, 17), (0, *(1,) * 15, 2), 3 * 6),
        (SQUARE, (2, 5, 9, 8), (0, *(1,) * 7, 2), 3 * 8 * 5),
        (CASES[3][0], CASES[3][1], (0, 1, 1, 1, 2), 3 * 4 * 3),
    ],
)
def test_rows_are_held_once(windows, shape, few, held):
    """Rows that follow each other and are equal are one row of the array, repeated for every channel."""
    factor = factor_of(asked(windows, shape))
    assert factor.rows == few
    assert factor.array.size == held


@pytest.mark.parametrize("output", ["values", "gradient"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_an_array_may_lie_anyhow(order, output):
    """Each sum meets its own factor in whatever order the axes lie in memory."""
    case = asked(SQUARE, (4, 5, 3, 2), output)
    x = np.ascontiguousarray(case.x.transpose(order)).transpose(np.argsort(order))
    for layout in LAYOUTS:
        anyhow = case.replace(x=x, layout=layout)
        assert_conforms(anyhow, backends.run(NumpyBackend(threads=1), anyhow))


def test_short_rows_are_not_held(monkeypatch):
    """A row that is no longer than a few channels gains nothing."""
    monkeypatch.setattr(numpy_average, "LEAST", 256)
    assert not factor_of(asked(SAME, (3, 6, 17))).rows
    assert factor_of(asked(SQUARE, (2, 32, 9, 8))).rows


@pytest.mark.parametrize(
    "case",
    [
        asked(SQUARE, (2, 5, 9, 8), layout="channels_first"),
        asked(SQUARE, (2, 1, 9, 8)),
        asked(Adaptive(output_size=(31, 2)), (1, 2, 47, 4)),
        asked(SQUARE, (1, 4000, 5, 9)),
        asked(Sliding(kernel=(2, 2)), (2, 5, 8, 8)),
    ],
    ids=["channels first", "one channel", "rows that change often", "rows that are long", "one number"],
)
def test_where_rows_gain_nothing(case):
    """A map, or a number, stays what it is without channels to repeat it for, where rows change often, and where they are long."""
    factor = factor_of(case)
    assert not factor.rows
    assert factor.array.size in (1, 9 * 8, 31, 31 * 2, 5 * 9)
