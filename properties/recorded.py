"""Frameworks as they are recorded: what one is known to answer, computed from its rows and without it.

A seeded defect must be seen in a framework that has deviations of its own. No framework can be
given one, so a stand-in is: it answers by the definition, with what the framework's rows predict put
in where they hold, and it declares the gaps that the framework's adapter declares.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from backends import compare, jax_plan, oracle, tensorflow_plan, torch_plan
from backends.interface import Backend, Capabilities, Case, dtype_named
from properties.divergence import Divergence
from properties.mutable import Steps, narrow


@dataclass(frozen=True, kw_only=True)
class Framework:
    """What is known of a framework without importing it: what it can be asked, and where it deviates."""

    name: str
    version: str
    capabilities: Mapping[str, Capabilities | Mapping[str, Any]]
    gap: Callable[[Case], str | None]


def _torch_gap(case: Case, *, compiled: bool = False) -> str | None:
    return torch_plan.unsayable(case) or torch_plan.refused(case, cuda=False, compiled=compiled, volumes=False)


def _tensorflow_gap(case: Case, *, variant: str = "") -> str | None:
    return tensorflow_plan.unsayable(case) or tensorflow_plan.refused(case, variant=variant, onednn=frozenset({"float32"}))


def _jax_gap(case: Case) -> str | None:
    return jax_plan.unsayable(case) or jax_plan.refused(case)


_TENSORFLOW = Framework(name="tensorflow", version="2.21.0", capabilities={**tensorflow_plan.capabilities(gpu=False)}, gap=_tensorflow_gap)
_TORCH = Framework(name="torch", version="2.13.0", capabilities={**torch_plan.capabilities(cuda=False)}, gap=_torch_gap)
EAGER = (_TENSORFLOW, _TORCH)
COMPILED = (
    replace(_TENSORFLOW, name="tensorflow:graph", gap=partial(_tensorflow_gap, variant="graph")),
    replace(_TENSORFLOW, name="tensorflow:xla", gap=partial(_tensorflow_gap, variant="xla")),
    replace(_TORCH, name="torch:compile", gap=partial(_torch_gap, compiled=True)),
    Framework(name="jax", version="0.10.2", capabilities={**jax_plan.capabilities()}, gap=_jax_gap),
)
FRAMEWORKS = (*EAGER, *COMPILED)


class Narrow(Steps):
    """The correct pooling, with its sums kept in another type."""

    def __init__(self, accumulator: str) -> None:
        self.accumulator = dtype_named(accumulator)

    def total(self, numbers: list, case: Case) -> float:
        correct = super().total(numbers, case)
        # What is special is so in any order; a row of lost digits says nothing of it.
        return narrow(numbers, self.accumulator) if np.isfinite(correct) else correct


class Recorded:
    """A backend that answers as a framework is recorded to, except where `inner` has a defect.

    `correct` and `inner` are two poolings that differ by that defect. Where their answers differ, `inner`'s stands: the
    defect is on top of what the framework does. With the correct pooling for both it is the framework alone.
    """

    def __init__(self, framework: Framework, rows: Sequence[Divergence], correct: Backend, inner: Backend | None = None) -> None:
        self.framework = framework
        self.correct, self.inner = correct, inner or correct
        self.name, self.version, self.capabilities, self.gap = framework.name, framework.version, framework.capabilities, framework.gap
        mine = [row for row in rows if row.applies_to(self.name, self.version) and row.outcome == "wrong"]
        # A sum in another type is what a prediction starts from; the prediction then has the last word.
        self.rows = sorted(mine, key=lambda row: row.predict is not None)

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        """The call of `inner`, and the framework's answer around it."""
        return partial(self._call, case, self.inner.bind(case))

    def fetch(self, native: np.ndarray) -> np.ndarray:
        return self.inner.fetch(native)

    def _call(self, case: Case, wrong: Callable[[], np.ndarray]) -> np.ndarray:
        defective, right = wrong(), self.correct.bind(case)()
        if defective.shape != right.shape or defective.dtype != right.dtype:
            return defective
        # In place: what else a defect does with its memory stays to be seen.
        np.copyto(defective, self.alone(case), where=_same(defective, right))
        return defective

    def alone(self, case: Case) -> np.ndarray:
        """The framework's answer as it is recorded, without a defect."""
        answer = self.correct.bind(case)().copy()
        exact = None
        for row in self.rows:
            where = np.broadcast_to(False if row.where is None else row.where(case), answer.shape)
            if not where.any():
                continue
            exact = oracle.pool(case) if exact is None else exact
            told = _told(row, case, exact, answer.shape)
            # What a row predicts is put in where it deviates: elsewhere the definition's answer is as good.
            where = where & compare.compare(case, told, exact).bad
            answer = np.where(where, told, answer)
        return answer


def _told(row: Divergence, case: Case, exact: oracle.Exact, shape: tuple[int, ...]) -> np.ndarray:
    """What a row says that the framework answers."""
    if row.predict is None:
        return Narrow(row.accumulator or case.x.dtype.name).bind(case)()
    predicted = np.broadcast_to(np.asarray(row.predict(case, exact)), shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return predicted.astype(np.int64 if case.output == "indices" else case.x.dtype)


def _same(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two arrays of one shape and dtype have the same bits, a NaN any NaN's."""
    with np.errstate(invalid="ignore"):
        return ((first == second) & (np.signbit(first) == np.signbit(second))) | ((first != first) & (second != second))


def remembered(row: Divergence, memory: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Divergence:
    """A row that computes what it says of a case once."""
    return replace(
        row,
        where=None if row.where is None else memory(row.where),
        predict=None if row.predict is None else memory(row.predict),
        slack=None if row.slack is None else memory(row.slack),
    )
