"""What a small shift does to a pooled map, as far as it is a law.

That small shifts disappear is not one: `experiments.py` measures how often they do.
"""

import dataclasses

import numpy as np
from hypothesis import strategies as st

from backends.interface import Backend, Case, Unsupported
from backends.spec import PoolSpec, Sliding
from properties.laws import law
from properties.relations import assert_agree, bounds, plain, sliding_of
from properties.strategies import DTYPES, askable, draw_array, draw_reduction

FLOATS = {"float32", "float64", "float16", "bfloat16"}
HALVING = 2


@st.composite
def plain_windows(draw: st.DrawFn, backend: Backend, *, reductions_: set[str], dtypes: set[str] = FLOATS, **_: object) -> Case:
    """Cases of sliding windows without padding, over inputs with room for a shift."""
    able = askable(backend, reductions_=reductions_, windows={"sliding"}, outputs={"values"}, dtypes=dtypes)
    name = draw(st.sampled_from(sorted(able)))
    can = able[name]
    ndim = draw(st.sampled_from(sorted(can.ndims)))
    kernel = tuple(draw(st.integers(1, 5 - ndim + 1)) for _ in range(ndim))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    spatial = tuple(k + 3 + s * draw(st.integers(1, 4)) for k, s in zip(kernel, stride, strict=True))
    dtype = draw(st.sampled_from([dtype for dtype in DTYPES if dtype in can.dtypes and dtype in dtypes]))
    layout = draw(st.sampled_from(sorted(can.layouts)))
    spec = PoolSpec(reduction=draw_reduction(draw, name, can, sliding=False), windows=Sliding(kernel=kernel, stride=stride))
    return Case(spec=spec, x=draw_array(draw, (1, draw(st.integers(1, 3)), *spatial), dtype, ("whole", "fractions")), layout=layout)


@st.composite
def repeated(draw: st.DrawFn, backend: Backend, *, reductions_: set[str], dtypes: set[str] = FLOATS, **_: object) -> Case:
    """Cases of windows of two over inputs that can be halved two or three times."""
    able = askable(backend, reductions_=reductions_, windows={"sliding"}, outputs={"values"}, dtypes=dtypes)
    name = draw(st.sampled_from(sorted(able)))
    can = able[name]
    ndim = draw(st.sampled_from(sorted(can.ndims)))
    depth = draw(st.integers(2, 3 if ndim < 3 else 2))
    spatial = tuple(2**depth * draw(st.integers(1, 3 if ndim < 3 else 2)) for _ in range(ndim))
    dtype = draw(st.sampled_from([dtype for dtype in DTYPES if dtype in can.dtypes and dtype in dtypes]))
    layout = draw(st.sampled_from(sorted(can.layouts)))
    spec = PoolSpec(reduction=draw_reduction(draw, name, can, sliding=False), windows=Sliding(kernel=(HALVING,) * ndim))
    return Case(spec=spec, x=draw_array(draw, (1, draw(st.integers(1, 2)), *spatial), dtype, ("whole",)), layout=layout)


def cut(array: np.ndarray, start: tuple[int, ...], stop: tuple[int, ...] | None = None) -> np.ndarray:
    """A part of the spatial axes, as a fresh array."""
    stops = stop or (None,) * len(start)
    return plain(array[(slice(None), slice(None), *(slice(a, b) for a, b in zip(start, stops, strict=True)))])


@law(draw=plain_windows, reductions={"max", "average", "lp"}, windows={"sliding"}, outputs={"values"})
def test_whole_strides(backend, case):
    """A shift by the stride moves the output by one cell, on the windows that both inputs have."""
    stride = sliding_of(case).stride
    shifted = case.replace(x=cut(case.x, stride))
    first, second = backend.answers(case, shifted)
    assert_agree(shifted, cut(first, (1,) * len(stride)), second, "shifted by the stride")


@law(draw=plain_windows, reductions={"max"}, windows={"sliding"}, outputs={"values"}, dtypes=FLOATS)
def test_wider_windows_bound_a_shift(backend, case):
    """After a shift of d, no maximum over k exceeds the one over k + d of the original, on the same grid."""
    windows, d = sliding_of(case), 2
    wide = dataclasses.replace(windows, kernel=tuple(k + d for k in windows.kernel))
    wider = case.replace(spec=PoolSpec(reduction=case.spec.reduction, windows=wide))
    shifted = case.replace(x=cut(case.x, (d,) * len(case.spatial)))
    bound, moved = backend.answers(wider, shifted)
    assert bound.shape == moved.shape
    assert (moved <= bound).all()


@law(draw=repeated, reductions={"max"}, windows={"sliding"}, outputs={"values"}, dtypes=FLOATS)
def test_a_lone_peak_stays(backend, case):
    """A lone peak that lies at least d inside its window is unmoved by any shift up to d."""
    rank, size = len(case.spatial), 7
    place = int(np.abs(plain(case.x).astype(np.float64)).sum())
    inside = tuple(1 + (place // 5**axis) % 5 for axis in range(rank))
    d = min(min(i, size - 1 - i) for i in inside)
    spec = PoolSpec(reduction=case.spec.reduction, windows=Sliding(kernel=(size,) * rank))
    maps = []
    for shift in (0, d, -d):
        x = np.zeros((*case.x.shape[:2], *(2 * size,) * rank), case.x.dtype)
        x[(..., *(i + shift for i in inside))] = 1
        maps.append(backend.ask(case.replace(spec=spec, x=x)))
    assert_agree(case, maps[0], maps[1], f"shifted by {d}")
    assert_agree(case, maps[0], maps[2], f"shifted by {-d}")


@law(draw=repeated, reductions={"max"}, windows={"sliding"}, outputs={"values"}, dtypes=FLOATS)
def test_two_peaks_meet_in_a_cell(backend, case):
    """After r poolings of 2, two peaks are one exactly if they lie in one cell of 2^r."""
    whole = plain(case.x).astype(np.float64).reshape(-1)
    count = int(np.prod(case.spatial))
    first, second = int(np.abs(whole).sum()) % count, int(np.abs(whole[::2]).sum() * 7 + 1) % count
    x = np.zeros((1, 1, count), case.x.dtype)
    x[..., [first, second]] = 1
    peaks = np.array([np.unravel_index(flat, case.spatial) for flat in (first, second)])
    step, depth = case.replace(x=x.reshape(1, 1, *case.spatial)), 0
    while all(size % HALVING == 0 for size in step.spatial):
        step, depth = step.replace(x=plain(backend.ask(step))), depth + 1
        cells = {tuple(cell) for cell in (peaks // HALVING**depth).tolist()}
        assert int(np.count_nonzero(step.x)) == len(cells), f"after {depth} poolings of peaks at {peaks.tolist()}"


@law(draw=repeated, reductions={"max", "average"}, windows={"sliding"}, outputs={"values"}, dtypes={"float32", "float64"})
def test_repeated_is_one(backend, case):
    """Pooling r times by 2 is pooling once by 2^r."""
    rank, depth, step = len(case.spatial), 0, case
    while all(size % HALVING == 0 for size in step.spatial):
        step, depth = step.replace(x=plain(backend.ask(step))), depth + 1
    at_once = case.replace(spec=PoolSpec(reduction=case.spec.reduction, windows=Sliding(kernel=(HALVING**depth,) * rank)))
    # Small whole numbers over powers of two: every sum and quotient on the way is exact.
    assert_agree(at_once, backend.ask(at_once), step.x, f"pooled {depth} times")


@law(draw=plain_windows, reductions={"average"}, windows={"sliding"}, outputs={"values"}, dtypes=FLOATS)
def test_average_moves_little(backend, case):
    """A shift of d along an axis changes an average by at most min(d, k)/k of the range over both windows."""
    if case.spec.reduction.divisor is not None:
        raise Unsupported("a divisor of one's own scales the range")
    windows, d, axis = sliding_of(case), 2, len(case.spatial) - 1
    start = tuple(d if i == axis else 0 for i in range(len(case.spatial)))
    stop = tuple(size - d if i == axis else size for i, size in enumerate(case.spatial))
    here, there = case.replace(x=cut(case.x, (0,) * len(start), stop)), case.replace(x=cut(case.x, start))
    first, second = backend.answers(here, there)
    x = case.x.astype(np.float64)
    view = np.lib.stride_tricks.sliding_window_view(
        x, tuple(k + d * (i == axis) for i, k in enumerate(windows.kernel)), axis=tuple(range(2, x.ndim))
    )  # fmt: skip
    view = view[(slice(None), slice(None), *(slice(None, None, step) for step in windows.stride))]
    spread = np.ptp(view, axis=tuple(range(-len(case.spatial), 0)))
    k = windows.kernel[axis]
    change = np.abs(first.astype(np.float64) - second.astype(np.float64))
    assert (change <= min(d, k) / k * spread + 2 * np.maximum(bounds(here), bounds(there))).all()
