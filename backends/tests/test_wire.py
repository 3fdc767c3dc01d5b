"""Messages arrive as they were sent: headers, and arrays down to their strides."""

import math
import os
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import wire
from backends.interface import Case, dtype_named, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

DTYPES = ("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "int8", "uint8", "int32", "int64", "bool", "complex64")


@pytest.fixture(params=["arena", "inline"])
def channels(request):
    ours, theirs = socket.socketpair()
    fds = [wire.arena(), wire.arena()] if request.param == "arena" else [None, None]
    if request.param == "arena" and None in fds:
        pytest.skip("this system has no files in memory")
    near = wire.Channel(ours, *fds)
    far = wire.Channel(theirs, *[fd if fd is None else os.dup(fd) for fd in reversed(fds)])
    yield near, far
    near.close()
    far.close()


def across(channels, header, arrays):
    near, far = channels
    # A payload larger than the socket's buffer needs a reader at work.
    sender = threading.Thread(target=near.send, args=(header, arrays))
    sender.start()
    try:
        return far.receive(time.monotonic() + 60)
    finally:
        sender.join()


@st.composite
def arrays(draw):
    """Arrays of every memory order: sliced, reversed, transposed, broadcast, misaligned, read-only, empty."""
    dtype = dtype_named(draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    steps = [draw(st.sampled_from((1, 2, -1, -2, 3))) for _ in shape]
    offset = draw(st.integers(0, dtype.itemsize))
    whole = [n * abs(step) for n, step in zip(shape, steps, strict=True)]
    raw = np.random.default_rng(draw(st.integers(0, 9))).bytes(math.prod(whole) * dtype.itemsize + offset)
    array = np.frombuffer(bytearray(raw), dtype, math.prod(whole), offset).reshape(whole)
    array = array[(..., *(slice(None, None, step) for step in steps))].transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        array = np.broadcast_to(array, (draw(st.integers(1, 3)), *array.shape))
    array.flags.writeable = draw(st.booleans()) and array.flags.writeable
    return array


@given(array=arrays())
def test_an_array_keeps_its_bits_and_its_memory_order(array):
    """Dtype, shape, strides, alignment and the read-only flag of any array survive, and so does each bit."""
    ours, theirs = socket.socketpair()
    near, far = wire.Channel(ours), wire.Channel(theirs)
    near.send({}, [array])
    _, (got,) = far.receive(time.monotonic() + 60)
    near.close()
    far.close()
    assert (got.dtype, got.shape, got.strides) == (array.dtype, array.shape, array.strides)
    assert (got.flags.writeable, got.flags.aligned) == (array.flags.writeable, array.flags.aligned)
    assert got.tobytes() == array.tobytes()


@pytest.mark.parametrize("elements", [0, 1, 8191, 8192, 8193, 300_000], ids="{} doubles".format)
def test_small_and_large_payloads_arrive(channels, elements):
    """Payloads below, at and above the 64 KiB limit arrive, two in one message."""
    first, second = np.arange(elements, dtype=np.float64), np.arange(elements, dtype=np.int16)[::-1]
    header, got = across(channels, {"text": "ä\n\0"}, [first, second])
    assert header["text"] == "ä\n\0"
    assert same_bits(got[0], first) and same_bits(got[1], second)


def test_an_arena_is_used_again_and_given_back(channels, monkeypatch):
    """A second message through an arena does not disturb what the first brought, and a huge arena shrinks."""
    monkeypatch.setattr(wire, "KEEP", 1_000_000)
    _, (first,) = across(channels, {}, [np.full(200_000, 1.0)])
    _, (second,) = across(channels, {}, [np.full(20_000, 2.0)])
    assert (first == 1).all() and (second == 2).all()
    assert channels[0].outgoing is None or os.fstat(channels[0].outgoing).st_size < 1_000_000


def test_what_surrounds_an_array_is_blank():
    """Memory beside an array's elements, the gaps of its strides included, reads as NaN."""
    ours, theirs = socket.socketpair()
    near, far = wire.Channel(ours), wire.Channel(theirs)
    near.send({}, [np.zeros((4, 6), np.float32)[::2, ::-3]])
    _, (got,) = far.receive(time.monotonic() + 60)
    near.close()
    far.close()
    memory = got.base.copy()
    assert (memory == 0).sum() == got.nbytes
    assert (memory == 0xFF).sum() == memory.size - got.nbytes


def test_a_big_endian_array_keeps_its_byte_order(channels):
    """A dtype's byte order is not lost with its name."""
    _, (got,) = across(channels, {}, [np.arange(3, dtype=">f4")])
    assert got.dtype == np.dtype(">f4") and got.tolist() == [0, 1, 2]


@pytest.mark.parametrize("array", [np.array([None]), np.array(["a"]), np.zeros(2, "f4,i4")], ids=lambda a: str(a.dtype))
def test_what_no_dtype_name_explains_is_not_sendable(array):
    """Objects, text and records are told apart from arrays of numbers."""
    assert not wire.sendable(array.dtype)


def test_silence_is_a_timeout_and_hanging_up_is_an_end(channels):
    """A deadline that passes raises TimeoutError, a channel that closes EOFError, in the middle of a message too."""
    near, far = channels
    with pytest.raises(TimeoutError):
        far.receive(time.monotonic() + 0.01)
    with pytest.raises(TimeoutError):
        far.receive(time.monotonic() - 1)
    near.sock.sendall(b"\x08")
    near.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        far.receive(time.monotonic() + 60)


SPECS = (
    PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 3), stride=(0, -1), padding=((0, 1), (-2, 3)), dilation=(1, 2), ceil_mode=True)),
    PoolSpec(reduction=Average(count_include_pad=True, divisor=-3), windows=Sliding(kernel=(2,), padding="same_lower")),
    PoolSpec(reduction=Lp(p=math.inf), windows=Adaptive(output_size=(3, 0, 7))),
    PoolSpec(reduction=Lp(p=2.5), windows=Global()),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.reduction.name} {spec.windows.name}")
@pytest.mark.parametrize("output", ["values", "gradient"])
def test_a_case_arrives_as_it_was(channels, spec, output):
    """Any case, valid or not, is equal to what arrives."""
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4).transpose(0, 1, 3, 2)
    case = Case(spec, x, "channels_last", output, x[..., :1].copy() if output == "gradient" else None)
    header, got = across(channels, {"case": wire.case_header(case)}, wire.case_arrays(case))
    assert wire.case_from(header["case"], got) == case
