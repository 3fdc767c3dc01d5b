"""Laws of the gradient that hold by calculus alone: mass, adjoints, homogeneity, convexity."""

import math

import numpy as np

from backends.interface import Case, Unsupported
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
    rounding = float((np.abs(pooled * g).sum() + np.abs(x * gradient).sum()) * np.finfo(np.float64).eps)
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
    rounding = float((np.abs(pooled * g).sum() + np.abs(x * gradient).sum()) * np.finfo(np.float64).eps)
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
    slope = math.fsum((gradient * direction).ravel())
    low, high = math.fsum(((y - y_behind) * 8 * weight).ravel()), math.fsum(((y_ahead - y) * 8 * weight).ravel())
    slack = (
        float((np.abs(direction) * bounds(slope_case)).sum())
        + _rounding(behind, weight)
        + 2 * _rounding(here, weight)
        + _rounding(ahead, weight)
    )
    assert low - slack <= slope <= high + slack, f"slope {slope}, finite differences {low} and {high}"


def _rounding(case: Case, weight: np.ndarray) -> float:
    """What the error bounds of pooled values, weighted, can make of eight times a difference."""
    step = np.finfo(np.float64).eps * 64 * np.abs(case.x).max(initial=1.0)
    return 8 * float((weight * (bounds(case) + step)).sum())


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
