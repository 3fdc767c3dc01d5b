"""JAX's adapter: what it declares it answers, what it refuses it raises, and what it prints as native code is what it does.

Inputs are small whole numbers, distinct in every window: the known deviations of JAX are the laws' affair, in `properties`.
"""

import contextlib
import importlib.util
import io
import math
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import backends
from backends import compare, jax_plan
from backends.interface import LAYOUTS, Case, Unsupported, dtype_named, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")

SPATIAL = {1: (9,), 2: (5, 7), 3: (3, 5, 4)}
KERNEL = {1: (4,), 2: (2, 3), 3: (2, 1, 4)}
STRIDE = {1: (2,), 2: (2, 1), 3: (1, 2, 3)}


@pytest.fixture(scope="module")
def jax():
    """JAX on CPU."""
    return backends.load("jax")


def whole(shape, dtype, seed=0):
    """Whole numbers, all of a sample's channel distinct; around zero where the dtype has a sign."""
    size = math.prod(shape[2:])
    rows = np.tile(np.arange(size), (shape[0] * shape[1], 1))
    rows = np.random.default_rng(seed).permuted(rows, axis=1) - (0 if dtype.startswith("uint") else size // 2)
    return rows.reshape(shape).astype(dtype_named(dtype))


def a_case(reduction=None, ndim=2, layout="channels_last", dtype="float32", output="values", windows=None, batch=2):
    """A case, with a cotangent where one is needed."""
    spec = PoolSpec(reduction=reduction or Max(), windows=windows or Sliding(kernel=KERNEL[ndim], stride=STRIDE[ndim]))
    case = Case(spec, whole((batch, 3, *SPATIAL[ndim]), dtype), layout)
    if output != "gradient":
        return case.replace(output=output)
    return case.replace(output=output, cotangent=np.random.default_rng(1).integers(-4, 5, case.pooled_shape).astype(case.x.dtype))


ANSWERED = [
    *({"dtype": dtype} for dtype in jax_plan.FLOATS + jax_plan.INTEGERS),
    *({"ndim": ndim, "layout": layout, "output": output} for ndim in SPATIAL for layout in LAYOUTS for output in ("values", "gradient")),
    *({"dtype": dtype, "output": "gradient"} for dtype in jax_plan.FLOATS),
    *({"dtype": dtype, "reduction": Average(divisor=1)} for dtype in jax_plan.FLOATS),
    *({"dtype": dtype, "reduction": Average(divisor=1), "output": "gradient", "ndim": 3} for dtype in jax_plan.FLOATS),
    *({"windows": Global(), "reduction": kind, "output": output} for kind in (Max(), Average()) for output in ("values", "gradient")),
    {"windows": Global(), "dtype": "uint64", "layout": "channels_first", "ndim": 3},
    *(
        {"windows": Sliding(kernel=(3, 2), stride=(3, 1), padding=padding), "output": output}
        for padding in ("same_upper", "same_lower", ((1, 1), (0, 0)), ((2, 0), (0, 1)))
        for output in ("values", "gradient")
    ),
    {"windows": Sliding(kernel=(2, 3), stride=(2, 1), padding="same_lower", dilation=(3, 2))},
    {"windows": Sliding(kernel=(2, 2), padding="same_upper", dilation=(1, 2)), "reduction": Average(divisor=1), "output": "gradient"},
    {"windows": Sliding(kernel=(3, 4), stride=(3, 2), ceil_mode=True), "output": "gradient"},
    {"windows": Sliding(kernel=(2, 3), stride=(3, 3), padding=((1, 1), (0, 2)), ceil_mode=True), "reduction": Average(divisor=1)},
    {"batch": 0},
    {"batch": 0, "output": "gradient"},
]  # fmt: skip


@pytest.mark.parametrize("asked", ANSWERED, ids=str)
def test_it_answers(jax, asked):
    """These are no gaps, and conform; what is inferred without running has the shape of the answer."""
    case = a_case(**asked)
    assert jax.gap(case) is None
    answer = backends.run(jax, case)
    compare.assert_conforms(case, answer)
    assert jax.static_shape(case) == answer.shape


def test_it_refuses_the_gradient_of_a_dilated_maximum(jax):
    """That gap "refuses", and JAX does raise."""
    case = a_case(windows=Sliding(kernel=(2, 2), stride=(1, 1), dilation=(2, 1)), output="gradient")
    assert jax.gap(case) == "refuses: VJP not implemented for a maximum with window dilation"
    with pytest.raises(NotImplementedError, match="VJP not implemented"):
        backends.run(jax, case)


UNSAYABLE = [
    (Lp(p=2), Global(), "values", "no Lp"),
    (Max(), Adaptive(output_size=(2, 2)), "values", "no adaptive"),
    (Max(), Sliding(kernel=(2, 2)), "indices", "no function returns the indices"),
    (Average(), Sliding(kernel=(2, 2)), "values", "divides by nothing"),
    (Average(divisor=3), Sliding(kernel=(2, 2)), "values", "divides by nothing"),
]


@pytest.mark.parametrize("reduction, windows, output, reason", UNSAYABLE, ids=[row[3] for row in UNSAYABLE])
def test_it_cannot_say(jax, reduction, windows, output, reason):
    """What no argument says is a gap with that reason, and binding it raises `Unsupported`."""
    case = Case(PoolSpec(reduction=reduction, windows=windows), whole((1, 2, 4, 6), "float32"), "channels_last", output)
    assert jax.gap(case).startswith("cannot say: ")
    assert reason in jax.gap(case)
    with pytest.raises(Unsupported, match="cannot say"):
        jax.bind(case)


@pytest.mark.parametrize(
    "windows, rule",
    [
        (Sliding(kernel=(2, 2), stride=(0, 1)), "window_strides must"),
        (Sliding(kernel=(0, 2), stride=(1, 1)), "window_dimensions must"),
        (Sliding(kernel=(2,)), "wrong number of window_dimensions"),
    ],
    ids=["stride 0", "kernel 0", "rank"],
)
def test_bad_values_reach_jax(jax, windows, rule):
    """A spec that is invalid is no gap: JAX is asked, and it is JAX that refuses."""
    case = Case(PoolSpec(reduction=Max(), windows=windows), whole((1, 2, 4, 6), "float32"))
    assert jax.gap(case) is None
    with pytest.raises(TypeError, match=rule):
        backends.run(jax, case)


def test_same_in_ceil_mode_is_wrong(jax):
    """SAME fixes the output size, so that ceil mode contradicts it."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), padding="same_lower", ceil_mode=True))
    with pytest.raises(ValueError, match="SAME already fixes the output size"):
        jax.bind(a_case().replace(spec=spec))


MEMORY = {
    "read-only": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "reversed": lambda x: x[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1],
    "the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_does_not_matter_and_is_not_written(jax, memory, layout):
    """However x lies in memory, the answer has the same bits, x and the cotangent stay, and the answer is the caller's."""
    case = a_case(layout=layout, output="gradient")
    other = case.replace(x=MEMORY[memory](case.x), cotangent=MEMORY[memory](case.cotangent))
    kept = other.x.copy(), other.cotangent.copy()
    other.x.flags.writeable = other.cotangent.flags.writeable = False
    answer = backends.run(jax, other)
    assert same_bits(answer, backends.run(jax, case))
    answer[...] = 99
    assert np.array_equal(other.x, kept[0])
    assert np.array_equal(other.cotangent, kept[1])


def test_a_spec_is_compiled_once(jax):
    """Another array of the same shape and dtype meets the function that is there, however often it is launched."""
    case = a_case(windows=Sliding(kernel=(4, 2)))
    backends.run(jax, case)
    known = jax._compiled.cache_info()
    launch, wait = jax.enqueue(case.replace(x=case.x + 1))
    natives = [launch() for _ in range(3)]
    wait()
    assert jax._compiled.cache_info().misses == known.misses
    compare.assert_conforms(case.replace(x=case.x + 1), jax.fetch(natives[-1]))


def test_a_wait_is_for_the_last_launch_of_all(jax, monkeypatch):
    """What one case's wait waits for is the call that was launched last, another case's too; it says no seconds."""
    (one, wait), (other, _) = jax.enqueue(a_case()), jax.enqueue(a_case(output="gradient"))
    one()
    last, _ = other()
    waited = []
    monkeypatch.setattr(jax.jax, "block_until_ready", waited.append)
    assert wait() is None
    assert [id(array) for array in waited] == [id(last)]


def test_a_copy_is_made_at_each_launch(jax):
    """What a device's bandwidth is measured with copies so many bytes into memory of its own; XLA does not leave it out."""
    launch, wait = jax.copying(100)
    one, other = launch(), launch()
    wait()
    assert one.nbytes == other.nbytes == 100
    assert one.unsafe_buffer_pointer() != other.unsafe_buffer_pointer()


@pytest.mark.parametrize("output", ["values", "gradient"])
def test_transfers_are_of_the_inputs_and_of_the_answer(jax, output):
    """What is sent is x, and the cotangent where there is one; what is taken back is the answer."""
    case = a_case(output=output, layout="channels_first")
    send, take = jax.transfers(case)
    assert [np.array(array).tolist() for array in send()] == [array.tolist() for array in (case.x, case.cotangent) if array is not None]
    assert same_bits(take(jax.bind(case)()), backends.run(jax, case))


NATIVE = [
    {},
    {"dtype": "int8"},
    {"output": "gradient", "dtype": "bfloat16", "layout": "channels_first"},
    {"windows": Global(), "reduction": Average(), "dtype": "float16"},
    {"windows": Sliding(kernel=(3, 2), padding="same_lower", dilation=(1, 2)), "reduction": Average(divisor=1)},
    {"batch": 0},
]


@pytest.mark.parametrize("asked", NATIVE, ids=str)
def test_native_code_gives_the_same_bits(jax, asked):
    """The script that a maintainer would paste computes what the adapter computes, and prints it."""
    case = a_case(**asked)
    names = executed(jax.native(case))
    assert same_bits(np.asarray(names["result"]), np.asarray(jax.bind(case)()[0]))


@pytest.mark.parametrize("dtype", jax_plan.FLOATS)
def test_native_code_keeps_peculiar_numbers(jax, dtype):
    """NaN, infinities, subnormals and the largest number reach the script's array as they are."""
    info = ml_dtypes.finfo(dtype_named(dtype))
    x = np.array([np.nan, np.inf, -np.inf, info.smallest_subnormal, info.max, -0.0, 0.1], info.dtype).reshape(1, 7, 1)
    script = jax.native(Case(PoolSpec(reduction=Max(), windows=Global()), x))
    assert same_bits(np.asarray(executed(script)["x"]), x)


def executed(script):
    """The names that a script leaves behind."""
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(script, "native", "exec"), names)
    assert printed.getvalue() == f"{np.asarray(names['result'])}\n"
    return names


def test_loading_prints_nothing_and_starts_no_threads():
    """A process that has loaded JAX says nothing and can still be forked: no device has been opened."""
    asks = (
        "import backends; jax = backends.load('jax'); jax.device, jax.threads, jax.capabilities\n"
        "from jax._src import xla_bridge; raise SystemExit(len(xla_bridge._backends))"
    )
    loaded = subprocess.run([sys.executable, "-W", "error", "-c", asks], capture_output=True, text=True, check=False)
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "", "")


def test_there_is_no_cuda_variant_without_a_device(jax):
    """Loading the CUDA variant without a device says so."""
    if any(device.platform == "gpu" for device in jax.jax.devices()):
        pytest.skip("there is a GPU")
    with pytest.raises(backends.BrokenBackend, match="cuda"):
        backends.load("jax:cuda")


def test_it_says_where_it_runs(jax):
    """Device, threads and build are known, as text that a record can hold."""
    assert jax.device == "cpu"
    assert jax.threads >= 1
    assert all(isinstance(value, str) for value in jax.environment().values())
