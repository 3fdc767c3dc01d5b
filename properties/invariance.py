"""What a small shift does to a pooled map, and what helps: the invariance lab.

Blurring before subsampling: R. Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML
2019. Adaptive polyphase sampling: A. Chaman and I. Dokmanić, "Truly Shift-Invariant Convolutional
Neural Networks", CVPR 2021.
"""

import itertools

import numpy as np

from properties.condensing import EDGE
from properties.figures import Album, Axis, Chart, Curves, Heatmap, Images, Line, Panel
from properties.images import PHOTOGRAPHS, circle, moved, replicated
from properties.steps import AVERAGE, MAX, METHODS, REMEDIES, SUBSAMPLING, Method, Options, Outcome, Steps, detect, share

DEPTH = 4
DISTANCES = range(1, 9)
SIDE = 160
"""Pixels of a photograph that the lab looks at: ten whole cells of the last depth, on each axis."""


# --- the shifted circle -------------------------------------------------------------------------

CIRCLE_CLAIM = "A small shift does not change the map: a circle moved by up to 3 pixels gives the same map after four poolings 2×2, always."
REACH = 3
ALWAYS, NO_SHIFT = DEPTH + 1, 0


def shifts() -> list[tuple[int, int]]:
    """All 49 shifts of up to REACH pixels on each axis, row by row."""
    return list(itertools.product(range(-REACH, REACH + 1), repeat=2))


def unchanged_from(steps: Steps, method: Method, depth: int = DEPTH) -> tuple[np.ndarray, list[np.ndarray]]:
    """(first depth at which each of 49 shifts leaves the circle's map as it is, the maps by depth).

    A shift that changes it at every depth has depth + 1.
    """
    every = np.concatenate([moved(circle(), shift) for shift in shifts()])
    maps = steps.depths(every, method, depth)
    still = shifts().index((0, 0))
    first = np.full(len(every), depth + 1)
    for r, each in reversed(list(enumerate(maps, 1))):
        first[(each == each[still]).all(axis=(1, 2, 3))] = r
    return first, maps


def shifted_circle(steps: Steps, options: Options) -> Outcome:
    """Move a circle by each of 49 shifts, pool it four times, and count the maps that stay as they were."""
    methods, remark = steps.able((MAX, AVERAGE, SUBSAMPLING))
    side = 2 * REACH + 1
    still = shifts().index((0, 0))
    shown = shifts().index((2, 1))
    arrays: dict[str, np.ndarray] = {"shift": np.arange(-REACH, REACH + 1), "still_0": circle()[0, 0], "moved_0": moved(circle(), (2, 1))[0, 0]}
    figures, numbers, told, always = [], {}, [], []
    for method in methods:
        first, maps = unchanged_from(steps, method)
        steps.keep(f"maps after {DEPTH}, {method.title}", maps[-1])
        counts = [int(np.sum(first <= r)) for r in range(1, DEPTH + 1)]
        for r, count in enumerate(counts, 1):
            numbers[f"{method.title}: same map after {r}"] = share(count / len(first), f"{len(first)} shifts")
            numbers[f"{method.title}: cells that change, on average, after {r}"] = share(np.mean(maps[r - 1] != maps[r - 1][still]), "cells")
        told.append(f"{method.title} {counts[-1]} (after one, two and three: {', '.join(map(str, counts[:-1]))})")
        always.append(counts[-1] == len(first))
        arrays[f"first_{method.title}"] = np.where(np.arange(len(first)) == still, NO_SHIFT, first).reshape(side, side)
        if method is MAX:
            for r, each in enumerate(maps, 1):
                arrays |= {f"still_{r}": each[still, 0], f"moved_{r}": each[shown, 0]}
    if MAX in methods:
        rows = [(("still", "the circle"), ("moved", "moved 2 down, 1 right"))]
        figures.append(
            Images(
                title="A circle and its shifted copy, max pooled",
                rows=tuple(
                    tuple(Panel(array=f"{key}_{r}", title=title if r == 0 else f"pooled {r}×", scale="strength") for r in range(DEPTH + 1))
                    for key, title in rows[0]
                ),
            )
        )
    names = {str(NO_SHIFT): "no shift", str(ALWAYS): f"not within {DEPTH}"}
    figures += [
        Heatmap(
            title=f"Poolings until a shift is forgotten: {method.title}",
            array=f"first_{method.title}",
            x=Axis(label="shift to the right", unit="pixels", array="shift"),
            y=Axis(label="shift down", unit="pixels", array="shift"),
            value=Axis(label="poolings"),
            names=names,
        )
        for method in methods
    ]
    return Outcome(
        holds=always[0] if always else None,
        sentence=f"Of 49 shifts, one of them no shift at all, so many leave the map unchanged after {DEPTH} poolings: {'; '.join(told)}.{remark}",
        numbers=numbers,
        album=Album(arrays=arrays, figures=tuple(figures)),
    )


# --- how much a map changes ---------------------------------------------------------------------

CHANGE_CLAIM = (
    "Under a small shift a pooled map changes less than a subsampled one, the less the deeper it is, and less still where a blur comes before "
    "the subsampling: at every depth and distance."
)


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How much each map of (N, 1, H, W) changes: 0 not at all, 1 as much as two unrelated maps differ.

    The root mean square difference over √2 standard deviations of the map, shape (N,).
    """
    wide = before.astype(np.float64)
    difference = np.sqrt(np.mean((after - wide) ** 2, axis=(1, 2, 3)))
    return difference / (np.sqrt(2) * wide.std(axis=(1, 2, 3)))


def shift_changes_map(steps: Steps, options: Options) -> Outcome:
    """Move photographs by 1 to 8 pixels, more of the scene moving in, and compare the pooled maps."""
    methods, remark = steps.able(METHODS)
    still = _scenes((0, 0))
    curves: dict[str, np.ndarray] = {}
    base = {method.title: steps.depths(still, method, DEPTH) for method in methods}
    for method in methods:
        steps.keep(f"maps after {DEPTH}, {method.title}", base[method.title][-1])
        curves[method.title] = np.zeros((DEPTH, len(DISTANCES), len(PHOTOGRAPHS)))
    for column, distance in enumerate(DISTANCES):
        scenes = [_scenes(shift) for shift in ((distance, 0), (0, distance))]
        for method in methods:
            for scene in scenes:
                for row, each in enumerate(steps.depths(scene, method, DEPTH)):
                    curves[method.title][row, column] += change(base[method.title][row], each) / len(scenes)
    means = {title: curve.mean(axis=2) for title, curve in curves.items()}
    arrays: dict[str, np.ndarray] = {"distance": np.array(DISTANCES)}
    for title, curve in curves.items():
        for r in range(DEPTH):
            arrays |= {f"{title}_{r + 1}": means[title][r], f"{title}_{r + 1}_low": curve[r].min(axis=1), f"{title}_{r + 1}_high": curve[r].max(axis=1)}
    orders = [means[better.title] < means[worse.title] for worse, better in ((SUBSAMPLING, MAX), (SUBSAMPLING, AVERAGE), *REMEDIES) if {worse, better} <= set(methods)]
    deeper = [np.diff(means[method.title], axis=0) < 0 for method in methods if method is not SUBSAMPLING]
    return Outcome(
        holds=all(bool(each.all()) for each in [*orders, *deeper]) if len(methods) == len(METHODS) else None,
        sentence=(
            f"One pixel changes a map, after {DEPTH} poolings, by {_listed(means, DEPTH - 1, 0)}; eight pixels by {_listed(means, DEPTH - 1, len(DISTANCES) - 1)} "
            f"(1: as much as unrelated maps differ). In order in {sum(int(each.sum()) for each in orders)} of {sum(each.size for each in orders)} comparisons of "
            f"methods, falling with depth in {sum(int(each.sum()) for each in deeper)} of {sum(each.size for each in deeper)} steps.{remark}"
        ),
        numbers={
            f"{title}: change by {distance} px after {r + 1}": {"value": float(mean[r, distance - 1]), "unit": "of the change between unrelated maps"}
            for title, mean in means.items()
            for r in range(DEPTH)
            for distance in (1, 2, 4, 8)
        },
        album=Album(
            arrays=arrays,
            figures=(
                _curves(
                    "How much a shift changes the pooled map",
                    Axis(label="change", unit="1 = unrelated", low=0),
                    [method.title for method in methods],
                    band=False,
                    caption="Mean of eight photographs, 160×160 pixels, shifted down and to the right; what moves in is the rest of the photograph.",
                ),
            ),
        ),
        sources=tuple(PHOTOGRAPHS.values()),
    )


def _scenes(shift: tuple[int, int]) -> np.ndarray:
    return np.concatenate([photograph.crop(SIDE, shift) for photograph in PHOTOGRAPHS.values()])


def _listed(means: dict[str, np.ndarray], row: int, column: int) -> str:
    return ", ".join(f"{mean[row, column]:.2f} ({title})" for title, mean in means.items())


def _curves(title: str, y: Axis, titles: list[str], *, band: bool, caption: str) -> Curves:
    return Curves(
        title=title,
        x=Axis(label="shift", unit="pixels", array="distance"),
        y=y,
        panels=tuple(
            Chart(
                title=f"after {r} poolings" if r > 1 else "after 1 pooling",
                lines=tuple(
                    Line(array=f"{each}_{r}", title=each, low=f"{each}_{r}_low" if band else None, high=f"{each}_{r}_high" if band else None) for each in titles
                ),
            )
            for r in range(1, DEPTH + 1)
        ),
        caption=caption,
    )


# --- how much its summary changes ---------------------------------------------------------------

SUMMARY_CLAIM = (
    "Where the border wraps around, what a map says on average should not depend on a shift: max pooling and subsampling make it depend, a blur "
    "before the subsampling mends most of it, adaptive polyphase sampling all."
)
ADAPTIVE = "max, adaptive polyphase"


def adaptive_polyphase(steps: Steps, x: np.ndarray) -> np.ndarray:
    """Max pooling at stride 1, then of its four subsampled grids the one of largest norm; borders wrap.

    A shift permutes the grids, so the same one is chosen wherever it went: the output is the same up
    to a shift of its own. x has the shape (N, 1, H, W), with even H and W.
    """
    dense = steps.pool(replicated(x, after=1, mode="wrap"), MAX.stages[0].reduction, kernel=2, stride=1)
    grids = np.stack([steps.halve(np.roll(dense, (-down, -right), axis=(2, 3)), SUBSAMPLING) for down, right in itertools.product((0, 1), repeat=2)])
    norms = np.sum(grids.astype(np.float64) ** 2, axis=(2, 3, 4))
    return grids[np.argmax(norms, axis=0), np.arange(len(x))]


def shift_changes_summary(steps: Steps, options: Options) -> Outcome:
    """Move edge maps of photographs around, pool them, and compare the means of the pooled maps."""
    methods, remark = steps.able(METHODS)
    # Whole eighths keep the maps within 0…255, so that four blurs are exact in float32's 24 bits.
    edges = detect(steps.convolve(_scenes((0, 0)), EDGE)) // 8
    titles = [method.title for method in methods] + [ADAPTIVE]
    found = {title: np.zeros((DEPTH, len(DISTANCES), len(PHOTOGRAPHS))) for title in titles}
    base = {title: _summaries(steps, edges, title) for title in titles}
    steps.keep("means without a shift", np.array([base[title] for title in titles]))
    for column, distance in enumerate(DISTANCES):
        for axis in (2, 3):
            rolled = np.roll(edges, distance, axis=axis)
            for title in titles:
                found[title][:, column] += np.abs(_summaries(steps, rolled, title) - base[title]) / base[title] / 2
    means = {title: each.mean(axis=2) for title, each in found.items()}
    worst = {title: float(each.max()) for title, each in found.items()}
    arrays: dict[str, np.ndarray] = {"distance": np.array(DISTANCES)}
    arrays |= {f"{title}_{r + 1}": 100 * mean[r] for title, mean in means.items() for r in range(DEPTH)}
    holds = None
    if len(methods) == len(METHODS):
        depends = worst[MAX.title] > 0 and worst[SUBSAMPLING.title] > 0
        mended = all(means[better.title].mean() < means[worse.title].mean() / 2 for worse, better in REMEDIES)
        holds = bool(depends and mended and worst[ADAPTIVE] == 0)
    return Outcome(
        holds=holds,
        sentence=(
            "Mean change of the summary over shifts of 1 to 8 pixels and depths of 1 to 4: "
            f"{', '.join(f'{mean.mean():.1%} ({title})' for title, mean in means.items())}. Adaptive polyphase sampling changes it by {worst[ADAPTIVE]:.2g} at the most; "
            f"averages and blurs of 2 weigh every pixel alike, which keeps the mean exactly.{remark}"
        ),
        numbers={f"{title}: mean change after {r + 1}": {"value": float(mean[r].mean()), "unit": "of the mean"} for title, mean in means.items() for r in range(DEPTH)},
        album=Album(
            arrays=arrays,
            figures=(
                _curves(
                    "How much a shift changes the mean of the pooled map",
                    Axis(label="change of the mean", unit="%", low=0),
                    titles,
                    band=False,
                    caption="Mean of eight edge maps whose borders wrap around, so that a shift only moves what is there.",
                ),
            ),
        ),
        sources=tuple(PHOTOGRAPHS.values()),
    )


def _summaries(steps: Steps, edges: np.ndarray, title: str) -> np.ndarray:
    """The mean of each map after 1, 2, …, DEPTH poolings, shape (DEPTH, N)."""
    method = next((method for method in METHODS if method.title == title), None)
    maps, x = [], edges
    for _ in range(DEPTH):
        x = steps.halve(x, method, wrap=True) if method else adaptive_polyphase(steps, x)
        maps.append(x)
    return np.array([each.mean(axis=(1, 2, 3), dtype=np.float64) for each in maps])
