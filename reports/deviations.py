"""Deviations, told one by one: those that are known, and those that nobody has explained yet."""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.laws import refused
from reports.observed import BAD_LAWS, Group, full_names
from reports.record import KnownDivergence, Record, Tally
from reports.words import slug

VERDICTS = ("crash", "bug", "precision", "convention")
MEANING = {
    "diverges": "deviates from the definition, and nobody has said why yet",
    "crash": "kills the process, hangs, or answers where it must refuse",
    "bug": "breaks the framework's own rule",
    "precision": "loses accuracy that the definition keeps",
    "convention": "follows another rule, which the framework documents",
    "conforms": "every answer is within the bound of the definition",
    "gap": "cannot be asked this; the support table says why",
    "not run": "was not asked this in this run",
}
STATES = tuple(MEANING)
"""Worst first: a cell of the matrix is as bad as the worst that lies in it."""

MOST_TEXT = 4000
MOST_OTHERS = 30


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """One way in which a backend, or several, leaves the definition.

    `state` is the verdict of a known one, "diverges" for one that is unexplained. `seen` counts
    the answers of this run that show it, `others` are further small cases, each with what was got,
    `statuses` how many answered, died or raised.
    """

    anchor: str
    state: str
    title: str
    backends: tuple[str, ...]
    seen: int
    id: str | None = None
    versions: str = ""
    outcome: str = ""
    laws: tuple[str, ...] = ()
    smallest: str = ""
    expected: str = ""
    actual: str = ""
    bound: str = ""
    message: str = ""
    native: str = ""
    replay: str = ""
    others: tuple[tuple[str, str], ...] = ()
    statuses: tuple[tuple[str, int], ...] = ()
    documentation: str = ""
    since: str = ""
    upstream: str = ""

    @property
    def known(self) -> bool:
        """Whether a row of the suite's divergences explains it."""
        return self.id is not None


def told(
    groups: Iterable[Group], lines: Sequence[KnownDivergence], tallies: Sequence[Tally], versions: Mapping[str, str]
) -> list[Deviation]:
    """Every deviation of a run, worst first.

    A law that failed without leaving an observation is one too: its message is all there is.
    """
    known: dict[str, list[Group]] = {}
    new: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        sort, name = group.outcome
        if sort == "known":
            known.setdefault(name, []).append(group)
        elif sort == "new":
            new.setdefault((group.backend, name), []).append(group)
    rows: dict[str, list[KnownDivergence]] = {}
    for line in lines:
        rows.setdefault(line.id, []).append(line)
    claims = {law: refused(law) for _, law in new if law.startswith(BAD_LAWS)} | {tally.law: tally.claim for tally in tallies}
    failed = {(tally.backend, tally.law): tally for tally in tallies if tally.status == "failed"}

    found = [_new(backend, law, seen, claims.get(law, ""), versions) for (backend, law), seen in new.items()]
    found += [_untold(tally, versions) for key, tally in failed.items() if key not in new]
    found += [_known(ident, known.get(ident, []), rows.get(ident, []), versions) for ident in dict.fromkeys([*rows, *known])]
    return sorted(found, key=lambda deviation: (STATES.index(deviation.state), deviation.backends, deviation.anchor))


def _smallest(groups: Sequence[Group]) -> Record | None:
    return next(iter(_by_size(groups)), None)


def _by_size(groups: Sequence[Group]) -> list[Record]:
    """The smallest cases of the groups, each once, smallest first."""
    cases = {record.case: record for group in groups for record in group.few}
    return sorted(cases.values(), key=lambda record: (len(record.case), record.case))


def _others(groups: Sequence[Group]) -> tuple[tuple[str, str], ...]:
    return tuple((clipped(record.case, 300), clipped(record.actual or record.status, 200)) for record in _by_size(groups)[1:MOST_OTHERS])


def _new(backend: str, law: str, groups: Sequence[Group], claim: str, versions: Mapping[str, str]) -> Deviation:
    record = _smallest(groups)
    if record is None:
        raise ValueError(f"{law} on {backend}: no record")
    return Deviation(
        anchor=slug("new", backend, law),
        state="diverges",
        title=claim or law.replace("_", " "),
        backends=(backend,),
        seen=sum(group.count for group in groups),
        versions=versions.get(backend, record.version),
        outcome=record.status,
        laws=(law,),
        statuses=tuple(sum((group.statuses for group in groups), Counter[str]()).most_common()),
        smallest=record.case,
        expected=record.expected or "",
        actual=record.actual or "",
        bound=record.bound or "",
        message=clipped(record.message),
        native=clipped(record.native or ""),
        replay=asked_again(law, record.case, backend),
        others=_others(groups),
    )


def _untold(tally: Tally, versions: Mapping[str, str]) -> Deviation:
    return Deviation(
        anchor=slug("new", tally.backend, tally.law),
        state="diverges",
        title=tally.claim or tally.law.replace("_", " "),
        backends=(tally.backend,),
        seen=0,
        versions=versions.get(tally.backend, ""),
        outcome="failed",
        laws=(tally.law,),
        message=clipped(tally.message) or "The law failed and left no case.",
    )


def _known(ident: str, groups: Sequence[Group], lines: Sequence[KnownDivergence], versions: Mapping[str, str]) -> Deviation:
    record = _smallest(groups)
    line = lines[0] if lines else None
    seen_on = {group.backend for group in groups} | {name for entry in lines for name in full_names(entry)}
    # A pinned row names every variant that it may apply to; those that this run loaded are the ones to name.
    backends = sorted(name for name in seen_on if not versions or name in versions) or sorted(seen_on)
    smallest = (line.smallest if line else "") or (record.case if record else "")
    return Deviation(
        anchor=slug("d", ident),
        id=ident,
        state=line.verdict if line else "bug",
        title=(line.description if line else "") or ident,
        backends=tuple(backends),
        seen=sum(group.count for group in groups),
        versions=", ".join(dict.fromkeys(f"{name.partition(':')[0]} {versions[name]}" for name in backends if versions.get(name))),
        outcome=line.outcome if line else "wrong",
        laws=tuple(sorted({law for group in groups for law in group.laws})),
        smallest=smallest,
        expected=(line.expected if line else "") or (record.expected if record else "") or "",
        actual=(line.observed if line else "") or (record.actual if record else "") or "",
        bound=(record.bound if record else "") or "",
        message="" if line else "The run left no description of this row: it may have been interrupted.",
        native=clipped((line.native if line else "") or (record.native if record else "") or ""),
        replay=asked_again("", smallest, backends[0]) if smallest and backends else "",
        others=_others(groups),
        documentation=(line.documentation if line else "") or "",
        since=_since(line) if line else "",
        upstream=(line.upstream if line else "") or "",
    )


def _since(line: KnownDivergence) -> str:
    """Since when it is so, as far as it is known."""
    return f"since {line.since}" if line.since else ""


def asked_again(law: str, case: str, backend: str) -> str:
    """The command that asks a backend a case again, under a law if one is named; none for what is not a case's text."""
    if " x=" not in case:
        return ""
    return f"python -m properties {shlex.quote(f'{law}: {case}' if law else case)} --backend {shlex.quote(backend)}"


def clipped(text: str, most: int = MOST_TEXT) -> str:
    """A text no longer than a page can carry, and what was cut."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n… {len(text) - most:,} more characters in the records"
