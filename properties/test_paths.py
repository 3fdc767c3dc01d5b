"""The same question asked another way gets the same answer."""

import numpy as np

from backends.interface import LAYOUTS, Unsupported, same_bits
from properties.laws import law
from properties.relations import assert_agree, part, plain


@law(reductions={"max"}, outputs={"indices"})
def test_values_at_the_indices(backend, case):
    """The elements at the indices are the values that are returned without them."""
    index, values = backend.answers(case, case.replace(output="values"))
    rows = plain(case.x).reshape(*case.x.shape[:2], int(np.prod(case.spatial)))
    taken = np.take_along_axis(rows, index.reshape(*case.x.shape[:2], int(np.prod(case.pooled_shape[2:]))), axis=2)
    assert_agree(case.replace(output="values"), values, taken.reshape(values.shape), "taken at the indices")


@law(layouts={"channels_first"})
def test_layouts(backend, case):
    """Both memory layouts give one answer."""
    first, second = backend.answers(*(case.replace(layout=layout) for layout in LAYOUTS))
    assert_agree(case, first, second, "channels last")


@law(memory=("transposed", "sliced", "reversed", "read-only"))
def test_memory(backend, case):
    """How the input lies in memory changes nothing: transposed, sliced, reversed or read-only."""
    strided, contiguous = backend.answers(case, case.replace(x=plain(case.x)))
    assert_agree(case, contiguous, strided, "as a strided view")


@law(batches=(2, 3), channels=(2, 5, 17))
def test_alone_or_in_a_batch(backend, case):
    """A sample and channel asked alone gets what it gets among others."""
    together = backend.ask(case)
    last = part(case, slice(-1, None), slice(-1, None))
    assert_agree(last, backend.ask(last), together[-1:, -1:], "in a batch")


@law(examples=0.5)
def test_again(backend, case):
    """The same question gets the same bits."""
    first, second = backend.answers(case, case)
    assert same_bits(first, second)


@law(outputs={"values"}, batches=(2, 3), palettes=("whole", "special"))
def test_neighbours(backend, case):
    """What lies in other samples and channels does not show."""
    if case.x.shape[1] < 2:
        raise Unsupported("it has no neighbours")
    changed = plain(case.x)
    changed[1:] = changed[1:][..., ::-1]
    changed[:, 1:] = changed.dtype.type(7)
    first, second = backend.answers(case, case.replace(x=changed))
    mine = part(case, slice(0, 1), slice(0, 1))
    assert_agree(mine, first[:1, :1], second[:1, :1], "beside other neighbours")
