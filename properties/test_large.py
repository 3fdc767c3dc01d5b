"""Arrays of a million elements and tens of thousands of maps: where work is shared out, and counters of 16 bits end."""

import math

import numpy as np
from hypothesis import strategies as st

from backends import compare
from backends.interface import Backend, Case
from backends.spec import Global, PoolSpec, Sliding, Windows
from backends.text import generate
from properties.laws import law
from properties.posing import SIMPLE, draw_chosen
from properties.relations import plain
from properties.strategies import number, one_of

HELD = 20_000
"""How many elements of a large input are held to the definition: whole maps, the last ones among them."""


@st.composite
def million(draw: st.DrawFn, backend: Backend, *, dtypes=("float32", "float64"), **_) -> Case:
    """Numbers that round, in many small maps or in a few large ones."""
    name, can, output, dtype, ndim, layout = draw_chosen(draw, backend, dtypes)
    padding = draw(one_of(tuple(kind for kind in ("valid", "same_upper", "symmetric") if kind in can.paddings)))
    k, stride = draw(number(2, 3)), draw(number(1, 2))
    if draw(one_of((False, True))):
        spatial, maps = ((1,) * (ndim - 1) + (2,), 2**16 + draw(number(1, 40)))
        kernel = (1,) * (ndim - 1) + (2,)
    else:
        side = {1: 2**12, 2: 2**6, 3: 2**4}[ndim] + draw(number(0, 5))
        spatial, kernel = (side,) * ndim, (k,) * ndim
        maps = 2**18 // side**ndim + draw(number(0, 3))
    pads: object = padding if padding != "symmetric" else tuple((size // 2, size // 2) for size in kernel)
    sliding = Sliding(kernel=kernel, stride=(stride,) * ndim, padding=pads)
    windows: dict[str, Windows] = {"sliding": sliding, "global": Global()}
    spec = PoolSpec(reduction=SIMPLE[name], windows=windows[draw(one_of(tuple(name for name in windows if name in can.windows)))])
    shape = (1, maps) if draw(one_of((True, False))) else (maps, 1)
    seed = draw(number(0, 99))
    x = generate("uniform", seed, (*shape, *spatial), dtype)
    cotangent = generate("uniform", seed + 1, (*shape, *spec.output_shape(spatial)), dtype) if output == "gradient" else None
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


def maps_of(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some of all maps of all samples, as samples of one channel."""
    return plain(array.reshape(math.prod(array.shape[:2]), 1, *array.shape[2:])[rows])


@law(draw=million, dtypes={"float32", "float64"}, most_taps=2**26, examples=0.06)
def test_large_arrays(backend, case):
    """The last maps of a large array are pooled as well as the first, however many they are."""
    answer = backend.unmended(case)
    compare.assert_shaped(case, answer)
    maps, elements = math.prod(case.x.shape[:2]), math.prod(case.spatial)
    few = max(1, HELD // elements // 2)
    rows = np.unique(np.concatenate([np.linspace(0, maps - 1, few).astype(np.int64), np.arange(max(0, maps - few), maps)]))
    part = case.replace(x=maps_of(case.x, rows), cotangent=None if case.cotangent is None else maps_of(case.cotangent, rows))
    compare.assert_conforms(part, backend.mended(part, maps_of(answer, rows)))
