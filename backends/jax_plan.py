"""What JAX is asked, as data: the one documented call of a case, or why there is none.

JAX has no pooling. `jax.lax.reduce_window` is its documented call for sliding windows; it divides by
nothing, so that the one sliding average it says is a sum, divisor 1. Global pooling is `jax.numpy.max`
and `jax.numpy.mean` over the spatial axes. Ceil mode is padding: what pads add is the identity of the
reduction, so that they say exactly what its windows cover.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.interface import Capabilities, Case, Unsupported, dtype_named
from backends.plan import Call, Name, literal
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, Sliding
from backends.translate import covering, ordered

FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
WORDS = {"valid": "VALID", "same_upper": "SAME", "same_lower": "SAME_LOWER"}


def capabilities() -> dict[str, Capabilities]:
    """What JAX can be asked, by reduction."""
    shared: dict[str, Any] = {
        "windows": {"sliding", "global"}, "ndims": {1, 2, 3}, "layouts": {"channels_first", "channels_last"}, "dtypes": FLOATS,
        "outputs": {"values", "gradient"}, "paddings": {"valid", *SAME, "symmetric", "asymmetric"},
        "dilation": True, "ceil_mode": True, "count_include_pad": False, "divisor": False,
    }  # fmt: skip
    return {
        "max": Capabilities(**shared | {"dtypes": FLOATS + INTEGERS}),
        "average": Capabilities(**shared | {"divisor": True}),
    }


def call(case: Case) -> Call:
    """The one documented call that asks a case; its input array goes first.

    Values are not checked, so that JAX meets a stride of 0 or a window that is too large.

    Raises:
        Unsupported: no call says it.
        ValueError: the case has no spatial axis, or a SAME padding in ceil mode.
    """
    if case.x.ndim < 3:
        raise ValueError(f"x has the shape {case.x.shape}: expected (N, C, *spatial)")
    if reason := unsayable(case):
        raise Unsupported(reason)
    reduction, windows = case.spec.reduction, case.spec.windows
    if isinstance(windows, Sliding):
        return Call(function="jax.lax.reduce_window", arguments=_sliding(case, windows))
    first = 2 if case.layout == "channels_first" else 1
    over = {"axis": tuple(range(first, first + len(case.spatial))), "keepdims": True}
    return Call(function="jax.numpy.max" if isinstance(reduction, Max) else "jax.numpy.mean", arguments=over)


def unsayable(case: Case) -> str | None:
    """Why no argument of JAX's functions says a case; None if one does."""
    reduction, windows = case.spec.reduction, case.spec.windows
    if isinstance(reduction, Lp):
        return "cannot say: there is no Lp pooling"
    if isinstance(windows, Adaptive):
        return "cannot say: there is no adaptive pooling"
    if case.output == "indices":
        return "cannot say: no function returns the indices of windows"
    if case.output == "gradient" and case.x.dtype.kind in "iu":
        return f"cannot say: {case.x.dtype.name} has no gradient"
    if isinstance(windows, Global):
        return None
    if isinstance(reduction, Average) and reduction.divisor != 1:
        return "cannot say: jax.lax.reduce_window adds, and divides by nothing"
    return None


@dataclass(frozen=True, repr=False)
class Start(Name):
    """What a running maximum of a dtype starts from: minus infinity, or the least integer."""

    def resolve(self, framework: Any) -> Any:
        """The number itself, in the dtype that `reduce_window` insists on."""
        kind = dtype_named(self.dotted)
        return kind.type(np.iinfo(kind).min) if kind.kind in "iu" else -np.inf

    def __repr__(self) -> str:
        kind = dtype_named(self.dotted)
        return f"np.{self.dotted}({np.iinfo(kind).min})" if kind.kind in "iu" else "-np.inf"


def _sliding(case: Case, windows: Sliding) -> dict[str, Any]:
    if windows.ceil_mode and windows.padding in SAME:
        raise ValueError(f"ceil_mode=True with padding={windows.padding!r}: SAME already fixes the output size")
    largest = isinstance(case.spec.reduction, Max)
    arguments: dict[str, Any] = {
        "init_value": Start(case.x.dtype.name) if largest else 0.0,
        "computation": Name("jax.lax.max" if largest else "jax.lax.add"),
        "window_dimensions": _each(case, windows.kernel, 1),
        "window_strides": _each(case, windows.stride, 1),
        "padding": _padding(case, windows),
    }
    if set(windows.dilation) != {1}:
        arguments["window_dilation"] = _each(case, windows.dilation, 1)
    return arguments


def _each(case: Case, sizes: tuple[Any, ...], other: Any) -> tuple[Any, ...]:
    """A size for each axis of the array, with `other` for samples and channels."""
    return (other, other, *sizes) if case.layout == "channels_first" else (other, *sizes, other)


def _padding(case: Case, windows: Sliding) -> str | tuple[tuple[int, int], ...]:
    if isinstance(windows.padding, str) and (not windows.ceil_mode or min(windows.stride) < 1):
        return WORDS[windows.padding]
    return _each(case, tuple(covering(windows, axis, size) for axis, size in enumerate(case.spatial[: windows.rank])), (0, 0))


def refused(case: Case) -> str | None:
    """Why JAX raises when it is asked a valid case that one call says; None if it answers."""
    windows = case.spec.windows
    if case.output == "gradient" and isinstance(case.spec.reduction, Max) and isinstance(windows, Sliding) and set(windows.dilation) != {1}:
        return "refuses: VJP not implemented for a maximum with window dilation"
    return None


# --- text ----------------------------------------------------------------------------------------


def script(case: Case, variant: str) -> str:
    """A script of its own that asks JAX the case, and prints the answer, `result`."""
    arrays = {"x": case.x} if case.cotangent is None else {"x": case.x, "cotangent": case.cotangent}
    spoken = call(case).source("x")
    given = ", ".join(arrays)
    lines = [
        "import jax",
        "import numpy as np",
        "",
        'jax.config.update("jax_enable_x64", True)',
        "",
        "",
        "@jax.jit",
        f"def pool({given}):",
        f"    return {f'jax.vjp(lambda x: {spoken}, x)[1](cotangent)[0]' if case.output == 'gradient' else spoken}",
        "",
        "",
        f'with jax.default_device(jax.devices("{variant or "cpu"}")[0]):',
        *(f"    {name} = {_source(ordered(array, case.layout))}" for name, array in arrays.items()),
        f"    result = pool({given})",
        "print(np.asarray(result))",
    ]
    return "\n".join(lines) + "\n"


def _source(array: np.ndarray) -> str:
    dtype = f"jax.numpy.{array.dtype.name}"
    return f"jax.numpy.array(np.array({literal(array)}, {dtype}))" if array.size else f"jax.numpy.zeros({array.shape}, {dtype})"
