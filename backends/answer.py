"""What a backend did with one case, as facts: a law names what it finds, this only reports."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.interface import Backend, Case

STAGES = ("bind", "call", "fetch")
HELD = "the last answer"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back from one case, and what happened on the way.

    `array` is None where `fetch` returned something that is not an array of numbers; `returned` and
    `native` name the types of what `fetch` and the call before it returned. `wrote` names what
    changed under the backend's hands: "x", "cotangent", or "around x": memory beside its elements; and `HELD`, the answer before.
    `printed` and `logged` are what went to standard output and standard error, whoever wrote it, and
    `warned` Python's warnings.
    """

    array: np.ndarray | None
    returned: str
    native: str
    wrote: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    printed: str = ""
    logged: str = ""

    @property
    def value(self) -> Any:
        """The array; where there is none, an object whose type has the name of what came instead."""
        return type(self.returned, (), {})() if self.array is None else self.array

    @property
    def faults(self) -> tuple[str, ...]:
        """What no backend may do, a sentence each; whether the numbers are right is not asked here."""
        found = [f"it wrote to its input: {name} has changed" for name in self.wrote if name != HELD]
        if HELD in self.wrote:
            found.append("it wrote to an array that it had returned: the answer to the question before this one has changed")
        if self.array is None or self.returned != "numpy.ndarray":
            found.append(f"fetch returned {self.returned}: expected a NumPy array in this machine's memory")
        elif not self.array.flags.writeable:
            found.append("fetch returned a read-only array: expected one that belongs to the caller")
        if self.printed:
            found.append(f"it printed {_short(self.printed)} to standard output")
        return tuple(found)


class Raised(Exception):
    """A backend raised; `stage` says in which of its methods, the cause is what it raised."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


class Held:
    """The last answer, as a caller holds it: what was returned is his, and no later call may write to it."""

    def __init__(self) -> None:
        self._array: np.ndarray | None = None
        self._was = b""

    def changed(self) -> bool:
        """Whether it has."""
        return self._array is not None and self._array.tobytes() != self._was

    def hold(self, array: np.ndarray | None) -> None:
        """Hold another one from now on."""
        self._array, self._was = array, b"" if array is None else array.tobytes()


def observe(backend: Backend, case: Case, memory: Mapping[str, np.ndarray] | None = None, held: Held | None = None) -> Answer:
    """Ask a backend one case, and report. What it prints is for others to catch.

    `memory` has, for "x" and "cotangent", the bytes that they lie in, with what is around them; `held` the answer to the
    question before, which is replaced.

    Raises:
        Raised: the backend did.
    """
    inputs = {"x": case.x} if case.cotangent is None else {"x": case.x, "cotangent": case.cotangent}
    watched = inputs if memory is None else memory
    before = {name: array.tobytes() for name, array in watched.items()}
    stages = iter(STAGES)
    with warnings.catch_warnings(record=True) as caught:
        stage = next(stages)
        try:
            call = backend.bind(case)
            stage = next(stages)
            native = call()
            stage = next(stages)
            value = backend.fetch(native)
        except BaseException as error:
            raise Raised(stage) from error
    array = value if isinstance(value, np.ndarray) else None
    wrote: list[str] = []
    for name, whole in watched.items():
        if whole.tobytes() != before[name]:
            wrote += [name] if memory is None else _changes(name, inputs[name], whole, before[name])
    if held is not None:
        wrote += [HELD] if held.changed() else []
        held.hold(array)
    return Answer(
        array=array,
        returned=type_name(value),
        native=type_name(native),
        wrote=tuple(wrote),
        warned=tuple(f"{warning.category.__name__}: {warning.message}" for warning in caught),
    )


def _changes(name: str, array: np.ndarray, memory: np.ndarray, before: bytes) -> list[str]:
    """Which changed: the elements of an array, or what lies around them in memory."""
    place = (array.shape, array.dtype), (array.ctypes.data - memory.ctypes.data, array.strides)
    found = [name] if np.ndarray(*place[0], before, *place[1]).tobytes() != array.tobytes() else []
    expected = bytearray(before)
    np.ndarray(*place[0], expected, *place[1])[...] = array
    return found if expected == memory.tobytes() else [*found, f"around {name}"]


def type_name(value: Any) -> str:
    """The full name of a value's type: "torch.Tensor", "list"."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else f"{text[:limit]}…")
