"""How two answers of one backend relate, and other ways to put a case: what metamorphic laws are made of."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backends import compare, oracle
from backends.interface import LAYOUTS, Case, dtype_named
from backends.spec import SAME, Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows


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
            # A sum near the end of the range may be infinite in one order of summation and finite in another; and what is
            # unspecified, as a gradient where the norm itself is infinite, may be NaN one way and a number another.
            either = ~np.isfinite(first) | ~np.isfinite(second)
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


def one_apart(case: Case) -> tuple[list[Case], list[Case], list[Case]]:
    """Cases that differ from one in a single attribute: an option of its pooling, a size, or anything else (type, layout, values …)."""
    reductions = [PoolSpec(reduction=one, windows=case.spec.windows) for one in _other_reductions(case)]
    windows = [PoolSpec(reduction=_without_padding(case.spec.reduction, one), windows=one) for one in _other_windows(case)]
    options = [spec for spec in windows if _sizes(spec.windows) == _sizes(case.spec.windows)]
    of_options = [asked_of(spec, case) for spec in (*reductions, *options) if fits(spec, case.spatial)]
    of_sizes = [asked_of(spec, case) for spec in windows if spec not in options and fits(spec, case.spatial)]
    of_sizes += [larger for axis in range(case.x.ndim) if (larger := _larger(case, axis)) is not None]
    of_sizes += [part(case, slice(0, 0), slice(None))] if case.x.shape[0] else []
    others = [
        case.replace(layout=LAYOUTS[1 - LAYOUTS.index(case.layout)]),
        case.replace(x=plain(case.x[..., ::-1])),
        *_of_other_types(case),
    ]
    if case.cotangent is not None:
        others.append(case.replace(cotangent=plain(case.cotangent[..., ::-1])))
        others.append(case.replace(output="values", cotangent=None))
    elif isinstance(case.spec.reduction, Max):
        others.append(case.replace(output="indices" if case.output == "values" else "values"))
    return of_options, of_sizes, others


def _sizes(windows: Windows) -> tuple[Any, ...]:
    return tuple(getattr(windows, name, None) for name in ("name", "kernel", "stride", "dilation", "output_size"))


def _other_reductions(case: Case) -> list[Reduction]:
    reduction, floats = case.spec.reduction, case.x.dtype.kind not in "iu"
    if isinstance(reduction, Average):
        if not isinstance(case.spec.windows, Sliding):
            return [Max()]
        return [
            replace(reduction, count_include_pad=not reduction.count_include_pad),
            replace(reduction, divisor=5 if reduction.divisor is None else None),
            *([] if reduction.divisor is None else [replace(reduction, divisor=reduction.divisor + (4 if reduction.divisor > 0 else -4))]),
            Max(),
        ]
    if isinstance(reduction, Lp):
        return [replace(reduction, p=1.0 if reduction.p == 2 else 2.0), replace(reduction, p=reduction.p + 1), Max()]
    return [Average()] if floats and case.output != "indices" else []


def _other_windows(case: Case) -> list[Windows]:
    windows = case.spec.windows
    if isinstance(windows, Adaptive):
        more = [_one_more(windows.output_size, axis) for axis in range(len(windows.output_size))]
        return [Adaptive(output_size=size) for size in more]
    if not isinstance(windows, Sliding):
        return []
    found: list[Windows] = []
    if windows.padding in SAME:
        found.append(replace(windows, padding=SAME[1 - SAME.index(str(windows.padding))]))
    else:
        found.append(replace(windows, ceil_mode=not windows.ceil_mode))
        if isinstance(windows.padding, tuple):
            found.append(replace(windows, padding=tuple((after, before) for before, after in windows.padding)))
            found.append(replace(windows, padding=tuple((max(before - 1, 0), after) for before, after in windows.padding)))
    for axis in {0, windows.rank - 1}:
        found.append(replace(windows, kernel=_one_more(windows.kernel, axis)))
        found.append(replace(windows, stride=_one_more(windows.stride, axis)))
        other = [1 if here == axis and step > 1 else step + (here == axis) for here, step in enumerate(windows.dilation)]
        found.append(replace(windows, dilation=tuple(other)))
    found.append(Global())
    return [one for one in found if one != windows]


def fits(spec: PoolSpec, spatial: Sequence[int]) -> bool:
    """Whether the definition takes a spec over a spatial shape."""
    try:
        spec.check(spatial)
    except ValueError:
        return False
    return True


def _one_more(sizes: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(size + (here == axis) for here, size in enumerate(sizes))


def _larger(case: Case, axis: int) -> Case | None:
    """The case with twice the samples, or with one channel, row or column more; None where the windows do not fit that."""
    shape = list(case.x.shape)
    shape[axis] += shape[0] if axis == 0 else 1
    if not fits(case.spec, tuple(shape[2:])):
        return None
    cotangent = None
    if case.cotangent is not None:
        cotangent = np.resize(case.cotangent, (*shape[:2], *case.spec.output_shape(tuple(shape[2:]))))
    return case.replace(x=np.resize(case.x, shape), cotangent=cotangent)


def _without_padding(reduction: Reduction, windows: Windows) -> Reduction:
    """The reduction as windows can have it: only sliding ones have an average's options."""
    return Average() if isinstance(reduction, Average) and not isinstance(windows, Sliding) else reduction


def _of_other_types(case: Case) -> list[Case]:
    """The case in another float type, and its bits in the other half type, or in the integers of the same size with a sign, or without."""
    if case.x.dtype.kind in "iu":
        return [case.replace(x=plain(case.x).view(f"{'u' if case.x.dtype.kind == 'i' else 'i'}{case.x.dtype.itemsize}"))]
    kind = np.dtype("float32" if case.x.dtype != np.float32 else "float64")
    cotangent = None if case.cotangent is None else case.cotangent.astype(kind)
    found = [case.replace(x=case.x.astype(kind), cotangent=cotangent)]
    if case.x.dtype.name in compare.HALF and case.cotangent is None:
        found.append(case.replace(x=plain(case.x).view(dtype_named(compare.HALF[1 - compare.HALF.index(case.x.dtype.name)]))))
    return found


def asked_of(spec: PoolSpec, case: Case) -> Case:
    """The case of another spec; its cotangent is repeated, or cut, to the shape that this gives."""
    if case.cotangent is None:
        return case.replace(spec=spec)
    return case.replace(spec=spec, cotangent=np.resize(case.cotangent, (*case.x.shape[:2], *spec.output_shape(case.spatial))))


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
