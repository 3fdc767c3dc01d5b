"""Where NumPy's time in a pooling goes: its calls timed one by one, and sorted by what makes such a call slow.

A call runs over its arrays in runs: the longest stretches on which every array of it has one stride. What an element of
a result costs, of two float32 that stay in the cache, on an AMD EPYC with AVX-512 and NumPy 2.4.6:

- in a long run, 0.06 to 0.12 ns: NumPy's loop in vectors;
- of every second element, 0.3 (sums) to 0.5 ns (maxima): that loop loads them number by number;
- in runs of 256 elements 0.2 ns, of 64 elements 0.3, and of 16 elements 0.6 ns: NumPy begins each anew, or copies them into its
  buffer first, of which `numpy_pooling.Question.buffer` sets the size;
- of a map whose numbers are repeated over channels, 0.2 to 0.3 ns, where one number for all, or a row for every channel, takes 0.07 ns;
- of a row of 49 that `reduce` takes, 0.7 (maxima) or 0.4 ns (sums) an element, where long rows take 0.04 and 0.14 ns; of runs of 64 that
  it takes together, 0.3 to 0.45 ns, where those of 2048 take 0.07 ns. `np.einsum`, which sums rows where all is finite, takes 0.09 ns.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.numpy_pooling import Plan
from backends.numpy_program import Call, copy

SHORT = 1024
"""Elements of a run from which beginning it is lost in the time that it takes, and a plan's buffer takes none of it."""
ROW = 512
"""Elements of a run from which `reduce` is nearly as fast as on any."""
ENOUGH, LEAST, MOST = 0.03, 5, 60
"""Seconds of timing, and how often each call is timed at least and at most."""
KINDS = ("converted", "counts", "strided", "rows", "short", "passes")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the calls of a pooling cost: `seconds` by kind, what a call costs by itself (`empty` seconds) taken from each.

    `whole` is the pooling itself in seconds, `calls` how many calls it makes, `moved` the bytes that they read and write,
    `runs` the elements of a run by kind, the median of its calls.
    """

    calls: int
    empty: float
    whole: float
    moved: int
    seconds: dict[str, float]
    runs: dict[str, int]


def measure(plan: Plan, pool: Callable[[], Any]) -> Costs:
    """Time the calls of a plan one by one, in order and with its buffer, and `pool`, which makes them."""
    calls = plan.calls()
    number, result = np.ones(1, np.float32), np.ones(1, np.float32)
    # Each alone: a call after one that went over other memory finds its own code and data no longer in the cache.
    (whole,), (empty,) = _medians([pool]), _medians([lambda: np.maximum(number, number, out=result)])
    each = plan.context().run(_medians, [_made(call) for call in calls])
    seconds, lengths = dict.fromkeys(KINDS, 0.0), {kind: list[int]() for kind in KINDS}
    for call, taken in zip(calls, each, strict=True):
        kind = kind_of(call)
        seconds[kind] += max(0.0, taken - empty)
        lengths[kind].append(run_of(call)[0])
    return Costs(
        calls=len(calls),
        empty=empty,
        whole=whole,
        moved=sum(array.nbytes for call in calls for array in _arrays(call)),
        seconds=seconds,
        runs={kind: int(statistics.median(found)) for kind, found in lengths.items() if found},
    )


def kind_of(call: Call) -> str:
    """What makes a call slow: one of `KINDS`, "passes" where nothing does but that it is one more.

    "converted" writes another type, "counts" multiplies by a map of which each number is repeated, "rows" reduces short runs.
    """
    arrays = _arrays(call)
    if not isinstance(call.out, np.ndarray) or not call.out.size:
        return "passes"
    if call.function is copy and any(array.dtype != call.out.dtype for array in arrays):
        return "converted"
    if call.function is np.multiply and any(array.size > 1 == array.shape[-1] < call.out.shape[-1] for array in arrays):
        return "counts"
    length, strided = run_of(call)
    if not isinstance(call.function, np.ufunc) and call.function is not copy:
        return "rows" if length < min(ROW, arrays[0].size) and isinstance(getattr(call.function, "__self__", None), np.ufunc) else "passes"
    if strided:
        return "strided"
    # A copy needs no buffer: 0.1 ns an element in runs of 64.
    return "short" if length < min(SHORT, call.out.size) and call.function is not copy else "passes"


def run_of(call: Call) -> tuple[int, bool]:
    """(elements of a run, whether an array is strided on it), as NumPy's iterator has it."""
    arrays = _arrays(call)
    whole = max(arrays, key=lambda array: array.size)
    try:
        iterator = np.nditer([np.broadcast_to(array, whole.shape) for array in arrays], flags=["external_loop"])
    except ValueError:  # nothing to iterate over, or arrays that are not met element by element
        return whole.size, False
    first: Any = next(iterator)
    # One array alone is not a tuple of them.
    runs = first if isinstance(first, tuple) else (first,)
    length = len(runs[0])
    return length, length > 1 and any(abs(run.strides[0]) > run.itemsize for run in runs)


def _arrays(call: Call) -> list[np.ndarray]:
    return [array for array in (*call.inputs, call.out) if isinstance(array, np.ndarray)]


def _made(call: Call) -> Callable[[], Any]:
    if call.out is None:
        return lambda: call.function(*call.inputs, **call.arguments)
    return lambda: call.function(*call.inputs, out=call.out, **call.arguments)


def _medians(works: Sequence[Callable[[], Any]]) -> list[float]:
    """The median seconds of each, done in turns as they follow each other."""
    times: list[list[float]] = [[] for _ in works]
    clock = time.perf_counter
    end = clock() + ENOUGH
    while len(times[0]) < LEAST or (clock() < end and len(times[0]) < MOST):
        for work, taken in zip(works, times, strict=True):
            start = clock()
            work()
            taken.append(clock() - start)
    return [statistics.median(taken) for taken in times]
