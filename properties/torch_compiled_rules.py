"""What inductor makes of pooling on CPU where compiled PyTorch leaves the definition.

Each mechanism is a `where` and a `predict` in the sense of `divergence.Divergence`; the rows are in
`divergences_torch_compiled.py`. The source is torch/_inductor/lowering.py; what it does not write
itself goes to the eager kernels, whose mechanisms are in `torch_rules`.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from backends import oracle, torch_plan
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Adaptive, Max, Sliding
from backends.torch_plan import UNROLLED
from properties.torch_rules import HALF, NOWHERE, definition_picks, has_peculiar_windows, identity_of, is_max, picks, rows_of

# --- which element a maximum is -------------------------------------------------------------------


def slides(case: Case) -> Sliding | None:
    """The sliding windows that inductor makes of a case's: of adaptive bins too, where they are all alike."""
    windows = case.spec.windows
    if isinstance(windows, Sliding):
        return windows
    if not isinstance(windows, Adaptive) or is_uneven(case) or math.prod(windows.output_size) == 1:
        return None
    return Sliding(kernel=tuple(size // bins for size, bins in zip(case.spatial, windows.output_size, strict=True)))


def strides_of(case: Case) -> tuple[int, ...]:
    """The strides of the tensor that is pooled."""
    if case.layout == "channels_last":
        return torch_plan.channels_last(case.x.shape)
    return torch_plan.representable(case.x).strides


def loops(case: Case) -> list[int]:
    """The order of a window's loops over the spatial axes: large windows are looped over in the order of memory."""
    windows, axes = slides(case), range(len(case.spatial))
    if windows is None or math.prod(windows.kernel) <= UNROLLED:
        return list(axes)
    return sorted(axes, key=lambda axis: -strides_of(case)[2 + axis])


def is_swapped(case: Case) -> bool:
    """Whether the loops over a window are in another order than its axes."""
    return sorted(order := loops(case)) != order


def places(case: Case) -> list[list[list[tuple[int, bool]]]]:
    """For each axis, window and step of it: the place on that axis, and whether the window reads it.

    A sliding window steps through its padding as well; an adaptive bin takes as many steps as the widest, past its end.
    """
    windows, spatial = slides(case), case.spatial
    if windows is None:
        windows = case.spec.windows
        return [
            [
                [(place, place < -(-(i + 1) * size // bins)) for place in range(i * size // bins, i * size // bins + widest(size, bins))]
                for i in range(bins)
            ]
            for size, bins in zip(spatial, windows.output_size, strict=True)
        ]
    return [
        [
            [
                (place, 0 <= place < size)
                for k in range(windows.kernel[axis])
                for place in (i * windows.stride[axis] + k * windows.dilation[axis] - windows.pads(axis, size)[0],)
            ]
            for i in range(windows.count(axis, size))
        ]
        for axis, size in enumerate(spatial)
    ]


def widest(size: int, bins: int) -> int:
    """How many steps inductor takes for each adaptive bin of an axis."""
    return -(-(size + bins - 1) // bins)


def steps(case: Case) -> tuple[list[list[int]], list[list[int]]]:
    """(taps, indices) of each window, step by step: −1 for a tap that is not read, and the index that it gets there.

    A place that is not read is flattened like any other, and so may be another element's index or none's. Where the loops are
    swapped, the number of a step is still taken apart as if they were not, so that it names another place.
    """
    taps, indices, order = [], [], loops(case)
    back = np.argsort(order)
    for cell in itertools.product(*places(case)):
        plain = [
            sum(place * math.prod(case.spatial[axis + 1 :]) for axis, (place, _) in enumerate(step)) for step in itertools.product(*cell)
        ]
        looped = [tuple(step[axis] for axis in back) for step in itertools.product(*(cell[axis] for axis in order))]
        flat = [sum(place * math.prod(case.spatial[axis + 1 :]) for axis, (place, _) in enumerate(step)) for step in looped]
        taps.append([index if all(read for _, read in step) else -1 for index, step in zip(flat, looped, strict=True)])
        indices.append(plain)
    return taps, indices


def found(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """(values, indices) of the maxima that inductor writes itself, (N·C, windows).

    Sliding windows: `argmax` over all steps, in which the padding takes part as the identity and may be first among ties.
    Adaptive bins: what is largest before the first NaN, where −inf stands past a bin's end; as an integer that is 0.
    """
    taps, indices = steps(case)
    alike = slides(case) is not None
    stands_in = identity_of(case) if alike or case.x.dtype.kind not in "iu" else 0
    pick = oracle.argmax if alike else before_nan
    values, places = [], []
    for row in rows_of(case.x).tolist():
        beside = [*row, stands_in]  # −1 is what is not read
        for window, flat in zip(taps, indices, strict=True):
            numbers = [beside[tap] for tap in window]
            best = pick(numbers, range(len(window)))
            values.append(numbers[best])
            places.append(flat[best])
    shape = (math.prod(case.x.shape[:2]), len(taps))
    return np.array(values).reshape(shape), np.array(places, np.int64).reshape(shape)


def before_nan(numbers: list, taps: Sequence[int]) -> int:
    """`index = where(x > max, here, index); max = maximum(x, max)`: what was largest before the first NaN."""
    best, largest = taps[0], numbers[taps[0]]
    for tap in taps[1:]:
        number = numbers[tap]
        if number > largest:
            best = tap
        if largest == largest:
            largest = number if number != number or number > largest else largest
    return best


def is_uneven(case: Case) -> bool:
    """Whether adaptive bins differ in size."""
    return isinstance(case.spec.windows, Adaptive) and any(
        size % bins for size, bins in zip(case.spatial, case.spec.windows.output_size, strict=True)
    )


def is_written_adaptive(case: Case) -> bool:
    """Whether inductor writes an adaptive maximum of uneven bins itself: in one and two dimensions, and for small bins."""
    if not is_uneven(case) or len(case.spatial) > 2:
        return False
    return math.prod(map(widest, case.spatial, case.spec.windows.output_size)) <= UNROLLED


def compiled_picks(case: Case) -> np.ndarray | None:
    """Where inductor says that each maximum is: (N·C, windows); None where it goes by the definition."""
    if slides(case) is not None or is_written_adaptive(case):
        return found(case)[1]
    return picks(case) if is_uneven(case) else None


def is_misread(case: Case) -> bool:
    """Whether the eager kernel for the gradient in 3-D adaptive bins gets indices that do not lie in the order it reads them in."""
    return len(case.spatial) == 3 and isinstance(case.spec.windows, Adaptive) and slides(case) is not None and case.output == "gradient"


def scattered_picks(case: Case) -> np.ndarray | None:
    """The picks that a gradient goes by: indices that lie in memory as the input does are read as if they were contiguous."""
    theirs = compiled_picks(case)
    if theirs is None or not is_misread(case):
        return theirs
    strides = strides_of(case)
    order = sorted(range(5), key=lambda axis: -strides[axis])
    return theirs.reshape(case.pooled_shape).transpose(order).reshape(theirs.shape)


def is_negative_integer(case: Case) -> bool:
    """Whether integers are pooled of which some are negative, in adaptive bins that inductor writes itself."""
    return case.x.dtype.kind == "i" and is_written_adaptive(case) and bool((case.x < 0).any())


LANES = 16
"""Floats in a vector of 512 bits."""


def where_lanes(output: str) -> Any:
    """int8 maxima below 0 over windows that lie in one piece of memory, of as many taps as a vector has floats, in a loop.

    A load fills as many bytes as a vector has floats, and the lanes after them, which are 0, take part.
    """

    def where(case: Case) -> np.ndarray:
        windows = case.spec.windows
        beside = case.layout == "channels_first" or case.x.shape[1] == 1
        if not is_max(case, output) or case.x.dtype != np.int8 or not beside:
            return NOWHERE
        taps, _ = oracle.all_windows(case.spec, case.spatial)
        if isinstance(windows, Sliding) and math.prod(windows.kernel) <= UNROLLED or min(map(len, taps)) < LANES:
            return NOWHERE
        rows = rows_of(case.x)
        return np.stack([rows[:, window].max(axis=1) < 0 for window in taps], axis=1).reshape(case.pooled_shape)

    return where


def predict_zero(case: Case, exact: Exact) -> np.ndarray:
    return np.zeros(case.pooled_shape)


def nearest_lane(case: Case, actual: np.ndarray) -> np.ndarray:
    """0, or what was in memory: no place of the input."""
    return np.where((actual < 0) | (actual >= math.prod(case.spatial)), actual, 0)


def differs(case: Case, output: str) -> np.ndarray | None:
    """Inductor's picks where they may not be the definition's."""
    if not is_max(case, output):
        return None
    odd = has_peculiar_windows(case) or is_negative_integer(case) or is_swapped(case) or is_misread(case)
    return scattered_picks(case) if odd else None


def where_negative(case: Case) -> np.ndarray:
    """Adaptive maxima of integers that are negative."""
    if not is_max(case, "values") or not is_negative_integer(case):
        return NOWHERE
    taps, _ = oracle.all_windows(case.spec, case.spatial)
    rows = rows_of(case.x)
    return np.stack([rows[:, window].max(axis=1) < 0 for window in taps], axis=1).reshape(case.pooled_shape)


def predict_negative(case: Case, exact: Exact) -> np.ndarray:
    return found(case)[0].reshape(case.pooled_shape)


def where_index(case: Case) -> np.ndarray:
    """Indices of windows in which inductor takes another element than the definition."""
    theirs = differs(case, "indices")
    return NOWHERE if theirs is None else (theirs != definition_picks(case)).reshape(case.pooled_shape)


def predict_index(case: Case, exact: Exact) -> np.ndarray:
    return compiled_picks(case).reshape(case.pooled_shape)


def padded(where: Any) -> Any:
    """A `where` for windows whose loops are in the order of the axes, and whose indices are read as they lie."""
    return lambda case: where(case) if slides(case) is not None and not is_swapped(case) and not is_misread(case) else NOWHERE


def swapped(where: Any) -> Any:
    """A `where` for windows whose loops are in another order than their axes."""
    return lambda case: where(case) if is_swapped(case) and not is_misread(case) else NOWHERE


def misread(where: Any) -> Any:
    """A `where` for indices that are read in another order than they lie in."""
    return lambda case: where(case) if is_misread(case) else NOWHERE


def adaptive(where: Any) -> Any:
    """A `where` for adaptive windows that inductor writes itself."""
    return lambda case: where(case) if is_written_adaptive(case) else NOWHERE


def handed_over(where: Any) -> Any:
    """A `where` for adaptive windows that inductor hands to the eager kernel."""
    return lambda case: where(case) if is_uneven(case) and not is_written_adaptive(case) else NOWHERE


def outside(case: Case, below: int) -> np.ndarray:
    """Sliding max: whether a gradient goes to an index below that, or past the input."""
    theirs = differs(case, "gradient") if isinstance(case.spec.windows, Sliding) else None
    return np.array(theirs is not None and bool(((theirs < below) | (theirs >= math.prod(case.spatial))).any()))


def where_raises(case: Case) -> np.ndarray:
    """In up to two dimensions indices are checked where the gradient is scattered: outside the input they raise."""
    return outside(case, 0) if len(case.spatial) < 3 else NOWHERE


def where_corrupts(case: Case) -> np.ndarray:
    """In three dimensions the eager kernel heeds −1 alone, and writes wherever other indices point."""
    return outside(case, -1) if len(case.spatial) == 3 else NOWHERE


def landings(case: Case) -> np.ndarray:
    """Where each cotangent lands, as a flat index into x: (N·C, windows); −1 where that is nowhere.

    An index outside a volume is one of the next channel's or sample's memory.
    """
    theirs, size = scattered_picks(case), math.prod(case.spatial)
    samples, channels = case.x.shape[:2]
    rows = np.arange(len(theirs))[:, None]
    steps = theirs // size * (channels if case.layout == "channels_last" else 1)
    volume = np.where(theirs == -1, -1, rows + steps)
    return np.where((volume >= 0) & (volume < samples * channels), volume * size + theirs % size, -1)


def where_max_gradient(case: Case) -> np.ndarray:
    """Elements that the definition picks, or where a cotangent lands, for windows in which the two differ."""
    theirs = differs(case, "gradient")
    if theirs is None:
        return NOWHERE
    ours, lands = definition_picks(case), landings(case)
    touched = np.zeros(case.x.size + 1, bool)
    rows, cells = np.nonzero(ours != theirs)
    touched[rows * math.prod(case.spatial) + ours[rows, cells]] = True
    touched[lands[rows, cells]] = True  # −1 marks the spare one
    return touched[:-1].reshape(case.x.shape)


def predict_max_gradient(case: Case, exact: Exact) -> np.ndarray:
    """The cotangents added where they land: half types in float32, but for what the eager kernel does in three dimensions."""
    lands = landings(case)
    kind = np.float32 if case.x.dtype.name in HALF and is_written_gradient(case) else case.x.dtype
    given = case.cotangent.reshape(lands.shape)
    out = np.zeros(case.x.size + 1, kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for place, weight in zip(lands.ravel(), given.ravel(), strict=True):
            out[place] = out[place] + np.asarray(weight).astype(kind)
        return out[:-1].astype(case.x.dtype).astype(np.float64).reshape(case.x.shape)


# --- gradients that are handed over ---------------------------------------------------------------


def most_windows(kernel: int, stride: int) -> int:
    """How many windows inductor looks through for an element of one axis."""
    return max(max(place // stride - max(0, (place - kernel) // stride), 1) for place in range(2 * kernel))


def is_written_gradient(case: Case) -> bool:
    """Whether inductor writes a gradient itself: of sliding windows, of max in up to two dimensions, of averages where not too many meet."""
    windows = case.spec.windows
    if not isinstance(windows, Sliding):
        return False
    if isinstance(case.spec.reduction, Max):
        return len(case.spatial) < 3
    return math.prod(map(most_windows, windows.kernel, windows.stride)) <= (125 if len(case.spatial) == 3 else UNROLLED)
