"""What TensorFlow is asked, as data: the one documented call of a case, or why there is none.

Pure planning; TensorFlow itself is spoken to in `tensorflow_backend.py` only. What TensorFlow
refuses was found by asking 2.21, and a test makes each refused call.

Global pooling is `tf.reduce_max` and `tf.reduce_mean` over the spatial axes, which is what Keras'
GlobalMaxPooling and GlobalAveragePooling call; its indices are those of a window over everything.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from backends.interface import Capabilities, Case, Unsupported
from backends.plan import Call, literal
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, Sliding
from backends.translate import covering, ordered

FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FORMATS = {"channels_first": {1: "NCW", 2: "NCHW", 3: "NCDHW"}, "channels_last": {1: "NWC", 2: "NHWC", 3: "NDHWC"}}
ARGMAX = "tf.nn.max_pool_with_argmax"
POOLS = {"max": "MAX", "average": "AVG"}


def capabilities(*, gpu: bool) -> dict[str, Capabilities]:
    """What TensorFlow can be asked, by reduction; on a GPU it pools floats only."""
    shared: dict[str, Any] = {
        "windows": {"sliding", "global"}, "ndims": {1, 2, 3}, "layouts": {"channels_first", "channels_last"},
        "paddings": {"valid", *SAME, "symmetric", "asymmetric"},
        "dilation": True, "ceil_mode": True, "count_include_pad": False, "divisor": False,
    }  # fmt: skip
    return {
        "max": Capabilities(**shared | {"dtypes": FLOATS if gpu else FLOATS + INTEGERS, "outputs": {"values", "indices", "gradient"}}),
        "average": Capabilities(**shared | {"dtypes": FLOATS, "outputs": {"values", "gradient"}}),
    }


# --- the call -----------------------------------------------------------------------------------


def call(case: Case) -> Call:
    """The one documented call that asks a case; its input tensor goes first.

    Values are not checked, so that TensorFlow meets a stride of 0 or a window that is too large.

    Raises:
        Unsupported: no call says it.
        ValueError: the case has no spatial axis, or a SAME padding in ceil mode.
    """
    if case.x.ndim < 3:
        raise ValueError(f"x has the shape {case.x.shape}: expected (N, C, *spatial)")
    if isinstance(case.spec.windows, Sliding) and case.spec.windows.ceil_mode and case.spec.windows.padding in SAME:
        raise ValueError(f"ceil_mode=True with padding={case.spec.windows.padding!r}: SAME already fixes the output size")
    if reason := unsayable(case):
        raise Unsupported(reason)
    name, windows = function(case), _sliding(case)
    if name.startswith("tf.reduce"):
        first = 2 if case.layout == "channels_first" else 1
        return Call(function=name, arguments={"axis": tuple(range(first, first + len(case.spatial))), "keepdims": True})
    arguments = {"strides": windows.stride, "padding": _padding(case, windows), "data_format": FORMATS[case.layout][windows.rank]}
    if name == "tf.nn.pool":
        pooling_type = POOLS[case.spec.reduction.name]
        return Call(
            function=name,
            arguments={"window_shape": windows.kernel, "pooling_type": pooling_type, **arguments, "dilations": windows.dilation},
        )
    return Call(function=name, arguments={"ksize": windows.kernel, **arguments})


def function(case: Case) -> str:
    """The dotted name of the function that a case asks for."""
    windows, reduction = case.spec.windows, case.spec.reduction
    if case.output == "indices":
        return ARGMAX
    if isinstance(windows, Global):
        return "tf.reduce_max" if isinstance(reduction, Max) else "tf.reduce_mean"
    if isinstance(windows, Sliding) and set(windows.dilation) != {1}:
        return "tf.nn.pool"
    return f"tf.nn.{'max' if isinstance(reduction, Max) else 'avg'}_pool{windows.rank}d"


def _sliding(case: Case) -> Sliding:
    """The windows of a case that has no bins; a global one is as wide as the input."""
    windows = case.spec.windows
    return windows if isinstance(windows, Sliding) else Sliding(kernel=case.spatial)


def _takes_pads(case: Case) -> bool:
    """Whether the function documents a list of paddings: only max pooling of one or two axes does."""
    return function(case) in ("tf.nn.max_pool1d", "tf.nn.max_pool2d")


def _padding(case: Case, windows: Sliding) -> str | tuple[tuple[int, int], ...] | None:
    """Give "VALID" or "SAME" if either says it, else the pads of every axis of the tensor; None if nothing does.

    Explicit pads stay explicit wherever the function takes them. Ceil mode is padding, as far as its windows reach.
    """
    if windows.padding == "valid" and (not windows.ceil_mode or min(windows.stride) < 1):
        return "VALID"
    if windows.padding == "same_upper" or min(windows.stride) < 1:
        return "SAME"
    axes = list(enumerate(case.spatial[: windows.rank]))
    pads = tuple(covering(windows, axis, size) for axis, size in axes)
    if not (_takes_pads(case) and isinstance(windows.padding, tuple)):
        if not any(map(any, pads)):
            return "VALID"
        same = Sliding(kernel=windows.kernel, stride=windows.stride, dilation=windows.dilation, padding="same_upper")
        if pads == tuple(same.pads(axis, size) for axis, size in axes):
            return "SAME"
    if not _takes_pads(case):
        return None
    return ((0, 0), (0, 0), *pads) if case.layout == "channels_first" else ((0, 0), *pads, (0, 0))


@functools.cache
def onednn_dtypes() -> frozenset[str]:
    """The dtypes that oneDNN pools on this CPU: half types where it has instructions for them (tensorflow/core/util/mkl_util.h)."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset({"float32"})
    half = {"bfloat16": {"avx512f", "avx_ne_convert"}, "float16": {"avx512_fp16", "amx_fp16", "avx_ne_convert"}}
    return frozenset({"float32", *(dtype for dtype, any_of in half.items() if flags & any_of)})


def pooled_by_onednn(case: Case, onednn: frozenset[str]) -> bool:
    """Whether it has a kernel for a case, if it is given one: of float16 maxima alone are registered (seen on a Xeon, TensorFlow 2.21)."""
    return case.x.dtype.name in onednn and not (case.x.dtype.name == "float16" and isinstance(case.spec.reduction, Average))


# --- gaps ---------------------------------------------------------------------------------------


def unsayable(case: Case) -> str | None:
    """Why no argument of TensorFlow's functions says a case; None if one does."""
    reduction, windows = case.spec.reduction, case.spec.windows
    if isinstance(reduction, Lp):
        return "cannot say: there is no Lp pooling"
    if isinstance(windows, Adaptive):
        return "cannot say: there is no adaptive pooling"
    if (windows.rank or len(case.spatial)) > 3:
        return f"cannot say: poolings have 1 to 3 spatial axes, not {windows.rank or len(case.spatial)}"
    if case.output == "indices" and not isinstance(reduction, Max):
        return f"cannot say: no function returns indices of {reduction.name} pooling"
    if case.output == "gradient" and case.x.dtype.kind in "iu":
        return f"cannot say: {case.x.dtype.name} has no gradient"
    if isinstance(reduction, Average) and (reduction.count_include_pad or reduction.divisor is not None):
        return "cannot say: there is no argument for what an average divides by"
    if isinstance(windows, Sliding):
        if case.output == "indices" and set(windows.dilation) != {1}:
            return f"cannot say: {ARGMAX} takes no dilation"
        if _padding(case, windows) is None:
            return f"cannot say: {function(case)} pads as 'SAME' does or not at all"
    return None


def refused(case: Case, *, variant: str, onednn: frozenset[str]) -> str | None:
    """Why TensorFlow raises when it is asked a valid case that one call says; None if it answers.

    `onednn` has the dtypes that oneDNN pools on this CPU: the only way there to NCHW, except by XLA.
    """
    name, rank, dtype, windows = function(case), len(case.spatial), case.x.dtype.name, _sliding(case)
    if name.startswith("tf.reduce"):
        return None
    first, eager = case.layout == "channels_first", variant == ""
    first_on_cpu = first and variant in ("", "graph")
    if name == ARGMAX:
        rules = [
            (variant == "xla", f"XLA has no {ARGMAX}"),
            (rank != 2, f"{ARGMAX} takes two spatial axes, not {rank}"),
            (first, f"{ARGMAX} takes NHWC only"),
            (not case.x.size, f"{ARGMAX} takes no empty input"),
        ]
    else:
        padding = _padding(case, windows)
        explicit, dilated = isinstance(padding, tuple), name == "tf.nn.pool"
        rules = [
            (dilated and padding == "SAME", "tf.nn.pool takes no SAME padding with dilations above 1"),
            (dilated and max(windows.stride) > 1, "tf.nn.pool takes no strides above 1 with dilations above 1"),
            (dtype in ("uint32", "uint64"), f"{name} takes no {dtype}"),
            (rank == 3 and dtype not in _volumes(case, variant), f"{name} takes no {dtype} in three dimensions"),
            (explicit and variant == "xla", "XLA does not support pooling with explicit padding"),
            (explicit and _wide(windows, case), "explicit padding needs to be smaller than the window"),
            (explicit and first_on_cpu, f"{name} takes explicit padding on CPU with channels last only"),
            (first_on_cpu and not pooled_by_onednn(case, onednn), f"{name} takes {dtype} on CPU with channels last only"),
            (first_on_cpu and eager and isinstance(case.spec.reduction, Max) and case.output == "gradient",
             f"the gradient of {name} takes channels last only on CPU, unless in a graph"),
        ]  # fmt: skip
    return next((f"refuses: {reason}" for holds, reason in rules if holds), None)


def _volumes(case: Case, variant: str) -> tuple[str, ...]:
    """The dtypes that three-dimensional pooling takes; MaxPool3D is defined for no double."""
    if variant in ("", "graph"):
        return ("float32", "bfloat16")
    return FLOATS if isinstance(case.spec.reduction, Average) else FLOATS[1:]


def _wide(windows: Sliding, case: Case) -> bool:
    return any(max(covering(windows, axis, size)) >= windows.kernel[axis] for axis, size in enumerate(case.spatial[: windows.rank]))


# --- text ----------------------------------------------------------------------------------------


def script(case: Case, variant: str) -> str:
    """A script of its own that asks TensorFlow the case, and prints the answer, `result`."""
    arrays = {"x": case.x} if case.cotangent is None else {"x": case.x, "cotangent": case.cotangent}
    device = "/GPU:0" if variant == "gpu" else "/CPU:0"
    spoken = call(case).source("x") + "[1]" * (case.output == "indices")
    decorator = {"graph": ["@tf.function"], "xla": ["@tf.function(jit_compile=True)"]}.get(variant, [])
    lines = ["import numpy as np", "import tensorflow as tf", "", ""]
    if case.output == "gradient":
        lines += [
            *decorator,
            "def pool(x, cotangent):",
            "    with tf.GradientTape() as tape:",
            "        tape.watch(x)",
            f"        y = {spoken}",
            "    return tape.gradient(y, x, output_gradients=cotangent)",
        ]
    else:
        lines += [*decorator, "def pool(x):", f"    return {spoken}"]
    lines += ["", "", f'with tf.device("{device}"):']
    lines += [f"    {name} = {_tensor(ordered(array, case.layout))}" for name, array in arrays.items()]
    lines += [f"    result = pool({', '.join(arrays)})", "print(result.numpy())"]
    return "\n".join(lines) + "\n"


def _tensor(array: np.ndarray) -> str:
    if not array.size:
        return f"tf.zeros({array.shape}, tf.{array.dtype.name})"
    # By way of NumPy: a bfloat16 constant made from Python's numbers loses its subnormals.
    return f"tf.constant(np.array({literal(array)}, tf.{array.dtype.name}.as_numpy_dtype))"
