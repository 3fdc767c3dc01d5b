"""TensorFlow, eager and compiled, on CPU and GPU; what it is asked is planned in `tensorflow_plan`."""

import contextlib
import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from backends import tensorflow_layers, tensorflow_plan
from backends.interface import Case
from backends.plan import Call
from backends.translate import ordered, restored

VARIANTS = {
    "": "TensorFlow, eager, on CPU",
    "graph": "TensorFlow in a tf.function, on CPU",
    "xla": "TensorFlow compiled by XLA (tf.function, jit_compile=True), on CPU",
    "gpu": "TensorFlow, eager, on the first GPU",
}
COMPILED_KEPT = 256
"""How many traced functions are kept, least recently used dropped: one for each call, shape and dtype."""

Restore = Callable[[Any], np.ndarray]


def load(variant: str = "") -> "TensorFlow":
    """TensorFlow as one of `VARIANTS`.

    Raises:
        ImportError: TensorFlow is not installed.
        RuntimeError: there is no GPU for "gpu".
    """
    tf = _import_quietly()
    if variant == "gpu" and not tf.config.list_physical_devices("GPU"):
        built = "" if tf.test.is_built_with_cuda() or tf.test.is_built_with_rocm() else ", and is built without GPU support"
        raise RuntimeError(f"TensorFlow {tf.__version__} sees no GPU{built}")
    return TensorFlow(tf, variant)


def _import_quietly() -> Any:
    """Import TensorFlow without what it says on standard error.

    Its C++ side logs before it reads TF_CPP_MIN_LOG_LEVEL (https://github.com/tensorflow/tensorflow/issues/100442),
    so the file descriptor is turned aside; where the import fails, what was said follows.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Otherwise TensorFlow takes a GPU's whole memory, and a PyTorch in the same process finds none.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with _standard_error_aside(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    return tf


@contextlib.contextmanager
def _standard_error_aside() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class TensorFlow:
    """A backend that speaks to TensorFlow; a native answer is a tensor with how to restore it."""

    def __init__(self, tf: Any, variant: str) -> None:
        self.tf = tf
        self.variant = variant
        self.name = f"tensorflow:{variant}" if variant else "tensorflow"
        self.version = tf.__version__
        self.capabilities = tensorflow_plan.capabilities(gpu=variant == "gpu")
        self.compiles = variant == "xla"
        self._device = "/GPU:0" if variant == "gpu" else "/CPU:0"
        self._onednn = _onednn_dtypes()
        self._compiled = functools.lru_cache(maxsize=COMPILED_KEPT)(self._compile)

    def gap(self, case: Case) -> str | None:
        """Why this case, inside the capabilities, cannot be asked; None if it can."""
        return tensorflow_plan.unsayable(case) or tensorflow_plan.refused(case, variant=self.variant, onednn=self._onednn)

    def bind(self, case: Case) -> Callable[[], tuple[Any, Restore]]:
        """Place the arrays and compile; what is returned is TensorFlow's call, finished when it returns."""
        launch, wait = self.enqueue(case)
        if self.variant != "gpu":
            return launch  # on CPU, eager operations and functions return when they have finished

        def call() -> tuple[Any, Restore]:
            native = launch()
            wait()
            return native

        return call

    def recorded(self, case: Case) -> np.ndarray:
        """The values of a case, pooled while a tape records."""
        call = tensorflow_plan.call(case)
        with self.tf.device(self._device):
            x = self.tf.constant(ordered(case.x, case.layout))
        pool = self._on_device(call.resolve(self.tf))

        def taped(x: Any) -> tuple[Any, Any]:
            with self.tf.GradientTape() as tape:
                tape.watch(x)
                y = pool(x)
            # Without its gradient a graph would drop the recording.
            return y, tape.gradient(y, x)

        if self.variant in ("graph", "xla"):
            taped = self.tf.function(taped, jit_compile=self.variant == "xla", autograph=False)
        return _values(taped(x)[0], layout=case.layout)

    def with_indices(self, case: Case) -> np.ndarray:
        """The values of a case, as they are returned beside the indices."""
        (values, _), _ = self.bind(case.replace(output="indices"))()
        return _values(values, layout=case.layout)

    def enqueue(self, case: Case) -> tuple[Callable[[], tuple[Any, Restore]], Callable[[], None]]:
        """(launch, wait): start the call, and wait for all that was started."""
        call, gradient = tensorflow_plan.call(case), case.output == "gradient"
        tensors = self._sent(case)
        if self.variant in ("graph", "xla"):
            specs = tuple(map(self.tf.TensorSpec.from_tensor, tensors))
            function = self._compiled(call.function, tuple(call.arguments.items()), gradient, specs)
        else:
            function = self._on_device(self._spoken(call, gradient))
        restore = functools.partial(_indices if case.output == "indices" else _values, layout=case.layout)
        return lambda: (function(*tensors), restore), self.tf.test.experimental.sync_devices

    def copying(self, nbytes: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        """(launch, wait) of a copy of so many bytes, or up to three fewer, from the device's memory to the device's memory."""
        with self.tf.device(self._device):
            source = self.tf.ones(nbytes // 4, self.tf.float32)
        # `tf.identity` copies nothing on one device.
        copy = self._on_device(functools.partial(self.tf.raw_ops.DeepCopy, x=source))
        return copy, self.tf.test.experimental.sync_devices

    def transfers(self, case: Case) -> tuple[Callable[[], Any], Callable[[Any], np.ndarray]]:
        """(send, take): the case's arrays to the device, and the answer of a call back; each has finished when it returns."""

        def send() -> list[Any]:
            tensors = self._sent(case)
            self.tf.test.experimental.sync_devices()
            return tensors

        return send, lambda native: (native[0][1] if case.output == "indices" else native[0]).numpy()

    def fetch(self, native: tuple[Any, Restore]) -> np.ndarray:
        """The answer of a call as an array of its own: (N, C, *out), or x's shape for "gradient"."""
        answer, restore = native
        return restore(answer)

    def native(self, case: Case) -> str:
        """A script without this suite that asks TensorFlow the case, and prints the answer, `result`."""
        return tensorflow_plan.script(case, self.variant)

    def static_shape(self, case: Case) -> tuple[int, ...] | None:
        """The shape of the answer as TensorFlow infers it without running, in our order of axes."""
        call, gradient = tensorflow_plan.call(case), case.output == "gradient"
        arrays = [case.x] if case.cotangent is None else [case.x, case.cotangent]
        specs = [self.tf.TensorSpec(ordered(array, case.layout).shape, array.dtype) for array in arrays]
        inferred = self.tf.function(self._spoken(call, gradient), autograph=False).get_concrete_function(*specs).output_shapes
        shape = inferred[1] if case.output == "indices" else inferred
        if not shape.is_fully_defined():
            return None
        sizes = tuple(shape)
        return sizes if case.layout == "channels_first" else (sizes[0], sizes[-1], *sizes[1:-1])

    # --- speaking to TensorFlow -----------------------------------------------------------------

    def _sent(self, case: Case) -> list[Any]:
        arrays = [case.x] if case.cotangent is None else [case.x, case.cotangent]
        with self.tf.device(self._device):
            return [self.tf.constant(ordered(array, case.layout)) for array in arrays]

    def _spoken(self, call: Call, gradient: bool) -> Callable[..., Any]:
        """The call, or its recording and the reverse-mode call."""
        tf, pool = self.tf, call.resolve(self.tf)

        def forward(x: Any) -> Any:
            return pool(x)

        def backward(x: Any, cotangent: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = pool(x)
            return tape.gradient(y, x, output_gradients=cotangent)

        return backward if gradient else forward

    def _on_device(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function on this variant's device; as it is where there is no other device."""
        if not self._accelerated:
            return function

        def placed(*tensors: Any) -> Any:
            with self.tf.device(self._device):
                return function(*tensors)

        return placed

    @functools.cached_property
    def _accelerated(self) -> bool:
        """Whether there is a GPU, on which TensorFlow would otherwise put what is meant for the CPU."""
        return bool(self.tf.config.list_physical_devices("GPU"))

    def _compile(self, function: str, arguments: tuple[tuple[str, Any], ...], gradient: bool, specs: tuple[Any, ...]) -> Callable[..., Any]:
        call = Call(function=function, arguments=dict(arguments))
        traced = self.tf.function(self._on_device(self._spoken(call, gradient)), jit_compile=self.variant == "xla", autograph=False)
        concrete = traced.get_concrete_function(*specs)
        # XLA compiles, and a graph is optimised, when it is first called.
        with self.tf.device(self._device):
            concrete(*(self.tf.zeros(spec.shape, spec.dtype) for spec in specs))
        return concrete

    # --- where it runs --------------------------------------------------------------------------

    @property
    def device(self) -> str:
        """What computes: "cpu", or the GPU by name, spelled as PyTorch's and JAX's: who is timed on one device is compared."""
        if self.variant != "gpu":
            return "cpu"
        details = self.tf.config.experimental.get_device_details(self.tf.config.list_physical_devices("GPU")[0])
        kind = "cuda" if self.tf.test.is_built_with_cuda() else "gpu"
        return f"{kind}:0 {details.get('device_name', '')}".strip()

    @property
    def threads(self) -> int:
        """How many threads one operation may use."""
        told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        return self.tf.config.threading.get_intra_op_parallelism_threads() or (int(told) if told.isdecimal() else 0) or _cores()

    def environment(self) -> dict[str, str]:
        """How TensorFlow is built and set, as far as results and speed depend on it."""
        tf = self.tf
        return {
            "git": tf.version.GIT_VERSION,
            "compiler": tf.version.COMPILER_VERSION,
            **{key: str(value) for key, value in sorted(tf.sysconfig.get_build_info().items())},
            "oneDNN": f"on, NCHW pooling of {', '.join(sorted(self._onednn))}" if self._onednn else "off",
            "threads in an operation": str(self.threads),
            "threads between operations": str(tf.config.threading.get_inter_op_parallelism_threads() or _cores()),
            **{name: os.environ[name] for name in ("TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_FLAGS") if name in os.environ},
        }

    # --- layers of networks ---------------------------------------------------------------------

    def convolve(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Cross-correlate each channel of x, (N, C, H, W), with a kernel, (kh, kw), zeros around it: float32 of x's shape."""
        with self.tf.device(self._device):
            return tensorflow_layers.convolve(self.tf, x, kernel)

    def layers(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Keras' Conv2D, ReLU and MaxPool2D (2×2, stride 2, SAME): (N, 1, H, W) to (N, 1, ⌈H/2⌉, ⌈W/2⌉), float32."""
        with self.tf.device(self._device):
            return tensorflow_layers.layers(self.tf, image, kernel)

    def features(self, images: np.ndarray, weights: str | None) -> np.ndarray:
        """What VGG16's convolutional base makes of images: (N, 3, H, W) in 0 … 255 to (N, 512, H/32, W/32), float32.

        `weights` is a file in Keras' format; nothing is downloaded.

        Raises:
            ValueError: `weights` is None.
            FileNotFoundError: there is no such file.
        """
        with self.tf.device(self._device):
            return tensorflow_layers.features(self.tf, images, weights)


def _values(answer: Any, layout: str) -> np.ndarray:
    """A tensor of values in our order of axes."""
    return restored(answer.numpy(), layout)


def _indices(answer: Any, layout: str) -> np.ndarray:
    """The indices of max_pool_with_argmax, (y·W + x)·C + c, as flat indices into a sample's and channel's space."""
    return _values(answer[1], layout) // answer[1].shape[-1]


def _onednn_dtypes() -> frozenset[str]:
    """The dtypes that TensorFlow pools by oneDNN on this CPU; runs no operation, so that the process may be forked."""
    from tensorflow.python.util import _pywrap_util_port  # there is no public way to ask

    return tensorflow_plan.onednn_dtypes() if _pywrap_util_port.IsMklEnabled() else frozenset()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
