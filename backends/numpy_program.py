"""A pooling of one block as a program: a straight line of NumPy calls over named registers.

Planning writes the program once, outside the clock; running it is a loop over ufunc calls, which
costs about half a microsecond a call and is the same for every reduction, dtype and layout. Registers
are arrays: "x", "y" and whatever else a block is given, and scratch buffers that live in one small
arena, so that they stay in a core's cache.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

ALIGNMENT = 64


class Operand(NamedTuple):
    """A register, or a part of it."""

    register: str
    part: tuple[Any, ...] = ()


Input = Operand | int | float | np.generic


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call, `function(*inputs, out=out, **arguments)`; without an `out` it writes to its first input."""

    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    out: Operand | None
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Buffer(NamedTuple):
    """A scratch register: where it lies in the arena, in bytes, and as what it is seen."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


def copy(source: np.ndarray, *, out: np.ndarray) -> None:
    """Copy, converting as a C cast does."""
    np.copyto(out, source, casting="unsafe")


class Builder:
    """Writes a program. Buffers that were freed are used again, so that the arena stays small."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self.steps: list[Step] = []
        self.buffers: dict[str, Buffer] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.views: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {}
        self.size = 0
        self._free: list[tuple[int, int]] = []
        self._slots: dict[str, tuple[int, int]] = {}

    def buffer(self, shape: Sequence[int], dtype: np.dtype | type) -> str:
        """A new scratch register; its elements are undefined."""
        dtype = np.dtype(dtype)
        need = -(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        fitting = [slot for slot in self._free if slot[1] >= need]
        if fitting:
            slot = min(fitting, key=lambda slot: slot[1])
            self._free.remove(slot)
        else:
            slot = (self.size, need)
            self.size += need
        name = f"s{len(self.buffers)}"
        self.buffers[name] = Buffer(slot[0], tuple(shape), dtype)
        self.shapes[name] = tuple(shape)
        self._slots[name] = slot
        return name

    def free(self, name: str) -> None:
        """Give a scratch register's memory back; other registers are left alone."""
        if name in self._slots:
            self._free.append(self._slots.pop(name))

    def constant(self, array: np.ndarray) -> str:
        """A register that holds an array of the plan."""
        known = next((name for name, value in self.constants.items() if value is array), None)
        if known:
            return known
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        self.shapes[name] = array.shape
        return name

    def view(self, name: str, dtype: np.dtype | type) -> str:
        """A register that is another one, its bits seen as a dtype of the same size."""
        return self._seen(name, operator.methodcaller("view", np.dtype(dtype)), self.shapes[name])

    def part(self, name: str, index: tuple[slice, ...]) -> str:
        """A register that is a part of another one."""
        shape = tuple(len(range(*part.indices(size))) for part, size in zip(index, self.shapes[name], strict=True))
        return self._seen(name, operator.itemgetter(index), shape)

    def split(self, name: str, axis: int, into: tuple[int, int]) -> str:
        """A register whose axis begins with a·b elements, with these as two axes of a and b; the rest is left out."""
        shape = self.shapes[name]
        begin = (*(slice(None),) * axis, slice(0, into[0] * into[1]))
        apart = (*shape[:axis], *into, *shape[axis + 1 :])
        return self._seen(name, lambda array: array[begin].reshape(apart), apart)

    def flat(self, name: str) -> str:
        """A register that is a contiguous one in one dimension."""
        return self._seen(name, operator.methodcaller("reshape", -1), (math.prod(self.shapes[name]),))

    def _seen(self, name: str, look: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> str:
        seen = f"v{len(self.views)}"
        self.views[seen] = (name, look)
        self.shapes[seen] = shape
        return seen

    def emit(self, function: Callable[..., Any], *inputs: Input | str, out: Operand | str | None, **arguments: Any) -> None:
        """Append a call; a register's name alone means all of it.

        Raises:
            ValueError: a register was freed before: by now its memory may be another's.
        """
        operands = tuple(self._operand(given) for given in inputs)
        target = None if out is None else self._operand(out)
        for operand in (*operands, target):
            if isinstance(operand, Operand):
                self._require_held(operand.register)
        self.steps.append(Step(function=function, inputs=operands, out=target, arguments=arguments))

    def _operand(self, given: Any) -> Any:
        """A register by its name, or by a part that is all of it, as the register: looking at a part takes time in each call."""
        if isinstance(given, str):
            return Operand(given)
        if not isinstance(given, Operand):
            return given
        whole = all(
            isinstance(part, slice) and part.indices(size) == (0, size, 1)
            for part, size in zip(given.part, self.shapes[given.register], strict=False)
        )
        return Operand(given.register) if whole else given

    def _require_held(self, name: str) -> None:
        while name in self.views:
            name = self.views[name][0]
        if name in self.buffers and name not in self._slots:
            raise ValueError(f"register {name} was freed before this step, {len(self.steps)}")

    def program(self) -> "Program":
        """What was written."""
        return Program(
            steps=tuple(self.steps), buffers=dict(self.buffers), constants=dict(self.constants), views=dict(self.views), size=self.size
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A straight line of calls, its constants, and the layout of its scratch memory, `size` bytes."""

    steps: tuple[Step, ...]
    buffers: Mapping[str, Buffer]
    constants: Mapping[str, np.ndarray]
    views: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray]]]
    size: int

    def link(self, arena: np.ndarray) -> "list[Call]":
        """The calls with their scratch memory and constants looked up; `arena` has at least `size` bytes.

        All other registers are open: `give` fills in those of a block, `Script.run` those of the result.
        """
        registers: dict[str, np.ndarray | Open] = dict(self.constants)
        for name, (offset, shape, dtype) in self.buffers.items():
            registers[name] = np.ndarray(shape, dtype, arena, offset)
        for name, (of, look) in self.views.items():
            registers[name] = _look(registers.get(of, Open(of)), look)
        calls = []
        for step in self.steps:
            inputs = tuple(_operand(registers, given) for given in step.inputs)
            calls.append(Call(step.function, inputs, _operand(registers, step.out), step.arguments))
        return calls


class Open(NamedTuple):
    """An operand that is not known yet: a register, and how it is looked at."""

    register: str
    looks: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()

    def among(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """The operand, from the registers that are given."""
        array = given[self.register]
        for look in self.looks:
            array = look(array)
        return array


class Call(NamedTuple):
    """A step that is ready to run, but for its open operands."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    out: np.ndarray | Open | None
    arguments: Mapping[str, Any]


def give(calls: Sequence[Call], given: Mapping[str, np.ndarray]) -> list[Call]:
    """The calls with some registers filled in; those that use none of them are the same objects, so that many blocks are small."""

    def filled(operand: Any) -> Any:
        return operand.among(given) if isinstance(operand, Open) and operand.register in given else operand

    ready = []
    for call in calls:
        inputs, out = tuple(map(filled, call.inputs)), filled(call.out)
        same = out is call.out and all(a is b for a, b in zip(inputs, call.inputs, strict=True))
        ready.append(call if same else Call(call.function, inputs, out, call.arguments))
    return ready


class Script:
    """A program's calls, which are made again and again, and by many blocks, with other arrays for their open operands alone.

    What is open is looked at once a run, and once where it is all of a register: that is half of what the calls of a small pooling
    cost beside what they compute.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        operands = [operand for call in calls for operand in (*call.inputs, call.out)]
        places = {operand: place for place, operand in enumerate(dict.fromkeys(one for one in operands if isinstance(one, Open)))}
        self._opens = tuple(places)
        self._known = [operand for operand in operands if not isinstance(operand, Open)]
        known = iter(range(len(self._opens), len(operands)))
        self._calls: list[tuple[Callable[..., Any], Callable[[list[Any]], tuple[Any, ...]], int | None, Mapping[str, Any]]] = []
        for call in calls:
            *inputs, out = [places[one] if isinstance(one, Open) else next(known) for one in (*call.inputs, call.out)]
            self._calls.append((call.function, _pick(inputs), None if call.out is None else out, call.arguments))

    def settled(self, given: Mapping[str, np.ndarray]) -> list[np.ndarray | Open]:
        """The open operands, of which those of the registers given are looked at for good."""
        return [operand.among(given) if operand.register in given else operand for operand in self._opens]

    def run(self, settled: Sequence[np.ndarray | Open], given: Mapping[str, np.ndarray]) -> None:
        """Make the calls, with what is given for the registers that are open yet."""
        operands: list[Any] = [operand.among(given) if isinstance(operand, Open) else operand for operand in settled]
        operands += self._known
        for function, pick, out, arguments in self._calls:
            if out is None:
                function(*pick(operands), **arguments)
            else:
                function(*pick(operands), out=operands[out], **arguments)


def _pick(places: Sequence[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """What takes the items at some places, as a tuple, however many they are."""
    if len(places) == 1:
        (place,) = places
        return lambda items: (items[place],)
    return operator.itemgetter(*places) if places else lambda items: ()


def _look(register: np.ndarray | Open, look: Callable[[np.ndarray], np.ndarray]) -> np.ndarray | Open:
    return Open(register.register, (*register.looks, look)) if isinstance(register, Open) else look(register)


def _operand(registers: Mapping[str, np.ndarray | Open], given: Input | None) -> Any:
    if not isinstance(given, Operand):
        return given
    register = registers.get(given.register, Open(given.register))
    return _look(register, operator.itemgetter(given.part)) if given.part else register
