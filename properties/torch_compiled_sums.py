"""What compiled PyTorch does to sums on CPU: averages, gradients in half types, powers of norms."""

import functools
import math

import numpy as np

from backends import oracle
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Adaptive, Average, Lp, Max, Sliding
from backends.torch_plan import UNROLLED
from properties import torch_rules
from properties.tensorflow_max import any_window
from properties.torch_compiled_rules import is_uneven, is_written_adaptive, is_written_gradient
from properties.torch_rules import HALF, NOWHERE, Rounding


def where_overhang(case: Case) -> np.ndarray:
    """Gradients of averages that count the padding, at the taps of windows that overhang in ceil mode."""
    reduction, windows = case.spec.reduction, case.spec.windows
    asked = isinstance(reduction, Average) and reduction.count_include_pad and reduction.divisor is None
    if not (asked and case.output == "gradient" and isinstance(windows, Sliding) and windows.ceil_mode and case.x.size):
        return NOWHERE
    taps, divisors = oracle.all_windows(case.spec, case.spatial)
    touched = np.zeros(math.prod(case.spatial), bool)
    for window, divisor in zip(taps, divisors, strict=True):
        touched[window] |= divisor != math.prod(windows.kernel)
    return np.broadcast_to(touched.reshape(case.spatial), case.x.shape)


def predict_overhang(case: Case, exact: Exact) -> np.ndarray:
    """Each share is the cotangent over the whole kernel, however little of it is in the padded input."""
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    given = case.cotangent.reshape(-1, len(taps)).astype(np.float64)
    out = np.zeros((len(given), math.prod(case.spatial)))
    with np.errstate(over="ignore", invalid="ignore"):
        for cell, window in enumerate(taps):
            out[:, window] += given[:, cell : cell + 1] / math.prod(case.spec.windows.kernel)
    return out.reshape(case.x.shape)


def is_written_average(case: Case) -> bool:
    """Whether inductor writes an average itself: all but large windows that do not tile, large bins that differ, and 3-D bins."""
    windows = case.spec.windows
    if isinstance(windows, Sliding):
        return math.prod(windows.kernel) <= UNROLLED or windows.kernel == windows.stride
    if isinstance(windows, Adaptive) and len(case.spatial) == 3:
        return math.prod(windows.output_size) == 1
    return not is_uneven(case) or is_written_adaptive(case)


def where_half_average(case: Case) -> np.ndarray:
    """Averages of half types that are handed to the eager kernel."""
    asked = isinstance(case.spec.reduction, Average) and case.output == "values" and case.x.dtype.name in HALF
    return np.array(asked and not is_written_average(case))


def where_half_gradient(case: Case) -> np.ndarray:
    """Gradients of half types that are handed to the eager kernel, which adds in the half type."""
    asked = isinstance(case.spec.reduction, Max | Average) and case.output == "gradient" and case.x.dtype.name in HALF
    return np.array(asked and not is_written_gradient(case))


predict_lp = functools.partial(torch_rules.predict_lp, compiled=True)
nearest_lp = functools.partial(torch_rules.nearest_lp, compiled=True)
lp_slack = functools.partial(torch_rules.lp_slack, compiled=True)


def where_wide_powers(case: Case) -> np.ndarray:
    """Norms of float16: windows in which the power of a finite element is past the type's range, or below its normal numbers."""
    if not isinstance(case.spec.reduction, Lp) or case.x.dtype.name != "float16" or case.output != "values":
        return NOWHERE
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.abs(case.x.astype(np.float64)) ** case.spec.reduction.p
    info = np.finfo(np.float16)
    lost = (powers > float(info.max)) | ((powers > 0) & (powers < float(info.smallest_normal)))
    return any_window(case, lost & np.isfinite(case.x))


def nearest_wide_powers(case: Case, actual: np.ndarray) -> np.ndarray:
    """Of the formula in float32, with no step stored or with the means stored in float16, what is nearer to an answer.

    Which it is, inductor decides by what else reads the means.
    """
    wide = case.replace(x=case.x.astype(np.float32))
    with np.errstate(all="ignore"):
        steps = [torch_rules.lp_steps(wide, Rounding(wide.x.dtype), mean) for mean in (None, Rounding(case.x.dtype))]
        kept, stored = (y.reshape(case.pooled_shape).astype(np.float64) for _, _, y, _, _ in steps)
        apart = [np.where(told == actual, 0, np.nan_to_num(np.abs(told - actual), nan=np.inf)) for told in (kept, stored)]
    return np.where(apart[1] < apart[0], stored, kept)


def predict_wide_powers(case: Case, exact: Exact) -> np.ndarray:
    """The formula in float32, of which no step is stored."""
    return predict_lp(case.replace(x=case.x.astype(np.float32)), exact)
