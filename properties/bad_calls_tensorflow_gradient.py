"""Gradients and fractional pooling of TensorFlow that break a rule, those of published security advisories among them."""

from properties.bad_calls import BadCall

GRADIENTS = (
    # --- gradients of averages ---
    BadCall(
        id="avg2d-grad-negative-shape",
        violates="an input shape of negative sizes",
        source="CVE-2022-35968, GHSA-2475-53vw-vp25",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[1, -4, -4, 1], grad=tf.ones([1, 2, 2, 1]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-overflowing-shape",
        violates="an input shape whose size overflows 64 bits",
        source="CVE-2022-35968, GHSA-2475-53vw-vp25",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[2**31 - 1] * 4, grad=tf.ones([1, 2, 2, 1]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-short-shape",
        violates="an input shape of 3 sizes for 2-D pooling",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[1, 4, 4], grad=tf.ones([1, 2, 2, 1]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-larger-cotangent",
        violates="a cotangent larger than the pooled values, on each axis",
        source="CVE-2023-25664, GHSA-6hg6-5c2q-7rcr; https://github.com/tensorflow/tensorflow/issues/64642",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[2, 4, 4, 2], grad=tf.ones([5, 9, 9, 7]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-more-channels",
        violates="a cotangent of more channels than the input",
        source="https://github.com/tensorflow/tensorflow/issues/63353",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[1, 4, 4, 2], grad=tf.ones([1, 2, 2, 2**22]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-smaller-cotangent",
        violates="a cotangent smaller than the pooled values",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[1, 8, 8, 1], grad=tf.ones([1, 1, 1, 1]), ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            )
        """,
    ),
    BadCall(
        id="avg2d-grad-window-0",
        violates="a window and a stride of 0",
        source="CVE-2023-25669, GHSA-rcf8-g8jv-vg6p",
        code="""
            tf.raw_ops.AvgPoolGrad(
                orig_input_shape=[1, 4, 4, 1], grad=tf.ones([1, 1, 1, 1]), ksize=[1, 0, 0, 1], strides=[1, 0, 0, 1], padding="SAME"
            )
        """,
    ),
    BadCall(
        id="avg3d-grad-negative-shape",
        violates="an input shape of negative sizes",
        source="CVE-2022-35959, GHSA-wxjj-cgcx-r3vq",
        code="""
            tf.raw_ops.AvgPool3DGrad(
                orig_input_shape=[1, -4, -4, -4, 1], grad=tf.ones([1, 2, 2, 2, 1]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="avg3d-grad-other-batch-and-channels",
        violates="a cotangent of another batch size and other channels than the input",
        source="CVE-2021-29577, GHSA-v6r6-84gr-92rm",
        code="""
            tf.raw_ops.AvgPool3DGrad(
                orig_input_shape=[9, 2, 2, 2, 7], grad=tf.ones([2, 1, 1, 1, 1]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="avg3d-grad-larger-cotangent",
        violates="a cotangent of the input's shape, with windows of 2",
        code="""
            tf.raw_ops.AvgPool3DGrad(
                orig_input_shape=[2, 4, 4, 1, 3], grad=tf.ones([2, 4, 4, 1, 3]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 1, 1, 1, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="avg3d-grad-flat-cotangent",
        violates="a cotangent of rank 2 for 3-D pooling",
        code="""
            tf.raw_ops.AvgPool3DGrad(
                orig_input_shape=[2, 3, 3, 3, 3], grad=tf.ones([6, 2]), ksize=[1, 1, 1, 1, 1], strides=[1, 1, 1, 1, 1], padding="VALID"
            )
        """,
    ),
    # --- gradients of max ---
    BadCall(
        id="max2d-grad-smaller-cotangent",
        violates="pooled values and a cotangent of another shape than the input gives",
        source="CVE-2021-29579, GHSA-79fv-9865-4qcv",
        code="""
            tf.raw_ops.MaxPoolGrad(
                orig_input=tf.ones([1, 8, 8, 3]), orig_output=tf.ones([1, 1, 1, 3]), grad=tf.ones([1, 1, 1, 3]),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max2d-grad-larger-cotangent",
        violates="a cotangent larger than the pooled values",
        source="CVE-2021-29579, GHSA-79fv-9865-4qcv",
        code="""
            tf.raw_ops.MaxPoolGrad(
                orig_input=tf.ones([1, 4, 4, 1]), orig_output=tf.ones([1, 2, 2, 1]), grad=tf.ones([1, 64, 64, 1]),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max2d-grad-empty-input",
        violates="an input of size 0 beside a cotangent that is not empty",
        source="CVE-2021-37674, GHSA-7ghq-fvr3-pj2x",
        code="""
            tf.raw_ops.MaxPoolGrad(
                orig_input=tf.zeros([3, 0, 0, 2]), orig_output=tf.zeros([3, 0, 0, 2]), grad=tf.ones([3, 1, 1, 2]),
                ksize=[1, 4, 4, 1], strides=[1, 4, 4, 1], padding="SAME",
            )
        """,
    ),
    BadCall(
        id="max2d-grad-other-dtype",
        violates="a cotangent of another dtype than the input",
        code="""
            tf.raw_ops.MaxPoolGrad(
                orig_input=tf.ones([1, 4, 4, 1]), orig_output=tf.ones([1, 2, 2, 1]), grad=tf.ones([1, 2, 2, 1], tf.float64),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max2d-grad-grad-smaller-output",
        violates="pooled values of another shape than the input gives",
        code="""
            tf.raw_ops.MaxPoolGradGrad(
                orig_input=tf.ones([1, 8, 8, 1]), orig_output=tf.ones([1, 1, 1, 1]), grad=tf.ones([1, 8, 8, 1]),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max3d-grad-smaller-cotangent",
        violates="pooled values and a cotangent of another shape than the input gives",
        code="""
            tf.raw_ops.MaxPool3DGrad(
                orig_input=tf.ones([1, 6, 6, 6, 1]), orig_output=tf.ones([1, 1, 1, 1, 1]), grad=tf.ones([1, 1, 1, 1, 1]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max3d-grad-larger-cotangent",
        violates="a cotangent larger than the pooled values",
        code="""
            tf.raw_ops.MaxPool3DGrad(
                orig_input=tf.ones([1, 4, 4, 4, 1]), orig_output=tf.ones([1, 2, 2, 2, 1]), grad=tf.ones([1, 9, 9, 9, 1]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max3d-grad-grad-empty-output",
        violates="empty pooled values of an input that is not empty",
        source="CVE-2021-29574, GHSA-828x-qc2p-wprq",
        code="""
            tf.raw_ops.MaxPool3DGradGrad(
                orig_input=tf.ones([1, 4, 4, 4, 1]), orig_output=tf.zeros([0, 0, 0, 0, 0]), grad=tf.ones([1, 4, 4, 4, 1]),
                ksize=[1, 2, 2, 2, 1], strides=[1, 2, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="max3d-grad-grad-window-over-the-channels",
        violates="a window and a stride over batch and channels, which must be 1",
        must="survive",
        source="CVE-2021-29576, GHSA-7cqx-92hp-x6wh",
        code="""
            tf.raw_ops.MaxPool3DGradGrad(
                orig_input=tf.ones([1, 2, 2, 2, 1]), orig_output=tf.ones([1, 2, 2, 2, 1]), grad=tf.ones([1, 2, 2, 2, 1]),
                ksize=[5, 1, 1, 1, 7], strides=[1, 1, 1, 1, 3], padding="SAME",
            )
        """,
    ),
    BadCall(
        id="maxv2-grad-window-0",
        violates="a window and a stride of 0, given as tensors",
        code="""
            tf.raw_ops.MaxPoolGradV2(
                orig_input=tf.ones([1, 4, 4, 1]), orig_output=tf.ones([1, 2, 2, 1]), grad=tf.ones([1, 2, 2, 1]),
                ksize=tf.constant([1, 0, 0, 1]), strides=tf.constant([1, 0, 0, 1]), padding="VALID",
            )
        """,
    ),
    BadCall(
        id="tape-cotangent-larger",
        violates="a cotangent larger than the pooled values",
        code="""
            x = tf.ones([1, 4, 4, 1])
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.nn.max_pool2d(x, 2, 2, "VALID")
            tape.gradient(y, x, tf.ones([1, 5, 5, 1]))
        """,
    ),
    BadCall(
        id="tape-average-cotangent-smaller",
        violates="a cotangent smaller than the pooled values",
        code="""
            x = tf.ones([1, 4, 4, 1])
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.nn.avg_pool2d(x, 2, 2, "VALID")
            tape.gradient(y, x, tf.ones([1, 1, 1, 1]))
        """,
    ),
    # --- gradients by argmax ---
    BadCall(
        id="argmax-grad-index-too-large",
        violates="an index of 99 into 16 elements",
        code="""
            tf.raw_ops.MaxPoolGradWithArgmax(
                input=tf.ones([1, 4, 4, 1]), grad=tf.ones([1, 2, 2, 1]), argmax=tf.constant(99, tf.int64, [1, 2, 2, 1]),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="argmax-grad-index-negative",
        violates="an index of −1",
        code="""
            tf.raw_ops.MaxPoolGradWithArgmax(
                input=tf.ones([1, 4, 4, 1]), grad=tf.ones([1, 2, 2, 1]), argmax=tf.constant(-1, tf.int64, [1, 2, 2, 1]),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="argmax-grad-fewer-indices",
        violates="fewer indices than cotangents",
        source="CVE-2021-29570, GHSA-545v-42p7-98fq",
        code="""
            tf.raw_ops.MaxPoolGradWithArgmax(
                input=tf.ones([10, 6, 3, 1]), grad=tf.ones([10, 6, 3, 1]), argmax=tf.zeros([1, 1, 1, 1], tf.int64),
                ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], padding="VALID",
            )
        """,
    ),
    BadCall(
        id="argmax-grad-empty-batch",
        violates="an empty batch beside cotangents that are not empty",
        source="CVE-2021-29573, GHSA-9vpm-rcf4-9wqw",
        code="""
            tf.raw_ops.MaxPoolGradWithArgmax(
                input=tf.zeros([0, 4, 4, 1]), grad=tf.ones([1, 2, 2, 1]), argmax=tf.zeros([1, 2, 2, 1], tf.int64),
                ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID",
            )
        """,
    ),
    # --- fractional pooling ---
    BadCall(
        id="fractional-max-ratio-below-1",
        violates="a pooling ratio below 1",
        source="CVE-2022-41900, GHSA-xvwp-h6jv-7472",
        code="tf.raw_ops.FractionalMaxPool(value=tf.ones([1, 4, 4, 1]), pooling_ratio=[1.0, 0.25, 0.25, 1.0], deterministic=True, seed=1)",
    ),
    BadCall(
        id="fractional-avg-ratio-below-1",
        violates="a pooling ratio below 1",
        source="CVE-2022-41900, GHSA-xvwp-h6jv-7472",
        code="tf.raw_ops.FractionalAvgPool(value=tf.ones([1, 4, 4, 1]), pooling_ratio=[1.0, 0.25, 0.25, 1.0], deterministic=True, seed=1)",
    ),
    BadCall(
        id="fractional-max-ratio-above-the-size",
        violates="a pooling ratio above the size of the axis, which leaves no output",
        source="CVE-2022-21735, GHSA-87v6-crgm-2gfj",
        code="tf.raw_ops.FractionalMaxPool(value=tf.ones([1, 2, 2, 1]), pooling_ratio=[1.0, 3.0, 3.0, 1.0], deterministic=True, seed=1)",
    ),
    BadCall(
        id="fractional-max-ratio-of-the-batch",
        violates="a pooling ratio over batch and channels, which must be 1",
        source="CVE-2023-25801, GHSA-f49c-87jh-g47q",
        code="tf.nn.fractional_max_pool(tf.ones([4, 8, 8, 4]), [2.0, 2.0, 2.0, 2.0], seed=1)",
    ),
    BadCall(
        id="fractional-avg-grad-sequences-past-the-input",
        violates="pooling sequences that reach past the input",
        source="CVE-2021-29578, GHSA-6f89-8j54-29xf",
        code="""
            tf.raw_ops.FractionalAvgPoolGrad(
                orig_input_tensor_shape=tf.constant([1, 2, 2, 1], tf.int64), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([0, 9, 99], tf.int64), col_pooling_sequence=tf.constant([0, 9, 99], tf.int64),
            )
        """,
    ),
    BadCall(
        id="fractional-avg-grad-negative-sequence",
        violates="pooling sequences of negative indices",
        source="CVE-2022-21730, GHSA-vjg4-v33c-ggc4",
        code="""
            tf.raw_ops.FractionalAvgPoolGrad(
                orig_input_tensor_shape=tf.constant([1, 4, 4, 1], tf.int64), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([-9, 2, 4], tf.int64), col_pooling_sequence=tf.constant([-9, 2, 4], tf.int64),
            )
        """,
    ),
    BadCall(
        id="fractional-avg-grad-empty-input",
        violates="an input shape of zeros beside a cotangent that is not empty",
        source="CVE-2021-37651, GHSA-hpv4-7p9c-mvfr",
        code="""
            tf.raw_ops.FractionalAvgPoolGrad(
                orig_input_tensor_shape=tf.zeros([4], tf.int64), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([0, 1, 2], tf.int64), col_pooling_sequence=tf.constant([0, 1, 2], tf.int64),
            )
        """,
    ),
    BadCall(
        id="fractional-avg-grad-overflowing-shape",
        violates="an input shape whose size overflows 64 bits",
        source="CVE-2022-35963, GHSA-84jm-4cf3-9jfm",
        code="""
            tf.raw_ops.FractionalAvgPoolGrad(
                orig_input_tensor_shape=tf.constant([2**62, 2**62, 4, 1], tf.int64), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([0, 1, 2], tf.int64), col_pooling_sequence=tf.constant([0, 1, 2], tf.int64),
            )
        """,
    ),
    BadCall(
        id="fractional-max-grad-empty",
        violates="an empty input beside pooled values that are not empty",
        source="CVE-2021-29580, GHSA-x8h6-xgqx-jqgp",
        code="""
            tf.raw_ops.FractionalMaxPoolGrad(
                orig_input=tf.zeros([0, 0, 0, 0]), orig_output=tf.ones([1, 2, 2, 1]), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([0, 1, 2], tf.int64), col_pooling_sequence=tf.constant([0, 1, 2], tf.int64),
            )
        """,
    ),
    BadCall(
        id="fractional-max-grad-short-sequences",
        violates="pooling sequences shorter than the pooled values",
        source="CVE-2022-35981, GHSA-vxv8-r8q2-63xw",
        code="""
            tf.raw_ops.FractionalMaxPoolGrad(
                orig_input=tf.ones([1, 6, 6, 1]), orig_output=tf.ones([1, 6, 6, 1]), out_backprop=tf.ones([1, 6, 6, 1]),
                row_pooling_sequence=tf.zeros([3], tf.int64), col_pooling_sequence=tf.zeros([3], tf.int64), overlapping=True,
            )
        """,
    ),
    BadCall(
        id="fractional-max-grad-sequences-past-the-input",
        violates="pooling sequences that reach past the input",
        source="CVE-2022-41897, GHSA-f2w8-jw48-fr7j",
        code="""
            tf.raw_ops.FractionalMaxPoolGrad(
                orig_input=tf.ones([1, 2, 2, 1]), orig_output=tf.ones([1, 2, 2, 1]), out_backprop=tf.ones([1, 2, 2, 1]),
                row_pooling_sequence=tf.constant([0, 99, 9999], tf.int64), col_pooling_sequence=tf.constant([0, 99, 9999], tf.int64),
            )
        """,
    ),
)
