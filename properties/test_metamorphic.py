"""Laws that relate answers to each other, or to what any pooling must satisfy; most need no oracle."""

import numpy as np

from backends.interface import Unsupported
from backends.oracle import Geometry
from backends.spec import Adaptive, Average, Global, Max, PoolSpec, Sliding
from properties.laws import law
from properties.relations import assert_agree, bounds, explicit_pads, finite, permute, plain, sliding_of

WHOLE = ("whole",)


@law(outputs={"values"}, ndims={2, 3}, palettes=("whole", "special"))
def test_axes_commute(backend, case):
    """Reversing the spatial axes of the input and of the spec reverses those of the output."""
    order = list(range(len(case.spatial)))[::-1]
    axes = (0, 1, *(2 + axis for axis in order))
    turned = case.replace(spec=permute(case.spec, order), x=plain(case.x.transpose(axes)))
    straight, other = backend.answers(case, turned)
    assert_agree(case, straight, other.transpose(axes), "with its axes reversed")


@law(reductions={"max"}, outputs={"values"}, palettes=("whole", "extreme"))
def test_max_is_an_element(backend, case):
    """Every maximum is one of the elements that its own window reads, and none of them is larger."""
    answer = backend.ask(case).reshape(-1, int(np.prod(case.pooled_shape[2:])))
    geometry = Geometry(case.spec, case.spatial)
    rows = plain(case.x).reshape(-1, int(np.prod(case.spatial)))
    for cell in range(answer.shape[1]):
        window = rows[:, geometry.taps(cell)]
        assert ((window == answer[:, cell, None]).any(axis=1) & (window <= answer[:, cell, None]).all(axis=1)).all(), f"cell {cell}"


@law(reductions={"max"}, outputs={"indices"})
def test_index_is_inside_its_window(backend, case):
    """Every index points at an element that its own window reads."""
    answer = backend.ask(case).reshape(-1, int(np.prod(case.pooled_shape[2:])))
    geometry = Geometry(case.spec, case.spatial)
    for cell in range(answer.shape[1]):
        assert np.isin(answer[:, cell], geometry.taps(cell)).all(), f"cell {cell}: {answer[:, cell]} not among {geometry.taps(cell)}"


@law(reductions={"max", "average"}, outputs={"values"}, palettes=WHOLE, batches=(1,))
def test_ones(backend, case):
    """Pooling ones gives ones: an average divides by as many elements as it adds."""
    if case.spec.reduction == Average(count_include_pad=True) or getattr(case.spec.reduction, "divisor", None) is not None:
        raise Unsupported("it divides by another number on purpose")
    ones = case.replace(x=np.ones_like(plain(case.x)))
    assert_agree(ones, np.ones(case.pooled_shape, case.x.dtype), backend.ask(ones), "of ones")


@law(reductions={"average"}, outputs={"values"}, palettes=WHOLE, batches=(1,), channels=(1, 3))
def test_impulse_recovers_the_divisor(backend, case):
    """An impulse gives each window that reads it the reciprocal of its divisor, and every other window zero."""
    geometry = Geometry(case.spec, case.spatial)
    place = int(np.abs(plain(case.x).astype(np.float64)).sum()) % int(np.prod(case.spatial))
    impulse = np.zeros_like(plain(case.x)).reshape(*case.x.shape[:2], -1)
    impulse[:, :, place] = 1
    asked = case.replace(x=impulse.reshape(case.x.shape))
    cells = range(int(np.prod(geometry.shape)))
    expected = np.array([1 / geometry.divisor(cell) if place in geometry.taps(cell) else 0 for cell in cells], np.float64)
    wanted = np.broadcast_to(expected.reshape(geometry.shape), case.pooled_shape).astype(case.x.dtype)
    assert_agree(asked, wanted, backend.ask(asked), "of an impulse")


@law(
    windows={"sliding"},
    reductions={"max", "average"},
    outputs={"values"},
    palettes=("whole", "special"),
    dtypes={"float32", "float64", "float16", "bfloat16"},
)
def test_padding_is_the_identity(backend, case):
    """Padding a spec equals padding its array: with −inf for max, with zeros for an average that counts its padding."""
    windows, reduction = sliding_of(case), case.spec.reduction
    if windows.padding == "valid" or windows.ceil_mode:
        raise Unsupported("there is no padding, or an overhang that an array does not have")
    if isinstance(reduction, Average) and not reduction.count_include_pad:
        raise Unsupported("an average that does not count its padding is no average of a padded array")
    value = -np.inf if isinstance(reduction, Max) else 0
    padded = np.pad(plain(case.x).astype(np.float64), ((0, 0), (0, 0), *explicit_pads(case)), constant_values=value).astype(case.x.dtype)
    bare = Sliding(kernel=windows.kernel, stride=windows.stride, dilation=windows.dilation)
    inner = Average(divisor=reduction.divisor) if isinstance(reduction, Average) else reduction
    asked = case.replace(x=padded, spec=PoolSpec(reduction=inner, windows=bare))
    first, second = backend.answers(case, asked)
    assert_agree(case, first, second, "with its array padded instead")


@law(reductions={"max", "average"}, outputs={"values"}, palettes=WHOLE, dtypes={"float32", "float64", "float16", "bfloat16"})
def test_doubling_commutes(backend, case):
    """Doubling every element doubles every output, exactly: it changes exponents only."""
    twice = case.replace(x=plain(case.x) * case.x.dtype.type(2))
    first, second = backend.answers(case, twice)
    assert_agree(twice, first * first.dtype.type(2), second, "doubled")


@law(reductions={"max"}, outputs={"values"}, palettes=("whole", "extreme"))
def test_max_is_monotone(backend, case):
    """Raising some elements lowers no maximum."""
    raised = plain(case.x)
    raised.reshape(-1)[::2] = np.maximum(raised.reshape(-1)[::2], np.roll(raised.reshape(-1), 1)[::2])
    first, second = backend.answers(case, case.replace(x=raised))
    assert (second >= first).all()


@law(windows={"global"}, outputs={"values"})
def test_global_is_one_window(backend, case):
    """Global pooling is adaptive pooling to size one, and sliding pooling with a window of everything."""
    answer = backend.ask(case)
    ones = (1,) * len(case.spatial)
    adaptive = case.replace(spec=PoolSpec(reduction=case.spec.reduction, windows=Adaptive(output_size=ones)))
    whole = case.replace(spec=PoolSpec(reduction=case.spec.reduction, windows=Sliding(kernel=case.spatial)))
    others = [other for other in (adaptive, whole) if backend.can(other)]
    if not others:
        raise Unsupported("it has no other window of everything")
    for other in others:
        assert_agree(case, answer, backend.ask(other), f"as {other.spec.windows.name}")


@law(windows={"adaptive"}, outputs={"values"})
def test_adaptive_that_divides_slides(backend, case):
    """Adaptive pooling to a size that divides the input is sliding pooling with a stride and a window of their ratio."""
    sizes = tuple(max(1, out) for out in case.spec.windows.output_size)
    spatial = tuple(out * max(1, n // out) for n, out in zip(case.spatial, sizes, strict=True))
    cut = np.resize(plain(case.x), (*case.x.shape[:2], *spatial)) if case.x.size else np.zeros((*case.x.shape[:2], *spatial), case.x.dtype)
    ratio = tuple(n // out for n, out in zip(spatial, sizes, strict=True))
    adaptive = case.replace(x=cut)
    slides = case.replace(x=cut, spec=PoolSpec(reduction=case.spec.reduction, windows=Sliding(kernel=ratio)))
    first, second = backend.answers(adaptive, slides)
    assert_agree(adaptive, first, second, "as sliding windows")


@law(windows={"sliding", "global"}, outputs={"values"}, palettes=("whole", "special"))
def test_flipping_commutes(backend, case):
    """Flipping the input flips the output, where the windows reach both ends alike."""
    windows = case.spec.windows
    if isinstance(windows, Sliding):
        fits = all(
            (size + sum(pads) - windows.reach(axis)) % windows.stride[axis] == 0 and pads[0] == pads[1]
            for axis, (size, pads) in enumerate(zip(case.spatial, explicit_pads(case), strict=True))
        )
        if not fits:
            raise Unsupported("its windows are not symmetric")
    axes = tuple(range(2, case.x.ndim))
    first, second = backend.answers(case, case.replace(x=plain(np.flip(case.x, axes))))
    assert_agree(case, first, np.flip(second, axes), "flipped")


@law(reductions={"average"}, outputs={"values"}, palettes=("whole", "fractions"), requires=finite)
def test_average_lies_between(backend, case):
    """An average lies between the smallest and the largest element of its window, give or take its error bound."""
    if getattr(case.spec.reduction, "divisor", None) is not None:
        raise Unsupported("a divisor of one's own may lead anywhere")
    x = case.x.astype(np.float64)
    low, high = min(x.min(initial=0), 0), max(x.max(initial=0), 0)
    answer = backend.ask(case).astype(np.float64)
    if isinstance(case.spec.windows, Global):
        low, high = (
            x.min(axis=tuple(range(2, x.ndim)), keepdims=True, initial=np.inf),
            x.max(axis=tuple(range(2, x.ndim)), keepdims=True, initial=-np.inf),
        )
    slack = bounds(case)
    assert ((answer >= low - slack) & (answer <= high + slack)).all()
