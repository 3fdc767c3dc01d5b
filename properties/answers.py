"""Every answer of a run kept bit by bit, and two such runs compared: what did an upgrade change?

    python -m pytest -m law properties --backend torch --answers old.bin
    python -m pytest -m law properties --backend torch --answers new.bin --backend-python ../upgraded/bin/python
    python -m properties.answers old.bin new.bin

prints one line of JSON. A case that both were asked and that both answer, but with other bits, is held against the
definition again: it conforms, deviates in a way that is known of one of the two, or deviates otherwise.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backends import text
from backends.answer import Answer
from backends.compare import Nonconformity, assert_conforms
from backends.interface import Case, dtype_named, same_bits
from backends.process import Remote, RemoteError, RemoteFailure
from properties.divergence import Divergence, known_of, mend

MAGIC = b"poolproof answers 1\n"
LONGEST = 20_000
"""Characters of a case that are kept: a longer one is compared, and not held against the definition again."""
JUDGED = 2_000
"""At most so many cases with other bits are held against the definition again; the others are counted."""
SHOWN = 20


class Truncated(ValueError):
    """A file of answers ends in the middle of one, or is none."""


class Recorder(Remote):
    """A backend in a process of its own that also keeps what it answers, each case once."""

    def __init__(self, file: Path, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("wb")
        said = {"backend": self.name, "version": self.version, "python": self.python}
        self._file.write(MAGIC + json.dumps(said).encode() + b"\n")
        self._asked: set[str] = set()

    def ask(self, case: Case, *, heed_gap: bool = False) -> Answer:
        """As `Remote.ask`."""
        try:
            answer = super().ask(case, heed_gap=heed_gap)
        except (RemoteError, RemoteFailure) as error:
            self._keep(case, None, str(error)[:300])
            raise
        self._keep(case, answer.array, "" if answer.array is not None else f"returned {answer.returned}")
        return answer

    def close(self) -> None:
        """As `Remote.close`."""
        self._file.close()
        super().close()

    def _keep(self, case: Case, array: np.ndarray | None, error: str) -> None:
        if (key := _key(case)) in self._asked:
            return
        self._asked.add(key)
        raw = b"" if array is None else array.tobytes()
        written = text.write(case)
        header = {
            "key": key, "case": written if len(written) <= LONGEST else "", "error": error, "bytes": len(raw),
            **({} if array is None else {"dtype": array.dtype.name, "shape": array.shape}),
        }  # fmt: skip
        self._file.write(json.dumps(header).encode() + b"\n" + raw)
        self._file.flush()


def _key(case: Case) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{case.spec} {case.layout} {case.output}".encode())
    for array in (case.x, case.cotangent):
        if array is not None:
            digest.update(f"{array.dtype.name} {array.dtype.isnative} {array.shape} {array.strides} {array.flags.writeable}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One answer, and where its elements lie in the file."""

    key: str
    case: str
    error: str
    offset: int
    size: int
    dtype: str
    shape: tuple[int, ...]


def read(file: Path) -> tuple[dict[str, Any], list[Kept]]:
    """Who answered, and the answers of a file, without their elements.

    Raises:
        Truncated: it is cut off, or not a file of answers.
    """
    found = []
    with file.open("rb") as stream:
        if stream.readline() != MAGIC:
            raise Truncated(f"{file}: not a file of answers")
        try:
            who = json.loads(stream.readline())
            size = file.stat().st_size
            while line := stream.readline():
                header = json.loads(line)
                offset = stream.tell()
                kept = Kept(
                    key=header["key"], case=header["case"], error=header["error"], offset=offset, size=header["bytes"],
                    dtype=header.get("dtype", ""), shape=tuple(header.get("shape", ())),
                )  # fmt: skip
                if stream.seek(offset + kept.size) > size:
                    raise ValueError("its last answer is cut off")
                found.append(kept)
        except (ValueError, KeyError, TypeError) as error:
            raise Truncated(f"{file}: {error}") from error
    return who, found


class Answers:
    """A file of answers, by case."""

    def __init__(self, file: Path) -> None:
        self.who, kept = read(file)
        self.by_key = {one.key: one for one in kept}
        self._stream = file.open("rb")

    def array(self, kept: Kept) -> np.ndarray:
        """The elements of an answer."""
        self._stream.seek(kept.offset)
        return np.frombuffer(self._stream.read(kept.size), dtype_named(kept.dtype)).reshape(kept.shape)

    def verdict(self, kept: Kept, rows: Sequence[Divergence]) -> "Verdict":
        """What the definition says of an answer, and which rows know that it deviates."""
        _, case = text.parse(kept.case)
        mended = mend(case, self.array(kept), rows)
        try:
            assert_conforms(case, mended.answer)
        except Nonconformity as error:
            return Verdict(known=frozenset(mended.excused), wrong=str(error))
        return Verdict(known=frozenset(mended.excused))

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


# --- comparing --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an answer is worth: it conforms where both are empty.

    `known` are the ids of the rows that excuse some of it, `wrong` is why the rest does not conform.
    """

    known: frozenset[str] = frozenset()
    wrong: str = ""

    def change(self, now: "Verdict") -> tuple[str, frozenset[str], str]:
        """(which list of findings a later verdict belongs in, "" if in none, the rows that make the difference, in words)."""
        if self.wrong:
            # What deviates otherwise than before neither diverges nor conforms newly.
            return ("", frozenset(), "") if now.wrong or now.known else ("newly_conforming", frozenset(), f"it did not: {self.wrong}")
        if now.wrong:
            return "newly_diverging", frozenset(), now.wrong
        if gained := now.known - self.known:
            return "newly_diverging", gained, f"it deviates now in a way that is known: {', '.join(sorted(gained))}"
        if lost := self.known - now.known:
            return "newly_conforming", lost, f"it deviates no longer in a way that was known: {', '.join(sorted(lost))}"
        return "", frozenset(), ""


def compare(baseline: Answers, candidate: Answers) -> dict[str, Any]:
    """What changed from one to the other, case by case.

    "compared" counts the cases that both were asked; "different_bits" those with other bits and the same verdict ("largest" is
    the largest absolute difference); the rest are lists of findings, the smallest case first, of those that deviate in
    a known way ("known" names the rows) one for each way. Both are held against what is known of either.
    """
    from properties.divergences import DIVERGENCES

    rows = known_of(DIVERGENCES, *((each.who["backend"], each.who["version"]) for each in (baseline, candidate)))
    told: dict[str, Any] = {"compared": 0, "newly_diverging": [], "newly_conforming": [], "newly_supported": [], "newly_unsupported": []}
    bits: dict[str, Any] = {"cases": 0, "largest": 0.0, "case": "", "unjudged": 0}
    judged = 0
    for old, new in _both(baseline, candidate):
        told["compared"] += 1
        if old.error or new.error:
            if bool(old.error) != bool(new.error):
                change = "newly_diverging" if new.error else "newly_conforming"
                told[change].append(_finding(new, new.error or f"it did: {old.error}"))
            continue
        before, after = baseline.array(old), candidate.array(new)
        if _equal(before, after):
            continue
        if new.case and judged < JUDGED:
            judged += 1
            change, known, words = baseline.verdict(old, rows).change(candidate.verdict(new, rows))
            if change:
                told[change].append(_finding(new, words, known))
                continue
        else:
            bits["unjudged"] += 1
        apart = _apart(before, after)
        bits["cases"] += 1
        if apart >= bits["largest"]:
            bits.update(largest=apart, case=new.case)
    for name, entries in told.items():
        if isinstance(entries, list):
            told[name] = _shown(sorted(entries, key=lambda entry: len(entry["case"])))
    return {**told, "different_bits": bits}


def _both(baseline: Answers, candidate: Answers) -> Iterator[tuple[Kept, Kept]]:
    for key, new in candidate.by_key.items():
        if old := baseline.by_key.get(key):
            yield old, new


def _finding(kept: Kept, message: str, known: Iterable[str] = ()) -> dict[str, Any]:
    return {"law": "", "case": kept.case, "message": message, "native": None, "known": sorted(known)}


def _shown(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first that are not known, and after them the first of each way that is, with how many there are."""
    ways: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for entry in entries:
        ways.setdefault(tuple(entry["known"]), []).append(entry)
    found = ways.pop((), [])[:SHOWN]
    for first, *others in ways.values():
        more = f" (and {len(others)} more cases)" if others else ""
        found.append({**first, "message": f"{first['message']}{more}"})
    return found


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if same_bits(a, b):
        return True
    # The sign of a zero is unspecified.
    return a.dtype == b.dtype and a.shape == b.shape and a.dtype.kind not in "iub" and same_bits(a + a.dtype.type(0), b + b.dtype.type(0))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest absolute difference; infinite where the shapes or the special values differ."""
    if a.shape != b.shape:
        return float("inf")
    wide, other = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(wide - other)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return float(apart.max(initial=0.0))


def main(arguments: list[str] | None = None) -> int:
    """Compare two files, and print what changed."""
    parser = argparse.ArgumentParser(prog="python -m properties.answers", description="What changed between two runs, answer by answer.")
    parser.add_argument("baseline", type=Path)
    parser.add_argument("candidate", type=Path)
    given = parser.parse_args(arguments)
    try:
        with closing(Answers(given.baseline)) as baseline, closing(Answers(given.candidate)) as candidate:
            print(json.dumps(compare(baseline, candidate)))
    except (Truncated, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
