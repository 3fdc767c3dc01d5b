"""What a NumPy pooling is made of: a plan of blocks, each with a program, and the loop that runs them.

A block is a part of the arrays that a core's cache holds: samples and channels first, then bands of
rows. Blocks write disjoint parts of the result, so they are shared out among threads; NumPy lets go
of the interpreter's lock inside each call.
"""

import contextvars
import functools
import itertools
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from backends.interface import Case
from backends.numpy_plan import LONG, Axis, Grid, ranges
from backends.numpy_program import ALIGNMENT, Call, Program, Script, give

PARALLEL_FROM = 1 << 20
"""Bytes of input for each thread from which another one saves more than waking it costs."""

NUMPY_BUFFER = 8192
"""Elements of NumPy's buffer as it comes: of two arrays and a result of float32, more than the 32 to 48 kB of a core's first cache."""
SMALL_BUFFER, NO_BUFFER = 2048, 384
"""Buffers which that cache holds, and which runs of `LONG_ENOUGH` bytes do not use, unless their elements are of more than four bytes."""
LONG_ENOUGH = 1024

Trap = Literal["over", "under", "invalid"]
OVERFLOW: tuple[Trap, ...] = ("over", "invalid")
"""What a sum meets that overflows: the overflow, or then an infinity less an infinity."""

Index = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A program, and the parts of the arrays that its registers are; () for all of one.

    `slow` writes the program to run instead where the first one meets a floating-point error.
    """

    program: Program
    parts: Mapping[str, Index]
    slow: Callable[[], Program] | None = None

    def given(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The block's parts of these arrays."""
        return {name: arrays[name][part] if part else arrays[name] for name, part in self.parts.items() if name in arrays}


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How to compute one array, called "y": its shape in memory, and blocks that write disjoint parts of it.

    `traps` are the floating-point errors after which a block is computed anew: by its slow program,
    or scaled, where `linear` names a register in which y is linear. With `flat`, blocks also write to "flat", all of y in one dimension.
    `buffer` is the size of the buffer that NumPy uses meanwhile, in elements, of which `Question.buffer` tells.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    arrays: Mapping[str, np.ndarray]
    blocks: Sequence[Block]
    traps: tuple[Trap, ...] = ()
    linear: str = ""
    flat: bool = False
    buffer: int = NUMPY_BUFFER

    @property
    def scratch(self) -> int:
        """The bytes of scratch memory that a thread needs."""
        return max((block.program.size for block in self.blocks), default=0)

    def bind(self, threads: int) -> Callable[[], np.ndarray]:
        """A function that computes the array, on up to so many threads; its scratch memory is set aside here."""
        threads = max(1, min(threads, len(self.blocks)))
        step = max(1, -(-len(self.blocks) // threads))
        shares = [_Share(self, self.blocks[start : start + step]) for start in range(0, len(self.blocks), step)]
        empty, shape, dtype, busy = np.empty, self.shape, self.dtype, threading.Lock()

        def every(y: np.ndarray) -> None:
            together([functools.partial(share.run, y) for share in shares])

        work = shares[0].run if len(shares) == 1 else every

        def pool() -> np.ndarray:
            y = empty(shape, dtype)
            with busy:
                work(y)
            return y

        return pool

    def context(self) -> contextvars.Context:
        """A context in which NumPy has the plan's buffer, and raises what the plan traps.

        An overflow, or an infinity less an infinity, sets a flag of the processor, which NumPy
        reads after each call in any case: finding out costs nothing. NumPy keeps what to do about
        it in a context variable; a context of our own costs a tenth of entering `np.errstate`.
        """
        context = contextvars.Context()
        context.run(np.setbufsize, self.buffer)
        context.run(np.seterr, all="ignore")
        for trap in self.traps:
            context.run(functools.partial(np.seterr, **{trap: "raise"}))  # type: ignore[arg-type]
        return context

    def calls(self) -> list[Call]:
        """Every call that computing the array makes, in order, with all of its arrays: what whoever times them one by one needs."""
        y = np.empty(self.shape, self.dtype)
        results = {"y": y, "flat": y.reshape(-1)} if self.flat else {"y": y}
        ready: list[Call] = []
        arena = _arena(self.scratch)
        for block in self.blocks:
            own = {name: results[name][part] if part else results[name] for name, part in block.parts.items() if name in results}
            ready += give(block.program.link(arena), {**own, **block.given(self.arrays)})
        return ready


class _Share:
    """The blocks that one thread computes, with its scratch memory and its rules for floating-point errors."""

    def __init__(self, plan: Plan, blocks: Sequence[Block]) -> None:
        self.plan = plan
        arena = _arena(max(block.program.size for block in blocks))
        scripts = {id(block.program): block.program for block in blocks}
        linked = {number: Script(program.link(arena)) for number, program in scripts.items()}
        self.blocks = [
            (block, self._results(block), linked[id(block.program)], linked[id(block.program)].settled(block.given(plan.arrays)))
            for block in blocks
        ]
        self.context = plan.context()

    def _results(self, block: Block) -> list[tuple[str, Index]]:
        """The parts of the result that a block writes; () for all of it."""
        whole = {"y": tuple(slice(0, size) for size in self.plan.shape)}
        parts = [(name, part) for name, part in block.parts.items() if name not in self.plan.arrays]
        return [(name, () if part == whole.get(name) else part) for name, part in parts]

    def run(self, y: np.ndarray) -> None:
        """Compute the blocks of y."""
        self.context.run(self._run, y)

    def _run(self, y: np.ndarray) -> None:
        results = {"y": y, "flat": y.reshape(-1)} if self.plan.flat else {"y": y}
        for block, parts, script, settled in self.blocks:
            opened = {name: results[name][part] if part else results[name] for name, part in parts}
            try:
                script.run(settled, opened)
            except FloatingPointError:
                with np.errstate(all="ignore"):
                    self._again(block, opened)

    def _again(self, block: Block, opened: Mapping[str, np.ndarray]) -> None:
        """Compute a block anew; where partial sums overflowed, scaled, and take from that what was not finite.

        A power of two scales exactly, but for numbers so small that they are lost in a sum that overflowed.
        """
        plan, given = self.plan, block.given(self.plan.arrays)
        program = block.slow() if block.slow else block.program
        arena = _arena(program.size)
        script = Script(program.link(arena))
        script.run(script.settled(given), opened)
        if not plan.linear or plan.dtype == np.float16:  # float16's sums are float32, and cannot overflow
            return
        y, x, number = opened["y"], given[plan.linear], plan.dtype.type
        plain = y.copy()
        power = x.size.bit_length() + 1
        script.run(script.settled({**given, plan.linear: x * number(2.0**-power)}), opened)
        y *= number(2.0**power)
        np.copyto(y, plain, where=np.isfinite(plain))


def _arena(size: int) -> np.ndarray:
    """Uninitialised memory that begins on a cache line."""
    arena = np.empty(size + ALIGNMENT, np.uint8)
    return arena[-arena.ctypes.data % ALIGNMENT :]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A case in memory order: x and the cotangent g with their axes sorted from the outermost in.

    For values and indices, which have no cotangent, g is empty. `axes` has the windows of each axis;
    None for samples and channels. `block` is about how many bytes of input a block has.
    """

    case: Case
    order: tuple[int, ...]
    x: np.ndarray
    g: np.ndarray
    axes: Sequence[Axis | None]
    threads: int
    block: int

    @property
    def counts(self) -> tuple[int, ...]:
        """The shape of the pooled values in memory."""
        return tuple(axis.count if axis else size for axis, size in zip(self.axes, self.x.shape, strict=True))

    @property
    def strides(self) -> list[int]:
        """The row-major stride of each spatial axis; 0 for samples and channels."""
        spatial = self.case.spatial
        return [math.prod(spatial[axis - 1 :]) if axis >= 2 else 0 for axis in self.order]

    @property
    def buffer(self) -> int:
        """How many elements NumPy's buffer should have: it gathers runs there that are shorter than half of it, before it computes.

        A pass over runs of 64 floats takes a fifth less with a buffer that the first cache holds, and one over 256, by channels last,
        two fifths less without any. Reducing all of an axis gains nothing, and loses a tenth.
        """
        if all(axis is None or axis.count == 1 for axis in self.axes):
            return NUMPY_BUFFER
        long = self.axes[-1] is None and self.x.shape[-1] * self.x.itemsize >= LONG_ENOUGH
        return NO_BUFFER if long else SMALL_BUFFER

    def collapsed(self) -> "Question":
        """The same with its spatial axes as one, where one window takes all of each, and memory allows it.

        Not where few channels come after them: rows with their channels are a longer run to reduce first.
        """
        spatial = [(i, axis) for i, axis in enumerate(self.axes) if axis is not None]
        first, last = spatial[0][0], spatial[-1][0]
        whole = all(isinstance(axis, Grid) and axis.whole for _, axis in spatial)
        strides, shape = self.x.strides, self.x.shape
        chained = all(strides[i] == strides[i + 1] * shape[i + 1] for i in range(first, last))
        run = math.prod(shape[last + 1 :])
        if first == last or last - first + 1 > len(spatial) or not (whole and chained) or 1 < run < LONG:
            return self
        size = math.prod(shape[first : last + 1])
        window = Grid(size=size, count=1, kernel=size, stride=1, dilation=1, before=0)
        x = self.x.reshape(*shape[:first], size, *shape[last + 1 :])
        return replace(self, x=x, axes=[*self.axes[:first], window, *self.axes[last + 1 :]])

    def in_order(self, spatial: np.ndarray) -> np.ndarray:
        """An array of the shape (*spatial), for every sample and channel, in memory order; a number stays one."""
        if not spatial.ndim:
            return spatial
        return spatial[np.newaxis, np.newaxis].transpose(self.order)


def accumulator(dtype: np.dtype) -> np.dtype:
    """Where sums are kept: half types in float32."""
    return np.dtype(np.float32) if is_half(dtype) else dtype


def is_half(dtype: np.dtype) -> bool:
    """float16 or bfloat16."""
    return dtype.itemsize == 2 and dtype.kind not in "iu"


def pieces(question: Question, counts: Sequence[int], itemsize: int) -> list[tuple[Index, Index, tuple[Axis | None, ...]]]:
    """(outputs, inputs, windows) of each block: index tuples into the arrays, and what is left to reduce on each axis.

    `counts` is the shape of the outputs: of all of them, or of some samples and channels.
    """
    axes = question.axes
    blocks = []
    for combination in itertools.product(*ranges(counts, axes, itemsize, question.block, question.threads)):
        inputs, left = [], []
        for axis, (first, last) in zip(axes, combination, strict=True):
            part, windows = (slice(first, last), None) if axis is None else axis.cut(first, last)
            if windows is not None and (plain := windows.plain) is not None:
                part, windows = slice(part.start + plain.start, part.start + plain.stop, plain.step), None
            inputs.append(part)
            left.append(windows)
        blocks.append((tuple(slice(first, last) for first, last in combination), tuple(inputs), tuple(left)))
    return blocks


def lanes(question: Question, itemsize: int, budget: int, *, contiguous: bool) -> list[Index]:
    """Index tuples that cut samples and channels, and leave each sample and channel whole.

    With `contiguous`, channels that lie next to each other in memory are cut only so far as there
    are threads to give them to.
    """
    n, c = question.order.index(0), question.order.index(1)
    samples, channels = question.x.shape[n], question.x.shape[c]
    volume = itemsize * max(1, math.prod(question.case.spatial))
    if c == n + 1:
        step = max(1, budget // volume)
    elif contiguous:
        step = channels if samples >= question.threads else -(-channels // question.threads)
    else:
        step = max(1, budget // volume)
    step = min(step, channels)
    many = max(1, budget // (volume * channels)) if step == channels else 1
    whole = [slice(0, size) for size in question.x.shape]
    cut = []
    for i, j in itertools.product(range(0, samples, many), range(0, channels, step)):
        whole[n], whole[c] = slice(i, min(i + many, samples)), slice(j, min(j + step, channels))
        cut.append(tuple(whole))
    return cut


def lengths(index: Sequence[slice | range]) -> tuple[int, ...]:
    """The shape of what an index tuple of slices takes."""
    return tuple(len(range(part.start, part.stop, part.step or 1)) for part in index)


def spans(index: Sequence[slice | range]) -> tuple[range, ...]:
    """The same slices as ranges from 0 on: what blocks of one shape share, and what can be a key."""
    return tuple(range(0, part.stop - part.start, part.step or 1) for part in index)


def values_of(lane: Index, axes: Sequence[Axis | None]) -> Index:
    """The pooled values of some samples and channels."""
    return tuple(slice(0, axis.count) if axis else part for part, axis in zip(lane, axes, strict=True))


# --- threads ------------------------------------------------------------------------------------

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def together(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks at the same time, the first of them here."""
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    with _lock:
        pool = _pools.get(len(tasks)) or _pools.setdefault(
            len(tasks), ThreadPoolExecutor(len(tasks) - 1, thread_name_prefix="numpy-pooling")
        )
    futures = [pool.submit(task) for task in tasks[1:]]
    try:
        tasks[0]()
    finally:
        for future in futures:
            future.result()


# A forked child has none of its parent's threads: waiting for them would hang it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)
