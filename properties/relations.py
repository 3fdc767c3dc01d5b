"""How two answers of one backend relate, and other ways to put a case: what metamorphic laws are made of."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backends import compare, oracle
from backends.interface import LAYOUTS, Case
from backends.spec import SAME, Average, Lp, PoolSpec, Reduction, Sliding


def assert_agree(case: Case, first: np.ndarray, second: np.ndarray, what: str) -> None:
    """Two answers to one question are one answer: equal, or, for sums, no further apart than two error bounds."""
    if first.shape != second.shape:
        raise AssertionError(f"{what}: shape {second.shape}, not {first.shape}")
    with np.errstate(invalid="ignore", over="ignore"):
        equal = (first == second) | ((first != first) & (second != second))
    if equal.all():
        return
    if case.output == "indices" or (case.spec.reduction.name == "max" and case.output == "values"):
        apart = ~equal
        allowed = "they must be equal"
    else:
        bound, _, rule = compare.error_bound(case, oracle.pool(case), compare.accumulator_of(case.x.dtype))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = ~equal & ~(np.abs(first.astype(np.float64) - second.astype(np.float64)) <= 2 * bound)
        if apart.any():
            # A sum near the end of the range may be infinite in one order of summation and finite in another.
            either = np.isinf(first) | np.isinf(second)
            apart &= ~(either & ~compare.compare(case, first).bad & ~compare.compare(case, second).bad)
        allowed = f"at most 2·({rule}) apart"
    if apart.any():
        index = tuple(int(i) for i in np.argwhere(apart)[0])
        raise AssertionError(f"{what}: at {index} {second[index]!s}, not {first[index]!s}; {allowed}")


def bounds(case: Case) -> np.ndarray:
    """The error bound of each element of an answer."""
    return compare.error_bound(case, oracle.pool(case), compare.accumulator_of(case.x.dtype))[0]


def finite(case: Case) -> bool:
    """Whether everything that goes into a case is finite."""
    return bool(np.isfinite(case.x).all() and (case.cotangent is None or np.isfinite(case.cotangent).all()))


def plain(array: np.ndarray) -> np.ndarray:
    """The same elements in a fresh array, contiguous and writeable."""
    return np.array(array, order="C")


def taken(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The elements of x, (N, C, *spatial), at flat indices into each sample's and channel's space, (N, C, *out)."""
    rows = plain(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))
    flat = index.reshape(*x.shape[:2], math.prod(index.shape[2:]))
    return np.take_along_axis(rows, flat, axis=2).reshape(index.shape)


def part(case: Case, sample: slice, channel: slice) -> Case:
    """The case for some samples and channels alone."""
    cotangent = case.cotangent
    return case.replace(x=plain(case.x[sample, channel]), cotangent=None if cotangent is None else plain(cotangent[sample, channel]))


def one_apart(case: Case) -> list[Case]:
    """Cases of one input shape that differ in one attribute: an option, the side of padding, the type, the layout, the values."""
    reduction, windows = case.spec.reduction, case.spec.windows
    reductions: list[Reduction] = []
    if isinstance(reduction, Average) and isinstance(windows, Sliding):
        reductions = [
            replace(reduction, count_include_pad=not reduction.count_include_pad),
            replace(reduction, divisor=5 if reduction.divisor is None else None),
        ]
    elif isinstance(reduction, Lp):
        reductions = [replace(reduction, p=1.0 if reduction.p == 2 else 2.0)]
    specs = [PoolSpec(reduction=one, windows=windows) for one in reductions]
    if isinstance(windows, Sliding):
        slid = [] if windows.padding in SAME else [replace(windows, ceil_mode=not windows.ceil_mode)]
        if windows.padding in SAME:
            slid = [replace(windows, padding=SAME[1 - SAME.index(str(windows.padding))])]
        elif isinstance(windows.padding, tuple):
            slid.append(replace(windows, padding=tuple((after, before) for before, after in windows.padding)))
        specs += [PoolSpec(reduction=reduction, windows=one) for one in slid if one != windows]
    found = [case.replace(spec=spec) for spec in specs if _fits(spec, case)]
    found.append(case.replace(layout=LAYOUTS[1 - LAYOUTS.index(case.layout)]))
    if case.x.dtype.kind not in "iu":
        kind = np.dtype("float32" if case.x.dtype != np.float32 else "float64")
        cotangent = None if case.cotangent is None else case.cotangent.astype(kind)
        found.append(case.replace(x=case.x.astype(kind), cotangent=cotangent))
    found.append(case.replace(x=plain(case.x[..., ::-1])))
    if case.cotangent is not None:
        found.append(case.replace(cotangent=plain(case.cotangent[..., ::-1])))
    return found


def _fits(spec: PoolSpec, case: Case) -> bool:
    """Whether a spec is valid, and gives the case's shape where a cotangent has it."""
    try:
        spec.check(case.spatial)
    except ValueError:
        return False
    return case.cotangent is None or spec.output_shape(case.spatial) == case.pooled_shape[2:]


def permute(spec: PoolSpec, order: Sequence[int]) -> PoolSpec:
    """The spec of the input whose spatial axes are taken in another order."""
    windows = spec.windows

    def take(sizes: tuple) -> tuple:
        return tuple(sizes[axis] for axis in order)

    if isinstance(windows, Sliding):
        padding = windows.padding if isinstance(windows.padding, str) else take(windows.padding)
        changed = Sliding(
            kernel=take(windows.kernel),
            stride=take(windows.stride),
            padding=padding,
            dilation=take(windows.dilation),
            ceil_mode=windows.ceil_mode,
        )
        return PoolSpec(reduction=spec.reduction, windows=changed)
    if windows.rank is None:
        return spec
    return PoolSpec(reduction=spec.reduction, windows=type(windows)(output_size=take(windows.output_size)))


def explicit_pads(case: Case) -> tuple[tuple[int, int], ...]:
    """The padding of a sliding case as pairs, whatever it was called."""
    windows = case.spec.windows
    if not isinstance(windows, Sliding):
        raise TypeError(f"{windows.name} windows are not padded")
    return tuple(windows.pads(axis, size) for axis, size in enumerate(case.spatial))


def sliding_of(case: Case) -> Sliding:
    """The sliding windows of a case that has them."""
    if not isinstance(case.spec.windows, Sliding):
        raise TypeError(f"expected sliding windows, got {case.spec.windows}")
    return case.spec.windows
