"""Every answer is the definition's: exactly for max and indices, within a derived bound for sums."""

from backends.compare import assert_conforms
from properties.laws import law


@law(outputs={"values"}, examples=3)
def test_values(backend, case):
    """Pooled values are those of the definition."""
    assert_conforms(case, backend.ask(case))


@law(outputs={"indices"}, examples=2)
def test_indices(backend, case):
    """The index of a maximum is the definition's: flat, unpadded, the first of ties, the first NaN."""
    assert_conforms(case, backend.ask(case))


@law(outputs={"gradient"}, examples=3)
def test_gradient(backend, case):
    """The gradient is the definition's: overlaps add, ties go to the first, padding gets nothing."""
    assert_conforms(case, backend.ask(case))
