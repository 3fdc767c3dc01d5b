"""TensorFlow's adapter: what it declares it answers, and what it refuses it raises."""

import itertools
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import backends
from backends import compare, tensorflow_plan
from backends.interface import Case, Unsupported, dtype_named, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding
from backends.tests.tensorflow_questions import VARIANTS, a_case, whole


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request):
    """Each variant on CPU."""
    return backends.load(request.param)


@pytest.fixture(scope="module")
def eager():
    """The plain one."""
    return backends.load("tensorflow")


def combinations():
    """Every value of every attribute that is declared: reduction, dimensions, layout, dtype, output."""
    for reduction, declared in tensorflow_plan.capabilities(gpu=False).items():
        for ndim, layout, dtype, output in itertools.product(
            sorted(declared.ndims), sorted(declared.layouts), sorted(declared.dtypes), sorted(declared.outputs)
        ):
            if not (output == "gradient" and "int" in dtype):
                yield pytest.param(reduction, ndim, layout, dtype, output, id=f"{reduction}-{ndim}-{layout}-{dtype}-{output}")


def raised(backend, case):
    """What the framework says when it is asked a case."""
    with pytest.raises((backend.tf.errors.OpError, TypeError, ValueError)) as caught:
        backends.run(backend, case)
    return caught.value


@pytest.mark.parametrize("reduction, ndim, layout, dtype, output", list(combinations()))
def test_what_is_declared_conforms_or_is_refused(variant, reduction, ndim, layout, dtype, output):
    """Each combination of declared values conforms, or is a gap and TensorFlow does raise."""
    case = a_case(reduction, ndim, layout, dtype, output)
    if variant.gap(case) is None:
        compare.assert_conforms(case, backends.run(variant, case))
    else:
        assert variant.gap(case).startswith("refuses: ")
        raised(variant, case)


ANSWERED = [
    ("values by any variant", VARIANTS, {}),
    ("one dimension", VARIANTS, {"ndim": 1}),
    ("three dimensions", VARIANTS, {"ndim": 3}),
    ("gradient", VARIANTS, {"output": "gradient"}),
    ("indices", VARIANTS[:2], {"output": "indices"}),
    ("doubles", VARIANTS, {"dtype": "float64"}),
    ("halves", VARIANTS, {"dtype": "float16"}),
    ("bytes", VARIANTS, {"dtype": "uint8"}),
    ("indices of long integers", VARIANTS[:2], {"dtype": "uint64", "output": "indices"}),
    ("average, gradient", VARIANTS, {"reduction": "average", "output": "gradient"}),
    ("global", VARIANTS, {"windows": Global()}),
    ("global, channels first", VARIANTS, {"windows": Global(), "layout": "channels_first", "ndim": 3, "dtype": "float64"}),
    ("global average", VARIANTS, {"windows": Global(), "reduction": "average", "layout": "channels_first", "dtype": "bfloat16"}),
    ("global indices", VARIANTS[:2], {"windows": Global(), "output": "indices"}),
    ("global gradient", VARIANTS, {"windows": Global(), "output": "gradient", "dtype": "float16"}),
    ("same", VARIANTS, {"windows": Sliding(kernel=(3, 2), stride=(2, 1), padding="same_upper")}),
    ("same, lower, by explicit padding", VARIANTS[:2], {"windows": Sliding(kernel=(3, 2), stride=(3, 1), padding="same_lower")}),
    ("same, lower, alike", VARIANTS, {"windows": Sliding(kernel=(3, 5), stride=(1, 1), padding="same_lower"), "reduction": "average"}),
    ("symmetric", VARIANTS[:2], {"windows": Sliding(kernel=(3, 4), stride=(2, 1), padding=((1, 1), (2, 2)))}),
    ("asymmetric", VARIANTS[:2], {"windows": Sliding(kernel=(3, 4), stride=(2, 1), padding=((2, 0), (1, 3)))}),
    ("asymmetric, one dimension", VARIANTS[:2], {"ndim": 1, "windows": Sliding(kernel=(3,), stride=(2,), padding=((2, 1),))}),
    ("asymmetric, gradient", VARIANTS[:2], {"windows": Sliding(kernel=(3, 4), padding=((2, 0), (1, 3))), "output": "gradient"}),
    ("SAME by pads", VARIANTS, {"windows": Sliding(kernel=(2, 2), stride=(1, 1), padding=((0, 1), (0, 1))), "reduction": "average"}),
    ("pads of zero", VARIANTS, {"windows": Sliding(kernel=(2, 2), padding=((0, 0), (0, 0))), "reduction": "average"}),
    ("ceil mode by explicit padding", VARIANTS[:2], {"windows": Sliding(kernel=(3, 4), stride=(3, 2), ceil_mode=True)}),
    ("ceil mode and pads", VARIANTS[:2], {"windows": Sliding(kernel=(2, 3), stride=(3, 3), padding=((1, 1), (0, 2)), ceil_mode=True)}),
    ("ceil mode that is SAME", VARIANTS, {"windows": Sliding(kernel=(2, 2), ceil_mode=True), "reduction": "average", "output": "gradient"}),
    ("dilation", VARIANTS, {"windows": Sliding(kernel=(2, 3), stride=(1, 1), dilation=(3, 2))}),
    ("dilated average", VARIANTS, {"windows": Sliding(kernel=(2, 2), stride=(1, 1), dilation=(1, 2)), "reduction": "average"}),
    ("a stride above the kernel", VARIANTS, {"windows": Sliding(kernel=(2, 1), stride=(3, 4))}),
    ("an empty batch", VARIANTS, {"batch": 0}),
    # Not in a graph: there oneDNN's gradient of an empty batch kills the process, which is the divergences' affair.
    ("the gradient of an empty batch", VARIANTS[::2], {"batch": 0, "output": "gradient"}),
    ("many channels", VARIANTS, {"channels": 33}),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, asked", [pytest.param(name, asked, id=f"{text}-{name}") for text, names, asked in ANSWERED for name in names]
)
def test_it_answers(name, asked):
    """These are no gaps, and conform."""
    backend, case = backends.load(name), a_case(**asked)
    assert backend.gap(case) is None
    compare.assert_conforms(case, backends.run(backend, case))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("reduction, output", [("max", "values"), ("average", "values"), ("average", "gradient")])
def test_channels_first_on_cpu_needs_onednn(eager, dtype, reduction, output):
    """With oneDNN TensorFlow pools channels first on CPU, in the dtypes that the environment names; without, it refuses."""
    case = a_case(reduction, layout="channels_first", dtype=dtype, output=output)
    if dtype in eager.environment()["oneDNN"]:
        assert eager.gap(case) is None
        compare.assert_conforms(case, backends.run(eager, case))
    else:
        assert "channels last only" in eager.gap(case)
        raised(eager, case)


@pytest.mark.parametrize(
    "reduction, output, pooled", [("max", "values", True), ("average", "values", False), ("average", "gradient", False)]
)
def test_of_float16_onednn_pools_maxima_alone(reduction, output, pooled):
    """On a CPU with instructions for float16, whatever this one has, channels first are a gap for averages of it and none for maxima."""
    case = a_case(reduction, layout="channels_first", dtype="float16", output=output)
    gap = tensorflow_plan.refused(case, variant="", onednn=frozenset({"float32", "float16"}))
    assert gap is None if pooled else "channels last only" in str(gap)


REFUSED = [
    ("tensorflow", {"layout": "channels_first", "output": "indices"}, "NHWC only"),
    ("tensorflow", {"layout": "channels_first", "dtype": "float64"}, "channels last only"),
    ("tensorflow", {"layout": "channels_first", "output": "gradient"}, "unless in a graph"),
    ("tensorflow", {"layout": "channels_first", "windows": Sliding(kernel=(2, 2), padding=((1, 0), (0, 0)))}, "explicit padding on CPU"),
    ("tensorflow", {"ndim": 1, "output": "indices"}, "two spatial axes, not 1"),
    ("tensorflow", {"ndim": 3, "output": "indices"}, "two spatial axes, not 3"),
    ("tensorflow", {"batch": 0, "output": "indices"}, "no empty input"),
    ("tensorflow", {"ndim": 3, "dtype": "float64"}, "three dimensions"),
    ("tensorflow:xla", {"ndim": 3, "dtype": "float64"}, "three dimensions"),
    ("tensorflow", {"dtype": "uint32"}, "takes no uint32"),
    ("tensorflow", {"windows": Sliding(kernel=(2, 2), stride=(5, 5), padding=((0, 2), (0, 0)))}, "smaller than the window"),
    ("tensorflow", {"windows": Sliding(kernel=(2, 2), stride=(1, 1), padding="same_upper", dilation=(2, 1))}, "SAME padding"),
    ("tensorflow", {"windows": Sliding(kernel=(2, 2), stride=(1, 2), dilation=(2, 1))}, "strides above 1"),
    ("tensorflow:xla", {"output": "indices"}, "XLA has no"),
    ("tensorflow:xla", {"windows": Sliding(kernel=(2, 2), padding=((1, 0), (0, 0)))}, "XLA does not support"),
]  # fmt: skip


@pytest.mark.parametrize("name, asked, reason", REFUSED, ids=[f"{name}-{reason}" for name, _, reason in REFUSED])
def test_it_refuses(name, asked, reason):
    """A gap that "refuses" says why, and the very call raises in TensorFlow."""
    backend, case = backends.load(name), a_case(**asked)
    assert backend.gap(case).startswith("refuses: ")
    assert reason in backend.gap(case)
    assert not isinstance(raised(backend, case), Unsupported)


UNSAYABLE = [
    (PoolSpec(reduction=Lp(p=2), windows=Global()), "values", "no Lp"),
    (PoolSpec(reduction=Max(), windows=Adaptive(output_size=(2, 2))), "values", "no adaptive"),
    (PoolSpec(reduction=Average(), windows=Sliding(kernel=(3, 5), stride=(2, 2), ceil_mode=True)), "values", "'SAME'"),
    (PoolSpec(reduction=Average(count_include_pad=True), windows=Sliding(kernel=(2, 2))), "values", "divides by"),
    (PoolSpec(reduction=Average(divisor=3), windows=Sliding(kernel=(2, 2))), "values", "divides by"),
    (PoolSpec(reduction=Average(), windows=Sliding(kernel=(2, 2), padding=((1, 1), (1, 1)))), "values", "'SAME'"),
    (PoolSpec(reduction=Average(), windows=Sliding(kernel=(2, 3), stride=(1, 1), padding="same_lower")), "values", "'SAME'"),
    (PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), padding=((1, 1), (1, 1)))), "indices", "'SAME'"),
    (PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), dilation=2)), "indices", "no dilation"),
    (PoolSpec(reduction=Average(), windows=Sliding(kernel=(2, 2))), "indices", "no function returns indices"),
]  # fmt: skip


@pytest.mark.parametrize("spec, output, reason", UNSAYABLE, ids=[f"{spec.reduction.name}-{reason}" for spec, _, reason in UNSAYABLE])
def test_it_cannot_say(eager, spec, output, reason):
    """What no argument says is a gap with that reason, and binding it raises `Unsupported`."""
    case = Case(spec, whole((1, 2, 4, 6), "float32"), "channels_last", output)
    assert eager.gap(case).startswith("cannot say: ")
    assert reason in eager.gap(case)
    with pytest.raises(Unsupported, match="cannot say"):
        eager.bind(case)


def test_volumes_cannot_be_padded(eager):
    """In three dimensions max pooling takes no list of pads."""
    case = a_case(ndim=3, windows=Sliding(kernel=(2, 2, 2), padding=((1, 0), (0, 0), (0, 0))))
    assert eager.gap(case) == "cannot say: tf.nn.max_pool3d pads as 'SAME' does or not at all"


@pytest.mark.parametrize(
    "windows, rule",
    [(Sliding(kernel=(2, 2), stride=(0, 1)), "Stride must be > 0"), (Sliding(kernel=(0, 2), stride=(1, 1)), "ksize must be positive")],
    ids=["stride 0", "kernel 0"],
)
@pytest.mark.parametrize("reduction", ["max", "average"])
def test_bad_values_reach_tensorflow(eager, reduction, windows, rule):
    """A spec that is invalid is no gap: TensorFlow is asked, and it is TensorFlow that refuses."""
    spec = PoolSpec(reduction=Max() if reduction == "max" else Average(), windows=windows)
    case = Case(spec, whole((1, 2, 4, 6), "float32"), "channels_last")
    assert eager.gap(case) is None
    assert rule in str(raised(eager, case))


def test_same_in_ceil_mode_is_wrong(eager):
    """SAME fixes the output size, so that ceil mode contradicts it."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2), padding="same_upper", ceil_mode=True))
    with pytest.raises(ValueError, match="SAME already fixes the output size"):
        eager.bind(a_case().replace(spec=spec))


def test_a_batch_without_space_is_no_input(eager):
    """An array without a spatial axis is wrong, not unsupported."""
    with pytest.raises(ValueError, match=r"\(1, 2\): expected \(N, C, \*spatial\)"):
        eager.bind(Case(PoolSpec(reduction=Max(), windows=Global()), np.zeros((1, 2), np.float32)))


# --- arrays -------------------------------------------------------------------------------------


def test_indices_are_flat_in_the_space_of_a_sample_and_channel(eager):
    """TensorFlow's (y·W + x)·C + c becomes y·W + x, on an image that is not square and has several channels."""
    x = np.zeros((2, 3, 2, 5), np.float32)
    places = np.array([[[0, 4], [7, 9], [1, 8]], [[6, 3], [5, 2], [2, 9]]])
    np.put_along_axis(x.reshape(2, 3, 10), places, 1, axis=2)
    windows = Sliding(kernel=(2, 2), stride=(2, 3))
    got = backends.run(eager, Case(PoolSpec(reduction=Max(), windows=windows), x, "channels_last", "indices"))
    # Windows cover columns 0–1 and 3–4; a window of zeros has its maximum at its first tap.
    assert got.tolist() == [[[[0, 4]], [[0, 9]], [[1, 8]]], [[[6, 3]], [[5, 3]], [[0, 9]]]]
    assert got.dtype == np.int64


@pytest.mark.parametrize("dtype", tensorflow_plan.FLOATS + tensorflow_plan.INTEGERS)
def test_a_dtype_survives(eager, dtype):
    """The largest of one element is that element, bit by bit: no dtype is converted on the way."""
    kind = dtype_named(dtype)
    ends = np.iinfo(kind) if kind.kind in "iu" else ml_dtypes.finfo(kind)
    x = np.array([ends.max, ends.min, 1, 0, 77], kind).reshape(1, 1, 5)
    # uint32 and uint64 pass through reduce_max only.
    windows = Global() if dtype in ("uint32", "uint64") else Sliding(kernel=(1,))
    case = Case(PoolSpec(reduction=Max(), windows=windows), x.reshape(1, 5, 1) if windows == Global() else x, "channels_last")
    assert same_bits(backends.run(eager, case).reshape(-1), x.reshape(-1))


MEMORY = {
    "read-only": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1],
    "the other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
}


@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("output", ["values", "gradient"])
def test_memory_does_not_matter_and_is_not_written(variant, memory, layout, output):
    """However x lies in memory, the answer has the same bits, and x and the cotangent stay as they were."""
    case = a_case(reduction="average", layout=layout, output=output)
    other = case.replace(x=MEMORY[memory](case.x), cotangent=None if output == "values" else MEMORY[memory](case.cotangent))
    arrays = [array for array in (other.x, other.cotangent) if array is not None]
    kept = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    assert same_bits(backends.run(variant, other), backends.run(variant, case))
    assert all(np.array_equal(array, copy) for array, copy in zip(arrays, kept, strict=True))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_an_answer_belongs_to_the_caller(variant, layout):
    """Writing to an answer changes neither x nor what is fetched again."""
    case = a_case(layout=layout)
    native = variant.bind(case)()
    first, before = variant.fetch(native), case.x.copy()
    kept = first.copy()
    first[...] = 99
    assert np.array_equal(variant.fetch(native), kept)
    assert np.array_equal(case.x, before)


def test_a_call_can_be_repeated(variant):
    """What `bind` returns gives the same bits each time, and changes when x does not."""
    case = a_case(output="gradient")
    call = variant.bind(case)
    case.x[...] = 0  # the tensors are copies
    assert same_bits(variant.fetch(call()), variant.fetch(call()))
    compare.assert_conforms(a_case(output="gradient"), variant.fetch(call()))


def test_launch_and_wait(variant):
    """Launching many times and waiting once gives the answer."""
    case = a_case()
    launch, wait = variant.enqueue(case)
    natives = [launch() for _ in range(3)]
    wait()
    compare.assert_conforms(case, variant.fetch(natives[-1]))


def test_a_copy_is_made_at_each_launch(eager):
    """What a device's bandwidth is measured with copies so many bytes into memory of its own."""
    launch, wait = eager.copying(100)
    source, copy = np.asarray(launch.keywords["x"]), np.asarray(launch())
    assert wait() is None
    assert source.nbytes == copy.nbytes == 100
    assert not np.shares_memory(source, copy)


@pytest.mark.parametrize("output", ["values", "indices", "gradient"])
def test_transfers_are_of_the_inputs_and_of_the_answer(eager, output):
    """What is sent is x, and the cotangent where there is one; what is taken back is the answer, an element for each window or input."""
    case = a_case(output=output)
    send, take = eager.transfers(case)
    sent = [np.moveaxis(tensor.numpy(), -1, 1).tolist() for tensor in send()]
    assert sent == [array.tolist() for array in (case.x, case.cotangent) if array is not None]
    answer, whole = eager.bind(case)(), backends.run(eager, case)
    assert np.moveaxis(take(answer), -1, 1).shape == whole.shape
    if output != "indices":  # TensorFlow's count channels too, until they are fetched
        assert same_bits(np.ascontiguousarray(np.moveaxis(take(answer), -1, 1)), whole)


@pytest.mark.parametrize("name", VARIANTS[1:])
def test_a_spec_is_compiled_once(name):
    """Another array of the same shape and dtype meets the function that is there."""
    backend, case = backends.load(name), a_case(spatial=(6, 11))
    backends.run(backend, case)
    known = backend._compiled.cache_info()
    backends.run(backend, case.replace(x=case.x + 1))
    assert backend._compiled.cache_info().hits == known.hits + 1
    assert backend._compiled.cache_info().misses == known.misses


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("reduction, output", [("max", "values"), ("max", "indices"), ("average", "gradient")])
@pytest.mark.parametrize("windows", [Global(), Sliding(kernel=(3, 2), stride=(2, 3), padding="same_upper")], ids=["global", "sliding"])
def test_the_inferred_shape_is_the_shape(eager, layout, reduction, output, windows):
    """What TensorFlow infers without running is the shape of the definition, in our order of axes."""
    case = a_case(reduction, layout="channels_last" if output == "indices" else layout, output=output, windows=windows)
    assert eager.static_shape(case) == (case.x.shape if output == "gradient" else case.pooled_shape)


# --- the process --------------------------------------------------------------------------------


def test_loading_prints_nothing():
    """TensorFlow's own announcements do not reach the output, whose readers wait for ours."""
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import backends; backends.load('tensorflow')"], capture_output=True, text=True, check=False
    )
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "", "")


def test_there_is_no_gpu_variant_without_a_gpu(eager):
    """Loading the GPU variant without a GPU says so."""
    if eager.tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(backends.BrokenBackend, match="sees no GPU"):
        backends.load("tensorflow:gpu")


def test_it_says_where_it_runs(variant):
    """Device, threads and build are known, as text that a record can hold."""
    assert variant.device == "cpu"
    assert variant.threads >= 1
    assert variant.environment()["oneDNN"]
    assert all(isinstance(value, str) for value in variant.environment().values())
