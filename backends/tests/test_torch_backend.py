"""PyTorch is asked what the case says, refuses what it is said to refuse, and answers by the definition."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import backends
from backends import oracle, text, torch_plan
from backends.compare import assert_conforms
from backends.interface import Case, Unsupported, missing, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

SPATIAL = {1: (11,), 2: (8, 6), 3: (4, 6, 5)}
SLIDING = {
    1: Sliding(kernel=(4,), stride=(3,), padding=((1, 1),)),
    2: Sliding(kernel=(4, 2), stride=(4, 3), padding=((1, 1), (0, 0))),
    3: Sliding(kernel=(2, 2, 4), stride=(3, 2, 4), padding=((1, 1), (0, 0), (2, 2))),
}
CEIL = {
    1: Sliding(kernel=(4,), stride=(4,), ceil_mode=True),
    2: Sliding(kernel=(2, 4), stride=(3, 5), ceil_mode=True),
    3: Sliding(kernel=(2, 4, 4), stride=(3, 4, 4), ceil_mode=True),
}
SAME = {
    1: Sliding(kernel=(3,), stride=(1,), padding="same_upper"),
    2: Sliding(kernel=(3, 3), stride=(1, 1), padding="same_lower"),
    3: Sliding(kernel=(3, 1, 3), stride=(1, 1, 1), padding="same_upper"),
}
DILATED = {
    1: Sliding(kernel=(3,), stride=(2,), dilation=(2,)),
    2: Sliding(kernel=(2, 3), stride=(1, 2), dilation=(3, 2)),
    3: Sliding(kernel=(2, 1, 2), stride=(2, 1, 1), dilation=(2, 1, 3)),
}
VALID = {1: Sliding(kernel=(4,)), 2: Sliding(kernel=(4, 2)), 3: Sliding(kernel=(2, 1, 4))}
ADAPTIVE = {1: Adaptive(output_size=(4,)), 2: Adaptive(output_size=(4, 3)), 3: Adaptive(output_size=(3, 4, 2))}
EVEN = {1: Adaptive(output_size=(1,)), 2: Adaptive(output_size=(4, 3)), 3: Adaptive(output_size=(2, 3, 1))}
GLOBAL = dict.fromkeys((1, 2, 3), Global())


def question(
    spec: PoolSpec, shape: tuple[int, ...], dtype: str = "float32", layout: str = "channels_first", output: str = "values"
) -> Case:
    """A case of numbers on which every correct order of summation agrees to within its bound."""
    x = text.generate("distinct", 3, shape, dtype)
    if dtype not in torch_plan.INTEGERS:
        # Half types count to 256 only, and Lp is asked without zeros and negative numbers: known deviations.
        x = (x.astype(np.float64) % 40 + (1 if isinstance(spec.reduction, Lp) else -20)).astype(x.dtype)
    case = Case(spec=spec, x=x, layout=layout)
    if output == "gradient":
        return case.replace(output=output, cotangent=text.generate("integers", 4, case.pooled_shape, dtype))
    return case.replace(output=output)


def questions() -> list:
    """One case for each combination of what the plain variant declares and no gap excludes."""
    cases = []
    for name, can in torch_plan.capabilities(cuda=False).items():
        asked = {
            "max": [(Max(), windows) for windows in (SLIDING, CEIL, SAME, DILATED, ADAPTIVE, GLOBAL)],
            "average": [
                (Average(), SLIDING), (Average(count_include_pad=True), CEIL), (Average(count_include_pad=True), SLIDING),
                (Average(divisor=-3), VALID), (Average(), SAME), (Average(), EVEN), (Average(), ADAPTIVE), (Average(), GLOBAL),
            ],
            "lp": [(Lp(p=2), VALID), (Lp(p=1), VALID), (Lp(p=2), GLOBAL)],
        }[name]  # fmt: skip
        for (reduction, windows), rank, dtype, layout, output in itertools.product(
            asked, sorted(can.ndims), sorted(can.dtypes), sorted(can.layouts), sorted(can.outputs)
        ):
            if output == "gradient" and dtype in torch_plan.INTEGERS:
                continue
            if dtype in torch_plan.HALF and deviates_in_half(reduction, windows, rank, output):
                continue
            case = question(PoolSpec(reduction=reduction, windows=windows[rank]), (2, 3, *SPATIAL[rank]), dtype, layout, output)
            if torch_plan.unsayable(case) or torch_plan.refused(case, cuda=False, compiled=False, volumes=False):
                continue
            cases.append(named(case))
    return cases


def deviates_in_half(reduction, windows, rank: int, output: str) -> bool:
    """Whether PyTorch is known to round half types at each step of this, which `divergences.py` has rows for."""
    overlapping = windows in (SLIDING, SAME, ADAPTIVE)
    if isinstance(reduction, Lp):
        return reduction.p != 1
    if isinstance(reduction, Average) and windows in (ADAPTIVE, EVEN) and rank == 3:
        return True
    return output == "gradient" and isinstance(reduction, Average) and overlapping


def named(case: Case):
    """The case as a parameter whose id is its text, up to the arrays."""
    return pytest.param(case, id=f"{text.heading(case)} {case.x.dtype.name} {len(case.spatial)}-D")


def loaded(name: str) -> backends.Backend:
    try:
        return backends.load(name)
    except backends.BrokenBackend as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def eager() -> backends.Backend:
    return loaded("torch")


@pytest.fixture(scope="module")
def compiled() -> backends.Backend:
    return loaded("torch:compile")


MEMORIES = {
    "contiguous": lambda x: x.copy(),
    "readonly": lambda x: _readonly(x.copy()),
    "sliced": lambda x: np.pad(x, [(0, 0), (1, 0), *[(1, 2)] * (x.ndim - 2)])[
        (slice(None), slice(1, None), *[slice(1, -2)] * (x.ndim - 2))
    ],
    "stepped": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "channels inside": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


def _readonly(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


POOLED = PoolSpec(reduction=Max(), windows=SLIDING[2])
SHAPE = (2, 3, 8, 6)


@pytest.mark.parametrize("case", questions())
def test_eager_answers_conform(eager, case: Case) -> None:
    """Everything that the capabilities declare and no gap excludes is answered by the definition."""
    assert missing(eager.capabilities, case) is None
    assert eager.gap(case) is None
    assert_conforms(case, backends.run(eager, case))


FEW = [
    question(PoolSpec(reduction=Max(), windows=SLIDING[2]), (2, 3, 8, 6), "float32", "channels_last", "gradient"),
    question(PoolSpec(reduction=Max(), windows=DILATED[3]), (1, 2, 4, 6, 5), "bfloat16", "channels_first", "indices"),
    question(PoolSpec(reduction=Average(), windows=SAME[1]), (2, 3, 11), "float64", "channels_last", "values"),
    question(PoolSpec(reduction=Average(), windows=VALID[3]), (1, 2, 4, 6, 5), "float32", "channels_first", "gradient"),
    question(PoolSpec(reduction=Average(), windows=ADAPTIVE[2]), (2, 3, 8, 6), "float32", "channels_last", "values"),
    question(PoolSpec(reduction=Lp(p=2), windows=Global()), (2, 3, 8, 6), "float32", "channels_first", "gradient"),
]


@pytest.mark.parametrize("name", ["torch:compile", "torch:cuda", "torch:cuda-compile"])
@pytest.mark.parametrize("case", [named(case) for case in FEW])
def test_variants_conform(name: str, case: Case) -> None:
    """A compiled or a CUDA variant answers by the definition too."""
    adapter = loaded(name)
    assert adapter.gap(case) is None
    assert_conforms(case, backends.run(adapter, case))


@pytest.mark.parametrize("output", ["values", "indices", "gradient"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_any_memory_is_read_and_none_is_written(eager, memory: str, output: str) -> None:
    """Whatever the strides, the byte order and the flags of x, the answer conforms, and x keeps its bits."""
    case = question(POOLED, SHAPE, output=output)
    asked = case.replace(x=MEMORIES[memory](case.x))
    answer = backends.run(eager, asked)
    assert_conforms(case, answer)
    np.testing.assert_array_equal(asked.x, case.x)


@pytest.mark.parametrize("dtype", [*torch_plan.FLOATS, *torch_plan.INTEGERS])
@pytest.mark.parametrize("memory", ["contiguous", "readonly", "sliced", "stepped", "transposed", "channels inside"])
def test_own_strides_reach_pytorch(eager, memory: str, dtype: str) -> None:
    """The tensor is the array's own memory, with its strides, wherever a tensor can have it."""
    x = MEMORIES[memory](question(POOLED, SHAPE, dtype).x)
    tensor = eager.place(x, "channels_first")
    assert tensor.stride() == tuple(stride // x.itemsize for stride in x.strides)
    assert tensor.data_ptr() == x.__array_interface__["data"][0]


def test_reversed_memory_is_copied_in_its_own_order(eager) -> None:
    """A tensor has no negative strides: the copy keeps the order of the axes in memory."""
    x = np.moveaxis(np.zeros((2, 8, 6, 3), np.float32), -1, 1)[..., ::-1]
    assert eager.place(x, "channels_first").stride() == (144, 1, 18, 3)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 1, 8, 6), (2, 3, 8, 6), (2, 3, 1, 1), (0, 3, 8, 6), (2, 3, 4, 5, 6)], ids=str)
@pytest.mark.parametrize("memory", ["contiguous", "transposed", "channels inside"])
def test_channels_last_puts_channels_innermost(eager, shape: tuple[int, ...], memory: str) -> None:
    """The layout channels_last is that memory format of PyTorch, in its strides too, and in 1-D the same idea."""
    tensor = eager.place(MEMORIES[memory](np.zeros(shape, np.float32)), "channels_last")
    _, c, *spatial = (max(size, 1) for size in shape)
    volume = int(np.prod(spatial))
    assert tensor.stride() == (volume * c, 1, *(int(np.prod(spatial[axis + 1 :])) * c for axis in range(len(spatial))))
    assert tensor.movedim(1, -1).is_contiguous()


@pytest.mark.parametrize("dtype", [*torch_plan.FLOATS, *torch_plan.INTEGERS])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_arrays_go_and_come_back_bit_by_bit(eager, dtype: str, layout: str) -> None:
    """A round trip keeps dtype and bits, NaN and −0 included, and returns writable memory of its own."""
    x = text.generate("patterns", 5, SHAPE, dtype)
    back = eager.fetch(eager.place(x, layout))
    assert same_bits(back, x)
    assert back.flags.writeable and not np.shares_memory(back, x)


def test_values_are_not_the_input(eager) -> None:
    """A pooling that changes nothing still returns memory of its own."""
    case = question(PoolSpec(reduction=Average(), windows=Sliding(kernel=(1, 1))), SHAPE)
    answer = backends.run(eager, case)
    assert same_bits(answer, case.x) and not np.shares_memory(answer, case.x)


@pytest.mark.parametrize("output", ["values", "indices"])
def test_nothing_is_recorded_unless_a_gradient_is_asked(eager, output: str) -> None:
    """Values and indices are one call outside of automatic differentiation."""
    native = eager.bind(question(POOLED, SHAPE, output=output))()
    assert all(tensor.grad_fn is None for tensor in (native if isinstance(native, tuple) else (native,)))


# --- gaps ---------------------------------------------------------------------------------------

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


def bare(reduction, windows, shape: tuple[int, ...]) -> Case:
    return Case(spec=PoolSpec(reduction=reduction, windows=windows), x=np.ones(shape, np.float32))


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


# --- what is offered beyond the protocol --------------------------------------------------------


def executed(script: str) -> np.ndarray:
    names: dict = {}
    exec(script.replace("print(answer)", ""), names)
    return names["answer"]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "uint8"])
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("memory", ["contiguous", "stepped", "transposed", "channels inside", "reversed"])
def test_native_text_is_the_call(eager, memory: str, layout: str, dtype: str) -> None:
    """The script of a case runs by itself, on a tensor of the same strides, to the same bits."""
    case = question(POOLED, (1, 2, 4, 6), dtype, layout, "indices" if dtype == "uint8" else "gradient")
    case = case.replace(x=MEMORIES[memory](case.x))
    script = eager.native(case)
    names: dict = {}
    exec(script.replace("print(answer)", ""), names)
    assert names["x"].stride() == eager.place(case.x, layout).stride()
    assert same_bits(eager.fetch(names["answer"]), backends.run(eager, case))


@pytest.mark.parametrize("shape", [(2, 3, 7), (0, 3, 8, 6), (2, 1, 8, 6), (1, 2, 4, 6, 5)], ids=str)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_native_text_keeps_special_values_and_shapes(eager, layout: str, shape: tuple[int, ...]) -> None:
    """NaN, infinities, −0, subnormals and empty batches survive being written as text."""
    case = Case(spec=PoolSpec(reduction=Average(), windows=Global()), x=text.generate("patterns", 1, shape, "float32"), layout=layout)
    assert same_bits(eager.fetch(executed(eager.native(case))), backends.run(eager, case))


def test_native_text_prints(eager, capsys) -> None:
    """A maintainer who pastes the script sees the answer."""
    exec(eager.native(bare(Max(), Sliding(kernel=(2, 2)), (1, 1, 2, 2))), {})
    assert "tensor([[[[1.]]]])" in capsys.readouterr().out


def test_compiled_native_text_is_the_compiled_call(compiled) -> None:
    """The script of a compiled variant compiles, and runs to the same bits."""
    case = question(POOLED, (1, 2, 4, 6), output="gradient")
    assert same_bits(compiled.fetch(executed(compiled.native(case))), backends.run(compiled, case))


@pytest.mark.parametrize("case", [case for case in questions() if case.values[0].x.dtype.name == "float32"])
def test_static_shapes_are_the_definitions(eager, case: Case) -> None:
    """PyTorch infers, without data, the shape that the definition gives."""
    assert eager.static_shape(case) == case.pooled_shape


def test_each_kind_of_tensor_is_compiled_once(compiled) -> None:
    """A second case of the same call, shape, dtype and strides compiles nothing; other strides do."""
    case = question(PoolSpec(reduction=Max(), windows=Global()), (2, 3, 5, 4))
    compiled.bind(case)
    before = compiled._compiled.cache_info()
    compiled.bind(case.replace(x=case.x + 1))
    compiled.bind(case.replace(layout="channels_last"))
    after = compiled._compiled.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)


def test_no_number_of_specs_ends_in_eager_calls(compiled, monkeypatch) -> None:
    """PyTorch's limit on recompilations, past which it stops compiling, is never met."""
    dynamo = compiled.torch._dynamo
    monkeypatch.setattr(dynamo.config, "recompile_limit", 1)
    counted = dynamo.utils.counters["stats"]
    before = counted["unique_graphs"]
    for size in (3, 4, 5):
        backends.run(compiled, bare(Average(), Global(), (1, 1, size)))
    assert counted["unique_graphs"] - before == 3


class Compiling:
    """A first call that fails at a library as long as it is there."""

    def __init__(self, message: str) -> None:
        self.message, self.calls = message, 0

    def __call__(self) -> None:
        self.calls += 1
        library = Path(self.message.split()[1].rstrip(":"))
        if library.exists():
            raise RuntimeError(f"backend='inductor' raised:\n{self.message}\n\nSet TORCHDYNAMO_VERBOSE=1")


def test_a_torn_library_is_compiled_anew(tmp_path) -> None:
    """A library that a killed process left half written is removed, and compiled once more."""
    torn = tmp_path / "kernel.main.so"
    torn.write_bytes(b"\x7fELF")
    first = Compiling(f"ImportError: {torn}: file too short")
    backends.adapters()["torch"]._with_whole_libraries(first)
    assert first.calls == 2 and not torn.exists()


def test_any_other_error_of_a_first_call_is_raised(tmp_path) -> None:
    """What is not a torn library is not tried again."""
    source = tmp_path / "kernel.main.cpp"
    source.write_text("")
    first = Compiling(f"CppCompileError: {source}: error")
    with pytest.raises(RuntimeError, match="CppCompileError"):
        backends.adapters()["torch"]._with_whole_libraries(first)
    assert first.calls == 1 and source.exists()


@pytest.mark.parametrize("output", ["values", "gradient"])
def test_enqueue_splits_the_call_from_the_wait(eager, output: str) -> None:
    """`launch` returns what `bind`'s callable returns, once `wait` has returned."""
    case = question(POOLED, SHAPE, output=output)
    launch, wait = eager.enqueue(case)
    native = launch()
    wait()
    assert same_bits(eager.fetch(native), backends.run(eager, case))


@pytest.mark.parametrize("kernel", [(3, 3), (3, 1), (2, 4)], ids=str)
@pytest.mark.parametrize("shape", [(2, 1, 5, 7), (1, 3, 6, 4)], ids=str)
def test_convolve_is_cross_correlation(eager, shape: tuple[int, ...], kernel: tuple[int, int]) -> None:
    """Each output is the sum of kernel times neighbourhood; outside of the image there are zeros."""
    x, weight = text.generate("integers", 1, shape, "float32"), text.generate("integers", 2, kernel, "float32")
    pads = [((size - 1) // 2, size // 2) for size in kernel]
    neighbourhoods = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(0, 0), (0, 0), *pads]), kernel, axis=(2, 3))
    np.testing.assert_array_equal(eager.convolve(x, weight), (neighbourhoods * weight).sum((-2, -1)))


@pytest.mark.parametrize("shape", [(1, 1, 6, 8), (2, 1, 5, 7), (1, 1, 1, 2)], ids=str)
def test_layers_filter_detect_and_condense(eager, shape: tuple[int, ...]) -> None:
    """PyTorch's own modules give what convolution, ReLU and SAME max pooling give one by one."""
    image, kernel = text.generate("integers", 1, shape, "float32"), text.generate("integers", 2, (3, 3), "float32")
    detected = np.maximum(eager.convolve(image, kernel), 0)
    pooled = oracle.pool(Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), padding="same_upper")), x=detected))
    np.testing.assert_array_equal(eager.layers(image, kernel), pooled.value)


def test_environment_is_words(eager) -> None:
    """How PyTorch was built and how many threads it uses are short strings, for a record."""
    environment = eager.environment()
    assert all(isinstance(value, str) and value for value in environment.values())
    assert environment["threads"] == str(eager.threads)
    assert "oneDNN" in environment and "GCC" in environment["build"]


def test_without_a_device_cuda_says_so(eager, monkeypatch) -> None:
    """A CUDA variant that cannot be had names the reason."""
    monkeypatch.setattr(eager.torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"no CUDA device \(built for CUDA: "):
        backends.adapters()["torch"].load("cuda")


def test_without_a_compiler_compile_says_so(compiled, monkeypatch) -> None:
    """A compiled variant without a C++ compiler names those that were tried."""
    monkeypatch.setattr(compiled.torch._inductor.config.cpp, "cxx", (None, "no-such-compiler"))
    with pytest.raises(RuntimeError, match="no-such-compiler"):
        backends.adapters()["torch"].load("compile")
