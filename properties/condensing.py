"""What pooling does to an image: it condenses what a filter found, merges what is near, and summarises."""

import numpy as np

from backends import compare
from backends.spec import Average, Global, Max, PoolSpec
from properties.figures import Album, Axis, Chart, Curves, Heatmap, Images, Line, Panel
from properties.images import PHOTOGRAPHS, Photograph, dots, smooth_maps
from properties.steps import AVERAGE, MAX, Options, Outcome, Steps, active, convolution, detect, share

EDGE = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32)
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)
KERNELS = {"edge": EDGE, "emboss": EMBOSS}

CLOSE_UP = (slice(40, 168), slice(180, 308))
"""The part of the cameraman that is drawn: 128×128 pixels, of a size at which one sees pixels."""


# --- filter, detect, condense -------------------------------------------------------------------

CONDENSE_CLAIM = (
    "After a filter and a ReLU, max pooling 2×2 with stride 2 and SAME padding raises the share of active pixels; "
    "the framework's own convolution, ReLU and pooling layers give the same map."
)


def filter_detect_condense(steps: Steps, options: Options) -> Outcome:
    """Convolve photographs with the edge and the emboss kernel, keep what is positive, and pool it."""
    photographs = [PHOTOGRAPHS[name] for name in ("camera", "astronaut", "coffee")]
    arrays, numbers, rises, agreements = {}, {}, [], []
    layers = getattr(steps.backend, "layers", None)
    for photograph in photographs:
        image = photograph.gray()
        for name, kernel in KERNELS.items():
            filtered = steps.convolve(image, kernel)
            detected = detect(filtered)
            condensed = steps.pool(detected, Max(), kernel=2, stride=2, padding="same_upper")
            what = f"{photograph.name}, {name} kernel"
            steps.keep(f"{what}: filtered", filtered)
            steps.keep(f"{what}: condensed", condensed)
            before, after = active(detected), active(condensed)
            numbers[f"{what}: active after the ReLU"] = share(before, "pixels")
            numbers[f"{what}: active after pooling"] = share(after, "pixels")
            rises.append((after / before, after > before))
            agreements.append(np.array_equal(filtered, convolution()(image, kernel)))
            if layers is not None:
                agreements.append(np.array_equal(condensed, layers(image, kernel)))
            if photograph.name == "camera":
                arrays |= _condensed_close_up(name, image, filtered, detected, condensed)
    factors = [factor for factor, _ in rises]
    rows = [
        [
            Panel(array="photograph", title="photograph"),
            Panel(array=f"{name}_filtered", title=f"filter: {name} kernel", scale="signed"),
            Panel(array=f"{name}_detected", title="detect: ReLU", scale="strength"),
            Panel(array=f"{name}_condensed", title="condense: max pooling", scale="strength"),
        ]
        for name in KERNELS
    ]
    figure = Images(
        title="Filter, detect, condense",
        rows=tuple(map(tuple, rows)),
        caption="128×128 pixels of the photograph; the condensed map has 64×64. Filters come from the tutorial: 8 amid −1s, and emboss.",
    )
    same = "and its own layers give the same maps, element by element" if layers else "it has no layers of its own to compare"
    if not all(agreements):
        same = f"but {agreements.count(False)} of {len(agreements)} maps differ from NumPy's convolution or from its own layers"
    return Outcome(
        holds=all(rose for _, rose in rises) and all(agreements),
        sentence=(
            f"The share of active pixels rises in {sum(rose for _, rose in rises)} of {len(rises)} filtered photographs, "
            f"{min(factors):.2f} to {max(factors):.2f} times as high after pooling as before; {same}."
        ),
        numbers=numbers,
        album=Album(arrays=arrays, figures=(figure,)),
        sources=tuple(photographs),
    )


def _condensed_close_up(name: str, image: np.ndarray, filtered: np.ndarray, detected: np.ndarray, condensed: np.ndarray) -> dict[str, np.ndarray]:
    half = tuple(slice(part.start // 2, part.stop // 2) for part in CLOSE_UP)
    return {
        "photograph": image[0, 0][CLOSE_UP],
        f"{name}_filtered": filtered[0, 0][CLOSE_UP],
        f"{name}_detected": detected[0, 0][CLOSE_UP],
        f"{name}_condensed": condensed[0, 0][half],
    }


# --- repeated pooling ---------------------------------------------------------------------------

MERGE_CLAIM = "Two dots near each other merge under repeated max pooling 2×2, and two far apart stay apart: r poolings merge them just when they share a cell of 2^r pixels."
DEPTH = 4
NEVER = DEPTH + 1
DISTANCES = range(1, 25)
OFFSETS = range(2**DEPTH)
FIELD = 48
"""Room for the last offset and the longest distance, in whole cells of 2^DEPTH."""

SHOWN = {"one pixel apart, in one cell": ((20, 20), (20, 21)), "one pixel apart, across a cell's border": ((20, 15), (20, 16)), "20 pixels apart": ((20, 9), (20, 29))}


def pairs() -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of dots: every distance sideways, downwards and aslant, at every offset inside the largest cell."""
    return [
        ((top, left), (top + down * distance, left + right * distance))
        for down, right in ((0, 1), (1, 0), (1, 1))
        for distance in DISTANCES
        for left in OFFSETS
        for top in [(5 * left + 3) % 2**DEPTH]
    ]


def shared_cell(first: tuple[int, int], second: tuple[int, int], depth: int = DEPTH) -> int:
    """The smallest r up to `depth` for which two pixels lie in one 2^r×2^r cell, or depth + 1."""
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
    predicted = np.array([shared_cell(*pair) for pair in positions])
    table = merged[: len(DISTANCES) * len(OFFSETS)].reshape(len(DISTANCES), len(OFFSETS))
    arrays = {"depth": table, "distance": np.array(DISTANCES), "offset": np.array(OFFSETS)}
    rows = []
    for i, (title, pair) in enumerate(SHOWN.items()):
        start = dots([pair], FIELD)
        panels = []
        for r, image in enumerate([start, *steps.depths(start, MAX, DEPTH)]):
            arrays[f"pair{i}_{r}"] = image[0, 0]
            panels.append(Panel(array=f"pair{i}_{r}", title=title if r == 0 else f"{r} poolings" if r > 1 else "1 pooling", scale="strength"))
        rows.append(tuple(panels))
    near, far = table[0], table[np.array(DISTANCES) >= 2**DEPTH]
    figures = (
        Images(title="Two dots, pooled again and again", rows=tuple(rows)),
        Heatmap(
            title="When two dots merge",
            array="depth",
            x=Axis(label="position of the first dot in its 16-pixel cell", unit="pixels", array="offset"),
            y=Axis(label="distance", unit="pixels", array="distance"),
            value=Axis(label="poolings until one dot is left"),
            names={str(NEVER): f"not within {DEPTH}"},
            caption="Dots side by side. What decides is the cell that they share: some neighbours never merge.",
        ),
    )
    numbers = {
        f"distance {distance}: merged after {r} poolings": share(np.mean(table[distance - 1] <= r), "offsets")
        for distance in (1, 4, 8, 16)
        for r in range(1, DEPTH + 1)
    } | {"pairs as the shared cell says": {"value": int(np.sum(merged == predicted)), "unit": f"of {len(positions)} pairs"}}
    return Outcome(
        holds=bool(np.array_equal(merged, predicted)),
        sentence=(
            f"{np.sum(merged == predicted)} of {len(positions)} pairs merge at just the depth r at which they share a 2^r cell. Near is not enough: of dots one pixel apart "
            f"{np.mean(near == 1):.0%} merge at once and {np.mean(near == NEVER):.0%} not within {DEPTH} poolings, for a border runs between them; "
            f"from {2**DEPTH} pixels on, {np.sum(far != NEVER)} of {far.size} do."
        ),
        numbers=numbers,
        album=Album(arrays=arrays, figures=figures),
    )


# --- average beside max -------------------------------------------------------------------------

AVERAGE_CLAIM = (
    "Average pooling 2×2 keeps a photograph's mean exactly and gives up contrast and peaks; max pooling keeps the peak and brightens the photograph."
)
AVERAGED_DEPTH = 4
KINDS = {"average": AVERAGE, "max": MAX}
MEASURES = {"mean": np.mean, "contrast (standard deviation)": np.std, "brightest": np.max}


def average_beside_max(steps: Steps, options: Options) -> Outcome:
    """Pool photographs by average and by max, one to four times, and compare their gray levels."""
    methods, remark = steps.able(tuple(KINDS.values()))
    kinds = {name: method for name, method in KINDS.items() if method in methods}
    photographs = [PHOTOGRAPHS[name] for name in ("camera", "astronaut", "coffee")]
    arrays: dict[str, np.ndarray] = {"depth": np.arange(AVERAGED_DEPTH + 1)}
    numbers, verdicts = {}, []
    for photograph in photographs:
        image = _whole_cells(photograph)
        for name, method in kinds.items():
            maps = [image, *steps.depths(image, method, AVERAGED_DEPTH)]
            curves = {measure: np.array([how(each, dtype=np.float64) if how is not np.max else how(each) for each in maps], np.float64) for measure, how in MEASURES.items()}
            verdicts.append(_keeps(name, *curves.values()))
            steps.keep(f"{photograph.name}, {name}", maps[-1])
            for measure, curve in curves.items():
                for r in (0, 1, AVERAGED_DEPTH):
                    label = "photograph" if r == 0 else f"{name} pooled {r}×"
                    numbers[f"{photograph.name}: {measure}, {label}"] = {"value": float(curve[r]), "unit": "gray levels of 255"}
                if photograph.name == "camera":
                    arrays[f"{name}_{measure.split()[0]}"] = curve
            if photograph.name == "camera":
                for r, each in enumerate(maps):
                    arrays[f"{name}_{r}"] = each[0, 0][tuple(slice(part.start >> r, part.stop >> r) for part in CLOSE_UP)]
    rows = tuple(
        tuple(Panel(array=f"{name}_{r}", title="photograph" if r == 0 else f"{name} pooled {r}×") for r in range(AVERAGED_DEPTH + 1)) for name in kinds
    )
    figures = (
        Images(title="Average beside max", rows=rows, caption="The same 128×128 pixels, pooled 2×2 again and again."),
        Curves(
            title="What becomes of the cameraman's gray levels",
            x=Axis(label="poolings", array="depth"),
            y=Axis(label="gray level", unit="of 255", low=0, high=255),
            panels=tuple(
                Chart(title=measure, lines=tuple(Line(array=f"{name}_{measure.split()[0]}", title=name) for name in kinds)) for measure in MEASURES
            ),
        ),
    )
    camera = {kind: [numbers[f"camera: {measure}, {kind}"]["value"] for measure in MEASURES] for kind in ["photograph", *(f"{name} pooled {AVERAGED_DEPTH}×" for name in kinds)]}
    told = "; ".join(f"{kind}: mean {mean:.1f}, contrast {contrast:.1f}, brightest {peak:.0f}" for kind, (mean, contrast, peak) in camera.items())
    return Outcome(
        holds=all(verdicts) if len(kinds) == len(KINDS) or not all(verdicts) else None,
        sentence=f"In {sum(verdicts)} of {len(verdicts)} photographs and kinds it is so at every depth. Cameraman, in gray levels: {told}.{remark}",
        numbers=numbers,
        album=Album(arrays=arrays, figures=figures),
        sources=tuple(photographs),
    )


def _whole_cells(photograph: Photograph) -> np.ndarray:
    """A photograph without the rows and columns that do not fill a cell of the last depth."""
    image = photograph.gray()
    height, width = (size - size % 2**AVERAGED_DEPTH for size in image.shape[2:])
    return image[:, :, :height, :width]


def _keeps(name: str, mean: np.ndarray, contrast: np.ndarray, brightest: np.ndarray) -> bool:
    if name == "average":
        return bool((mean == mean[0]).all() and (np.diff(contrast) < 0).all() and (np.diff(brightest) <= 0).all() and brightest[-1] < brightest[0])
    return bool((np.diff(mean) > 0).all() and (brightest == brightest[0]).all())


# --- global average -----------------------------------------------------------------------------

SUMMARY_CLAIM = "Global average pooling turns eight 5×5 maps into eight numbers, 25 times fewer, each the mean of its map."
MAPS, SIDE, SEED = 8, 5, 0


def global_average(steps: Steps, options: Options) -> Outcome:
    """Summarise eight smooth random maps."""
    maps = smooth_maps(MAPS, SIDE, seed=SEED)
    means = steps.keep("means", steps.global_average(maps), parts=SIDE * SIDE)
    held = compare.compare(steps.case(PoolSpec(reduction=Average(), windows=Global()), maps), means[..., np.newaxis, np.newaxis])
    off = np.abs(held.actual - held.exact.value)
    fewer = maps.size / means.size
    panels = [Panel(array=f"map{i}", title=f"mean {mean:.1f}", scale="signed") for i, mean in enumerate(means[0].tolist())]
    figure = Images(
        title="Eight maps, eight numbers",
        rows=(tuple(panels[:4]), tuple(panels[4:])),
        caption="Noise with a decaying spectrum, as whole numbers in ±100. Each map's place in what follows is taken by its mean.",
    )
    arrays = {f"map{i}": each for i, each in enumerate(maps[0])} | {"means": means[0]}
    return Outcome(
        holds=not held.bad.any() and fewer == SIDE * SIDE,
        sentence=f"{maps.size} values become {means.size}, {fewer:.0f} times fewer; the largest distance from an exact mean is {off.max():.1e}, the largest that rounding may cause {held.bound.max():.1e}.",
        numbers={
            "values before": {"value": int(maps.size), "unit": "numbers"},
            "values after": {"value": int(means.size), "unit": "numbers"},
            "largest distance from the exact mean": {"value": float(off.max()), "unit": "of maps in ±100"},
        },
        album=Album(arrays=arrays, figures=(figure,)),
    )
