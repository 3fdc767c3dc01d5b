"""What the tests of PyTorch ask, and in what memory; on the numbers every correct order of summation agrees."""

import itertools

import numpy as np
import pytest

import backends
from backends import text, torch_plan
from backends.interface import Case
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

SPATIAL = {1: (11,), 2: (8, 6), 3: (4, 6, 5)}
SLIDING = {
    1: Sliding(kernel=(4,), stride=(3,), padding=((1, 1),)),
    2: Sliding(kernel=(4, 2), stride=(4, 3), padding=((1, 1), (0, 0))),
    3: Sliding(kernel=(2, 2, 4), stride=(3, 2, 4), padding=((1, 1), (0, 0), (2, 2))),
}
CEIL = {
    1: Sliding(kernel=(4,), stride=(4,), ceil_mode=True),
    2: Sliding(kernel=(2, 4), stride=(3, 5), ceil_mode=True),
    3: Sliding(kernel=(2, 4, 4), stride=(3, 4, 4), ceil_mode=True),
}
SAME = {
    1: Sliding(kernel=(3,), stride=(1,), padding="same_upper"),
    2: Sliding(kernel=(3, 3), stride=(1, 1), padding="same_lower"),
    3: Sliding(kernel=(3, 1, 3), stride=(1, 1, 1), padding="same_upper"),
}
DILATED = {
    1: Sliding(kernel=(3,), stride=(2,), dilation=(2,)),
    2: Sliding(kernel=(2, 3), stride=(1, 2), dilation=(3, 2)),
    3: Sliding(kernel=(2, 1, 2), stride=(2, 1, 1), dilation=(2, 1, 3)),
}
VALID = {1: Sliding(kernel=(4,)), 2: Sliding(kernel=(4, 2)), 3: Sliding(kernel=(2, 1, 4))}
ADAPTIVE = {1: Adaptive(output_size=(4,)), 2: Adaptive(output_size=(4, 3)), 3: Adaptive(output_size=(3, 4, 2))}
EVEN = {1: Adaptive(output_size=(1,)), 2: Adaptive(output_size=(4, 3)), 3: Adaptive(output_size=(2, 3, 1))}
GLOBAL = dict.fromkeys((1, 2, 3), Global())


def question(
    spec: PoolSpec, shape: tuple[int, ...], dtype: str = "float32", layout: str = "channels_first", output: str = "values"
) -> Case:
    """A case of numbers on which every correct order of summation agrees to within its bound."""
    x = text.generate("distinct", 3, shape, dtype)
    if dtype not in torch_plan.INTEGERS:
        # Half types count to 256 only, and Lp is asked without zeros and negative numbers: known deviations.
        x = (x.astype(np.float64) % 40 + (1 if isinstance(spec.reduction, Lp) else -20)).astype(x.dtype)
    case = Case(spec=spec, x=x, layout=layout)
    if output == "gradient":
        return case.replace(output=output, cotangent=text.generate("integers", 4, case.pooled_shape, dtype))
    return case.replace(output=output)


def questions() -> list:
    """One case for each combination of what the plain variant declares and no gap excludes."""
    cases = []
    for name, can in torch_plan.capabilities(cuda=False).items():
        asked = {
            "max": [(Max(), windows) for windows in (SLIDING, CEIL, SAME, DILATED, ADAPTIVE, GLOBAL)],
            "average": [
                (Average(), SLIDING), (Average(count_include_pad=True), CEIL), (Average(count_include_pad=True), SLIDING),
                (Average(divisor=-3), VALID), (Average(), SAME), (Average(), EVEN), (Average(), ADAPTIVE), (Average(), GLOBAL),
            ],
            "lp": [(Lp(p=2), VALID), (Lp(p=1), VALID), (Lp(p=2), GLOBAL)],
        }[name]  # fmt: skip
        for (reduction, windows), rank, dtype, layout, output in itertools.product(
            asked, sorted(can.ndims), sorted(can.dtypes), sorted(can.layouts), sorted(can.outputs)
        ):
            if output == "gradient" and dtype in torch_plan.INTEGERS:
                continue
            if dtype in torch_plan.HALF and deviates_in_half(reduction, windows, rank, output):
                continue
            case = question(PoolSpec(reduction=reduction, windows=windows[rank]), (2, 3, *SPATIAL[rank]), dtype, layout, output)
            if torch_plan.unsayable(case) or torch_plan.refused(case, cuda=False, compiled=False, volumes=False):
                continue
            cases.append(named(case))
    return cases


def deviates_in_half(reduction, windows, rank: int, output: str) -> bool:
    """Whether PyTorch is known to round half types at each step of this, which `divergences.py` has rows for."""
    overlapping = windows in (SLIDING, SAME, ADAPTIVE)
    if isinstance(reduction, Lp):
        return reduction.p != 1
    if isinstance(reduction, Average) and windows in (ADAPTIVE, EVEN) and rank == 3:
        return True
    return output == "gradient" and isinstance(reduction, Average) and overlapping


def named(case: Case):
    """The case as a parameter whose id is its text, up to the arrays."""
    return pytest.param(case, id=f"{text.heading(case)} {case.x.dtype.name} {len(case.spatial)}-D")


def loaded(name: str) -> backends.Backend:
    try:
        return backends.load(name)
    except backends.BrokenBackend as error:
        pytest.skip(str(error))


MEMORIES = {
    "contiguous": lambda x: x.copy(),
    "readonly": lambda x: _readonly(x.copy()),
    "sliced": lambda x: np.pad(x, [(0, 0), (1, 0), *[(1, 2)] * (x.ndim - 2)])[
        (slice(None), slice(1, None), *[slice(1, -2)] * (x.ndim - 2))
    ],
    "stepped": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "channels inside": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


def _readonly(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


POOLED = PoolSpec(reduction=Max(), windows=SLIDING[2])
SHAPE = (2, 3, 8, 6)


def bare(reduction, windows, shape: tuple[int, ...]) -> Case:
    return Case(spec=PoolSpec(reduction=reduction, windows=windows), x=np.ones(shape, np.float32))
