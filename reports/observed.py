"""Observations counted: which questions each backend was asked, and what it answered.

A run may leave hundreds of thousands of observations and only thousands of different questions;
everything else works on these counts.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reports.record import KnownDivergence, Record

PHRASES = ("integer extremes", "finite", "integers")
MOST_KEPT = 50
PLAIN_VALUES = frozenset({"finite", "integers"})
BAD_CALL = "bad_call"
BAD_LAWS = "bad_"
"""How the names of laws begin that make calls which must be refused."""

Question = tuple[tuple[str, str], ...]
Key = tuple[str, str]
"""An attribute and its value: ("dtype", "float16")."""


@dataclass(kw_only=True, eq=False)
class Group:
    """The answers of one backend to one question that came out the same way.

    `outcome`: "conforms", "unsupported", or the anchors' name of a deviation: ("known", id) or
    ("new", law). `smallest` is the record with the shortest text, `few` are some of those that deviate. An answer that several known
    deviations explain is in several groups, and in the `answers` of the first alone.
    """

    backend: str
    question: Question
    outcome: tuple[str, str]
    smallest: Record
    few: list[Record] = field(default_factory=list)
    laws: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    count: int = 0
    answers: int = 0

    @functools.cached_property
    def keys(self) -> list[Key]:
        """The attributes and values that the question has; special values one by one."""
        return [key for attribute, value in self.question for key in split(attribute, value)]

    @functools.cached_property
    def special(self) -> bool:
        """Whether it holds values that are not everyday numbers, or is a call that must be refused."""
        asked = dict(self.question)
        return BAD_CALL in asked or not all(value in PLAIN_VALUES for _, value in split("values", asked.get("values", "finite")))


def split(attribute: str, value: str) -> list[Key]:
    """("values", "nan +inf") is two keys; every attribute that names no values is one."""
    if attribute not in ("values", "cotangent_values") or value in PHRASES:
        return [(attribute, value)]
    return [(attribute, word) for word in value.split()]


def outcomes(record: Record) -> list[tuple[str, str]]:
    """What a record came to: several known divergences can meet in one answer."""
    if record.status in ("conforms", "unsupported"):
        return [(record.status, "")]
    if record.divergence:
        return [("known", ident.strip()) for ident in record.divergence.split(",") if ident.strip()]
    return [("new", record.law)]


def grouped(records: Iterable[Record]) -> list[Group]:
    """Count records by backend, question and outcome."""
    groups: dict[tuple[str, Question, tuple[str, str]], Group] = {}
    questions: dict[tuple[str, ...], Question] = {}
    for record in records:
        asked: Mapping[str, str] = record.question
        if record.law.startswith(BAD_LAWS) and BAD_CALL not in asked:
            asked = {**asked, BAD_CALL: record.law.replace("_", " ")}
        written = tuple(map(str, itertools.chain.from_iterable(asked.items())))
        if written not in questions:
            questions[written] = tuple(sorted(zip(written[::2], written[1::2], strict=True)))
        question = questions[written]
        for place, outcome in enumerate(outcomes(record)):
            key = record.backend, question, outcome
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(backend=record.backend, question=question, outcome=outcome, smallest=record)
            smaller = len(record.case) < len(group.smallest.case)
            if smaller:
                group.smallest = record
            if outcome[0] in ("known", "new"):
                if len(group.few) < MOST_KEPT:
                    group.few.append(record)
                elif smaller:
                    group.few[-1] = record
            group.count += 1
            group.statuses[record.status] += 1
            group.answers += place == 0
            group.laws.add(record.law)
    return list(groups.values())


def full_names(divergence: KnownDivergence) -> list[str]:
    """The backends that a divergence is about, each with its variant after a colon, whichever of them recorded it."""
    variants = divergence.variants
    if not variants or isinstance(variants, str | Mapping) or not isinstance(variants, Iterable):
        variants = [variants] if isinstance(variants, str) else []
    plain = divergence.backend.partition(":")[0] if variants else divergence.backend
    names = [f"{plain}:{variant}" if variant else plain for variant in map(str, variants)]
    return names or [divergence.backend]
