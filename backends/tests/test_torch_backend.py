"""PyTorch is asked what the case says, in whatever memory it lies, and answers by the definition."""

from pathlib import Path

import numpy as np
import pytest

import backends
from backends import oracle, text, torch_plan
from backends.compare import assert_conforms
from backends.interface import Case, missing, same_bits
from backends.spec import Average, Global, Lp, Max, PoolSpec, Sliding
from backends.tests.torch_questions import (
    ADAPTIVE,
    DILATED,
    MEMORIES,
    POOLED,
    SAME,
    SHAPE,
    SLIDING,
    VALID,
    bare,
    loaded,
    named,
    question,
    questions,
)


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


@pytest.mark.parametrize("value", ["-inf", "0", "nan", "0.1"])
def test_native_text_of_one_value_is_short(eager, value: str) -> None:
    """Code of a large tensor of one value alone lists it once, and computes the same."""
    _, case = text.parse(f"max sliding kernel=2,2 values channels_first x=float16:1,1,16,16:{value}x256")
    script = eager.native(case)
    assert len(script) < 500
    assert same_bits(eager.fetch(executed(script)), backends.run(eager, case))


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


def test_no_number_of_specs_ends_in_eager_calls(compiled) -> None:
    """PyTorch's limit on recompilations, past which it stops compiling, is never met."""
    dynamo = compiled.torch._dynamo
    counted = dynamo.utils.counters["stats"]
    before = counted["unique_graphs"]
    # Not monkeypatch: undone, it deletes the option, for PyTorch keeps its options elsewhere than in the module.
    with dynamo.config.patch(recompile_limit=1):
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


def test_without_a_compiler_compile_says_so(compiled) -> None:
    """A compiled variant without a C++ compiler names those that were tried."""
    missing = compiled.torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")})
    with missing, pytest.raises(RuntimeError, match="no-such-compiler"):
        backends.adapters()["torch"].load("compile")
