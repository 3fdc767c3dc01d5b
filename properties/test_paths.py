"""The same question asked another way gets the same answer."""

import math
import zlib

from hypothesis import strategies as st

from backends import text
from backends.compare import assert_conforms
from backends.interface import LAYOUTS, Backend, Case, Unsupported, same_bits
from backends.spec import Average, Global, Lp, Max, PoolSpec, Sliding
from backends.text import generate
from properties.arranging import MEMORY
from properties.laws import law
from properties.posing import draw_chosen
from properties.relations import assert_agree, one_apart, part, plain, taken
from properties.strategies import number, one_of

EAGER = {"torch:compile": "torch", "torch:cuda-compile": "torch:cuda", "tensorflow:graph": "tensorflow", "tensorflow:xla": "tensorflow"}
"""What a compiled variant is compiled from."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC", "POOLPROOF_NUMPY_THREADS"), "1")
"""One thread for an operation, in the words of OpenMP, TensorFlow, XLA and our NumPy backend."""

FLOATS = ("float32", "float64", "float16", "bfloat16")

FEW = (2, 1, 1)
"""How many neighbours of a case are asked, before and after it, that differ by an option, by a size, or otherwise; which, its text decides."""
ONE_EACH = (1, 1, 1)
"""The same where each of them is compiled."""
OFTEN = 4
"""How often the same question is asked: what is kept may be used from the third time on."""


@law(reductions={"max"}, outputs={"indices"})
def test_values_at_the_indices(backend, case):
    """The elements at the indices are the values that are returned without them."""
    index, values = backend.answers(case, case.replace(output="values"))
    outside = (index < 0) | (index >= (elements := math.prod(case.spatial)))
    assert not outside.any(), f"index {index[outside][0]} of {elements} elements"
    assert_agree(case.replace(output="values"), values, taken(case.x, index), "taken at the indices")


@law(layouts={"channels_first"})
def test_layouts(backend, case):
    """Both memory layouts give one answer."""
    first, second = backend.answers(*(case.replace(layout=layout) for layout in LAYOUTS))
    assert_agree(case, first, second, "channels last")


@law(memory=MEMORY[1:])
def test_memory(backend, case):
    """How the input lies in memory changes nothing: transposed, sliced, cropped, reversed, repeated or read-only."""
    strided, contiguous = backend.answers(case, case.replace(x=plain(case.x)))
    assert_agree(case, contiguous, strided, "as a strided view")


@law(batches=(2, 3), channels=(2, 5, 17))
def test_alone_or_in_a_batch(backend, case):
    """A sample and channel asked alone gets what it gets among others."""
    together = backend.ask(case)
    last = part(case, slice(-1, None), slice(-1, None))
    assert_agree(last, backend.ask(last), together[-1:, -1:], "in a batch")


@law(windows={"sliding", "adaptive"}, batches=(1,), channels=(1, 2), palettes=("whole", "fractions"), most_taps=500, examples=2)
def test_one_attribute_apart(backend, case):
    """A case is answered right after others that differ from it in one attribute alone, and so are they: nothing is kept that should not be."""
    groups = [[other for other in group if backend.can(other)] for group in one_apart(case)]
    if not any(groups):
        raise Unsupported("nothing that it can be asked is one attribute apart")
    first = zlib.crc32(text.write(case).encode())
    chosen = [
        group[(first + i) % len(group)]
        for group, few in zip(groups, FEW if not backend.compiles else ONE_EACH, strict=True)
        for i in range(min(few, len(group)))
    ]
    # A pooling of another kind over the same shape is asked each time: of all neighbours it is the least like the case.
    chosen += [other for group in groups for other in group if other.spec.windows.name != case.spec.windows.name]
    assert_conforms(case, backend.ask(case))
    for other in chosen:
        assert_conforms(other, backend.ask(other))
        assert_conforms(case, backend.ask(case))


@law(examples=0.5)
def test_again(backend, case):
    """The same question gets the same bits."""
    first, *others = backend.answers(*(case,) * OFTEN)
    for times, other in enumerate(others, 2):
        assert same_bits(first, other), (
            f"asked {times} times, it gives other bits than at first: {other.ravel()[:8]}, not {first.ravel()[:8]}"
        )


@law(examples=0.25)
def test_called_again(backend, case):
    """What a question was bound to is called again and again, as whoever times it does, and gives the same bits: nothing is left over."""
    first, *others = backend.called(case, OFTEN)
    assert_conforms(case, first)
    for times, other in enumerate(others, 2):
        assert same_bits(first, other), f"call {times} gives other bits than the first: {other.ravel()[:8]}, not {first.ravel()[:8]}"


@law(palettes=("whole", "fractions"), batches=(1, 2), examples=0.7)
def test_bound_beside_another(backend, case):
    """What one question was bound to answers it still when another has been bound, and called, since."""
    other = case.replace(x=plain(case.x[..., ::-1]))
    for mine, answer in zip((case, other), backend.called_by_turns(case, other), strict=True):
        assert_conforms(mine, answer)


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


@law(outputs={"values"}, dtypes=FLOATS, examples=0.5)
def test_with_a_gradient_recorded(backend, case):
    """Values are the same while a gradient is recorded, which may take another kernel."""
    alone, recorded = backend.ask(case), backend.recorded(case)
    assert_agree(case, alone, recorded, "with a gradient recorded")


@law(reductions={"max"}, outputs={"values"})
def test_with_indices(backend, case):
    """Values are the same whether or not indices are returned beside them, which often takes another kernel."""
    alone, beside = backend.ask(case), backend.with_indices(case)
    assert_agree(case, alone, beside, "beside the indices")


@law(examples=0.5)
def test_eager_or_compiled(backend, case):
    """What is compiled answers as the same framework does eagerly."""
    if backend.name not in EAGER:
        raise Unsupported(f"{backend.name} is compiled from no other backend")
    eagerly = backend.beside(EAGER[backend.name])
    compiled = backend.ask(case)
    assert_agree(case, eagerly.ask(case), compiled, "compiled")
    backend.excused.update(eagerly.excused)


@st.composite
def large(draw: st.DrawFn, backend: Backend, *, dtypes=("float32", "float64"), **_) -> Case:
    """Arrays of a million elements, which operations are shared out among threads for."""
    name, can, output, dtype, ndim, layout = draw_chosen(draw, backend, dtypes)
    side = {1: 2**14, 2: 2**7, 3: 25}[ndim] + draw(number(0, 3))
    size, stride = (draw(number(2, 3)),) * ndim, (draw(number(1, 3)),) * ndim
    windows = {"sliding": Sliding(kernel=size, stride=stride), "global": Global()}
    kind = windows[draw(one_of(tuple(name for name in windows if name in can.windows)))]
    spec = PoolSpec(reduction={"max": Max(), "average": Average(), "lp": Lp(p=2)}[name], windows=kind)
    x = generate("integers", draw(number(0, 99)), (draw(number(1, 3)), 2**20 // side**ndim + 1, *(side,) * ndim), dtype)
    cotangent = generate("integers", 0, (*x.shape[:2], *spec.output_shape(x.shape[2:])), dtype) if output == "gradient" else None
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


@law(draw=large, dtypes={"float32", "float64"}, most_taps=2**26, examples=0.1)
def test_one_thread_or_more(backend, case):
    """How many threads share the work out changes nothing: maxima and indices are the same, sums within their bounds."""
    alone = backend.beside(**ONE_THREAD)
    if getattr(alone.backend, "threads", 1) == getattr(backend.backend, "threads", 1):
        raise Unsupported(f"{backend.name} says that it uses {getattr(backend.backend, 'threads', 1)} threads, whatever it is told")
    many, one = backend.unmended(case), alone.unmended(case)
    if not same_bits(many, one):
        # Only what differs is worth asking the definition for.
        assert_agree(case, backend.ask(case), alone.ask(case), "on one thread")
    assert math.prod(many.shape) > 0
