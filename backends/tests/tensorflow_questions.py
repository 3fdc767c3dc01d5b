"""What the tests of TensorFlow ask.

Inputs are finite, distinct in every window and small whole numbers, which every dtype holds: the
known deviations of TensorFlow are the laws' affair, in `properties`.
"""

import math

import numpy as np

from backends.interface import Case, dtype_named
from backends.spec import Average, Max, PoolSpec, Sliding

SPATIAL = {1: (9,), 2: (5, 7), 3: (3, 5, 4)}
KERNEL = {1: (4,), 2: (2, 4), 3: (2, 1, 4)}  # powers of two: an average of whole numbers is exact in half precision
STRIDE = {1: (2,), 2: (2, 1), 3: (1, 2, 3)}
VARIANTS = ("tensorflow", "tensorflow:graph", "tensorflow:xla")


def whole(shape, dtype, seed=0):
    """Whole numbers, all of a sample's channel distinct; around zero where the dtype has a sign."""
    size = math.prod(shape[2:])
    rows = np.tile(np.arange(size), (shape[0] * shape[1], 1))
    rows = np.random.default_rng(seed).permuted(rows, axis=1) - (0 if dtype.startswith("uint") else size // 2)
    return rows.reshape(shape).astype(dtype_named(dtype))


def a_case(
    reduction="max", ndim=2, layout="channels_last", dtype="float32", output="values", windows=None, batch=2, channels=3, spatial=None
):
    """A case, with a cotangent where one is needed."""
    spec = PoolSpec(
        reduction=Max() if reduction == "max" else Average(), windows=windows or Sliding(kernel=KERNEL[ndim], stride=STRIDE[ndim])
    )
    case = Case(spec, whole((batch, channels, *(spatial or SPATIAL[ndim])), dtype), layout)
    if output != "gradient":
        return case.replace(output=output)
    cotangent = np.random.default_rng(1).integers(-4, 5, case.pooled_shape).astype(case.x.dtype)
    return case.replace(output=output, cotangent=cotangent)
