"""The machine that a timing was taken on: what it is, how fast it copies, how busy it was.

Threads are pinned by environment variables, which every framework reads once, at import: `pin`
comes before any backend is loaded. Whether it took is measured, not believed: `measure.Rounds` says on
how many cores a call computes (fewer than it would, where others keep them busy), `Watch` how many those
are, and `reports.spread` what is too many.
"""

import functools
import gc
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

PINS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC", "POOLPROOF_NUMPY_THREADS",
)  # fmt: skip
"""Each means threads of one operation to somebody: OpenMP and BLAS libraries, TensorFlow, XLA (NPROC), our NumPy backend."""
SETTINGS = (
    "ATEN_CPU_CAPABILITY", "DNNL_", "GLIBC_TUNABLES", "GOMP_", "KMP_", "LD_PRELOAD", "MALLOC_", "MKL_", "NPY_", "OMP_", "ONEDNN_",
    "OPENBLAS_", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "XLA_",
)  # fmt: skip
"""How the names of variables begin that decide a time beside the pins: instruction sets, allocators, where threads run, compilers."""
HELD = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
"""Memory comes from the heap and stays: glibc gives large results back to the system, and the next call faults them in anew, or not."""
FALLBACK_CACHE = 32 << 20
"""Bytes of last-level cache where the system does not say."""
BEYOND = 4
"""How many times the last-level cache a copy moves whose arrays no cache holds."""
ATTEMPTS, LONGER = 5, 1.1
"""How often a rate is measured before it is called unknown, and by which factor an array five times as long takes longer at least."""


class Refused(Exception):
    """A timing that cannot be believed; the message says why."""


# --- threads ------------------------------------------------------------------------------------


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pinned(threads: int) -> dict[str, str]:
    """The environment variables that give every framework this many threads.

    Raises:
        ValueError: there are not so many cores, or fewer than one thread is asked for.
    """
    if not 1 <= threads <= usable_cores():
        raise ValueError(f"threads={threads}: expected 1 to {usable_cores()}, the cores that this process may use")
    return dict.fromkeys(PINS, str(threads))


def timed(threads: int) -> dict[str, str]:
    """The environment of a process whose calls are timed: this one's, so many threads, and memory `HELD` unless it says otherwise.

    Raises:
        ValueError: as `pinned`.
    """
    return {**HELD, **os.environ, **pinned(threads)}


def pin(threads: int) -> None:
    """Give every framework that is imported from now on this many threads."""
    os.environ.update(pinned(threads))


# --- what it is ---------------------------------------------------------------------------------


def describe() -> dict[str, Any]:
    """What decides a timing beside the code: frequency policy, caches in bytes, threads, allocator; "unknown" where nobody says."""
    return {
        "usable cores": usable_cores(),
        "physical cores": _psutil("cpu_count", logical=False) or "unknown",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency": _frequency(),
        "boost": _read("/sys/devices/system/cpu/cpufreq/boost"),
        "virtual machine": "yes" if " hypervisor" in _read("/proc/cpuinfo") else "unknown",
        "caches": caches(),
        "huge pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "C library": " ".join(platform.libc_ver()).strip() or "unknown",
        "settings": {name: os.environ[name] for name in sorted(os.environ) if name in PINS or name.startswith(SETTINGS)},
        "load": load(),
    }


CORES = Path("/sys/devices/system/cpu")


@functools.cache
def caches() -> dict[str, int]:
    """The data caches of the first core by level, in bytes: {"L1": 49152, ...}."""
    return {level: size for level, size, _ in _caches_of(0)}


def _caches_of(core: int) -> list[tuple[str, int, str]]:
    """(level, bytes, the cores that share it) of each data cache of a core, the smallest first."""
    found = []
    for index in sorted((CORES / f"cpu{core}" / "cache").glob("index*")):
        level, form, size, shared = (_read(index / part) for part in ("level", "type", "size", "shared_cpu_list"))
        if form in ("Data", "Unified") and size[:-1].isdigit():
            found.append((f"L{level}", int(size[:-1]) << {"K": 10, "M": 20}.get(size[-1], 0), shared))
    return sorted(found, key=lambda cache: cache[1])


@functools.cache
def last_level_cache(threads: int = 1) -> int:
    """Bytes of the largest caches that so many threads may fill: a CPU may have several. A guess where the system does not say."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    largest = {found[-1][2]: found[-1][1] for found in map(_caches_of, cores) if found}
    return sum(sorted(largest.values(), reverse=True)[:threads]) or FALLBACK_CACHE


def load() -> float:
    """The mean number of runnable processes over the last minute; 0 where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def _frequency() -> str:
    frequency = _psutil("cpu_freq")
    return f"{frequency.current:.0f} MHz" if frequency and frequency.current else "unknown"


def _psutil(function: str, **arguments: Any) -> Any:
    # Only `tox -e bench` installs it; whoever calls each benchmark once can do without.
    try:
        import psutil
    except ImportError:
        return None
    try:
        return getattr(psutil, function)(**arguments)
    except (OSError, NotImplementedError, AttributeError):
        return None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown"


def has_gpu() -> bool:
    """Whether the system shows an NVIDIA GPU; whether a framework can use it is known once it is loaded."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists() or shutil.which("nvidia-smi") is not None


# --- how fast it copies -------------------------------------------------------------------------


def copy_bandwidth(nbytes: int, threads: int, seconds: float = 0.02) -> float:
    """Bytes a second of a copy that moves `nbytes`, half of them read and half written.

    That is the limit of a pooling that moves as many: a small one stays in a cache, and so does
    this copy. The faster of one thread and `threads` counts; the median of several copies, after an untimed one.
    """
    half = max(nbytes // 2, 64)
    source, target = np.ones(half, np.uint8), np.zeros(half, np.uint8)
    best = _rate(lambda: np.copyto(target, source), 2 * half, seconds)
    if threads > 1 and half >= 1 << 16:
        edges = np.linspace(0, half, threads + 1).astype(int)
        parts = [(target[start:stop], source[start:stop]) for start, stop in zip(edges[:-1], edges[1:], strict=True)]
        with ThreadPoolExecutor(threads) as pool:
            best = max(best, _rate(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), 2 * half, seconds))
    return best


def memory_bandwidth(threads: int) -> float:
    """`copy_bandwidth` of more than the caches hold; 0 for unknown, where there is no memory for that."""
    try:
        return copy_bandwidth(BEYOND * last_level_cache(), threads)
    except MemoryError:
        return 0.0


@functools.cache
def comparison_rate(threads: int, seconds: float = 0.02) -> float:
    """Comparisons a second of float32 numbers that stay in the first cache, on so many threads.

    Two by two, or all of an array with one, whichever is faster, as a kernel may. What a longer array takes more than a shorter
    one, so that what a call costs by itself does not count. 0 for unknown: other work on the machine hid that difference every time.
    """

    def two_by_two(size: int) -> Callable[[], Any]:
        return functools.partial(np.maximum, np.ones(size, np.float32), np.zeros(size, np.float32), out=np.empty(size, np.float32))

    def all_with_one(size: int) -> Callable[[], Any]:
        return functools.partial(np.maximum.reduce, np.ones(size, np.float32))

    return max(threads * _rate_of_more(work, seconds / 2) for work in (two_by_two, all_with_one))


def _rate_of_more(work: Callable[[int], Callable[[], Any]], seconds: float) -> float:
    """Elements a second, from what 5120 of them take more than 1024; 0 where that is hidden every time."""
    for _ in range(ATTEMPTS):
        few, many = (1 / _rate(work(size), 1, seconds / 2) for size in (1024, 5120))
        if many > LONGER * few:
            return 4096 / (many - few)
    return 0.0


def limit(nbytes: int, compared: int, bandwidth: float, rate: float) -> tuple[float, str]:
    """(seconds, "copying" or "arithmetic"): the least that a pooling can take, and what it is spent on.

    It must move `nbytes` at the `bandwidth` of a copy, and compare or add each element once: `compared` bytes of them
    at `rate` float32 a second, since a vector holds twice as many of half the size. (0, "") where no bandwidth is known;
    where no rate is, copying alone counts.
    """
    if not bandwidth:
        return 0.0, ""
    copying, arithmetic = nbytes / bandwidth, compared / 4 / rate if rate else 0.0
    return (copying, "copying") if copying >= arithmetic else (arithmetic, "arithmetic")


def _rate(work: Callable[[], Any], amount: int, seconds: float) -> float:
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return amount / statistics.median(require_believable(times, "time.perf_counter"))


# --- how busy it was ----------------------------------------------------------------------------


class Watch:
    """How busy the machine is while a block runs.

    `used` and `elsewhere` are in cores: what this process, and `children` of it by their ids, computed with, and what
    everybody else kept busy (stolen by the hypervisor included); `elsewhere` is None where the system does not say.
    """

    load_before = load_after = used = 0.0
    elsewhere: float | None = None

    def __init__(self, children: Sequence[int] = ()) -> None:
        self.children = children

    def __enter__(self) -> "Watch":
        self.load_before = load()
        self._start = self._now()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        wall, own, all_busy = (after - before for after, before in zip(self._now(), self._start, strict=True))
        self.load_after = load()
        self.used = own / wall if wall > 0 else 0.0
        if all_busy:
            self.elsewhere = max(0.0, (all_busy - own) / wall)

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time() + (_children_seconds(self.children) if self.children else 0.0), _busy_seconds()


def _busy_seconds() -> float:
    """Seconds that all cores together were not idle since the system started; 0 where it does not say."""
    first = _read("/proc/stat").partition("\n")[0].split()
    if len(first) < 8 or first[0] != "cpu":
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, *stolen = (int(ticks) for ticks in first[1:9])
    return (user + nice + system + irq + soft + sum(stolen)) / os.sysconf("SC_CLK_TCK")


def _children_seconds(children: Sequence[int]) -> float:
    """Seconds that children have computed: those that run, and all that ended, of which the system keeps the sum."""
    ended = os.times()
    ticks = 0
    for child in children:
        # A command's name may have spaces and brackets in it.
        fields = _read(f"/proc/{child}/stat").rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13]))
    return ended.children_user + ended.children_system + (ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0)


# --- whether a clock can be believed ------------------------------------------------------------


def require_moving(timer: Callable[[], float], readings: int = 1_000_000) -> None:
    """Raise `Refused` unless a clock moves, and forward."""
    first = timer()
    for _ in range(readings):
        now = timer()
        if now > first:
            return
        if now < first:
            raise Refused(f"the clock runs backwards: {first!r}, then {now!r}")
    raise Refused(f"the clock stands still: {readings} readings of {first!r}")


def require_believable(seconds: Sequence[float], timer: str) -> Sequence[float]:
    """The times, or `Refused` where one of them is not a positive, finite number."""
    for number, value in enumerate(seconds):
        if not (value > 0 and value < float("inf")):
            raise Refused(f"round {number} took {value!r} seconds by {timer}: a time is positive and finite")
    return seconds


def settle() -> None:
    """Free what is garbage now, so that no collection falls into a timed round."""
    gc.collect()
