"""Backends that misbehave, each in one way; loaded by path, as a stranger's are."""

import os
import signal
import time
from typing import ClassVar

import numpy as np

from backends import oracle


class Sound:
    """2-D max pooling of float32 with NumPy's own window view."""

    name = "sound"
    version = "1"
    capabilities: ClassVar[dict] = {
        "max": {
            "windows": {"sliding"}, "ndims": {2}, "dtypes": {"float32"}, "layouts": {"channels_first"}, "outputs": {"values"},
            "paddings": {"valid"}, "dilation": False, "ceil_mode": False, "count_include_pad": False, "divisor": False,
        }
    }  # fmt: skip

    def gap(self, case):
        return None

    def bind(self, case):
        windows = case.spec.windows
        view = np.lib.stride_tricks.sliding_window_view(case.x, windows.kernel, axis=(2, 3))
        down, right = windows.stride
        return lambda: self.reduce(view[:, :, ::down, ::right], case)

    def reduce(self, windows, case):
        return windows.max(axis=(-2, -1))

    def fetch(self, native):
        return native


class DropsNan(Sound):
    name = "drops-nan"

    def reduce(self, windows, case):
        return np.fmax.reduce(windows, axis=(-2, -1))


class Dies(Sound):
    name = "dies"

    def reduce(self, windows, case):
        pooled = windows.max(axis=(-2, -1))
        if pooled.size and (pooled < 0).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return pooled


class DiesInGap(Sound):
    name = "dies-in-gap"

    def gap(self, case):
        os.kill(os.getpid(), signal.SIGFPE)


class Hangs(Sound):
    name = "hangs"

    def reduce(self, windows, case):
        time.sleep(3600)


class WrongShape(Sound):
    name = "wrong-shape"

    def fetch(self, native):
        return native[..., None]


class WrongType(Sound):
    name = "wrong-type"

    def fetch(self, native):
        return native.astype(np.float64)


class NoArray(Sound):
    name = "no-array"

    def fetch(self, native):
        return native.tolist()


class ReadOnly(Sound):
    name = "read-only"

    def fetch(self, native):
        native.flags.writeable = False
        return native


class FetchRaises(Sound):
    name = "fetch-raises"

    def fetch(self, native):
        raise RuntimeError("the device is gone")


class LeavesOver(Sound):
    name = "leaves-over"

    def bind(self, case):
        call, memory = super().bind(case), []

        def adding():
            memory.append(call())
            return sum(memory) + len(memory) - 1

        return adding


class BindsOne(Sound):
    name = "binds-one"

    def bind(self, case):
        self.call = super().bind(case)
        return self._call

    def _call(self):
        return self.call()


class RaisesLater(Sound):
    name = "raises-later"

    def bind(self, case):
        return [super().bind(case)()].pop


class Reuses(Sound):
    name = "reuses"

    def __init__(self):
        self.memory = np.empty(1 << 22, np.float32)

    def reduce(self, windows, case):
        pooled = windows.max(axis=(-2, -1))
        memory = self.memory[: pooled.size].reshape(pooled.shape)
        memory[...] = pooled
        return memory


class WrongOnce(Sound):
    name = "wrong-once"
    right = False

    def reduce(self, windows, case):
        pooled = windows.max(axis=(-2, -1))
        # Where adding one shows.
        if self.right or not pooled.size or not (np.abs(pooled) < 1000).all():
            return pooled
        self.right = True
        return pooled + 1


class Writes(Sound):
    name = "writes"

    def reduce(self, windows, case):
        pooled = windows.max(axis=(-2, -1))
        if case.x.flags.writeable and case.x.size:
            case.x[...] = 5
        return pooled


class Prints(Sound):
    name = "prints"

    def reduce(self, windows, case):
        print("pooling", flush=True)
        return windows.max(axis=(-2, -1))


class RefusesAll(Sound):
    name = "refuses-all"

    def gap(self, case):
        return "cannot say: anything"


class Incomplete:
    name = "incomplete"
    version = "1"
    capabilities = Sound.capabilities


class NeedsNothing(Sound):
    def __init__(self):
        import a_framework_that_is_not_there  # noqa: F401


class RecordsOtherwise(Sound):
    name = "records-otherwise"
    capabilities: ClassVar[dict] = {"max": {**Sound.capabilities["max"], "outputs": {"values", "gradient"}}}

    def recorded(self, case):
        return self.bind(case)() + np.float32(1)


class PoolsOtherwiseBesideIndices(Sound):
    name = "pools-otherwise-beside-indices"
    capabilities: ClassVar[dict] = {"max": {**Sound.capabilities["max"], "outputs": {"values", "indices"}}}

    def bind(self, case):
        return super().bind(case) if case.output == "values" else lambda: oracle.pool(case).value

    def with_indices(self, case):
        return -self.bind(case.replace(x=-case.x))()


class InfersOtherwise(Sound):
    name = "infers-otherwise"

    def static_shape(self, case):
        *outer, last = self.bind(case)().shape
        return (*outer, last + 1)


class FailsBesides(InfersOtherwise):
    name = "fails-besides"

    def static_shape(self, case):
        raise RuntimeError("no shape function is registered")

    def native(self, case):
        raise RuntimeError("this cannot be written")


class Threaded(Sound):
    name = "threaded"
    threads = int(os.environ.get("OMP_NUM_THREADS", "2"))

    def reduce(self, windows, case):
        pooled = windows.max(axis=(-2, -1))
        pooled[..., -1] += self.threads - 1
        return pooled


class DiesOnThreads(Threaded):
    name = "dies-on-threads"

    def reduce(self, windows, case):
        if self.threads > 1:
            os.kill(os.getpid(), signal.SIGBUS)
        return super().reduce(windows, case)


class AnswersAnything(Sound):
    name = "answers-anything"

    def bind(self, case):
        return lambda: np.zeros((1, 1, 1, 1), np.float32)


class DiesOfTheInvalid(Sound):
    name = "dies-of-the-invalid"

    def bind(self, case):
        if any(size > have for size, have in zip(case.spec.windows.kernel, case.spatial, strict=False)):
            os.kill(os.getpid(), signal.SIGFPE)
        return super().bind(case)
