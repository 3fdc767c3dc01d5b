"""Messages between two processes: a JSON header, and arrays as bytes; never pickle.

A frame is the length of the header and of the payload, the header, and the payload: the elements of
the arrays, in C order. Payloads over 64 KiB go through an *arena* instead, a file in memory without
a name that both processes hold: it needs no cleaning up, and is reused, so that a second large
array costs two copies and no new pages. Each side writes to an arena of its own, and only while the
other waits for it.

An array arrives with the dtype, shape, strides, alignment and read-only flag that it had, in
memory of its own. What lies around its elements there, gaps of its strides included, is filled
with 0xFF, which is NaN in every float type: who reads past an array shows it. That memory is the
array's `base`, so that who writes past an array can be seen.
"""

import functools
import json
import math
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backends.interface import Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

INLINE = 64 * 1024
KEEP = 256 * 1024 * 1024
"""An arena larger than this is given back to the system when a smaller message follows."""
GUARD = 64
_PREFIX = struct.Struct("<IQ")
_BLANK = 0xFF


class Channel:
    """One end of a conversation in which each side waits for the other's message.

    `outgoing` and `incoming` are descriptors of the arenas; without them, where the system has no
    files in memory, every payload goes through the socket.
    """

    def __init__(self, sock: socket.socket, outgoing: int | None = None, incoming: int | None = None) -> None:
        self.sock = sock
        self.outgoing = outgoing
        self.incoming = incoming
        self._capacity = 0
        self._limited = True

    def send(self, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = (), deadline: float | None = None) -> None:
        """Send one message.

        Raises:
            TimeoutError: `deadline`, a value of `time.monotonic()`, has passed.
            OSError: the other side is gone.
        """
        parts = [_elements(array) for array in arrays]
        size = sum(part.nbytes for part in parts)
        through_arena = size > INLINE and self.outgoing is not None
        text = json.dumps({**header, "arrays": [_describe(array) for array in arrays], "arena": through_arena}).encode()
        if through_arena and self.outgoing is not None:
            self._fill(self.outgoing, parts, size)
            parts, size = [], 0
        self._limit(deadline)
        self.sock.sendall(b"".join([_PREFIX.pack(len(text), size), text, *parts]))

    def receive(self, deadline: float | None = None) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The next message: its header and its arrays.

        Raises:
            TimeoutError: `deadline`, a value of `time.monotonic()`, has passed.
            EOFError: the other side is gone.
            OSError: the other side is gone.
        """
        data = self._read(bytearray(), _PREFIX.size, deadline)
        length, size = _PREFIX.unpack_from(data)
        data = self._read(data, _PREFIX.size + length + size, deadline)
        body = memoryview(data)[_PREFIX.size :]
        header = json.loads(bytes(body[:length]))
        source = _Arena(self.incoming) if header["arena"] and self.incoming is not None else _Inline(body[length:])
        return header, [_restore(description, source) for description in header.pop("arrays")]

    def close(self) -> None:
        """Hang up; the other side reads the end of the stream."""
        self.sock.close()
        for descriptor in (self.outgoing, self.incoming):
            if descriptor is not None:
                os.close(descriptor)
        self.outgoing = self.incoming = None

    def _limit(self, deadline: float | None) -> None:
        if deadline is None:
            if self._limited:
                self.sock.settimeout(None)
                self._limited = False
            return
        self._limited = True
        if (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
        else:
            raise TimeoutError("the time limit has passed")

    def _read(self, data: bytearray, needed: int, deadline: float | None) -> bytearray:
        # A small message comes whole with the first read: neither side speaks twice in a row.
        while len(data) < needed:
            self._limit(deadline)
            chunk = self.sock.recv(max(INLINE, needed - len(data)))
            if not chunk:
                raise EOFError("the other side hung up")
            data += chunk
        return data

    def _fill(self, arena: int, parts: Sequence[memoryview], size: int) -> None:
        if self._capacity > KEEP > size:
            os.ftruncate(arena, 0)
            self._capacity = 0
        offset = 0
        for part in parts:
            rest = part
            while rest:
                written = os.pwrite(arena, rest, offset)
                rest, offset = rest[written:], offset + written
        self._capacity = max(self._capacity, size)


class _Inline:
    def __init__(self, body: memoryview) -> None:
        self.rest = body

    def read_into(self, target: memoryview) -> None:
        target[:], self.rest = self.rest[: len(target)], self.rest[len(target) :]


class _Arena:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.offset = 0

    def read_into(self, target: memoryview) -> None:
        while target:
            count = os.preadv(self.descriptor, [target], self.offset)
            if not count:
                raise EOFError("an arena is shorter than its message says")
            target, self.offset = target[count:], self.offset + count


def arena() -> int | None:
    """A descriptor of a new file in memory; None where the system has none."""
    return os.memfd_create("poolproof") if hasattr(os, "memfd_create") else None


# --- arrays -------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def sendable(dtype: np.dtype) -> bool:
    """Whether elements of a dtype are bytes that its name explains."""
    try:
        return dtype_named(dtype.name).newbyteorder(dtype.byteorder) == dtype and not dtype.hasobject
    except ValueError:
        return False


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    return array.__array_interface__["data"][0]


def _elements(array: np.ndarray) -> memoryview:
    return _bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _bytes(array: np.ndarray) -> memoryview:
    return memoryview(array)  # type: ignore[arg-type]  # NumPy's types call it a buffer from Python 3.12 on


def _describe(array: np.ndarray) -> dict[str, Any]:
    return {
        "dtype": array.dtype.name,
        "swapped": not array.dtype.isnative,
        "shape": array.shape,
        "strides": array.strides,
        "shift": 0 if array.flags.aligned else address(array) % array.itemsize,
        "writeable": array.flags.writeable,
    }


def _restore(description: Mapping[str, Any], source: _Inline | _Arena) -> np.ndarray:
    dtype = dtype_named(description["dtype"])
    if description["swapped"]:
        dtype = dtype.newbyteorder()
    shape, strides = tuple(description["shape"]), tuple(description["strides"])
    count = math.prod(shape) * dtype.itemsize
    low = high = 0
    if count:
        reaches = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
        low, high = sum(min(0, r) for r in reaches), sum(max(0, r) for r in reaches) + dtype.itemsize
    memory = np.empty(high - low + description["shift"] + 3 * GUARD, np.uint8)
    start = GUARD + -address(memory) % GUARD + description["shift"]
    array = np.ndarray(shape, dtype, memory, start - low, strides)
    if array.flags.c_contiguous:
        memory[:start] = memory[start + count :] = _BLANK
        source.read_into(_bytes(memory[start : start + count]))
    else:
        memory[:] = _BLANK
        elements = np.empty(count, np.uint8)
        source.read_into(_bytes(elements))
        array[...] = elements.view(dtype).reshape(shape)
    array.flags.writeable = description["writeable"]
    return array


# --- cases --------------------------------------------------------------------------------------

_KINDS: dict[str, Any] = {kind.name: kind for kind in (Max, Average, Lp, Sliding, Adaptive, Global)}


def case_header(case: Case) -> dict[str, Any]:
    """All of a case but its arrays."""
    return {
        "spec": spec_text(case.spec),
        "layout": case.layout,
        "output": case.output,
    }


def spec_text(spec: PoolSpec) -> str:
    """A spec as a line of JSON."""
    return json.dumps([[part.name, vars(part)] for part in (spec.reduction, spec.windows)])


def case_arrays(case: Case) -> list[np.ndarray]:
    """The arrays of a case: x, and the cotangent if there is one."""
    return [case.x] if case.cotangent is None else [case.x, case.cotangent]


def case_from(header: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Case:
    """The case that `case_header` and `case_arrays` describe."""
    cotangent = arrays[1] if len(arrays) > 1 else None
    return Case(spec_from(header["spec"]), arrays[0], header["layout"], header["output"], cotangent)


@functools.lru_cache(maxsize=1024)
def spec_from(text: str) -> PoolSpec:
    """The spec that `spec_text` wrote."""
    reduction, windows = (_KINDS[name](**fields) for name, fields in json.loads(text))
    return PoolSpec(reduction=reduction, windows=windows)
