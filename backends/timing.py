"""What a worker times by its own clocks: a question made where it is asked, blocks of calls, and its answer's checksum.

A worker imports this file from the checkout that started it, whatever revision its backend comes from: both
sides of a comparison are measured by the same code.
"""

import gc
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PAGE, LINE = 4096, 64
SPACER = 1 << 18
WARM_CALLS = 2
Call = Callable[[], Any]


class Asked:
    """Something to time: `call`. `answer` gives what a backend can fetch.

    On a device `wait` waits for all calls, and may say what they took. `beside` is memory that must stay where it is.
    """

    def __init__(self, call: Call, answer: Call | None = None, wait: Callable[[], float | None] | None = None, beside: Any = None) -> None:
        self.call, self.answer, self.wait, self.beside = call, answer or call, wait, beside


def placed(array: np.ndarray, layout: str, chance: random.Random) -> np.ndarray:
    """A copy in new memory, at a random cache line of a page, in the order of `layout`, so that no adapter need move it."""
    order = np.moveaxis(array, 1, -1) if layout == "channels_last" else array
    room = np.empty(array.nbytes + 2 * PAGE, np.uint8)
    start = -room.ctypes.data % PAGE + LINE * chance.randrange(PAGE // LINE)
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(order.shape)
    copy[...] = order
    return np.moveaxis(copy, -1, 1) if layout == "channels_last" else copy


def elsewhere(case: Any, chance: random.Random) -> Any:
    """The same question with its arrays in new memory."""
    cotangent = None if case.cotangent is None else placed(case.cotangent, case.layout, chance)
    return case.replace(x=placed(case.x, case.layout, chance), cotangent=cotangent)


def question(spec: Any, described: Mapping[str, Any], text: ModuleType, case: Callable[..., Any]) -> Any:
    """The case that is described: its numbers come from seeded generators, its arrays lie where `place` says, a seed too."""
    shape, chance = tuple(described["shape"]), random.Random(described["place"])
    x = placed(text.generate("uniform", 1, shape, described["dtype"]), described["layout"], chance)
    cotangent = None
    if described["output"] == "gradient":
        pooled = (*shape[:2], *spec.output_shape(shape[2:]))
        cotangent = placed(text.generate("uniform", 2, pooled, described["dtype"]), described["layout"], chance)
    return case(spec, x, described["layout"], described["output"], cotangent)


def ask(backend: Any, case: Any, place: int) -> Asked:
    """Bind a case, and call it until it is warm; a device's calls are queued where its adapter can.

    What a backend allocates itself, its result above all, would lie alike in every process but for what lies before it: so
    something of a size that `place` chooses does.
    """
    beside = np.empty(SPACER + LINE * random.Random(place).randrange(PAGE // LINE), np.uint8)
    answer = backend.bind(case)
    asked = Asked(answer, beside=beside)
    if str(getattr(backend, "device", "cpu")) != "cpu" and hasattr(backend, "enqueue"):
        launch, wait = backend.enqueue(case)
        asked = Asked(launch, answer, wait, beside)
    for _ in range(WARM_CALLS):
        asked.call()
    return asked


def block(call: Call, wait: Callable[[], float | None] | None, iterations: int) -> dict[str, float | int | None]:
    """Seconds of so many calls, after an untimed one, with garbage collection off: by the wall clock, of CPU, of a device."""
    repetitions = itertools.repeat(None, iterations)
    collecting = gc.isenabled()
    gc.disable()
    try:
        call()
        if wait:
            wait()
        waited = waiting()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in repetitions:
            call()
        device = wait() if wait else None
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        if collecting:
            gc.enable()
    device = (wall if device is None else device) if wait else None
    return {"wall": wall, "cpu": cpu, "device": device, "waited": waiting() - waited}


def waiting() -> float:
    """Seconds so far that this process's first thread could have run, and another had its core; 0 where the system does not say."""
    try:
        # https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
        return int(Path("/proc/self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def digest(array: Any, keep: str | None = None) -> dict[str, Any]:
    """An answer's checksum: of its bytes in C order, its shape and its dtype, every NaN alike and −0 as 0.

    With `keep` the bytes go to that file as well.

    Raises:
        TypeError: it is no array of numbers.
    """
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise TypeError(f"fetch returned {type(array).__name__}: expected a NumPy array")
    plain = np.ascontiguousarray(array)
    if plain.dtype.kind not in "iub":
        plain = plain + plain.dtype.type(0)
        plain[np.isnan(plain)] = np.nan
    raw = plain.view(np.uint8).data if plain.size else b""
    if keep is not None:
        Path(keep).write_bytes(raw)
    said = f"{plain.dtype.name} {plain.shape} ".encode()
    return {"checksum": hashlib.sha256(said + bytes(raw)).hexdigest(), "dtype": plain.dtype.name, "shape": plain.shape}


# --- sentinels: work that no change of a backend can touch ----------------------------------------


def _loop() -> Call:
    def call() -> None:
        for _ in itertools.repeat(None, 2000):
            pass

    return call


def _copy() -> Call:
    source, target = np.ones(1 << 20), np.zeros(1 << 20)
    return lambda: np.copyto(target, source)


def _maximum() -> Call:
    a, b, out = (np.full(1 << 14, value, np.float32) for value in (1, 2, 0))
    return lambda: np.maximum(a, b, out=out)


SENTINELS: Mapping[str, Callable[[], Call]] = {"python-loop": _loop, "copy-8MB": _copy, "maximum-64KB": _maximum}


def sentinel(name: str) -> Asked:
    """One of `SENTINELS`."""
    call = SENTINELS[name]()
    call()
    return Asked(call)
