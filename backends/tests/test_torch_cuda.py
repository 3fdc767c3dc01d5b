"""PyTorch's adapter on an imaginary device: its tensors lie on the CPU."""

import numpy as np
import pytest

import backends
from backends.interface import same_bits
from backends.tests.imaginary import Event, imagine
from backends.tests.torch_questions import POOLED, SHAPE, question


@pytest.fixture
def cuda(eager, monkeypatch):
    """The adapter for a device of which only the bookkeeping is there."""
    imagine(eager.torch, monkeypatch)
    adapter = backends.adapters()["torch"]
    monkeypatch.setattr(adapter.TorchCuda, "place_on", "cpu")
    return adapter.load("cuda")


def test_a_wait_says_what_passed_between_two_events(cuda, monkeypatch):
    """The first wait has no event before it; each later one says the seconds since the last, whichever case that was of."""
    (launch, wait), (_, other) = (cuda.enqueue(question(POOLED, SHAPE)) for _ in range(2))
    assert wait() == 0.0
    launch()
    monkeypatch.setattr(Event, "milliseconds", 1250.0)
    assert wait() == 0.25
    monkeypatch.setattr(Event, "milliseconds", 1750.0)
    assert other() == 0.5
    assert wait() == 0.0


def test_a_device_says_what_it_is(cuda):
    """The device has its name and the size of its cache, by which inputs are rotated."""
    assert (cuda.name, cuda.device, cuda.cache) == ("torch:cuda", "cuda:0 Imaginary", 50 << 20)


def test_a_copy_on_the_device_is_launched_and_waited_for(cuda):
    """A copy of so many bytes is made at each launch, in memory of its own."""
    launch, wait = cuda.copying(100)
    one, other = launch(), launch()
    assert one.nbytes == other.nbytes == 100
    assert one.data_ptr() != other.data_ptr()
    assert wait() == 0.0


@pytest.mark.parametrize("output", ["values", "indices", "gradient"])
def test_transfers_are_of_the_inputs_and_of_the_answer(cuda, output):
    """What is sent is x, and the cotangent where there is one; what is taken back is the answer."""
    case = question(POOLED, SHAPE, output=output)
    send, take = cuda.transfers(case)
    sent = [tensor.numpy() for tensor in send()]
    assert [array.tolist() for array in sent] == [array.tolist() for array in (case.x, case.cotangent) if array is not None]
    assert same_bits(np.asarray(take(cuda.bind(case)())), backends.run(cuda, case))
