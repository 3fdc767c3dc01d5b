"""What a seeded defect is, and what several of them need."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.spec import Sliding
from properties.mutable import Reach, Steps, Tap


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A defect: what it gets wrong, and the steps that it replaces, as functions of (correct step, self, …).

    `plain` says that it changes nothing on a plain 4×4 input with 2×2 windows. `known_as` names the rows of
    `divergences.py` that are this very defect in a framework: beside that framework it is what the framework does, and
    those rows alone excuse it.
    """

    id: str
    family: str
    description: str
    steps: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    plain: bool = True
    known_as: frozenset[str] = frozenset()

    def build(self, base: type[Steps] = Steps) -> Steps:
        """The pooling with this defect."""

        def replacing(correct: Callable[..., Any], wrong: Callable[..., Any]) -> Callable[..., Any]:
            return lambda self, *arguments: wrong(lambda *given: correct(self, *given), self, *arguments)

        changed = {name: replacing(getattr(base, name), wrong) for name, wrong in self.steps.items()}
        return type(f"Mutant_{self.id}", (base,), changed)()


def mutant(
    family: str, id_: str, description: str, *, plain: bool = True, known_as: Iterable[str] = (), **steps: Callable[..., Any]
) -> Mutant:
    """One row: the steps are functions whose first argument is the correct step, bound."""
    return Mutant(id=id_, family=family, description=description, steps=steps, plain=plain, known_as=frozenset(known_as))


# --- what several rows need -----------------------------------------------------------------------


def swapped(sizes: tuple) -> tuple:
    """Sizes with their last two axes exchanged."""
    return (*sizes[:-2], sizes[-1], sizes[-2]) if len(sizes) > 1 else sizes


def with_windows(change: Callable[[Sliding], dict[str, Any]]) -> Callable[..., Any]:
    """A wrong `along` that asks the right one about changed sliding windows."""

    def along(correct: Callable, self: Steps, w: Any, axis: int, n: int) -> list[Reach]:
        if not isinstance(w, Sliding):
            return correct(w, axis, n)
        wrong = dataclasses.replace(w, **change(w))
        reaches = correct(wrong, axis, n)
        count = self.count(w, axis, n)
        return (reaches + reaches[-1:] * count)[:count]

    return along


def in_channels(wrong: Callable[..., list], channels: Callable[[int, int], bool]) -> Callable[..., list]:
    """A wrong `rows` for some channels c of C only."""
    return lambda correct, self, case, x, n, c: wrong(correct(case, x, n, c)) if channels(c, x.shape[1]) else correct(case, x, n, c)


def without_nan(numbers: list) -> list:
    """The numbers that are not NaN; all of them if none is."""
    return [number for number in numbers if number == number] or numbers


def drop_nan_maximum(numbers: list) -> int:
    """Where the largest number is, whatever NaN is beside it."""
    best = 0
    for i, number in enumerate(numbers):
        if number > numbers[best] or numbers[best] != numbers[best]:
            best = i
    return best


def last_maximum(numbers: list) -> int:
    """Where the last of the largest is; the first NaN wins."""
    best = 0
    for i, number in enumerate(numbers):
        if number != number:
            return i
        if number >= numbers[best]:
            best = i
    return best


def last_nan(numbers: list) -> int | None:
    """Where the last NaN is, if there is one."""
    return max((i for i, number in enumerate(numbers) if number != number), default=None)


def is_half(case: Any) -> bool:
    """Whether a case is about float16 or bfloat16."""
    return case.x.dtype.name in ("float16", "bfloat16")


def running(numbers: list) -> float:
    """A sum as the difference of two running sums, as a cumulative-sum kernel has it."""
    lead = 1e8
    return (lead + math.fsum(numbers)) - lead


def missing_taps(taps: list[Tap]) -> int:
    """How many taps of a window are padding."""
    return sum(not tap.inside for tap in taps)


def floats_only(wrong: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong `finish` for floats only."""
    return lambda correct, self, case, answer: answer if answer.dtype.kind in "iu" else wrong(case, answer)
