"""What TensorFlow's adapter prints as native code is what it does."""

import contextlib
import io

import ml_dtypes
import numpy as np
import pytest

import backends
from backends import tensorflow_plan
from backends.interface import Case, dtype_named, same_bits
from backends.spec import Global, Max, PoolSpec, Sliding
from backends.tests.tensorflow_questions import VARIANTS, a_case

NATIVE = [
    {},
    {"output": "indices"},
    {"output": "gradient"},
    {"reduction": "average", "dtype": "bfloat16", "layout": "channels_last", "output": "gradient"},
    {"windows": Global(), "dtype": "int64"},
    {"windows": Sliding(kernel=(2, 2), stride=(1, 1), dilation=(1, 2)), "dtype": "float16"},
    {"windows": Sliding(kernel=(3, 4), padding=((2, 0), (1, 3))), "dtype": "float64"},
    {"batch": 0},
]


@pytest.mark.parametrize("asked", NATIVE, ids=str)
@pytest.mark.parametrize("name", VARIANTS[:2])
def test_native_code_gives_the_same_bits(name, asked):
    """The script that a maintainer would paste computes what the adapter computes, and prints it."""
    backend, case = backends.load(name), a_case(**asked)
    assert same_bits(*both(backend, case))


def test_native_code_of_xla_gives_the_same_bits():
    """The compiled variant's script compiles too."""
    backend, case = backends.load("tensorflow:xla"), a_case(output="gradient")
    assert "jit_compile=True" in backend.native(case)
    assert same_bits(*both(backend, case))


@pytest.mark.parametrize("dtype", tensorflow_plan.FLOATS)
def test_native_code_keeps_peculiar_numbers(dtype):
    """NaN, infinities, subnormals and the largest number reach the script's tensor as they are."""
    info = ml_dtypes.finfo(dtype_named(dtype))
    x = np.array([np.nan, np.inf, -np.inf, info.smallest_subnormal, info.max, -0.0, 0.1], info.dtype).reshape(1, 7, 1)
    script = backends.load("tensorflow").native(Case(PoolSpec(reduction=Max(), windows=Global()), x, "channels_first"))
    assert same_bits(executed(script)["x"].numpy(), x)


def executed(script):
    """The names that a script leaves behind."""
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(script, "native", "exec"), names)
    assert printed.getvalue() == f"{names['result'].numpy()}\n"
    return names


def both(backend, case):
    """The tensor of the adapter's call, and of its script."""
    answer, _ = backend.bind(case)()
    return (answer[1] if case.output == "indices" else answer).numpy(), executed(backend.native(case))["result"].numpy()
