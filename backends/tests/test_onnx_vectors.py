"""The pooling vectors that the onnx package ships, held against the definition.

They are a second opinion, not a thorough one: batch 1, square kernels, symmetric pads, no NaN. Their
published tolerance is 1e-3; here they answer to the definition's own error bounds, as a backend does.
What the vocabulary cannot say is listed by name, with the reason.
"""

import functools
import importlib.util
import warnings
from typing import Any

import numpy as np
import pytest

from backends import oracle
from backends.compare import assert_conforms
from backends.interface import Case
from backends.spec import Average, Global, Lp, Max, PoolSpec, Sliding

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed: it ships the vectors")

OPERATORS = {"AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "MaxUnpool"}
CANNOT_SAY = {
    "test_maxunpool_export_without_output_shape": "unpooling is out of the definition's scope (rule 12)",
    "test_maxunpool_export_with_output_shape": "unpooling is out of the definition's scope (rule 12)",
}
ASKED = (
    "test_averagepool_1d_default",
    "test_averagepool_2d_ceil",
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    "test_averagepool_2d_default",
    "test_averagepool_2d_dilations",
    "test_averagepool_2d_pads",
    "test_averagepool_2d_pads_count_include_pad",
    "test_averagepool_2d_precomputed_pads",
    "test_averagepool_2d_precomputed_pads_count_include_pad",
    "test_averagepool_2d_precomputed_same_upper",
    "test_averagepool_2d_precomputed_strides",
    "test_averagepool_2d_same_lower",
    "test_averagepool_2d_same_upper",
    "test_averagepool_2d_strides",
    "test_averagepool_3d_default",
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False",
    "test_averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True",
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False",
    "test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True",
    "test_averagepool_3d_dilations_small",
    "test_globalaveragepool",
    "test_globalaveragepool_precomputed",
    "test_globalmaxpool",
    "test_globalmaxpool_precomputed",
    "test_lppool_1d_default",
    "test_lppool_2d_default",
    "test_lppool_2d_dilations",
    "test_lppool_2d_pads",
    "test_lppool_2d_same_lower",
    "test_lppool_2d_same_upper",
    "test_lppool_2d_strides",
    "test_lppool_3d_default",
    "test_maxpool_1d_default",
    "test_maxpool_2d_ceil",
    "test_maxpool_2d_ceil_output_size_reduce_by_one",
    "test_maxpool_2d_default",
    "test_maxpool_2d_dilations",
    "test_maxpool_2d_pads",
    "test_maxpool_2d_precomputed_pads",
    "test_maxpool_2d_precomputed_same_upper",
    "test_maxpool_2d_precomputed_strides",
    "test_maxpool_2d_same_lower",
    "test_maxpool_2d_same_upper",
    "test_maxpool_2d_strides",
    "test_maxpool_2d_uint8",
    "test_maxpool_3d_default",
    "test_maxpool_3d_dilations",
    "test_maxpool_3d_dilations_use_ref_impl",
    "test_maxpool_3d_dilations_use_ref_impl_large",
    "test_maxpool_with_argmax_2d_precomputed_pads",
    "test_maxpool_with_argmax_2d_precomputed_strides",
)
COLUMN_MAJOR = {"test_maxpool_with_argmax_2d_precomputed_strides": "storage_order=1 numbers its indices column by column"}
PRINTED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 4}
"""Vectors whose expected numbers were typed with so many decimals, and are known no better."""


LARGEST = 5000
"""About how many outputs of a vector are asked: a few have 90,000, which say no more."""


@functools.cache
def vectors() -> dict[str, Any]:
    """The pooling vectors by name. Making them takes onnx some seconds, which collecting the tests does not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other operators' vectors overflow on purpose while they are made
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return {case.name: case for case in cases if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in OPERATORS}


def spec_of(node: Any) -> PoolSpec:
    """The node's attributes in the suite's vocabulary; ONNX documents the defaults."""
    import onnx

    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    kind = node.op_type.removeprefix("Global")
    reduction = {
        "AveragePool": lambda: Average(count_include_pad=bool(given.get("count_include_pad", 0))),
        "MaxPool": Max,
        "LpPool": lambda: Lp(p=given.get("p", 2)),
    }[kind]()
    if node.op_type.startswith("Global"):
        return PoolSpec(reduction=reduction, windows=Global())
    kernel = tuple(given["kernel_shape"])
    pads = given.get("pads", [0] * 2 * len(kernel))
    auto = given.get("auto_pad", b"NOTSET").decode().lower()
    windows = Sliding(
        kernel=kernel,
        stride=tuple(given.get("strides", [1] * len(kernel))),
        dilation=tuple(given.get("dilations", [1] * len(kernel))),
        ceil_mode=bool(given.get("ceil_mode", 0)),
        padding=auto if auto.startswith("same") else tuple(zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)),
    )
    return PoolSpec(reduction=reduction, windows=windows)


def test_every_vector_is_accounted_for() -> None:
    """Each of onnx's pooling vectors is asked, or named with a reason."""
    assert set(vectors()) == set(ASKED) | set(CANNOT_SAY)


@pytest.mark.parametrize("name", ASKED)
def test_vector(name: str) -> None:
    """What onnx says an operator gives, the definition gives within its own error bound."""
    vector = vectors()[name]
    spec = spec_of(vector.model.graph.node[0])
    (inputs, outputs), *_ = vector.data_sets
    case = Case(spec=spec, x=inputs[0])
    if name in PRINTED:
        assert np.abs(oracle.pool(case).value - outputs[0]).max() < 10.0 ** -PRINTED[name]
        return
    size = outputs[0].size
    cells = range(0, size, max(1, size // LARGEST))
    assert_conforms(case, outputs[0], cells=cells)
    if len(outputs) > 1:
        index = outputs[1] if name not in COLUMN_MAJOR else row_major(outputs[1], case.spatial)
        assert_conforms(case.replace(output="indices"), index)


def row_major(index: np.ndarray, spatial: tuple[int, ...]) -> np.ndarray:
    """Column-major flat indices as row-major ones."""
    return np.ravel_multi_index(np.unravel_index(index, spatial, order="F"), spatial)
