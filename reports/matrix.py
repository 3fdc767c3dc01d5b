"""The conformance matrix, the coverage of the question space, and the support table."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.deviations import STATES, Deviation
from reports.observed import BAD_CALL, Group, Key
from reports.record import Gap, Loading, Record
from reports.words import ordered, slug

MEMORY = ("contiguous", "strided", "transposed", "negative strides", "read-only")
ATTRIBUTES: dict[str, tuple[str, tuple[str, ...]]] = {
    "reduction": ("Reduction", ("max", "average", "lp")),
    "windows": ("Windows", ("sliding", "adaptive", "global")),
    "ndim": ("Dimensions", ("1-D", "2-D", "3-D")),
    "dtype": ("Dtype", ("float64", "float32", "float16", "bfloat16")),
    "layout": ("Layout", ("channels_first", "channels_last")),
    "output": ("Output", ("values", "indices", "gradient")),
    "padding": ("Padding", ("valid", "same_upper", "same_lower", "symmetric", "asymmetric")),
    "dilation": ("Dilation", ("no", "yes")),
    "ceil_mode": ("Ceil mode", ("no", "yes")),
    "count_include_pad": ("Padding counted", ("no", "yes")),
    "divisor": ("Divisor", ("none", "positive", "negative")),
    "memory": ("Memory", MEMORY),
    "p": ("Order p", ()),
    "kernel": ("Window's longest side", ()),
    "stride": ("Stride", ("windows overlap", "windows adjoin", "windows leave gaps")),
    "axes": ("Sizes, windows and strides of the axes", ("distinct, pads and dilations too", "distinct", "alike in part")),
    "bins": ("Adaptive bins", ("one an axis", "of one size", "of two sizes", "more than elements")),
    "channels": ("Channels", ()),
    "batch": ("Batch", ("empty",)),
    "values": ("Special values", ("nan", "+inf", "-inf", "subnormal", "huge", "integer extremes")),
    "cotangent_memory": ("Memory of the cotangent", MEMORY),
    "cotangent_values": ("Special values of the cotangent", ("nan", "+inf", "-inf", "subnormal", "huge")),
    BAD_CALL: ("Bad calls", ()),
}
IN_MATRIX = (
    "reduction", "windows", "ndim", "dtype", "layout", "output", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor",
    "memory", "values", BAD_CALL,
)  # fmt: skip
UNREMARKABLE: frozenset[Key] = frozenset({
    ("dilation", "no"), ("ceil_mode", "no"), ("count_include_pad", "no"), ("divisor", "none"), ("values", "finite"), ("values", "integers"),
})  # fmt: skip
"""Values that say that an attribute was not used: no row of the matrix is about them."""

SWITCHES = ("dilation", "ceil_mode", "count_include_pad", "divisor")
DECLARED = {"windows": "windows", "ndims": "ndim", "dtypes": "dtype", "layouts": "layout", "outputs": "output", "paddings": "padding"}
DECLARABLE = (*DECLARED.values(), *SWITCHES, "reduction")
OF_SPECIAL = ("values", BAD_CALL, "reduction")
"""Rows that count cases of special values too; all others count everyday numbers alone."""

EVERY = "every reduction"
MOST_ROWS = 60
MOST_EXAMPLES = 5

Outcome = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one backend answered to the questions of one row.

    `deviating` of `asked` answers left the definition. `specific`: some deviation lies wholly in
    this row, although the backend was asked outside it too, so the row says where it comes from.
    `deviations` are anchors, worst first; `examples` has the smallest case of each, or the
    smallest that conforms.
    """

    anchor: str
    backend: str
    state: str
    asked: int = 0
    deviating: int = 0
    specific: bool = False
    laws: int = 0
    deviations: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    examples: tuple[Record, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One value of one attribute, over all backends."""

    attribute: str
    value: str
    heading: str
    label: str
    cells: tuple[Cell, ...]

    @property
    def states(self) -> tuple[str, ...]:
        """The states that occur in the row."""
        return tuple(sorted({cell.state for cell in self.cells}, key=STATES.index))


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Backends across, capabilities down; one block for every reduction together and one for each."""

    backends: tuple[str, ...]
    blocks: Mapping[str, tuple[Row, ...]]


@dataclass(kw_only=True, slots=True)
class _Count:
    """The answers of one backend in one row."""

    asked: int = 0
    deviating: int = 0
    unsupported: int = 0
    laws: set[str] = field(default_factory=set)
    met: Counter[Outcome] = field(default_factory=Counter)
    worst: dict[Outcome, Record] = field(default_factory=dict)
    conforming: Record | None = None

    def add(self, group: Group) -> None:
        outcome = group.outcome
        if outcome[0] == "unsupported":
            self.unsupported += group.answers
            return
        self.asked += group.answers
        self.laws.update(group.laws)
        if outcome[0] == "conforms":
            self.conforming = _shorter(self.conforming, group.smallest)
            return
        self.deviating += group.answers
        self.met[outcome] += group.count
        self.worst[outcome] = _shorter(self.worst.get(outcome), group.smallest)


class _Counts:
    """All the answers of a run, by block of the matrix, backend and row."""

    def __init__(self, groups: Iterable[Group], deviations: Iterable[Deviation]) -> None:
        self.rows: dict[tuple[str, str, Key], _Count] = defaultdict(_Count)
        self.everything: dict[tuple[str, str, bool], _Count] = defaultdict(_Count)
        self.deviation = {
            (backend, ("known", deviation.id) if deviation.id is not None else ("new", deviation.laws[0])): deviation
            for deviation in deviations
            for backend in deviation.backends
        }
        for group in groups:
            keys = [
                key for key in group.keys if key not in UNREMARKABLE and key[0] in IN_MATRIX and (not group.special or key[0] in OF_SPECIAL)
            ]
            for block in {EVERY, *(value for name, value in group.keys if name == "reduction")}:
                self.everything[block, group.backend, group.special].add(group)
                for key in keys:
                    self.rows[block, group.backend, key].add(group)

    def state(self, backend: str, outcome: Outcome) -> str:
        deviation = self.deviation.get((backend, outcome))
        return deviation.state if deviation else "diverges"

    def specific(self, block: str, backend: str, key: Key, count: _Count) -> bool:
        """Whether some deviation lies wholly in a row, and the backend was asked outside it too."""
        sorts = (True, False) if key[0] == "reduction" else (key[0] in OF_SPECIAL,)
        if count.asked >= sum(self.everything[block, backend, special].asked for special in sorts):
            return False
        total = self.everything[block, backend, True].met + self.everything[block, backend, False].met
        return any(number == total[outcome] for outcome, number in count.met.items())


def matrix(
    groups: Sequence[Group], deviations: Sequence[Deviation], loadings: Sequence[Loading], gaps: Sequence[Gap], backends: Sequence[str]
) -> Matrix:
    """Count the answers of each backend into each row.

    Rows above the special values count only cases of everyday numbers, so that what happens to
    a NaN is told once, in the NaN's row, and not in every row that met one.
    """
    declared = {loading.backend: loading.capabilities for loading in loadings if loading.status == "loaded"}
    present = {key for group in groups for key in group.keys} - UNREMARKABLE
    present |= {key for capabilities in declared.values() for key in capable(capabilities, EVERY)}
    implied = implicated(gaps, declared)
    reductions = ordered({key[1] for key in present if key[0] == "reduction"}, ATTRIBUTES["reduction"][1])
    blocks = {}
    counts = _Counts(groups, deviations)
    for block in (EVERY, *reductions):
        able = {name: capable(capabilities, block) for name, capabilities in declared.items()}
        rows = []
        for attribute in IN_MATRIX:
            if attribute == "reduction" and block != EVERY:
                continue
            heading, known = ATTRIBUTES[attribute]
            for value in ordered((value for name, value in present if name == attribute), known)[:MOST_ROWS]:
                key = attribute, value
                cells = tuple(_cell(counts, block, name, key, able.get(name), reasons(implied, name, block, key)) for name in backends)
                if block == EVERY or any(cell.state not in ("not run", "gap") for cell in cells):
                    group = "Options" if attribute in SWITCHES else heading
                    rows.append(Row(attribute=attribute, value=value, heading=group, label=_label(attribute, value), cells=cells))
        blocks[block] = tuple(rows)
    return Matrix(backends=tuple(backends), blocks=blocks)


def _cell(counts: _Counts, block: str, backend: str, key: Key, able: set[Key] | None, why: tuple[str, ...]) -> Cell:
    anchor = slug("cell", backend, *(() if block == EVERY else (block,)), *key)
    count = counts.rows.get((block, backend, key))
    if count is None or not count.asked:
        outside = able is not None and key[0] in DECLARABLE and key not in able
        said = ("not in its declared capabilities",) if outside else why
        gap = bool(said) or (count is not None and count.unsupported > 0)
        return Cell(anchor=anchor, backend=backend, state="gap" if gap else "not run", reasons=said)
    met = sorted(count.met, key=lambda outcome: (STATES.index(counts.state(backend, outcome)), outcome))
    return Cell(
        anchor=anchor,
        backend=backend,
        state=counts.state(backend, met[0]) if met else "conforms",
        asked=count.asked,
        deviating=count.deviating,
        specific=bool(met) and counts.specific(block, backend, key, count),
        laws=len(count.laws),
        deviations=tuple(counts.deviation[backend, outcome].anchor for outcome in met if (backend, outcome) in counts.deviation),
        reasons=why,
        examples=tuple(count.worst[outcome] for outcome in met[:MOST_EXAMPLES]) if met else tuple(filter(None, [count.conforming])),
    )


def _shorter(kept: Record | None, other: Record) -> Record:
    return other if kept is None or len(other.case) < len(kept.case) else kept


def _label(attribute: str, value: str) -> str:
    if value == "yes":
        return {"dilation": "dilated", "ceil_mode": "ceil mode", "count_include_pad": "padding counted"}.get(attribute, value)
    if attribute == "divisor":
        return f"{value} divisor"
    return value


def implicated(gaps: Iterable[Gap], declared: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str, Key], tuple[str, ...]]:
    """The reasons that each value of an attribute has something to do with: all questions that a reason refuses share it.

    A value that is the only one a backend declares says nothing, and so do fewer than three questions.
    """
    shared: dict[tuple[str, str, str], set[Key]] = {}
    questions: dict[tuple[str, str, str], set[frozenset[Key]]] = {}
    for gap in gaps:
        about = gap.backend, gap.reduction, gap.reason
        asked = {(str(name), str(value)) for name, value in gap.question.items()}
        shared[about] = shared[about] & asked if about in shared else asked
        questions.setdefault(about, set()).add(frozenset(asked))
    found: dict[tuple[str, str, Key], list[str]] = {}
    for (backend, reduction, reason), keys in shared.items():
        if len(questions[backend, reduction, reason]) < 3:
            continue
        able = capable(declared.get(backend, {}), reduction)
        choices = Counter(name for name, _ in able)
        for key in keys - UNREMARKABLE:
            if key[0] in SWITCHES or choices[key[0]] > 1:
                found.setdefault((backend, reduction, key), []).append(reason)
    return {key: tuple(reasons) for key, reasons in found.items()}


def reasons(implied: Mapping[tuple[str, str, Key], tuple[str, ...]], backend: str, block: str, key: Key) -> tuple[str, ...]:
    """Why a backend cannot be asked some of what a row is about."""
    found = (said for (name, reduction, other), said in implied.items() if name == backend and other == key and block in (EVERY, reduction))
    return tuple(dict.fromkeys(reason for said in found for reason in said))


def capable(capabilities: Mapping[str, Any], block: str) -> set[Key]:
    """The attributes and values that a backend declares, for one reduction or for any."""
    keys: set[Key] = set()
    for reduction, declared in capabilities.items():
        if block not in (EVERY, reduction) or not isinstance(declared, Mapping):
            continue
        keys.add(("reduction", reduction))
        for plural, attribute in DECLARED.items():
            values = declared.get(plural)
            for value in values if isinstance(values, list | tuple | set | frozenset) else ():
                keys.add((attribute, f"{value}-D" if attribute == "ndim" else str(value)))
        for switch in SWITCHES:
            if declared.get(switch):
                keys |= {(switch, "yes")} if switch != "divisor" else {(switch, "positive"), (switch, "negative")}
    return keys


# --- coverage and support -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """How many questions with one value each backend answered."""

    heading: str
    value: str
    counts: tuple[int, ...]


def coverage(groups: Iterable[Group], backends: Sequence[str]) -> tuple[CoverageRow, ...]:
    """What each backend was really asked, value by value; what is unsupported was not asked."""
    counts: Counter[tuple[Key, str]] = Counter()
    seen: dict[Key, None] = {}
    for group in groups:
        if group.outcome[0] == "unsupported":
            continue
        for key in group.keys:
            counts[key, group.backend] += group.answers
            seen[key] = None
    rows = []
    for attribute in ordered({name for name, _ in seen}, tuple(ATTRIBUTES)):
        heading, known = ATTRIBUTES.get(attribute, (attribute.replace("_", " ").capitalize(), ()))
        values = ordered((value for name, value in seen if name == attribute), known)
        rows += [
            CoverageRow(heading=heading, value=value, counts=tuple(counts[(attribute, value), name] for name in backends))
            for value in values[:MOST_ROWS]
        ]
        if len(values) > MOST_ROWS:
            rest = values[MOST_ROWS:]
            together = tuple(sum(counts[(attribute, value), name] for value in rest) for name in backends)
            rows.append(CoverageRow(heading=heading, value=f"{len(rest)} more values", counts=together))
    return tuple(rows)


@dataclass(frozen=True, kw_only=True)
class SupportRow:
    """What each backend says that it can do: "yes", "in part" (with reasons), "no", "unknown"."""

    reduction: str
    heading: str
    value: str
    cells: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class GapRow:
    """One reason why a backend cannot be asked something, and how often it came up."""

    backend: str
    reduction: str
    reason: str
    count: int
    question: str


def support(loadings: Sequence[Loading], gaps: Sequence[Gap], backends: Sequence[str]) -> tuple[SupportRow, ...]:
    """The support table, from what backends declare and from the gaps inside it."""
    declared = {loading.backend: loading.capabilities for loading in loadings if loading.status == "loaded"}
    implied = implicated(gaps, declared)
    reductions = ordered({name for capabilities in declared.values() for name in capabilities}, ATTRIBUTES["reduction"][1])
    rows = []
    for reduction in reductions:
        able = {name: capable(capabilities, reduction) for name, capabilities in declared.items()}
        for attribute in (*DECLARED.values(), *SWITCHES):
            heading, known = ATTRIBUTES[attribute]
            heading = "Options" if attribute in SWITCHES else heading
            for value in ordered({key[1] for keys in able.values() for key in keys if key[0] == attribute}, known):
                key = attribute, value
                cells = tuple(_supported(able.get(name), key, reasons(implied, name, reduction, key)) for name in backends)
                rows.append(SupportRow(reduction=reduction, heading=heading, value=_label(attribute, value), cells=cells))
    return tuple(rows)


def _supported(able: set[Key] | None, key: Key, why: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if able is None:
        return "unknown", ()
    if key not in able:
        return "no", ()
    return ("in part", why) if why else ("yes", ())


def gap_rows(gaps: Iterable[Gap]) -> tuple[GapRow, ...]:
    """Each reason once, with the smallest question that shows it."""
    counts: Counter[tuple[str, str, str]] = Counter()
    questions: dict[tuple[str, str, str], str] = {}
    for gap in gaps:
        key = gap.backend, gap.reduction, gap.reason
        counts[key] += 1
        question = ", ".join(f"{name}={value}" for name, value in gap.question.items())
        if key not in questions or len(question) < len(questions[key]):
            questions[key] = question
    rows = (
        GapRow(backend=backend, reduction=reduction, reason=reason, count=count, question=questions[backend, reduction, reason])
        for (backend, reduction, reason), count in counts.items()
    )
    return tuple(sorted(rows, key=lambda row: (row.backend, row.reduction, row.reason)))
