"""Seeded defects of kernels that are made for some sizes: real layers, wide windows, long rows, many bins, memory that is nearly plain.

None shows below the size that it is about.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.spec import Average, Lp, Max, Sliding
from properties.mutable import Reach, Steps, narrow
from properties.mutant import mutant


def _noting(ok: Callable, self: Steps, case: Any) -> np.ndarray:
    """The correct `read`, which leaves the case where steps that are not told of it find it."""
    self.__dict__["_noted"] = case
    return ok(case)


def _is(self: Steps, reduction: type) -> bool:
    return isinstance(self.__dict__["_noted"].spec.reduction, reduction)


def _without_last(reach: Reach) -> Reach:
    return Reach(reach.positions[:-1] or reach.positions, reach.span)


def _resnet(w: Any) -> bool:
    square = isinstance(w, Sliding) and len(w.kernel) == 2 and set(w.kernel) == {3}
    return square and set(w.stride) == {2} and w.padding == ((1, 1), (1, 1)) and set(w.dilation) == {1}


def _inception(w: Any) -> bool:
    square = isinstance(w, Sliding) and len(w.kernel) == 2 and set(w.kernel) == {3}
    return square and set(w.stride) == {1} and w.padding == ((1, 1), (1, 1)) and set(w.dilation) == {1}


def _last_changed(whole: list[Reach]) -> list[Reach]:
    return [*whole[:-1], _without_last(whole[-1])]


LAYERS = [
    mutant("layers", "three_by_two_padded", "the fast path of ResNet's first pooling is wrong in its last column", along=lambda ok, self, w, axis, n: (
        _last_changed(ok(w, axis, n)) if _resnet(w) and axis == 1 and n % 2 == 0 and n > 4 else ok(w, axis, n))),
    mutant("layers", "three_by_one_padded", "the fast path of Inception's pooling loses the last row", along=lambda ok, self, w, axis, n: (
        _last_changed(ok(w, axis, n)[:-1] + ok(w, axis, n)[-2:-1]) if _inception(w) and axis == 0 and n > 4 else ok(w, axis, n))),
    mutant("layers", "two_by_two_odd", "windows of two over an odd width of nine or more start one late from the fifth on", along=lambda ok, self, w, axis, n: (
        [Reach([p + 1 for p in r.positions], r.span) if i > 3 else r for i, r in enumerate(ok(w, axis, n))]
        if isinstance(w, Sliding) and w.kernel[axis] == w.stride[axis] == 2 and n > 8 and n % 2 and w.padding == "valid" and not w.ceil_mode else ok(w, axis, n))),
    mutant("layers", "seven_in_float16", "windows of 7×7 of float16 divide by 48", quotient=lambda ok, self, total, divisor, case: (
        ok(total, 48, case) if divisor == 49 and case.x.dtype.name == "float16" else ok(total, divisor, case))),
    mutant("layers", "three_by_two_ceil", "the overhang of k3 s2 in ceil mode repeats the window before", along=lambda ok, self, w, axis, n: (
        [*whole[:-1], whole[-2]] if (whole := ok(w, axis, n)) and isinstance(w, Sliding) and w.ceil_mode and len(whole) > 2
        and (w.kernel[axis], w.stride[axis]) == (3, 2) and n % 2 == 0 else whole)),
]  # fmt: skip


def _prefixed(ok: Callable, self: Steps, case: Any, row: list, reaches: Any, spatial: Any, n: int, c: int) -> Any:
    """An average of more than eight taps by the differences of running sums in float32."""
    _, inside, places = self.window(reaches, spatial)
    numbers = [row[place] for place in places]
    asked = isinstance(case.spec.reduction, Average) and case.x.dtype.name == "float32" and case.output == "values"
    if not asked or len(numbers) < 9 or not all(map(math.isfinite, row)):
        return ok(case, row, reaches, spatial, n, c)
    with np.errstate(over="ignore", invalid="ignore"):
        running = np.concatenate([[0], np.cumsum(np.array(row, np.float32), dtype=np.float32)])
        starts = [place for i, place in enumerate(places) if not i or places[i - 1] != place - 1]
        stops = [place + 1 for i, place in enumerate(places) if i + 1 == len(places) or places[i + 1] != place + 1]
        total = sum(float(running[stop] - running[start]) for start, stop in zip(starts, stops, strict=True))
    if not math.isfinite(total):
        return ok(case, row, reaches, spatial, n, c)
    return self.round(self.quotient(total, self.divisor(case, reaches, len(inside)), case), case)


WIDE = [
    mutant("wide windows", "last_of_17_to_64", "a maximum over 17 to 64 taps of an axis loses the last", read=_noting, along=lambda ok, self, w, axis, n: (
        [_without_last(r) for r in ok(w, axis, n)] if isinstance(w, Sliding) and 17 <= w.kernel[axis] <= 64 and _is(self, Max) else ok(w, axis, n))),
    mutant("wide windows", "prefix_sums", "an average of more than eight taps is the difference of running sums in float32", cell=_prefixed),
    mutant("wide windows", "options_past_33", "past 33 taps a divisor, or padding that counts, is forgotten", divisor=lambda ok, self, case, reaches, inside: (
        inside if math.prod(len(r.positions) for r in reaches) > 33 else ok(case, reaches, inside))),
    mutant("wide windows", "padding_past_33", "past 33 taps padding counts though it is not asked to", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(r.positions) for r in reaches)
        if math.prod(len(r.positions) for r in reaches) > 33 and case.spec.reduction.divisor is None else ok(case, reaches, inside))),
    mutant("wide windows", "order_past_33", "past 33 taps every norm is of order 2", norm=lambda ok, self, numbers, p: ok(numbers, 2.0 if len(numbers) > 33 else p)),
    mutant("wide windows", "high_order_is_max", "a norm of an order above 7 is taken for the largest", norm=lambda ok, self, numbers, p: (
        max((abs(v) for v in numbers), default=0.0) if p > 7 and all(v == v for v in numbers) else ok(numbers, p))),
    mutant("wide windows", "dilation_capped", "a dilation is three at most", along=lambda ok, self, w, axis, n: (
        [Reach([r.positions[0] + 3 * j for j in range(len(r.positions))], r.span) for r in ok(w, axis, n)]
        if isinstance(w, Sliding) and w.dilation[axis] > 3 else ok(w, axis, n))),
    mutant("wide windows", "cube_above_three", "in 3-D an axis of more than three taps that strides or is padded loses its last", along=lambda ok, self, w, axis, n: (
        [_without_last(r) for r in ok(w, axis, n)] if isinstance(w, Sliding) and len(w.kernel) == 3 and w.kernel[axis] > 3
        and (w.stride[axis] > 1 or any(self.pads(w, axis, n))) else ok(w, axis, n))),
    mutant("wide windows", "bins_in_float32", "adaptive bins begin and end at float32's i·(n/o)", bin=lambda ok, self, i, o, n: (
        range(int(np.float32(i) * np.float32(n / o)), math.ceil(np.float32(i + 1) * np.float32(n / o))))),
    mutant("wide windows", "bins_past_eight", "adaptive bins past the last whole eight repeat the one before", bin=lambda ok, self, i, o, n: (
        ok(o // 8 * 8 - 1, o, n) if o > 8 and i >= o // 8 * 8 else ok(i, o, n))),
    mutant("wide windows", "bfloat16_tail", "past 32 taps an average of bfloat16 adds in bfloat16", total=lambda ok, self, numbers, case: (
        narrow([ok(numbers[:32], case), *numbers[32:]], case.x.dtype)
        if len(numbers) > 32 and case.x.dtype.name == "bfloat16" and case.output == "values" and all(map(math.isfinite, numbers)) else ok(numbers, case))),
    mutant("wide windows", "half_divisor", "half types round a divisor of one's own to their type", divisor=lambda ok, self, case, reaches, inside: (
        float(np.asarray(case.spec.reduction.divisor).astype(case.x.dtype))
        if case.spec.reduction.divisor is not None and case.x.dtype.itemsize == 2 else ok(case, reaches, inside))),
]  # fmt: skip


def _tail_before(row: list, width: int, vector: int) -> list:
    """Rows whose elements past the last whole vector are those of the one before."""
    return [row[i - 1] if i % width >= width // vector * vector and i % width else v for i, v in enumerate(row)]


LONG = [
    mutant("long rows", "stride_two_from_17", "with a stride of two, outputs from the seventeenth on lose their last tap", along=lambda ok, self, w, axis, n: (
        [_without_last(r) if i > 15 else r for i, r in enumerate(ok(w, axis, n))]
        if isinstance(w, Sliding) and w.stride[axis] == 2 and axis == len(w.stride) - 1 else ok(w, axis, n))),
    mutant("long rows", "stride_three_tail", "with a stride of three, the outputs past the last whole eight of sixteen and more start one early",
           along=lambda ok, self, w, axis, n: (
        [Reach([p - 1 for p in r.positions], r.span) if i >= len(whole) // 8 * 8 else r for i, r in enumerate(whole)]
        if (whole := ok(w, axis, n)) and isinstance(w, Sliding) and w.stride[axis] == 3 and len(whole) > 16 else whole)),
    mutant("long rows", "blocked_channels", "averages of whole blocks of eight channels count the padding", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(r.positions) for r in reaches)
        if case.x.shape[1] % 8 == 0 and case.spec.reduction.divisor is None and case.spec.windows.name == "sliding" else ok(case, reaches, inside))),
    mutant("long rows", "bytes_past_64", "rows of bytes past the last whole 64 repeat an element", rows=lambda ok, self, case, x, n, c: (
        _tail_before(ok(case, x, n, c), x.shape[-1], 64)
        if x.dtype.itemsize == 1 and x.shape[-1] > 64 and case.layout == "channels_first" else ok(case, x, n, c))),
    mutant("long rows", "strided_tail", "rows of 32 and more whose elements lie apart gather a wrong tail", rows=lambda ok, self, case, x, n, c: (
        _tail_before(ok(case, x, n, c), x.shape[-1], 8)
        if x.shape[-1] > 31 and x.strides[-1] != x.itemsize and case.x is x else ok(case, x, n, c))),
    mutant("long rows", "negative_cotangent", "in rows of 32 outputs and more a negative cotangent counts for nothing",
           parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        [] if case.pooled_shape[-1] > 31 and weight < 0 else ok(case, reduction, reaches, numbers, weight))),
    mutant("long rows", "nan_cotangent", "in rows of 32 outputs and more a cotangent that is NaN counts for nothing",
           parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        [] if case.pooled_shape[-1] > 31 and weight != weight else ok(case, reduction, reaches, numbers, weight))),
]  # fmt: skip


def _signed_nan_lost(numbers: list) -> list:
    return [-math.inf if v != v and math.copysign(1, v) < 0 else v for v in numbers]


def _all_flipped(x: np.ndarray) -> np.ndarray:
    if not any(stride < 0 for stride in x.strides):
        return x
    return x[tuple(slice(None) if stride < 0 else slice(None, None, -1) for stride in x.strides)]


def _pitch_ignored(x: np.ndarray) -> np.ndarray:
    """Rows that lie apart, read as if they followed each other."""
    row = x.shape[-1] * x.itemsize
    if x.ndim < 4 or not x.size or x.strides[-1] != x.itemsize or x.strides[-2] <= row:
        return x
    strides = (*x.strides[:-2], row, x.itemsize)
    return np.lib.stride_tricks.as_strided(x, x.shape, strides)


def _expanded_as_plain(array: np.ndarray) -> np.ndarray:
    """What strides of zero repeat, read on: past it lies what is NaN here."""
    if 0 not in array.strides or not array.size:
        return array
    once = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)].ravel()
    read = np.full(array.size, np.nan, array.dtype)
    read[: once.size] = once
    return read.reshape(array.shape)


NEARLY_PLAIN = [
    mutant("strides", "signed_nan", "a NaN whose sign is set, as x86 makes it of inf − inf, is dropped", maximum=lambda ok, self, numbers: (
        ok(_signed_nan_lost(numbers)) if isinstance(numbers[0], float) else ok(numbers))),
    mutant("strides", "one_negative_flips_all", "if one stride is negative every axis is reversed", read=lambda ok, self, case: _all_flipped(ok(case))),
    mutant("strides", "pitch_is_width", "rows that lie apart are read as if they followed each other", read=lambda ok, self, case: _pitch_ignored(ok(case))),
    mutant("strides", "expanded_cotangent", "a cotangent that repeats by strides of zero is read on", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=_expanded_as_plain(case.cotangent))) if case.output == "gradient" else ok(case))),
    mutant("strides", "swapped_as_plain", "an input whose last two axes are exchanged in memory is read in the order of memory", read=lambda ok, self, case: (
        np.resize(ok(case).swapaxes(-1, -2), case.x.shape)
        if case.x.ndim > 3 and case.x.size and case.x.strides[-2] == case.x.itemsize < case.x.strides[-1] and case.x.strides[1] > case.x.strides[-1] else ok(case))),
]  # fmt: skip


def _planned(self: Steps, case: Any, forget: Callable[[Any], Any]) -> Any:
    """The spec that was first asked of those that the plan cache takes for one."""
    plans = self.__dict__.setdefault("_plans", {})
    key = forget(case.spec), case.x.shape, case.x.dtype.name, case.output, case.layout
    return case.replace(spec=plans.setdefault(key, case.spec))


def _forgets(forget: Callable[[Any], Any]) -> Callable[..., np.ndarray]:
    return lambda ok, self, case: ok(_planned(self, case, forget))


def _but(kind: Any, **plain: Any) -> Callable[[Any], Any]:
    """A spec with some attributes of its reduction as they are when nothing is said."""
    return lambda spec: (
        dataclasses.replace(spec, reduction=dataclasses.replace(spec.reduction, **plain)) if isinstance(spec.reduction, kind) else spec
    )


def _upper(spec: Any) -> Any:
    w = spec.windows
    return (
        dataclasses.replace(spec, windows=dataclasses.replace(w, padding="same_upper"))
        if getattr(w, "padding", "") == "same_lower"
        else spec
    )


def _floor(spec: Any) -> Any:
    w = spec.windows
    return dataclasses.replace(spec, windows=dataclasses.replace(w, ceil_mode=False)) if isinstance(w, Sliding) else spec


def _first_dtype(ok: Callable, self: Steps, case: Any) -> np.ndarray:
    """A plan cache without the type: what is rounded is rounded as the first caller wanted it."""
    plans = self.__dict__.setdefault("_plans", {})
    kind = plans.setdefault((case.spec, case.x.shape, case.output, case.layout), case.x.dtype)
    answer = ok(case)
    if case.output == "indices" or answer.dtype.kind in "iu" or kind.kind in "iu" or kind == answer.dtype:
        return answer
    with np.errstate(over="ignore", invalid="ignore"):
        return answer.astype(kind).astype(answer.dtype)


def _first_layout(ok: Callable, self: Steps, case: Any) -> np.ndarray:
    plans = self.__dict__.setdefault("_plans", {})
    first = plans.setdefault((case.spec, case.x.shape, case.x.dtype.name, case.output), case.layout)
    if first == case.layout:
        return ok(case)
    return ok(case.replace(x=np.ascontiguousarray(np.moveaxis(case.x, 1, -1)).reshape(case.x.shape)))


PLANS = [
    mutant("plans", "without_count_include_pad", "plans are kept without count_include_pad", answer=_forgets(_but(Average, count_include_pad=False))),
    mutant("plans", "without_divisor", "plans are kept without the divisor", answer=_forgets(_but(Average, divisor=None))),
    mutant("plans", "without_order", "plans are kept without the order of a norm", answer=_forgets(_but(Lp, p=2.0))),
    mutant("plans", "without_side", "plans are kept without the side of SAME", answer=_forgets(_upper)),
    mutant("plans", "without_ceil_mode", "plans of values are kept without ceil mode", answer=lambda ok, self, case: (
        ok(case) if case.output == "gradient" else _forgets(_floor)(ok, self, case))),
    mutant("plans", "without_dtype", "plans are kept without the type", answer=_first_dtype),
    mutant("plans", "without_layout", "plans are kept without the layout", answer=_first_layout),
]  # fmt: skip

ROWS = (*LAYERS, *WIDE, *LONG, *NEARLY_PLAIN, *PLANS)
