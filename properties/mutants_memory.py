"""Seeded defects of gradients, of memory, and of samples and channels."""

import math
from typing import Any

import numpy as np

from backends.spec import Lp
from properties.mutable import Reach, narrow
from properties.mutant import (
    in_channels,
    is_half,
    mutant,
)

GRADIENT = [
    mutant("gradient", "overlaps_overwrite", "where windows overlap the last one wins", gather=lambda ok, self, parts, case: parts[-1]),
    mutant("gradient", "overlaps_average", "where windows overlap their parts are averaged", gather=lambda ok, self, parts, case: ok(parts, case) / len(parts)),
    mutant("gradient", "two_parts_at_most", "a third window that meets in an element is lost", gather=lambda ok, self, parts, case: ok(parts[:2], case)),
    mutant("gradient", "cotangent_ignored", "the gradient is of the sum", parts=lambda ok, self, case, reduction, reaches, numbers, weight: ok(case, reduction, reaches, numbers, 1.0), plain=False),
    mutant("gradient", "negative_cotangent_lost", "a negative cotangent counts for nothing", parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        ok(case, reduction, reaches, numbers, max(weight, 0.0) if weight == weight else weight))),
    mutant("gradient", "lost_in_clipped_windows", "windows at the border hand nothing on", parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        [] if len(numbers) < math.prod(len(reach.positions) for reach in reaches) else ok(case, reduction, reaches, numbers, weight))),
    mutant("gradient", "lost_for_minus_inf", "a window of −inf hands nothing on", hand_on=lambda ok, self, case, numbers, g: (
        [] if all(v == -math.inf for v in numbers) else ok(case, numbers, g))),
    mutant("gradient", "only_of_positive", "a maximum that is not positive hands nothing on (ReLU fused in)", hand_on=lambda ok, self, case, numbers, g: (
        [(i, g) for i, _ in ok(case, numbers, g) if not numbers[i] <= 0])),
    mutant("gradient", "lp_sign_lost", "the gradient of Lp forgets the sign of x", slope=lambda ok, self, x, y, p: abs(ok(x, y, p))),
    mutant("gradient", "lp_nan_at_zero", "the gradient of Lp is NaN where y is 0 (PyTorch)", parts=lambda ok, self, case, reduction, reaches, numbers, weight: (
        [(i, math.nan) for i in range(len(numbers))] if isinstance(reduction, Lp) and not any(numbers) else ok(case, reduction, reaches, numbers, weight))),
    mutant("gradient", "lp_exponent", "the gradient of Lp has the exponent p", slope=lambda ok, self, x, y, p: ok(x, y, p + 1)),
    mutant("gradient", "lp_scaled_by_p", "the gradient of Lp is p times too large", slope=lambda ok, self, x, y, p: ok(x, y, p) * p, plain=False),
    mutant("gradient", "half_accumulates_in_half", "half-type gradients add in their own type (PyTorch CPU)", known_as=(
        "torch-float16-gradient", "torch-bfloat16-gradient", "torch-float16-lp", "torch-bfloat16-lp", "tf-float16-gradient", "tf-bfloat16-gradient",
        "jax-float16-gradient", "jax-bfloat16-gradient"), gather=lambda ok, self, parts, case: (
        narrow(parts, case.x.dtype) if is_half(case) else ok(parts, case))),
    mutant("gradient", "unread_gets_something", "an element that no window reads gets a little", gradient=lambda ok, self, case, x, cells: _unread(ok(case, x, cells))),
]  # fmt: skip


def _unread(answer: np.ndarray) -> np.ndarray:
    if answer.size and answer.shape[-1] > 4 and not answer[..., -1].astype(np.float64).any():
        answer[..., -1] = 0.125
    return answer


def _as_if_contiguous(x: np.ndarray) -> np.ndarray:
    base = x
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1) if base.flags.c_contiguous else base.ravel()
    return np.resize(flat, x.shape)


def _writes(case: Any) -> np.ndarray:
    if case.x.flags.writeable and case.x.size and case.spec.windows.name == "sliding" and case.spec.windows.padding != "valid":
        with np.errstate(invalid="ignore"):
            case.x.reshape(-1)[:1] = 1
    return case.x


MEMORY = [
    mutant("strides", "ignored", "strides are ignored: memory is read as if it were contiguous", read=lambda ok, self, case: (
        case.x if case.x.flags.c_contiguous or not case.x.size else _as_if_contiguous(case.x))),
    mutant("strides", "negative_taken_as_positive", "a negative stride reads forwards", read=lambda ok, self, case: (
        case.x[tuple(slice(None, None, -1) if s < 0 else slice(None) for s in case.x.strides)] if any(s < 0 for s in case.x.strides) else case.x)),
    mutant("strides", "read_only_refused", "a read-only input raises", read=lambda ok, self, case: case.x if case.x.flags.writeable else _refuse()),
    mutant("strides", "writes_its_input", "the input is used as scratch space", read=lambda ok, self, case: _writes(case)),
    mutant("layout", "channels_last_as_first", "channels_last memory is read as channels_first", read=lambda ok, self, case: (
        np.ascontiguousarray(np.moveaxis(case.x, 1, -1)).reshape(case.x.shape) if case.layout == "channels_last" else case.x)),
    mutant("layout", "last_channel_lost", "channels_last loses its last channel from the ninth on", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n, c - 1) if case.layout == "channels_last" and c == x.shape[1] - 1 and c >= 8 else ok(case, x, n, c))),
    mutant("layout", "axes_turned", "channels_last exchanges the spatial axes where they are alike", read=lambda ok, self, case: (
        case.x.swapaxes(-1, -2) if case.layout == "channels_last" and case.x.ndim > 3 and case.x.shape[-1] == case.x.shape[-2] > 4 else case.x)),
    mutant("layout", "index_with_channels", "channels_last indices count the channels (TensorFlow's argmax)", index=lambda ok, self, case, tap, n, c: (
        ok(case, tap, n, c) * case.x.shape[1] + c if case.layout == "channels_last" else ok(case, tap, n, c))),
]  # fmt: skip


def _refuse() -> Any:
    raise ValueError("assignment destination is read-only")


BATCH = [
    mutant("batch", "last_sample_repeats_first", "the last of three samples repeats the first", rows=lambda ok, self, case, x, n, c: ok(case, x, 0 if n >= 2 else n, c)),
    mutant("batch", "first_channel_for_all", "the third channel repeats the first", rows=lambda ok, self, case, x, n, c: ok(case, x, n, 0 if c == 2 else c)),
    mutant("batch", "channel_tail_zero", "the channels past the last whole vector of eight are zero", rows=in_channels(
        lambda row: [0 * v if v == v and abs(v) != math.inf else 0.0 for v in row], lambda c, channels: channels > 8 and c >= channels // 8 * 8)),
    mutant("batch", "channel_33", "the thirty-third channel is lost", rows=in_channels(lambda row: [v * 0 if v == v and abs(v) != math.inf else 0.0 for v in row], lambda c, channels: c == 32)),
    mutant("batch", "row_tail", "the last element of rows longer than 32 is dropped", along=lambda ok, self, w, axis, n: (
        [Reach([p for p in r.positions if p != n - 1] or r.positions, r.span) for r in ok(w, axis, n)] if n > 32 else ok(w, axis, n))),
    mutant("batch", "row_tail_17", "the seventeenth element of a row is read as the sixteenth", rows=lambda ok, self, case, x, n, c: (
        _sixteenth(ok(case, x, n, c), x.shape[-1]))),
    mutant("batch", "neighbour_leaks", "a channel that is all zeros shows its neighbour", rows=lambda ok, self, case, x, n, c: (
        ok(case, x, n, c - 1) if c and not any(ok(case, x, n, c)) else ok(case, x, n, c))),
    mutant("empty", "raises", "an empty batch raises (TensorFlow < 2.5, PyTorch < 1.6)", read=lambda ok, self, case: case.x if case.x.shape[0] else _empty()),
    mutant("empty", "one_sample", "an empty batch gives one sample", finish=lambda ok, self, case, a: a if a.shape[0] else np.zeros((1, *a.shape[1:]), a.dtype)),
    mutant("empty", "no_shape", "an empty batch gives an empty vector", finish=lambda ok, self, case, a: a if a.shape[0] else a.reshape(-1)),
    mutant("empty", "wrong_type", "an empty batch gives float64", finish=lambda ok, self, case, a: a if a.shape[0] else a.astype(np.float64)),
]  # fmt: skip


def _empty() -> Any:
    raise ValueError("expected a non-empty batch")


def _sixteenth(row: list, width: int) -> list:
    if width < 17:
        return row
    return [row[i - 1] if i % width == 16 else v for i, v in enumerate(row)]


ROWS = (*GRADIENT, *MEMORY, *BATCH)
