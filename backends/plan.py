"""A framework's call as data: what an adapter executes and what it prints are the same plan."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Call:
    """One documented call: a dotted name and keyword arguments, apart from the arrays it is given.

    Arguments are literals, or `Name`s for what only the framework can name, such as a dtype.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self, framework: Any) -> Callable[..., Any]:
        """The framework's own function with the arguments bound; the arrays go first."""
        bound = {name: value.resolve(framework) if isinstance(value, Name) else value for name, value in self.arguments.items()}
        return functools.partial(Name(self.function).resolve(framework), **bound)

    def __hash__(self) -> int:
        return hash(self.source())

    def source(self, *arrays: str) -> str:
        """The call as a line of Python, with the arrays named as given."""
        return f"{self.function}({', '.join([*arrays, *(f'{name}={value!r}' for name, value in self.arguments.items())])})"


@dataclass(frozen=True)
class Name:
    """A dotted name inside a framework: "torch.float16"."""

    dotted: str

    def resolve(self, framework: Any) -> Any:
        """What the name stands for; its first part is the framework module itself."""
        return functools.reduce(getattr, self.dotted.split(".")[1:], framework)

    def __repr__(self) -> str:
        return self.dotted


def literal(array: np.ndarray) -> str:
    """An array's elements as a nested list that Python reads back to the same numbers."""
    if array.dtype.kind not in "iub":
        array = array.astype(np.float64)
    return _nested(array.tolist())


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)
