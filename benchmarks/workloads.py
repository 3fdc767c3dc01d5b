"""What is timed: one row a pooling layer of a real network, and a few families that scale one size.

A row says where it comes from. Shapes are (N, C, *spatial); kernels, strides and pads are given as
one int for every axis or a tuple. `python -m benchmarks --list` prints the table.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends import text
from backends.interface import Case, Layout, Output, dtype_named
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding

Sizes = int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One pooling that some network does, on inputs of one shape.

    `outputs` is what is usually asked of it: values for inference, gradient and indices where the
    layer matters for training. `families` are the words that it can be chosen by; `family` is what
    it is drawn with as a curve, at `position`, where only one size differs between its rows.
    """

    name: str
    network: str
    layer: str
    spec: PoolSpec
    shape: tuple[int, ...]
    source: str
    dtype: str = "float32"
    outputs: tuple[Output, ...] = ("values",)
    families: frozenset[str] = frozenset()
    family: str = ""
    position: int | None = None
    quick: bool = False

    def __post_init__(self) -> None:
        if not self.name or not set(self.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-."):
            raise ValueError(f"name={self.name!r}: expected lower-case letters, digits, '-' and '.'")
        if not self.source:
            raise ValueError(f"{self.name}: no source; a workload says which network has it, and where that is written")
        if len(self.shape) < 3 or min(self.shape) < 1:
            raise ValueError(f"{self.name}: shape={self.shape}: expected (N, C, *spatial), each at least 1")
        if "values" not in self.outputs or not set(self.outputs) <= set(self.valid_outputs):
            raise ValueError(f"{self.name}: outputs={self.outputs}: expected values, and others of {self.valid_outputs}")
        dtype_named(self.dtype)
        self.spec.check(self.shape[2:])

    @property
    def valid_outputs(self) -> tuple[Output, ...]:
        """Everything that can be asked of it: only max has indices."""
        return ("values", "indices", "gradient") if isinstance(self.spec.reduction, Max) else ("values", "gradient")

    @property
    def pooled_shape(self) -> tuple[int, ...]:
        """(N, C, *out): the shape of the pooled values."""
        return (*self.shape[:2], *self.spec.output_shape(self.shape[2:]))

    def case(self, layout: Layout = "channels_first", output: Output = "values") -> Case:
        """The question that is timed; its arrays are the same on every machine, and shared: copy before writing."""
        cotangent = _numbers(2, self.pooled_shape, self.dtype) if output == "gradient" else None
        return Case(self.spec, _numbers(1, self.shape, self.dtype), layout, output, cotangent)


@functools.lru_cache(maxsize=2)
def _numbers(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = text.generate("uniform", seed, shape, dtype)
    array.flags.writeable = False
    return array


# --- how rows are written: shapes without the batch, which is 1 -----------------------------------


def _network(network: str, source: str, families: str, *rows: Mapping[str, Any], ceil_mode: bool = False) -> tuple[Workload, ...]:
    """The workloads of one network; what all its rows share is written once."""
    workloads = []
    for row in rows:
        spec, shape = row["spec"], (1, *row["shape"])
        if ceil_mode:
            spec = replace(spec, windows=replace(spec.windows, ceil_mode=True))
        outputs: tuple[Output, ...] = ("values",)
        if row["train"]:
            outputs = ("values", "indices", "gradient") if isinstance(spec.reduction, Max) else ("values", "gradient")
        words = {spec.reduction.name, spec.windows.name, f"{len(shape) - 2}d", *families.split(), *["ceil"] * ceil_mode}
        workloads.append(
            Workload(
                name=row["name"], network=network, layer=row["layer"], spec=spec, shape=shape, source=source, outputs=outputs,
                families=frozenset(words), family=row.get("family", ""), position=row.get("position"), quick=row["quick"],
            )
        )  # fmt: skip
    return tuple(workloads)


def _pool(
    name: str, layer: str, shape: tuple[int, ...], reduction: Reduction, kernel: Sizes, stride: Sizes | None = None, pad: Sizes | str = 0,
    *, train: bool = False, quick: bool = False,
) -> dict[str, Any]:  # fmt: skip
    rank = len(shape) - 1
    kernel = _sizes(kernel, rank)
    padding = "valid" if not pad else pad if isinstance(pad, str) else tuple((p, p) for p in _sizes(pad, rank))
    windows = Sliding(kernel=kernel, stride=kernel if stride is None else _sizes(stride, rank), padding=padding)
    spec = PoolSpec(reduction=reduction, windows=windows)
    return {"name": name, "layer": layer, "shape": shape, "spec": spec, "train": train, "quick": quick}


def _head(
    name: str, layer: str, shape: tuple[int, ...], reduction: Reduction, bins: Sizes | None = None, *, train: bool = False, quick: bool = False
) -> dict[str, Any]:  # fmt: skip
    windows = Global() if bins is None else Adaptive(output_size=_sizes(bins, len(shape) - 1))
    spec = PoolSpec(reduction=reduction, windows=windows)
    return {"name": name, "layer": layer, "shape": shape, "spec": spec, "train": train, "quick": quick}


def _sizes(value: Sizes, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else value


MAX, AVERAGE, PADDED, L2 = Max(), Average(), Average(count_include_pad=True), Lp(p=2)

# --- layers of real networks --------------------------------------------------------------------

LAYERS: tuple[Workload, ...] = (
    *_network(
        "AlexNet", "torchvision/models/alexnet.py: nn.MaxPool2d(kernel_size=3, stride=2)", "body",
        _pool("alexnet-pool1", "pool 1", (64, 55, 55), MAX, 3, 2),
        _pool("alexnet-pool2", "pool 2", (192, 27, 27), MAX, 3, 2),
        _pool("alexnet-pool5", "pool 5", (256, 13, 13), MAX, 3, 2),
    ),
    *_network(
        "VGG-16", "torchvision/models/vgg.py, configuration D: nn.MaxPool2d(kernel_size=2, stride=2)", "body",
        _pool("vgg16-pool1", "pool 1", (64, 224, 224), MAX, 2, 2, train=True, quick=True),
        _pool("vgg16-pool2", "pool 2", (128, 112, 112), MAX, 2, 2),
        _pool("vgg16-pool3", "pool 3", (256, 56, 56), MAX, 2, 2, train=True),
        _pool("vgg16-pool4", "pool 4", (512, 28, 28), MAX, 2, 2),
        _pool("vgg16-pool5", "pool 5", (512, 14, 14), MAX, 2, 2),
    ),
    *_network(
        "VGG-16", "torchvision/models/vgg.py: nn.AdaptiveAvgPool2d((7, 7))", "head",
        _head("vgg16-head-14", "head, image of 448", (512, 14, 14), AVERAGE, 7, train=True, quick=True),
        _head("vgg16-head-15", "head, image of 480: bins overlap", (512, 15, 15), AVERAGE, 7),
    ),
    *_network(
        "ResNet-50", "torchvision/models/resnet.py: nn.MaxPool2d(kernel_size=3, stride=2, padding=1); densenet.py has the same for DenseNet-121", "stem",
        _pool("resnet50-stem", "stem, DenseNet-121's too", (64, 112, 112), MAX, 3, 2, 1, train=True, quick=True),
    ),
    *_network(
        "ResNet-50", "keras/applications/resnet.py: GlobalAveragePooling2D()", "head",
        _head("resnet50-head", "head", (2048, 7, 7), AVERAGE, train=True, quick=True),
    ),
    *_network(
        "ResNet-50", "torchvision/models/resnet.py: nn.AdaptiveAvgPool2d((1, 1))", "head",
        _head("resnet50-head-adaptive", "head", (2048, 7, 7), AVERAGE, 1),
    ),
    *_network(
        "Inception-v3", "torchvision/models/inception.py: max_pool2d(kernel_size=3, stride=2)", "body",
        _pool("inception3-stem1", "maxpool1", (64, 147, 147), MAX, 3, 2),
        _pool("inception3-stem2", "maxpool2", (192, 71, 71), MAX, 3, 2),
        _pool("inception3-mixed6a", "reduction Mixed_6a", (288, 35, 35), MAX, 3, 2),
        _pool("inception3-mixed7a", "reduction Mixed_7a", (768, 17, 17), MAX, 3, 2),
    ),
    *_network(
        "Inception-v3", "torchvision/models/inception.py: F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)", "branch",
        _pool("inception3-mixed5b", "branch of Mixed_5b", (192, 35, 35), PADDED, 3, 1, 1, train=True),
        _pool("inception3-mixed5c", "branch of Mixed_5c", (256, 35, 35), PADDED, 3, 1, 1),
        _pool("inception3-mixed5d", "branch of Mixed_5d", (288, 35, 35), PADDED, 3, 1, 1),
        _pool("inception3-mixed6b", "branch of Mixed_6b to 6e", (768, 17, 17), PADDED, 3, 1, 1),
        _pool("inception3-mixed7b", "branch of Mixed_7b", (1280, 8, 8), PADDED, 3, 1, 1),
        _pool("inception3-mixed7c", "branch of Mixed_7c", (2048, 8, 8), PADDED, 3, 1, 1),
    ),
    *_network(
        "Inception-v3 (Keras)", "keras/applications/inception_v3.py: AveragePooling2D((3, 3), strides=(1, 1), padding='same')", "branch",
        _pool("inception3-keras-mixed0", "branch of mixed0", (192, 35, 35), AVERAGE, 3, 1, "same_upper", train=True, quick=True),
        _pool("inception3-keras-mixed1", "branch of mixed1", (256, 35, 35), AVERAGE, 3, 1, "same_upper"),
        _pool("inception3-keras-mixed2", "branch of mixed2", (288, 35, 35), AVERAGE, 3, 1, "same_upper"),
        _pool("inception3-keras-mixed4", "branch of mixed4 to mixed7", (768, 17, 17), AVERAGE, 3, 1, "same_upper"),
        _pool("inception3-keras-mixed9", "branch of mixed9_0", (1280, 8, 8), AVERAGE, 3, 1, "same_upper"),
        _pool("inception3-keras-mixed10", "branch of mixed10", (2048, 8, 8), AVERAGE, 3, 1, "same_upper"),
    ),
    *_network(
        "GoogLeNet", "torchvision/models/googlenet.py: nn.MaxPool2d(3, stride=2, ceil_mode=True)", "body",
        _pool("googlenet-pool1", "maxpool1", (64, 112, 112), MAX, 3, 2, train=True, quick=True),
        _pool("googlenet-pool2", "maxpool2", (192, 56, 56), MAX, 3, 2),
        _pool("googlenet-pool3", "maxpool3", (480, 28, 28), MAX, 3, 2),
        ceil_mode=True,
    ),
    *_network(
        "GoogLeNet", "torchvision/models/googlenet.py: nn.MaxPool2d(2, stride=2, ceil_mode=True)", "body",
        _pool("googlenet-pool4", "maxpool4", (832, 14, 14), MAX, 2, 2),
        ceil_mode=True,
    ),
    *_network(
        "GoogLeNet", "torchvision/models/googlenet.py: nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True)", "branch",
        _pool("googlenet-inception3a", "branch of inception3a", (192, 28, 28), MAX, 3, 1, 1),
        _pool("googlenet-inception4b", "branch of inception4b to 4d", (512, 14, 14), MAX, 3, 1, 1),
        _pool("googlenet-inception5a", "branch of inception5a and 5b", (832, 7, 7), MAX, 3, 1, 1),
        ceil_mode=True,
    ),
    *_network(
        "DenseNet-121", "torchvision/models/densenet.py: nn.AvgPool2d(kernel_size=2, stride=2)", "body",
        _pool("densenet121-transition1", "transition 1", (128, 56, 56), AVERAGE, 2, 2, train=True, quick=True),
        _pool("densenet121-transition2", "transition 2", (256, 28, 28), AVERAGE, 2, 2),
        _pool("densenet121-transition3", "transition 3", (512, 14, 14), AVERAGE, 2, 2),
    ),
    *_network(
        "SqueezeNet 1.1", "torchvision/models/squeezenet.py, version 1_1: nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)", "body",
        _pool("squeezenet-pool1", "pool 1", (64, 111, 111), MAX, 3, 2),
        _pool("squeezenet-pool3", "pool 3", (128, 55, 55), MAX, 3, 2),
        _pool("squeezenet-pool5", "pool 5", (256, 27, 27), MAX, 3, 2),
        ceil_mode=True,
    ),
    *_network(
        "ShuffleNet-v2", "torchvision/models/shufflenetv2.py: nn.MaxPool2d(kernel_size=3, stride=2, padding=1)", "stem",
        _pool("shufflenet2-stem", "stem", (24, 112, 112), MAX, 3, 2, 1),
    ),
    *_network(
        "MaxViT-T", "torchvision/models/maxvit.py: nn.AvgPool2d(kernel_size=3, stride=2, padding=1)", "body",
        _pool("maxvit-down1", "down 1", (64, 112, 112), PADDED, 3, 2, 1),
        _pool("maxvit-down3", "down 3", (128, 28, 28), PADDED, 3, 2, 1),
        _pool("maxvit-down4", "down 4", (256, 14, 14), PADDED, 3, 2, 1),
    ),
    *_network(
        "MobileNet-v2", "keras/applications/mobilenet_v2.py: GlobalAveragePooling2D()", "head",
        _head("mobilenet2-head", "head", (1280, 7, 7), AVERAGE),
    ),
    *_network(
        "EfficientNet-B0", "keras/applications/efficientnet.py: GlobalAveragePooling2D(), the squeeze of each block", "head",
        _head("efficientnet-se2", "squeeze of block 2a", (96, 56, 56), AVERAGE),
        _head("efficientnet-se7", "squeeze of block 7a", (1152, 7, 7), AVERAGE),
    ),
    *_network(
        "PointNet", "Qi et al. 2017, PointNet, figure 2: max pool over n points of 1024 features", "head",
        _head("pointnet-global", "symmetric function over 2048 points", (1024, 2048), MAX),
    ),
    *_network(
        "YOLOv3-SPP", "ultralytics/yolov3, models/yolov3-spp.yaml: SPP with nn.MaxPool2d(k, stride=1, padding=k // 2) for k in 5, 9, 13", "spp",
        _pool("yolov3-spp5", "window 5, image of 416", (512, 13, 13), MAX, 5, 1, 2),
        _pool("yolov3-spp9", "window 9, image of 416", (512, 13, 13), MAX, 9, 1, 4),
        _pool("yolov3-spp13", "window 13, image of 416", (512, 13, 13), MAX, 13, 1, 6, train=True, quick=True),
        _pool("yolov3-spp5-608", "window 5, image of 608", (512, 19, 19), MAX, 5, 1, 2),
        _pool("yolov3-spp9-608", "window 9, image of 608", (512, 19, 19), MAX, 9, 1, 4),
        _pool("yolov3-spp13-608", "window 13, image of 608", (512, 19, 19), MAX, 13, 1, 6),
    ),
    *_network(
        "YOLOv5", "ultralytics/yolov5, models/common.py: SPPF, nn.MaxPool2d(kernel_size=5, stride=1, padding=2), three in a row", "spp",
        _pool("yolov5-sppf", "SPPF, one of its three", (256, 20, 20), MAX, 5, 1, 2),
    ),
    *_network(
        "YOLOv3-tiny", "pjreddie/darknet, cfg/yolov3-tiny.cfg: [maxpool] size=2 stride=1, padded on the right and at the bottom", "asymmetric",
        _pool("yolov3-tiny-pool6", "pool 6", (512, 13, 13), MAX, 2, 1, "same_upper"),
    ),
    *_network(
        "U-Net", "Ronneberger, Fischer and Brox 2015, U-Net, figure 1: 2×2 max pooling with stride 2", "body",
        _pool("unet-down1", "down 1", (64, 568, 568), MAX, 2, 2),
        _pool("unet-down2", "down 2", (128, 280, 280), MAX, 2, 2),
        _pool("unet-down3", "down 3", (256, 136, 136), MAX, 2, 2),
        _pool("unet-down4", "down 4", (512, 64, 64), MAX, 2, 2),
    ),
    *_network(
        "C3D", "Tran et al. 2015, Learning Spatiotemporal Features with 3D Convolutional Networks, figure 3", "video",
        _pool("c3d-pool1", "pool 1", (64, 16, 112, 112), MAX, (1, 2, 2)),
        _pool("c3d-pool2", "pool 2", (128, 16, 56, 56), MAX, 2, 2),
        _pool("c3d-pool3", "pool 3", (256, 8, 28, 28), MAX, 2, 2, train=True, quick=True),
        _pool("c3d-pool4", "pool 4", (512, 4, 14, 14), MAX, 2, 2),
        _pool("c3d-pool5", "pool 5", (512, 2, 7, 7), MAX, 2, 2, (0, 1, 1)),
    ),
    *_network(
        "I3D-ResNet-50", "oneDNN, benchdnn: pooling shapes of I3D-ResNet-50", "video",
        _pool("i3d-stem", "stem", (64, 16, 112, 112), MAX, (1, 3, 3), 2, (0, 1, 1)),
    ),
    *_network(
        "S3D", "torchvision/models/video/s3d.py: nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))", "video",
        _pool("s3d-pool1", "pool 1", (64, 8, 112, 112), MAX, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
        _pool("s3d-pool2", "pool 2", (192, 8, 56, 56), MAX, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ),
    *_network(
        "3-D U-Net", "Çiçek et al. 2016, 3D U-Net, figure 2; sizes as oneDNN's benchdnn times them (pool_3d_unet)", "volume",
        _pool("unet3d-down1", "down 1", (64, 64, 64, 64), MAX, 2, 2),
        _pool("unet3d-down2", "down 2", (128, 28, 28, 28), MAX, 2, 2),
        _pool("unet3d-down3", "down 3", (256, 12, 12, 12), MAX, 2, 2),
    ),
    *_network(
        "R3D-18", "torchvision/models/video/resnet.py: nn.AdaptiveAvgPool3d((1, 1, 1))", "head video",
        _head("r3d18-head", "head", (512, 2, 7, 7), AVERAGE),
    ),
    *_network(
        "M5 of PyTorch's tutorial", "pytorch/tutorials, speech_command_classification_with_torchaudio_tutorial.py: M5(stride=16), nn.MaxPool1d(4), 8 kHz", "audio",
        _pool("m5-pool1", "pool 1, 32 filters, 8000 samples", (32, 496), MAX, 4, 4),
        _pool("m5-pool2", "pool 2, 32 filters, 8000 samples", (32, 122), MAX, 4, 4),
        _pool("m5-pool3", "pool 3, 64 filters, 8000 samples", (64, 28), MAX, 4, 4),
    ),
    *_network(
        "M5", "Dai et al. 2016, Very Deep Convolutional Neural Networks for Raw Waveforms, table 1: M5, [80/4, 128]; a quarter of its samples, unpadded", "audio",
        _pool("m5-wide-pool1", "pool 1, 128 filters, 8000 samples", (128, 1981), MAX, 4, 4, train=True, quick=True),
    ),
    *_network(
        "OpenFace nn2", "cmusatyalab/openface, models/openface/nn2.def.lua: nn.SpatialLPPooling(channels, 2, 3, 3), after FaceNet", "branch",
        _pool("openface-l2-3b", "L2 pooling of inception 3b", (256, 28, 28), L2, 3, 3, train=True),
        _pool("openface-l2-4a", "L2 pooling of inception 4a to 4d", (640, 14, 14), L2, 3, 3),
    ),
)  # fmt: skip

_BY_NAME = {workload.name: workload for workload in LAYERS}


def _batch(of: Workload, n: int) -> Workload:
    families = of.families | {"batch"}
    return replace(of, name=f"{of.name}-n{n}", shape=(n, *of.shape[1:]), layer=f"{of.layer}; batch of {n}", families=families, quick=False)


def _half(of: Workload, dtype: str, short: str) -> Workload:
    families = of.families | {"half"}
    return replace(of, name=f"{of.name}-{short}", dtype=dtype, layer=f"{of.layer}; {dtype}", families=families, quick=False)


BATCHES = tuple(
    _batch(_BY_NAME[name], n)
    for name, n in (
        ("resnet50-stem", 8), ("vgg16-pool2", 8), ("inception3-mixed5b", 8), ("inception3-keras-mixed0", 8), ("googlenet-inception3a", 8),
        ("densenet121-transition1", 8), ("vgg16-head-14", 32), ("resnet50-head", 32), ("yolov3-spp13", 8), ("c3d-pool3", 8), ("m5-wide-pool1", 32),
        ("openface-l2-3b", 8),
    )
)  # fmt: skip
HALVES = tuple(
    _half(_BY_NAME[name], dtype, short)
    for name in ("resnet50-stem", "vgg16-pool3", "densenet121-transition1", "resnet50-head")
    for dtype, short in (("float16", "f16"), ("bfloat16", "bf16"))
)

# --- families: one size grows, everything else stays --------------------------------------------

WINDOWS = _network(
    "scaling of the window", "generated: stride 1, always 64×64 windows", "scaling window",
    *(
        {
            **_pool(f"window-{reduction.name}-{k:02}", f"{reduction.name}, window of {k}×{k}", (32, 63 + k, 63 + k), reduction, k, 1),
            "family": f"{reduction.name} by window", "position": k,
        }
        for reduction in (MAX, AVERAGE)
        for k in (2, 3, 4, 5, 7, 9, 13, 17, 25, 33)
    ),
)  # fmt: skip
SIDES = _network(
    "scaling of the image", "generated: window 3, stride 2, padding 1", "scaling side",
    *(
        {
            **_pool(f"side-{side:04}", f"image of {side}×{side}", (16, side, side), MAX, 3, 2, 1),
            "family": "max by image side", "position": side,
        }
        for side in (32, 64, 128, 256, 512, 1024)
    ),
)  # fmt: skip
_ONE = _network("scaling of the batch", "generated: window 2, stride 2", "scaling samples", _pool("batch", "", (64, 56, 56), MAX, 2, 2))
SAMPLES = tuple(
    replace(_ONE[0], name=f"batch-{n:02}", layer=f"batch of {n}", shape=(n, *_ONE[0].shape[1:]), family="max by batch", position=n)
    for n in (1, 2, 4, 8, 16, 32, 64)
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in (*LAYERS, *BATCHES, *HALVES, *WINDOWS, *SIDES, *SAMPLES)}
QUICK = tuple(workload for workload in WORKLOADS.values() if workload.quick)


# --- what a pooling costs -----------------------------------------------------------------------


def bytes_moved(case: Case, *, beside: bool = False) -> int:
    """The bytes that must move, whatever the algorithm: each input element that a window reads once, each output element once.

    For "gradient" the inputs are the cotangent and x, but of an average, whose gradient does not depend on it; the output
    has x's shape. Indices are int64; `beside` says that the values are written with them.
    """
    x, pooled = case.x, math.prod(case.pooled_shape)
    read = x.itemsize * math.prod(x.shape[:2]) * math.prod(_elements_read(case, axis) for axis in range(len(case.spatial)))
    if case.cotangent is not None:
        return (0 if isinstance(case.spec.reduction, Average) else read) + case.cotangent.nbytes + x.nbytes
    indices = 8 * pooled if case.output == "indices" else 0
    return read + indices + (x.itemsize * pooled if beside or not indices else 0)


def _elements_read(case: Case, axis: int) -> int:
    return len(set().union(*(window.taps for window in case.spec.windows.along(axis, case.spatial[axis]))))


def taps(case: Case) -> int:
    """How many input elements the windows read, counted as often as they are read."""
    sizes = (sum(len(w.taps) for w in case.spec.windows.along(axis, size)) for axis, size in enumerate(case.spatial))
    return case.x.shape[0] * case.x.shape[1] * math.prod(sizes)
