"""What a classifier sees in pooled features: a linear probe on a bundled set of two classes."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends.interface import Unsupported
from properties.condensing import EDGE
from properties.figures import Album, Axis, Bar, Bars, Curves, Images, Panel
from properties.images import TWO_CLASSES, moved, replicated, two_classes
from properties.steps import (
    BAND,
    MAX,
    METHODS,
    REMEDIES,
    Experiment,
    Method,
    Numbers,
    Options,
    Outcome,
    Steps,
    banded,
    detect,
    poolings,
    share,
)  # fmt: skip

FOLDS = 10
CHANCE = 0.5
SIGNIFICANT = 0.05
SEED = 0


def compass() -> list[np.ndarray]:
    """The Sobel kernel turned in eight directions: its ring of eight weights, one place further each time."""
    ring = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    weights = [-1, 0, 1, 2, 1, 0, -1, -2]
    kernels = np.zeros((8, 3, 3), np.float32)
    for turn in range(8):
        for place, weight in enumerate(weights):
            kernels[(turn, *ring[(place + turn) % 8])] = weight
    return list(kernels)


BANK = (*compass(), EDGE, -EDGE)
"""A fixed convolutional base: edges in eight directions, bright spots and dark spots."""


def filtered(steps: Steps, images: np.ndarray) -> np.ndarray:
    """What the bank detects in images of shape (N, 1, H, W), shape (N, 10, H, W)."""
    framed = replicated(images, before=1, after=1)  # zeros around an image would look like an edge
    return detect(np.concatenate([steps.convolve(framed, kernel)[:, :, 1:-1, 1:-1] for kernel in BANK], axis=1))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A linear probe for each fold, and what it decided on the images that it was not shown."""

    models: tuple[Callable[[np.ndarray], np.ndarray], ...]
    held_out: tuple[np.ndarray, ...]
    decisions: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> "Probe":
        """Logistic regression on standardised features (N, ...), in stratified folds."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from threadpoolctl import threadpool_limits

        flat = features.reshape(len(features), -1).astype(np.float64)
        folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(flat, labels))
        # So small a problem takes ten times as long on several threads as on one.
        with threadpool_limits(limits=1):
            models = tuple(
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(flat[shown], labels[shown]).predict
                for shown, _ in folds
            )
        held_out = tuple(hidden for _, hidden in folds)
        return cls(models=models, held_out=held_out, decisions=_decide(models, held_out, features))

    def decide(self, features: np.ndarray) -> np.ndarray:
        """The decision on each image, by the probe that was not shown it."""
        return _decide(self.models, self.held_out, features)


def _decide(models: tuple[Callable[[np.ndarray], np.ndarray], ...], held_out: tuple[np.ndarray, ...], features: np.ndarray) -> np.ndarray:
    flat = features.reshape(len(features), -1).astype(np.float64)
    decisions = np.full(len(flat), -1)
    for predict, hidden in zip(models, held_out, strict=True):
        decisions[hidden] = predict(flat[hidden])
    return decisions


def interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of Wilson for a share."""
    from scipy.stats import binomtest

    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def sign_test(one: int, other: int) -> float:
    """How likely two counts are to differ as much as these where neither is favoured, from 0 to 1."""
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


# --- do pooled values still separate the classes ------------------------------------------------


def linear_probe(steps: Steps, options: Options) -> Outcome:
    """Probe the globally pooled and the flattened maps of a convolutional base, each image held out once."""
    images, labels = two_classes()
    weights = options.weights if hasattr(steps.backend, "features") else None
    base = f"VGG16's convolutional base ({weights.name})" if weights else f"a fixed bank of {len(BANK)} filters, ReLU and max pooling"
    maps = _vgg16(steps, images, weights) if weights else steps.halve(filtered(steps, images), MAX)
    features = {"global average": steps.global_average(maps), "flattened maps": maps}
    with contextlib.suppress(Unsupported):
        features["global max"] = steps.global_max(maps)
    if not weights:
        steps.keep("maps", maps)
        steps.keep("means", features["global average"], parts=maps[0, 0].size)
    numbers: Numbers = {"chance": share(CHANCE, "images")}
    right, bars = {}, []
    for name, each in features.items():
        right[name] = Probe.fit(each, labels).decisions == labels
        low, high = interval(int(right[name].sum()), len(labels))
        numbers[f"{name}: accuracy"] = share(right[name].mean(), "images")
        numbers |= {f"{name}: accuracy, 95 % from": share(low, "images"), f"{name}: accuracy, 95 % to": share(high, "images")}
        numbers[f"{name}: values an image"] = {"value": each[0].size, "unit": "numbers"}
        bars.append(Bar(title=f"{name}, {each[0].size} values", value=float(right[name].mean()), low=low, high=high))
    pooled, flat = right["global average"], right["flattened maps"]
    lost, won = int(np.sum(flat & ~pooled)), int(np.sum(pooled & ~flat))
    p = sign_test(won, lost)
    low, high = (numbers[f"global average: accuracy, 95 % {end}"]["value"] for end in ("from", "to"))
    arrays = {f"{kind}{i}": images[first + i, 0] for kind, first in (("face", 0), ("background", 100)) for i in range(4)}
    return Outcome(
        holds=low > CHANCE and (p >= SIGNIFICANT or won > lost),
        sentence=(
            f"On {base}: {pooled.mean():.1%} of {len(labels)} images are right from {maps.shape[1]} averages (95 % interval "
            f"{low:.1%} to {high:.1%}; chance "
            f"{CHANCE:.0%}), {flat.mean():.1%} from all {maps[0].size} values. The flattened maps alone are right on {lost}, the "
            f"averages alone on {won} "
            f"(sign test p = {p:.2g})."
        ),
        numbers=numbers,
        album=Album(
            arrays=arrays,
            figures=(
                Images(
                    title="Two classes",
                    rows=tuple(tuple(Panel(array=f"{kind}{i}", title=kind) for i in range(4)) for kind in ("face", "background")),
                    caption="25×25 pixels each.",
                ),
                Bars(
                    title="A linear probe on pooled features",
                    y=Axis(label="accuracy", unit="share of images", low=0, high=1),
                    bars=tuple(bars),
                    references=(Bar(title="chance", value=CHANCE),),
                    caption=(
                        f"On {base}. {FOLDS} stratified folds: no image is judged by a probe that was shown it. 95 % intervals of Wilson."
                    ),
                ),
            ),
        ),
        sources=(TWO_CLASSES,),
    )


def _vgg16(steps: Steps, images: np.ndarray, weights: Path) -> np.ndarray:
    """The last maps of VGG16's convolutional base, shape (N, 512, 3, 3)."""
    from skimage.transform import resize

    # VGG16 halves five times, so 25×25 pixels are enlarged: a 3×3 map is left to pool.
    enlarged = resize(images, (*images.shape[:2], 100, 100), order=1, preserve_range=True, anti_aliasing=False)
    colour = np.repeat(enlarged.astype(np.float32), 3, axis=1)
    # In parts: the first maps of all images together would fill half a gigabyte.
    parts = np.array_split(colour, max(1, len(colour) // 50))
    return np.concatenate([steps.backend.features(part, str(weights)) for part in parts])  # type: ignore[attr-defined]  # the caller looked for it


PROBE = Experiment(
    name="linear-probe",
    title="A linear probe on pooled features",
    claim=(
        "A linear probe on globally averaged features still separates two classes of images: better than chance, and no worse than on the "
        "flattened maps as far as these images can tell."
    ),
    measure=linear_probe,
)


# --- does a decision survive a shift ------------------------------------------------------------

DEPTH = 3
DISTANCES = range(1, 5)


def shift_changes_decision(steps: Steps, options: Options) -> Outcome:
    """Probe maps pooled by each method, shift the images, and count the decisions that stay."""
    images, labels = two_classes()
    methods, remark = steps.able(METHODS)
    still = filtered(steps, images)
    probes: dict[str, list[Probe]] = {}
    for method in methods:
        by_depth = steps.depths(still, method, DEPTH)
        steps.keep(f"maps after {DEPTH}, {method.title}", by_depth[-1])
        probes[method.title] = [Probe.fit(maps, labels) for maps in by_depth]
    stays = {title: np.zeros((DEPTH, len(DISTANCES), len(labels))) for title in probes}
    for column, distance in enumerate(DISTANCES):
        for shift in ((distance, 0), (-distance, 0), (0, distance), (0, -distance)):
            detected = filtered(steps, moved(images, shift))
            for method in methods:
                for row, (probe, maps) in enumerate(zip(probes[method.title], steps.depths(detected, method, DEPTH), strict=True)):
                    stays[method.title][row, column] += (probe.decide(maps) == probe.decisions) / 4
    for title, each in stays.items():
        steps.keep(f"decisions kept, {title}", each)
    verdicts, compared = [], []
    for worse, better in REMEDIES:
        if {worse, better} <= set(methods):
            verdict, text = steadier(stays, worse, better)
            verdicts.append(verdict)
            compared.append(f" {text}.")
    numbers: Numbers = {}
    for title, each in stays.items():
        for r, probe in enumerate(probes[title], 1):
            numbers[f"{title}: accuracy, {poolings(r)}"] = share((probe.decisions == labels).mean(), "images")
            for column in (0, -1):
                numbers[f"{title}: same decision at {DISTANCES[column]} px, {poolings(r)}"] = share(each[r - 1, column].mean(), "decisions")
    by_one = ", ".join(f"{each[-1, 0].mean():.1%} ({title})" for title, each in stays.items())
    return Outcome(
        holds=False if False in verdicts else True if len(verdicts) == len(REMEDIES) and all(verdicts) else None,
        sentence=(f"After {poolings(DEPTH)} a shift by one pixel leaves {by_one} of the decisions as they are.{''.join(compared)}{remark}"),
        numbers=numbers,
        album=_consistency_album(stays),
        sources=(TWO_CLASSES,),
    )


def steadier(stays: dict[str, np.ndarray], worse: Method, better: Method) -> tuple[bool | None, str]:
    """Whether a method keeps more decisions than another; None where the images cannot tell.

    `stays` holds the share of decisions kept, by method: arrays (depths, distances, images). All
    decisions about one image depend on each other, so images are what is counted.
    """
    gain = stays[better.title].sum(axis=(0, 1)) - stays[worse.title].sum(axis=(0, 1))
    more, fewer = int(np.sum(gain > 0)), int(np.sum(gain < 0))
    p = sign_test(more, fewer)
    text = f"{better.title.capitalize()} against {worse.title}: steadier on {more} images, less steady on {fewer} (sign test p = {p:.2g})"
    # One claim of two comparisons: each has half of the 5 % (Bonferroni).
    return (None if p >= SIGNIFICANT / len(REMEDIES) else more > fewer), text


def _consistency_album(stays: dict[str, np.ndarray]) -> Album:
    arrays, charts = banded({title: 100 * each for title, each in stays.items()}, DEPTH)
    figure = Curves(
        title="How many decisions survive a shift",
        x=Axis(label="shift", unit="pixels", array="distance"),
        y=Axis(label="same decision", unit="% of images", high=100),
        panels=charts,
        caption=(
            "200 images of 25×25 pixels, shifted in four directions with replicated borders; a linear probe on the flattened maps of "
            f"ten filters. {BAND}"
        ),
    )
    return Album(arrays=arrays | {"distance": np.array(DISTANCES)}, figures=(figure,))


CONSISTENCY = Experiment(
    name="shift-changes-decision",
    title="Invariance lab: a classifier's decision",
    claim=(
        "A classifier's decision survives a small shift more often where a blur comes before the subsampling: more often than with plain "
        "subsampling, and more often than with plain max pooling."
    ),
    measure=shift_changes_decision,
)
