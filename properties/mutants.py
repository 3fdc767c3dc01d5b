"""Seeded defects in a correct pooling, as data: each replaces one step of `mutable.Steps`.

Most change nothing on a plain 4×4 input with 2×2 windows, which is what ordinary tests ask.
`plain=False` marks those that cannot help it. Many are defects that a framework has shipped; the
description then names it.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.spec import Adaptive, Average, Global, Lp, Max, Sliding
from properties.mutable import Reach, Steps, Tap, narrow


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A defect: what it gets wrong, and the steps that it replaces, as functions of (correct step, self, …)."""

    id: str
    family: str
    description: str
    steps: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    plain: bool = True

    def build(self, base: type[Steps] = Steps) -> Steps:
        """The pooling with this defect."""

        def replacing(correct: Callable[..., Any], wrong: Callable[..., Any]) -> Callable[..., Any]:
            return lambda self, *arguments: wrong(lambda *given: correct(self, *given), self, *arguments)

        changed = {name: replacing(getattr(base, name), wrong) for name, wrong in self.steps.items()}
        return type(f"Mutant_{self.id}", (base,), changed)()


def mutant(family: str, id_: str, description: str, *, plain: bool = True, **steps: Callable[..., Any]) -> Mutant:
    """One row: the steps are functions whose first argument is the correct step, bound."""
    return Mutant(id=id_, family=family, description=description, steps=steps, plain=plain)


# --- what several rows need -----------------------------------------------------------------------


def swapped(sizes: tuple) -> tuple:
    """Sizes with their last two axes exchanged."""
    return (*sizes[:-2], sizes[-1], sizes[-2]) if len(sizes) > 1 else sizes


def with_windows(change: Callable[[Sliding], dict[str, Any]]) -> Callable[..., Any]:
    """A wrong `along` that asks the right one about changed sliding windows."""

    def along(correct: Callable, self: Steps, w: Any, axis: int, n: int) -> list[Reach]:
        if not isinstance(w, Sliding):
            return correct(w, axis, n)
        import dataclasses

        wrong = dataclasses.replace(w, **change(w))
        reaches = correct(wrong, axis, n)
        count = self.count(w, axis, n)
        return (reaches + reaches[-1:] * count)[:count]

    return along


def in_channels(wrong: Callable[..., list], channels: Callable[[int, int], bool]) -> Callable[..., list]:
    """A wrong `rows` for some channels c of C only."""
    return lambda correct, self, case, x, n, c: wrong(correct(case, x, n, c)) if channels(c, x.shape[1]) else correct(case, x, n, c)


def without_nan(numbers: list) -> list:
    return [number for number in numbers if number == number] or numbers


def drop_nan_maximum(numbers: list) -> int:
    best = 0
    for i, number in enumerate(numbers):
        if number > numbers[best] or numbers[best] != numbers[best]:
            best = i
    return best


def last_maximum(numbers: list) -> int:
    best = 0
    for i, number in enumerate(numbers):
        if number != number:
            return i
        if number >= numbers[best]:
            best = i
    return best


def last_nan(numbers: list) -> int | None:
    return max((i for i, number in enumerate(numbers) if number != number), default=None)


def is_half(case: Any) -> bool:
    return case.x.dtype.name in ("float16", "bfloat16")


def running(numbers: list) -> float:
    """A sum as the difference of two running sums, as a cumulative-sum kernel has it."""
    lead = 1e8
    return (lead + math.fsum(numbers)) - lead


def missing_taps(taps: list[Tap]) -> int:
    return sum(not tap.inside for tap in taps)


def floats_only(wrong: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong `finish` for floats only."""
    return lambda correct, self, case, answer: answer if answer.dtype.kind in "iu" else wrong(case, answer)


def permuted_first_axes(position: tuple[int, ...]) -> tuple[int, ...]:
    return position[::-1]


SIZE = [
    mutant("size", "ceil_ignored", "ceil mode gives the size of floor mode", dropped=lambda ok, self, w, axis, n, count: (
        (n + sum(self.pads(w, axis, n)) - self.extent(w, axis)) // w.stride[axis] + 1)),
    mutant("size", "ceil_always", "floor mode rounds up", count=lambda ok, self, w, axis, n: (
        max(ok(w, axis, n), self.dropped(w, axis, n, math.ceil((n + sum(self.pads(w, axis, n)) - self.extent(w, axis)) / w.stride[axis]) + 1)))),
    mutant("size", "last_window_in_padding_kept", "a last window that starts in the padding after is kept", dropped=lambda ok, self, w, axis, n, count: count),
    mutant("size", "dropped_only_if_padded", "the last window of ceil mode is dropped only where there is padding",
           dropped=lambda ok, self, w, axis, n, count: ok(w, axis, n, count) if sum(self.pads(w, axis, n)) else count),
    mutant("size", "last_start_off_by_one", "a window that starts on the last element is dropped in ceil mode",
           dropped=lambda ok, self, w, axis, n, count: count - 1 if (count - 1) * w.stride[axis] >= n + self.pads(w, axis, n)[0] - 1 and count > 1 else count),
    mutant("size", "padding_after_forgotten", "the size counts the padding before twice", count=lambda ok, self, w, axis, n: (
        (n + 2 * w.padding[axis][0] - self.extent(w, axis)) // w.stride[axis] + 1 if isinstance(w.padding, tuple) and not w.ceil_mode else ok(w, axis, n))),
    mutant("size", "stride_as_divisor", "the size is n // s, as if the kernel were the stride", count=lambda ok, self, w, axis, n: (
        n // w.stride[axis] if w.padding == "valid" and not w.ceil_mode and w.kernel[axis] <= w.stride[axis] and n >= w.stride[axis] else ok(w, axis, n))),
    mutant("size", "one_short_when_it_divides", "the size is one less where the room divides by a stride above one", count=lambda ok, self, w, axis, n: (
        ok(w, axis, n) - 1 if w.stride[axis] > 2 and (n + sum(self.pads(w, axis, n)) - self.extent(w, axis)) % w.stride[axis] == 0 and ok(w, axis, n) > 1
        else ok(w, axis, n))),
    mutant("size", "same_rounds_down", "SAME gives n // s outputs", count=lambda ok, self, w, axis, n: (
        max(1, n // w.stride[axis]) if w.padding in ("same_upper", "same_lower") else ok(w, axis, n))),
    mutant("size", "ceil_rounds_half", "ceil mode rounds to nearest", count=lambda ok, self, w, axis, n: (
        self.dropped(w, axis, n, int((n + sum(self.pads(w, axis, n)) - self.extent(w, axis)) / w.stride[axis] + 0.5) + 1) if w.ceil_mode else ok(w, axis, n))),
]  # fmt: skip

DIVISOR = [
    mutant("divisor", "padding_never_counted", "count_include_pad is ignored", divisor=lambda ok, self, case, reaches, inside: (
        case.spec.reduction.divisor or inside)),
    mutant("divisor", "padding_always_counted", "padding counts without count_include_pad (PyTorch's default)", divisor=lambda ok, self, case, reaches, inside: (
        case.spec.reduction.divisor or math.prod(reach.span for reach in reaches))),
    mutant("divisor", "overhang_counted", "the overhang of ceil mode counts (onnx 1.16's reference)", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(reach.positions) for reach in reaches) if case.spec.reduction.count_include_pad and not case.spec.reduction.divisor else ok(case, reaches, inside))),
    mutant("divisor", "overhang_counted_unpadded", "the overhang counts where padding does not", divisor=lambda ok, self, case, reaches, inside: (
        inside if case.spec.reduction.divisor is None and not case.spec.reduction.count_include_pad and inside == math.prod(reach.span for reach in reaches)
        and not getattr(case.spec.windows, "ceil_mode", False) else
        math.prod(len(reach.positions) for reach in reaches) if case.spec.reduction.divisor is None and getattr(case.spec.windows, "ceil_mode", False)
        and not case.spec.reduction.count_include_pad else ok(case, reaches, inside))),
    mutant("divisor", "override_ignored", "a divisor of one's own is ignored", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(reach.span for reach in reaches) if case.spec.reduction.count_include_pad else inside)),
    mutant("divisor", "override_sign_lost", "a negative divisor is taken as positive", divisor=lambda ok, self, case, reaches, inside: abs(ok(case, reaches, inside))),
    mutant("divisor", "override_at_the_border", "border windows ignore the divisor", divisor=lambda ok, self, case, reaches, inside: (
        inside if inside < math.prod(len(reach.positions) for reach in reaches) else ok(case, reaches, inside))),
    mutant("divisor", "override_multiplies", "the divisor applies on top of the count", divisor=lambda ok, self, case, reaches, inside: (
        ok(case, reaches, inside) * (inside if case.spec.reduction.divisor is not None else 1))),
    mutant("divisor", "square_assumed", "the divisor is the last axis' count squared", divisor=lambda ok, self, case, reaches, inside: (
        len(reaches[-1].positions) ** len(reaches) if case.spec.windows.name == "sliding" and case.spec.windows.padding == "valid"
        and not case.spec.windows.ceil_mode and case.spec.reduction.divisor is None else ok(case, reaches, inside))),
    mutant("divisor", "adaptive_constant", "adaptive averages divide by the first bin's count", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(self.along(case.spec.windows, axis, n)[0].positions) for axis, n in enumerate(case.spatial))
        if isinstance(case.spec.windows, Adaptive) else ok(case, reaches, inside))),
    mutant("divisor", "dilated_reach", "a dilated average divides by its reach", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(max(reach.positions) - min(reach.positions) + 1 for reach in reaches)
        if isinstance(case.spec.windows, Sliding) and set(case.spec.windows.dilation) != {1} and case.spec.reduction.divisor is None else ok(case, reaches, inside))),
    mutant("divisor", "gradient_unclipped", "the gradient of ceil mode divides by the whole window (inductor 2.13)", divisor=lambda ok, self, case, reaches, inside: (
        math.prod(len(reach.positions) for reach in reaches)
        if case.output == "gradient" and getattr(case.spec.windows, "ceil_mode", False) and case.spec.reduction.divisor is None else ok(case, reaches, inside))),
    mutant("divisor", "gradient_ignores_override", "the gradient ignores the divisor", divisor=lambda ok, self, case, reaches, inside: (
        inside if case.output == "gradient" else ok(case, reaches, inside))),
]  # fmt: skip

PADDING = [
    mutant("same side", "upper_is_lower", "same_upper puts the odd element before", pads=lambda ok, self, w, axis, n: (
        ok(w, axis, n)[::-1] if w.padding == "same_upper" else ok(w, axis, n))),
    mutant("same side", "lower_is_upper", "same_lower puts the odd element after (onnxruntime < 1.12)", pads=lambda ok, self, w, axis, n: (
        ok(w, axis, n)[::-1] if w.padding == "same_lower" else ok(w, axis, n))),
    mutant("same side", "all_at_the_end", "SAME pads wholly at the end (Keras' own test reference)", pads=lambda ok, self, w, axis, n: (
        (0, sum(ok(w, axis, n))) if w.padding in ("same_upper", "same_lower") else ok(w, axis, n))),
    mutant("same side", "kernel_less_one", "SAME pads k − 1 whatever the size and stride", same_total=lambda ok, self, w, axis, n: self.extent(w, axis) - 1 if ok(w, axis, n) else 0),
    mutant("same side", "dilation_forgotten", "SAME forgets the dilation", same_total=lambda ok, self, w, axis, n: (
        max(0, (math.ceil(n / w.stride[axis]) - 1) * w.stride[axis] + w.kernel[axis] - n))),
    mutant("padding value", "zeros_in_max", "max reads its padding as zeros", padding_numbers=lambda ok, self, case, taps, row: (
        [0] * missing_taps(taps) if isinstance(case.spec.reduction, Max) else [])),
    mutant("padding value", "ones_in_lp", "Lp reads its padding as ones", padding_numbers=lambda ok, self, case, taps, row: (
        [1.0] * missing_taps(taps) if isinstance(case.spec.reduction, Lp) else [])),
    mutant("padding value", "edge_replicated", "an average repeats the last element in its padding (Keras on torch 3.15)", padding_numbers=lambda ok, self, case, taps, row: (
        [row[-1]] * missing_taps(taps) if isinstance(case.spec.reduction, Average) and case.spec.windows.name == "sliding"
        and case.spec.windows.padding in ("same_upper", "same_lower") else [])),
    mutant("padding value", "next_row_read", "what hangs over the last axis is read from the next row", taps=lambda ok, self, reaches, spatial: [
        tap if tap.inside or len(spatial) < 2 or tap.position[-1] < spatial[-1] or not all(0 <= i < s for i, s in zip(tap.position[:-1], spatial[:-1], strict=True))
        or tap.position[-2] + 1 >= spatial[-2] else Tap((*tap.position[:-2], tap.position[-2] + 1, tap.position[-1] % spatial[-1]), True)
        for tap in ok(reaches, spatial)]),
    mutant("padding value", "wraps_around", "padding before wraps to the end", taps=lambda ok, self, reaches, spatial: [
        tap if tap.inside or tap.position[-1] >= 0 or not all(0 <= i < s for i, s in zip(tap.position[:-1], spatial[:-1], strict=True))
        else Tap((*tap.position[:-1], tap.position[-1] % spatial[-1]), True) for tap in ok(reaches, spatial)]),
]  # fmt: skip

AXES = [
    mutant("axes", "kernel_swapped", "the kernel's axes are exchanged", along=with_windows(lambda w: {"kernel": swapped(w.kernel)})),
    mutant("axes", "stride_swapped", "the stride's axes are exchanged", along=with_windows(lambda w: {"stride": swapped(w.stride)})),
    mutant("axes", "padding_swapped", "the padding's axes are exchanged", along=with_windows(
        lambda w: {"padding": swapped(w.padding) if isinstance(w.padding, tuple) else w.padding})),
    mutant("axes", "dilation_swapped", "the dilation's axes are exchanged", along=with_windows(lambda w: {"dilation": swapped(w.dilation)})),
    mutant("axes", "first_stride_for_all", "every axis steps by the first stride", start=lambda ok, self, w, axis, i: i * w.stride[0]),
    mutant("axes", "depth_steps_by_height", "in 3-D the first axis steps by the second's stride", start=lambda ok, self, w, axis, i: (
        i * w.stride[1] if len(w.stride) == 3 and axis == 0 else ok(w, axis, i))),
    mutant("axes", "before_is_after", "the padding before and after are exchanged", pads=lambda ok, self, w, axis, n: (
        ok(w, axis, n)[::-1] if isinstance(w.padding, tuple) else ok(w, axis, n))),
    mutant("axes", "first_pad_for_all", "every axis is padded like the first", pads=lambda ok, self, w, axis, n: (
        (w.padding[0][0], w.padding[axis][1]) if isinstance(w.padding, tuple) else ok(w, axis, n))),
    mutant("axes", "output_size_swapped", "adaptive output sizes are exchanged", bin=lambda ok, self, i, o, n: ok(i, o, n),
           along=lambda ok, self, w, axis, n: ok(Adaptive(output_size=swapped(w.output_size)), axis, n) if isinstance(w, Adaptive) else ok(w, axis, n)),
    mutant("axes", "index_column_major", "indices count column by column", index=lambda ok, self, case, tap, n, c: (
        self.flat(tap.position[::-1], case.spatial[::-1])), plain=False),
    mutant("axes", "index_pitch_of_first_axis", "indices take the first axis for the row's length", index=lambda ok, self, case, tap, n, c: (
        self.flat(tap.position, (case.spatial[0],) * len(case.spatial)))),
    mutant("axes", "global_of_two_axes", "3-D global pooling forgets the last element of the first axis", along=lambda ok, self, w, axis, n: (
        [Reach(list(range(max(1, n - 1))), n)] if isinstance(w, Global) and axis == 0 and n > 4 else ok(w, axis, n))),
]  # fmt: skip

DILATION = [
    mutant("dilation", "ignored", "dilation moves no tap", along=lambda ok, self, w, axis, n: (
        [Reach([r.positions[0] + j for j in range(len(r.positions))], r.span) for r in ok(w, axis, n)] if isinstance(w, Sliding) else ok(w, axis, n))),
    mutant("dilation", "first_axis_for_all", "every axis is dilated like the first", along=lambda ok, self, w, axis, n: (
        [Reach([r.positions[0] + j * w.dilation[0] for j in range(len(r.positions))], r.span) for r in ok(w, axis, n)] if isinstance(w, Sliding) else ok(w, axis, n))),
    mutant("dilation", "last_tap_lost", "a dilated window loses its last tap", along=lambda ok, self, w, axis, n: (
        [Reach(r.positions[:-1], r.span) if w.dilation[axis] > 1 and len(r.positions) > 1 else r for r in ok(w, axis, n)] if isinstance(w, Sliding) else ok(w, axis, n))),
    mutant("dilation", "realigned_at_the_border", "a dilated window that starts in the padding is moved to the first element", along=lambda ok, self, w, axis, n: (
        [Reach([p - r.positions[0] for p in r.positions], r.span) if w.dilation[axis] > 1 and r.positions[0] < 0 else r for r in ok(w, axis, n)]
        if isinstance(w, Sliding) else ok(w, axis, n))),
    mutant("dilation", "reach_too_long", "the size takes the reach for d·k", extent=lambda ok, self, w, axis: (
        w.dilation[axis] * w.kernel[axis] if w.dilation[axis] > 1 else ok(w, axis))),
]  # fmt: skip

NAN = [
    mutant("nan", "max_drops", "max drops NaN (TensorFlow)", maximum=lambda ok, self, numbers: drop_nan_maximum(numbers)),
    mutant("nan", "only_first_tap_counts", "a NaN wins only as the first tap (a plain > comparison)", maximum=lambda ok, self, numbers: (
        0 if numbers[0] != numbers[0] else drop_nan_maximum(numbers))),
    mutant("nan", "last_tap_lost", "a NaN in the last tap is dropped", maximum=lambda ok, self, numbers: (
        ok(numbers[:-1]) if len(numbers) > 1 and numbers[-1] != numbers[-1] else ok(numbers))),
    mutant("nan", "dropped_past_channel_15", "NaN is dropped in the channels of a vector's tail", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        ok(case, [-math.inf if v != v else v for v in row] if c >= 16 and isinstance(case.spec.reduction, Max) and case.output == "values" else row, reaches, spatial, n, c))),
    mutant("nan", "average_drops", "an average skips NaN", total=lambda ok, self, numbers, case: ok(without_nan(numbers), case)),
    mutant("nan", "lp_drops", "Lp skips NaN", norm=lambda ok, self, numbers, p: ok(without_nan(numbers), p)),
    mutant("nan", "half_drops", "float16 max drops NaN", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        ok(case, [-math.inf if v != v else v for v in row] if case.x.dtype.name == "float16" and isinstance(case.spec.reduction, Max) else row, reaches, spatial, n, c))),
    mutant("nan", "spreads_along_the_row", "a NaN spreads to the windows after it (a running sum)", answer=lambda ok, self, case: _spread(ok(case)) if case.output == "values" and case.x.dtype.kind not in "iu" else ok(case)),
    mutant("nan", "index_of_max_beside_nan", "with a NaN in the window the index is the largest number's", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c),
           maximum=lambda ok, self, numbers: drop_nan_maximum(numbers) if sum(v != v for v in numbers) > 1 else ok(numbers)),
    mutant("nan", "gradient_lost", "no gradient goes to a NaN", hand_on=lambda ok, self, case, numbers, g: [(i, g) for i, _ in ok(case, numbers, g) if numbers[i] == numbers[i]]),
    mutant("nan", "becomes_zero_in_bfloat16", "bfloat16 NaN becomes infinity", finish=floats_only(
        lambda case, a: np.where(np.isnan(a), a.dtype.type(np.inf), a) if a.dtype.name == "bfloat16" else a)),
]  # fmt: skip


def _spread(answer: np.ndarray) -> np.ndarray:
    spread = answer.copy()
    with np.errstate(invalid="ignore"):
        seen = np.logical_or.accumulate(np.isnan(answer), axis=-1)
    spread[seen] = np.nan
    return spread


INFINITIES = [
    mutant("infinity", "lowest_for_minus_inf", "a window of −inf gives the lowest finite number (TensorFlow)", finish=floats_only(
        lambda case, a: np.where(a == -np.inf, np.finfo(np.float32).min, a.astype(np.float64)).astype(a.dtype) if case.spec.reduction.name == "max"
        and a.dtype.name in ("float32", "float64") else a)),
    mutant("infinity", "largest_for_inf", "an infinite maximum is clipped", finish=floats_only(
        lambda case, a: np.where(a == np.inf, a.dtype.type(3e4), a) if case.spec.reduction.name == "max" else a)),
    mutant("infinity", "opposite_cancel", "inf − inf is inf", total=lambda ok, self, numbers, case: (
        math.inf if math.inf in numbers and -math.inf in numbers and not any(v != v for v in numbers) else ok(numbers, case))),
    mutant("infinity", "average_gives_nan", "an infinity makes an average NaN", total=lambda ok, self, numbers, case: (
        math.nan if math.inf in numbers or -math.inf in numbers else ok(numbers, case))),
    mutant("infinity", "lp_gives_nan", "an infinity makes a norm NaN (inf/inf)", norm=lambda ok, self, numbers, p: (
        math.nan if any(abs(v) == math.inf for v in numbers) else ok(numbers, p))),
    mutant("infinity", "lp_inf_beats_nan", "infinity beats NaN in a norm", norm=lambda ok, self, numbers, p: (
        math.inf if any(abs(v) == math.inf for v in numbers) else ok(numbers, p))),
    mutant("infinity", "divisor_sign", "an infinite average forgets its divisor's sign", quotient=lambda ok, self, total, divisor, case: (
        total if abs(total) == math.inf else ok(total, divisor, case))),
    mutant("infinity", "index_of_minus_inf", "the index of a window of −inf is the last tap's", maximum=lambda ok, self, numbers: (
        len(numbers) - 1 if all(v == -math.inf for v in numbers) else ok(numbers))),
    mutant("infinity", "index_minus_one", "a window of −inf has the index −1", index=lambda ok, self, case, tap, n, c: (
        -1 if case.x[(n, c, *tap.position)] == -np.inf else ok(case, tap, n, c))),
]  # fmt: skip

INDEX = [
    mutant("index", "padded_volume", "indices count in the padded volume", index=lambda ok, self, case, tap, n, c: (
        self.flat([p + self.pads(case.spec.windows, a, s)[0] for a, (p, s) in enumerate(zip(tap.position, case.spatial, strict=True))],
                  [s + sum(self.pads(case.spec.windows, a, s)) for a, s in enumerate(case.spatial)])
        if isinstance(case.spec.windows, Sliding) else ok(case, tap, n, c))),
    mutant("index", "base_one", "indices start at one", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c) + 1, plain=False),
    mutant("index", "whole_sample", "indices count across channels", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c) + c * math.prod(case.spatial)),
    mutant("index", "whole_batch", "indices count across samples", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c) + n * math.prod(case.spatial)),
    mutant("index", "last_axis_only", "indices are positions on the last axis", index=lambda ok, self, case, tap, n, c: tap.position[-1], plain=False),
    mutant("index", "thirty_two_bits", "indices are int32", finish=lambda ok, self, case, a: a.astype(np.int32) if case.output == "indices" else a, plain=False),
    mutant("index", "eight_bits", "indices wrap past 255", index=lambda ok, self, case, tap, n, c: ok(case, tap, n, c) % 256),
    mutant("index", "clamped_in_ceil_mode", "the last window of ceil mode points one element back", index=lambda ok, self, case, tap, n, c: (
        max(0, ok(case, tap, n, c) - 1) if getattr(case.spec.windows, "ceil_mode", False) and ok(case, tap, n, c) == math.prod(case.spatial) - 1 else ok(case, tap, n, c))),
    mutant("ties", "last", "the last of ties wins", maximum=lambda ok, self, numbers: last_maximum(numbers)),
    mutant("ties", "last_nan", "the last of several NaN wins (PyTorch)", maximum=lambda ok, self, numbers: (
        ok(numbers) if last_nan(numbers) is None else last_nan(numbers))),
    mutant("ties", "last_zero", "among zeros the last wins", maximum=lambda ok, self, numbers: (
        last_maximum(numbers) if numbers[ok(numbers)] == 0 else ok(numbers))),
    mutant("ties", "gradient_to_all", "every tie gets the whole gradient", hand_on=lambda ok, self, case, numbers, g: [
        (i, g) for i, v in enumerate(numbers) if v == numbers[self.maximum(numbers)] or i == self.maximum(numbers)]),
    mutant("ties", "gradient_split", "ties share the gradient (JAX' jnp.max)", hand_on=lambda ok, self, case, numbers, g: [
        (i, g / sum(v == numbers[self.maximum(numbers)] for v in numbers)) for i, v in enumerate(numbers) if v == numbers[self.maximum(numbers)]] or ok(case, numbers, g)),
    mutant("ties", "gradient_to_last", "the gradient goes to the last tie, the index to the first", hand_on=lambda ok, self, case, numbers, g: [(last_maximum(numbers), g)]),
    mutant("ties", "column_first", "ties are broken column by column", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        _column_first(self, case, row, reaches, spatial) if case.output == "indices" and len(spatial) > 1 else ok(case, row, reaches, spatial, n, c))),
]  # fmt: skip


def _column_first(self: Steps, case: Any, row: list, reaches: Any, spatial: Any) -> int:
    taps = [tap for tap in self.taps(reaches, spatial) if tap.inside]
    taps.sort(key=lambda tap: tap.position[::-1])
    numbers = [row[self.flat(tap.position, spatial)] for tap in taps]
    return self.flat(taps[self.maximum(numbers)].position, spatial)


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
    mutant("gradient", "half_accumulates_in_half", "half-type gradients add in their own type (PyTorch CPU)", gather=lambda ok, self, parts, case: (
        narrow(parts, case.x.dtype) if is_half(case) else ok(parts, case))),
    mutant("gradient", "unread_gets_something", "an element that no window reads gets a little", gradient=lambda ok, self, case, x, cells: _unread(ok(case, x, cells))),
]  # fmt: skip


def _unread(answer: np.ndarray) -> np.ndarray:
    if answer.size and answer.shape[-1] > 4 and not answer[..., -1].astype(np.float64).any():
        answer[..., -1] = 0.125
    return answer


ACCUMULATION = [
    mutant("accumulation", "float16", "float16 sums are kept in float16", total=lambda ok, self, numbers, case: (
        narrow(numbers, np.float16) if case.x.dtype.name == "float16" and case.output == "values" else ok(numbers, case))),
    mutant("accumulation", "bfloat16", "bfloat16 sums are kept in bfloat16 (JAX reduce_window)", total=lambda ok, self, numbers, case: (
        narrow(numbers, case.x.dtype) if case.x.dtype.name == "bfloat16" and case.output == "values" else ok(numbers, case))),
    mutant("accumulation", "float32_in_bfloat16", "float32 inputs are rounded to bfloat16 first", number=lambda ok, self, value, case: (
        float(np.float32(value).view(np.uint32) & np.uint32(0xFFFF0000)) * 0 + float((np.array(np.float32(value)).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
        if case.x.dtype.name == "float32" and math.isfinite(value) and abs(value) < 3e38 else value)),
    mutant("accumulation", "float64_in_float32", "float64 sums are kept in float32", total=lambda ok, self, numbers, case: (
        narrow(numbers, np.float32) if case.x.dtype.name == "float64" else ok(numbers, case))),
    mutant("accumulation", "running_sums", "a sum is the difference of two running sums", total=lambda ok, self, numbers, case: (
        running(numbers) if len(numbers) > 2 and all(math.isfinite(v) for v in numbers) else ok(numbers, case))),
    mutant("accumulation", "overflow_in_float16", "a float16 sum overflows before it is divided", total=lambda ok, self, numbers, case: (
        math.copysign(math.inf, ok(numbers, case)) if case.x.dtype.name == "float16" and math.isfinite(ok(numbers, case)) and abs(ok(numbers, case)) > 65504 else ok(numbers, case))),
    mutant("accumulation", "reciprocal_in_half", "the reciprocal of the divisor is rounded to the half type", quotient=lambda ok, self, total, divisor, case: (
        total * float(case.x.dtype.type(1 / divisor)) if is_half(case) else ok(total, divisor, case))),
    mutant("accumulation", "truncated", "half types are truncated, not rounded", round=lambda ok, self, value, case: (
        _truncated(ok(value, case), value) if is_half(case) else ok(value, case))),
    mutant("accumulation", "rounded_twice_each_tap", "each term is rounded to the half type after it was divided", total=lambda ok, self, numbers, case: (
        ok([float(case.x.dtype.type(v / max(1, len(numbers)))) * max(1, len(numbers)) for v in numbers], case)
        if is_half(case) and isinstance(case.spec.reduction, Average) and all(math.isfinite(v) for v in numbers) else ok(numbers, case))),
    mutant("accumulation", "kahan_gone_wrong", "the first term of a long sum is added twice", total=lambda ok, self, numbers, case: (
        ok(numbers + numbers[:1], case) if len(numbers) > 16 else ok(numbers, case))),
]  # fmt: skip


def _truncated(rounded: Any, value: float) -> Any:
    array = np.array(rounded)
    if not math.isfinite(value) or abs(float(array)) <= abs(value) or not math.isfinite(float(array)):
        return rounded
    return (array.view(np.uint16) - np.uint16(1)).view(array.dtype)[()]


DTYPE = [
    mutant("dtype", "float64_through_float32", "float64 max goes through float32", number=lambda ok, self, value, case: (
        float(np.float32(value)) if case.x.dtype.name == "float64" and abs(value) < 3e38 else value)),
    mutant("dtype", "int64_through_float64", "int64 max goes through float64", number=lambda ok, self, value, case: (
        min(int(float(value)), 2**63 - 1) if case.x.dtype.name == "int64" else value)),
    mutant("dtype", "int32_through_float32", "int32 max goes through float32", number=lambda ok, self, value, case: (
        max(-(2**31), min(int(np.float32(value)), 2**31 - 1)) if case.x.dtype.name == "int32" else value)),
    mutant("dtype", "uint8_as_int8", "uint8 is compared as int8", maximum=lambda ok, self, numbers: (
        ok([v - 256 if v > 127 else v for v in numbers]) if all(isinstance(v, int) and 0 <= v < 256 for v in numbers) and max(numbers) > 127 else ok(numbers))),
    mutant("dtype", "int8_identity_zero", "an int8 maximum starts from zero", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        max(ok(case, row, reaches, spatial, n, c), case.x.dtype.type(0)) if case.x.dtype.name == "int8" and case.output == "values" else ok(case, row, reaches, spatial, n, c))),
    mutant("dtype", "float16_comes_back_wider", "float16 comes back as float32", finish=lambda ok, self, case, a: a.astype(np.float32) if a.dtype == np.float16 else a),
    mutant("dtype", "subnormals_flushed", "subnormals are flushed to zero (TensorFlow, XLA)", finish=floats_only(
        lambda case, a: np.where(np.abs(a.astype(np.float64)) < float(np.finfo(np.float32).tiny), a.dtype.type(0), a) if a.dtype == np.float32 else a)),
    mutant("dtype", "subnormal_inputs_flushed", "subnormal inputs count as zero", number=lambda ok, self, value, case: (
        0.0 if case.x.dtype.name == "float32" and abs(value) < 1.2e-38 else value)),
    mutant("dtype", "unsigned_wraps", "uint64 past 2^63 is negative", maximum=lambda ok, self, numbers: (
        ok([v - 2**64 if isinstance(v, int) and v >= 2**63 else v for v in numbers]))),
]  # fmt: skip


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


ADAPTIVE = [
    mutant("adaptive", "end_rounded_down", "a bin ends at floor((i+1)·n/o)", bin=lambda ok, self, i, o, n: range(i * n // o, max(i * n // o + 1, (i + 1) * n // o))),
    mutant("adaptive", "start_rounded_up", "a bin starts at ceil(i·n/o)", bin=lambda ok, self, i, o, n: range(min(-(-i * n // o), n - 1), max(-(-i * n // o) + 1, -(-(i + 1) * n // o)))),
    mutant("adaptive", "fixed_stride", "bins step by n // o", bin=lambda ok, self, i, o, n: range(i * (n // o), i * (n // o) + max(1, n // o)) if n >= o else ok(i, o, n)),
    mutant("adaptive", "more_bins_than_elements", "with more bins than elements the last ones repeat the last element", bin=lambda ok, self, i, o, n: (
        range(min(i, n - 1), min(i, n - 1) + 1) if o > n else ok(i, o, n))),
    mutant("adaptive", "last_bin_takes_the_rest", "bins are n // o wide and the last takes the rest", bin=lambda ok, self, i, o, n: (
        range(i * (n // o), n if i == o - 1 else (i + 1) * (n // o)) if n >= o else ok(i, o, n))),
    mutant("adaptive", "float_rounding", "bins start at round(i·n/o)", bin=lambda ok, self, i, o, n: (
        range(min(n - 1, round(i * n / o)), max(min(n - 1, round(i * n / o)) + 1, -(-(i + 1) * n // o))))),
]  # fmt: skip

LP = [
    mutant("lp", "no_magnitude", "odd powers keep their sign (PyTorch)", norm=lambda ok, self, numbers, p: (
        _signed_norm(numbers, p) if p % 2 == 1 and any(v < 0 for v in numbers) and all(math.isfinite(v) for v in numbers) else ok(numbers, p))),
    mutant("lp", "order_truncated", "a fractional order is truncated", norm=lambda ok, self, numbers, p: ok(numbers, float(int(p)))),
    mutant("lp", "order_two", "every order above two is two", norm=lambda ok, self, numbers, p: ok(numbers, min(p, 2.0))),
    mutant("lp", "overflows", "|x|^p overflows on the way (PyTorch)", norm=lambda ok, self, numbers, p: (
        math.inf if all(math.isfinite(v) for v in numbers) and any(v and math.log2(abs(v)) * p > 128 for v in numbers) else ok(numbers, p))),
    mutant("lp", "underflows", "|x|^p underflows on the way (PyTorch)", norm=lambda ok, self, numbers, p: (
        0.0 if all(math.isfinite(v) for v in numbers) and all(not v or math.log2(abs(v)) * p < -149 for v in numbers) else ok(numbers, p))),
    mutant("lp", "mean_taken", "the norm is over the mean", norm=lambda ok, self, numbers, p: ok(numbers, p) / max(1, len(numbers)) ** (1 / p), plain=False),
    mutant("lp", "scaled_in_partial_windows", "partial windows are scaled up to whole ones (PyTorch ceil mode)", cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        _scaled_norm(ok(case, row, reaches, spatial, n, c), case, self.taps(reaches, spatial)))),
]  # fmt: skip


def _signed_norm(numbers: list, p: float) -> float:
    total = math.fsum(math.copysign(abs(v) ** p, v) for v in numbers)
    return math.copysign(abs(total) ** (1 / p), total)


def _scaled_norm(value: Any, case: Any, taps: list[Tap]) -> Any:
    reduction = case.spec.reduction
    if not isinstance(reduction, Lp) or not missing_taps(taps):
        return value
    return case.x.dtype.type(float(value) * (len(taps) / (len(taps) - missing_taps(taps))) ** (1 / reduction.p))


def _again(value: np.ndarray) -> np.ndarray:
    return value


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


MUTANTS: tuple[Mutant, ...] = tuple(
    itertools.chain(
        SIZE, DIVISOR, PADDING, AXES, DILATION, NAN, INFINITIES, INDEX, GRADIENT, ACCUMULATION, DTYPE, MEMORY, ADAPTIVE, LP, BATCH
    )
)
