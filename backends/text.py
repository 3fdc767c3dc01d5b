"""A case as one line of text, and back.

    nan_wins: max sliding kernel=2,2 stride=2,2 values channels_first x=float32:1,1,2,2:nan,0x3

The line is what a failing law prints, what a record stores and what `python -m properties` replays.
It has no character that a shell would touch, and no default is written. An array is its dtype,
its shape and its data in row-major order: numbers (`0x3`: three zeros; a last `...`: repeated to the
end), `@name/seed` for a seeded generator, or compressed bytes; then its memory, where that is not
plain: `strides=` in elements, `readonly`.
"""

import base64
import functools
import hashlib
import itertools
import math
import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.interface import LAYOUTS, OUTPUTS, Case, dtype_named, same_bits
from backends.spec import Adaptive, Average, Global, Lp, Max, PoolSpec, Sliding

INLINE = 4096
"""Up to how many elements an array that no generator made is written as numbers."""


class Unreadable(ValueError):
    """A line of text that names no case; the message has the part and what was expected."""


# --- generators ---------------------------------------------------------------------------------


def _bits(seed: int, count: int) -> np.ndarray:
    # Raw bits of a bit generator are promised to stay the same across NumPy versions (NEP 19);
    # the streams of `Generator` methods are not.
    return np.random.PCG64(seed).random_raw(count) if count else np.zeros(0, np.uint64)


def _integers(seed: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Whole numbers from −8 to 8 (0 to 16 for unsigned types), so that short sums are exact."""
    whole = (_bits(seed, count) >> np.uint64(32)) % np.uint64(17)
    return whole.astype(dtype) if dtype.kind == "u" else (whole.astype(np.int64) - 8).astype(dtype)


def _uniform(seed: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Numbers from −1 to 1 in steps of 2⁻²³, as finely as the dtype has them."""
    return ((_bits(seed, count) >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1).astype(dtype)


def _distinct(seed: int, count: int, dtype: np.dtype) -> np.ndarray:
    """A permutation of 0 … count − 1: no ties, as long as the dtype can count so far."""
    return np.argsort(_bits(seed, count), kind="stable").astype(dtype)


def _patterns(seed: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Any bit pattern: every magnitude, subnormals, infinities and NaN."""
    shift = np.uint64(64 - 8 * dtype.itemsize)
    return (_bits(seed, count) >> shift).astype(f"u{dtype.itemsize}").view(dtype)


GENERATORS: dict[str, Callable[[int, int, np.dtype], np.ndarray]] = {
    "integers": _integers, "uniform": _uniform, "distinct": _distinct, "patterns": _patterns,
}  # fmt: skip

_made: dict[bytes, str] = {}


def generate(name: str, seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array made by a seeded generator, the same on every machine; `write` writes its name.

    Raises:
        ValueError: there is no generator of that name.
    """
    if name not in GENERATORS:
        raise ValueError(f"generator {name!r}: expected one of {', '.join(GENERATORS)}")
    array = GENERATORS[name](seed, math.prod(shape), dtype_named(dtype)).reshape(shape)
    if len(_made) > 10_000:
        _made.clear()
    _made[_digest(array)] = f"@{name}/{seed}"
    return array


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).view(np.uint8).tobytes(), digest_size=16).digest()


# --- writing ------------------------------------------------------------------------------------


def write(case: Case, law: str | None = None) -> str:
    """The line of a case, with the name of the law that failed on it before it."""
    words = [*([f"{law}:"] if law else []), heading(case), f"x={_array(case.x)}"]
    if case.cotangent is not None:
        words.append(f"cotangent={_array(case.cotangent)}")
    return " ".join(words)


def heading(case: Case) -> str:
    """What the line says before the arrays."""
    return " ".join([*_reduction(case.spec), *_windows(case.spec), case.output, case.layout])


def _reduction(spec: PoolSpec) -> list[str]:
    match spec.reduction:
        case Average(count_include_pad=padded, divisor=divisor):
            return ["average", *["count_include_pad"] * padded, *[f"divisor={divisor}"] * (divisor is not None)]
        case Lp(p=p):
            return ["lp", f"p={_number(p)}"]
    return ["max"]


def _windows(spec: PoolSpec) -> list[str]:
    windows = spec.windows
    if isinstance(windows, Adaptive):
        return ["adaptive", f"output_size={_sizes(windows.output_size)}"]
    if isinstance(windows, Global):
        return ["global"]
    words = ["sliding", f"kernel={_sizes(windows.kernel)}"]
    if windows.stride != windows.kernel:
        words.append(f"stride={_sizes(windows.stride)}")
    if windows.padding != "valid":
        pairs = windows.padding
        words.append(f"padding={pairs if isinstance(pairs, str) else ','.join(f'{a}/{b}' for a, b in pairs)}")
    if set(windows.dilation) != {1}:
        words.append(f"dilation={_sizes(windows.dilation)}")
    return words + ["ceil_mode"] * windows.ceil_mode


def _sizes(sizes: tuple[int, ...]) -> str:
    return ",".join(map(str, sizes))


def _array(array: np.ndarray) -> str:
    parts = [array.dtype.name, _sizes(array.shape), _data(array)]
    strides = tuple(stride // array.itemsize for stride in array.strides)
    if array.size and strides != tuple(stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides):
        parts.append(f"strides={_sizes(strides)}")
    if not array.flags.writeable:
        parts.append("readonly")
    return ":".join(parts)


def _data(array: np.ndarray) -> str:
    if array.size > 64 and (name := _made.get(_digest(array))):
        return name
    numbers = array.ravel().tolist() if array.dtype.kind in "iu" else [_element(array.dtype, v) for v in _patterns_of(array)]
    if period := _period(numbers):
        return f"{_runs(numbers[:period])},..."
    if array.size <= INLINE:
        return _runs(numbers)
    return "z" + base64.b64encode(zlib.compress(np.ascontiguousarray(array).view(np.uint8).tobytes(), 9)).decode()


def _patterns_of(array: np.ndarray) -> list[int]:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}").ravel().tolist()


@functools.lru_cache(maxsize=65536)
def _element(dtype: np.dtype, pattern: int) -> str:
    """The shortest decimal that reads back to the same bits."""
    one = np.array([pattern], f"u{dtype.itemsize}").view(dtype)
    if np.isnan(one[0]):
        return "-nan" if np.signbit(one.astype(np.float64)[0]) else "nan"
    short = _trimmed(str(one[0]))
    return short if same_bits(np.array([float(short)]).astype(dtype), one) else _number(float(one[0]))


def _number(number: float) -> str:
    return _trimmed(repr(number))


def _trimmed(number: str) -> str:
    return number.removesuffix(".0")


def _period(numbers: list) -> int:
    """The length of a shorter list that `numbers` repeats, at least twice; 0 if it repeats none."""
    if len(numbers) < 6:
        return 0
    # The border array of Knuth, Morris and Pratt: the longest prefix that is also a suffix.
    border = [0] * len(numbers)
    for i in range(1, len(numbers)):
        k = border[i - 1]
        while k and numbers[i] != numbers[k]:
            k = border[k - 1]
        border[i] = k + (numbers[i] == numbers[k])
    period = len(numbers) - border[-1]
    return period if 1 < period <= len(numbers) // 2 else 0


def _runs(numbers: list) -> str:
    runs = ((number, len(list(group))) for number, group in itertools.groupby(numbers))
    return ",".join(f"{number}x{length}" if length > 1 else f"{number}" for number, length in runs)


# --- reading ------------------------------------------------------------------------------------


def parse(line: str) -> tuple[str | None, Case]:
    """The law's name, if the line has one, and the case.

    Raises:
        Unreadable: the line names no case.
    """
    words = line.split()
    law = words.pop(0).removesuffix(":") if words and words[0].endswith(":") and "=" not in words[0] else None
    flags, options = [], {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            flags.append(name)
        elif name in options:
            raise Unreadable(f"{name}= stands twice in {line!r}")
        else:
            options[name] = value
    try:
        case = Case(
            spec=PoolSpec(reduction=_read_reduction(flags, options), windows=_read_windows(flags, options)),
            output=_one_of(flags, OUTPUTS),  # type: ignore[arg-type]  # one of OUTPUTS by construction
            layout=_one_of(flags, LAYOUTS),  # type: ignore[arg-type]  # one of LAYOUTS by construction
            x=_read_array(_take(options, "x")),
            cotangent=_read_array(options.pop("cotangent")) if "cotangent" in options else None,
        )
    except Unreadable:
        raise
    except (ValueError, TypeError) as error:
        raise Unreadable(f"{error}, in {line!r}") from error
    if left := [*flags, *(f"{name}=" for name in options)]:
        raise Unreadable(f"{' '.join(left)}: not understood, in {line!r}")
    return law, case


def _one_of(flags: list[str], choices: tuple[str, ...]) -> str:
    found = [flag for flag in flags if flag in choices]
    if len(found) != 1:
        raise Unreadable(f"expected one of {', '.join(choices)}, got {found or 'none'}")
    flags.remove(found[0])
    return found[0]


def _take(options: dict[str, str], name: str) -> str:
    if name not in options:
        raise Unreadable(f"{name}= is missing")
    return options.pop(name)


def _flag(flags: list[str], name: str) -> bool:
    if name in flags:
        flags.remove(name)
        return True
    return False


def _read_reduction(flags: list[str], options: dict[str, str]) -> Max | Average | Lp:
    name = _one_of(flags, ("max", "average", "lp"))
    if name == "max":
        return Max()
    if name == "lp":
        return Lp(p=float(_take(options, "p")))
    divisor = options.pop("divisor", None)
    return Average(count_include_pad=_flag(flags, "count_include_pad"), divisor=None if divisor is None else int(divisor))


def _read_windows(flags: list[str], options: dict[str, str]) -> Sliding | Adaptive | Global:
    name = _one_of(flags, ("sliding", "adaptive", "global"))
    if name == "global":
        return Global()
    if name == "adaptive":
        return Adaptive(output_size=_read_sizes(_take(options, "output_size")))
    given: dict[str, Any] = {key: _read_sizes(options.pop(key)) for key in ("stride", "dilation") if key in options}
    if padding := options.pop("padding", None):
        pairs = tuple(tuple(map(int, pair.split("/"))) for pair in padding.split(",")) if "/" in padding else padding
        given["padding"] = pairs
    return Sliding(kernel=_read_sizes(_take(options, "kernel")), ceil_mode=_flag(flags, "ceil_mode"), **given)


def _read_sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",")) if text else ()


def _read_array(text: str) -> np.ndarray:
    parts = text.split(":")
    if len(parts) < 3:
        raise Unreadable(f"array {text!r}: expected dtype:shape:data")
    dtype, shape = dtype_named(parts[0]), _read_sizes(parts[1])
    array = _read_data(parts[2], shape, dtype)
    for memory in parts[3:]:
        if memory.startswith("strides="):
            array = with_strides(array, _read_sizes(memory.removeprefix("strides=")))
        elif memory == "readonly":
            array.flags.writeable = False
        else:
            raise Unreadable(f"array memory {memory!r}: expected strides= or readonly")
    return array


def _read_data(data: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = math.prod(shape)
    if match := re.fullmatch(r"@(\w+)/(\d+)", data):
        return generate(match[1], int(match[2]), shape, dtype.name)
    if data.startswith("z"):
        return np.frombuffer(zlib.decompress(base64.b64decode(data[1:])), dtype).reshape(shape).copy()
    words = [word for word in data.split(",") if word]
    repeated = words[-1:] == ["..."]
    numbers: list[float] = []
    for word in words[: len(words) - repeated]:
        number, _, length = word.partition("x")
        numbers += [int(number) if dtype.kind in "iu" else float(number)] * int(length or 1)
    if repeated and numbers:
        numbers = (numbers * (count // len(numbers) + 1))[:count]
    if len(numbers) != count:
        raise Unreadable(f"{len(numbers)} numbers for the shape {shape}, which has {count}")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(numbers, np.float64 if dtype.kind not in "iu" else dtype).astype(dtype).reshape(shape)


def with_strides(array: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """The same elements in memory with these strides, counted in elements.

    What lies between them is NaN, or the largest integer: whoever reads it shows.
    """
    if len(strides) != array.ndim:
        raise ValueError(f"strides={strides}: expected {array.ndim} of them")
    spans = [(size - 1) * stride for size, stride in zip(array.shape, strides, strict=True)]
    low, high = sum(min(span, 0) for span in spans), sum(max(span, 0) for span in spans)
    poison = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.nan
    memory = np.full(high - low + 1, poison, array.dtype)
    steps = tuple(stride * array.itemsize for stride in strides)
    view = np.ndarray(array.shape, array.dtype, memory, offset=-low * array.itemsize, strides=steps)
    view[...] = array
    return view
