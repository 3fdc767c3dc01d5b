"""What strategies of some laws share: a setting that a backend has, options that fit it, and a case posed in it."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from hypothesis import strategies as st

from backends.interface import LAYOUTS, OUTPUTS, Backend, Capabilities, Case, Layout, Output
from backends.spec import Average, Lp, Max, PoolSpec, Reduction
from properties.strategies import DTYPES, askable, draw_reduction, number, one_of

T = TypeVar("T")

SIMPLE: dict[str, Reduction] = {"max": Max(), "average": Average(), "lp": Lp(p=2)}
DIVISORS = (None, 3, None, -2, None, 4, None, 1000, None, 64, None, 257, None, 70_001, None, 2**24 + 1, None, 2**32 + 3)
"""None as often as not; past what a byte holds, what bfloat16 holds exactly, float16 at all, float32 exactly, and what 32 bits hold."""


def by_number(place: int, what: str, choices: Sequence[T]) -> T:
    """One of the choices, by a number; independently of what is chosen by that number for something else."""
    digest = hashlib.blake2b(f"{what} {place}".encode(), digest_size=8).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]


def fitting(draw: st.DrawFn, reduction: Reduction, can: Capabilities, divisors: tuple[int | None, ...] = DIVISORS) -> Reduction:
    """A reduction of that kind with whatever else may be said of it: an average's divisor above all, one of `divisors`."""
    if not isinstance(reduction, Average):
        return draw_reduction(draw, reduction.name, can, sliding=True)
    divisor = draw(one_of(divisors)) if can.divisor else None
    return Average(count_include_pad=can.count_include_pad and draw(one_of((True, False))), divisor=divisor)


def setting(
    draw: st.DrawFn, backend: Backend, reductions_: tuple[str, ...], outputs: tuple[str, ...], dtypes: tuple[str, ...], windows: str
) -> tuple:
    """(reduction, capabilities, output, dtype, layout) that a backend has for one kind of window.

    Integers, which only a maximum takes, are a third of what has both.
    """
    able = askable(backend, reductions_=reductions_, windows=(windows,), outputs=outputs, dtypes=dtypes)
    names = tuple(name for name in reductions_ if name in able)
    every = tuple(kind for kind in DTYPES if kind in dtypes and any(kind in able[name].dtypes for name in names))
    floats, integers = tuple(kind for kind in every if "int" not in kind), tuple(kind for kind in every if "int" in kind)
    if not any(set(outputs) & able[name].outputs - {"gradient"} for name in names):
        integers = ()
    dtype = draw(one_of(draw(one_of(tuple(kinds for kinds in (floats, floats, integers) if kinds)))))
    name = draw(one_of(tuple(name for name in names if dtype in able[name].dtypes)))
    can = able[name]
    kinds = tuple(output for output in OUTPUTS if output in can.outputs and output in outputs)
    output = draw(one_of(tuple(output for output in kinds if "int" not in dtype or output != "gradient")))
    layout = draw(one_of(tuple(layout for layout in LAYOUTS if layout in can.layouts)))
    return SIMPLE[name], can, output, dtype, layout


class Chosen(NamedTuple):
    """What a backend is asked, but for its windows and numbers."""

    name: str
    can: Capabilities
    output: str
    dtype: str
    ndim: int
    layout: str


def draw_chosen(draw: st.DrawFn, backend: Any, dtypes: Collection[str]) -> Chosen:
    """A reduction that a backend has, and an output, dtype, rank and layout that it takes it in."""
    able = askable(backend, dtypes=dtypes)
    name = draw(one_of(tuple(name for name in ("max", "average", "lp") if name in able)))
    can = able[name]
    output = draw(one_of(tuple(output for output in OUTPUTS if output in can.outputs)))
    dtype = draw(one_of(tuple(kind for kind in dtypes if kind in can.dtypes)))
    ndim = draw(one_of(tuple(n for n in (2, 1, 3) if n in can.ndims)))
    return Chosen(name, can, output, dtype, ndim, draw(one_of(tuple(layout for layout in LAYOUTS if layout in can.layouts))))


COTANGENTS = (
    (1.0, 2.0, -3.0, 4.0, 7.0, -6.0, 5.0),
    (1.0, -2.0, 0.5, np.nan, 3.0, -1.0, 0.0, 6.0, -5.0, 7.0, np.inf, 2.0, -4.0),
)
"""Of either sign and no palindrome, without and with what is not finite; no vector's width is a multiple of their lengths."""


def posed(draw: st.DrawFn, spec: PoolSpec, x: np.ndarray, layout: Layout, output: Output) -> Case:
    """A case; for a gradient with a cotangent of one of a few patterns.

    That of a norm is finite: whether a slope that underflows is zero decides what an infinite one makes of it.
    """
    cotangent = None
    if output == "gradient":
        pooled = (*x.shape[:2], *spec.output_shape(x.shape[2:]))
        cotangent = np.resize(np.array(draw(one_of(COTANGENTS[:1] if spec.reduction.name == "lp" else COTANGENTS))), pooled).astype(x.dtype)
    return Case(spec=spec, x=x, layout=layout, output=output, cotangent=cotangent)


def placed(draw: st.DrawFn, x: np.ndarray, spec: PoolSpec) -> np.ndarray:
    """The array with one large value: in the last tap of a window, where no period hides that it is lost, or before all other windows."""
    summed = spec.reduction.name != "max"
    kind = draw(one_of(("none", "first", "anywhere", "first") if summed else ("none", "last tap", "anywhere", "last tap")))
    if kind == "none":
        return x
    place = [0] * x.ndim if kind == "first" else [draw(number(0, size - 1)) for size in x.shape]
    if kind == "last tap":
        for axis, size in enumerate(x.shape[2:]):
            along = spec.windows.along(axis, size)
            place[2 + axis] = (along[draw(number(0, len(along) - 1))].taps or (0,))[-1]
    x = x.copy()
    # What a byte holds and float16 can square; running sums past it lose what is small.
    x[tuple(place)] = 100 if x.dtype.kind in "iu" else 200 if x.dtype == np.float16 else 2**26
    return x
