"""Seeded defects of which elements a window reads, how many there are, and what they are divided by."""

import math

from backends.spec import Adaptive, Average, Global, Lp, Max, Sliding
from properties.mutable import Reach, Tap
from properties.mutant import (
    missing_taps,
    mutant,
    swapped,
    with_windows,
)

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

ROWS = (*SIZE, *DIVISOR, *PADDING, *AXES, *DILATION, *ADAPTIVE)
