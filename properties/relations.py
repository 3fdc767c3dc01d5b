"""How two answers of one backend relate, and other ways to put a case: what metamorphic laws are made of."""

from collections.abc import Sequence

import numpy as np

from backends import compare, oracle
from backends.interface import Case
from backends.spec import PoolSpec, Sliding


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


def part(case: Case, sample: slice, channel: slice) -> Case:
    """The case for some samples and channels alone."""
    cotangent = case.cotangent
    return case.replace(x=plain(case.x[sample, channel]), cotangent=None if cotangent is None else plain(cotangent[sample, channel]))


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
