"""What PyTorch is asked, as data: the one documented call of a case, or why there is none.

Pure planning; PyTorch itself is spoken to in `torch_backend.py` only. The rules for what PyTorch
refuses were found by asking torch 2.11 and 2.13, and a test makes each refused call.
"""

import math
from typing import Any

import numpy as np

from backends.interface import Capabilities, Case, Unsupported, same_bits
from backends.plan import Call, literal
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, Sliding, Windows

FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8")
HALF = ("float16", "bfloat16")
UNROLLED = 25
"""Inductor hands a pooling of more taps than this to the eager kernel (torch/_inductor/lowering.py)."""


def capabilities(*, cuda: bool) -> dict[str, Capabilities]:
    """What PyTorch can be asked, by reduction; pooling of integers is on CPU only."""
    shared: dict[str, Any] = {
        "ndims": {1, 2, 3}, "dtypes": FLOATS, "layouts": {"channels_first", "channels_last"}, "outputs": {"values", "gradient"},
        "windows": {"sliding", "adaptive", "global"}, "paddings": {"valid", *SAME, "symmetric"},
        "dilation": False, "ceil_mode": True, "count_include_pad": False, "divisor": False,
    }  # fmt: skip
    dtypes = FLOATS if cuda else FLOATS + INTEGERS
    return {
        "max": Capabilities(**shared | {"outputs": {"values", "indices", "gradient"}, "dtypes": dtypes, "dilation": True}),
        "average": Capabilities(**shared | {"count_include_pad": True, "divisor": True}),
        "lp": Capabilities(**shared | {"windows": {"sliding", "global"}, "paddings": {"valid"}}),
    }


# --- the call -----------------------------------------------------------------------------------


def call(case: Case) -> Call:
    """The one documented call that asks a case; its input tensor goes first.

    Values are not checked, so that PyTorch meets a stride of 0 or a window that is too large.

    Raises:
        Unsupported: no call says it.
        ValueError: the case has no spatial axis, or a SAME padding that has no meaning.
    """
    if case.x.ndim < 3:
        raise ValueError(f"x has the shape {case.x.shape}: expected (N, C, *spatial)")
    if reason := unsayable(case):
        raise Unsupported(reason)
    reduction, windows = case.spec.reduction, case.spec.windows
    arguments: dict[str, Any] = {"norm_type": reduction.p} if isinstance(reduction, Lp) else {}
    if isinstance(windows, Sliding):
        arguments |= _sliding(case, windows)
    elif isinstance(windows, Adaptive):
        arguments["output_size"] = _sizes(windows.output_size)
    elif isinstance(reduction, Lp):
        arguments["kernel_size"] = _sizes(case.spatial)
    else:
        arguments["output_size"] = 1
    if isinstance(reduction, Average):
        if isinstance(windows, Sliding) or reduction.count_include_pad:
            arguments["count_include_pad"] = reduction.count_include_pad
        if reduction.divisor is not None:
            arguments["divisor_override"] = reduction.divisor
    if case.output == "indices":
        arguments["return_indices"] = True
    return Call(function=f"torch.nn.functional.{function(case)}", arguments=arguments)


def function(case: Case) -> str:
    """The name of the function in `torch.nn.functional`.

    Of two ranks that differ it is the lower one's, which PyTorch refuses to mix: the higher one's would
    read (N, C, L) as one image without a batch, or take a lone kernel size for every axis.
    """
    reduction, windows = case.spec.reduction, case.spec.windows
    rank = min(windows.rank or len(case.spatial), len(case.spatial))
    adaptive = not isinstance(windows, Sliding) and not isinstance(reduction, Lp)
    return f"{'adaptive_' * adaptive}{'avg' if isinstance(reduction, Average) else reduction.name}_pool{rank}d"


def _sliding(case: Case, windows: Sliding) -> dict[str, Any]:
    if windows.ceil_mode and windows.padding in SAME:
        raise ValueError(f"ceil_mode=True with padding={windows.padding!r}: SAME already fixes the output size")
    arguments: dict[str, Any] = {"kernel_size": _sizes(windows.kernel), "stride": _sizes(windows.stride)}
    if not isinstance(case.spec.reduction, Lp):
        arguments["padding"] = _sizes(tuple(before for before, _ in _pads(case, windows)))
    if isinstance(case.spec.reduction, Max):
        arguments["dilation"] = _sizes(windows.dilation)
    return arguments | {"ceil_mode": windows.ceil_mode}


def _pads(case: Case, windows: Sliding) -> list[tuple[int, int]]:
    sizes = (*case.spatial, *(1,) * windows.rank)[: windows.rank]
    # A stride below 1 has no SAME; PyTorch is left to refuse it.
    return [(0, 0) if windows.padding in SAME and windows.stride[axis] < 1 else windows.pads(axis, size) for axis, size in enumerate(sizes)]


def _sizes(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number for one axis, as people write it and as `lp_pool1d` needs it."""
    return sizes[0] if len(sizes) == 1 else sizes


# --- gaps ---------------------------------------------------------------------------------------


def unsayable(case: Case) -> str | None:
    """Why no argument of PyTorch's functions says a case; None if one does."""
    reduction, windows = case.spec.reduction, case.spec.windows
    if len(case.spatial) > 3:
        return f"cannot say: poolings have 1 to 3 spatial axes, not {len(case.spatial)}"
    if case.output == "indices" and not isinstance(reduction, Max):
        return f"cannot say: {function(case)} returns no indices"
    if isinstance(reduction, Lp) and isinstance(windows, Adaptive):
        return "cannot say: there is no adaptive Lp pooling"
    if isinstance(windows, Sliding):
        pads = _pads(case, windows)
        if any(before != after for before, after in pads):
            return f"cannot say: {function(case)} pads both ends of an axis alike"
        if isinstance(reduction, Lp) and any(before for before, _ in pads):
            return f"cannot say: {function(case)} takes no padding"
        if not isinstance(reduction, Max) and set(windows.dilation) != {1}:
            return f"cannot say: {function(case)} takes no dilation"
    if isinstance(reduction, Average) and reduction.divisor is not None and function(case) == "avg_pool1d":
        return "cannot say: avg_pool1d takes no divisor_override"
    return None


def refused(case: Case, *, cuda: bool, compiled: bool, volumes: bool) -> str | None:
    """Why PyTorch raises when it is asked a valid case; None if it answers.

    `volumes`: whether inductor has its own adaptive max pooling in 3-D.
    """
    reduction, windows, dtype = case.spec.reduction, case.spec.windows, case.x.dtype.name
    unpadded = isinstance(reduction, Lp) or not isinstance(windows, Sliding)
    if (
        isinstance(windows, Sliding)
        and not unpadded
        and any(pad > kernel // 2 for (pad, _), kernel in zip(_pads(case, windows), windows.kernel, strict=True))
    ):
        return f"refuses: {function(case)} takes no padding above half of the kernel, dilated or not"
    if dtype in INTEGERS:
        return _integers_refused(case, windows, volumes) if compiled else _integers_refused_eagerly(case, windows)
    if function(case) not in ("avg_pool3d", "lp_pool3d"):
        return None
    if isinstance(windows, Sliding) and any(kernel > size for kernel, size in zip(windows.kernel, case.spatial, strict=False)):
        return f"refuses: {function(case)} takes no kernel larger than the input, padded or not"
    if dtype in HALF and not cuda and not (compiled and _generated(windows)):
        return f"refuses: {function(case)} is not implemented on CPU for {dtype}" + " and this window" * compiled
    return None


def _generated(windows: Windows) -> bool:
    """Whether inductor writes a sliding average itself, and so takes dtypes that the eager kernel does not."""
    return not isinstance(windows, Sliding) or math.prod(windows.kernel) <= UNROLLED or windows.kernel == windows.stride


def _integers_refused_eagerly(case: Case, windows: Windows) -> str | None:
    dtype = case.x.dtype
    if not isinstance(windows, Sliding):
        return f"refuses: {function(case)} is not implemented for {dtype.name}"
    if function(case) == "max_pool1d" and case.output == "values":
        return f"refuses: max_pool1d is not implemented for {dtype.name} without return_indices"
    # The kernel's vectors count taps in integers as wide as the elements.
    limit = 2 ** (8 * dtype.itemsize - 1) - 1
    if math.prod(case.spatial) > limit and runs_channels_last(case):
        return f"refuses: {function(case)} over channels_last memory takes at most {limit} elements a channel of {dtype.name}"
    return None


def _integers_refused(case: Case, windows: Windows, volumes: bool) -> str | None:
    """What inductor does not write itself goes to the eager kernel, which refuses integers."""
    if isinstance(windows, Sliding):
        return None
    refusal = f"refuses: {function(case)} is not implemented for {case.x.dtype.name}"
    bins = (1,) * len(case.spatial) if isinstance(windows, Global) else windows.output_size
    uneven = [(size, count) for size, count in zip(case.spatial, bins, strict=False) if count > 0 and size % count]
    if len(case.spatial) == 3 and not volumes:
        return refusal
    widest = math.prod(-(-(size + count - 1) // count) for size, count in zip(case.spatial, bins, strict=False) if count > 0)
    if uneven and (case.x.dtype == np.int64 or len(case.spatial) == 3 or widest > UNROLLED):
        return f"{refusal} where bins differ in size" + " and are large" * (widest > UNROLLED)
    return None


# --- memory -------------------------------------------------------------------------------------


def representable(array: np.ndarray) -> np.ndarray:
    """The array itself if a tensor can have its memory, else a copy in the same order of axes.

    Tensors have no negative strides, no strides of part of an element, and the machine's byte order.
    """
    whole = all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    if whole and array.dtype.isnative and array.flags.aligned:
        return array
    return array.astype(array.dtype.newbyteorder("="), order="K", copy=True)


def runs_channels_last(case: Case) -> bool:
    """Whether PyTorch takes its channels_last kernel, which it tells from the strides (c10's `is_channels_last_strides`)."""
    if case.layout == "channels_last":
        return case.x.size > 0
    shape, strides, least = case.x.shape, representable(case.x).strides, 0
    if not case.x.size or strides[1] == 0:
        return False
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        if strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * max(shape[axis], 1)
    return True


def dense(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """The strides, in elements, of an array without holes whose axes lie in memory in that order."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous array."""
    return dense(shape, tuple(range(len(shape))))


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an array of shape (N, C, *spatial) whose channels lie innermost in memory."""
    return dense(shape, (0, *range(2, len(shape)), 1))


LISTED = 64
"""Elements of a tensor up to which code lists them, though all be the same."""


def tensor_source(storage: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...], device: str) -> str:
    """An expression for a tensor of that shape and those strides over `storage`, its memory in order."""
    dtype = f"dtype=torch.{storage.dtype.name}" + (f", device={device!r}" if device != "cpu" else "")
    if not math.prod(shape):
        return f"torch.empty_strided({shape}, {strides}, {dtype})"
    if strides == contiguous(shape):
        if storage.size > LISTED and same_bits(storage, np.full_like(storage, storage[0])):
            return f"torch.full({shape}, {literal(storage[0])}, {dtype})"
        return f"torch.tensor({literal(storage.reshape(shape))}, {dtype})"
    if strides == channels_last(shape) and len(shape) > 3 and shape[1] > 1 and math.prod(shape[2:]) > 1:
        array = np.moveaxis(storage.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
        memory_format = "channels_last" if len(shape) == 4 else "channels_last_3d"
        return f"torch.tensor({literal(array)}, {dtype}).contiguous(memory_format=torch.{memory_format})"
    return f"torch.tensor({literal(storage)}, {dtype}).as_strided({shape}, {strides})"
