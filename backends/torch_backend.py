"""PyTorch: eager and compiled, on CPU and on CUDA.

What is asked is planned in `torch_plan.py`; here a plan meets tensors. A tensor shares the memory of
the case's array wherever it can, so that strides reach the kernels as they are.
"""

import functools
import re
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from backends import torch_plan
from backends.interface import Case, Layout
from backends.plan import Call

VARIANTS = {
    "": "PyTorch, eager, on CPU",
    "compile": "PyTorch, torch.compile with inductor, on CPU",
    "cuda": "PyTorch, eager, on an NVIDIA GPU",
    "cuda-compile": "PyTorch, torch.compile with inductor, on an NVIDIA GPU",
}
COMPILED = 256
"""How many compiled calls are kept; each is about a megabyte, and a library that stays loaded."""


def load(variant: str) -> "Torch":
    """PyTorch as a backend.

    Raises:
        ImportError: PyTorch is not installed, or its libraries do not load.
        RuntimeError: there is no CUDA device, or no C++ compiler for inductor.
    """
    import torch

    cuda, compiled = "cuda" in variant, "compile" in variant
    if cuda and not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no CUDA device (built for CUDA: {torch.version.cuda or 'no'})")
    if compiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # inductor imports deprecated parts of PyTorch
            from torch._inductor import compile_fx, cpp_builder, cpu_vec_isa  # noqa: F401  # now, so that no first call pays for it

        cpp_builder.get_cpp_compiler()  # raises, and names those that it tried, where there is none
        cpu_vec_isa.pick_vec_isa()  # compiles probes, which a child that is killed meanwhile would leave torn
    return (TorchCuda if cuda else Torch)(torch, variant)


class Torch:
    """PyTorch on CPU; eager, or compiled where the variant says so."""

    device = "cpu"
    place_on = "cpu"

    def __init__(self, torch: Any, variant: str) -> None:
        self.torch = torch
        self.name = f"torch:{variant}" if variant else "torch"
        self.version = torch.__version__
        self.compiles = "compile" in variant
        self.capabilities = torch_plan.capabilities(cuda=self.place_on == "cuda")
        self.volumes = self.compiles and hasattr(torch._decomp.decompositions, "adaptive_max_pool3d")
        self._compiled = functools.lru_cache(maxsize=COMPILED)(self._compile)

    # --- the protocol ---------------------------------------------------------------------------

    def gap(self, case: Case) -> str | None:
        """Why this case cannot be asked: no argument says it, or PyTorch refuses it."""
        return torch_plan.unsayable(case) or torch_plan.refused(
            case, cuda=self.place_on == "cuda", compiled=self.compiles, volumes=self.volumes
        )

    def bind(self, case: Case) -> Callable[[], Any]:
        """Place the arrays and compile; what comes back is PyTorch's call, and waits for its device."""
        launch, _ = self.enqueue(case)
        return launch

    def fetch(self, native: Any) -> np.ndarray:
        """A copy: of the tensor, or of the last of (values, indices) or of (gradient,)."""
        tensor = _answer(native).detach().cpu()
        if tensor.dtype is self.torch.bfloat16:
            import ml_dtypes

            return tensor.view(self.torch.int16).numpy().view(ml_dtypes.bfloat16).copy(order="K")
        return tensor.numpy().copy(order="K")

    # --- what our own adapters offer beyond it --------------------------------------------------

    def enqueue(self, case: Case) -> tuple[Callable[[], Any], Callable[[], float | None]]:
        """(launch, wait): PyTorch's call alone, and what returns when the device has finished, with the seconds that it says."""
        x = self.place(case.x, case.layout)
        if case.cotangent is not None:
            x.requires_grad_()
        pool = self._pool(case, x)
        launch: Callable[[], Any] = functools.partial(pool, x)
        if case.cotangent is not None:
            launch = self._differentiate(pool, x, self.place(case.cotangent, case.layout))
        if self.compiles:
            _with_whole_libraries(launch)
        return launch, self.wait

    def recorded(self, case: Case) -> np.ndarray:
        """The values of a case, pooled while autograd records."""
        x = self.place(case.x, case.layout).requires_grad_()
        return self.fetch(self._pool(case, x)(x))

    def with_indices(self, case: Case) -> np.ndarray:
        """The values of a case, as they are returned beside the indices."""
        values, _ = self.bind(case.replace(output="indices"))()
        return self.fetch(values)

    def wait(self) -> float | None:
        """Return when the device has finished; on CPU every call has, and None is returned."""
        return None

    def native(self, case: Case) -> str:
        """A script that makes the call of a case and prints its answer."""
        pool = torch_plan.call(case)
        lines = ["import torch", "", f"x = {self._source(case.x, case.layout)}"]
        call = pool.source("x")
        if self.compiles:
            lines.append(f"pool = torch.compile(lambda x: {call}, fullgraph=True, dynamic=False)")
            call = "pool(x)"
        if case.cotangent is not None:
            lines += ["x.requires_grad_()", f"cotangent = {self._source(case.cotangent, case.layout)}"]
            call = f"torch.autograd.grad({call}, x, cotangent)"
        return "\n".join([*lines, f"answer = {call}", "print(answer)", ""])

    def static_shape(self, case: Case) -> tuple[int, ...] | None:
        """The shape of the pooled values by PyTorch's own shape inference, on tensors without data; None where a kernel has none."""
        x = self.torch.empty(case.x.shape, dtype=getattr(self.torch, case.x.dtype.name), device="meta")
        try:
            pooled = torch_plan.call(case).resolve(self.torch)(x)
        except NotImplementedError:
            return None
        return tuple((pooled[0] if isinstance(pooled, tuple) else pooled).shape)

    @property
    def threads(self) -> int:
        """How many threads one operation uses."""
        return self.torch.get_num_threads()

    def environment(self) -> dict[str, str]:
        """How PyTorch was built, and with what it computes here."""
        torch = self.torch
        build = [line.strip(" -") for line in torch.__config__.show().splitlines()]
        return {
            "build": "; ".join(line for line in build if line and not line.startswith(("PyTorch built with", "Build settings"))),
            "cpu capability": torch.backends.cpu.get_cpu_capability(),
            "oneDNN": "on" if torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled else "off",
            "threads": str(torch.get_num_threads()),
            "threads between operations": str(torch.get_num_interop_threads()),
            "cuda": torch.version.cuda or "none",
        }

    def convolve(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Each channel's cross-correlation with a kernel (h, w), zero-padded to the same size; x is (N, C, H, W) float32."""
        image, channels = self.place(x, "channels_first"), x.shape[1]
        weight = self.place(kernel, None).expand(channels, 1, *kernel.shape)
        (top, left), (bottom, right) = (((size - 1) // 2 for size in kernel.shape), (size // 2 for size in kernel.shape))
        with self._full_precision():
            padded = self.torch.nn.functional.pad(image, (left, right, top, bottom))
            return self.fetch(self.torch.nn.functional.conv2d(padded, weight, groups=channels))

    def layers(self, image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Conv2d without bias, ReLU and a 2×2 MaxPool2d, all SAME: (N, 1, H, W) float32 to (N, 1, ⌈H/2⌉, ⌈W/2⌉)."""
        nn = self.torch.nn
        convolution = nn.Conv2d(1, 1, kernel.shape, padding="same", bias=False)
        # For max pooling with stride = kernel = 2, SAME is ceil mode: both let a last window overhang.
        model = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)).to(self.place_on)
        with self.torch.no_grad(), self._full_precision():
            convolution.weight.copy_(self.place(kernel, None).expand(1, 1, *kernel.shape))
            return self.fetch(model(self.place(image, "channels_first")))

    def _full_precision(self) -> Any:
        # cuDNN convolves float32 with ten bits of mantissa unless it is told not to.
        return self.torch.backends.cudnn.flags(enabled=True, allow_tf32=False)

    # --- tensors --------------------------------------------------------------------------------

    def place(self, array: np.ndarray, layout: Layout | None) -> Any:
        """The array as a tensor on the device, with its own strides unless `layout` asks for others."""
        array = torch_plan.representable(array)
        with warnings.catch_warnings():
            # A tensor cannot be read-only, and PyTorch says so; no pooling writes to its input.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            if array.dtype.name == "bfloat16":
                tensor = self.torch.from_numpy(array.view(np.int16)).view(self.torch.bfloat16)
            else:
                tensor = self.torch.from_numpy(array)
        if layout == "channels_last" and tensor.stride() != (strides := torch_plan.channels_last(array.shape)):
            tensor = self.torch.empty_strided(array.shape, strides, dtype=tensor.dtype).copy_(tensor)
        return self._send(tensor)

    def _send(self, tensor: Any) -> Any:
        return tensor

    def _source(self, array: np.ndarray, layout: Layout) -> str:
        tensor = Torch.place(self, array, layout)
        return torch_plan.tensor_source(self.fetch(_memory(tensor)), tuple(tensor.shape), tensor.stride(), self.place_on)

    # --- calls ----------------------------------------------------------------------------------

    def _pool(self, case: Case, x: Any) -> Callable[..., Any]:
        call = torch_plan.call(case)
        if self.compiles:
            return self._compiled(call, tuple(x.shape), x.stride(), x.dtype, x.requires_grad, self.threads)
        return call.resolve(self.torch)

    def _differentiate(self, pool: Callable[..., Any], x: Any, cotangent: Any) -> Callable[[], Any]:
        grad = self.torch.autograd.grad

        def gradient() -> Any:
            return grad(pool(x), x, cotangent)

        return gradient

    def _compile(self, call: Call, *_signature: Any) -> Callable[..., Any]:
        resolved = call.resolve(self.torch)

        def pool(x: Any) -> Any:
            return resolved(x)

        # Dynamo keeps what it compiled with the code object, up to a limit past which it runs eagerly
        # or raises. A code object for each call and kind of tensor never meets the limit, and takes
        # what was compiled with it when it leaves the cache.
        own = types.FunctionType(pool.__code__.replace(), pool.__globals__, "pool", None, pool.__closure__)
        return self.torch.compile(own, fullgraph=True, dynamic=False)


class TorchCuda(Torch):
    """PyTorch on the current CUDA device."""

    place_on = "cuda"

    def __init__(self, torch: Any, variant: str) -> None:
        super().__init__(torch, variant)
        self.device = f"cuda:{torch.cuda.current_device()} {torch.cuda.get_device_name()}"
        self.cache: int = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        self._event: Any = None

    def bind(self, case: Case) -> Callable[[], Any]:
        launch, _ = self.enqueue(case)

        def finished() -> Any:
            answer = launch()
            self.torch.cuda.synchronize()
            return answer

        return finished

    def wait(self) -> float:
        """Return when the device has finished, with the seconds that passed there since the last time: between two events.

        The first time there was no event before, and none have passed.
        """
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        event.synchronize()
        before, self._event = self._event, event
        return 0.0 if before is None else before.elapsed_time(event) / 1000

    def copying(self, nbytes: int) -> tuple[Callable[[], Any], Callable[[], float]]:
        """(launch, wait) of a copy of so many bytes, from the device's memory to the device's memory."""
        return self.torch.ones(nbytes, dtype=self.torch.uint8, device=self.place_on).clone, self.wait

    def transfers(self, case: Case) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
        """(send, take): the case's arrays to the device, and the answer of a call back; each has finished when it returns."""
        arrays = [case.x] if case.cotangent is None else [case.x, case.cotangent]

        def send() -> list[Any]:
            tensors = [self.place(array, case.layout) for array in arrays]
            self.torch.cuda.synchronize()
            return tensors

        return send, lambda native: _answer(native).detach().cpu()

    def _send(self, tensor: Any) -> Any:
        """The tensor's memory, gaps and all, since a plain copy to the device would close them."""
        return _memory(tensor).to(self.place_on).as_strided(tensor.shape, tensor.stride())


def _answer(native: Any) -> Any:
    """The tensor that was asked for: the last of (values, indices) or of (gradient,)."""
    return native[-1] if isinstance(native, tuple) else native


def _memory(tensor: Any) -> Any:
    """What a tensor's strides stretch over, as a tensor with one axis."""
    stretch = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((stretch if tensor.numel() else 0,), (1,))


def _with_whole_libraries(compile_and_run: Callable[[], Any]) -> None:
    """Call what compiles, once more if a library in inductor's cache on disk cannot be loaded.

    The compiler writes libraries in place: a process that is killed meanwhile leaves a torn one, at
    which every later process would fail.
    """
    try:
        compile_and_run()
    except Exception as error:
        torn = re.search(r"ImportError: (\S+\.so): ", str(error))
        if torn is None:
            raise
        Path(torn[1]).unlink(missing_ok=True)
        compile_and_run()
