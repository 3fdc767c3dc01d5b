"""The kinds of line that a run leaves behind, one frozen dataclass each; `record.py` writes and reads them."""

import dataclasses
import functools
import hashlib
import json
import math
import platform
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar

from reports import machine

SCHEMA = 1

Numbers = Mapping[str, Mapping[str, Any]]
"""Raw numbers by name, each {"value": float, "unit": str}; a value that is not finite is kept as a word."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What every line has; `environment` is filled in by the Writer."""

    kind: ClassVar[str]
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    schema: int = SCHEMA
    environment: str = ""

    def __post_init__(self) -> None:
        values = vars(self)
        for name, first, classes in _types(type(self)):  # type: ignore[arg-type]  # a class is hashable, whatever its objects are
            value = values[name]
            # Nearly every value has the first class exactly, and a folder has hundreds of thousands of lines.
            if type(value) is not first and not isinstance(value, classes):
                raise ValueError(f"{self.kind}: {name}={value!r}: expected {' or '.join(held.__name__ for held in classes)}")
        for name, allowed in self.words.items():
            if values[name] not in allowed:
                raise ValueError(f"{self.kind}: {name}={values[name]!r}: expected one of {', '.join(map(str, allowed))}")

        for name, number in (values.get("numbers") or {}).items():
            if not isinstance(number, Mapping) or "value" not in number:
                raise ValueError(f"{self.kind}: numbers[{name!r}]={number!r}: expected {{'value': ..., 'unit': ...}}")

    def to_json(self) -> str:
        """The line, without its end; any text survives, lone surrogates too."""
        fields = {name: value for name, value in vars(self).items() if value is not None and value != {}}
        if "numbers" in fields:
            fields["numbers"] = _worded(fields["numbers"])
        return json.dumps({"kind": self.kind, **fields}, default=_plain, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class Record(Line):
    """One answer of one backend, held against a law.

    `case` is the case's one line of text. `question` says what was asked, attribute by attribute
    (reduction, windows, ndim, dtype, layout, output, padding, dilation, ceil_mode,
    count_include_pad, divisor, values, ...): coverage is counted from it. `expected`, `actual` and `bound`
    are short texts, given where they differ. `divergence` is the id of a known one that
    explains the deviation; a record that "diverges" without one is unexplained.
    """

    kind: ClassVar[str] = "observation"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"status": ("conforms", "diverges", "unsupported", "crashed", "error")}

    law: str
    case: str
    backend: str
    version: str
    status: str
    device: str = "cpu"
    expected: str | None = None
    actual: str | None = None
    bound: str | None = None
    divergence: str | None = None
    message: str = ""
    native: str | None = None
    numbers: Numbers = field(default_factory=dict)
    seed: int | None = None
    question: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Loading(Line):
    """Whether a backend could be loaded at all, and what it declares that it can do."""

    kind: ClassVar[str] = "backend"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"status": ("loaded", "missing", "broken")}

    backend: str
    status: str
    version: str = ""
    device: str = ""
    message: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gap(Line):
    """A question that a backend cannot be asked, and why: "refuses: ..." or "cannot say: ..."."""

    kind: ClassVar[str] = "gap"

    backend: str
    reduction: str
    reason: str
    question: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tally(Line):
    """What one law saw of one backend when it had finished; a law without one was interrupted.

    `known`: how many deviations a known divergence explained. `vacuous`: how many of the compared cases
    were granted a bound so wide that rounding may take half of a sum. `seconds`: how long it took.
    """

    kind: ClassVar[str] = "tally"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"status": ("passed", "failed", "not run")}

    law: str
    claim: str
    backend: str
    status: str
    drawn: int = 0
    filtered: int = 0
    compared: int = 0
    known: int = 0
    vacuous: int = 0
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class KnownDivergence(Line):
    """A deviation that is known, as it was found again in this run.

    `documentation` is the sentence of the framework's own documentation that it breaks, or
    follows; `since` the first version known to show it.
    """

    kind: ClassVar[str] = "divergence"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"verdict": ("convention", "precision", "bug", "crash")}

    id: str
    backend: str
    verdict: str
    variants: Any = ()
    versions: str = ""
    outcome: str = "wrong"
    smallest: str = ""
    observed: str = ""
    expected: str = ""
    upstream: str | None = None
    native: str | None = None
    description: str = ""
    documentation: str | None = None
    since: str | None = None


@dataclass(frozen=True, kw_only=True)
class Experiment(Line):
    """What one experiment measured on one backend; `arrays` names an .npz file in the same folder."""

    kind: ClassVar[str] = "experiment"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"holds": (True, False, None)}

    experiment: str
    claim: str
    backend: str
    holds: bool | None = None
    sentence: str = ""
    numbers: Numbers = field(default_factory=dict)
    arrays: str | None = None


@dataclass(frozen=True, kw_only=True)
class Porting(Line):
    """One pooling as one framework says it, and whether a run of that code gave the definition's answers.

    `way` is one pooling, the same in every framework; `own` says that the framework has one call for
    it. `code` sets `y` from `x`, after `imports`. `text` is what went wrong and what a reader should know.
    """

    kind: ClassVar[str] = "porting"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"verified": (True, False), "own": (True, False)}

    way: str
    title: str
    framework: str
    code: str
    verified: bool
    own: bool = False
    version: str = ""
    imports: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Mutant(Line):
    """One seeded defect, and the law that saw it; nobody did where `killed_by` is None.

    `beside` is the framework on top of whose divergences it was tried; `known` names those that are this very defect.
    `seconds` are of processor time.
    """

    kind: ClassVar[str] = "mutant"

    mutant: str
    family: str
    killed_by: str | None = None
    seconds: float = 0.0
    beside: str = ""
    known: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchmarkProblem(Line):
    """A workload that a backend could not be timed on: its answer was wrong, or it failed; never a time.

    `created` is when it happened, `threads` and `mode` ("warm", "cold") are what was asked for, `device` where it ran; "" where
    nobody said.
    """

    kind: ClassVar[str] = "benchmark-problem"
    words: ClassVar[Mapping[str, tuple[Any, ...]]] = {"status": ("wrong", "error", "timeout", "memory")}

    workload: str
    backend: str
    layout: str
    output: str
    status: str
    message: str = ""
    created: str = ""
    threads: str = ""
    mode: str = ""
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment(Line):
    """Where a run happened. `id` depends on the machine and the versions alone, not on the load.

    Bytes for memory and caches; `load` is the mean number of runnable processes over one minute.
    """

    kind: ClassVar[str] = "environment"

    id: str = ""
    created: str = ""
    cpu: str = ""
    cores: int = 0
    memory: int = 0
    caches: Mapping[str, str] = field(default_factory=dict)
    os: str = ""
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    threads: Mapping[str, str] = field(default_factory=dict)
    load: float | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def capture(cls, notes: Iterable[str] = ()) -> "Environment":
        """The environment of this process; versions are read from metadata, nothing is imported."""
        stable = machine.describe()
        # The host's name tells two machines of one model apart; only its digest is kept.
        told_apart = json.dumps([stable, platform.node()], sort_keys=True).encode()
        ident = hashlib.sha256(told_apart).hexdigest()[:12]
        return cls(
            id=ident,
            environment=ident,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            threads=machine.threads(),
            load=machine.load(),
            notes=tuple(notes),
            **stable,
        )


KINDS: dict[str, type[Line]] = {
    kind.kind: kind for kind in (Record, Loading, Gap, Tally, KnownDivergence, Experiment, Porting, Mutant, BenchmarkProblem, Environment)
}  # fmt: skip
_FIELDS = {kind: frozenset(entry.name for entry in dataclasses.fields(line)) for kind, line in KINDS.items()}


def read_line(values: Mapping[str, Any]) -> Line:
    """The line that a mapping with a "kind" says.

    Raises:
        ValueError: the kind or a key is unknown, a key is missing, or a word is not one of its list.
    """
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    fields = dict(values)
    del fields["kind"]
    if unknown := fields.keys() - _FIELDS[kind]:
        raise ValueError(f"{kind}: unknown {', '.join(sorted(unknown))}; its keys are {', '.join(sorted(_FIELDS[kind]))}")
    try:
        return KINDS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"{kind}: {str(error).partition('() ')[2] or error}") from None


# --- what a field may hold ----------------------------------------------------------------------


@functools.cache
def _types(line: type[Line]) -> tuple[tuple[str, type, tuple[type, ...]], ...]:
    """The types that each field of a kind of line may hold, from its annotations."""
    held = []
    for name, hint in typing.get_type_hints(line).items():
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        classes = tuple(typing.get_origin(option) or option for option in options)
        if typing.Any in classes or typing.ClassVar in classes:
            continue
        wider = classes + ((int,) if float in classes else ()) + ((list,) if tuple in classes else ())
        first = dict if classes[0] is Mapping else classes[0]
        held.append((name, first, wider))
    return tuple(held)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    return str(value)


def _worded(numbers: Numbers) -> dict[str, dict[str, Any]]:
    """Numbers with those that are not finite as words, which JSON has no numbers for."""
    return {name: {**entry, "value": _finite(entry.get("value"))} for name, entry in numbers.items()}


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def as_number(value: Any) -> float:
    """A recorded value as a float; "nan", "inf" and "-inf" are words on paper."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
