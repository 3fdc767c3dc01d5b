"""PyTorch refuses what it is said to refuse, and what is invalid reaches it and raises."""

import numpy as np
import pytest

import backends
from backends import oracle
from backends.compare import assert_conforms
from backends.interface import Case, Unsupported
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding
from backends.tests.torch_questions import ADAPTIVE, DILATED, EVEN, MEMORIES, SHAPE, SLIDING, VALID, bare, question

LARGE = Sliding(kernel=(3, 2, 2), padding=((1, 1), (0, 0), (0, 0)))
WIDE = Sliding(kernel=(3,), padding=((2, 2),))
REFUSED = {
    "padding": (PoolSpec(reduction=Max(), windows=WIDE), (1, 2, 9), "float32", "values"),
    "padding with dilation": (
        PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), dilation=(3, 3), padding=((2, 2), (0, 0)))), SHAPE, "float32", "values",
    ),
    "padding of averages": (PoolSpec(reduction=Average(), windows=WIDE), (1, 2, 9), "float64", "gradient"),
    "integers without indices": (PoolSpec(reduction=Max(), windows=VALID[1]), (1, 2, 9), "int32", "values"),
    "adaptive integers": (PoolSpec(reduction=Max(), windows=ADAPTIVE[2]), SHAPE, "int64", "values"),
    "global integers": (PoolSpec(reduction=Max(), windows=Global()), (1, 2, 4, 5, 6), "uint8", "indices"),
    "volumes of int8": (PoolSpec(reduction=Max(), windows=VALID[2]), (1, 2, 13, 11), "int8", "values"),
    "volumes of uint8": (PoolSpec(reduction=Max(), windows=VALID[3]), (1, 2, 6, 5, 5), "uint8", "indices"),
    "half averages in 3-D": (PoolSpec(reduction=Average(), windows=VALID[3]), (1, 2, 4, 6, 5), "bfloat16", "values"),
    "half norms in 3-D": (PoolSpec(reduction=Lp(p=2), windows=Global()), (1, 2, 4, 6, 5), "float16", "gradient"),
    "3-D kernels over small inputs": (PoolSpec(reduction=Average(), windows=LARGE), (1, 2, 2, 4, 4), "float32", "values"),
}  # fmt: skip


def refusal_of(name: str) -> Case:
    spec, shape, dtype, output = REFUSED[name]
    return question(spec, shape, dtype, "channels_last" if "volumes" in name else "channels_first", output)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_calls_raise(eager, name: str) -> None:
    """What is declared as refused is a valid case in which PyTorch itself raises."""
    case = refusal_of(name)
    oracle.pool(case)
    assert (eager.gap(case) or "").startswith("refuses: ")
    with pytest.raises(RuntimeError):
        backends.run(eager, case)


REFUSED_COMPILED = {
    **{name: REFUSED[name] for name in ("padding", "3-D kernels over small inputs")},
    "uneven bins of int64": (PoolSpec(reduction=Max(), windows=ADAPTIVE[1]), (1, 2, 7), "int64", "values"),
    "uneven bins in 3-D": (PoolSpec(reduction=Max(), windows=ADAPTIVE[3]), (1, 2, 4, 5, 3), "int8", "values"),
    "large uneven bins": (PoolSpec(reduction=Max(), windows=EVEN[2]), (1, 2, 18, 17), "uint8", "values"),
    "large windows of half averages": (
        PoolSpec(reduction=Average(), windows=Sliding(kernel=(3, 3, 3), stride=(1, 1, 1))), (1, 2, 4, 3, 3), "float16", "values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_COMPILED)
def test_refused_calls_raise_when_compiled(compiled, name: str) -> None:
    """What a compiled variant refuses raises too, when it is traced or when it falls back to the eager kernel."""
    spec, shape, dtype, output = REFUSED_COMPILED[name]
    case = question(spec, shape, dtype, output=output)
    assert (compiled.gap(case) or "").startswith("refuses: ")
    with pytest.raises(RuntimeError):
        backends.run(compiled, case)


@pytest.mark.parametrize("name", ["integers without indices", "adaptive integers", "volumes of int8", "half averages in 3-D"])
def test_inductor_takes_more_types_than_eager(compiled, name: str) -> None:
    """What inductor writes itself is no gap of a compiled variant, though the eager kernel refuses it."""
    case = refusal_of(name)
    if name == "adaptive integers":
        case = case.replace(x=case.x.astype(np.int32))
    assert compiled.gap(case) is None
    assert_conforms(case, backends.run(compiled, case))


def test_int8_is_limited_by_its_strides(eager) -> None:
    """Only memory that PyTorch takes for channels_last has the limit of small integers."""
    case = refusal_of("volumes of int8")
    inside = case.replace(layout="channels_first", x=MEMORIES["channels inside"](case.x))
    assert (eager.gap(inside) or "").startswith("refuses: ")
    outside = case.replace(layout="channels_first")
    assert eager.gap(outside) is None
    assert_conforms(outside, backends.run(eager, outside))


UNSAYABLE = {
    "unequal SAME": (PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 3), stride=(1, 1), padding="same_upper")), SHAPE, "values"),
    "unequal pads": (PoolSpec(reduction=Average(), windows=Sliding(kernel=(3,), padding=((1, 0),))), (1, 2, 9), "values"),
    "dilated average": (PoolSpec(reduction=Average(), windows=DILATED[2]), SHAPE, "values"),
    "divisor in 1-D": (PoolSpec(reduction=Average(divisor=3), windows=VALID[1]), (1, 2, 9), "values"),
    "indices of an average": (PoolSpec(reduction=Average(), windows=VALID[2]), SHAPE, "indices"),
    "adaptive norm": (PoolSpec(reduction=Lp(p=2), windows=ADAPTIVE[2]), SHAPE, "values"),
    "padded norm": (PoolSpec(reduction=Lp(p=2), windows=SLIDING[2]), SHAPE, "values"),
    "four dimensions": (PoolSpec(reduction=Max(), windows=Global()), (1, 2, 3, 3, 3, 3), "values"),
}


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_no_argument_says_is_unsupported(eager, name: str) -> None:
    """A valid case that no argument says is a gap with its reason, and binding it raises the same."""
    spec, shape, output = UNSAYABLE[name]
    case = question(spec, shape, output=output)
    reason = eager.gap(case)
    assert (reason or "").startswith("cannot say: ")
    with pytest.raises(Unsupported) as raised:
        eager.bind(case)
    assert str(raised.value) == reason


INVALID = {
    "stride 0": (Max(), Sliding(kernel=(2, 2), stride=(0, 1)), SHAPE),
    "stride 0 with SAME": (Max(), Sliding(kernel=(3, 3), stride=(0, 1), padding="same_upper"), SHAPE),
    "stride −1": (Average(), Sliding(kernel=(2, 2), stride=(-1, 1)), SHAPE),
    "kernel 0": (Average(), Sliding(kernel=(0, 2)), SHAPE),
    "dilation 0": (Max(), Sliding(kernel=(2, 2), dilation=(0, 1)), SHAPE),
    "padding −1": (Max(), Sliding(kernel=(2, 2), padding=((-1, -1), (0, 0))), SHAPE),
    "divisor 0": (Average(divisor=0), Sliding(kernel=(2, 2)), SHAPE),
    "adaptive divisor": (Average(divisor=3), Adaptive(output_size=(2, 2)), SHAPE),
    "adaptive count_include_pad": (Average(count_include_pad=True), Global(), SHAPE),
    "output size −1": (Max(), Adaptive(output_size=(-1, 2)), SHAPE),
    "window too large": (Max(), Sliding(kernel=(9, 2)), SHAPE),
    "norm window too large": (Lp(p=2), Sliding(kernel=(9, 2)), SHAPE),
    "p 0": (Lp(p=0), Sliding(kernel=(2, 2)), SHAPE),
    "SAME in ceil mode": (Max(), Sliding(kernel=(3, 3), stride=(1, 1), padding="same_upper", ceil_mode=True), SHAPE),
    "no spatial axis": (Max(), Global(), (2, 3)),
}
"""Invalid by the definition, and no gap: the bad call is PyTorch's to refuse. (It takes an output size of 0, and a p below 1.)"""


RULES = ("must ", "larger than", "divides by", "only sliding", "finite and at least 1", "SAME already", "expected \\(N, C")


@pytest.mark.parametrize("name", INVALID)
def test_invalid_calls_reach_pytorch_and_raise(eager, name: str) -> None:
    """What the definition calls invalid is put to PyTorch, which raises."""
    case = bare(*INVALID[name])
    with pytest.raises(ValueError, match="|".join(RULES)):
        oracle.pool(case)
    assert eager.gap(case) is None
    with pytest.raises((RuntimeError, TypeError, ValueError, ZeroDivisionError)):
        backends.run(eager, case)


@pytest.mark.parametrize("shape, rank", [((2, 3, 8, 6), 1), ((2, 3, 8), 2), ((2, 3, 4, 6, 5), 2), ((2, 3, 8, 6), 3)])
@pytest.mark.parametrize("windows", [VALID, ADAPTIVE], ids=["sliding", "adaptive"])
@pytest.mark.parametrize("reduction", [Max(), Average(), Lp(p=2)], ids=lambda reduction: reduction.name)
def test_a_window_of_another_rank_raises(eager, reduction, windows, shape: tuple[int, ...], rank: int) -> None:
    """Neither is (N, C, L) read as one image without a batch, nor a lone kernel size repeated."""
    with pytest.raises((RuntimeError, ValueError, Unsupported)):
        backends.run(eager, bare(reduction, windows[rank], shape))


@pytest.mark.parametrize("name", ["stride 0", "window too large", "divisor 0"])
def test_invalid_calls_raise_when_compiled(compiled, name: str) -> None:
    """A compiled variant meets the bad call as well."""
    with pytest.raises((RuntimeError, ZeroDivisionError)):
        backends.run(compiled, bare(*INVALID[name]))
