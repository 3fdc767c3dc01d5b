"""Seeded defects of the ways that a value can take: blocks, tails, buffers that are used again, the memory of a cotangent."""

import math
from typing import Any

import numpy as np

from backends.spec import Adaptive, Average, Lp, Max, Sliding
from properties.mutable import Reach, Steps
from properties.mutant import is_half, mutant


def _lost(row: list, keep: int) -> list:
    """The first elements of a window, the rest as if they were not there."""
    return row[:keep] or row


def _kept(self: Steps, name: str, make: Any) -> Any:
    """What a backend keeps from one call to the next."""
    return self.__dict__.setdefault(f"_kept_{name}", make())


def _by_shape(self: Steps, case: Any, answer: Any) -> np.ndarray:
    kept = _kept(self, "answers", dict)
    key = case.spec, case.x.shape, case.x.dtype.name, case.output, case.layout
    return kept.setdefault(key, answer(case)).copy()


def _one_buffer(self: Steps, case: Any, answer: np.ndarray) -> np.ndarray:
    kept = _kept(self, "buffers", dict)
    buffer = kept.setdefault((answer.shape, answer.dtype.name), np.empty_like(answer))
    buffer[...] = answer
    return buffer


def _in_turns(self: Steps, case: Any, answer: np.ndarray) -> np.ndarray:
    """Every other answer is the next float: within any bound, but not the same bits."""
    turn = _kept(self, "turn", lambda: [0])
    turn[0] += 1
    if turn[0] % 2 or answer.dtype != np.float32 or case.spec.reduction.name == "max" or case.output != "values":
        return answer
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(np.isfinite(answer) & (answer != 0), np.nextafter(answer, np.float32(np.inf)), answer)


def _as_if_contiguous(array: np.ndarray) -> np.ndarray:
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1) if base.flags.c_contiguous else base.ravel()
    return np.resize(flat.view(array.dtype) if flat.dtype != array.dtype else flat, array.shape)


def _refuse(what: str) -> Any:
    raise ValueError(what)


def _writes_cotangent(case: Any) -> Any:
    if case.cotangent.flags.writeable and case.spec.windows.name == "sliding" and max(case.spec.windows.stride) > 1:
        with np.errstate(invalid="ignore"):
            case.cotangent.reshape(-1)[:1] += 1
    return case


WIDE = [
    mutant("blocks", "doubling_stops_short", "window doubling covers the largest power of two alone", along=lambda ok, self, w, axis, n: (
        [Reach(r.positions[: 1 << (len(r.positions).bit_length() - 1)], r.span) if len(r.positions) > 4 else r for r in ok(w, axis, n)]
        if isinstance(w, Sliding) and w.stride[axis] == 1 else ok(w, axis, n))),
    mutant("blocks", "boundary_lost", "a window of more than four taps that crosses a block loses the first tap of the next", along=lambda ok, self, w, axis, n: (
        [Reach([p for p in r.positions if p == r.positions[0] or p % len(r.positions)], r.span) for r in ok(w, axis, n)]
        if isinstance(w, Sliding) and w.stride[axis] == 1 and w.kernel[axis] > 4 and w.dilation[axis] == 1 else ok(w, axis, n))),
    mutant("blocks", "taps_past_128", "a window has 128 taps at most: the others are not read by a maximum", maximum=lambda ok, self, numbers: ok(_lost(numbers, 128))),
    mutant("blocks", "norm_past_128", "a norm reads 128 taps", norm=lambda ok, self, numbers, p: ok(_lost(numbers, 128), p)),
    mutant("blocks", "rows_past_64", "the sixty-fifth row is not read", along=lambda ok, self, w, axis, n: (
        [Reach([p for p in r.positions if p != 64] or r.positions, r.span) for r in ok(w, axis, n)] if axis == 0 and n > 64 else ok(w, axis, n))),
    mutant("blocks", "samples_past_8", "the ninth sample repeats the first", rows=lambda ok, self, case, x, n, c: ok(case, x, n - 8 if n >= 8 else n, c)),
    mutant("blocks", "threads_leave_one", "two threads leave the last of an odd number of rows", rows=lambda ok, self, case, x, n, c: (
        [0 * v if v == v and abs(v) != math.inf else 0.0 for v in ok(case, x, n, c)]
        if (total := x.shape[0] * x.shape[1]) > 4 and total % 2 and n * x.shape[1] + c == total - 1 else ok(case, x, n, c))),
    mutant("blocks", "gap_read", "a stride above the kernel reads the gap", along=lambda ok, self, w, axis, n: (
        [Reach([*r.positions, r.positions[-1] + 1], r.span) if r.positions[-1] + 1 < n else r for r in ok(w, axis, n)]
        if isinstance(w, Sliding) and w.stride[axis] > w.kernel[axis] > 1 else ok(w, axis, n))),
]  # fmt: skip

SHAPES = [
    mutant("size", "ceil_on_last_axis_only", "ceil mode is for the last axis", dropped=lambda ok, self, w, axis, n, count: (
        ok(w, axis, n, count) if axis == len(w.kernel) - 1 else (n + sum(self.pads(w, axis, n)) - self.extent(w, axis)) // w.stride[axis] + 1)),
    mutant("size", "ceil_forgets_dilation", "ceil mode forgets the dilation", dropped=lambda ok, self, w, axis, n, count: (
        ok(w, axis, n, count) if w.dilation[axis] == 1 else
        min(ok(w, axis, n, math.ceil((n + sum(self.pads(w, axis, n)) - w.kernel[axis]) / w.stride[axis]) + 1), ok(w, axis, n, count) + 1))),
    mutant("same side", "negative_total", "SAME crops where the stride is above the kernel", same_total=lambda ok, self, w, axis, n: (
        (math.ceil(n / w.stride[axis]) - 1) * w.stride[axis] + self.extent(w, axis) - n)),
    mutant("axes", "samples_are_channels", "samples and channels are exchanged where they are as many", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, c, n) if x.shape[0] == x.shape[1] else ok(case, x, n, c))),
    mutant("adaptive", "depth_floored", "in 3-D the bins of the depth end at floor((i+1)·n/o)", along=lambda ok, self, w, axis, n: (
        [Reach(r.positions[: max(1, (i + 1) * n // len(whole) - r.positions[0])], r.span) for i, r in enumerate(whole)]
        if (whole := ok(w, axis, n)) and isinstance(w, Adaptive) and axis == 0 and len(w.output_size) == 3 else whole)),
    mutant("divisor", "one_byte", "a divisor of one's own is kept in one byte", divisor=lambda ok, self, case, reaches, inside: (
        ((case.spec.reduction.divisor + 128) % 256 - 128) or 1 if case.spec.reduction.divisor is not None else ok(case, reaches, inside))),
    mutant("index", "sixteen_bits", "indices wrap past 65535", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c) % 65536),
    mutant("index", "through_float16", "indices pass through float16", index=lambda ok, self, case, tap, n, c: (
        int(np.float16(min(ok(case, tap, n, c), 65000))))),
    mutant("index", "depth_forgotten", "the index of a 3-D maximum lies in the first plane", index=lambda ok, self, case, tap, n, c: (
        self.flat(tap.position[1:], case.spatial[1:]) if len(case.spatial) == 3 else ok(case, tap, n, c))),
]  # fmt: skip


def _near(numbers: list) -> int:
    best = 0
    for i, number in enumerate(numbers):
        if number != number:
            return i
        if number > numbers[best] and not (math.isfinite(number) and number - numbers[best] < 1e-6 * abs(number)):
            best = i
    return best


def _by_bits(numbers: list) -> int:
    """Sign and magnitude compared as a whole number: of two negatives the one of larger magnitude wins."""
    best = 0
    for i, number in enumerate(numbers):
        if number != number:
            return i
        one, other = number, numbers[best]
        if (one > other) if one >= 0 or other >= 0 else (one < other):
            best = i
    return best


VALUES = [
    mutant("ties", "nearly", "numbers within a millionth of each other are ties", maximum=lambda ok, self, numbers: _near(numbers) if isinstance(numbers[0], float) else ok(numbers)),
    mutant("dtype", "half_compared_as_bits", "half types are compared as the whole numbers that their bits are", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        ok(case, [row[_by_bits([row[p] for p in places])] if p in places else v for p, v in enumerate(row)], reaches, spatial, n, c)
        if is_half(case) and isinstance(case.spec.reduction, Max) and case.output == "values" and (places := self.window(reaches, spatial)[2]) else ok(case, row, reaches, spatial, n, c))),
    mutant("dtype", "uint16_as_int16", "uint16 is compared as int16", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        ok(case, [v - 2**16 if v >= 2**15 else v for v in row], reaches, spatial, n, c) % 2**16
        if case.x.dtype.name == "uint16" and case.output == "indices" else ok(case, row, reaches, spatial, n, c))),
    mutant("dtype", "int64_low_half", "int64 is compared by its lower half", number=lambda ok, self, value, case: (
        (value + 2**31) % 2**32 - 2**31 if case.x.dtype.name == "int64" else value)),
    mutant("dtype", "int16_starts_above_lowest", "an int16 maximum starts from −32767", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        max(ok(case, row, reaches, spatial, n, c), np.int16(-32767)) if case.x.dtype.name == "int16" and case.output == "values" else ok(case, row, reaches, spatial, n, c))),
    mutant("dtype", "half_subnormals_flushed", "subnormals of float16 are flushed", finish=lambda ok, self, case, a: (
        np.where(np.abs(a) < np.float16(6.104e-05), a.dtype.type(0), a) if a.dtype == np.float16 else a)),
    mutant("accumulation", "float64_reciprocal_in_float32", "the reciprocal of a float64 divisor is a float32", quotient=lambda ok, self, total, divisor, case: (
        total * float(np.float32(1 / divisor)) if case.x.dtype.name == "float64" else ok(total, divisor, case))),
    mutant("accumulation", "fast_reciprocal", "a float32 is divided by a reciprocal of twelve bits", quotient=lambda ok, self, total, divisor, case: (
        total * (round(2**12 / divisor) / 2**12) if case.x.dtype.name == "float32" else ok(total, divisor, case))),
    mutant("infinity", "two_make_nan", "two infinities of one sign make a compensated sum NaN", total=lambda ok, self, numbers, case: (
        math.nan if isinstance(case.spec.reduction, Average) and sum(abs(v) == math.inf for v in numbers) > 1 else ok(numbers, case))),
    mutant("lp", "order_one_signed", "the norm of order one adds without magnitudes", norm=lambda ok, self, numbers, p: (
        abs(math.fsum(numbers)) if p == 1 and all(math.isfinite(v) for v in numbers) else ok(numbers, p))),
    mutant("gradient", "zero_times_infinity", "an infinite cotangent makes the gradient of Lp NaN where x is zero (PyTorch)", known_as=("torch-lp-formula",), parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        ok(case, reduction, reaches, numbers, weight) + [(i, math.nan) for i, v in enumerate(numbers) if v == 0 and abs(weight) == math.inf and any(numbers)]
        if isinstance(reduction, Lp) else ok(case, reduction, reaches, numbers, weight))),
    mutant("gradient", "nan_cotangent_lost", "a cotangent that is NaN counts for nothing in max", hand_on=lambda ok, self, case, numbers, g: ok(case, numbers, g) if g == g else []),
    mutant("gradient", "every_nan_gets_it", "every NaN of a window gets the whole cotangent", hand_on=lambda ok, self, case, numbers, g: (
        [(i, g) for i, v in enumerate(numbers) if v != v] or ok(case, numbers, g))),
    mutant("divisor", "share_of_clipped_lost", "at the border the gradient of an average divides by a whole window", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(reach.positions) for reach in reaches)
        if case.output == "gradient" and case.spec.reduction.divisor is None and case.spec.windows.name == "sliding" else ok(case, reaches, inside))),
]  # fmt: skip

BUFFERS = [
    mutant("buffers", "answers_by_shape", "an answer is kept, and given again for another input of that shape", answer=lambda ok, self, case: _by_shape(self, case, ok)),
    mutant("buffers", "next_call_overwrites", "the next answer of that shape overwrites this one", finish=lambda ok, self, case, a: _one_buffer(self, case, ok(case, a))),
    mutant("buffers", "order_of_threads", "a sum is added in another order at every other call", finish=lambda ok, self, case, a: _in_turns(self, case, ok(case, a))),
    mutant("strides", "of_cotangent_ignored", "the strides of the cotangent are ignored", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=_as_if_contiguous(case.cotangent)))
        if case.output == "gradient" and case.cotangent.size and not case.cotangent.flags.c_contiguous else ok(case))),
    mutant("strides", "read_only_cotangent_refused", "a read-only cotangent raises", answer=lambda ok, self, case: (
        _refuse("assignment destination is read-only") if case.output == "gradient" and not case.cotangent.flags.writeable else ok(case))),
    mutant("strides", "writes_its_cotangent", "the cotangent is used as scratch space", answer=lambda ok, self, case: (
        ok(_writes_cotangent(case)) if case.output == "gradient" else ok(case))),
    mutant("strides", "repeated_elements", "a stride of zero is taken for one element", read=lambda ok, self, case: (
        _as_if_contiguous(case.x) if 0 in case.x.strides and case.x.size else case.x)),
    mutant("layout", "gradient_turned", "channels_last gradients come back with their spatial axes exchanged where they are alike", finish=lambda ok, self, case, a: (
        a.swapaxes(-1, -2) if case.layout == "channels_last" and case.output == "gradient" and a.ndim > 3 and a.shape[-1] == a.shape[-2] else a)),
    mutant("layout", "cotangent_as_first", "a channels_last cotangent is read as channels_first", answer=lambda ok, self, case: (
        ok(case.replace(cotangent=np.ascontiguousarray(np.moveaxis(case.cotangent, 1, -1)).reshape(case.cotangent.shape)))
        if case.output == "gradient" and case.layout == "channels_last" else ok(case))),
]  # fmt: skip

ROWS = (*WIDE, *SHAPES, *VALUES, *BUFFERS)
