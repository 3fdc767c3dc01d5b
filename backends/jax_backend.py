"""JAX, compiled by its own jit, on CPU and CUDA; what it is asked is planned in `jax_plan`."""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from backends import jax_plan
from backends.interface import Case
from backends.plan import Call
from backends.translate import ordered, restored

VARIANTS = {"": "JAX, compiled by jit, on CPU", "cuda": "JAX, compiled by jit, on the first CUDA device"}
COMPILED_KEPT = 256
"""How many compiled functions are kept, least recently used dropped: one for each call, shape and dtype."""


def load(variant: str = "") -> "JAX":
    """JAX as one of `VARIANTS`, with 64-bit types enabled.

    Raises:
        ImportError: JAX is not installed.
        RuntimeError: there is no CUDA device for "cuda".
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    if variant == "cuda":
        jax.devices("cuda")
    return JAX(jax, variant)


class JAX:
    """A backend that speaks to JAX; a native answer is an array with the layout that it has."""

    compiles = True

    def __init__(self, jax: Any, variant: str) -> None:
        self.jax = jax
        self.variant = variant
        self.name = f"jax:{variant}" if variant else "jax"
        self.version = jax.__version__
        self.capabilities = jax_plan.capabilities()
        self._compiled = functools.lru_cache(maxsize=COMPILED_KEPT)(self._compile)
        self._last: Any = None

    def gap(self, case: Case) -> str | None:
        """Why this case, inside the capabilities, cannot be asked; None if it can."""
        return jax_plan.unsayable(case) or jax_plan.refused(case)

    def bind(self, case: Case) -> Callable[[], tuple[Any, str]]:
        """Place the arrays and compile; what is returned is JAX's call, finished when it returns."""
        function, tensors = self._prepared(case)
        return lambda: (self.jax.block_until_ready(function(*tensors)), case.layout)

    def enqueue(self, case: Case) -> tuple[Callable[[], tuple[Any, str]], Callable[[], None]]:
        """(launch, wait): start the call, and wait for what was started last."""
        function, tensors = self._prepared(case)

        def launch() -> tuple[Any, str]:
            self._last = function(*tensors)
            return self._last, case.layout

        return launch, self.wait

    def wait(self) -> None:
        """Return when the call that was started last has finished, whichever case it is of: a device takes them in turn."""
        self.jax.block_until_ready(self._last)

    def copying(self, nbytes: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        """(launch, wait) of a copy of so many bytes, from the device's memory to the device's memory."""
        source = self.jax.device_put(np.ones(nbytes, np.uint8), self._device)

        def launch() -> Any:
            self._last = self._copy(source)
            return self._last

        return launch, self.wait

    def transfers(self, case: Case) -> tuple[Callable[[], Any], Callable[[Any], np.ndarray]]:
        """(send, take): the case's arrays to the device, and the answer of a call back; each has finished when it returns."""
        return lambda: self.jax.block_until_ready(self._sent(case)), lambda native: np.asarray(native[0])

    def recorded(self, case: Case) -> np.ndarray:
        """The values of a case, pooled while their gradient is traced, and computed beside it."""
        pool = jax_plan.call(case).resolve(self.jax)

        @self.jax.jit
        def both(x: Any) -> tuple[Any, Any]:
            values, backward = self.jax.vjp(pool, x)
            return values, backward(self.jax.numpy.ones_like(values))

        return restored(np.array(both(self.jax.device_put(ordered(case.x, case.layout), self._device))[0]), case.layout)

    def fetch(self, native: tuple[Any, str]) -> np.ndarray:
        """The answer of a call as an array of its own: (N, C, *out), or x's shape for "gradient"."""
        answer, layout = native
        return restored(np.array(answer), layout)

    def native(self, case: Case) -> str:
        """A script without this suite that asks JAX the case, and prints the answer, `result`."""
        return jax_plan.script(case, self.variant)

    def static_shape(self, case: Case) -> tuple[int, ...]:
        """The shape of the answer as JAX infers it without running, in our order of axes."""
        arrays = [case.x] if case.cotangent is None else [case.x, case.cotangent]
        given = [self.jax.ShapeDtypeStruct(ordered(array, case.layout).shape, array.dtype) for array in arrays]
        shape = self.jax.eval_shape(self._spoken(jax_plan.call(case), case.output == "gradient"), *given).shape
        return shape if case.layout == "channels_first" else (shape[0], shape[-1], *shape[1:-1])

    @property
    def device(self) -> str:
        """What computes: "cpu", or the CUDA device by name."""
        return f"cuda:0 {self._device.device_kind}" if self.variant == "cuda" else "cpu"

    @property
    def threads(self) -> int:
        """How many threads one operation may use: XLA takes each core that the process may run on, or as many as NPROC says."""
        if (told := os.environ.get("NPROC", "")).isdecimal():
            return int(told)
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def environment(self) -> dict[str, str]:
        """How JAX is built and set, as far as results and speed depend on it."""
        flags = {name: os.environ[name] for name in ("XLA_FLAGS", "JAX_PLATFORMS") if name in os.environ}
        return {"jaxlib": self.jax.lib.__version__, "x64": "on", "threads in an operation": str(self.threads), **flags}

    # --- speaking to JAX ------------------------------------------------------------------------

    def _prepared(self, case: Case) -> tuple[Callable[..., Any], list[Any]]:
        asked = jax_plan.call(case)
        tensors = self._sent(case)
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        return self._compiled(asked.function, tuple(asked.arguments.items()), case.output == "gradient", shapes), tensors

    def _sent(self, case: Case) -> list[Any]:
        arrays = [case.x] if case.cotangent is None else [case.x, case.cotangent]
        return [self.jax.device_put(ordered(array, case.layout), self._device) for array in arrays]

    @functools.cached_property
    def _copy(self) -> Callable[[Any], Any]:
        return self.jax.jit(self.jax.numpy.copy)

    @functools.cached_property
    def _device(self) -> Any:
        """Looked up late: it starts threads, which a process that is to be forked must not have."""
        return self.jax.devices(self.variant or "cpu")[0]

    def _compile(
        self, function: str, arguments: tuple[tuple[str, Any], ...], gradient: bool, shapes: tuple[Any, ...]
    ) -> Callable[..., Any]:
        compiled = self.jax.jit(self._spoken(Call(function=function, arguments=dict(arguments)), gradient))
        self.jax.block_until_ready(compiled(*(self.jax.device_put(np.zeros(shape, dtype), self._device) for shape, dtype in shapes)))
        return compiled

    def _spoken(self, asked: Call, gradient: bool) -> Callable[..., Any]:
        """The call, or its recording and the reverse-mode call."""
        pool = asked.resolve(self.jax)

        def backward(x: Any, cotangent: Any) -> Any:
            return self.jax.vjp(pool, x)[1](cotangent)[0]

        return backward if gradient else pool
