"""How many outputs there are: the closed form, the framework's own shape inference, and the array that comes back."""

import math

import numpy as np
from hypothesis import strategies as st

from backends.interface import LAYOUTS, Backend, Case, Unsupported, dtype_named
from backends.spec import Adaptive, Average, Lp, Max, PoolSpec, Sliding
from properties.laws import law
from properties.strategies import askable, draw_reduction, draw_sliding


@st.composite
def zeros(draw: st.DrawFn, backend: Backend, **bounds: object) -> Case:
    """Cases of zeros whose sizes are larger and odder than those whose values are checked."""
    able = askable(backend, outputs=("values",))
    name = draw(st.sampled_from(sorted(able)))
    can = able[name]
    ndim = draw(st.sampled_from(sorted(can.ndims)))
    dtype = draw(st.sampled_from(sorted(can.dtypes)))
    if "sliding" in can.windows:
        windows, least = draw_sliding(draw, can, ndim)
        stride = tuple(draw(st.integers(1, 9)) for _ in range(ndim))
        windows = Sliding(
            kernel=windows.kernel, stride=stride, padding=windows.padding, dilation=windows.dilation, ceil_mode=windows.ceil_mode
        )
        spatial = tuple(size + draw(st.integers(0, {1: 200, 2: 40, 3: 12}[ndim])) for size in least)
        spec = PoolSpec(reduction=draw_reduction(draw, name, can, sliding=True), windows=windows)
    else:
        spatial = tuple(draw(st.integers(1, 40 // ndim)) for _ in range(ndim))
        spec = PoolSpec(
            reduction={"max": Max(), "average": Average(), "lp": Lp(p=2)}[name],
            windows=Adaptive(output_size=tuple(draw(st.integers(1, 9)) for _ in range(ndim))),
        )
    layout = draw(st.sampled_from([layout for layout in LAYOUTS if layout in can.layouts]))
    return Case(spec=spec, x=np.zeros((1, draw(st.integers(1, 2)), *spatial), dtype_named(dtype)), layout=layout)


def closed_form(n: int, k: int, s: int, d: int, padding: object, ceil_mode: bool) -> int:
    """The number of windows by the definition's first rule, on its own."""
    if padding in ("same_upper", "same_lower"):
        return math.ceil(n / s)
    before, after = (0, 0) if padding == "valid" else padding
    room = n + before + after - d * (k - 1) - 1
    if not ceil_mode:
        return room // s + 1
    count = math.ceil(room / s) + 1
    return count - 1 if (count - 1) * s >= n + before else count


@law(draw=zeros, windows={"sliding"}, outputs={"values"}, most_taps=10**9)
def test_closed_form(backend, case):
    """The output has floor((n + pads − d(k−1) − 1)/s) + 1 elements on each axis, or what SAME and ceil mode make of that."""
    w = case.spec.windows
    if not isinstance(w, Sliding):
        raise Unsupported("only sliding windows have a closed form")
    expected = tuple(
        closed_form(n, w.kernel[i], w.stride[i], w.dilation[i], w.padding if isinstance(w.padding, str) else w.padding[i], w.ceil_mode)
        for i, n in enumerate(case.spatial)
    )
    assert backend.ask(case).shape == (*case.x.shape[:2], *expected)


@law(windows={"adaptive", "global"}, outputs={"values"}, examples=0.5)
def test_fixed_size(backend, case):
    """Adaptive windows give the size that was asked for, and global ones a single element, whatever the input's size."""
    windows = case.spec.windows
    expected = windows.output_size if isinstance(windows, Adaptive) else (1,) * len(case.spatial)
    assert backend.ask(case).shape == (*case.x.shape[:2], *expected)


@law(outputs={"values"})
def test_static_shape(backend, case):
    """The shape that the framework infers without computing is the shape of the array that comes back."""
    inferred = backend.static_shape(case)
    assert inferred == backend.ask(case).shape


@law(batches=(0,), examples=0.5)
def test_empty_batch(backend, case):
    """An empty batch gives an empty answer of the right shape and type."""
    answer = backend.ask(case)
    assert answer.shape == (case.x.shape if case.output == "gradient" else case.pooled_shape)
    assert answer.dtype == (np.int64 if case.output == "indices" else case.x.dtype)
