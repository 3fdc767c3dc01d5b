"""Laws are put to a backend as they say, and say what they saw."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.errors import Unsatisfiable, UnsatisfiedAssumption

import properties.test_equivalence
import properties.test_large
import properties.test_paths
import properties.test_shape
import properties.test_values  # noqa: F401  # registers its laws
from backends import text
from backends.interface import Case, dtype_named
from backends.process import Remote
from backends.spec import Adaptive, Max, PoolSpec, Sliding, Windows
from properties.divergences_torch import ROWS
from properties.laws import REGISTRY, Budget, LawBroken, Trial, law
from properties.questions import question
from properties.subject import LEAST_PATIENCE, Subject
from properties.tests import strangers
from reports.record import Writer, load

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)
HERE = Path(strangers.__file__)


def trial(backend, name: str = "values", records: Writer | None = None) -> Trial:
    """A trial of one law against a backend."""
    return Trial(REGISTRY[name], Subject(backend, address=f"here.py:{type(backend).__name__}"), records, Budget(seconds=60))


def broken(backend, name: str = "values") -> str:
    """What a law says of a backend that breaks it."""
    one = trial(backend, name)
    with pytest.raises(LawBroken) as raised:
        one.law.test(one, QUICK)
    return str(raised.value)


def test_a_sound_backend_passes() -> None:
    """A backend that conforms passes, and the tally counts what was compared."""
    one = trial(strangers.Sound())
    one.law.test(one, QUICK)
    assert one.backend.tally.compared >= 60


def test_a_failure_shrinks_to_one_window() -> None:
    """A NaN defect shrinks to one window of at most four elements, and the printed line parses back to it."""
    message = broken(strangers.DropsNan())
    (line,) = (line for line in message.splitlines() if line.startswith("python -m properties"))
    name, case = text.parse(line.split("'")[1])
    assert name == "values"
    assert case.x.size <= 4
    assert line.endswith("--backend here.py:DropsNan")


@pytest.mark.parametrize(
    "stranger, says",
    [
        (strangers.WrongShape, "shape (1, 1, 1, 1, 1): expected (1, 1, 1, 1)"),
        (strangers.WrongType, "dtype float64: expected float32"),
        (strangers.NoArray, "fetch returned list: expected a NumPy array"),
        (strangers.ReadOnly, "fetch returned a read-only array"),
        (strangers.FetchRaises, "RuntimeError in fetch: the device is gone"),
        (strangers.Writes, "it wrote to its input: x has changed"),
    ],
)
def test_misbehaviour_is_named(stranger, says: str) -> None:
    """A backend that returns what it should not, raises, or writes to its input is named as doing that."""
    assert says in broken(stranger())


@pytest.mark.parametrize(
    "name, says",
    [("Dies", "signal:SIGSEGV"), ("Hangs", "no answer within"), ("Prints", "it printed 'pooling"), ("NoArray", "fetch returned")],
)
def test_misbehaviour_is_survived(name: str, says: str) -> None:
    """A backend in a process of its own that dies, hangs or prints is named as doing that, and this process goes on."""
    with Remote(f"{HERE}:{name}", time_limit=2 if name == "Hangs" else 30) as remote:
        subject = Subject(remote)
        case = Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2))), x=np.full((1, 1, 2, 2), -1, np.float32))
        with pytest.raises(AssertionError) as raised:
            subject.ask(case)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "name, law, says",
    [
        ("Dies", "large_arrays", "signal:SIGSEGV"),
        ("Writes", "large_arrays", "it wrote to its input"),
        ("Prints", "large_arrays", "it printed 'pooling"),
        ("DiesInGap", "again", "signal:SIGFPE"),
        ("DiesOnThreads", "one_thread_or_more", "signal:SIGBUS"),
        ("FailsBesides", "static_shape", "a shape that is inferred without computing: RuntimeError"),
        ("FetchRaises", "large_arrays", "RuntimeError in fetch: the device is gone"),
        ("Reuses", "values", "it wrote to an array that it had returned"),
    ],
)
def test_misbehaviour_ends_any_law_alike(tmp_path: Path, name: str, law: str, says: str) -> None:
    """However a law asks, a backend that dies, raises, writes to its input or prints is named and recorded, with a line that asks again."""
    address = f"{HERE}:{name}"
    with Remote(address) as remote, Writer(tmp_path) as records:
        one = Trial(REGISTRY[law], Subject(remote, address=address), records, Budget(seconds=60))
        with pytest.raises(pytest.fail.Exception) as raised:
            one.all()
    assert says in str(raised.value)
    assert f"python -m properties '{law}: " in str(raised.value)
    loaded = load(tmp_path)
    assert says in loaded.tallies[-1].message
    assert says in loaded.observations[-1].message


@pytest.mark.parametrize(
    "stranger, says", [(strangers.WrongOnce, "off by 1"), (strangers.Reuses, "it wrote to an array that it had returned")]
)
def test_what_fails_once_is_told_with_its_case(tmp_path: Path, stranger, says: str) -> None:
    """A failure that is gone when the case is asked again breaks the law all the same, with the line that asks it, and says that it went."""
    with Writer(tmp_path) as records, pytest.raises(pytest.fail.Exception) as raised:
        trial(stranger(), records=records).all()
    assert says in str(raised.value) and "python -m properties 'values: " in str(raised.value)
    assert "the answer depends on what was asked before" in str(raised.value)
    assert load(tmp_path).tallies[-1].status == "failed"


def test_nothing_compared_is_not_run(tmp_path: Path) -> None:
    """A law whose every case is a gap is recorded as not run, with the reason, and skipped: never passed."""
    with Writer(tmp_path) as records, pytest.raises(pytest.skip.Exception):
        trial(strangers.RefusesAll(), records=records).all()
    (tally,) = load(tmp_path).tallies
    assert (tally.status, tally.compared) == ("not run", 0)
    assert "cannot say: anything" in tally.message


def test_no_subjects_is_not_run(tmp_path: Path) -> None:
    """A law about something that a backend does not have is recorded as not run."""
    with Writer(tmp_path) as records, pytest.raises(pytest.skip.Exception):
        trial(strangers.Sound(), "gradient", records).all()
    assert load(tmp_path).tallies[0].status == "not run"


def test_failures_are_recorded_with_their_case(tmp_path: Path) -> None:
    """A broken law leaves the smallest case, both values and the bound in the records, and fails in pytest's terms."""
    with Writer(tmp_path) as records, pytest.raises(pytest.fail.Exception):
        trial(strangers.DropsNan(), records=records).all()
    loaded = load(tmp_path)
    assert loaded.tallies[-1].status == "failed"
    failed = [one for one in loaded.observations if one.status == "diverges"]
    assert failed[-1].expected == "nan"
    assert text.parse(failed[-1].case)[1].x.size <= 4


def test_a_case_is_recorded_with_what_it_asks(tmp_path: Path) -> None:
    """Each compared case is recorded, with the attributes of the question."""
    with Writer(tmp_path) as records:
        one = trial(strangers.Sound(), records=records)
        one.law.test(one, QUICK)
    observations = load(tmp_path).observations
    assert len(observations) == one.backend.tally.compared
    assert {"reduction", "windows", "dtype", "layout", "output", "memory", "values"} <= set(observations[0].question)
    assert {observation.status for observation in observations} == {"conforms"}


@pytest.mark.parametrize("count, stays, vacuous", [(300, 256, 1), (300, 300, 0), (3, 3, 0)])
def test_comparisons_that_say_little_are_counted(count: int, stays: int, vacuous: int) -> None:
    """A compared case of which a bound that may take half of a sum excused something is counted as vacuous."""

    class Stagnant(strangers.Sound):
        name, version = "torch", "2.13.0"
        bfloat16: ClassVar[dict] = {"windows": {"adaptive"}, "ndims": {1}, "dtypes": {"bfloat16"}, "outputs": {"gradient"}}
        capabilities: ClassVar[dict] = {"max": strangers.Sound.capabilities["max"] | bfloat16}

        def bind(self, case: Case):
            return lambda: case.x * case.x.dtype.type(stays)

    one = Trial(REGISTRY["crowded_gradients"], Subject(Stagnant(), ROWS), None, Budget(seconds=60))
    x = np.ones((1, 1, 1), dtype_named("bfloat16"))
    spec = PoolSpec(reduction=Max(), windows=Adaptive(output_size=(count,)))
    one.put(Case(spec=spec, x=x, output="gradient", cotangent=np.ones((1, 1, count), x.dtype)))
    assert (one.backend.tally.compared, one.backend.tally.vacuous) == (1, vacuous)


def test_the_budget_ends_a_law() -> None:
    """Past its budget of seconds a law asks nothing more."""
    one = Trial(REGISTRY["values"], Subject(strangers.Sound()), None, Budget(seconds=-1))
    one.law.test(one, QUICK)
    assert one.backend.tally.drawn == 0


def test_every_case_filtered() -> None:
    """A law that filters every case says so by Hypothesis' own exception."""
    one = trial(strangers.RefusesAll())
    with pytest.raises(Unsatisfiable):
        one.law.test(one, QUICK)


def test_a_law_needs_a_claim() -> None:
    """A law without a docstring is refused: it is its claim."""
    with pytest.raises(ValueError, match="its docstring is its claim"):

        @law(outputs={"values"})
        def test_nameless(backend, case):
            pass


@pytest.mark.parametrize(
    "x, says",
    [
        (np.float32([[[[np.nan, 1e-45]]]]), "nan subnormal"),
        (np.float32([[[[-np.inf, 3e38]]]]), "-inf huge"),
        (np.float32([[[[1, 2]]]]), "finite"),
        (np.int8([[[[-128, 2]]]]), "integer extremes"),
        (np.uint8([[[[0, 2]]]]), "integers"),
        (np.uint8([[[[0, 255]]]]), "integer extremes"),
        (np.zeros((0, 1, 1, 2), np.int8), "integers"),
    ],
)
def test_questions_name_the_values(x: np.ndarray, says: str) -> None:
    """What hurts in an input is among the attributes of its question."""
    assert question(Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 1))), x=x))["values"] == says


@pytest.mark.parametrize(
    "shape, windows, says",
    [
        ((1, 1, 4, 4), Sliding(kernel=(1, 1)), {"batch": "1", "channels": "1", "kernel": "1", "stride": "windows adjoin"}),
        ((0, 2, 4, 4), Sliding(kernel=(2, 2)), {"batch": "empty", "channels": "2 to 7", "kernel": "2 to 3", "axes": "alike in part"}),
        ((2, 17, 9, 8), Sliding(kernel=(3, 4), stride=(1, 2)), {"channels": "17 to 64", "kernel": "4 to 8", "stride": "windows overlap"}),
        ((3, 65, 90, 80), Sliding(kernel=(33, 9), stride=(1, 2)), {"batch": "2 or more", "channels": "65 or more", "kernel": "33 or more"}),
        ((1, 1, 9, 8), Sliding(kernel=(2, 3), stride=(1, 4)), {"stride": "windows leave gaps", "axes": "distinct"}),
        ((1, 1, 9, 8), Sliding(kernel=(2, 3), stride=(1, 4), padding=((1, 1), (1, 1))), {"axes": "alike in part"}),
        ((1, 1, 9, 8), Sliding(kernel=(2, 3), stride=(1, 4), dilation=(2, 2)), {"axes": "alike in part"}),
        (
            (1, 1, 9, 8),
            Sliding(kernel=(2, 3), stride=(1, 4), padding=((0, 0), (1, 1)), dilation=(2, 1)),
            {"axes": "distinct, pads and dilations too"},
        ),
        ((1, 1, 9), Sliding(kernel=(2,), stride=(3,), dilation=(2,)), {"stride": "windows adjoin"}),
        ((1, 1, 9, 8), Adaptive(output_size=(1, 1)), {"bins": "one an axis"}),
        ((1, 1, 9, 8), Adaptive(output_size=(3, 1)), {"bins": "of one size"}),
        ((1, 1, 9, 8), Adaptive(output_size=(3, 5)), {"bins": "of two sizes"}),
        ((1, 1, 9, 8), Adaptive(output_size=(2, 9)), {"bins": "more than elements"}),
    ],
)
def test_questions_name_the_sizes(shape: tuple[int, ...], windows: Windows, says: dict[str, str]) -> None:
    """The class of each size, and how windows follow one another, are among the attributes of a question."""
    asked = question(Case(spec=PoolSpec(reduction=Max(), windows=windows), x=np.zeros(shape, np.float32)))
    assert says.items() <= asked.items()


def test_questions_name_the_cotangent() -> None:
    """How a cotangent lies in memory, and what hurts in it, are among the attributes of a gradient's question, and of no other."""
    case = Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 1))), x=np.zeros((1, 1, 1, 2), np.float32))
    gradient = case.replace(output="gradient", cotangent=np.float32([[[[np.nan, np.inf]]]])[..., ::-1])
    asked = question(gradient)
    assert (asked["memory"], asked["values"]) == ("contiguous", "finite")
    assert (asked["cotangent_memory"], asked["cotangent_values"]) == ("negative strides", "nan +inf")
    assert not {"cotangent_memory", "cotangent_values"} & set(question(case))


def test_a_backend_that_hangs_is_waited_for_seldom() -> None:
    """After the first answer that does not come a law asks that case alone again, with less patience, and names it."""
    with Remote(f"{HERE}:Hangs", time_limit=8) as remote:
        one = Trial(REGISTRY["values"], Subject(remote), None, Budget(seconds=60))
        asked = []
        ask = remote.ask
        remote.ask = lambda case, **heed: asked.append(text.write(case)) or ask(case, **heed)
        with pytest.raises(LawBroken, match="no answer within"):
            one.law.test(one, QUICK)
    assert len(set(asked)) == 1 and len(asked) <= 4
    assert remote.time_limit == LEAST_PATIENCE


@pytest.mark.filterwarnings("ignore:using `reject:hypothesis.errors.HypothesisDeprecationWarning")
def test_a_law_whose_time_is_up_rejects_what_it_rejected() -> None:
    """A case that is put again after the law's time is up ends as before: Hypothesis would call it flaky."""
    refused = Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 1))), x=np.zeros((1, 1, 2, 2), np.float64))
    other = refused.replace(x=np.ones((1, 1, 2, 2), np.float64))
    one = trial(strangers.Sound(), "values")
    with pytest.raises(UnsatisfiedAssumption):
        one.put(refused)
    one.budget = Budget(seconds=0)
    with pytest.raises(UnsatisfiedAssumption):
        one.put(refused.replace(x=refused.x.copy()))
    one.put(other)
    assert one.backend.tally.compared == 0


@pytest.mark.parametrize("compiles, asked", [(False, 1), (True, 0)])
def test_a_law_has_less_time_where_specs_are_compiled(compiles: bool, asked: int) -> None:
    """Of a backend that compiles each spec a law asks nothing more after the share of time that such backends have."""
    backend = strangers.Sound()
    backend.compiles = compiles
    one = trial(backend, "values")
    one.budget = Budget(seconds=1000, compiled=0.5)
    one.started -= 0.8 * 1000 * one.law.examples
    one.put(Case(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 1))), x=np.zeros((1, 1, 2, 2), np.float32)))
    assert one.backend.tally.compared == asked
