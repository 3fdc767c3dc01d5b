"""One pooling, said in each framework: the porting table's rows, as data.

Each `code` sets `y` from `x`, in the framework's own order of axes: `(N, C, H, W)`, but `(N, H, W, C)`
in TensorFlow. `properties/porting.py` runs it before it is printed, so what stands here is what was run.
`own` are the frameworks that say it in one call; the others need the steps that are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from backends.interface import Output
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Reduction, Sliding, Windows

FRAMEWORKS = {
    "torch": "import math, torch, torch.nn.functional as F",
    "tensorflow": "import tensorflow as tf",
    "jax": "import math, jax, jax.numpy as jnp",
    "onnx": "",
}
"""What a reader imports first."""

SAME = """\
def same(n, k, s):  # the odd one after
    total = max(0, (-(-n // s) - 1) * s + k - n)
    return total // 2, total - total // 2
"""
OVERHANG = """\
def overhang(n, k, s, p):  # what ceil mode reads past the padding
    last = (n + 2 * p - k + s - 1) // s
    last -= last * s >= n + p  # a window that would start in the padding is dropped
    return max(0, last * s + k - n - 2 * p)
"""
BINS = "def bins(n, o):\n    return [(i * n // o, -(-(i + 1) * n // o)) for i in range(o)]\n"
LOWER = SAME.replace("after", "before").replace("total // 2, total - total // 2", "total - total // 2, total // 2")
EXACT = (
    "def sums(t):  # avg_pool2d would round the counts: a convolution with ones adds them exactly\n"
    "    ones = tf.eye(t.shape[3], batch_shape=[3, 3])\n"
    '    return tf.nn.conv2d(tf.pad(t, past), ones, 2, "VALID")\n'
)
CODE = """\
def sums(x, window, strides, pads):
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 1, *window), (1, 1, *strides), ((0, 0), (0, 0), *pads))
"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One pooling, and how each framework says it. `shapes` are the inputs it is tried on, `(N, C, *spatial)`."""

    name: str
    title: str
    reduction: Reduction
    windows: Windows
    code: Mapping[str, str]
    own: frozenset[str]
    output: Output = "values"
    notes: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ((2, 3, 7, 8), (1, 2, 6, 5), (1, 1, 9, 9))

    @property
    def spec(self) -> PoolSpec:
        """The pooling in the suite's vocabulary."""
        return PoolSpec(reduction=self.reduction, windows=self.windows)


def _way(name: str, title: str, reduction: Reduction, windows: Windows, own: str, code: dict[str, str], **more: object) -> Way:
    return Way(name=name, title=title, reduction=reduction, windows=windows, own=frozenset(own.split()), code=code, **more)  # type: ignore[arg-type]


WAYS = (
    _way(
        "max-same",
        "Max, 3×3, stride 2, SAME: as many outputs as strides, the odd pad after",
        Max(), Sliding(kernel=(3, 3), stride=(2, 2), padding="same_upper"), "tensorflow jax onnx",
        {
            "tensorflow": 'y = tf.nn.max_pool2d(x, 3, 2, "SAME")',
            "torch": SAME + "(top, bottom), (left, right) = same(x.shape[2], 3, 2), same(x.shape[3], 3, 2)\n"
            "y = F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-math.inf), 3, 2)",
            "jax": 'y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), "SAME")',
            "onnx": 'y = MaxPool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")',
        },
        notes={"torch": "padding=1 is another pooling where a side is even: it pads before as well; and zeros would win over negatives."},
    ),
    _way(
        "max-same-lower",
        "Max, 3×3, stride 2, SAME_LOWER: the odd pad before",
        Max(), Sliding(kernel=(3, 3), stride=(2, 2), padding="same_lower"), "jax onnx",
        {
            "onnx": 'y = MaxPool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")',
            "jax": 'y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), "SAME_LOWER")',
            "torch": LOWER + "(top, bottom), (left, right) = same(x.shape[2], 3, 2), same(x.shape[3], 3, 2)\n"
            "y = F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-math.inf), 3, 2)",
            "tensorflow": LOWER + "y = tf.nn.max_pool2d(x, 3, 2, [[0, 0], same(x.shape[1], 3, 2), same(x.shape[2], 3, 2), [0, 0]])",
        },
    ),
    _way(
        "max-padding",
        "Max, 3×3, stride 2, one pad on every side (ResNet's stem)",
        Max(), Sliding(kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1))), "torch tensorflow jax onnx",
        {
            "torch": "y = F.max_pool2d(x, 3, 2, padding=1)",
            "tensorflow": "y = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])",
            "jax": "y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))",
            "onnx": "y = MaxPool(x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])",
        },
        notes={"tensorflow": 'Not "SAME", which pads an even side after alone. Keras pads with −inf by hand, then "valid".'},
    ),
    _way(
        "max-ceil",
        "Max, 3×3, stride 2, ceil mode (GoogLeNet, SqueezeNet)",
        Max(), Sliding(kernel=(3, 3), stride=(2, 2), ceil_mode=True), "torch onnx",
        {
            "torch": "y = F.max_pool2d(x, 3, 2, ceil_mode=True)",
            "tensorflow": OVERHANG + "down, right = overhang(x.shape[1], 3, 2, 0), overhang(x.shape[2], 3, 2, 0)\n"
            "y = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [0, down], [0, right], [0, 0]])",
            "jax": OVERHANG + "pads = ((0, 0), (0, 0), (0, overhang(x.shape[2], 3, 2, 0)), (0, overhang(x.shape[3], 3, 2, 0)))\n"
            "y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 2, 2), pads)",
            "onnx": "y = MaxPool(x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)",
        },
    ),
    _way(
        "max-dilated",
        "Max, 3×3, stride 1, dilation 2",
        Max(), Sliding(kernel=(3, 3), stride=(1, 1), dilation=(2, 2)), "torch tensorflow jax onnx",
        {
            "torch": "y = F.max_pool2d(x, 3, 1, dilation=2)",
            "tensorflow": 'y = tf.nn.pool(x, [3, 3], "MAX", strides=[1, 1], padding="VALID", dilations=[2, 2])',
            "jax": 'y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 3, 3), (1, 1, 1, 1), "VALID", window_dilation=(1, 1, 2, 2))',
            "onnx": "y = MaxPool(x, kernel_shape=[3, 3], strides=[1, 1], dilations=[2, 2])",
        },
        notes={"tensorflow": "With dilations, tf.nn.pool takes stride 1 only."},
    ),
    _way(
        "max-indices",
        "Where the maxima of 2×2 windows are: flat places in a channel of H·W",
        Max(), Sliding(kernel=(2, 2)), "torch onnx",
        {
            "torch": "y = F.max_pool2d(x, 2, return_indices=True)[1]",
            "tensorflow": 'y = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")[1] // x.shape[3]',
            "jax": "n, c, h, w = x.shape\n"
            "windows = x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)\n"
            "tap = jnp.argmax(windows, -1)\n"
            "rows, columns = 2 * jnp.arange(h // 2)[:, None] + tap // 2, 2 * jnp.arange(w // 2) + tap % 2\n"
            "y = rows * w + columns",
            "onnx": "_, y = MaxPool(x, kernel_shape=[2, 2], strides=[2, 2], outputs=2)\n"
            "n, c, h, w = x.shape\n"
            "y = Mod(y, np.int64(h * w))",
        },
        output="indices",
        notes={
            "tensorflow": "TensorFlow counts the channels in, (row · W + column) · C + channel: divide by C.",
            "onnx": "ONNX counts the whole tensor through: take the rest by H·W.",
        },
    ),
    _way(
        "average-same",
        "Average, 3×3, stride 2, SAME: padding is not counted",
        Average(), Sliding(kernel=(3, 3), stride=(2, 2), padding="same_upper"), "tensorflow onnx",
        {
            "tensorflow": 'y = tf.nn.avg_pool2d(x, 3, 2, "SAME")',
            "onnx": 'y = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")',
            "torch": SAME + "(top, bottom), (left, right) = same(x.shape[2], 3, 2), same(x.shape[3], 3, 2)\n"
            "def sums(t):\n    return F.avg_pool2d(F.pad(t, (left, right, top, bottom)), 3, 2, divisor_override=1)\n"
            "y = sums(x) / sums(torch.ones_like(x[:1, :1]))",
            "jax": CODE + 'pads = jax.lax.padtype_to_pads(x.shape[2:], (3, 3), (2, 2), "SAME")\n'
            "y = sums(x, (3, 3), (2, 2), pads) / sums(jnp.ones_like(x[:1, :1]), (3, 3), (2, 2), pads)",
        },
        notes={"torch": "avg_pool2d of a padded tensor counts the padding; its own padding, with count_include_pad=False, is the same on both sides."},
    ),
    _way(
        "average-padding-counted",
        "Average, 3×3, stride 1, one pad on every side, padding counted (PyTorch's default)",
        Average(count_include_pad=True), Sliding(kernel=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1))), "torch onnx",
        {
            "torch": "y = F.avg_pool2d(x, 3, 1, padding=1)",
            "tensorflow": 'y = tf.nn.avg_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 1, "VALID")',
            "jax": CODE + "y = sums(x, (3, 3), (1, 1), ((1, 1), (1, 1))) / 9",
            "onnx": "y = AveragePool(x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1)",
        },
        notes={"onnx": "count_include_pad is 0 unless said, the other way round than PyTorch."},
    ),
    _way(
        "average-padding",
        "Average, 3×3, stride 1, one pad on every side, padding not counted (Keras, Inception)",
        Average(), Sliding(kernel=(3, 3), stride=(1, 1), padding=((1, 1), (1, 1))), "torch tensorflow onnx",
        {
            "torch": "y = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)",
            "tensorflow": 'y = tf.nn.avg_pool2d(x, 3, 1, "SAME")',
            "jax": CODE + "pads = ((1, 1), (1, 1))\ny = sums(x, (3, 3), (1, 1), pads) / sums(jnp.ones_like(x[:1, :1]), (3, 3), (1, 1), pads)",
            "onnx": "y = AveragePool(x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])",
        },
        notes={"tensorflow": 'At stride 1 and an odd window, "SAME" is one pad on every side.'},
    ),
    _way(
        "average-ceil-counted",
        "Average, 3×3, stride 2, one pad on every side, ceil mode, padding counted but not the overhang",
        Average(count_include_pad=True), Sliding(kernel=(3, 3), stride=(2, 2), padding=((1, 1), (1, 1)), ceil_mode=True), "torch onnx",
        {
            "torch": "y = F.avg_pool2d(x, 3, 2, padding=1, ceil_mode=True)",
            "onnx": "y = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1)",
            "jax": CODE + OVERHANG + "beyond = [(0, overhang(n, 3, 2, 1)) for n in x.shape[2:]]\n"
            "padded = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))\n"
            "y = sums(padded, (3, 3), (2, 2), beyond) / sums(jnp.ones_like(padded[:1, :1]), (3, 3), (2, 2), beyond)",
            "tensorflow": OVERHANG + "down, right = overhang(x.shape[1], 3, 2, 1), overhang(x.shape[2], 3, 2, 1)\n"
            "def sums(t):\n"
            "    past = [[0, 0], [0, down], [0, right], [0, 0]]\n"
            "    ones = tf.eye(t.shape[3], batch_shape=[3, 3])\n"
            '    return tf.nn.conv2d(tf.pad(t, past), ones, 2, "VALID")\n'
            "padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])\n"
            "y = sums(padded) / sums(tf.ones_like(padded[:1, ..., :1]))",
        },
        notes={"tensorflow": "avg_pool2d would round the counts: a convolution with ones adds them exactly."},
    ),
    _way(
        "average-divisor",
        "Average, 2×2, over a divisor of one's own",
        Average(divisor=3), Sliding(kernel=(2, 2)), "torch",
        {
            "torch": "y = F.avg_pool2d(x, 2, divisor_override=3)",
            "tensorflow": 'y = tf.nn.avg_pool2d(x, 2, 2, "VALID") * 4 / 3',
            "jax": CODE + "y = sums(x, (2, 2), (2, 2), ((0, 0), (0, 0))) / 3",
            "onnx": "y = Div(Mul(AveragePool(x, kernel_shape=[2, 2], strides=[2, 2]), np.float32(4)), np.float32(3))",
        },
        notes={"tensorflow": "Exact up to one rounding, since 4 is a power of two; for other windows add with a convolution of ones."},
    ),
    _way(
        "average-adaptive",
        "Adaptive average to 2×3, whatever the sides",
        Average(), Adaptive(output_size=(2, 3)), "torch",
        {
            "torch": "y = F.adaptive_avg_pool2d(x, (2, 3))",
            "tensorflow": BINS + "y = tf.stack([tf.stack([tf.reduce_mean(x[:, a:b, c:d], [1, 2]) for c, d in bins(x.shape[2], 3)], 1) for a, b in bins(x.shape[1], 2)], 1)",
            "jax": BINS + "y = jnp.stack([jnp.stack([x[:, :, a:b, c:d].mean((2, 3)) for c, d in bins(x.shape[3], 3)], 2) for a, b in bins(x.shape[2], 2)], 2)",
            "onnx": BINS + "y = np.concatenate([np.concatenate([GlobalAveragePool(x[:, :, a:b, c:d]) for c, d in bins(x.shape[3], 3)], 3) for a, b in bins(x.shape[2], 2)], 2)",
        },
        notes={"onnx": "No operator: one slice and one GlobalAveragePool a bin, joined by Concat. Where the size divides the side it is AveragePool."},
    ),
    _way(
        "average-global",
        "Global average",
        Average(), Global(), "torch tensorflow jax onnx",
        {
            "torch": "y = F.adaptive_avg_pool2d(x, 1)",
            "tensorflow": "y = tf.reduce_mean(x, [1, 2], keepdims=True)",
            "jax": "y = x.mean((2, 3), keepdims=True)",
            "onnx": "y = GlobalAveragePool(x)",
        },
    ),
    _way(
        "average-same-lower",
        "Average, 3×3, stride 2, SAME_LOWER: the odd pad before, padding is not counted",
        Average(), Sliding(kernel=(3, 3), stride=(2, 2), padding="same_lower"), "onnx",
        {
            "onnx": 'y = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")',
            "torch": LOWER + "(top, bottom), (left, right) = same(x.shape[2], 3, 2), same(x.shape[3], 3, 2)\n"
            "def sums(t):\n    return F.avg_pool2d(F.pad(t, (left, right, top, bottom)), 3, 2, divisor_override=1)\n"
            "y = sums(x) / sums(torch.ones_like(x[:1, :1]))",
            "jax": CODE + 'pads = jax.lax.padtype_to_pads(x.shape[2:], (3, 3), (2, 2), "SAME_LOWER")\n'
            "y = sums(x, (3, 3), (2, 2), pads) / sums(jnp.ones_like(x[:1, :1]), (3, 3), (2, 2), pads)",
            "tensorflow": LOWER + "past = [[0, 0], same(x.shape[1], 3, 2), same(x.shape[2], 3, 2), [0, 0]]\n"
            + EXACT + "y = sums(x) / sums(tf.ones_like(x[:1, ..., :1]))",
        },
    ),
    _way(
        "average-ceil",
        "Average, 3×3, stride 2, ceil mode: what overhangs is not counted",
        Average(), Sliding(kernel=(3, 3), stride=(2, 2), ceil_mode=True), "torch onnx",
        {
            "torch": "y = F.avg_pool2d(x, 3, 2, ceil_mode=True)",
            "onnx": "y = AveragePool(x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)",
            "jax": CODE + OVERHANG + "beyond = [(0, overhang(n, 3, 2, 0)) for n in x.shape[2:]]\n"
            "y = sums(x, (3, 3), (2, 2), beyond) / sums(jnp.ones_like(x[:1, :1]), (3, 3), (2, 2), beyond)",
            "tensorflow": OVERHANG + "past = [[0, 0], [0, overhang(x.shape[1], 3, 2, 0)], [0, overhang(x.shape[2], 3, 2, 0)], [0, 0]]\n"
            + EXACT + "y = sums(x) / sums(tf.ones_like(x[:1, ..., :1]))",
        },
    ),
    _way(
        "max-adaptive",
        "Adaptive max to 2×3, whatever the sides",
        Max(), Adaptive(output_size=(2, 3)), "torch",
        {
            "torch": "y = F.adaptive_max_pool2d(x, (2, 3))",
            "tensorflow": BINS
            + "y = tf.stack([tf.stack([tf.reduce_max(x[:, a:b, c:d], [1, 2]) for c, d in bins(x.shape[2], 3)], 1) for a, b in bins(x.shape[1], 2)], 1)",
            "jax": BINS + "y = jnp.stack([jnp.stack([x[:, :, a:b, c:d].max((2, 3)) for c, d in bins(x.shape[3], 3)], 2) for a, b in bins(x.shape[2], 2)], 2)",
            "onnx": BINS
            + "y = np.concatenate([np.concatenate([GlobalMaxPool(x[:, :, a:b, c:d]) for c, d in bins(x.shape[3], 3)], 3) for a, b in bins(x.shape[2], 2)], 2)",
        },
        notes={"onnx": "No operator: one slice and one GlobalMaxPool a bin, joined by Concat."},
    ),
    _way(
        "max-global",
        "Global max",
        Max(), Global(), "torch tensorflow jax onnx",
        {
            "torch": "y = F.adaptive_max_pool2d(x, 1)",
            "tensorflow": "y = tf.reduce_max(x, [1, 2], keepdims=True)",
            "jax": "y = x.max((2, 3), keepdims=True)",
            "onnx": "y = GlobalMaxPool(x)",
        },
    ),
    _way(
        "max-1d-same",
        "Max, 1-D, window 4, stride 2, SAME (audio)",
        Max(), Sliding(kernel=(4,), stride=(2,), padding="same_upper"), "tensorflow jax onnx",
        {
            "tensorflow": 'y = tf.nn.max_pool1d(x, 4, 2, "SAME")',
            "torch": SAME + "y = F.max_pool1d(F.pad(x, same(x.shape[2], 4, 2), value=-math.inf), 4, 2)",
            "jax": 'y = jax.lax.reduce_window(x, -math.inf, jax.lax.max, (1, 1, 4), (1, 1, 2), "SAME")',
            "onnx": 'y = MaxPool(x, kernel_shape=[4], strides=[2], auto_pad="SAME_UPPER")',
        },
        shapes=((2, 3, 9), (1, 2, 8), (1, 1, 5)),
    ),
    _way(
        "average-3d-same",
        "Average, 3-D, 2×3×3, stride 2, SAME (video): padding is not counted",
        Average(), Sliding(kernel=(2, 3, 3), stride=(2, 2, 2), padding="same_upper"), "tensorflow onnx",
        {
            "tensorflow": 'y = tf.nn.avg_pool3d(x, [2, 3, 3], 2, "SAME")',
            "onnx": 'y = AveragePool(x, kernel_shape=[2, 3, 3], strides=[2, 2, 2], auto_pad="SAME_UPPER")',
            "torch": SAME + "pads = [same(n, k, 2) for n, k in zip(x.shape[2:], (2, 3, 3))]\n"
            "def sums(t):\n    return F.avg_pool3d(F.pad(t, (*pads[2], *pads[1], *pads[0])), (2, 3, 3), 2, divisor_override=1)\n"
            "y = sums(x) / sums(torch.ones_like(x[:1, :1]))",
            "jax": CODE + 'pads = jax.lax.padtype_to_pads(x.shape[2:], (2, 3, 3), (2, 2, 2), "SAME")\n'
            "y = sums(x, (2, 3, 3), (2, 2, 2), pads) / sums(jnp.ones_like(x[:1, :1]), (2, 3, 3), (2, 2, 2), pads)",
        },
        shapes=((2, 3, 4, 7, 8), (1, 2, 3, 6, 5), (1, 1, 1, 9, 9)),
    ),
    _way(
        "lp",
        "Lp, p = 2, 2×2: the root of the sum of squares",
        Lp(p=2), Sliding(kernel=(2, 2)), "torch onnx",
        {
            "torch": "y = F.lp_pool2d(x, 2, 2)",
            "tensorflow": 'y = 2 * tf.sqrt(tf.nn.avg_pool2d(tf.square(x), 2, 2, "VALID"))',
            "jax": CODE + "y = jnp.sqrt(sums(jnp.square(x), (2, 2), (2, 2), ((0, 0), (0, 0))))",
            "onnx": "y = LpPool(x, kernel_shape=[2, 2], strides=[2, 2], p=2)",
        },
        notes={"torch": "For odd p PyTorch keeps the sign of a power: take F.lp_pool2d(x.abs(), p, 2)."},
    ),
)  # fmt: skip
