import numpy as np
import pytest

from backends import oracle, text
from backends.interface import Case
from backends.spec import Adaptive, Average, Lp, Max, PoolSpec, Sliding
from benchmarks.check import SAMPLE, Wrong, check, checksum, sample
from benchmarks.workloads import taps

SHAPE = (2, 33, 61, 47)
MAX = PoolSpec(reduction=Max(), windows=Sliding(kernel=(3, 4), stride=(2, 3)))
AVERAGE = PoolSpec(reduction=Average(), windows=Sliding(kernel=(3, 4), stride=(2, 3)))


def large(spec=MAX, output="values", shape=SHAPE):
    """A case too large to be checked whole."""
    x = text.generate("uniform", 7, shape, "float32")
    case = Case(spec, x)
    if output == "gradient":
        return case.replace(output=output, cotangent=text.generate("uniform", 8, case.pooled_shape, "float32"))
    return case.replace(output=output)


def pooled(case):
    """What a right backend answers, by NumPy's window view; gradients by its adjoint, window by window."""
    windows = case.spec.windows
    view = np.lib.stride_tricks.sliding_window_view(case.x, windows.kernel, axis=(2, 3))[:, :, :: windows.stride[0], :: windows.stride[1]]
    if isinstance(case.spec.reduction, Average):
        return view.mean(axis=(4, 5), dtype=np.float64).astype(np.float32)
    flat = view.reshape(*view.shape[:4], -1)
    if case.output == "values":
        return flat.max(axis=-1)
    down, right = np.unravel_index(flat.argmax(axis=-1), windows.kernel)
    rows = np.arange(view.shape[2])[:, None] * windows.stride[0] + down
    columns = np.arange(view.shape[3]) * windows.stride[1] + right
    indices = rows * case.x.shape[3] + columns
    if case.output == "indices":
        return indices
    gradient = np.zeros((case.x.shape[0] * case.x.shape[1], case.x.shape[2] * case.x.shape[3]), np.float64)
    planes = np.broadcast_to(np.arange(len(gradient)).reshape(*case.x.shape[:2], 1, 1), indices.shape)
    np.add.at(gradient, (planes.ravel(), indices.ravel()), case.cotangent.ravel())
    return gradient.reshape(case.x.shape).astype(np.float32)


@pytest.mark.parametrize("output", ["values", "indices", "gradient"])
def test_right_answers_pass(output):
    """A right answer passes, and not all of a large one is looked at."""
    case = large(output=output)
    answer = pooled(case)
    found = check(case, answer)
    assert 0 < found.elements < found.of == answer.size


def test_a_right_average_passes():
    """Rounding within the derived bound is right."""
    case = large(AVERAGE)
    assert check(case, pooled(case)).elements >= SAMPLE


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(np.s_[..., 0, :], id="first row"),
        pytest.param(np.s_[..., -1, :], id="last row"),
        pytest.param(np.s_[..., 0], id="first column"),
        pytest.param(np.s_[..., -1], id="last column"),
        pytest.param(np.s_[..., 0, 0], id="corner"),
        pytest.param(np.s_[..., 7::16], id="one of sixteen columns"),
        pytest.param(np.s_[..., 11, :], id="one row"),
        pytest.param(np.s_[:, -1], id="last channel"),
        pytest.param(np.s_[1, 32, 0, 0], id="corner of the last plane alone"),
        pytest.param(np.s_[:, 32::33, -1, -1], id="corner of the channel tail"),
    ],
)
@pytest.mark.parametrize("spec", [MAX, AVERAGE], ids=["max", "average"])
def test_a_class_of_wrong_windows_is_seen(spec, where):
    """A backend that is wrong in one class of windows alone, on a border or inside, is found wrong."""
    case = large(spec)
    answer = pooled(case)
    answer[where] += 0.125
    with pytest.raises(Wrong, match=r"element \(\d+, \d+, \d+, \d+\) of values"):
        check(case, answer)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_are_seen(value):
    """NaN or infinity where a number belongs is wrong."""
    case = large()
    answer = pooled(case)
    answer[..., 5::8, :] = value
    with pytest.raises(Wrong, match="NaN or infinity"):
        check(case, answer)


def test_an_element_of_a_small_answer_is_seen():
    """A small answer is looked at whole, so one wrong element is seen wherever it is."""
    case = large(shape=(1, 3, 21, 17))
    answer = pooled(case)
    assert check(case, answer).elements == answer.size
    answer[0, 1, 4, 2] = np.nextafter(answer[0, 1, 4, 2], np.float32(2))
    with pytest.raises(Wrong, match=r"element \(0, 1, 4, 2\) of values"):
        check(case, answer)


def test_a_shifted_index_is_seen():
    """An index counted from one, in one channel, is wrong."""
    case = large(output="indices")
    answer = pooled(case)
    answer[:, 9] += 1
    with pytest.raises(Wrong, match=r"element \(\d, 9, \d+, \d+\) of indices"):
        check(case, answer)


def test_a_gradient_that_loses_mass_is_seen_in_every_plane():
    """A cotangent that is lost in one plane, whichever, is seen."""
    case = large(output="gradient")
    answer = pooled(case)
    lost = np.argmax(np.abs(answer[1, 17]))
    answer[1, 17].flat[lost] = 0
    with pytest.raises(Wrong, match="sample 1, channel 17"):
        check(case, answer)


def test_a_gradient_in_the_wrong_place_is_seen():
    """A gradient that keeps its mass but moves it is wrong."""
    case = large(output="gradient")
    with pytest.raises(Wrong, match=r"element \(\d+, \d+, \d+, \d+\) of gradient"):
        check(case, np.roll(pooled(case), 1, axis=3))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mass_of_half_types_is_granted_its_rounding(dtype):
    """Overlapping windows that are summed in float32 and rounded once keep their mass within the bound."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(5, 5), stride=(1, 1)))
    case = large(spec, shape=(1, 2, 24, 24))
    case = case.replace(x=text.generate("distinct", 1, case.x.shape, dtype))
    case = case.replace(output="gradient", cotangent=text.generate("uniform", 8, case.pooled_shape, dtype))
    assert check(case, oracle.pool(case).value.astype(case.x.dtype)).elements > 0


def test_bins_that_read_one_element_keep_their_mass():
    """Where there are more bins than elements, many meet in one, and the bound of the mass knows it."""
    spec = PoolSpec(reduction=Max(), windows=Adaptive(output_size=(40, 40)))
    case = Case(spec, text.generate("uniform", 1, (1, 1, 3, 3), "float32"))
    case = case.replace(output="gradient", cotangent=text.generate("uniform", 2, case.pooled_shape, "float32"))
    check(case, oracle.pool(case).value.astype(np.float32))


def test_a_norm_is_sampled():
    """A large Lp pooling is sampled as well, and a wrong one seen."""
    case = large(PoolSpec(reduction=Lp(p=2), windows=Sliding(kernel=(3, 4), stride=(2, 3))))
    view = np.lib.stride_tricks.sliding_window_view(case.x.astype(np.float64), (3, 4), axis=(2, 3))[:, :, ::2, ::3]
    answer = np.sqrt((view**2).sum(axis=(4, 5))).astype(np.float32)
    assert check(case, answer).elements < answer.size
    with pytest.raises(Wrong, match="of values"):
        check(case, answer * np.float32(1.0001))


@pytest.mark.parametrize(
    "spoil, message",
    [
        pytest.param(lambda answer: answer[:1], "shape", id="shape"),
        pytest.param(lambda answer: answer.astype(np.float64), "dtype float64", id="dtype"),
        pytest.param(lambda answer: answer.tolist(), "returned list", id="type"),
    ],
)
def test_the_form_is_checked(spoil, message):
    """The wrong shape, dtype or type is wrong."""
    case = large()
    with pytest.raises(Wrong, match=message):
        check(case, spoil(pooled(case)))


def test_a_wrong_answer_says_how_to_see_it_again():
    """The message ends with the case as one line of text, which parses back."""
    case = large()
    with pytest.raises(Wrong) as caught:
        check(case, pooled(case) + 1)
    line = str(caught.value).rpartition("the case: ")[2]
    assert text.parse(line)[1] == case


@pytest.mark.parametrize("shape", [(2, 33, 30, 15), (1, 1, 1, 900), (3, 5, 7, 8, 9), (1, 2, 9001)])
def test_the_sample_has_every_border_window(shape):
    """Every position on the border of the output is in the sample, in some plane, and each cell once."""
    spec = PoolSpec(reduction=Max(), windows=Sliding(kernel=(1,) * (len(shape) - 2)))
    cells = sample(Case(spec, np.zeros(shape, np.float32)), seed=3)
    positions = np.unravel_index(cells, shape)[2:]
    edge = np.zeros(cells.size, bool)
    for position, size in zip(positions, shape[2:], strict=True):
        edge |= (position == 0) | (position == size - 1)
    seen = set(zip(*(position[edge].tolist() for position in positions), strict=True))
    inner = np.prod([max(size - 2, 0) for size in shape[2:]])
    assert len(seen) == np.prod(shape[2:]) - inner
    assert np.unique(cells).size == cells.size
    assert cells.size >= min(SAMPLE // 2, np.prod(shape) // 2)


def test_checksums():
    """The checksum is of the numbers: memory order and the sign of zero do not matter, one bit of a number does."""
    array = text.generate("uniform", 3, (2, 3, 5, 7), "float32")
    array[0, 0, 0, 0] = 0.0
    turned = np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    turned[0, 0, 0, 0] = -0.0
    assert checksum(turned) == checksum(array)
    array[1, 2, 4, 6] = np.nextafter(array[1, 2, 4, 6], np.float32(2))
    assert checksum(turned) != checksum(array)


def test_large_cases_are_large():
    """The cases of this file are past the size that is checked whole."""
    assert taps(large()) > 100_000
