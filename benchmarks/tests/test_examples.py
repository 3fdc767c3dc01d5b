"""The examples are backends that people copy: they conform, and say what they lack."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import backends
from backends.compare import assert_conforms
from backends.interface import Case, refusal
from backends.spec import Average, Max, PoolSpec, Sliding
from backends.tests.imaginary import Event, imagine

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECIALS = [np.nan, -np.inf, np.inf, -np.inf, -np.inf, -np.inf, -np.inf, 3.5]

FORMS = [
    ((2, 5, 11), {"kernel": (3,), "stride": (2,)}),
    ((2, 5, 11), {"kernel": (3,), "stride": (2,), "padding": ((0, 1),), "dilation": (2,)}),
    ((2, 33, 7, 9), {"kernel": (3, 2), "stride": (2, 3), "padding": ((1, 0), (1, 1))}),
    ((1, 3, 8, 9), {"kernel": (4, 5), "stride": (1, 2)}),
    ((1, 3, 8, 9), {"kernel": (2, 3), "dilation": (3, 2)}),
    ((0, 3, 4, 4), {"kernel": (2, 1)}),
    ((1, 2, 4, 5, 6), {"kernel": (2, 3, 1), "stride": (1, 2, 3)}),
]


def asked(backend, reduction, shape, windows, dtype, layout):
    """The conforming answer to a case with special values, or a skip with the backend's reason."""
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    x.reshape(-1)[: len(SPECIALS)] = SPECIALS[: x.size]
    # A partial sum of these overflows before the infinity comes, which is the answer all the same.
    x[:1, -1:].reshape(-1)[-3:] = [-np.finfo(dtype).max, -np.finfo(dtype).max, np.inf][: x[:1, -1:].size]
    case = Case(PoolSpec(reduction=reduction, windows=Sliding(**windows)), x, layout)
    if reason := refusal(backend, case):
        pytest.skip(reason)
    return assert_conforms(case, backends.run(backend, case))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", [Max(), Average()], ids=["max", "average"])
@pytest.mark.parametrize("shape, windows", FORMS)
def test_my_backend_conforms(reduction, shape, windows, dtype, layout):
    """The example that people start from gives the answers of the definition."""
    asked(backends.load(f"{EXAMPLES / 'my_backend.py'}:MyBackend"), reduction, shape, windows, dtype, layout)


@pytest.mark.parametrize("windows", [{"kernel": (5, 5)}, {"kernel": (2, 2), "stride": (0, 1)}, {"kernel": (2,)}])
def test_my_backend_refuses_what_is_invalid(windows):
    """A window larger than its input, a stride of zero and a rank that does not match raise."""
    case = Case(PoolSpec(reduction=Max(), windows=Sliding(**windows)), np.zeros((1, 1, 4, 4), np.float32))
    backend = backends.load(f"{EXAMPLES / 'my_backend.py'}:MyBackend")
    with pytest.raises(ValueError, match=r"window of 5|stride=0|kernel=\(2,\)"):
        backend.bind(case)


@pytest.fixture(scope="module")
def triton_backend():
    """The Triton example: on a GPU, or interpreted where the environment says so."""
    pytest.importorskip("torch", reason="the example places its arrays with torch")
    pytest.importorskip("triton", reason="triton is not installed")
    try:
        return backends.load(f"{EXAMPLES / 'triton_backend.py'}:TritonBackend")
    except backends.BrokenBackend as error:
        pytest.skip(str(error))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # Triton's interpreter computes with NumPy
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("reduction", [Max(), Average()], ids=["max", "average"])
@pytest.mark.parametrize("shape, windows", FORMS)
def test_the_triton_kernel_conforms(triton_backend, reduction, shape, windows, dtype, layout):
    """The worked example of a kernel gives the answers of the definition."""
    asked(triton_backend, reduction, shape, windows, dtype, layout)


@pytest.fixture
def triton_device(monkeypatch):
    """The Triton example on an imaginary device, where nothing can be launched."""
    torch = pytest.importorskip("torch", reason="the example places its arrays with torch")
    imagine(torch, monkeypatch)
    triton = types.ModuleType("triton")
    triton.__version__ = "imaginary"
    monkeypatch.setitem(sys.modules, "triton", triton)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    return backends.load.__wrapped__(f"{EXAMPLES / 'triton_backend.py'}:TritonBackend")


def test_the_triton_example_has_a_clock_of_events(triton_device, monkeypatch):
    """The first wait has no event before it; a later one says the seconds since the last."""
    assert triton_device.wait() == 0.0
    monkeypatch.setattr(Event, "milliseconds", 1250.0)
    assert triton_device.wait() == 0.25


def test_the_triton_example_says_what_a_device_costs(triton_device, monkeypatch):
    """Each size of window is compiled, the cache has a size, and a copy and the transfers are offered."""
    assert triton_device.compiles and triton_device.cache == 50 << 20
    monkeypatch.setattr(triton_device, "place_on", "cpu")
    launch, _ = triton_device.copying(100)
    one, other = launch(), launch()
    assert one.nbytes == 100 and one.data_ptr() != other.data_ptr()
    case = Case(PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 1))), np.arange(12.0, dtype=np.float32).reshape(1, 2, 2, 3))
    send, take = triton_device.transfers(case)
    np.testing.assert_array_equal(take(send()), case.x)


def test_the_triton_example_says_what_it_lacks(monkeypatch):
    """Without Triton or a device, loading it fails with a sentence that names what is missing."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if (torch := sys.modules.get("torch")) is not None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(backends.BrokenBackend, match=r"No module named '(triton|torch)'|sees no CUDA device"):
        backends.load.__wrapped__(f"{EXAMPLES / 'triton_backend.py'}:TritonBackend")
