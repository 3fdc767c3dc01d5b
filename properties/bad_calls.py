"""Calls that a framework must refuse, as data: native code, and what a `Case` can say of them.

The definition's last word: what is invalid raises a Python exception. Returning something, hanging
and dying by a signal are deviations, and a row of `divergences.py` has to know them. The calls of
published security advisories are here in the smallest form that breaks the same rule.

NumPy has no pooling of its own: its native call is our `bind`, which takes a `Case` and nothing
else, so that the cases of `VIOLATIONS`, all of which it is asked, are its table of invalid calls.
"""

import ast
import importlib
import importlib.util
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backends.interface import Capabilities, Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows

Must = Literal["raise", "survive"]

TORCH = "import torch\nfrom torch.nn import functional as F\n\n\ndef call():\n{}\n\n\ncall()"
FORMS = {
    "tensorflow": "import tensorflow as tf\n\n\ndef call():\n{}\n\n\ncall()",
    "tensorflow:graph": "import tensorflow as tf\n\n\n@tf.function\ndef call():\n{}\n\n\ncall()",
    "tensorflow:xla": "import tensorflow as tf\n\n\n@tf.function(jit_compile=True)\ndef call():\n{}\n\n\ncall()",
    "jax": "import jax\nimport jax.numpy as jnp\nfrom jax import lax\n\n\ndef call():\n{}\n\n\njax.block_until_ready(call())",
    "torch": TORCH,
    "torch:compile": TORCH,
}
"""How each variant makes a call. Those of `torch:compile` say themselves what is compiled, and what it is an argument of."""
TABLES = {"torch:compile": "torch_compiled"}
"""The variants that have other calls than their framework has eagerly."""


@dataclass(frozen=True, kw_only=True)
class BadCall:
    """A native call that breaks a rule.

    `violates` is the rule and the value that breaks it; `code` is a few lines whose last statement
    is the call, with the framework imported as its own documentation does: "tf"; "torch" and "F"; "jax", "jnp" and "lax".
    `source` names an advisory or an issue. Where `must` is "survive" the call asks for something
    absurd that is not wrong: an answer will do as well as an exception. A `slow` one is left to the
    thorough profile: compiling it takes seconds, or says no more than others do.
    """

    id: str
    violates: str
    code: str
    source: str | None = None
    must: Must = "raise"
    slow: bool = False

    def script(self, backend: str) -> str:
        """The call as a script that a maintainer can paste, in the way of that backend.

        Raises:
            KeyError: there is no way to make native calls by that backend.
        """
        code = textwrap.dedent(self.code).strip()
        lines = code.splitlines()
        last = ast.parse(code).body[-1].lineno - 1
        lines[last] = f"return {lines[last]}"
        return FORMS[backend].format(textwrap.indent("\n".join(lines), "    "))


def calls(backend: str) -> tuple[BadCall, ...]:
    """The bad native calls of one of our own backends, by its name; none of a stranger's."""
    module = f"properties.bad_calls_{TABLES.get(backend, backend.partition(':')[0])}"
    if backend not in FORMS or importlib.util.find_spec(module) is None:
        return ()
    return importlib.import_module(module).CALLS


# --- what a case can say ------------------------------------------------------------------------


class Canvas:
    """The plain, valid question that each violation changes in one way, if a backend can be asked that.

    Its sizes, kernel and stride differ on every axis, but for a backend that takes `square` windows alone.
    """

    def __init__(self, name: str, can: Capabilities, ndim: int, *, square: bool = False) -> None:
        self.square = square
        self.can = can
        reductions: dict[str, Reduction] = {"max": Max(), "average": Average(), "lp": Lp(p=2.0)}
        self.reduction = reductions[name]
        self.sizes, self.stride = (3, 4, 5)[:ndim], (1, 2, 3)[:ndim]
        self.kernel = (2,) * ndim if square else (2, 3, 2)[:ndim]
        self.zeros, self.ones = (0,) * ndim, (1,) * ndim
        self.x = _numbers((2, 1, *self.sizes), dtype_named("float32" if "float32" in can.dtypes else min(can.dtypes)))
        # TensorFlow on CPU takes gradients in this layout alone.
        self.layout: Any = "channels_last" if "channels_last" in can.layouts else min(can.layouts)

    def last(self, values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
        """The same values but on the last axis."""
        return (*values[:-1], value)

    def window(self, size: int) -> tuple[int, ...]:
        """The kernel with another size on the last axis, or on all."""
        return (size,) * len(self.kernel) if self.square else self.last(self.kernel, size)

    def case(self, windows: Windows, x: np.ndarray | None = None, reduction: Reduction | None = None) -> Case | None:
        """A case, if the backend takes such windows."""
        if windows.name not in self.can.windows:
            return None
        return Case(PoolSpec(reduction=reduction or self.reduction, windows=windows), self.x if x is None else x, self.layout)

    def sliding(self, x: np.ndarray | None = None, reduction: Reduction | None = None, **changes: Any) -> Case | None:
        """A case of sliding windows with some of their fields changed."""
        windows = Sliding(**{"kernel": self.kernel, "stride": self.stride, **changes})
        able = ("dilation" not in changes or self.can.dilation) and (not windows.ceil_mode or self.can.ceil_mode)
        if isinstance(windows.padding, str):
            able &= windows.padding in self.can.paddings or windows.padding == "valid"
        else:
            able &= ("symmetric" if all(a == b for a, b in windows.padding) else "asymmetric") in self.can.paddings
        return self.case(windows, x, reduction) if able else None

    def norm(self, p: float) -> Case | None:
        """A case with another order of the norm, for a norm."""
        return self.sliding(reduction=Lp(p=p)) if isinstance(self.reduction, Lp) else None

    def straddling(self, padding: str = "") -> Case | None:
        """Windows of two taps, one before the input and one past it on the last axis, with a padding of one or the one given."""
        pads = padding or self.last(((0, 0),) * len(self.kernel), (1, 1))
        dilation = self.last(self.ones, 3)
        return self.sliding(x=self.x[..., :2], kernel=self.window(2), stride=self.ones, dilation=dilation, padding=pads)

    def gradient(self, case: Case | None) -> Case | None:
        """The gradient of a case's values."""
        if case is None or "gradient" not in self.can.outputs:
            return None
        return case.replace(output="gradient", cotangent=_numbers(case.pooled_shape, case.x.dtype))

    def cotangent(self, change: Callable[[tuple[int, ...]], tuple[int, ...]], dtype: str | None = None) -> Case | None:
        """A gradient whose cotangent has the shape that `change` makes of the pooled one."""
        plain = self.sliding()
        if plain is None or "gradient" not in self.can.outputs:
            return None
        cotangent = _numbers(change(plain.pooled_shape), dtype_named(dtype) if dtype else plain.x.dtype)
        return plain.replace(output="gradient", cotangent=cotangent)


VIOLATIONS: Mapping[str, Callable[[Canvas], Case | None]] = {
    "window larger than the input": lambda c: c.sliding(kernel=c.window(c.sizes[-1] + 1)),
    "window larger than the input, first axis": lambda c: c.sliding(kernel=(c.sizes[0] + 1, *c.kernel[1:])),
    "window larger than the input by its dilation": lambda c: c.sliding(dilation=c.last(c.ones, c.sizes[-1])),
    "window of 2^31": lambda c: c.sliding(kernel=c.window(2**31)),
    "window of 2^63 - 1": lambda c: c.sliding(kernel=c.window(2**63 - 1)),
    "window of 2^64": lambda c: c.sliding(kernel=c.window(2**64)),
    "kernel 0": lambda c: c.sliding(kernel=c.window(0)),
    "kernel -2": lambda c: c.sliding(kernel=c.window(-2)),
    "stride 0": lambda c: c.sliding(stride=c.last(c.stride, 0)),
    "stride -1": lambda c: c.sliding(stride=c.last(c.stride, -1)),
    "dilation 0": lambda c: c.sliding(dilation=c.last(c.ones, 0)),
    "dilation -1": lambda c: c.sliding(dilation=c.last(c.ones, -1)),
    "padding -1": lambda c: c.sliding(padding=c.last(_both(c.zeros), (-1, -1))),
    "padding -1 before": lambda c: c.sliding(padding=c.last(_both(c.zeros), (-1, 0))),
    "windows that read padding alone": lambda c: c.sliding(padding=c.last(_both(c.zeros), (c.kernel[-1],) * 2)),
    "a window that reads padding alone, after": lambda c: c.sliding(stride=c.ones, padding=c.last(_both(c.zeros), (0, c.kernel[-1]))),
    "windows that straddle the input": lambda c: c.straddling(),
    "windows that straddle the input, SAME": lambda c: c.straddling("same_upper"),
    "the gradient of windows that straddle the input": lambda c: c.gradient(c.straddling()),
    "the gradient of windows that straddle the input, SAME": lambda c: c.gradient(c.straddling("same_upper")),
    "ceil mode with SAME": lambda c: c.sliding(padding="same_upper", ceil_mode=True),
    "a kernel of higher rank than x": lambda c: c.sliding(kernel=(*c.kernel, c.kernel[-1]), stride=(*c.stride, 1)),
    "a kernel of lower rank than x": lambda c: c.sliding(x=c.x[..., None]),
    "no spatial axis": lambda c: c.sliding(x=c.x.reshape(2, -1)),
    "an axis of size 0": lambda c: c.sliding(x=c.x[..., :0]),
    "divisor 0": lambda c: c.sliding(reduction=Average(divisor=0)) if isinstance(c.reduction, Average) and c.can.divisor else None,
    "p = 0": lambda c: c.norm(0.0),
    "p = 0.5": lambda c: c.norm(0.5),
    "p = -1": lambda c: c.norm(-1.0),
    "p = nan": lambda c: c.norm(float("nan")),
    "p = inf": lambda c: c.norm(float("inf")),
    "output_size 0": lambda c: c.case(Adaptive(output_size=c.last(c.kernel, 0))),
    "output_size -1": lambda c: c.case(Adaptive(output_size=c.last(c.kernel, -1))),
    "an output_size of higher rank than x": lambda c: c.case(Adaptive(output_size=(*c.kernel, 1))),
    "adaptive windows over an axis of size 0": lambda c: c.case(Adaptive(output_size=c.kernel), c.x[..., :0]),
    "a global window over an axis of size 0": lambda c: c.case(Global(), c.x[..., :0]),
    "a cotangent with an element more": lambda c: c.cotangent(lambda shape: (*shape[:-1], shape[-1] + 1)),
    "a cotangent with an element fewer": lambda c: c.cotangent(lambda shape: (*shape[:-1], shape[-1] - 1)),
    "a cotangent with a channel more": lambda c: c.cotangent(lambda shape: (shape[0], shape[1] + 1, *shape[2:])),
    "a cotangent with a sample fewer": lambda c: c.cotangent(lambda shape: (shape[0] - 1, *shape[1:])),
    "a cotangent of x's shape": lambda c: c.cotangent(lambda shape: c.x.shape),
    "a cotangent without its last axis": lambda c: c.cotangent(lambda shape: shape[:-1]),
    "a cotangent of another dtype": lambda c: c.cotangent(lambda shape: shape, "float16" if c.x.dtype != np.float16 else "float64"),
}
"""What a case can get wrong, and the case that does, or None where a backend cannot be asked that."""

OF_STRANGERS = frozenset({
    "window larger than the input", "window larger than the input, first axis", "window larger than the input by its dilation",
    "stride 0", "a kernel of higher rank than x", "a kernel of lower rank than x",
})  # fmt: skip
"""The violations that a stranger's adapter, which promised nothing about invalid input, has to see too."""


def plain_cases(capabilities: Mapping[str, Any], *, square: bool = False) -> Iterator[Case]:
    """The valid cases that violations change, as far as a backend can be asked them."""
    for name, can in ((name, Capabilities.of(can)) for name, can in sorted(capabilities.items())):
        yield from (case for ndim in sorted(can.ndims) if (case := Canvas(name, can, ndim, square=square).sliding()) is not None)


def bad_cases(violation: str, capabilities: Mapping[str, Any], *, square: bool = False) -> Iterator[Case]:
    """The cases of one violation that a backend says it can be asked, plain two-dimensional ones first."""
    declared = {name: Capabilities.of(can) for name, can in capabilities.items()}
    for ndim in (2, 1, 3):
        for name, can in sorted(declared.items()):
            case = VIOLATIONS[violation](Canvas(name, can, ndim, square=square)) if ndim in can.ndims else None
            if case is not None and case.output == "gradient":
                yield case
            elif case is not None:
                yield from (case.replace(output=output) for output in ("values", "indices") if output in can.outputs)


def turned(violation: str, cases: Iterable[Case]) -> list[Case]:
    """The cases of a violation, begun at another place for each violation.

    Where time ends before they do, another reduction and dimension is then left out each time.
    """
    given = list(cases)
    start = list(VIOLATIONS).index(violation) % max(1, len(given))
    return [*given[start:], *given[:start]]


def _both(pads: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((pad, pad) for pad in pads)


def _numbers(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return (np.arange(math.prod(shape)) % 97).reshape(shape).astype(dtype)
