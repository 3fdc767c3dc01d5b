"""Tests of the bench on which seeded defects are tried."""

import numpy as np
import pytest

from backends import oracle
from backends.compare import assert_conforms
from backends.interface import Case, same_bits
from backends.spec import Average, Lp, Max, PoolSpec, Sliding
from properties.__main__ import laws
from properties.divergence import Divergence
from properties.laws import LawBroken
from properties.mutable import Steps
from properties.mutants import MUTANTS
from properties.recorded import FRAMEWORKS, Recorded
from properties.sensitivity import LEFT_OUT, Bench, Memory, Question, Stopwatch, intact, ordered, remembering, worked_out
from properties.subject import Subject

TORCH = next(framework for framework in FRAMEWORKS if framework.name == "torch")
DEFECTS = {f"{mutant.family}: {mutant.id}": mutant for mutant in MUTANTS}


def one_case(reduction=Max(), x=(1, 2, 3, 4), **more) -> Case:  # noqa: B008  # frozen
    spec = PoolSpec(reduction=reduction, windows=Sliding(kernel=(2,)))
    return Case(spec=spec, x=np.array([[x]], np.float32), **more)


def bench(*names: str, **more) -> Bench:
    return Bench([laws()[name] for name in names], more.get("framework"), more.get("rows", ()), Memory())


def test_memory_computes_once():
    """A function of a case is computed once for each case, and again after it was forgotten."""
    asked = []
    remembered = Memory(most=1)(lambda case: asked.append(case) or len(asked))
    first, second = one_case(), one_case(x=(4, 3, 2, 1))
    assert [remembered(case) for case in (first, one_case(), second, first)] == [1, 1, 2, 3]


def test_the_oracle_is_itself_again():
    """The oracle remembers while it is told to, and answers some cells as before."""
    plain, case = oracle.pool, one_case()
    with remembering(Memory()):
        assert oracle.pool(case) is oracle.pool(case)
        assert oracle.pool(case, [1]).value.tolist() == [4]
    assert oracle.pool is plain


def test_what_was_written_is_undone():
    """An input that a defect wrote to is as it was."""
    case = one_case()
    with intact([case]):
        case.x[...] = 9
    assert case.x.ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "defect, alike", [("buffers: next_call_overwrites", False), ("nan: max_drops", True), ("infinity: divisor_sign", True)]
)
def test_answers_alike(defect, alike):
    """A pooling answers alike if every answer is still right after the last."""
    cases = [one_case(), one_case(x=(4, 3, 2, 9))]
    assert bench("values").answers_alike(DEFECTS[defect].build(), cases) is alike


def test_a_written_cotangent_is_no_like_answer():
    """A pooling that writes to the cotangent does not answer alike."""
    case = one_case(output="gradient", cotangent=np.ones((1, 1, 2), np.float32))
    assert not bench("gradient").answers_alike(DEFECTS["strides: writes_its_cotangent"].build(), [case])


def test_a_defect_is_killed():
    """The verdict on a defect names the law that saw it, and how many cases it took."""
    verdict = bench("values", "indices").judge(DEFECTS["index: base_one"])
    assert verdict.killed_by == "indices"
    assert verdict.compared > 0
    assert "indices" in verdict.message


def test_what_showed_a_defect_is_put_first_to_the_next():
    """A question that showed a defect alone shows the same one beside a framework at once, if the framework can be asked it."""
    memory, law, defect = Memory(), [laws()["indices"]], DEFECTS["index: base_one"]
    alone = Bench(law, None, (), memory)
    beside = Bench(law, TORCH, (), memory, alone)
    assert alone.judge(defect).killed_by == "indices"
    (shown,) = alone.killers
    assert alone.judge(defect).compared == 1
    here = beside.here(shown)
    assert here is not None and here.case == shown.case
    assert beside.judge(defect).compared == 1
    rounds = [questions for _, questions in beside._rounds(None, Stopwatch())]
    assert rounds[0] == [here] and [here] not in rounds[1:], "what showed a defect alone and here is put once, before the laws"


def test_what_showed_a_defect_beside_a_framework_is_not_put_alone():
    """Alone a defect meets the suite's own questions only, so that its verdict does not depend on what was tried before."""
    memory, law, defect = Memory(), [laws()["indices"]], DEFECTS["index: base_one"]
    alone = Bench(law, None, (), memory)
    beside = Bench(law, TORCH, (), memory, alone)
    assert beside.judge(defect).killed_by == "indices"
    assert beside.killers and not alone.killers
    assert alone.judge(defect).killed_by == "indices"
    assert alone.killers[0] in alone.questions(law[0])


def test_what_a_framework_cannot_be_asked_is_no_question_there():
    """A question that showed a defect alone is left out beside a framework that cannot be asked it."""
    memory, law = Memory(), [laws()["values"]]
    alone = Bench(law, None, (), memory)
    assert alone.judge(DEFECTS["same side: lower_is_upper"]).killed_by == "values"
    assert Bench(law, TORCH, (), memory, alone).here(alone.killers[0]) is None


def test_a_question_is_put_beside_a_framework_without_the_defect_first():
    """Where the framework itself breaks a law on a question, that is not laid on the defect."""
    wrong = Divergence(
        id="off", backend="torch", variants=frozenset({""}), versions=">=2", verdict="bug", observed="", description="",
        smallest="max sliding kernel=1 values channels_first x=float32:1,1,1:0",
        where=lambda case: np.array(True), predict=lambda case, exact: exact.value + 1,
    )  # fmt: skip
    question = Question(law="values", case=one_case(), asked=(one_case(),))
    place = bench("values", framework=TORCH, rows=[wrong])
    assert place.here(question) is not None, "the row excuses what it predicts"
    place = bench("values", framework=TORCH, rows=[wrong])
    place.subject = lambda inner, rows=None: Subject(Recorded(TORCH, [wrong], inner), ())  # type: ignore[method-assign]
    with pytest.raises(LawBroken, match="without any defect"):
        place.here(question)


def test_a_defect_that_no_law_sees_survives():
    """A defect outlives laws that are not about it, and nothing that it answered differed."""
    verdict = bench("values").judge(DEFECTS["index: base_one"])
    assert verdict.killed_by is None
    assert verdict.differing == ()


def test_a_row_that_is_too_wide_hides_a_defect():
    """A defect that a row predicts survives, the verdict names the row, and without the row it is killed."""
    wide = Divergence(
        id="too-wide", backend="torch", variants=frozenset({""}), versions=">=2", verdict="bug", observed="", description="",
        smallest="max sliding kernel=1 indices channels_first x=float32:1,1,1:0",
        where=lambda case: np.array(case.output == "indices"), predict=lambda case, exact: exact.value + 1,
    )  # fmt: skip
    place = bench("indices", framework=TORCH, rows=[wide])
    verdict = place.judge(DEFECTS["index: base_one"])
    assert verdict.killed_by is None
    assert set(verdict.excused) == {"too-wide"}
    assert place.judge(DEFECTS["index: base_one"], rows=(), among=verdict.differing).killed_by == "indices"


def test_order():
    """Laws that are held to the definition come first, and those that stand-ins have nothing for are left out."""
    names = [law.name for law in ordered(list(laws().values()))]
    assert names[0] == "gradient"
    assert not set(names) & set(LEFT_OUT)
    assert len(names) == len(laws()) - len(LEFT_OUT)


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_slopes_keep_their_digits(p):
    """The slope of a norm is right for a subnormal beside a huge number."""
    slope = Steps().slope(5e-324, 1e308, p)
    assert slope == pytest.approx(float(np.longdouble(5e-324) ** (p - 1) / np.longdouble(1e308) ** (p - 1)), rel=1e-6)


@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan, 1e308])
def test_the_smallest_slope_hands_on_what_is_not_finite(weight):
    """An element whose slope underflows gets an infinite or NaN cotangent all the same, and nothing of a finite one."""
    spec = PoolSpec(reduction=Lp(p=33), windows=Sliding(kernel=(3,)))
    case = Case(spec=spec, x=np.array([[[1e-300, 0, -1e300]]]), output="gradient", cotangent=np.array([[[weight]]]))
    assert_conforms(case, Steps().answer(case))
    assert np.isfinite(weight) == (Steps().answer(case)[0, 0, 0] == 0)


def test_a_sum_within_the_range_is_finite_though_a_part_of_it_is_not():
    """Numbers that cancel have a finite sum, even 0, whatever their partial sums come to."""
    largest = float(np.finfo(np.float64).max)
    case = one_case(Average())
    assert Steps().total([largest, largest, -largest, -largest], case) == 0
    assert Steps().total([largest, largest, -largest], case) == largest
    assert Steps().total([largest, largest], case) == np.inf


def test_an_average_is_its_own():
    """The correct pooling's average of two is their mean."""
    case = one_case(Average())
    assert Steps().answer(case).ravel().tolist() == [1.5, 3.5]


@pytest.mark.parametrize(
    "reduction, takes, leaves", [(Max(), "maximum", "norm"), (Average(), "quotient", "maximum"), (Lp(p=2), "norm", "quotient")]
)
def test_the_steps_to_an_answer_are_noted(reduction, takes, leaves):
    """Of an answer it is known which steps lead to it, so that a defect in another step is not put to its question."""
    case = one_case(reduction)
    answer, taken = worked_out(case)
    assert same_bits(answer, Steps().answer(case))
    assert {"read", "finish", takes} <= taken and leaves not in taken
