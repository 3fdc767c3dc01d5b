"""Seeded defects that the laws once let through: each led to a case that one of them asks now."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.interface import Case
from backends.spec import SAME, Max, Sliding
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


# What a reader found whose defects need a wide window and a number that hurts, a large map and many channels, or the end of a network.


def lost(holds: Callable[..., bool]) -> Callable[..., Any]:
    """Where something holds of (case, reaches, spatial, c), a window loses the last of its taps along the last axis."""

    def cell(ok: Any, self: Steps, case: Case, row: list, reaches: Any, spatial: Any, n: int, c: int) -> Any:
        if holds(case, reaches, spatial, c):
            last = reaches[-1]
            # Kept, since what a window reads is looked up by the identity of its reaches.
            shorter = [*reaches[:-1], Reach(last.positions[:-1] or last.positions, last.span)]
            _, reaches = self.__dict__.setdefault("shorter", {}).setdefault(id(reaches), (reaches, shorter))
        return ok(case, row, reaches, spatial, n, c)

    return cell


def dropped(holds: Callable[..., Any]) -> Callable[..., Any]:
    """Where something holds of (case, reaches, spatial, place), maxima take no NaN from that place of a row."""

    def cell(ok: Any, self: Steps, case: Case, row: list, reaches: Any, spatial: Any, n: int, c: int) -> Any:
        if isinstance(case.spec.reduction, Max) and case.output == "values":
            row = [-math.inf if v != v and holds(case, reaches, spatial, place) else v for place, v in enumerate(row)]
        return ok(case, row, reaches, spatial, n, c)

    return cell


def crosses(case: Case, reaches: Any, place: int) -> bool:
    """Whether a wide window of a row reaches from one block of its own length into the next, and a place lies in the first."""
    positions = reaches[-1].positions
    if len(case.spatial) > 1 or not slides(case.spec.windows) or (k := case.spec.windows.kernel[-1]) < 8 or not positions:
        return False
    return positions[0] // k != positions[-1] // k and place // k == positions[0] // k


def boxes(ok: Any, self: Steps, case: Case) -> np.ndarray:
    """Averages of rows by one sum, to which what enters a window is added, and from which what leaves it is taken."""
    answer, windows = ok(case), case.spec.windows
    sums = case.spec.reduction.name == "average" and case.output == "values" and case.x.dtype.name == "float32" and slides(windows)
    if not sums or len(case.spatial) > 1 or windows.kernel[0] < 8 or windows.stride != (1,) or windows.dilation != (1,):
        return answer
    if windows.padding != "valid" or windows.ceil_mode or case.spec.reduction.divisor is not None or not answer.size:
        return answer
    k = windows.kernel[0]
    with np.errstate(all="ignore"):
        moves = np.concatenate([case.x[..., :k].sum(axis=-1, keepdims=True), case.x[..., k:] - case.x[..., :-k]], axis=-1)
        running: np.ndarray = np.cumsum(moves, axis=-1, dtype=np.float32) / np.float32(k)
    return running


def summed_area(ok: Any, self: Steps, case: Case) -> np.ndarray:
    """Averages of large squares by a table of sums, in which what is not finite spoils all that lies below it."""
    answer, windows = ok(case), case.spec.windows
    if case.spec.reduction.name != "average" or case.output != "values" or len(case.spatial) != 2 or not slides(windows):
        return answer
    if min(windows.kernel) < 5:
        return answer
    spoilt = ~np.isfinite(answer.astype(np.float64))
    for axis in (-1, -2):
        spoilt = np.logical_or.accumulate(spoilt, axis=axis)
    return np.where(spoilt, answer.dtype.type(np.nan), answer)


def taps_of(case: Case) -> int:
    """How many taps a whole window has."""
    return math.prod(case.spec.windows.kernel) if slides(case.spec.windows) else math.prod(case.spatial)


ENDS = [
    mutant("wide windows", "running_sum", "wide float32 averages of a row are one sum, which what leaves is taken from", answer=boxes),
    mutant("wide windows", "summed_area", "averages of 5×5 and more are differences of a table of sums", answer=summed_area),
    mutant("wide windows", "blocks_drop_nan", "maxima over eight and more drop a NaN before a border of blocks", cell=dropped(
        lambda case, reaches, spatial, place: crosses(case, reaches, place))),
    mutant("wide windows", "nan_of_many_taps", "sliding maxima of more than 256 taps drop NaN", known_as=("tf-max-drops-nan", "tf-xla-max-drops-nan"), cell=dropped(
        lambda case, reaches, spatial, place: slides(case.spec.windows) and taps_of(case) > 256)),
    mutant("heads", "nan_past_a_thousand", "a global maximum of more than 1024 elements drops NaN", cell=dropped(
        lambda case, reaches, spatial, place: case.spec.windows.name == "global" and taps_of(case) > 1024)),
    mutant("heads", "nan_beside_same", "maxima under SAME drop NaN where 8 to 15 channels fill a vector in part", cell=dropped(
        lambda case, reaches, spatial, place: slides(case.spec.windows) and case.spec.windows.padding in SAME and 8 <= case.x.shape[1] < 16)),
    mutant("heads", "means_of_sevens", "the last of seven average bins a side loses a tap", cell=lost(
        lambda case, reaches, spatial, c: case.spec.reduction.name == "average" and set(getattr(case.spec.windows, "output_size", ())) == {7}
        and reaches[-1].positions[-1] == spatial[-1] - 1)),
    mutant("heads", "means_past_16384", "a global average of more than 16384 elements loses a column", cell=lost(
        lambda case, reaches, spatial, c: case.spec.reduction.name == "average" and case.spec.windows.name == "global" and taps_of(case) > 16384)),
    mutant("lp", "order_in_float32", "the order of a norm is kept in float32", norm=lambda ok, self, numbers, p: ok(numbers, float(np.float32(p)))),
    mutant("layers", "three_by_two_same", "windows of three at stride two under SAME lose the last element of even rows from eight on", along=lambda ok, self, w, axis, n: (
        [Reach([p for p in reach.positions if p < n - 1], reach.span) for reach in ok(w, axis, n)]
        if slides(w) and w.padding == "same_upper" and (w.kernel[axis], w.stride[axis]) == (3, 2) and n >= 8 and n % 2 == 0 else ok(w, axis, n))),
    mutant("blocks", "lanes_and_rows", "from the sixteenth channel and the sixteenth column on windows lose a tap", cell=lost(
        lambda case, reaches, spatial, c: c >= 16 and reaches[-1].positions[0] >= 16)),
    mutant("blocks", "planes_past_1024", "averages and norms lose a tap of windows past the first thousand elements of a plane", cell=lost(
        lambda case, reaches, spatial, c: case.spec.reduction.name != "max" and slides(case.spec.windows) and case.layout == "channels_first"
        and len(spatial) == 2 and reaches[0].positions[0] * spatial[-1] >= 1100)),
    mutant("batch", "channels_past_1024", "the channels from 1024 on repeat the first", rows=lambda ok, self, case, x, n, c: ok(case, x, n, 0 if c >= 1024 else c)),
]  # fmt: skip

ROWS = (
    *ENDS,
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
