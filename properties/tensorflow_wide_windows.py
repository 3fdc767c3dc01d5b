"""Where oneDNN sends the gradient, in half types, of a maximum over 256 taps or more, in a graph of TensorFlow 2.21 on CPU.

From 256 taps on the index of the winner is kept in 32 bits, no longer in 8, and the kernel that hands the gradient back
reads it as if it were of the values' own type: 16 bits (https://github.com/uxlfoundation/oneDNN/pull/2386). Checked
element by element against TensorFlow's answers.
"""

import itertools
import math

import numpy as np

from backends.interface import Case
from backends.oracle import Exact
from backends.spec import Sliding
from properties.tensorflow_gradients import definition_picks, is_sliding_max_gradient, kernel_taps, onednn_picks, rounding_of, scatter
from properties.tensorflow_max import HALF, is_onednn, rows_of

LANES = 16
"""Channels in one register: each block of them is read from its own start."""
FEW = 10
"""So many cotangents that go to one element have their partial sums listed one by one."""


def is_wide(case: Case) -> bool:
    """Whether the winner's index takes more than 8 bits."""
    asked = is_sliding_max_gradient(case) and case.x.dtype.name in HALF and is_onednn(case)
    return asked and isinstance(case.spec.windows, Sliding) and math.prod(case.spec.windows.kernel) > 255


def is_misread(case: Case) -> bool:
    """Whether channels lie next to each other in memory: the halves of one index are then read as two."""
    return is_wide(case) and case.layout == "channels_last" and case.x.shape[1] > 1


def is_lost(case: Case) -> bool:
    """Whether there is one channel. Of more of them, channels first, none of this is seen."""
    return is_wide(case) and case.x.shape[1] == 1


def misread_picks(case: Case) -> np.ndarray:
    """Lane l reads half l of the indices: the lower half of lane l / 2, which is too large unless it is 0, or an upper half, which is 0."""
    channels, firsts = case.x.shape[1], np.array([taps[0] for taps in kernel_taps(case)])
    won = onednn_picks(case).reshape(case.x.shape[0], channels, -1)
    lanes = np.arange(channels) % LANES
    sources = np.arange(channels) - lanes + lanes // 2
    first = (won[:, sources] == firsts) | (lanes % 2 == 1)[:, np.newaxis]
    return np.where(first, firsts, -1).reshape(-1, won.shape[-1])


def widened(case: Case) -> Case:
    """The case in float32, in which oneDNN adds."""
    return case.replace(x=case.x.astype(np.float32), cotangent=None if case.cotangent is None else case.cotangent.astype(np.float32))


def touched(case: Case, picks: np.ndarray) -> np.ndarray:
    """Elements that either rule picks in any window."""
    marked = np.zeros((len(picks), math.prod(case.spatial) + 1), bool)
    rows = np.arange(len(picks))[:, np.newaxis]
    marked[rows, picks] = True  # −1 marks the spare column
    marked[rows, definition_picks(case)] = True
    return marked[:, :-1].reshape(case.x.shape)


def where_misread(case: Case) -> np.ndarray:
    """Channels that lie next to each other."""
    return touched(case, misread_picks(case)) if is_misread(case) else np.zeros((), bool)


def predict_misread(case: Case, exact: Exact) -> np.ndarray:
    """The first tap gets a window's cotangent, or none does."""
    return scatter(widened(case), misread_picks(case))


def slack_misread(case: Case) -> np.ndarray:
    """What rounding may do to those sums."""
    return rounding_of(case, misread_picks(case))


def where_lost(case: Case) -> np.ndarray:
    """One channel: some windows lose their cotangent, and others on the next call."""
    return touched(case, onednn_picks(case)) if is_lost(case) else np.zeros((), bool)


def predict_lost(case: Case, exact: Exact) -> np.ndarray:
    """Each other window's cotangent is lost: the most usual answer."""
    picks = onednn_picks(case)
    picks[:, ::2] = -1
    return scatter(widened(case), picks)


def nearest_lost(case: Case, actual: np.ndarray) -> np.ndarray:
    """For each element the sum nearest to its answer of any of the cotangents that go to it."""
    given, answers = rows_of(case.cotangent), rows_of(actual)
    out = np.zeros(answers.shape)
    for row, chosen in enumerate(onednn_picks(case)):
        for tap in np.unique(chosen[chosen >= 0]):
            out[row, tap] = nearest_sum(given[row, chosen == tap], answers[row, tap])
    return out.reshape(actual.shape)


def nearest_sum(terms: np.ndarray, answer: float) -> float:
    """The sum of some of the terms, or of none, that is nearest to an answer; of many terms anything between the extremes."""
    finite, others = terms[np.isfinite(terms)], np.unique(terms[~np.isfinite(terms)])
    if len(finite) > FEW:
        finite = np.clip([answer if np.isfinite(answer) else 0.0], finite[finite < 0].sum(), finite[finite > 0].sum())
    with np.errstate(invalid="ignore"):
        sums = np.array([sum(part) for part in itertools.product(*((0.0, term) for term in (*others, *finite)))])
        same = sums[(sums == answer) | (np.isnan(sums) & np.isnan(answer))]
        return float(same[0] if len(same) else sums[np.nan_to_num(np.abs(sums - answer), nan=np.inf).argmin()])
