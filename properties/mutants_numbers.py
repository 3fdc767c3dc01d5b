"""Seeded defects of numbers: NaN, infinities, ties, indices, sums, types, norms."""

import math
from typing import Any

import numpy as np

from backends.spec import Average, Lp, Max, Sliding
from properties.mutable import Steps, Tap, narrow
from properties.mutant import (
    drop_nan_maximum,
    floats_only,
    is_half,
    last_maximum,
    last_nan,
    missing_taps,
    mutant,
    running,
    without_nan,
)

NAN = [
    mutant("nan", "max_drops", "max drops NaN (TensorFlow)", maximum=lambda ok, self, numbers: drop_nan_maximum(numbers)),
    mutant("nan", "only_first_tap_counts", "a NaN wins only as the first tap (a plain > comparison)", maximum=lambda ok, self, numbers: (
        0 if numbers[0] != numbers[0] else drop_nan_maximum(numbers))),
    mutant("nan", "last_tap_lost", "a NaN in the last tap is dropped", maximum=lambda ok, self, numbers: (
        ok(numbers[:-1]) if len(numbers) > 1 and numbers[-1] != numbers[-1] else ok(numbers))),
    mutant("nan", "dropped_past_channel_15", "NaN is dropped in the channels of a vector's tail", known_as=("tf-xla-max-drops-nan", "tf-xla-reduce-max-nan",), cell=lambda ok, self, case, row, reaches, spatial, n, c: (
        ok(case, [-math.inf if v != v else v for v in row] if c >= 16 and isinstance(case.spec.reduction, Max) and case.output == "values" else row, reaches, spatial, n, c))),
    mutant("nan", "average_drops", "an average skips NaN", total=lambda ok, self, numbers, case: ok(without_nan(numbers), case)),
    mutant("nan", "lp_drops", "Lp skips NaN", norm=lambda ok, self, numbers, p: ok(without_nan(numbers), p)),
    mutant("nan", "half_drops", "float16 max drops NaN", known_as=(
        "tf-xla-max-drops-nan", "tf-xla-reduce-max-nan", "tf-xla-reduce-max-nan-gradient", "tf-xla-max-gradient",), cell=lambda ok, self, case, row, reaches, spatial, n, c: (
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
    mutant("ties", "last_nan", "the last of several NaN wins (PyTorch)", known_as=("torch-index-last-nan", "torch-max-gradient-last-nan",), maximum=lambda ok, self, numbers: (
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


ACCUMULATION = [
    mutant("accumulation", "float16", "float16 sums are kept in float16", known_as=("tf-float16-average",), total=lambda ok, self, numbers, case: (
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
    mutant("accumulation", "overflow_in_float16", "a float16 sum overflows before it is divided", known_as=("tf-float16-average",), total=lambda ok, self, numbers, case: (
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
    mutant("dtype", "subnormals_flushed", "subnormals are flushed to zero (TensorFlow, XLA)", known_as=(
        "tf-average-subnormals", "tf-max-subnormals", "tf-max-subnormals-zero", "tf-subnormal-results", "jax-max-subnormals",
        "jax-average-subnormals", "jax-subnormal-results",), finish=floats_only(
        lambda case, a: np.where(np.abs(a.astype(np.float64)) < float(np.finfo(np.float32).tiny), a.dtype.type(0), a) if a.dtype == np.float32 else a)),
    mutant("dtype", "subnormal_inputs_flushed", "subnormal inputs count as zero", number=lambda ok, self, value, case: (
        0.0 if case.x.dtype.name == "float32" and abs(value) < 1.2e-38 else value)),
    mutant("dtype", "unsigned_wraps", "uint64 past 2^63 is negative", maximum=lambda ok, self, numbers: (
        ok([v - 2**64 if isinstance(v, int) and v >= 2**63 else v for v in numbers]))),
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


ROWS = (*NAN, *INFINITIES, *INDEX, *ACCUMULATION, *DTYPE, *LP)
