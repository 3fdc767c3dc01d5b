"""Seeded defects that need two things at once: a batch and padding, a map that is large both ways, a plan and another size.

A reader made them up to disprove that laws kill by principle; each survived, and a law asks for what it needs since.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from backends.interface import Case
from backends.spec import Adaptive, Average, Global, Lp, Sliding
from properties.mutable import Reach, Steps
from properties.mutant import is_half, mutant


def slides(windows: Any) -> bool:
    return isinstance(windows, Sliding)


def tiled(side: int, axes: int, which: Callable[[Case], bool]) -> Callable[..., np.ndarray]:
    """A wrong `finish`: what lies past one tile on each of the last axes is taken from the first tile."""

    def finish(ok: Any, self: Steps, case: Case, answer: np.ndarray) -> np.ndarray:
        if not which(case) or answer.ndim < axes + 2 or min(answer.shape[-axes:]) <= side:
            return ok(case, answer)
        past: Any = (..., *(slice(side, None),) * axes)
        first: Any = (..., *(slice(0, size - side) for size in answer.shape[-axes:]))
        wrong = answer.copy()
        wrong[past] = answer[first]
        return ok(case, wrong)

    return finish


def of_layer(kernel: int, stride: int, pad: int, ndim: int = 2) -> Callable[..., list[Reach]]:
    """A wrong `along`: with the windows of one layer the last window of the last axis loses its last tap."""

    def along(ok: Any, self: Steps, w: Any, axis: int, n: int) -> list[Reach]:
        reaches: list[Reach] = ok(w, axis, n)
        padding = ((pad, pad),) * ndim if pad else "valid"
        asked = slides(w) and (w.kernel, w.stride, w.padding) == ((kernel,) * ndim, (stride,) * ndim, padding) and set(w.dilation) == {1}
        return [*reaches[:-1], Reach(reaches[-1].positions[:-1], reaches[-1].span)] if asked and axis == ndim - 1 else reaches

    return along


def lost(array: np.ndarray) -> np.ndarray:
    """The first element, and what a kernel finds that reads on where the others repeat it."""
    wrong = np.full(array.shape, 0 if array.dtype.kind in "iu" else np.nan, array.dtype)
    wrong.reshape(-1)[:1] = array.reshape(-1)[:1]
    return wrong


def together(array: np.ndarray) -> np.ndarray:
    """Planes that are plain but lie apart, read as if they followed each other."""
    plain = [math.prod(array.shape[axis + 1 :]) * array.itemsize for axis in range(array.ndim)]
    if array.ndim > 3 and array.size and array.shape[1] > 1 and list(array.strides[2:]) == plain[2:] and array.strides[1] > plain[1]:
        return np.lib.stride_tricks.as_strided(array, array.shape, (array.strides[0], *plain[1:]))
    return array


def turned(ok: Any, self: Steps, case: Case) -> np.ndarray:
    x = ok(case)
    signs = tuple(np.sign(case.x.strides))
    return x[..., ::-1] if signs == (1, 1, -1, -1) else x


def as_channels_last(array: np.ndarray) -> np.ndarray:
    """An array whose memory has its channels last, read as if they came first."""
    last = np.moveaxis(array, 1, -1)
    taken = array.ndim > 3 and array.size and last.flags.c_contiguous and not array.flags.c_contiguous
    return last.reshape(array.shape) if taken else array


def buffered(which: Callable[[Case], bool]) -> Callable[..., np.ndarray]:
    """A wrong `finish`: answers of one shape are all the same memory."""

    def finish(ok: Any, self: Steps, case: Case, answer: np.ndarray) -> np.ndarray:
        if not which(case):
            return ok(case, answer)
        buffer = self.__dict__.setdefault("buffers", {}).setdefault((answer.shape, answer.dtype.name), np.empty_like(answer))
        buffer[...] = answer
        return ok(case, buffer)

    return finish


def planned(what: str, forget: Callable[[Case], Case]) -> Callable[..., np.ndarray]:
    """A wrong `answer`: a plan is kept by a case without what is forgotten of it."""

    def answer(ok: Any, self: Steps, case: Case) -> np.ndarray:
        plans = self.__dict__.setdefault(f"plans {what}", {})
        seen = forget(case)
        key = seen.spec, seen.x.shape, case.x.dtype.name, case.output, case.layout
        return ok(case.replace(spec=plans.setdefault(key, case.spec)))

    return answer


def without_divisor_itself(case: Case) -> Case:
    reduction = case.spec.reduction
    if not isinstance(reduction, Average) or reduction.divisor is None:
        return case
    return case.replace(spec=replace(case.spec, reduction=replace(reduction, divisor=1)))


def without_samples(ok: Any, self: Steps, case: Case) -> np.ndarray:
    plans = self.__dict__.setdefault("samples", {})
    first = plans.setdefault((case.spec, case.x.shape[1:], case.x.dtype.name, case.output, case.layout), case.x.shape[0])
    answer = np.array(ok(case))
    answer[first:] = 0
    return answer


def after_empty(ok: Any, self: Steps, case: Case) -> np.ndarray:
    empty = self.__dict__.setdefault("empty", set())
    key = case.spec, case.x.shape[1:], case.x.dtype.name, case.output, case.layout
    if not case.x.shape[0]:
        empty.add(key)
    answer = ok(case)
    return np.zeros_like(answer) if key in empty else answer


def dense(ok: Any, self: Steps, case: Case, row: list, reaches: Any, spatial: Any, n: int, c: int) -> Any:
    w, value = case.spec.windows, ok(case, row, reaches, spatial, n, c)
    if (
        not isinstance(w, Sliding)
        or set(w.dilation) == {1}
        or not isinstance(case.spec.reduction, Average)
        or not np.isfinite(float(value))
    ):
        return value
    whole = itertools.product(*(range(max(0, r.positions[0]), min(s, r.positions[-1] + 1)) for r, s in zip(reaches, spatial, strict=True)))
    return value if all(math.isfinite(row[self.flat(place, spatial)]) for place in whole) else case.x.dtype.type(np.nan)


ROWS = (
    mutant("batch", "global_of_eight", "global pooling works on eight samples: the ninth is the first", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n % 8, c) if isinstance(case.spec.windows, Global) else ok(case, x, n, c))),
    mutant("batch", "bins_of_eight", "adaptive pooling works on eight samples", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n % 8, c) if isinstance(case.spec.windows, Adaptive) else ok(case, x, n, c))),
    mutant("batch", "planes_mixed_up", "from nine samples on, plane p is that of sample p % N", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, (n * x.shape[1] + c) % x.shape[0], (n * x.shape[1] + c) // x.shape[0]) if x.shape[0] > 8 else ok(case, x, n, c))),
    mutant("batch", "padding_of_eight", "from eight samples on padding counts", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(reach.positions) for reach in reaches) if case.x.shape[0] >= 8 and case.spec.reduction.divisor is None and slides(case.spec.windows)
        else ok(case, reaches, inside))),
    mutant("batch", "global_channels_128", "global pooling works on 128 channels", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n, c % 128) if isinstance(case.spec.windows, Global) else ok(case, x, n, c))),
    mutant("batch", "bins_of_channels_128", "adaptive pooling works on 128 channels", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n, c % 128) if isinstance(case.spec.windows, Adaptive) else ok(case, x, n, c))),
    mutant("blocks", "tile_of_eight", "the second tile of 8×8 windows repeats the first", finish=tiled(8, 2, lambda case: case.output != "gradient" and slides(case.spec.windows))),
    mutant("blocks", "tile_of_sixteen", "the second tile of 16×16 windows repeats the first", finish=tiled(16, 2, lambda case: case.output != "gradient" and slides(case.spec.windows))),
    mutant("blocks", "tile_of_bins", "the second tile of 8×8 adaptive bins repeats the first", finish=tiled(8, 2, lambda case: case.output != "gradient" and isinstance(case.spec.windows, Adaptive))),
    mutant("blocks", "windows_past_512", "windows past the 512th repeat the first", finish=tiled(512, 1, lambda case: case.output != "gradient")),
    mutant("strides", "cotangent_of_a_sum", "a cotangent all of whose strides are zero, that of a sum, is read on", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=lost(case.cotangent))) if case.output == "gradient" and case.cotangent.size > 1 and not any(case.cotangent.strides) else ok(case))),
    mutant("strides", "last_repeats", "a last axis that repeats by a stride of zero is read on", read=lambda ok, self, case: (
        lost(ok(case)) if case.x.ndim > 3 and case.x.size and case.x.shape[-1] > 1 and case.x.strides[-1] == 0 else ok(case))),
    mutant("strides", "planes_apart", "planes that lie apart are read as if they followed each other", read=lambda ok, self, case: together(ok(case))),
    mutant("strides", "turned_by_180", "of an image that is turned by 180° one axis reads forwards", read=turned),
    mutant("strides", "cotangent_with_channels_last", "a cotangent with its channels last in memory is taken for plain", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=as_channels_last(case.cotangent))) if case.output == "gradient" else ok(case))),
    mutant("buffers", "indices_share", "indices of one shape are all the same memory", finish=buffered(lambda case: case.output == "indices")),
    mutant("buffers", "half_gradients_share", "half gradients of one shape are all the same memory", finish=buffered(lambda case: case.output == "gradient" and is_half(case))),
    mutant("plans", "without_the_divisor_itself", "plans are kept by whether there is a divisor, not by which", answer=planned("divisor", without_divisor_itself)),
    mutant("plans", "without_samples", "plans are kept without the number of samples: a larger batch is pooled in part", answer=without_samples),
    mutant("plans", "after_empty", "what was asked of an empty batch first answers zeros", answer=after_empty),
    mutant("layers", "three_by_three", "3×3 windows side by side lose the last column", along=of_layer(3, 3, 0)),
    mutant("layers", "eight_by_eight", "8×8 windows side by side lose the last column", along=of_layer(8, 8, 0)),
    mutant("layers", "four_by_two_padded", "4×4 windows, stride 2, padding 1, lose the last column", along=of_layer(4, 2, 1)),
    mutant("lp", "eight_squares_twice", "order eight squares twice, not three times", norm=lambda ok, self, numbers, p: ok(numbers, 4.0 if p == 8 else p)),
    mutant("lp", "past_40_is_max", "an order above 40 is taken for infinity", norm=lambda ok, self, numbers, p: (
        max(map(abs, numbers), default=0.0) if p > 40 and not any(math.isnan(v) for v in numbers) else ok(numbers, p))),
    mutant("lp", "nearly_whole", "an order within 0.04 of a whole number is that number", norm=lambda ok, self, numbers, p: (
        ok(numbers, float(round(p)) if abs(p - round(p)) < 0.04 else p))),
    mutant("lp", "one_at_infinity", "order one hands on NaN where x is 0 and the cotangent infinite",
        parts=lambda ok, self, case, reduction, reaches, numbers, weight: ok(case, reduction, reaches, numbers, weight) + (
            [(i, math.nan) for i, v in enumerate(numbers) if v == 0] if isinstance(reduction, Lp) and reduction.p == 1 and math.isinf(weight) else [])),
    mutant("adaptive", "edges_in_16_bits", "edges i·n are kept in 16 bits", bin=lambda ok, self, i, o, n: (
        range(max(0, min(n - 1, ((i * n + 2**15) % 2**16 - 2**15) // o)), ok(i, o, n).stop))),
    mutant("adaptive", "late_past_128", "an axis above 128 has bins that begin one late", bin=lambda ok, self, i, o, n: (
        range(min(n - 1, ok(i, o, n).start + 1), ok(i, o, n).stop) if n > 128 and 1 < o < n // 2 else ok(i, o, n))),
    mutant("dilation", "dense", "a dilated average is a dense convolution, whose holes hold 0·inf", cell=dense),
    mutant("divisor", "shifted_by_one_too_few", "a divisor that is a power of two above two shifts by one too few", divisor=lambda ok, self, case, reaches, inside: (
        d / 2 if (d := case.spec.reduction.divisor or 0) > 2 and d & (d - 1) == 0 else ok(case, reaches, inside))),
)  # fmt: skip
