"""Backends for the tests of the harness: one that is right, and one for each way to go wrong."""

import os
import signal
import time
from typing import ClassVar

import numpy as np


class Plain:
    """Max pooling of float32 without padding, in any number of dimensions and both layouts, by NumPy's window view."""

    name = "plain"
    version = "1"
    capabilities: ClassVar = {
        "max": {
            "windows": {"sliding"},
            "ndims": {1, 2, 3},
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
        return "cannot say: a window of two" if set(case.spec.windows.kernel) == {2} and case.x.ndim == 5 else None

    def bind(self, case):
        axes = tuple(range(2, case.x.ndim))
        view = np.lib.stride_tricks.sliding_window_view(case.x, case.spec.windows.kernel, axis=axes)
        strided = view[(slice(None), slice(None), *(slice(None, None, stride) for stride in case.spec.windows.stride))]
        return lambda: self.reduce(strided)

    def reduce(self, windows):
        spatial = windows.ndim // 2 - 1
        return windows.max(axis=tuple(range(-spatial, 0)))

    def fetch(self, native):
        return native


class Device(Plain):
    """A device with a clock of its own: a launch takes a millisecond, a copy moves ten bytes in a nanosecond."""

    name = "device"
    device = "imaginary:0"
    cache = 1 << 20
    queued = 0.0

    def enqueue(self, case):
        call = self.bind(case)

        def launch():
            self.queued += 1e-3
            return call()

        return launch, self.wait

    def wait(self):
        passed, self.queued = self.queued, 0.0
        return passed

    def copying(self, nbytes):
        def launch():
            self.queued += 2 * nbytes / 1e10

        return launch, self.wait

    def transfers(self, case):
        return case.x.copy, lambda native: native.copy()


class Borderline(Plain):
    """Wrong in the last window alone."""

    name = "borderline"

    def reduce(self, windows):
        pooled = super().reduce(windows)
        pooled[..., -1] += 1
        return pooled


class Changeable(Plain):
    """Right when it is checked, and wrong later."""

    name = "changeable"

    def __init__(self):
        self.calls = 0

    def reduce(self, windows):
        self.calls += 1
        return super().reduce(windows) + (self.calls > 3)


class Unclear(Plain):
    """Cannot say anything, for no reason."""

    name = "unclear"

    def gap(self, case):
        return True


class Killed(Plain):
    """Dies as of a lack of memory."""

    name = "killed"

    def reduce(self, windows):
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Plain):
    """Dies by a signal on audio."""

    name = "mortal"

    def reduce(self, windows):
        if windows.ndim == 4:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().reduce(windows)


class Stubborn(Plain):
    """Never returns on audio, and cannot be interrupted."""

    name = "stubborn"

    def reduce(self, windows):
        if windows.ndim == 4:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
            time.sleep(600)
        return super().reduce(windows)


class Slow(Plain):
    """Takes very long on audio."""

    name = "slow"

    def reduce(self, windows):
        if windows.ndim == 4:
            time.sleep(600)
        return super().reduce(windows)


class Hungry(Plain):
    """Wants more memory than there is for audio."""

    name = "hungry"

    def bind(self, case):
        if case.x.ndim == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 PiB")
        return super().bind(case)


class Asleep:
    """Never gets loaded."""

    def __init__(self):
        time.sleep(600)


class Stillborn:
    """Dies while it is loaded."""

    def __init__(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class Broken:
    """Cannot be loaded."""

    def __init__(self):
        raise ImportError("libpooling.so.7 is missing")


def stuck():
    """A clock that stands still."""
    return 1.0
