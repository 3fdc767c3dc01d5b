"""Seeded defects that the laws once let through: each led to a case that one of them asks now."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.interface import Case
from backends.spec import SAME, Sliding
from properties.mutable import Reach, Steps
from properties.mutant import mutant


def slides(windows: Any) -> bool:
    return isinstance(windows, Sliding)


def shortened(before: int, windows: Sliding, axis: int, n: int, whole: list[Reach]) -> list[Reach]:
    """The windows of an axis, whose span ends where padding after the input as wide as that before it would."""
    return [Reach(reach.positions, max(1, sum(p < n + before for p in reach.positions))) for reach in whole]


def forwards(axis: int) -> Callable[[Any, Steps, Case], np.ndarray]:
    """Read an axis forwards if its stride alone is negative."""

    def read(ok: Any, self: Steps, case: Case) -> np.ndarray:
        x = ok(case)
        alone = case.x.ndim > 3 and x.strides[axis] < 0 and all(step > 0 for place, step in enumerate(x.strides) if place != axis)
        return np.flip(x, axis) if alone else x

    return read


def pressed(array: np.ndarray) -> np.ndarray:
    """Samples that lie apart, each of them plain, read as if they followed each other."""
    plain = [math.prod(array.shape[axis + 1 :]) * array.itemsize for axis in range(array.ndim)]
    if array.size and array.shape[0] > 1 and list(array.strides[1:]) == plain[1:] and array.strides[0] > plain[0]:
        return np.lib.stride_tricks.as_strided(array, array.shape, plain)
    return array


def taken_for_one(x: np.ndarray) -> np.ndarray:
    """Spatial axes that repeat by a stride of zero, of which all but the first element are lost."""
    out = x
    for axis in range(2, x.ndim):
        if x.strides[axis] == 0 and x.shape[axis] > 1:
            out = np.array(out)
            out[(slice(None),) * axis + (slice(1, None),)] = 0
    return out


def by_width(ok: Any, self: Steps, case: Case) -> np.ndarray:
    if case.x.dtype.kind not in "iu":
        return ok(case)
    plans = self.__dict__.setdefault("by_width", {})
    first = plans.setdefault((case.spec, case.x.shape, case.x.dtype.itemsize, case.output, case.layout), case.x.dtype)
    if first == case.x.dtype:
        return ok(case)
    answer = ok(case.replace(x=np.array(case.x).view(first)))
    return answer if case.output == "indices" else answer.view(case.x.dtype)


def after_global(ok: Any, self: Steps, case: Case, reaches: Any, inside: Any) -> Any:
    before = self.__dict__.get("before") == (case.x.shape, "global") and slides(case.spec.windows)
    return math.prod(case.spatial) if before and case.spec.reduction.divisor is None else ok(case, reaches, inside)


def remember(ok: Any, self: Steps, case: Case, answer: np.ndarray) -> np.ndarray:
    self.__dict__["before"] = (case.x.shape, case.spec.windows.name)
    return ok(case, answer)


def clipped_start(ok: Any, self: Steps, case: Case, row: list, reaches: Any, spatial: Any, n: int, c: int) -> Any:
    places = self.window(reaches, spatial)[2]
    if case.output == "indices" and case.x.dtype.kind not in "iu" and all(row[place] == -math.inf for place in places):
        return max(0, self.flat([reach.positions[0] for reach in reaches], spatial))
    return ok(case, row, reaches, spatial, n, c)


ROWS = (
    mutant("strides", "rows_reversed", "a negative stride on the first spatial axis alone reads forwards", read=forwards(2)),
    mutant("strides", "samples_reversed", "a negative stride on the samples alone reads forwards", read=forwards(0)),
    mutant("strides", "sample_pitch", "samples that lie apart, each of them plain, are read as if they followed each other", read=lambda ok, self, case: pressed(ok(case))),
    mutant("strides", "cotangent_pitch", "the same, of a cotangent", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=pressed(case.cotangent))) if case.output == "gradient" else ok(case))),
    mutant("strides", "stride_of_zero", "a spatial axis that repeats by a stride of zero is taken for one element", read=lambda ok, self, case: taken_for_one(ok(case))),
    mutant("batch", "fourth_sample", "the fourth of four to seven samples repeats the third", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, 2 if n == 3 and x.shape[0] < 8 else n, c))),
    mutant("batch", "channels_256", "channels from the 257th on repeat the first ones", rows=lambda ok, self, case, x, n, c: ok(case, x, n, c % 256)),
    mutant("dilation", "nine_at_most", "a dilation is nine at most", along=lambda ok, self, w, axis, n: (
        [Reach([reach.positions[0] + 9 * j for j in range(len(reach.positions))], reach.span) for reach in ok(w, axis, n)] if slides(w) and w.dilation[axis] > 9 else ok(w, axis, n))),
    mutant("dilation", "overhang_of_asymmetric", "with dilation and ceil mode the overhang follows from the padding before", along=lambda ok, self, w, axis, n: (
        shortened(self.pads(w, axis, n)[0], w, axis, n, ok(w, axis, n)) if slides(w) and w.ceil_mode and w.dilation[axis] > 1 else ok(w, axis, n))),
    mutant("divisor", "padded_in_a_byte", "a padded average counts its taps in one byte", divisor=lambda ok, self, case, reaches, inside: (
        ok(case, reaches, inside) % 256 or 256 if slides(case.spec.windows) and case.spec.windows.padding != "valid" and case.spec.reduction.divisor is None else ok(case, reaches, inside))),
    mutant("divisor", "in_32_bits", "a divisor of one's own is kept in 32 bits", divisor=lambda ok, self, case, reaches, inside: (
        ok(case, reaches, inside) if case.spec.reduction.divisor is None else (case.spec.reduction.divisor + 2**31) % 2**32 - 2**31 or 1)),
    mutant("divisor", "wide_and_asymmetric", "kernels above eight taps take the padding before for that after", along=lambda ok, self, w, axis, n: (
        shortened(self.pads(w, axis, n)[0], w, axis, n, ok(w, axis, n)) if slides(w) and isinstance(w.padding, tuple) and w.kernel[axis] > 8 else ok(w, axis, n))),
    mutant("same side", "of_wide", "SAME of a kernel above 16 with a stride above one puts the odd element on the other side", pads=lambda ok, self, w, axis, n: (
        ok(w, axis, n)[::-1] if w.padding in SAME and w.kernel[axis] > 16 and w.stride[axis] > 1 else ok(w, axis, n))),
    mutant("lp", "five_and_six", "orders five and six take a root of order four", norm=lambda ok, self, numbers, p: ok(numbers, 4.0 if p in (5.0, 6.0) else p)),
    mutant("lp", "in_eight_bits", "an order is rounded to eight bits", norm=lambda ok, self, numbers, p: (
        ok(numbers, round(p * 2.0 ** (8 - math.frexp(p)[1])) / 2.0 ** (8 - math.frexp(p)[1])))),
    mutant("index", "of_a_clipped_start", "a window of −inf has the index of its unclipped start", cell=clipped_start),
    mutant("plans", "plans_by_width", "plans of integers are kept by the width of their type", answer=by_width),
    mutant("plans", "after_global", "a sliding pooling right after a global one of that shape divides by the whole map", divisor=after_global, finish=remember),
)  # fmt: skip
