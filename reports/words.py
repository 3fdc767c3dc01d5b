"""Numbers and lists as people read them, and names as links spell them."""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence


def count(number: float) -> str:
    """41322 -> "41,322"."""
    return f"{number:,.0f}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """2, "law" -> "2 laws"."""
    return f"{count(number)} {noun if number == 1 else nouns or noun + 's'}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """("a", "b", "c") -> "a, b and c"; a long list ends in how many more there are."""
    given = list(names)
    if len(given) > most:
        given = [*given[: most - 1], f"{len(given) - most + 1} more"]
    if len(given) < 2:
        return "".join(given)
    return f"{', '.join(given[:-1])} and {given[-1]}"


def significant(number: float, digits: int = 3) -> str:
    """A number with that many significant digits, never in powers of ten where it is of everyday size."""
    if not math.isfinite(number):
        return {math.inf: "∞", -math.inf: "−∞"}.get(number, "not a number")
    if number == 0:
        return "0"
    # 9.996 has the exponent of what it is rounded to, 10.0
    exponent = int(f"{number:.{digits - 1}e}".partition("e")[2])
    if -5 <= exponent < 6:
        rounded = round(number, digits - 1 - exponent)
        return f"{rounded:,.{max(0, digits - 1 - exponent)}f}".replace("-", "−")
    return f"{number:.{digits - 1}e}".replace("-", "−")


def quantity(number: float, unit: str) -> str:
    """A number with its unit; seconds and bytes take the prefix that suits them."""
    if math.isnan(number):
        return "not a number"
    if unit == "s":
        return duration(number)
    if unit in ("B", "bytes"):
        return size(number)
    if unit == "%":
        return f"{significant(number)} %"
    if math.isfinite(number) and number == int(number):
        return f"{count(number)} {unit}".strip()
    return f"{significant(number)} {unit}".strip()


def duration(seconds: float) -> str:
    """Seconds with three significant digits: "1.24 ms", "2 min 5 s"."""
    if not math.isfinite(seconds):
        return significant(seconds)
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        return f"{count(minutes)} min {rest} s"
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        # 0.9996 ms reads as 1.00 ms, not as 1,000 µs
        if seconds >= scale * 0.9995:
            return f"{significant(seconds / scale)} {unit}"
    return f"{significant(seconds / 1e-9)} ns"


def size(number: float) -> str:
    """Bytes, in powers of 1024."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{significant(number / 1024**power)} {unit}"
    return f"{count(number)} B"


def times(ratio: float) -> str:
    """12.3 -> "12×", 1.26 -> "1.3×", 1.04 -> "1.04×"."""
    return f"{significant(ratio, 3 if ratio < 1.095 or ratio >= 100 else 2)}×"


def percent(share: float) -> str:
    """0.0312 -> "3.1 %"; what is not all is never rounded up to all."""
    shown = share * 100
    if 99.9 < shown < 100:
        return "> 99.9 %"
    if 0 < shown < 0.1:
        return "< 0.1 %"
    return f"{significant(shown, 2 if shown < 10 else 3)} %"


def slug(*parts: str) -> str:
    """A stable name for a link: lower-case letters, digits and hyphens, a digest where that lost something."""
    text = "-".join(parts)
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80]
    if plain == text:
        return plain
    signed = any(re.match(r"-\d", part) for part in parts)  # the sign is all that tells −1 from 1
    if re.fullmatch(r"[a-z0-9_:. -]+", text) and len(text) <= 80 and not signed:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:6]
    return f"{plain}-{digest}".strip("-")


def ordered(values: Iterable[str], known: Sequence[str]) -> list[str]:
    """The values in the order of `known`, then whatever else there is, numbers by size."""
    places = {value: place for place, value in enumerate(known)}
    return sorted(set(values), key=lambda value: (places.get(value, len(places)), natural(value)))


def natural(value: str) -> tuple[tuple[int, float, str], ...]:
    """A key that sorts numbers in a text by their size."""
    pieces = re.findall(r"\d+|\D+", value)
    return tuple((0, float(piece), "") if piece.isdigit() and piece.isascii() else (1, 0.0, piece) for piece in pieces)
