"""Half types by their bits: exact where the bits say it, and rounded once where they cannot."""

import numpy as np
import pytest

import backends
from backends import numpy_numbers
from backends.interface import Case
from backends.numpy_numbers import narrow, shrinks, widen
from backends.numpy_program import Builder, Script, copy
from backends.spec import Average, PoolSpec, Sliding

EVERY = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def ran(build: Builder, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a program that reads x writes to y."""
    program = build.program()
    script = Script(program.link(np.empty(program.size, np.uint8)))
    script.run(script.settled({"x": x}), {"y": y})
    return y


def test_widen_is_exact() -> None:
    """Every finite float16 becomes the float32 of the same sign and of its value less what `shrinks` says."""
    for finite in (True, False):
        build = Builder({"x": FINITE.shape, "y": FINITE.shape})
        build.emit(copy, widen(build, "x", FINITE.dtype, np.dtype(np.float32), finite=finite), out="y")
        got = ran(build, FINITE, np.empty(FINITE.shape, np.float32))
        assert (got.astype(np.float64) * shrinks(FINITE.dtype)).tobytes() == FINITE.astype(np.float64).tobytes()


def test_narrow_rounds_as_a_cast() -> None:
    """A float32 at, beside and halfway between float16 values, or past them, becomes what a cast makes of it."""
    exact = FINITE.astype(np.float32)
    with np.errstate(over="ignore"):
        halfway = (exact + np.nextafter(FINITE, np.float16(np.inf)).astype(np.float32)) / 2
    past = np.float32([65519.99, 65520, 65536, 1e5, 131072, 1e38, 3.4028235e38, 2.0**-25, 2.0**-26, 1e-40, 0])
    x = np.concatenate([exact, halfway[np.isfinite(halfway)], past, -past])
    with np.errstate(over="ignore"):
        x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    x = x[np.isfinite(x)]
    assert x.size > max(300_000, numpy_numbers.MANY)
    build = Builder({"x": x.shape, "y": x.shape})
    wide = build.buffer(x.shape, np.float32)
    build.emit(copy, "x", out=wide)
    narrow(build, wide, np.dtype(np.float16), "y", finite=True)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    np.testing.assert_array_equal(ran(build, x, np.empty(x.shape, np.float16)).view(np.int16), expected.view(np.int16))


@pytest.mark.parametrize("many", [1, numpy_numbers.MANY])
@pytest.mark.parametrize("output", ["values", "gradient"])
def test_averages_near_the_least_float16_are_rounded_once(output: str, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An average just above half of the least float16 is that number, not 0, also in a block whose others are large."""
    monkeypatch.setattr(numpy_numbers, "MANY", many)
    number = np.float16([[[2.0**-10, 1000]]])
    given = {"x": number} if output == "values" else {"x": number, "cotangent": number}
    case = Case(spec=PoolSpec(reduction=Average(divisor=32767), windows=Sliding(kernel=(1,))), output=output, **given)
    np.testing.assert_array_equal(backends.run(backends.load("numpy"), case).ravel(), np.float16([2.0**-24, 1000 / 32767]))
