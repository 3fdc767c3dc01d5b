"""Laws of the gradient that hold by calculus alone: mass, adjoints, homogeneity, convexity."""

import math

import numpy as np

from backends.interface import Unsupported
from backends.spec import Average
from properties.laws import law
from properties.relations import assert_agree, bounds, finite, plain

EXACT = {"float32", "float64"}


@law(reductions={"max"}, outputs={"gradient"}, palettes=("whole",), dtypes=EXACT)
def test_mass(backend, case):
    """The gradient of max hands on the whole cotangent, to each sample and channel: Σdx = Σdy."""
    answer = backend.ask(case)
    axes = tuple(range(2, case.x.ndim))
    # Small whole numbers: both sums are exact, in any order.
    handed, received = case.cotangent.sum(axis=axes), answer.sum(axis=axes)
    assert np.array_equal(handed, received), f"Σdy = {handed.tolist()}, Σdx = {received.tolist()}"


@law(reductions={"average"}, outputs={"gradient"}, palettes=("whole", "fractions"), dtypes=EXACT)
def test_adjoint(backend, case):
    """Average pooling is linear, and its gradient is its transpose: ⟨Ax, g⟩ = ⟨x, Aᵀg⟩."""
    forward = case.replace(output="values", cotangent=None)
    pooled, gradient = backend.answers(forward, case)
    x, g = case.x.astype(np.float64), case.cotangent.astype(np.float64)
    left, right = math.fsum((pooled * g).ravel()), math.fsum((x * gradient).ravel())
    allowed = float((np.abs(g) * bounds(forward)).sum() + (np.abs(x) * bounds(case)).sum())
    rounding = _rounding(pooled * g, x * gradient)
    assert abs(left - right) <= allowed + rounding, f"⟨Ax, g⟩ = {left}, ⟨x, Aᵀg⟩ = {right}, allowed {allowed + rounding:.3g}"


@law(outputs={"gradient"}, palettes=("whole", "fractions"), dtypes=EXACT)
def test_homogeneous(backend, case):
    """Every pooling scales with its input, so by Euler's theorem ⟨x, dx⟩ = ⟨y, dy⟩."""
    forward = case.replace(output="values", cotangent=None)
    pooled, gradient = backend.answers(forward, case)
    x, g = case.x.astype(np.float64), case.cotangent.astype(np.float64)
    left, right = math.fsum((x * gradient).ravel()), math.fsum((pooled * g).ravel())
    allowed = float((np.abs(x) * bounds(case)).sum()) + (
        0.0 if case.spec.reduction.name == "max" else float((np.abs(g) * bounds(forward)).sum())
    )
    rounding = _rounding(pooled * g, x * gradient)
    assert abs(left - right) <= allowed + rounding, f"⟨x, dx⟩ = {left}, ⟨y, dy⟩ = {right}, allowed {allowed + rounding:.3g}"


@law(outputs={"gradient"}, palettes=("whole",), dtypes={"float64"}, requires=finite)
def test_between_finite_differences(backend, case):
    """Pooling is convex, so its slope in any direction lies between the finite differences on either side."""
    reduction = case.spec.reduction
    if isinstance(reduction, Average) and (reduction.divisor or 1) < 0:
        raise Unsupported("a negative divisor makes it concave")
    weight = np.abs(plain(case.cotangent))
    # Where y = 0 the norm has a kink, and there the definition's slope of 0 is one of many.
    x = plain(case.x)
    direction = np.resize(np.array([1.0, -0.5, 0.25, 0.75, -1.0, 0.5, 0.0]), x.shape)
    here = case.replace(output="values", cotangent=None, x=x)
    behind, ahead = here.replace(x=x - direction / 8), here.replace(x=x + direction / 8)
    slope_case = case.replace(x=x, cotangent=weight)
    y_behind, y, y_ahead, gradient = backend.answers(behind, here, ahead, slope_case)
    # Whole numbers, and eighths of these directions: what is asked is exact, and no product underflows.
    along, before, after = gradient * direction, (y - y_behind) * 8 * weight, (y_ahead - y) * 8 * weight
    slope, low, high = math.fsum(along.ravel()), math.fsum(before.ravel()), math.fsum(after.ravel())
    differences = bounds(behind) + 2 * bounds(here) + bounds(ahead)
    slack = float((np.abs(direction) * bounds(slope_case)).sum() + (8 * weight * differences).sum()) + _rounding(along, before, after)
    assert low - slack <= slope <= high + slack, f"slope {slope}, finite differences {low} and {high}"


def _rounding(*products: np.ndarray) -> float:
    """What float64 loses of sums of these products: a difference, a product, the sum and the comparison round once each."""
    u = float(np.finfo(np.float64).eps) / 2
    return 4 * u / (1 - 4 * u) * sum(float(np.abs(each).sum()) for each in products)


@law(reductions={"max"}, outputs={"gradient"}, palettes=("whole", "special"), dtypes=EXACT)
def test_goes_to_the_index(backend, case):
    """The gradient of max goes where the index points."""
    asked = case.replace(cotangent=np.ones_like(plain(case.cotangent)))
    index, gradient = backend.answers(case.replace(output="indices", cotangent=None), asked)
    rows, cells = int(np.prod(case.x.shape[:2])), int(np.prod(case.spatial))
    outside = (index < 0) | (index >= cells)
    assert not outside.any(), f"index {index[outside][0]} of {cells} elements"
    flat = index.reshape(rows, int(np.prod(case.pooled_shape[2:]))) + np.arange(rows)[:, None] * cells
    counts = np.bincount(flat.ravel(), minlength=rows * cells).reshape(case.x.shape)
    assert_agree(asked, counts.astype(case.x.dtype), gradient, "held against the indices")


@law(outputs={"gradient"}, palettes=("whole", "fractions"), dtypes=EXACT)
def test_linear_in_the_cotangent(backend, case):
    """Doubling the cotangent doubles the gradient, and a cotangent of zeros gives zeros."""
    twice = case.replace(cotangent=plain(case.cotangent) * case.x.dtype.type(2))
    none = case.replace(cotangent=np.zeros_like(plain(case.cotangent)))
    once, doubled, zero = backend.answers(case, twice, none)
    assert_agree(twice, once * once.dtype.type(2), doubled, "with the cotangent doubled")
    assert not zero.any(), "a cotangent of zeros gave something"
