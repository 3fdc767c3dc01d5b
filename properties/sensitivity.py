"""How sure the laws are to see a seeded defect: the whole suite, put to one wrong pooling after the other.

Hundreds of defects are asked the same questions, so a question is drawn once, by putting its law to
the pooling that has no defect, and what the definition says of it is computed once.
"""

import dataclasses
import functools
import gc
import inspect
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable, UnsatisfiedAssumption

from backends import oracle
from backends.interface import Backend, Case, Unsupported, same_bits
from properties.divergence import Divergence
from properties.laws import Budget, Law, LawBroken, Trial
from properties.mutable import Steps
from properties.mutant import Mutant
from properties.recorded import Framework, Recorded, remembered
from properties.subject import Subject

FIRST = (
    "gradient",
    "values",
    "indices",
    "clipped_windows",
    "counted_padding",
    "extremes",
    "one_hurting_value",
    "windows_of_infinities",
    "infinite_sums",
    "infinite_cotangents",
    "integers",
    "vector_tails",
    "long_axes",
    "long_sums",
    "wide_windows_that_hurt",
    "heads",
    "real_layers",
    "wide_windows",
    "one_attribute_apart",
)
"""Laws that hold answers to the definition see most defects, so they are put first; the others say something else about an answer."""

LEFT_OUT = {
    "eager_or_compiled": "a stand-in has no compiled variant",
    "large_arrays": "one case takes minutes without a kernel",
    "large_planes": "one case takes minutes without a kernel",
    "means_past_2_to_the_24": "one case takes minutes without a kernel",
    "one_thread_or_more": "a stand-in has one thread",
    "past_2_to_the_24": "one case takes minutes without a kernel",
    "static_shape": "a stand-in infers no shape without computing",
    "with_a_gradient_recorded": "a stand-in records nothing for differentiation",
    "with_indices": "a stand-in returns one thing at a time",
}
"""Laws that are not put to stand-ins, and why."""

ALONE = "alone"
MOST_REMEMBERED = 200_000
"""A worker of `tox -e sensitivity` comes to 1.1 GB with so many answers."""

EVERY: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
    "report_multiple_bugs": False,
}
EXAMPLES = {"alone": 100, "beside": 24}
"""How many cases a law draws: that the laws see a defect is shown alone, and beside a framework only that no row hides it."""
WHOLE = {"infinite_cotangents", "large_extents", "real_layers"}
"""Laws that go through a table, or draw much that a framework's rows excuse: as much is asked beside one as alone."""
UNBOUNDED = Budget(seconds=1e9)


def ordered(laws: Sequence[Law]) -> list[Law]:
    """Laws in the order in which they are put."""
    rank = {name: place for place, name in enumerate(FIRST)}
    return sorted((law for law in laws if law.name not in LEFT_OUT), key=lambda law: (rank.get(law.name, len(FIRST)), law.name))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which law saw a defect, after how many cases that it can change and seconds of processor time; None if none did.

    Both are of a bench that remembers: what showed another defect is put first, and beside a framework what showed this one alone.
    """

    compared: int
    seconds: float
    killed_by: str | None = None
    message: str = ""
    differing: "tuple[Question, ...]" = ()
    """What a survivor answered otherwise than the correct pooling, if anything."""
    excused: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Elements that each row excused, where laws held nevertheless."""


class Stopwatch:
    """Seconds of processor time: of a machine that others use as well, the clock on the wall says little."""

    def __init__(self) -> None:
        self.start = time.process_time()

    def seconds(self) -> float:
        return time.process_time() - self.start

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done meanwhile does not count."""
        since = time.process_time()
        yield
        self.start += time.process_time() - since


# --- what is computed once -----------------------------------------------------------------------


class Memory:
    """Remembers what functions of a case gave, up to a number of answers; the longest unused is forgotten."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self.most = most
        self.known: OrderedDict[tuple, Any] = OrderedDict()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function of a case, computed once for each; other arguments must follow from the case."""

        @functools.wraps(function)
        def remembering(case: Case, *others: Any) -> Any:
            key = (function, *_bits(case))
            if key in self.known:
                self.known.move_to_end(key)
                return self.known[key]
            found = self.known[key] = function(case, *others)
            if len(self.known) > self.most:
                self.known.popitem(last=False)
            return found

        return remembering


def _bits(case: Case) -> tuple:
    x, g = case.x, case.cotangent
    return case.spec, case.layout, case.output, x.dtype.name, x.shape, x.strides, x.tobytes(), None if g is None else g.tobytes()


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """While this lasts, the oracle answers each case once.

    Python looks for garbage less often: what is remembered is none, and going through it over and over took a third of the time.
    """
    thresholds = gc.get_threshold()
    pool, remembered_pool = oracle.pool, memory(oracle.pool)

    def asked(case: Case, cells: oracle.Cells | None = None) -> oracle.Exact:
        return remembered_pool(case) if cells is None else pool(case, cells)

    oracle.pool = asked
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        oracle.pool = pool


class Noting(Steps):
    """The correct pooling, which notes the steps that it takes: a step that was taken has the plain one in its place."""

    STEPS = frozenset(name for name, step in vars(Steps).items() if inspect.isfunction(step))

    @property
    def taken(self) -> frozenset[str]:
        return self.STEPS & self.__dict__.keys()


def _noting(name: str) -> Callable[..., Any]:
    def first(self: Noting, *arguments: Any) -> Any:
        self.__dict__[name] = step = getattr(super(Noting, self), name)
        return step(*arguments)

    return first


for _name in Noting.STEPS:
    setattr(Noting, _name, _noting(_name))


def worked_out(case: Case) -> tuple[np.ndarray, frozenset[str]]:
    """The correct answer, and the steps that lead to it: a defect in no other can change it."""
    steps = Noting()
    return steps.fetch(steps.bind(case)()), steps.taken


class Correct(Steps):
    """The correct pooling, which computes each answer once, and keeps what it is asked if there is a list for it."""

    def __init__(self, answers: Callable[[Case], np.ndarray], asked: list[Case] | None = None) -> None:
        self.answers, self.asked = answers, asked

    def bind(self, case: Case) -> Callable[[], np.ndarray]:
        if self.asked is not None:
            self.asked.append(case)
        return lambda: self.answers(case).copy()


# --- questions -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A case that a law was put on, and every case that it asked of the backend for that. No question equals another."""

    law: str
    case: Case
    asked: tuple[Case, ...]


class Drawing(Trial):
    """A trial that keeps the questions that were compared; `asked` is where the backend notes what it is asked."""

    def __init__(self, law: Law, subject: Subject, asked: list[Case]) -> None:
        super().__init__(law, subject, None, UNBOUNDED)
        self.asked, self.questions = asked, list[Question]()

    def put(self, case: Case) -> None:
        self.asked.clear()
        super().put(case)
        self.questions.append(Question(law=self.law.name, case=case, asked=tuple(self.asked)))


class Asking(Drawing):
    """The same outside Hypothesis, which is told of a case that cannot be asked by an exception of its own."""

    def _filter(self, case: Case, reason: str) -> NoReturn:
        raise Unsupported(reason)


@contextmanager
def intact(cases: Iterable[Case]) -> Iterator[None]:
    """What a defect writes to its input is undone, since others are asked the same."""
    arrays = [array for case in cases for array in (case.x, case.cotangent) if array is not None and array.flags.writeable]
    kept = [array.copy() for array in arrays]
    try:
        yield
    finally:
        for array, before in zip(arrays, kept, strict=True):
            array[...] = before


class Bench:
    """Where defects are tried: alone, or on top of what a framework is recorded to do.

    `killers` are the questions that showed a defect here, the latest first: what showed one often shows the next. What showed one
    on the bench `alone` is put here as well, and nothing the other way: alone the suite's own questions are all that there is.
    """

    def __init__(
        self,
        laws: Sequence[Law],
        framework: Framework | None = None,
        rows: Sequence[Divergence] = (),
        memory: Memory | None = None,
        alone: "Bench | None" = None,
    ) -> None:
        self.memory, self.alone = memory or Memory(), alone
        self.killers: list[Question] = []
        self.laws, self.framework = ordered(laws), framework
        self._named = {law.name: law for law in self.laws}
        self.rows = tuple(remembered(row, self.memory) for row in rows)
        self.worked_out = self.memory(worked_out)
        self._questions: dict[str, list[Question]] = {}
        self._here: dict[Question, Question | None] = {}

    def answers(self, case: Case) -> np.ndarray:
        """The correct answer."""
        answer: np.ndarray = self.worked_out(case)[0]
        return answer

    @property
    def name(self) -> str:
        return ALONE if self.framework is None else self.framework.name

    def subject(self, inner: Backend, rows: Sequence[Divergence] | None = None) -> Subject:
        """A pooling as laws question it: by itself, or on top of the framework; `rows` stand for the framework's own."""
        if self.framework is None:
            return Subject(inner, ())
        rows = self.rows if rows is None else rows
        return Subject(Recorded(self.framework, rows, Correct(self.answers), inner), rows)

    def questions(self, law: Law) -> list[Question]:
        """What a law asks, drawn when it is first wanted.

        Raises:
            LawBroken: the law does not hold without any defect.
        """
        if law.name not in self._questions:
            asked: list[Case] = []
            drawing = Drawing(law, self.subject(Correct(self.answers, asked)), asked)
            if law.applies(drawing.backend):
                with suppress(Unsatisfiable):
                    law.test(drawing, self._drawn(law))
            self._questions[law.name] = drawing.questions
        return self._questions[law.name]

    def _drawn(self, law: Law) -> settings:
        few = self.framework is not None and law.name not in WHOLE
        return settings(max_examples=EXAMPLES["beside" if few else ALONE], derandomize=True, **EVERY)

    def here(self, question: Question) -> Question | None:
        """A question that was drawn on the bench `alone`, as it is put on this one; None if it cannot be asked.

        Raises:
            LawBroken: the law does not hold without any defect.
        """
        if question not in self._here:
            asked: list[Case] = []
            asking = Asking(self._named[question.law], self.subject(Correct(self.answers, asked)), asked)
            with intact((question.case,)), suppress(Unsupported, UnsatisfiedAssumption):
                try:
                    asking.put(question.case)
                except LawBroken as broken:
                    raise LawBroken(f"without any defect: {broken}") from broken
            self._here[question] = next(iter(asking.questions), None)
        return self._here[question]

    def judge(self, mutant: Mutant, rows: Sequence[Divergence] | None = None, among: Sequence[Question] | None = None) -> Verdict:
        """Put every law to a pooling with a defect, until one breaks; `rows` stand for the framework's own.

        Questions that showed a defect before come first. Where it answers everything that a law asks as the correct pooling
        does, the law holds as it did when it was drawn. `among` are the questions that it is known to answer otherwise, if
        these are to be put alone.
        """
        clock, compared = Stopwatch(), 0
        differing: list[Question] = []
        excused: Counter[str] = Counter()
        for law, questions in self._rounds(among, clock):
            wrong = mutant.build()
            subject = self.subject(wrong, rows)
            trial = Trial(law, subject, None, UNBOUNDED)
            for question in questions:
                if not any(mutant.steps.keys() & self.worked_out(case)[1] for case in question.asked):
                    continue
                compared += 1
                with intact(question.asked):
                    if self.answers_alike(wrong, question.asked):
                        continue
                differing.append(question)
                with intact((question.case,)), suppress(UnsatisfiedAssumption):
                    try:
                        trial.put(question.case)
                    except LawBroken as broken:
                        self.killers = [question, *(other for other in self.killers if other is not question)]
                        return Verdict(killed_by=law.name, compared=compared, seconds=clock.seconds(), message=str(broken))
                excused.update(subject.excused)
        return Verdict(compared=compared, seconds=clock.seconds(), differing=tuple(differing), excused=excused)

    def _rounds(self, among: Sequence[Question] | None, clock: Stopwatch) -> Iterator[tuple[Law, Sequence[Question]]]:
        """Laws, and what each is to be put on, in that order; what is drawn for it does not count."""
        if among is not None:
            for law in self.laws:
                yield law, [question for question in among if question.law == law.name]
            return
        put = set[Question]()
        for question in self.alone.killers if self.alone else ():
            with clock.stopped():
                mine = self.here(question) if question.law in self._named else None
            if mine is not None:
                put.add(mine)
                yield self._named[mine.law], [mine]
        for question in self.killers:
            if question not in put:
                yield self._named[question.law], [question]
        for law in self.laws:
            with clock.stopped():
                questions = self.questions(law)
            yield law, questions

    def answers_alike(self, wrong: Backend, cases: Sequence[Case]) -> bool:
        """Whether a pooling answers cases as the correct one does, bit by bit and still after the last, and leaves its input alone."""
        expected, before = [self.answers(case) for case in cases], [_bits(case) for case in cases]
        try:
            answers = [wrong.fetch(wrong.bind(case)()) for case in cases]
        except Exception:  # a defect may raise anything
            return False
        return [_bits(case) for case in cases] == before and all(map(same_bits, answers, expected))
