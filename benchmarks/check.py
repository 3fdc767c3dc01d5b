"""One look at an answer before it is timed: speed from a wrong answer is worth nothing.

A small answer is held against the definition whole. A large one is sampled: every window on the border
of the image, at a random sample and channel, and 2,000 windows drawn at random from all of them. A gradient is
sampled by planes (one sample and channel each), and its mass is checked in all of them. The checksum
tells two answers apart that no sample could: for max it is the same on every conforming backend.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from backends import oracle, text
from backends.compare import Nonconformity, assert_shaped, compare, explain, format_of, gamma
from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Lp, Max
from benchmarks.workloads import taps

SAMPLE = 2_000
"""Windows that are drawn at random from a large answer."""
WHOLE = 100_000
"""Up to how many taps an answer is checked whole: about a tenth of a second."""
BORDER = 4_000
"""At most how many border windows are looked at; an image of up to 1,000 × 1,000 windows has no more."""
COSTLY = 12
"""How many times more a tap of an Lp norm costs the oracle than one of a sum."""


class Wrong(Exception):
    """An answer that the definition does not allow; the message says where, and how to see it again."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was looked at: `elements` of the answer, of so many; the answer's checksum."""

    elements: int
    of: int
    checksum: str


def check(case: Case, actual: np.ndarray, seed: int = 0) -> Checked:
    """Hold an answer against the definition.

    Raises:
        Wrong: it has the wrong type, shape, dtype or values.
    """
    try:
        assert_shaped(case, actual)
        budget = WHOLE // (COSTLY if isinstance(case.spec.reduction, Lp) else 1)
        if case.output == "gradient":
            looked = _planes(case, actual, budget, seed)
            _mass(case, actual)
        elif taps(case) <= budget:
            looked = _conforms(case, actual, oracle.pool(case), np.arange(actual.size))
        else:
            cells = sample(case, seed, SAMPLE if budget == WHOLE else SAMPLE // 4)
            looked = _conforms(case, actual.reshape(-1)[cells], oracle.pool(case, cells.tolist()), cells)
    except Nonconformity as error:
        raise Wrong(f"{error}; {_again(case)}") from error
    return Checked(elements=looked, of=actual.size, checksum=checksum(actual))


def checksum(array: np.ndarray) -> str:
    """Sixteen hexadecimal digits of an array's numbers in row-major order; −0 and 0 are one number."""
    plain = array if array.dtype.kind in "iu" else array + array.dtype.type(0)
    return hashlib.sha256(np.ascontiguousarray(plain).view(np.uint8).data).hexdigest()[:16]


def sample(case: Case, seed: int, count: int = SAMPLE) -> np.ndarray:
    """Flat positions in (N, C, *out): border windows, the first and last planes' corners, and `count` at random."""
    random = np.random.default_rng(seed)
    shape = case.pooled_shape
    planes, positions = math.prod(shape[:2]), math.prod(shape[2:])
    border = _border(shape[2:])
    if border.size > BORDER:
        border = random.choice(border, BORDER, replace=False)
    on_border = random.integers(planes, size=border.size) * positions + border
    corners = _corners(shape[2:])
    ends = np.concatenate([corners, (planes - 1) * positions + corners])
    return np.unique(np.concatenate([on_border, ends, random.integers(planes * positions, size=count)]))


def _border(shape: tuple[int, ...]) -> np.ndarray:
    inside = np.zeros(shape, bool)
    inside[tuple(slice(1, -1) for _ in shape)] = True
    return np.flatnonzero(~inside)


def _corners(shape: tuple[int, ...]) -> np.ndarray:
    ends = np.meshgrid(*([0, size - 1] for size in shape), indexing="ij")
    return np.unique(np.ravel_multi_index([end.ravel() for end in ends], shape))


def _conforms(case: Case, actual: np.ndarray, exact: Exact, cells: np.ndarray, shape: tuple[int, ...] | None = None) -> int:
    """Compare elements at flat positions `cells` of an answer of `shape`; return how many."""
    values = actual.reshape(exact.value.shape)
    comparison = compare(case, values, exact)
    if comparison.bad.any():
        first = int(np.flatnonzero(comparison.special.ravel() if comparison.special.any() else comparison.off.ravel())[0])
        where = tuple(int(i) for i in np.unravel_index(int(cells[first]), shape or case.pooled_shape))
        raise Nonconformity(f"element {where} of {case.output}: {explain(comparison)}", kind="value", comparison=comparison)
    return values.size


def _planes(case: Case, actual: np.ndarray, budget: int, seed: int) -> int:
    """Hold whole planes of a gradient against the definition: the first, the last, and others as the budget allows."""
    n, c = case.x.shape[:2]
    each = taps(case) // (n * c)
    count = min(n * c, max(1, budget // (2 * each)))
    chosen = np.random.default_rng(seed).permutation(n * c)[:count]
    chosen[: min(count, 2)] = [n * c - 1, 0][: min(count, 2)]
    looked = 0
    for plane in sorted(set(chosen.tolist())):
        at = np.s_[plane // c : plane // c + 1, plane % c : plane % c + 1]
        one = case.replace(x=case.x[at], cotangent=case.cotangent[at])  # type: ignore[index]  # a gradient has one
        positions = plane * math.prod(case.spatial) + np.arange(math.prod(case.spatial))
        looked += _conforms(one, actual[at], oracle.pool(one), positions, case.x.shape)
    return looked


def _mass(case: Case, actual: np.ndarray) -> None:
    """In every plane of a max gradient, what came back is what was sent: Σ dx = Σ g, within the rounding of each."""
    if not isinstance(case.spec.reduction, Max) or case.cotangent is None:
        return
    axes = tuple(range(2, case.x.ndim))
    sent, back = (array.sum(axis=axes, dtype=np.float64) for array in (case.cotangent, actual))
    size = np.abs(case.cotangent).sum(axis=axes, dtype=np.float64)
    meet = math.prod(_meet(case, axis) for axis in range(len(case.spatial)))
    # Each element is a rounded sum of at most so many cotangents, rounded once more to a half type; float64 adds them all.
    bound = size * (gamma(meet, format_of(np.dtype(np.float32)).u) + format_of(case.x.dtype).u + gamma(case.x.size, 2.0**-53))
    if (off := ~(np.abs(back - sent) <= bound)).any():
        n, c = (int(i) for i in np.argwhere(off)[0])
        raise Nonconformity(
            f"gradient of sample {n}, channel {c}: Σ dx = {back[n, c]:.9g}, Σ cotangent = {sent[n, c]:.9g}; they are equal for max",
            kind="value",
        )


def _meet(case: Case, axis: int) -> int:
    """How many windows meet in one element of an axis, at most."""
    reads = [tap for window in case.spec.windows.along(axis, case.spatial[axis]) for tap in window.taps]
    return int(np.bincount(reads).max())


def _again(case: Case) -> str:
    return f"the case: {text.write(case)}"
