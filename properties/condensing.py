"""What pooling does to an image: it condenses what a filter found, merges what is near, and summarises."""

from collections.abc import Iterable

import numpy as np

from backends import compare
from backends.spec import Average, Global, Max, PoolSpec
from properties.figures import Album, Axis, Chart, Curves, Heatmap, Images, Line, Panel
from properties.images import PHOTOGRAPHS, Photograph, dots, smooth_maps
from properties.steps import AVERAGE, MAX, Experiment, Numbers, Options, Outcome, Steps, active, convolution, detect, poolings, share

EDGE = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)
KERNELS = {"edge": EDGE, "emboss": EMBOSS}

LOOKED_AT = tuple(PHOTOGRAPHS[name] for name in ("camera", "astronaut", "coffee"))
"""Photographs whose sides are even, so that SAME padding of 2×2 windows adds nothing."""

DRAWN = LOOKED_AT[0]
CLOSE_UP = (slice(40, 168), slice(180, 308))
"""The part of the cameraman that is drawn: 128×128 pixels, few enough to see each."""

Position = tuple[int, int]


def close_up(image: np.ndarray, depth: int = 0) -> np.ndarray:
    """What the drawn part of the photograph has become in a map (1, 1, H, W) after `depth` poolings."""
    return image[0, 0][tuple(slice(part.start >> depth, part.stop >> depth) for part in CLOSE_UP)]


# --- filter, detect, condense -------------------------------------------------------------------


def filter_detect_condense(steps: Steps, options: Options) -> Outcome:
    """Convolve photographs with the edge and the emboss kernel, keep what is positive, and pool it."""
    arrays: dict[str, np.ndarray] = {"photograph": close_up(DRAWN.gray())}
    numbers: Numbers = {}
    factors, agreements = [], []
    layers = getattr(steps.backend, "layers", None)
    for photograph in LOOKED_AT:
        image = photograph.gray()
        for name, kernel in KERNELS.items():
            what = f"{photograph.name}, {name} kernel"
            filtered = steps.keep(f"{what}: filtered", steps.convolve(image, kernel))
            detected = detect(filtered)
            condensed = steps.keep(f"{what}: condensed", steps.pool(detected, Max(), kernel=2, stride=2, padding="same_upper"))
            before, after = active(detected), active(condensed)
            numbers[f"{what}: active after the ReLU"] = share(before, "pixels")
            numbers[f"{what}: active after pooling"] = share(after, "pixels")
            factors.append(after / before)
            agreements.append(np.array_equal(filtered, convolution()(image, kernel)))
            if layers is not None:
                agreements.append(np.array_equal(condensed, layers(image, kernel)))
            if photograph is DRAWN:
                arrays |= {f"{name}_filtered": close_up(filtered), f"{name}_detected": close_up(detected)}
                arrays[f"{name}_condensed"] = close_up(condensed, 1)
    return Outcome(
        holds=min(factors) > 1 and all(agreements),
        sentence=(
            f"The share of active pixels rises in {sum(factor > 1 for factor in factors)} of {len(factors)} filtered photographs: "
            f"it is {min(factors):.2f} to {max(factors):.2f} times as high after pooling as before. "
            f"{_agreement(agreements, layers is not None)}"
        ),
        numbers=numbers,
        album=Album(
            arrays=arrays,
            figures=(
                Images(
                    title="Filter, detect, condense",
                    rows=tuple(
                        (
                            Panel(array="photograph", title="photograph"),
                            Panel(array=f"{name}_filtered", title=f"filter: {name} kernel", scale="signed"),
                            Panel(array=f"{name}_detected", title="detect: ReLU", scale="strength"),
                            Panel(array=f"{name}_condensed", title="condense: max pooling", scale="strength"),
                        )
                        for name in KERNELS
                    ),
                    caption="128×128 pixels of the photograph; the condensed map has 64×64.",
                ),
            ),
        ),
        sources=LOOKED_AT,
    )


def _agreement(agreements: list[bool], layers: bool) -> str:
    if not all(agreements):
        return (
            f"But {agreements.count(False)} of {len(agreements)} maps differ from NumPy's convolution or from the framework's own layers."
        )
    if layers:
        return "The framework's own layers, and NumPy's convolution, give the same maps, element by element."
    return "NumPy's convolution gives the same maps; there are no layers of its own to compare."


CONDENSE = Experiment(
    name="filter-detect-condense",
    title="Filter, detect, condense",
    claim=(
        "After a filter and a ReLU, max pooling 2×2 with stride 2 and SAME padding raises the share of active pixels, and a "
        "framework's own "
        "convolution, ReLU and pooling layers give the same map."
    ),
    measure=filter_detect_condense,
)


# --- repeated pooling ---------------------------------------------------------------------------

DEPTH = 4
NEVER = DEPTH + 1
DISTANCES = range(1, 25)
OFFSETS = range(2**DEPTH)
FIELD = 48
"""Pixels a side: room for the last offset and the longest distance, in whole cells of the last depth."""

SHOWN = {
    "one pixel apart": ((20, 20), (20, 21)),
    "across a border": ((20, 15), (20, 16)),
    "40 pixels apart": ((20, 4), (20, 44)),
}


def pairs() -> list[tuple[Position, Position]]:
    """Pairs of dots: every distance sideways, downwards and aslant, at every offset inside the largest cell."""
    return [
        ((top, left), (top + down * distance, left + right * distance))
        for down, right in ((0, 1), (1, 0), (1, 1))
        for distance in DISTANCES
        for left in OFFSETS
        for top in [(5 * left + 3) % 2**DEPTH]
    ]


def shared_cell(first: Position, second: Position, depth: int = DEPTH) -> int:
    """The smallest r up to `depth` for which two pixels lie in one cell of 2^r×2^r, or depth + 1."""
    return next((r for r in range(1, depth + 1) if all(a >> r == b >> r for a, b in zip(first, second, strict=True))), depth + 1)


def merge_depths(steps: Steps, images: np.ndarray, depth: int = DEPTH) -> np.ndarray:
    """After how many max poolings each image of shape (N, 1, H, W) has one active cell, or depth + 1."""
    merged = np.full(len(images), depth + 1)
    for r, maps in reversed(list(enumerate(steps.depths(images, MAX, depth), 1))):
        merged[np.count_nonzero(maps, axis=(1, 2, 3)) == 1] = r
    return merged


def repeated_pooling(steps: Steps, options: Options) -> Outcome:
    """Pool pairs of dots at every offset and distance, and note at which depth one dot is left."""
    positions = pairs()
    merged = steps.keep("depth at which each pair merges", merge_depths(steps, dots(positions, FIELD)))
    as_predicted = int(np.sum(merged == [shared_cell(*pair) for pair in positions]))
    table = merged[: len(DISTANCES) * len(OFFSETS)].reshape(len(DISTANCES), len(OFFSETS))
    near, far = table[0], table[np.array(DISTANCES) >= 2**DEPTH]
    arrays = {"depth": table, "distance": np.array(DISTANCES), "offset": np.array(OFFSETS)}
    rows = []
    for i, (title, pair) in enumerate(SHOWN.items()):
        start = dots([pair], FIELD)
        maps = [start, *steps.depths(start, MAX, DEPTH)]
        arrays |= {f"pair{i}_{r}": image[0, 0] for r, image in enumerate(maps)}
        rows.append(tuple(Panel(array=f"pair{i}_{r}", title=poolings(r) if r else title, scale="strength") for r in range(DEPTH + 1)))
    numbers: Numbers = {
        f"distance {distance}: merged after {poolings(r)}": share(np.mean(table[distance - 1] <= r), "offsets")
        for distance in (1, 4, 8, 16)
        for r in range(1, DEPTH + 1)
    }
    numbers["pairs that merge as the shared cell says"] = {"value": as_predicted, "unit": f"of {len(positions)}"}
    return Outcome(
        holds=as_predicted == len(positions),
        sentence=(
            f"{as_predicted} of {len(positions)} pairs merge at just the depth r at which they share a cell of 2^r pixels. "
            f"Nearness alone does not decide: of dots one pixel apart {np.mean(near == 1):.0%} merge at once and "
            f"{np.mean(near == NEVER):.0%} "
            f"not within {DEPTH} poolings, since a border runs between them; of those {2**DEPTH} pixels apart or more "
            f"{np.mean(far != NEVER):.0%} merge."
        ),
        numbers=numbers,
        album=Album(
            arrays=arrays,
            figures=(
                Images(
                    title="Two dots, pooled again and again",
                    rows=tuple(rows),
                    caption=(
                        "Two neighbours in one cell merge at once; two neighbours with the border of a cell of 16 pixels between "
                        "them stay two, "
                        "side by side; two far apart stay apart."
                    ),
                ),
                Heatmap(
                    title="When two dots merge",
                    array="depth",
                    x=Axis(label="place of the first dot in its cell of 16", unit="pixels", array="offset"),
                    y=Axis(label="distance", unit="pixels", array="distance"),
                    value=Axis(label="poolings until one dot is left"),
                    names={str(NEVER): f"not within {DEPTH}"},
                    caption="Dots side by side.",
                ),
            ),
        ),
    )


MERGE = Experiment(
    name="repeated-pooling",
    title="Repeated pooling",
    claim=(
        "Under repeated max pooling 2×2 two dots near each other merge and two far apart stay apart: r poolings merge them just "
        "when they share a "
        "cell of 2^r pixels."
    ),
    measure=repeated_pooling,
)


# --- average beside max -------------------------------------------------------------------------

KINDS = {"average": AVERAGE, "max": MAX}
MEASURES = ("mean", "contrast", "brightest")


def gray_levels(maps: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """The mean, the contrast (standard deviation) and the brightest gray level of each map."""
    wide = [each.astype(np.float64) for each in maps]
    found = ([each.mean() for each in wide], [each.std() for each in wide], [each.max() for each in wide])
    return {measure: np.array(values) for measure, values in zip(MEASURES, found, strict=True)}


def average_beside_max(steps: Steps, options: Options) -> Outcome:
    """Pool photographs by average and by max, one to four times, and compare their gray levels."""
    methods, remark = steps.able(tuple(KINDS.values()))
    kinds = {name: method for name, method in KINDS.items() if method in methods}
    arrays: dict[str, np.ndarray] = {"depth": np.arange(DEPTH + 1)}
    numbers: Numbers = {}
    verdicts, told = [], []
    for photograph in LOOKED_AT:
        image = _whole_cells(photograph)
        for name, method in kinds.items():
            maps = [image, *steps.depths(image, method, DEPTH)]
            steps.keep(f"{photograph.name}, {name}", maps[-1])
            levels = gray_levels(maps)
            verdicts.append(as_claimed(name, levels))
            for measure, curve in levels.items():
                numbers[f"{photograph.name}: {measure}"] = {"value": float(curve[0]), "unit": "gray levels of 255"}
                for r in (1, DEPTH):
                    numbers[f"{photograph.name}: {measure}, {name}, {poolings(r)}"] = {
                        "value": float(curve[r]),
                        "unit": "gray levels of 255",
                    }
            if photograph is DRAWN:
                arrays |= {f"{name}_{r}": close_up(each, r) for r, each in enumerate(maps)}
                arrays |= {f"{name}_{measure}": 100 * curve / curve[0] for measure, curve in levels.items()}
                told.append(
                    f"{name} pooling {', '.join(f'{measure} {curve[0]:.1f} to {curve[-1]:.1f}' for measure, curve in levels.items())}"
                )
    return Outcome(
        holds=False if not all(verdicts) else True if len(kinds) == len(KINDS) else None,
        sentence=(
            f"So it is in {sum(verdicts)} of {len(verdicts)} series of {poolings(DEPTH)}. Gray levels of the cameraman: "
            f"{'; '.join(told)}.{remark}"
        ),
        numbers=numbers,
        album=Album(
            arrays=arrays,
            figures=(
                Images(
                    title="Average beside max",
                    rows=tuple(
                        tuple(Panel(array=f"{name}_{r}", title=f"{name}, {poolings(r)}" if r else "photograph") for r in range(DEPTH + 1))
                        for name in kinds
                    ),
                    caption="The same 128×128 pixels, pooled 2×2 again and again.",
                ),
                Curves(
                    title="What becomes of the cameraman's gray levels",
                    x=Axis(label="poolings", array="depth"),
                    y=Axis(label="what is left", unit="% of the photograph's"),
                    panels=tuple(
                        Chart(title=measure, lines=tuple(Line(array=f"{name}_{measure}", title=name) for name in kinds))
                        for measure in MEASURES
                    ),
                    caption="Contrast is the standard deviation of the gray levels.",
                ),
            ),
        ),
        sources=LOOKED_AT,
    )


def _whole_cells(photograph: Photograph) -> np.ndarray:
    """A photograph without the rows and columns that do not fill a cell of the last depth."""
    image = photograph.gray()
    height, width = (size - size % 2**DEPTH for size in image.shape[2:])
    return image[:, :, :height, :width]


def as_claimed(name: str, levels: dict[str, np.ndarray]) -> bool:
    """Whether a photograph's gray levels, by depth, go as the claim says of that kind of pooling."""
    mean, contrast, brightest = (levels[measure] for measure in MEASURES)
    if name == "average":
        return bool((mean == mean[0]).all() and (np.diff(contrast) < 0).all() and brightest[-1] < brightest[0])
    return bool((np.diff(mean) > 0).all() and (brightest == brightest[0]).all())


AVERAGED = Experiment(
    name="average-beside-max",
    title="Average beside max",
    claim=(
        "Average pooling 2×2 keeps the mean of a photograph exactly and gives up contrast and peaks; max pooling keeps the peak "
        "and brightens the photograph."
    ),
    measure=average_beside_max,
)


# --- global average -----------------------------------------------------------------------------

MAPS, SIDE, SEED = 8, 5, 0


def global_average(steps: Steps, options: Options) -> Outcome:
    """Summarise eight smooth random maps."""
    maps = smooth_maps(MAPS, SIDE, seed=SEED)
    means = steps.keep("means", steps.global_average(maps), parts=SIDE * SIDE)
    held = compare.compare(steps.case(PoolSpec(reduction=Average(), windows=Global()), maps), means[..., np.newaxis, np.newaxis])
    right, fewer = int(np.sum(~held.bad)), maps.size / means.size
    off, bound = (float(each.max()) for each in (np.abs(held.actual - held.exact.value), held.bound))
    panels = [Panel(array=f"map{i}", title=f"mean {mean:.1f}", scale="signed") for i, mean in enumerate(means[0].tolist())]
    return Outcome(
        holds=right == means.size and fewer == SIDE * SIDE,
        sentence=(
            f"{maps.size} values become {means.size}, {fewer:.0f} times fewer; {right} of {means.size} are the mean of their map, "
            "as nearly as "
            "float32 rounds it."
        ),
        numbers={
            "values before": {"value": int(maps.size), "unit": "numbers"},
            "values after": {"value": int(means.size), "unit": "numbers"},
            "largest distance from the exact mean": {"value": off, "unit": "where maps lie in ±100"},
            "largest distance that rounding may cause": {"value": bound, "unit": "where maps lie in ±100"},
        },
        album=Album(
            arrays={f"map{i}": each for i, each in enumerate(maps[0])},
            figures=(
                Images(
                    title="Eight maps, eight numbers",
                    rows=(tuple(panels[: MAPS // 2]), tuple(panels[MAPS // 2 :])),
                    caption="Noise with a decaying spectrum, as whole numbers in ±100, and the one number that is left of each map.",
                ),
            ),
        ),
    )


SUMMARISE = Experiment(
    name="global-average",
    title="Global average pooling",
    claim="Global average pooling turns eight 5×5 maps into eight numbers, 25 times fewer, each the mean of its map.",
    measure=global_average,
)
