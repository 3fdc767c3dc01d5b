"""TensorFlow calls that break a rule of pooling, those of published security advisories among them."""

from properties.bad_calls import BadCall
from properties.bad_calls_tensorflow_gradient import GRADIENTS

CALLS = (
    # --- forward ---
    BadCall(
        id="max1d-window-larger-than-input",
        violates="a window of 4 over 3 elements, without padding",
        code='tf.nn.max_pool1d(tf.zeros([1, 3, 1]), 4, 1, "VALID")',
    ),
    BadCall(
        id="max2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements, without padding",
        source="https://github.com/tensorflow/tensorflow/issues/88481",
        code='tf.nn.max_pool2d(tf.zeros([1, 2, 2, 1]), 3, 1, "VALID")',
    ),
    BadCall(
        id="max3d-window-larger-than-input",
        violates="a window of 3×3×3 over 2×2×2 elements, without padding",
        code='tf.nn.max_pool3d(tf.zeros([1, 2, 2, 2, 1]), 3, 1, "VALID")',
    ),
    BadCall(
        id="avg1d-window-larger-than-input",
        violates="a window of 4 over 3 elements, without padding",
        code='tf.nn.avg_pool1d(tf.zeros([1, 3, 1]), 4, 1, "VALID")',
    ),
    BadCall(
        id="avg2d-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements, without padding",
        code='tf.nn.avg_pool2d(tf.zeros([1, 2, 2, 1]), 3, 1, "VALID")',
    ),
    BadCall(
        id="avg3d-window-larger-than-input",
        violates="a window of 3×3×3 over 2×2×2 elements, without padding",
        code='tf.nn.avg_pool3d(tf.zeros([1, 2, 2, 2, 1]), 3, 1, "VALID")',
    ),
    BadCall(
        id="argmax-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements, without padding",
        code='tf.nn.max_pool_with_argmax(tf.zeros([1, 2, 2, 1]), 3, 1, "VALID")',
    ),
    BadCall(
        id="max2d-absurd-window",
        violates="a window of 2^31 over 4 elements, without padding",
        code='tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2**31, 1, "VALID")',
    ),
    BadCall(
        id="avg2d-absurd-window",
        violates="a window of 2^31 over 4 elements, without padding",
        source="CVE-2022-35941, GHSA-mgmh-g2v6-mqw5",
        code='tf.nn.avg_pool2d(tf.zeros([1, 4, 4, 1]), 2**31, 1, "VALID")',
    ),
    BadCall(
        id="avg2d-window-of-2-to-63",
        violates="a window of 2^63 − 1 over 4 elements, without padding",
        source="CVE-2022-35941, GHSA-mgmh-g2v6-mqw5",
        code='tf.nn.avg_pool2d(tf.zeros([1, 4, 4, 1]), 2**63 - 1, 1, "VALID")',
    ),
    BadCall(
        id="max2d-window-0",
        violates="a window of 0",
        code='tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 0, 1, "VALID")',
    ),
    BadCall(
        id="max3d-window-0",
        violates="a window of 2×2×0",
        source="CVE-2021-41196, GHSA-m539-j985-hcr8",
        code='tf.nn.max_pool3d(tf.zeros([1, 4, 4, 4, 1]), [2, 2, 0], 1, "VALID")',
    ),
    BadCall(
        id="max3d-window-negative",
        violates="a window of 2×2×−2",
        source="CVE-2021-41196, GHSA-m539-j985-hcr8",
        code='tf.nn.max_pool3d(tf.zeros([1, 4, 4, 4, 1]), [2, 2, -2], 1, "VALID")',
    ),
    BadCall(
        id="avg2d-window-negative",
        violates="a window of −1",
        source="CVE-2022-35941, GHSA-mgmh-g2v6-mqw5",
        code='tf.raw_ops.AvgPool(value=tf.zeros([1, 4, 4, 1]), ksize=[1, -1, 2, 1], strides=[1, 1, 1, 1], padding="SAME")',
    ),
    BadCall(
        id="avg3d-window-0",
        violates="a window of 0",
        code='tf.nn.avg_pool3d(tf.zeros([1, 4, 4, 4, 1]), 0, 1, "SAME")',
    ),
    BadCall(
        id="max2d-stride-0",
        violates="a stride of 0",
        code='tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2, 0, "VALID")',
    ),
    BadCall(
        id="max3d-stride-0",
        violates="a stride of 0",
        code='tf.nn.max_pool3d(tf.zeros([1, 4, 4, 4, 1]), 2, 0, "VALID")',
    ),
    BadCall(
        id="avg2d-stride-0",
        violates="a stride of 0",
        code='tf.nn.avg_pool2d(tf.zeros([1, 4, 4, 1]), 2, 0, "SAME")',
    ),
    BadCall(
        id="avg3d-stride-negative",
        violates="a stride of −1",
        code='tf.nn.avg_pool3d(tf.zeros([1, 4, 4, 4, 1]), 2, -1, "SAME")',
    ),
    BadCall(
        id="max2d-stride-2-to-32",
        violates="a stride of 2^32, which is 0 in 32 bits",
        must="survive",
        code='tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2, 2**32, "VALID")',
    ),
    BadCall(
        id="max2d-window-over-the-batch",
        violates="a window over the batch, which no pooling here has",
        must="survive",
        code='tf.nn.max_pool2d(tf.zeros([2, 4, 4, 1]), [2, 2, 2, 1], 1, "VALID")',
    ),
    BadCall(
        id="max2d-rank-mismatch",
        violates="an input without a channel axis",
        code='tf.raw_ops.MaxPool(input=tf.zeros([2, 4, 4]), ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="VALID")',
    ),
    BadCall(
        id="avg3d-rank-mismatch",
        violates="an input of rank 4 for 3-D pooling",
        code='tf.raw_ops.AvgPool3D(input=tf.zeros([2, 4, 4, 1]), ksize=[1, 2, 2, 2, 1], strides=[1, 1, 1, 1, 1], padding="VALID")',
    ),
    BadCall(
        id="pool-rank-mismatch",
        violates="a window of 3 axes for an input of 2 spatial axes",
        code='tf.nn.pool(tf.zeros([1, 4, 4, 1]), [2, 2, 2], "MAX", padding="VALID")',
    ),
    BadCall(
        id="pool-dilation-0",
        violates="a dilation of 0",
        code='tf.nn.pool(tf.zeros([1, 4, 4, 1]), [2, 2], "MAX", dilations=[1, 0], padding="VALID")',
    ),
    BadCall(
        id="pool-dilation-negative",
        violates="a dilation of −1",
        code='tf.nn.pool(tf.zeros([1, 4, 4, 1]), [2, 2], "MAX", dilations=[1, -1], padding="VALID")',
    ),
    BadCall(
        id="pool-dilated-window-larger-than-input",
        violates="a window of 2 with dilation 4 over 4 elements, without padding",
        code='tf.nn.pool(tf.zeros([1, 4, 4, 1]), [2, 2], "MAX", dilations=[1, 4], padding="VALID")',
    ),
    BadCall(
        id="max2d-padding-negative",
        violates="a padding of −1",
        code="tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2, 1, [[0, 0], [-1, 0], [0, 0], [0, 0]])",
    ),
    BadCall(
        id="max2d-padding-alone",
        violates="windows of 2 in a padding of 3, which read no input",
        code="tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2, 1, [[0, 0], [3, 3], [0, 0], [0, 0]])",
    ),
    BadCall(
        id="max2d-padding-of-the-channels",
        violates="a padding of the channel axis, which must be 0",
        code="tf.nn.max_pool2d(tf.zeros([1, 4, 4, 1]), 2, 1, [[0, 0], [1, 1], [1, 1], [1, 1]])",
    ),
    BadCall(
        id="max2d-empty-axis",
        violates="a window of 2 over an axis of size 0, without padding",
        code='tf.nn.max_pool2d(tf.zeros([1, 0, 4, 1]), 2, 1, "VALID")',
    ),
    BadCall(
        id="avg2d-empty-axis",
        violates="a window of 2 over an axis of size 0, without padding",
        code='tf.nn.avg_pool2d(tf.zeros([1, 0, 4, 1]), 2, 1, "VALID")',
    ),
    BadCall(
        id="maxv2-window-0",
        violates="a window of 0, given as a tensor",
        code="""
            tf.raw_ops.MaxPoolV2(
                input=tf.zeros([1, 4, 4, 1]), ksize=tf.constant([1, 0, 0, 1]), strides=tf.constant([1, 1, 1, 1]), padding="VALID"
            )
        """,
    ),
    BadCall(
        id="maxv2-stride-0",
        violates="a stride of 0, given as a tensor",
        code="""
            tf.raw_ops.MaxPoolV2(
                input=tf.zeros([1, 4, 4, 1]), ksize=tf.constant([1, 2, 2, 1]), strides=tf.constant([1, 0, 0, 1]), padding="SAME"
            )
        """,
    ),
    BadCall(
        id="maxv2-short-window",
        violates="a window of 2 sizes for an input of 4 axes",
        code="""
            tf.raw_ops.MaxPoolV2(
                input=tf.zeros([1, 4, 4, 1]), ksize=tf.constant([2, 2]), strides=tf.constant([1, 1, 1, 1]), padding="VALID"
            )
        """,
    ),
    BadCall(
        id="quantized-max-empty-range",
        violates="an input range whose lower end is empty",
        source="CVE-2022-21739, GHSA-3mw4-6rj6-74g5",
        code="""
            tf.raw_ops.QuantizedMaxPool(
                input=tf.zeros([1, 2, 2, 1], tf.quint8), min_input=[], max_input=1.0,
                ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], padding="SAME",
            )
        """,
    ),
    BadCall(
        id="quantized-max-window-larger-than-input",
        violates="a window of 3×3 over 2×2 elements, without padding",
        code="""
            tf.raw_ops.QuantizedMaxPool(
                input=tf.zeros([1, 2, 2, 1], tf.quint8), min_input=0.0, max_input=1.0,
                ksize=[1, 3, 3, 1], strides=[1, 1, 1, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="quantized-avg-range-of-a-matrix",
        violates="an input range whose ends are no scalars",
        source="CVE-2022-35966, GHSA-4w68-4x85-mjj9",
        code="""
            tf.raw_ops.QuantizedAvgPool(
                input=tf.zeros([1, 2, 2, 1], tf.quint8), min_input=tf.zeros([1, 0]), max_input=tf.zeros([1]),
                ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], padding="SAME",
            )
        """,
    ),
    BadCall(
        id="quantized-avg-stride-0",
        violates="a stride of 0",
        code="""
            tf.raw_ops.QuantizedAvgPool(
                input=tf.zeros([1, 2, 2, 1], tf.quint8), min_input=0.0, max_input=1.0,
                ksize=[1, 1, 1, 1], strides=[1, 0, 0, 1], padding="SAME",
            )
        """,
    ),
    *GRADIENTS,
)
