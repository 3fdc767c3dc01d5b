"""What a small shift does to a pooled map, and what helps: the invariance lab.

Blurring before subsampling: R. Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML
2019. Adaptive polyphase sampling: A. Chaman and I. Dokmanić, "Truly Shift-Invariant Convolutional
Neural Networks", CVPR 2021.
"""

import itertools

import numpy as np

from backends.spec import Max
from properties.condensing import EDGE
from properties.figures import Album, Axis, Chart, Curves, Figure, Images, Line, Panel
from properties.images import PHOTOGRAPHS, Shift, circle, moved, replicated
from properties.steps import (
    AVERAGE,
    BAND,
    MAX,
    METHODS,
    REMEDIES,
    SUBSAMPLING,
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

DEPTH = 4
DISTANCES = range(1, 9)
SIDE = 160
"""Pixels of a photograph that the lab looks at: ten whole cells of the last depth, on each axis."""


# --- the shifted circle -------------------------------------------------------------------------

REACH = 3
FIELD = 64
RADIUS = 28
RADII = range(4, RADIUS + 1)
"""Circles that stay inside the field under every shift; the largest is the tutorial's."""
ANOTHER = 24
"""A circle for which the tutorial's picture comes out otherwise."""


def shifts() -> list[Shift]:
    """All 49 shifts of up to REACH pixels on each axis, row by row."""
    steps = range(-REACH, REACH + 1)
    return [(down, right) for down in steps for right in steps]


STILL, MOVED = shifts().index((0, 0)), shifts().index((2, 1))


def circle_maps(steps: Steps, method: Method, radius: int = RADIUS) -> list[np.ndarray]:
    """The circle under each of the 49 shifts: the maps, by how often they were pooled."""
    every = np.concatenate([moved(circle(FIELD, radius), shift) for shift in shifts()])
    return [every, *steps.depths(every, method, DEPTH)]


def forgotten(maps: list[np.ndarray]) -> np.ndarray:
    """After how many poolings each shift leaves the map as it is: one more than there were if it never does.

    `maps` are those of `circle_maps`. Once a map is the same, all that is pooled from it is.
    """
    first = np.full(len(maps[0]), len(maps))
    for r, each in reversed(list(enumerate(maps))[1:]):
        first[(each == each[STILL]).all(axis=(1, 2, 3))] = r
    return first


def shifted_circle(steps: Steps, options: Options) -> Outcome:
    """Move a circle by each of 49 shifts, pool it four times, and count the maps that stay as they were; then other circles."""
    methods, remark = steps.able((MAX, AVERAGE, SUBSAMPLING))
    arrays: dict[str, np.ndarray] = {"radius": np.array(RADII)}
    numbers: Numbers = {}
    told = []
    always = dict.fromkeys((method.title for method in methods), 0)
    for method in methods:
        title, count = method.title, len(shifts())
        same = np.zeros((len(RADII), DEPTH), np.int64)
        for row, radius in enumerate(RADII):
            maps = circle_maps(steps, method, radius)
            same[row] = [np.sum(forgotten(maps) <= r) for r in range(1, DEPTH + 1)]
        # The last of the radii is the tutorial's, and its maps are still at hand.
        steps.keep(f"maps after {DEPTH}, {title}", maps[-1])
        always[title] = int(np.sum(same[:, -1] == count))
        left = maps[-1][STILL]
        for r in range(1, DEPTH + 1):
            numbers[f"{title}: same map after {poolings(r)}"] = share(same[-1, r - 1] / count, f"{count} shifts")
            numbers[f"{title}: cells that a shift changes after {poolings(r)}"] = share(np.mean(maps[r] != maps[r][STILL]), "cells")
        numbers[f"{title}: every shift forgotten after {poolings(DEPTH)}"] = share(always[title] / len(RADII), f"{len(RADII)} radii")
        numbers[f"{title}: active after {poolings(DEPTH)}"] = {"value": int(np.count_nonzero(left)), "unit": f"of {left.size} cells"}
        told.append(
            f"{title} {same[-1, -1]} (after 1, 2 and 3: {', '.join(map(str, same[-1, :-1]))}; at last {np.count_nonzero(left)} of "
            f"{left.size} cells are active), and all {count} for {always[title]} of {len(RADII)} radii"
        )
        arrays |= {f"radius_{title}_{r}": same[:, r - 1] for r in range(1, DEPTH + 1)}
    if MAX in methods:
        for radius in (RADIUS, ANOTHER):
            for r, each in enumerate(circle_maps(steps, MAX, radius)):
                arrays |= {f"still_{radius}_{r}": each[STILL, 0], f"moved_{radius}_{r}": each[MOVED, 0]}
    return Outcome(
        holds=always[MAX.title] == len(RADII) if MAX in methods else None,
        sentence=(
            f"Of 49 shifts, one of them none at all, so many leave the map of the tutorial's circle, of radius {RADIUS}, as it is after "
            f"{poolings(DEPTH)}: {'; '.join(told)}.{remark}"
        ),
        numbers=numbers,
        album=Album(arrays=arrays, figures=_circle_figures(methods)),
    )


def _circle_figures(methods: list[Method]) -> tuple[Figure, ...]:
    depths = range(1, DEPTH + 1)
    over_radii = Curves(
        title="The same map, by the circle's radius",
        x=Axis(label="radius", unit="pixels", array="radius"),
        y=Axis(label="shifts that leave the map as it is", unit="of 49", low=0, high=49),
        panels=tuple(
            Chart(title=method.title, lines=tuple(Line(array=f"radius_{method.title}_{r}", title=poolings(r)) for r in depths))
            for method in methods
        ),
        caption=(
            "One of the 49 is no shift. Whether the others are forgotten depends on where the circle lies between the cells; "
            "subsampling forgets "
            "a circle by missing it."
        ),
    )
    if MAX not in methods:
        return (over_radii,)
    return (
        Images(
            title="A circle and its shifted copy, max pooled",
            rows=tuple(
                tuple(Panel(array=f"{key}_{radius}_{r}", title=poolings(r) if r else title, scale="strength") for r in range(DEPTH + 1))
                for radius in (RADIUS, ANOTHER)
                for key, title in (("still", f"radius {radius}"), ("moved", "2 down, 1 right"))
            ),
            caption=f"Above the tutorial's circle, which comes out the same at last; below one of radius {ANOTHER}, which does not.",
        ),
        over_radii,
    )


CIRCLE = Experiment(
    name="shifted-circle",
    title="The shifted circle",
    claim=(
        "A small shift does not change a pooled map: after four max poolings 2×2 a circle moved by up to 3 pixels gives the same map, "
        "always."
    ),
    measure=shifted_circle,
)


# --- how much a map changes ---------------------------------------------------------------------


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How much each map of (N, 1, H, W) changes: 0 not at all, 1 as much as two unrelated maps differ.

    The root mean square difference over √2 standard deviations of the map, shape (N,).
    """
    wide = before.astype(np.float64)
    difference = np.sqrt(np.mean((after - wide) ** 2, axis=(1, 2, 3)))
    return difference / (np.sqrt(2) * wide.std(axis=(1, 2, 3)))


def scenes(shift: Shift = (0, 0)) -> np.ndarray:
    """The middle of each photograph after its scene moved, shape (8, 1, SIDE, SIDE)."""
    return np.concatenate([photograph.crop(SIDE, shift) for photograph in PHOTOGRAPHS.values()])


def shift_changes_map(steps: Steps, options: Options) -> Outcome:
    """Move photographs by 1 to 8 pixels, more of the scene moving in, and compare the pooled maps."""
    methods, remark = steps.able(METHODS)
    still = {method.title: steps.depths(scenes(), method, DEPTH) for method in methods}
    for title, maps in still.items():
        steps.keep(f"maps after {DEPTH}, {title}", maps[-1])
    each_scene = {title: np.zeros((DEPTH, len(DISTANCES), len(PHOTOGRAPHS))) for title in still}
    for column, distance in enumerate(DISTANCES):
        for shift in ((distance, 0), (0, distance)):
            shifted = scenes(shift)
            for method in methods:
                for row, each in enumerate(steps.depths(shifted, method, DEPTH)):
                    each_scene[method.title][row, column] += change(still[method.title][row], each) / 2
    found = {title: steps.keep(f"changes, {title}", each).mean(axis=-1) for title, each in each_scene.items()}
    pairs = [pair for pair in ((SUBSAMPLING, MAX), (SUBSAMPLING, AVERAGE), *REMEDIES) if set(pair) <= set(methods)]
    steadier = np.array([found[better.title] < found[worse.title] for worse, better in pairs])
    falling = np.array([np.diff(found[method.title], axis=0) < 0 for method in methods if method is not SUBSAMPLING])
    by_one, by_most = ({title: each[-1, column] for title, each in found.items()} for column in (0, -1))
    return Outcome(
        holds=bool(steadier.all() and falling.all()) if len(methods) == len(METHODS) else None,
        sentence=(
            f"After {poolings(DEPTH)} a shift by one pixel changes the map by {_listed(by_one)}, one by {DISTANCES[-1]} by "
            f"{_listed(by_most)}, where 1 is "
            f"as much as unrelated maps differ. Less than its rival in {steadier.sum()} of {steadier.size} comparisons; less the deeper in "
            f"{falling.sum()} of {falling.size} steps.{remark}"
        ),
        numbers={
            f"{title}: change by {distance} px, {poolings(r)}": {
                "value": float(each[r - 1, distance - 1]),
                "unit": "of the change between unrelated maps",
            }
            for title, each in found.items()
            for r in range(1, DEPTH + 1)
            for distance in (DISTANCES[0], DISTANCES[-1])
        },
        album=_lab_album(
            each_scene,
            title="How much a shift changes the pooled map",
            y=Axis(label="change", unit="1: unrelated", low=0),
            caption=(
                f"Mean of eight photographs, {SIDE}×{SIDE} pixels, shifted down and to the right; what moves in is the rest of the "
                f"photograph. {BAND}"
            ),
        ),
        sources=tuple(PHOTOGRAPHS.values()),
    )


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{value:.2f} ({title})" for title, value in values.items())


def _lab_album(found: dict[str, np.ndarray], *, title: str, y: Axis, caption: str) -> Album:
    """One small chart a depth, one line a method with its band; `found` holds arrays (DEPTH, distances, photographs)."""
    arrays, charts = banded(found, DEPTH)
    x = Axis(label="shift", unit="pixels", array="distance")
    return Album(
        arrays=arrays | {"distance": np.array(DISTANCES)}, figures=(Curves(title=title, x=x, y=y, panels=charts, caption=caption),)
    )


CHANGE = Experiment(
    name="shift-changes-map",
    title="Invariance lab: the pooled map",
    claim=(
        "At every depth and distance, a small shift changes a pooled map less than a subsampled one, and less still where a blur "
        "comes before "
        "the subsampling; pooled maps change less the deeper they are."
    ),
    measure=shift_changes_map,
)


# --- how much its mean changes ------------------------------------------------------------------

POLYPHASE = "max, adaptive polyphase"


def adaptive_polyphase(steps: Steps, x: np.ndarray) -> np.ndarray:
    """Max pooling at stride 1, then of its four subsampled grids the one of largest norm; borders wrap.

    A shift permutes the grids, and so chooses the same one wherever it went: the output is the same up
    to a shift of its own. x has the shape (N, 1, H, W), with even H and W.
    """
    dense = steps.pool(replicated(x, after=1, mode="wrap"), Max(), kernel=2, stride=1)
    corners = itertools.product((0, 1), repeat=2)
    grids = np.stack([steps.halve(np.roll(dense, (-down, -right), axis=(2, 3)), SUBSAMPLING) for down, right in corners])
    norms = np.sum(grids.astype(np.float64) ** 2, axis=(2, 3, 4))
    return grids[np.argmax(norms, axis=0), np.arange(len(x))]


def means(steps: Steps, x: np.ndarray, method: Method | None) -> np.ndarray:
    """The mean of each map of (N, 1, H, W) after 1, 2, … poolings, shape (DEPTH, N); None is adaptive polyphase."""
    found = []
    for _ in range(DEPTH):
        x = adaptive_polyphase(steps, x) if method is None else steps.halve(x, method, wrap=True)
        found.append(x.mean(axis=(1, 2, 3), dtype=np.float64))
    return np.array(found)


def shift_changes_mean(steps: Steps, options: Options) -> Outcome:
    """Move edge maps of photographs round and round, pool them, and compare the means of the pooled maps."""
    methods, remark = steps.able(METHODS)
    ways: dict[str, Method | None] = {method.title: method for method in methods}
    if {MAX, SUBSAMPLING} <= set(methods):
        ways[POLYPHASE] = None
    # Whole eighths keep the maps within 0…255, so that four blurs are exact in float32's 24 bits.
    edges = detect(steps.convolve(scenes(), EDGE)) // 8
    still = {title: steps.keep(f"means, {title}", means(steps, edges, method)) for title, method in ways.items()}
    each_scene = {title: np.zeros((DEPTH, len(DISTANCES), len(PHOTOGRAPHS))) for title in ways}
    for column, distance in enumerate(DISTANCES):
        for axis in (2, 3):
            rolled = np.roll(edges, distance, axis=axis)
            for title, method in ways.items():
                each_scene[title][:, column] += np.abs(means(steps, rolled, method) - still[title]) / still[title] / 2
    found = {title: steps.keep(f"changes, {title}", each).mean(axis=-1) for title, each in each_scene.items()}
    holds = None
    if len(methods) == len(METHODS):
        mended = all(found[better.title].mean() < found[worse.title].mean() / 2 for worse, better in REMEDIES)
        holds = bool(mended and not found[POLYPHASE].any())
    exact = [title for title, each in found.items() if not each.any()]
    return Outcome(
        holds=holds,
        sentence=(
            f"Over depths of 1 to {DEPTH} and shifts of 1 to {DISTANCES[-1]} pixels the mean changes, on average, by "
            f"{', '.join(f'{each.mean():.1%} ({title})' for title, each in found.items())}; not at all for "
            f"{' and '.join(exact) or 'none'}.{remark}"
        ),
        numbers={
            f"{title}: change of the mean, {poolings(r)}": {"value": float(100 * each[r - 1].mean()), "unit": "%"}
            for title, each in found.items()
            for r in range(1, DEPTH + 1)
        },
        album=_lab_album(
            {title: 100 * each for title, each in each_scene.items()},
            title="How much a shift changes the mean of the pooled map",
            y=Axis(label="change of the mean", unit="%", low=0),
            caption=f"Mean of eight edge maps whose borders wrap around, so that a shift only moves what is there. {BAND}",
        ),
        sources=tuple(PHOTOGRAPHS.values()),
    )


MEAN = Experiment(
    name="shift-changes-mean",
    title="Invariance lab: the mean of the map",
    claim=(
        "Where borders wrap around, a shift should not change the mean of a pooled map. After max pooling and subsampling it does; "
        "a blur before the "
        "subsampling mends more than half of that, adaptive polyphase sampling all."
    ),
    measure=shift_changes_mean,
)
