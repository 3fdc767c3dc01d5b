"""The verdict, in plain sentences that are made from the data: failures before numbers."""

import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reports import laws
from reports.deviations import STATES, VERDICTS, Deviation
from reports.record import Loading, Mutant
from reports.speed import Speed
from reports.words import listed, ordered, plural

MOST_TOLD = 8
MOST_GRAVE = 2
ABSENT = ("broken", "missing")
ORDER = (*ABSENT, *STATES)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence, with the state that it is about, and where to read more: an anchor, and the words of its link."""

    state: str
    text: str
    anchor: str = ""
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class BackendRow:
    """One backend variant: `state` is its worst, or "missing" or "broken" where it could not be loaded."""

    name: str
    version: str
    state: str
    sentence: str
    device: str = ""
    message: str = ""
    build: Mapping[str, str] = field(default_factory=dict)


def backends(
    names: Sequence[str],
    loadings: Sequence[Loading],
    asked: Mapping[str, int],
    deviations: Sequence[Deviation],
    versions: Mapping[str, str],
) -> tuple[BackendRow, ...]:
    """What to say of each backend, those that could not be loaded among them."""
    loaded = {loading.backend: loading for loading in loadings}
    rows = []
    for name in ordered({*names, *loaded}, ()):
        loading = loaded.get(name, Loading(backend=name, status="loaded"))
        state, sentence = _said(name, loading, asked.get(name, 0), [entry for entry in deviations if name in entry.backends])
        rows.append(
            BackendRow(
                name=name,
                version=versions.get(name, loading.version),
                state=state,
                sentence=sentence,
                device=loading.device,
                message=loading.message,
                build=loading.build,
            )
        )
    return tuple(rows)


def _said(name: str, loading: Loading, asked: int, own: Sequence[Deviation]) -> tuple[str, str]:
    if loading.status != "loaded" and not asked:
        return loading.status, "is not installed here" if loading.status == "missing" else "could not be loaded"
    if own:
        return own[0].state, f"{_ways(own)}; it gave {plural(asked, 'answer')}{_worst(own)}"
    if asked:
        return "conforms", f"conforms in all of {plural(asked, 'answer')}"
    return "not run", "was loaded, and asked nothing"


def _worst(own: Sequence[Deviation]) -> str:
    """The two gravest of the known ways in plain words, where they are grave: those that most answers of this run met."""
    grave = [deviation for deviation in own if deviation.known and deviation.state == own[0].state and deviation.state in ("crash", "bug")]
    grave.sort(key=lambda deviation: -deviation.seen)
    told = listed(f"“{deviation.title.rstrip('.')}”{_end(deviation.outcome)}" for deviation in grave[:MOST_GRAVE])
    return f". Worst: {told}" if told else ""


def _end(outcome: str) -> str:
    if outcome.startswith("signal:"):
        return f" ({outcome.removeprefix('signal:')})"
    return {"hangs": " (hangs)", "returns": " (returns where it must raise)"}.get(outcome, "")


def _ways(own: Sequence[Deviation]) -> str:
    new = [deviation for deviation in own if not deviation.known]
    known = Counter(deviation.state for deviation in own if deviation.known)
    said = [f"deviates in {plural(len(new), 'way')} that nobody has explained yet"] if new else []
    if known:
        nouns = {"crash": ("crash", "crashes"), "bug": ("bug", "bugs"), "precision": ("loss of precision", "losses of precision")}
        kinds = listed(plural(known[verdict], *nouns.get(verdict, (verdict,))) for verdict in VERDICTS if known[verdict])
        said.append(f"{'and' if new else 'deviates'} in {plural(known.total(), 'known way')} ({kinds})")
    return " ".join(said)


def headline(rows: Sequence[BackendRow], *, timed: bool, interrupted: bool, mutants: Sequence[Mutant] = ()) -> str:
    """The verdict in a sentence or three."""
    worst = [row.name for row in rows if row.state == "diverges"]
    known = [row.name for row in rows if row.state in VERDICTS]
    good = [row.name for row in rows if row.state == "conforms"]
    absent = [row.name for row in rows if row.state in ABSENT]
    clauses = []
    if worst:
        clauses.append(f"{listed(worst)} {_agreeing(worst, 'deviates', 'deviate')} in ways that nobody has explained yet")
    if known:
        clauses.append(f"{listed(known)} {_agreeing(known, 'deviates', 'deviate')} only in known ways")
    if good:
        clauses.append(f"{listed(good)} {_agreeing(good, 'conforms', 'conform')}")
    without = "Speed alone: nothing was compared with the definition" if timed else "Nothing was compared"
    if mutants and not timed:
        without = _sensitivity(mutants).text.rstrip(".")
    said = [f"{'; '.join(clauses) or without}."]
    if absent:
        said.append(f"{listed(absent)} could not be loaded.")
    if interrupted:
        said.append("The run was interrupted.")
    return " ".join(said)


def _agreeing(names: Sequence[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many


def findings(
    rows: Sequence[BackendRow],
    deviations: Iterable[Deviation],
    table: Sequence[laws.LawRow],
    mutants: Sequence[Mutant],
    times: Speed | None,
) -> Iterator[Finding]:
    """The verdict sentence by sentence: what is wrong, what is known, what could not be said."""
    told = tuple(deviations)
    new = [deviation for deviation in told if not deviation.known]
    for deviation in new[:MOST_TOLD]:
        yield Finding(state="diverges", text=_broken(deviation), anchor=deviation.anchor, more="See the case")
    if len(new) > MOST_TOLD:
        text = f"{plural(len(new) - MOST_TOLD, 'more law is', 'more laws are')} broken."
        yield Finding(state="diverges", text=text, anchor="divergences", more="All of them")
    wrong = [problem for problem in times.untimed if problem.status == "wrong"] if times else []
    for backend, number in Counter(problem.backend for problem in wrong).items():
        text = f"{backend} answers {plural(number, 'benchmark')} wrongly: not timed."
        yield Finding(state="diverges", text=text, anchor="speed", more="Which")
    for row in sorted(rows, key=lambda row: (ORDER.index(row.state), row.name)):
        why = f": {row.message}" if row.state in ABSENT and row.message else ""
        text = f"{row.name} {row.version}".strip() + f" {row.sentence}{why}"
        if any(row.name in deviation.backends for deviation in told):
            anchor, more = f"divergences?backends={urllib.parse.quote(urllib.parse.quote(row.name, safe=''))}", f"All of {row.name}"
        else:
            anchor, more = "", ""
        yield Finding(state=row.state, text=f"{text.rstrip('.')}.", anchor=anchor, more=more)
    if cut := laws.having(table, "interrupted"):
        which = listed((f"{law} on {name}" for law, name in cut), most=4)
        yield Finding(
            state="not run",
            text=f"Interrupted before it was done: {which}. What was recorded until then counts.",
            anchor="laws",
            more="The laws",
        )
    if empty := laws.having(table, "not run"):
        per_backend = sorted(Counter(name for _, name in empty).items())
        which = listed(f"{plural(number, 'law')} on {name}" for name, number in per_backend)
        yield Finding(state="not run", text=f"Nothing was compared by {which}.", anchor="laws", more="The laws")
    if mutants:
        yield _sensitivity(mutants)
    if times is None:
        yield Finding(state="not run", text="These records hold no benchmarks; tox -e bench adds them.")


def _broken(deviation: Deviation) -> str:
    verbs = {"crashed": "died", "error": "raised"}
    how = listed(f"{verbs.get(status, 'answered otherwise')} in {plural(number, 'case')}" for status, number in deviation.statuses)
    return f"{listed(deviation.backends)} breaks the law “{deviation.title.rstrip('.')}”" + (f": it {how}." if how else ".")


def _sensitivity(mutants: Sequence[Mutant]) -> Finding:
    tried: dict[str, list[Mutant]] = {}
    for mutant in sorted(mutants, key=lambda mutant: mutant.beside):
        if not mutant.known:
            tried.setdefault(mutant.beside, []).append(mutant)
    alive = {beside: [mutant.mutant for mutant in members if not mutant.killed_by] for beside, members in tried.items()}
    state, told = "conforms", []
    for beside, members in tried.items():
        on_top = f" beside the divergences of {beside}" if beside else ""
        of = f"{plural(len(members), 'seeded defect')}{on_top}"
        if alive[beside]:
            state = "diverges"
            told.append(f"misses {len(alive[beside])} of {of}: {listed(alive[beside])}")
        else:
            told.append(f"sees all of {of}")
    text = f"The suite {listed(told)}." if told else "No defect was seeded that a framework does not have."
    return Finding(state=state, text=text, anchor="sensitivity", more="All of them")
