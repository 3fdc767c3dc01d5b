"""A correct pooling in small steps, each of which a mutant can replace.

It shares no code with the oracle or the NumPy backend: it walks windows tap by tap, with the
padding it was told, as a plain kernel does. Sums go through `math.fsum`, so that only a mutant
loses accuracy. It is slow, and made for small cases.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from backends.compare import accumulator_of
from backends.interface import LAYOUTS, OUTPUTS, PADDINGS, WINDOWS, Capabilities, Case, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, Sliding, Windows

BFLOAT16 = dtype_named("bfloat16")
FLOATS = frozenset({"float32", "float64", "float16", "bfloat16"})
INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})


class Tap(NamedTuple):
    """One position of a window: where it lies on each axis, and whether that is input or padding."""

    position: tuple[int, ...]
    inside: bool


_tap = partial(tuple.__new__, Tap)  # the constructor of a named tuple is written in Python, and this is called millions of times


class Reach(NamedTuple):
    """What a window covers on one axis: positions, which may lie outside, and how many count as padded input."""

    positions: list[int]
    span: int


def _can(outputs: tuple[str, ...], dtypes: frozenset[str]) -> Capabilities:
    return Capabilities(
        windows=frozenset(WINDOWS), ndims=frozenset({1, 2, 3}), dtypes=dtypes, layouts=frozenset(LAYOUTS), outputs=frozenset(outputs),
        paddings=frozenset(PADDINGS), dilation=True, ceil_mode=True, count_include_pad=True, divisor=True,
    )  # fmt: skip


class Steps:
    """The correct pooling, as a `Backend`. Every method but the backend's own is a step."""

    name = "steps"
    version = "0"
    capabilities: Mapping[str, Capabilities | Mapping[str, Any]] = MappingProxyType(
        {
            "max": _can(OUTPUTS, FLOATS | INTEGERS),
            "average": _can(("values", "gradient"), FLOATS),
            "lp": _can(("values", "gradient"), FLOATS),
        }
    )

    # --- the backend ---

    def gap(self, case: Case) -> str | None:
        return None

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        return lambda: self.finish(case, self.answer(case))

    def fetch(self, native: np.ndarray) -> np.ndarray:
        return native

    # --- memory ---

    def read(self, case: Case) -> np.ndarray:
        """The input as the kernel sees it: (N, C, *spatial)."""
        return case.x

    def number(self, value: Any, case: Case) -> Any:
        """One element as a Python number."""
        return value

    def finish(self, case: Case, answer: np.ndarray) -> np.ndarray:
        """The last step before an answer is returned."""
        return answer

    # --- geometry ---

    def pads(self, w: Sliding, axis: int, n: int) -> tuple[int, int]:
        """(before, after) of one axis."""
        if w.padding == "valid":
            return 0, 0
        if isinstance(w.padding, tuple):
            return w.padding[axis]
        total = self.same_total(w, axis, n)
        return (total // 2, total - total // 2) if w.padding == "same_upper" else (total - total // 2, total // 2)

    def same_total(self, w: Sliding, axis: int, n: int) -> int:
        """All the padding that SAME needs on an axis."""
        return max(0, (math.ceil(n / w.stride[axis]) - 1) * w.stride[axis] + self.extent(w, axis) - n)

    def extent(self, w: Sliding, axis: int) -> int:
        """How far a window reaches."""
        return w.dilation[axis] * (w.kernel[axis] - 1) + 1

    def count(self, w: Sliding, axis: int, n: int) -> int:
        """How many windows an axis has."""
        if not isinstance(w.padding, tuple) and w.padding != "valid":
            return math.ceil(n / w.stride[axis])
        before, after = self.pads(w, axis, n)
        room = n + before + after - self.extent(w, axis)
        if not w.ceil_mode:
            return room // w.stride[axis] + 1
        return self.dropped(w, axis, n, math.ceil(room / w.stride[axis]) + 1)

    def dropped(self, w: Sliding, axis: int, n: int, count: int) -> int:
        """The count without a last window that starts in the padding after."""
        return count - 1 if (count - 1) * w.stride[axis] >= n + self.pads(w, axis, n)[0] else count

    def along(self, w: Windows, axis: int, n: int) -> list[Reach]:
        """The windows of one axis."""
        if isinstance(w, Global):
            return [Reach(list(range(n)), n)]
        if isinstance(w, Adaptive):
            bins = [self.bin(i, w.output_size[axis], n) for i in range(w.output_size[axis])]
            return [Reach(list(b), len(b)) for b in bins]
        before, after = self.pads(w, axis, n)
        reaches = []
        for i in range(self.count(w, axis, n)):
            positions = [self.start(w, axis, i) - before + j * w.dilation[axis] for j in range(w.kernel[axis])]
            reaches.append(Reach(positions, self.span(positions, n, after)))
        return reaches

    def start(self, w: Sliding, axis: int, i: int) -> int:
        """Where a window starts on the padded axis."""
        return i * w.stride[axis]

    def span(self, positions: list[int], n: int, after: int) -> int:
        """How many positions lie in the padded input."""
        return sum(position < n + after for position in positions)

    def bin(self, i: int, o: int, n: int) -> range:
        """What adaptive bin i of o reads of n elements."""
        return range(i * n // o, -(-(i + 1) * n // o))

    def flat(self, position: Sequence[int], spatial: Sequence[int]) -> int:
        """The row-major index of a position."""
        index = 0
        for p, size in zip(position, spatial, strict=True):
            index = index * size + p
        return index

    def window(self, reaches: Sequence[Reach], spatial: Sequence[int]) -> tuple[list[Tap], list[Tap], list[int]]:
        """(taps, those inside the input, where these lie in a row) of one window of this answer."""
        if id(reaches) not in self._windows:
            taps = self.taps(reaches, spatial)
            inside = [tap for tap in taps if tap.inside]
            self._windows[id(reaches)] = taps, inside, [self.flat(tap.position, spatial) for tap in inside]
        return self._windows[id(reaches)]

    def taps(self, reaches: Sequence[Reach], spatial: Sequence[int]) -> list[Tap]:
        """Every position of a window, in row-major order."""
        positions = itertools.product(*(reach.positions for reach in reaches))
        inside = ([0 <= i < size for i in reach.positions] for reach, size in zip(reaches, spatial, strict=True))
        return list(map(_tap, zip(positions, map(all, itertools.product(*inside)), strict=True)))

    # --- reductions ---

    def padding_numbers(self, case: Case, taps: list[Tap], row: list) -> list:
        """What padding contributes to a window: nothing."""
        return []

    def maximum(self, numbers: list) -> int:
        """Where the largest is: the first NaN, or the first of the largest."""
        best = 0
        for i, number in enumerate(numbers):
            if number != number:
                return i
            if number > numbers[best]:
                best = i
        return best

    def divisor(self, case: Case, reaches: Sequence[Reach], inside: int) -> float:
        """What an average divides by."""
        average = case.spec.reduction
        if average.divisor is not None:
            return average.divisor
        return math.prod(reach.span for reach in reaches) if average.count_include_pad else inside

    def total(self, numbers: list, case: Case) -> float:
        """A sum."""
        special = [number for number in numbers if not math.isfinite(number)]
        if special:
            return math.nan if len(set(map(str, special))) > 1 or special[0] != special[0] else special[0]
        try:
            return math.fsum(numbers)
        except OverflowError:
            # A partial sum is past the range; the whole may be within it, or 0.
            return math.fsum(number / 2**64 for number in numbers) * 2.0**64

    def norm(self, numbers: list, p: float) -> float:
        """(Σ|x|^p)^(1/p), scaled so that nothing overflows on the way."""
        magnitudes = [abs(number) for number in numbers]
        if any(m != m for m in magnitudes):
            return math.nan
        largest = max(magnitudes, default=0.0)
        if largest == 0 or largest == math.inf:
            return largest
        return largest * math.fsum((m / largest) ** p for m in magnitudes) ** (1 / p)

    def slope(self, x: float, y: float, p: float) -> float:
        """The derivative of a norm."""
        if x == 0 or y == 0 or x != x or y != y:
            return 0.0
        if p < 2 and math.isfinite(y):
            # A root brings a ratio below the range back into it.
            return math.copysign(abs(x) ** (p - 1) / y ** (p - 1), x)
        return math.copysign((abs(x) / y) ** (p - 1), x)

    def hand_on(self, case: Case, numbers: list, cotangent: float) -> list[tuple[int, float]]:
        """Which taps of a max window get how much of its cotangent."""
        return [(self.maximum(numbers), cotangent)]

    def gather(self, parts: list, case: Case) -> float:
        """What an element of a gradient makes of the parts that windows hand on to it."""
        return self.total(parts, case)

    # --- the answer ---

    def index(self, case: Case, tap: Tap, n: int, c: int) -> int:
        """The index of a tap."""
        return self.flat(tap.position, case.spatial)

    def round(self, value: float, case: Case) -> Any:
        """A float as the case's type, rounded once."""
        kind = case.x.dtype
        with np.errstate(over="ignore"):
            if kind == BFLOAT16:
                return _to_bfloat16(value).astype(kind)
            return kind.type(value)

    def rows(self, case: Case, x: np.ndarray, n: int, c: int) -> list:
        """The elements of one sample and channel, in row-major order."""
        row = x[n, c].ravel()
        return row.tolist() if row.dtype.kind in "iu" else row.astype(np.float64).tolist()

    def answer(self, case: Case) -> np.ndarray:
        """The whole answer: (N, C, *out), or x's shape for "gradient"."""
        x = self.read(case)
        spatial = x.shape[2:]
        axes = [self.along(case.spec.windows, axis, size) for axis, size in enumerate(spatial)]
        cells = list(itertools.product(*axes))
        self._windows: dict[int, tuple[list[Tap], list[Tap], list[int]]] = {}
        pooled = (*x.shape[:2], *(len(axis) for axis in axes))
        if case.output == "gradient":
            return self.gradient(case, x, cells)
        out = np.zeros((x.shape[0] * x.shape[1], len(cells)), np.int64 if case.output == "indices" else case.x.dtype)
        for r, (n, c) in enumerate(np.ndindex(*x.shape[:2])):
            row = [self.number(value, case) for value in self.rows(case, x, n, c)]
            for i, reaches in enumerate(cells):
                out[r, i] = self.cell(case, row, reaches, spatial, n, c)
        return out.reshape(pooled)

    def cell(self, case: Case, row: list, reaches: Sequence[Reach], spatial: Sequence[int], n: int, c: int) -> Any:
        """One element of the values or indices."""
        taps, inside, places = self.window(reaches, spatial)
        numbers = [row[place] for place in places]
        reduction = case.spec.reduction
        if isinstance(reduction, Max):
            pick = self.maximum(numbers)
            if case.output == "indices":
                return self.index(case, inside[pick], n, c)
            value = numbers[pick] if numbers else -math.inf
            for other in self.padding_numbers(case, taps, row):
                value = max(value, other)
            return case.x.dtype.type(value) if case.x.dtype.kind in "iu" else self.round(value, case)
        numbers = numbers + self.padding_numbers(case, taps, row)
        if isinstance(reduction, Average):
            return self.round(self.quotient(self.total(numbers, case), self.divisor(case, reaches, len(inside)), case), case)
        return self.round(self.norm(numbers, reduction.p), case)

    def quotient(self, total: float, divisor: float, case: Case) -> float:
        """A sum over its divisor."""
        return total / divisor

    def gradient(self, case: Case, x: np.ndarray, cells: list) -> np.ndarray:
        """The cotangent handed back to the elements that each window reads."""
        spatial, reduction = x.shape[2:], case.spec.reduction
        out = np.zeros((x.shape[0] * x.shape[1], math.prod(spatial)), case.x.dtype)
        weights = case.cotangent.astype(np.float64).reshape(out.shape[0], len(cells)).tolist()
        for r, (n, c) in enumerate(np.ndindex(*x.shape[:2])):
            row = [self.number(value, case) for value in self.rows(case, x, n, c)]
            parts: list[list[float]] = [[] for _ in row]
            for reaches, weight in zip(cells, weights[r], strict=True):
                _, _, places = self.window(reaches, spatial)
                numbers = [row[place] for place in places]
                for pick, part in self.parts(case, reduction, reaches, numbers, weight):
                    parts[places[pick]].append(part)
            for place, found in enumerate(parts):
                out[r, place] = self.round(self.gather(found, case), case) if found else 0
        return out.reshape(x.shape)

    def parts(self, case: Case, reduction: Any, reaches: Sequence[Reach], numbers: list, weight: float) -> list[tuple[int, float]]:
        """(tap, part of the cotangent) for one window."""
        if isinstance(reduction, Max):
            return self.hand_on(case, numbers, weight)
        if isinstance(reduction, Average):
            return [(i, weight / self.divisor(case, reaches, len(numbers))) for i in range(len(numbers))]
        if isinstance(reduction, Lp):
            if 0 < max(map(abs, numbers), default=0.0) < 2.0**-512:
                # A slope is that of the numbers in any unit, and a subnormal norm has lost its digits.
                numbers = [number * 2.0**512 for number in numbers]
            y = self.norm(numbers, reduction.p)
            slopes = [self.slope(number, y, reduction.p) for number in numbers]
            if not math.isfinite(weight) and math.isfinite(y):
                # However small a slope is, so much of an infinity is one, and of NaN is NaN.
                slopes = [slope or math.copysign(5e-324, number) * (number != 0) for slope, number in zip(slopes, numbers, strict=True)]
            return [(i, slope * weight) for i, slope in enumerate(slopes) if slope]
        raise TypeError(f"{reduction}: expected Max, Average or Lp")


def narrow(numbers: list, kind: Any) -> float:
    """A sum kept in a narrower type, one element after the other."""
    total = np.array(0, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for number in numbers:
            total = (total.astype(np.float64) + number).astype(kind)
    return float(total)


def _to_bfloat16(value: float) -> np.ndarray:
    """A float64 as the float32 that rounds to the right bfloat16: a tie that float32 made is undone."""
    single = np.float32(value)
    bits = np.array(single).view(np.uint32)
    if math.isfinite(value) and (int(bits) & 0xFFFF) == 0x8000 and float(single) != value:
        bits += np.uint32(1 if abs(value) > abs(float(single)) else 0xFFFFFFFF)
        single = bits.view(np.float32)
    return np.asarray(single)


__all__ = ["FLOATS", "INTEGERS", "Reach", "Steps", "Tap", "accumulator_of", "narrow"]
