"""What a backend is: one implementation of pooling under test, and what it can be asked.

A stranger's adapter needs none of these classes: any object with the attributes of `Backend` is
one, and a plain dict with the keys of `Capabilities` will do.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from backends.spec import SAME, Adaptive, Average, Global, PoolSpec, Sliding

Layout = Literal["channels_first", "channels_last"]
Output = Literal["values", "indices", "gradient"]
LAYOUTS: tuple[Layout, ...] = ("channels_first", "channels_last")
OUTPUTS: tuple[Output, ...] = ("values", "indices", "gradient")
PADDINGS = ("valid", *SAME, "symmetric", "asymmetric")
WINDOWS = (Sliding.name, Adaptive.name, Global.name)
REDUCTIONS = ("max", "average", "lp")

Native = Any
"""Whatever a framework returns: its own array, or a tuple of them."""


class Unsupported(Exception):
    """A backend cannot do what was asked, and says why; never raised for what is wrong."""


@dataclass(frozen=True, eq=False)
class Case:
    """One question to a backend.

    `x` is an array of shape (N, C, *spatial) with any strides and a NumPy or ml_dtypes dtype.
    `layout` is the memory order in which the framework is given it. `cotangent`, for "gradient",
    has the shape and the dtype of the pooled values.

    Two cases are equal when they ask the same: arrays are compared bit by bit, NaN equal to NaN.
    """

    spec: PoolSpec
    x: np.ndarray
    layout: Layout = "channels_first"
    output: Output = "values"
    cotangent: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout={self.layout!r}: expected one of {', '.join(LAYOUTS)}")
        if self.output not in OUTPUTS:
            raise ValueError(f"output={self.output!r}: expected one of {', '.join(OUTPUTS)}")
        if (self.output == "gradient") != (self.cotangent is not None):
            raise ValueError(f"output={self.output!r}: a cotangent goes with 'gradient', and only with it")

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial shape of the input."""
        return self.x.shape[2:]

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """(N, C, *out): the shape of the pooled values."""
        return (*self.x.shape[:2], *self.spec.output_shape(self.spatial))

    def replace(self, **changes: Any) -> "Case":
        """This case with some of its fields changed."""
        return dataclasses.replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Case):
            return NotImplemented
        return (
            (self.spec, self.layout, self.output) == (other.spec, other.layout, other.output)
            and same_bits(self.x, other.x)
            and same_bits(self.cotangent, other.cotangent)
        )

    def __hash__(self) -> int:
        return hash((self.spec, self.layout, self.output, self.x.shape, self.x.dtype.name))


def same_bits(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two arrays have one dtype, one shape and the same bits, NaN equal to NaN."""
    if a is None or b is None:
        return a is b
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    raw = np.dtype(f"u{a.dtype.itemsize}")
    equal = np.ascontiguousarray(a).view(raw) == np.ascontiguousarray(b).view(raw)
    if a.dtype.kind in "iub":
        return bool(equal.all())
    with np.errstate(invalid="ignore"):  # a signalling NaN sets the flag
        return bool((equal | (np.isnan(a) & np.isnan(b))).all())


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one reduction of a backend can be asked; strategies draw cases inside it."""

    windows: frozenset[str]
    ndims: frozenset[int]
    dtypes: frozenset[str]
    layouts: frozenset[str]
    outputs: frozenset[str]
    paddings: frozenset[str]
    dilation: bool
    ceil_mode: bool
    count_include_pad: bool
    divisor: bool

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is bool:
                if not isinstance(value, bool):
                    raise TypeError(f"capabilities: {field.name}={value!r}: expected True or False")
                continue
            if isinstance(value, str):
                raise TypeError(f"capabilities: {field.name}={value!r}: expected a set")
            object.__setattr__(self, field.name, frozenset(value))
        for name, known in (
            ("windows", WINDOWS), ("ndims", (1, 2, 3)), ("layouts", LAYOUTS), ("outputs", OUTPUTS), ("paddings", PADDINGS),
        ):  # fmt: skip
            if unknown := sorted(getattr(self, name) - set(known), key=str):
                raise ValueError(f"capabilities: {name} has {unknown}: expected some of {list(known)}")
        for dtype in self.dtypes:
            dtype_named(dtype)

    @classmethod
    def of(cls, declared: "Capabilities | Mapping[str, Any]") -> "Capabilities":
        """Read what a backend declares, a `Capabilities` or a mapping with its keys.

        Raises:
            ValueError: a key is missing or unknown, or a value is not one the suite knows.
            TypeError: a value has the wrong type.
        """
        if isinstance(declared, cls):
            return declared
        if not isinstance(declared, Mapping):
            raise TypeError(f"capabilities: {declared!r}: expected a mapping")
        keys = {field.name for field in dataclasses.fields(cls)}
        if missing := sorted(keys - set(declared)):
            raise ValueError(f"capabilities: {', '.join(missing)} missing")
        if unknown := sorted(set(declared) - keys):
            raise ValueError(f"capabilities: {', '.join(unknown)} unknown; the keys are {', '.join(sorted(keys))}")
        return cls(**declared)


@runtime_checkable
class Backend(Protocol):
    """One implementation under test; what follows a colon in its name is a variant."""

    name: str
    version: str
    capabilities: Mapping[str, Capabilities | Mapping[str, Any]]

    def gap(self, case: Case) -> str | None:
        """Why this case, inside the capabilities, cannot be asked; None if it can."""

    def bind(self, case: Case) -> Callable[[], Native]:
        """Convert, place, lay out, compile: everything outside the clock.

        What it returns is the framework's own call and nothing else, and returns when the device
        has finished.
        """

    def fetch(self, native: Native) -> np.ndarray:
        """Back to (N, C, *out), or to x's shape for "gradient"."""


def dtype_named(name: str) -> np.dtype:
    """The dtype of that name, NumPy's or ml_dtypes'.

    Raises:
        ValueError: there is none.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        try:
            return np.dtype(getattr(ml_dtypes, name))
        except (AttributeError, TypeError):
            raise ValueError(f"dtype {name!r}: neither NumPy nor ml_dtypes has it") from None


def padding_kind(case: Case) -> str:
    """Which of the capabilities' paddings a case needs: explicit pairs are symmetric or not."""
    windows = case.spec.windows
    if not isinstance(windows, Sliding):
        return "valid"
    if isinstance(windows.padding, str):
        return windows.padding
    return "symmetric" if all(before == after for before, after in windows.padding) else "asymmetric"


def missing(capabilities: Mapping[str, Any], case: Case) -> str | None:
    """What a case needs that is outside the declared capabilities, or None."""
    reduction, windows = case.spec.reduction, case.spec.windows
    if reduction.name not in capabilities:
        return f"{reduction.name} pooling"
    can = Capabilities.of(capabilities[reduction.name])
    needs: list[tuple[str, object, bool]] = [
        ("windows", windows.name, windows.name in can.windows),
        ("ndims", f"{case.x.ndim - 2}-D", case.x.ndim - 2 in can.ndims),
        ("dtypes", case.x.dtype.name, case.x.dtype.name in can.dtypes),
        ("layouts", case.layout, case.layout in can.layouts),
        ("outputs", case.output, case.output in can.outputs),
        ("paddings", padding_kind(case), padding_kind(case) in can.paddings or not isinstance(windows, Sliding)),
    ]
    if isinstance(windows, Sliding):
        needs.append(("dilation", windows.dilation, can.dilation or set(windows.dilation) == {1}))
        needs.append(("ceil_mode", True, can.ceil_mode or not windows.ceil_mode))
    if isinstance(reduction, Average):
        needs.append(("count_include_pad", True, can.count_include_pad or not reduction.count_include_pad))
        needs.append(("divisor", reduction.divisor, can.divisor or reduction.divisor is None))
    return next((f"{name}: {value}" for name, value, able in needs if not able), None)


def refusal(backend: Backend, case: Case) -> str | None:
    """Why a backend cannot be asked a case: outside its capabilities, or a gap inside them."""
    outside = missing(backend.capabilities, case)
    return f"not in its capabilities: {outside}" if outside else backend.gap(case)


def require(backend: Backend, case: Case) -> None:
    """Raise `Unsupported`, with the reason, unless a backend can be asked a case."""
    if reason := refusal(backend, case):
        raise Unsupported(f"{backend.name}: {reason}")
