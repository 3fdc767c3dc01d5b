"""Pooling in NumPy: every case of the vocabulary, by the definition, at about the speed of the frameworks.

There is no NumPy pooling to adapt, so this one is the suite's own, and is held against the
definition like any other. A case becomes a plan (`numpy_pooling.Plan`) of cache-sized blocks, each a
straight line of ufunc calls; `numpy_kernels` says what these cost.
"""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from backends import numpy_average, numpy_max, numpy_norm, text
from backends.interface import LAYOUTS, PADDINGS, WINDOWS, Capabilities, Case, Unsupported
from backends.numpy_plan import BINS, BLOCK, DENSE, WHOLE, axis_of, check, memory_order
from backends.numpy_pooling import PARALLEL_FROM, Plan, Question, is_half
from backends.spec import Adaptive, Average, Lp, Max

VARIANTS = {"": "NumPy, one axis at a time in cache-sized blocks"}

FLOATS = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

PLANS: dict[tuple[type, str], Callable[[Question], Plan]] = {
    (Max, "values"): numpy_max.values,
    (Max, "indices"): numpy_max.indices,
    (Max, "gradient"): numpy_max.gradient,
    (Average, "values"): numpy_average.values,
    (Average, "gradient"): numpy_average.gradient,
    (Lp, "values"): numpy_norm.values,
    (Lp, "gradient"): numpy_norm.gradient,
}

LARGE = 8 << 20
"""Bytes of input from which scratch memory is held to a share of it."""

SMALLEST_BLOCK = 1 << 17
"""Bytes of a block below which the calls cost more than what they compute."""

THREADS = "POOLPROOF_NUMPY_THREADS"


def load(variant: str) -> "NumpyBackend":
    """The backend; NumPy is what the suite itself is made of, so there is nothing to import."""
    return NumpyBackend()


def _capabilities(dtypes: tuple[str, ...], outputs: tuple[str, ...], *, average: bool = False) -> Capabilities:
    return Capabilities(
        windows=frozenset(WINDOWS),
        ndims=frozenset({1, 2, 3}),
        dtypes=frozenset(dtypes),
        layouts=frozenset(LAYOUTS),
        outputs=frozenset(outputs),
        paddings=frozenset(PADDINGS),
        dilation=True,
        ceil_mode=True,
        count_include_pad=average,
        divisor=average,
    )


class NumpyBackend:
    """Pooling in NumPy on `threads` threads (else the environment variable's, else one a processor), in blocks of about `block` bytes."""

    name = "numpy"
    version = np.__version__
    device = "cpu"
    capabilities: ClassVar = {
        "max": _capabilities(FLOATS + INTEGERS, ("values", "indices", "gradient")),
        "average": _capabilities(FLOATS, ("values", "gradient"), average=True),
        "lp": _capabilities(FLOATS, ("values", "gradient")),
    }

    def __init__(self, threads: int | None = None, block: int = BLOCK) -> None:
        self.threads = threads or _threads()
        self.block = block

    def gap(self, case: Case) -> str | None:
        """None, but for the gradient of integers, which has no meaning."""
        if case.output == "gradient" and case.x.dtype.kind in "iu":
            return f"refuses: a gradient of {case.x.dtype.name}: integers have max values and indices only"
        return None

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        """Lay x out, and plan.

        Raises:
            ValueError: the definition calls the case invalid.
            Unsupported: a dtype that is not in the capabilities.
        """
        question, plan = self._planned(case)
        back = tuple(np.argsort(question.order).tolist())
        compute = plan.bind(question.threads)
        shape = question.x.shape if case.output == "gradient" else question.counts

        if plan.shape == case.pooled_shape and case.x.dtype.isnative and back == tuple(range(case.x.ndim)):
            return compute

        def pool() -> np.ndarray:
            return compute().reshape(shape).transpose(back)

        if case.x.dtype.isnative or case.output == "indices":
            return pool
        return lambda: pool().astype(case.x.dtype)

    def plan(self, case: Case) -> Plan:
        """What `bind` computes, call by call: for whoever asks which of them take how long."""
        return self._planned(case)[1]

    def _planned(self, case: Case) -> tuple[Question, Plan]:
        _check(case)
        x = _placed(case.x, case.layout)
        g = np.empty_like(x, shape=(0,) * x.ndim) if case.cotangent is None else _placed(case.cotangent, case.layout)
        order = memory_order(x, case.layout, logical=case.output != "values")
        axes = [axis_of(case.spec.windows, axis - 2, x.shape[axis]) if axis >= 2 else None for axis in order]
        threads = max(1, min(self.threads, x.nbytes // PARALLEL_FROM))
        block = max(1, int(self.block * _share(case, threads)))
        question = Question(case=case, order=order, x=x.transpose(order), g=g.transpose(order), axes=axes, threads=threads, block=block)
        return question, _within(x.nbytes, PLANS[type(case.spec.reduction), case.output], question)

    def fetch(self, native: np.ndarray) -> np.ndarray:
        """The array itself: its axes are (N, C, *out) in either layout."""
        return native

    def native(self, case: Case) -> str:
        """A script that pools the case: NumPy has no call to print, so it asks this backend."""
        return "\n".join(
            [
                "import backends",
                "from backends import text",
                "",
                f"_, case = text.parse({text.write(case)!r})",
                "print(case.x)",
                'print(backends.run(backends.load("numpy"), case))',
                "",
            ]
        )

    def environment(self) -> dict[str, str]:
        """How NumPy was built, which vector instructions it found, and how many threads pool."""
        config = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        simd = config["SIMD Extensions"]
        compiler = config["Compilers"]["c"]
        return {
            "compiler": f"{compiler.get('name')} {compiler.get('version')}",
            "BLAS": f"{blas.get('name')} {blas.get('version')}",
            "SIMD baseline": " ".join(simd.get("baseline", [])) or "none",
            "SIMD found": " ".join(simd.get("found", [])) or "none",
            "threads": str(self.threads),
        }

    def convolve(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Each channel's cross-correlation with a kernel (h, w), zeros around it: (N, C, H, W) to float32 of the same shape.

        An even kernel's odd zero comes after, as SAME has it. Products add up in float64.
        """
        if x.ndim != 4 or kernel.ndim != 2:
            raise ValueError(f"x {x.shape} and kernel {kernel.shape}: expected (N, C, H, W) and (h, w)")
        around = [(0, 0), (0, 0), *(((size - 1) // 2, size // 2) for size in kernel.shape)]
        padded = np.pad(x.astype(np.float64), around)
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(2, 3))
        return np.einsum("ncijhw,hw->ncij", windows, kernel.astype(np.float64)).astype(np.float32)


def _share(case: Case, threads: int) -> float:
    """How large a block of a case is: as a share of the usual one."""
    windows, elements = math.prod(case.pooled_shape), case.x.size
    if 2 * windows > elements:
        return DENSE
    once = windows == math.prod(case.x.shape[:2]) and not isinstance(case.spec.reduction, Lp) and not is_half(case.x.dtype)
    if once and threads == 1 and case.output == "values":
        return WHOLE
    return BINS if isinstance(case.spec.windows, Adaptive) else 1.0


def _within(size: int, plan: Callable[[Question], Plan], question: Question) -> Plan:
    """A plan of which the threads' scratch memory is at most a twentieth of a large input."""
    made = plan(question)
    while size >= LARGE and made.scratch * question.threads > size // 20 and question.block > SMALLEST_BLOCK:
        question = replace(question, block=question.block // 2)
        made = plan(question)
    return replace(made, buffer=question.buffer)


def _threads() -> int:
    given = os.environ.get(THREADS)
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not given.isdigit() or int(given) < 1:
        raise ValueError(f"{THREADS}={given!r}: expected a positive number of threads")
    return int(given)


def _check(case: Case) -> None:
    x, reduction = case.x, case.spec.reduction
    if x.ndim < 3:
        raise ValueError(f"x has the shape {x.shape}: expected (N, C, *spatial)")
    check(case.spec, case.spatial)
    if x.shape[1] < 1:
        raise ValueError(f"x has the shape {x.shape}: expected at least one channel")
    if x.dtype.name not in FLOATS + INTEGERS:
        raise Unsupported(f"numpy: a pooling of {x.dtype.name}")
    if x.dtype.kind in "iu" and (not isinstance(reduction, Max) or case.output == "gradient"):
        raise ValueError(f"{x.dtype.name}: integers have max values and indices only")
    if (type(reduction), case.output) not in PLANS:
        raise ValueError(f"indices of {reduction.name} pooling: only max has them")
    given = case.cotangent
    if given is not None and (given.shape != case.pooled_shape or given.dtype != x.dtype):
        raise ValueError(
            f"the cotangent has the shape and the dtype of the values, {case.pooled_shape} of {x.dtype.name}; "
            f"got {given.shape} of {given.dtype.name}"
        )


def _placed(array: np.ndarray, layout: str) -> np.ndarray:
    """An array of the shape (N, C, *spatial) in the memory order of a layout; copied only where it must be."""
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if layout == "channels_first":
        return native
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(native, 1, -1)), -1, 1)
