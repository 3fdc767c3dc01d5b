"""Which invalid cases a framework does not refuse: what each `where` of `divergences_calls.py` says of a whole case."""

import numpy as np

from backends.interface import Case
from backends.spec import Adaptive, Average, Global, Lp, Max, Sliding


def sliding(case: Case) -> bool:
    """Whether a case has sliding windows of its own rank."""
    windows = case.spec.windows
    return isinstance(windows, Sliding) and windows.rank == len(case.spatial)


def too_large(case: Case) -> np.ndarray:
    """A window larger than the padded input, but not absurdly so."""
    windows = case.spec.windows
    if not sliding(case) or max(windows.kernel) >= 2**31 or min(*windows.stride, *windows.dilation) < 1:
        return np.array(False)
    return np.array(any(size + sum(windows.pads(axis, size)) < windows.reach(axis) for axis, size in enumerate(case.spatial)))


def absurd(case: Case) -> np.ndarray:
    """A window of 2^31 elements or more."""
    return np.array(sliding(case) and max(case.spec.windows.kernel) >= 2**31)


def empty_sliding(case: Case) -> np.ndarray:
    """Sliding windows over an axis of no elements."""
    return np.array(sliding(case) and 0 in case.spatial)


def empty_global(case: Case) -> np.ndarray:
    """A global window over an axis of no elements."""
    return np.array(isinstance(case.spec.windows, Global) and 0 in case.spatial)


def empty_mean(case: Case) -> np.ndarray:
    """A global average over an axis of no elements."""
    return empty_global(case) & isinstance(case.spec.reduction, Average)


def empty_adaptive_average(case: Case) -> np.ndarray:
    """Adaptive averages over an axis of no elements."""
    return np.array(isinstance(case.spec.windows, Adaptive) and isinstance(case.spec.reduction, Average) and 0 in case.spatial)


def crops(case: Case) -> np.ndarray:
    """Padding below zero."""
    windows = case.spec.windows
    return np.array(sliding(case) and not isinstance(windows.padding, str) and min(map(min, windows.padding)) < 0)


def crops_elements(case: Case) -> np.ndarray:
    """Padding below zero, and above it nowhere, for windows of one element each that follow one another."""
    windows = case.spec.windows
    return crops(case) & (
        isinstance(windows, Sliding) and {*windows.kernel, *windows.stride} == {1} and max(map(max, windows.padding)) <= 0
    )


def reads_padding_alone(case: Case) -> np.ndarray:
    """Padding as wide as a window, which some window then reads alone."""
    windows = case.spec.windows
    if not sliding(case) or isinstance(windows.padding, str):
        return np.array(False)
    return np.array(any(max(pads) >= windows.reach(axis) for axis, pads in enumerate(windows.padding)))


def straddles(case: Case) -> np.ndarray:
    """A window of which some taps lie before the input and the others past it, though no padding is as wide as the window."""
    windows = case.spec.windows
    if not sliding(case) or min(*windows.kernel, *windows.stride, *windows.dilation) < 1 or reads_padding_alone(case):
        return np.array(False)
    return np.array(any(not window.taps for axis, size in enumerate(case.spatial) for window in windows.along(axis, size)))


def straddling_gradient(case: Case) -> np.ndarray:
    """The gradient of windows that straddle the input."""
    return straddles(case) & (case.output == "gradient")


def wrong_rank(case: Case) -> np.ndarray:
    """A kernel of another rank than the input."""
    return np.array(isinstance(case.spec.windows, Sliding) and case.spec.windows.rank != len(case.spatial))


def wrong_cotangent(case: Case) -> np.ndarray:
    """The gradient of an average, for a cotangent of another shape than the values have."""
    return np.array(
        isinstance(case.spec.reduction, Average)
        and sliding(case)
        and case.cotangent is not None
        and case.cotangent.shape != case.pooled_shape
    )


def wrong_max_cotangent(case: Case) -> np.ndarray:
    """The gradient of a maximum, for a cotangent of another shape than the values have."""
    return np.array(
        isinstance(case.spec.reduction, Max) and sliding(case) and case.cotangent is not None and case.cotangent.shape != case.pooled_shape
    )


def other_batch_or_channels(case: Case) -> np.ndarray:
    """The gradient of an average, for a cotangent of other samples or channels."""
    return wrong_cotangent(case) & (case.cotangent is not None and case.cotangent.shape[:2] != case.x.shape[:2])


def wrong_dtype(case: Case) -> np.ndarray:
    """A cotangent of another dtype than the values have."""
    return np.array(case.cotangent is not None and case.cotangent.dtype != case.x.dtype)


def no_norm(case: Case) -> np.ndarray:
    """An order that makes no norm: below one, infinite or NaN."""
    return np.array(isinstance(case.spec.reduction, Lp) and not 1 <= case.spec.reduction.p < np.inf)


def no_output(case: Case) -> np.ndarray:
    """An adaptive output of no elements."""
    return np.array(isinstance(case.spec.windows, Adaptive) and 0 in case.spec.windows.output_size)
