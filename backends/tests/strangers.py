"""Backends that misbehave, each in one way, for tests of what a process makes of it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from backends.interface import Unsupported


class Stranger:
    """2-D max pooling of float32; a negative maximum makes it do what its name says."""

    name, version = "stranger", sys.prefix
    capabilities = {  # noqa: RUF012  # as a stranger writes it
        "max": {
            "windows": {"sliding"},
            "ndims": {2},
            "dtypes": {"float32"},
            "layouts": {"channels_first"},
            "outputs": {"values"},
            "paddings": {"valid"},
            "dilation": False,
            "ceil_mode": False,
            "count_include_pad": False,
            "divisor": False,
        }
    }
    threads = 1

    def gap(self, case):
        return "takes square windows only" if len(set(case.spec.windows.kernel)) > 1 else None

    def bind(self, case):
        (kernel, _), (down, right) = case.spec.windows.kernel, case.spec.windows.stride
        view = np.lib.stride_tricks.sliding_window_view(case.x, (kernel, kernel), axis=(2, 3))[:, :, ::down, ::right]

        def call():
            pooled = view.max(axis=(-2, -1))
            if (pooled < 0).any():
                self.misbehave(case)
            return pooled

        return call

    def misbehave(self, case):
        pass

    def fetch(self, native):
        return native


class Mortal(Stranger):
    def misbehave(self, case):
        os.kill(os.getpid(), signal.SIGFPE)


class Aborting(Stranger):
    def misbehave(self, case):
        os.write(2, b"Check failed: stride > 0\n")
        os.abort()


class Exiting(Stranger):
    def misbehave(self, case):
        os._exit(3)


class Hanging(Stranger):
    def misbehave(self, case):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        while True:
            time.sleep(60)


class Parental(Stranger):
    """Leaves a process behind, in a session of its own, and hangs or dies."""

    def misbehave(self, case):
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        Path(os.environ["STRANGER_FILE"]).write_text(f"{os.getppid()} {os.getpid()} {child.pid}")
        while case.x[0, 0, 0, 0] == -1:
            time.sleep(60)
        os.abort()


class Writing(Stranger):
    def misbehave(self, case):
        case.x[0, 0, 0, 0] = 7


class Overrunning(Stranger):
    def misbehave(self, case):
        ctypes.memset(case.x.ctypes.data + case.x.nbytes, 0, 4)


class Printing(Stranger):
    def misbehave(self, case):
        print("hello")
        os.write(1, b"raw ")
        ctypes.CDLL(None).puts(b"from C")
        print("a warning of sorts", file=sys.stderr)


class Flooding(Stranger):
    def misbehave(self, case):
        os.write(1, b"first" + b"x" * 200_000 + b"last")


class Cautious(Stranger):
    def misbehave(self, case):
        warnings.warn("careful", UserWarning, stacklevel=1)


class Noticing(Stranger):
    """Answers with what it sees of x."""

    def bind(self, case):
        return lambda: np.array([*case.x.strides, case.x.flags.writeable, case.x.ctypes.data % 64])


class Counting(Stranger):
    """Answers how many calls there were, and how many of its natives are alive."""

    calls, alive = 0, 0

    class Token:
        def __init__(self):
            Counting.alive += 1

        def __del__(self):
            Counting.alive -= 1

    def bind(self, case):
        return self.call

    def call(self):
        Counting.calls += 1
        return self.Token()

    def fetch(self, native):
        return np.array([Counting.calls, Counting.alive])


class Refusing(Stranger):
    """Raises in the method that STRANGER_STAGE names."""

    def gap(self, case):
        return self.maybe("gap")

    def bind(self, case):
        self.maybe("bind")
        return lambda: self.maybe("call")

    def fetch(self, native):
        self.maybe("fetch")
        return np.zeros(1)

    def maybe(self, stage):
        if os.environ["STRANGER_STAGE"] == stage:
            raise {"KeyError": KeyError, "Unsupported": Unsupported, "MemoryError": MemoryError, "SystemExit": SystemExit}[
                os.environ["STRANGER_ERROR"]
            ]("not that")


class Answering(Stranger):
    """Answers with what the expression in STRANGER_ANSWER says."""

    def fetch(self, native):
        return eval(os.environ["STRANGER_ANSWER"])


class Offering(Stranger):
    device = "cpu"

    def native(self, case):
        return f"pool({case.x.tolist()})"

    def static_shape(self, case):
        return (*case.x.shape[:2], 1, 1)

    def convolve(self, x, kernel):
        return x * kernel

    def environment(self):
        return {"build": "yes"}

    def enqueue(self, case):
        return None
