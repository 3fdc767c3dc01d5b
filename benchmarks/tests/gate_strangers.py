"""Sides that go wrong, each in one way, for the gate's tests: all can say what `Plain` can, in one layout."""

import os
import signal
import socket
import sys
import time
from typing import ClassVar

import numpy as np


class Plain:
    """Max pooling of float32 without padding, by NumPy's window view."""

    name = "plain"
    version = "1"
    capabilities: ClassVar = {
        "max": {
            "windows": {"sliding"},
            "ndims": {1},
            "dtypes": {"float32"},
            "layouts": {"channels_first", "channels_last"},
            "outputs": {"values"},
            "paddings": {"valid"},
            "dilation": False,
            "ceil_mode": False,
            "count_include_pad": False,
            "divisor": False,
        }
    }

    def gap(self, case):
        return None

    def bind(self, case):
        (kernel,), (stride,) = case.spec.windows.kernel, case.spec.windows.stride
        view = np.lib.stride_tricks.sliding_window_view(case.x, kernel, axis=2)[:, :, ::stride]
        return lambda: self.reduce(view)

    def reduce(self, windows):
        return windows.max(axis=-1)

    def fetch(self, native):
        return native


class Wrong(Plain):
    def fetch(self, native):
        return native + np.float32(1)


class Changing(Plain):
    """Right when it is checked, and wrong later."""

    calls = 0

    def reduce(self, windows):
        self.calls += 1
        return super().reduce(windows) + (self.calls > 8)


class Dying(Plain):
    def reduce(self, windows):
        os.kill(os.getpid(), signal.SIGSEGV)


class Hanging(Plain):
    def reduce(self, windows):
        time.sleep(600)


class Raising(Plain):
    def reduce(self, windows):
        raise RuntimeError("no kernel for this shape")


class Listing(Plain):
    def fetch(self, native):
        return native.tolist()


class Incapable(Plain):
    def gap(self, case):
        return "cannot say: this any more"


class Babbling(Plain):
    """Writes what is no message into the conversation with the gate."""

    def reduce(self, windows):
        socket.socket(fileno=os.dup(int(sys.argv[4]))).send(b"\x10\0\0\0" + b"\0" * 8 + b"this is no json!")
        return super().reduce(windows)


class _Clock(Plain):
    reading = staticmethod(time.process_time)

    def bind(self, case):
        call = super().bind(case)
        time.process_time = self.reading
        return call


class NanClock(_Clock):
    reading = staticmethod(lambda: float("nan"))


class StillClock(_Clock):
    reading = staticmethod(lambda: 1.0)


class BackwardClock(_Clock):
    turns = iter(range(10**9, 0, -1))

    @staticmethod
    def reading():
        return float(next(BackwardClock.turns))


class StillWall(Plain):
    def bind(self, case):
        call = super().bind(case)
        time.perf_counter = lambda: 1.0
        return call


class Unloadable(Plain):
    def __init__(self):
        raise ImportError("libpooling.so.7 is missing")


class Exiting(Plain):
    def __init__(self):
        os._exit(9)


class Sleeping(Plain):
    def __init__(self):
        time.sleep(600)


class Forgetful(Plain):
    """Drops NaN."""

    def reduce(self, windows):
        return np.fmax.reduce(windows, axis=-1)


class Narrow(Plain):
    """Has lost a layout."""

    capabilities: ClassVar = {"max": {**Plain.capabilities["max"], "layouts": {"channels_first"}}}


class Last(Plain):
    """Knows one layout."""

    capabilities: ClassVar = {"max": {**Plain.capabilities["max"], "layouts": {"channels_last"}}}


class Torch(Plain):
    """Under a framework's name: of several NaN in a window it names the last, which is known of that version."""

    name, version = "torch", "2.13.0"
    capabilities: ClassVar = {"max": {**Plain.capabilities["max"], "outputs": {"values", "indices"}}}

    def bind(self, case):
        (kernel,), (stride,) = case.spec.windows.kernel, case.spec.windows.stride
        view = np.lib.stride_tricks.sliding_window_view(case.x, kernel, axis=2)[:, :, ::stride]
        starts = stride * np.arange(view.shape[2])
        return (lambda: starts + self.place(view)) if case.output == "indices" else (lambda: self.reduce(view))

    def place(self, windows):
        nan = np.isnan(windows)
        last = windows.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
        return np.where(nan.any(-1), last, windows.argmax(-1))


class NextTorch(Torch):
    """A version that nobody has looked at yet, and that answers as the one before."""

    version = "2.99.0"


class MendedTorch(NextTorch):
    """A version that names the first."""

    def place(self, windows):
        return windows.argmax(-1)


class Device(Plain):
    """Queues its calls, each of which takes a millisecond of a clock that only moves when it is asked to wait."""

    device = "imaginary:0"
    queued = 0

    def enqueue(self, case):
        return self.launch, self.wait

    def launch(self):
        self.queued += 1

    def wait(self):
        passed, self.queued = self.queued * 1e-3, 0
        return passed
