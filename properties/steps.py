"""What experiments are made of: steps that a backend takes, and what came of them.

Nothing here pools: every pooling is a `Case` put to the backend. Plain subsampling is max pooling
over windows of one element, and the binomial blur [1 2 1]/4 is average pooling over 2, twice.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import backends
from backends import compare
from backends.interface import LAYOUTS, Backend, Capabilities, Case, refusal, require
from backends.spec import Average, Global, Max, PoolSpec, Reduction, Sliding
from properties import images
from properties.figures import Album, Chart, Line

Numbers = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the person who runs the experiments chose."""

    weights: Path | None = None
    """VGG16's weights, a file of `keras.applications`."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an experiment found on one backend; `holds` is None where its data cannot tell."""

    holds: bool | None
    sentence: str
    numbers: Numbers
    album: Album
    sources: tuple[images.Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A claim about pooling, and how to measure whether it is true."""

    name: str
    title: str
    claim: str
    measure: "Callable[[Steps, Options], Outcome]"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One pooling of square windows inside a method."""

    reduction: Reduction
    kernel: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to halve a map on each axis, as poolings one after the other."""

    title: str
    stages: tuple[Stage, ...]


_BLUR = (Stage(reduction=Average(), kernel=2, stride=1), Stage(reduction=Average(), kernel=2, stride=2))

MAX = Method(title="max", stages=(Stage(reduction=Max(), kernel=2, stride=2),))
AVERAGE = Method(title="average", stages=(Stage(reduction=Average(), kernel=2, stride=2),))
SUBSAMPLING = Method(title="subsampling", stages=(Stage(reduction=Max(), kernel=1, stride=2),))
BLURRED_SUBSAMPLING = Method(title="blurred subsampling", stages=_BLUR)
BLURRED_MAX = Method(title="blurred max", stages=(Stage(reduction=Max(), kernel=2, stride=1), *_BLUR))
"""Zhang 2019, "Making Convolutional Networks Shift-Invariant Again": max at stride 1, blur, subsample."""

METHODS = (MAX, AVERAGE, SUBSAMPLING, BLURRED_SUBSAMPLING, BLURRED_MAX)
REMEDIES = ((SUBSAMPLING, BLURRED_SUBSAMPLING), (MAX, BLURRED_MAX))


@dataclass
class Steps:
    """One backend at work on one experiment: its poolings, and a digest of each map worth comparing."""

    backend: Backend
    digests: dict[str, str] = field(default_factory=dict)

    def pool(self, x: np.ndarray, reduction: Reduction, *, kernel: int, stride: int, padding: str = "valid") -> np.ndarray:
        """Pool (N, C, H, W) over square windows.

        Raises:
            Unsupported: the backend cannot be asked that.
            Nonconformity: its answer has the wrong type, shape or dtype.
        """
        windows = Sliding(kernel=(kernel, kernel), stride=(stride, stride), padding=padding)
        return self._ask(PoolSpec(reduction=reduction, windows=windows), x)

    def global_average(self, x: np.ndarray) -> np.ndarray:
        """The mean of each map of (N, C, H, W), shape (N, C)."""
        return self._ask(PoolSpec(reduction=Average(), windows=Global()), x)[..., 0, 0]

    def global_max(self, x: np.ndarray) -> np.ndarray:
        """The peak of each map of (N, C, H, W), shape (N, C)."""
        return self._ask(PoolSpec(reduction=Max(), windows=Global()), x)[..., 0, 0]

    def halve(self, x: np.ndarray, method: Method, *, wrap: bool = False) -> np.ndarray:
        """Pool (N, C, H, W) once by a method, to (N, C, ⌈H/2⌉, ⌈W/2⌉).

        Borders are replicated first where windows reach past them, so that all windows are whole:
        for max and average that gives just what SAME padding gives. `wrap` wraps them around.
        """
        for stage in method.stages:
            if stage.stride == 1:
                x = images.replicated(x, after=stage.kernel - 1, mode="wrap" if wrap else "edge")
            elif any(size % 2 for size in x.shape[2:]):
                x = _made_even(x)
            x = self.pool(x, stage.reduction, kernel=stage.kernel, stride=stage.stride)
        return x

    def depths(self, x: np.ndarray, method: Method, depth: int, *, wrap: bool = False) -> list[np.ndarray]:
        """The maps after 1, 2, …, `depth` poolings."""
        maps = []
        for _ in range(depth):
            x = self.halve(x, method, wrap=wrap)
            maps.append(x)
        return maps

    def refuses(self, method: Method) -> str | None:
        """Why the backend cannot be asked a method, or None."""
        probe = np.zeros((1, 1, 4, 4), np.float32)
        for stage in method.stages:
            windows = Sliding(kernel=(stage.kernel,) * 2, stride=(stage.stride,) * 2)
            if reason := refusal(self.backend, self.case(PoolSpec(reduction=stage.reduction, windows=windows), probe)):
                return reason
        return None

    def able(self, methods: tuple[Method, ...]) -> tuple[list[Method], str]:
        """The methods that the backend can be asked, and a remark on the others for a sentence."""
        reasons = {method.title: self.refuses(method) for method in methods}
        remarks = [
            f" Not asked for {' and '.join(title for title in reasons if reasons[title] == reason)} ({reason})."
            for reason in dict.fromkeys(reasons.values())
            if reason
        ]
        return [method for method in methods if not reasons[method.title]], "".join(remarks)

    def convolve(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Cross-correlate (N, 1, H, W) with zeros around it: the backend's own, or else our NumPy one's."""
        convolve = getattr(self.backend, "convolve", None) or convolution()
        return convolve(x, kernel)

    def keep(self, name: str, array: np.ndarray, *, parts: int | None = None) -> np.ndarray:
        """Note the digest of a map under a name, and hand the map on; see `digest`."""
        self.digests[name] = digest(array, parts=parts)
        return array

    def _ask(self, spec: PoolSpec, x: np.ndarray) -> np.ndarray:
        case = self.case(spec, x)
        require(self.backend, case)
        pooled = backends.run(self.backend, case)
        compare.assert_shaped(case, pooled)
        return pooled

    def case(self, spec: PoolSpec, x: np.ndarray) -> Case:
        """The question that pools `x`, in the first layout that the backend takes."""
        declared = self.backend.capabilities.get(spec.reduction.name)
        layouts = Capabilities.of(declared).layouts if declared else frozenset(LAYOUTS)
        return Case(spec, x, layout=next(layout for layout in LAYOUTS if layout in layouts))


def convolution() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Our NumPy adapter's convolution, which needs no framework."""
    return backends.load("numpy").convolve  # type: ignore[attr-defined]  # an optional attribute of our own adapters


def detect(x: np.ndarray) -> np.ndarray:
    """ReLU: what a filter found, with what it found the opposite of set to 0."""
    return np.maximum(x, 0)


def active(x: np.ndarray) -> float:
    """The share of elements above 0."""
    return float(np.count_nonzero(x > 0) / x.size)


def digest(array: np.ndarray, *, parts: int | None = None) -> str:
    """16 hexadecimal digits that two arrays share when they have one shape and equal values.

    `parts` says that the exact values are multiples of 1/parts which the dtype cannot hold, such
    as the mean of 25 whole numbers: they are compared as those multiples, since rounding may differ.
    """
    values = array.astype(np.float64)
    if parts is not None:
        values = np.rint(values * parts)
    values = values + 0.0  # −0 + 0 is +0: the sign of a zero is unspecified
    return hashlib.sha256(str(values.shape).encode() + values.astype("<f8").tobytes()).hexdigest()[:16]


def fingerprint(digests: Mapping[str, str]) -> int:
    """One number for all digests of an experiment: 48 bits, which JSON and float64 hold exactly."""
    text = "\n".join(f"{name} {digests[name]}" for name in sorted(digests))
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def share(value: float, of: str) -> dict[str, Any]:
    """A recorded share, from 0 to 1, of something."""
    return {"value": float(value), "unit": f"share of {of}"}


BAND = "A band is one standard error either way."


def banded(found: Mapping[str, np.ndarray], depth: int) -> tuple[dict[str, np.ndarray], tuple[Chart, ...]]:
    """Curves of the mean over samples, each in a band of one standard error: their arrays, and one small chart a depth.

    `found` holds arrays (depth, positions, samples) by title.
    """
    arrays: dict[str, np.ndarray] = {}
    charts = []
    for r in range(depth):
        lines = []
        for title, each in found.items():
            key = f"{title}_{r + 1}"
            mean, error = each[r].mean(axis=1), each[r].std(axis=1, ddof=1) / np.sqrt(each.shape[2])
            arrays |= {key: mean, f"{key}_low": mean - error, f"{key}_high": mean + error}
            lines.append(Line(array=key, title=title, low=f"{key}_low", high=f"{key}_high"))
        charts.append(Chart(title=f"after {poolings(r + 1)}", lines=tuple(lines)))
    return arrays, tuple(charts)


def poolings(count: int) -> str:
    """How often something was pooled, in words."""
    return "1 pooling" if count == 1 else f"{count} poolings"


def _made_even(x: np.ndarray) -> np.ndarray:
    odd = [(0, size % 2) for size in x.shape[2:]]
    return np.pad(x, ((0, 0), (0, 0), *odd), mode="edge")
