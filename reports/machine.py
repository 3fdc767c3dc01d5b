"""What machine and which versions a run used: read from the system and from package metadata, nothing is imported."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy", "ml_dtypes", "torch", "tensorflow", "keras", "jax", "jaxlib", "onnx", "onnxruntime", "scipy", "scikit-image",
    "scikit-learn", "triton", "cupy", "mlx", "hypothesis", "pytest", "pytest-benchmark",
)  # fmt: skip
THREAD_SETTINGS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """What stays the same from one run to the next: memory in bytes, caches as the system spells them."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "memory": _memory(),
        "caches": _caches(),
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def threads() -> dict[str, str]:
    """The settings that decide how many threads a framework uses."""
    found = {name: value for name in THREAD_SETTINGS if (value := os.environ.get(name)) is not None}
    if hasattr(os, "sched_getaffinity"):
        found["usable cores"] = str(len(os.sched_getaffinity(0)))
    return found


def load() -> float | None:
    """The mean number of runnable processes over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(("model name", "Model")))
    return next(named, "") or platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _caches() -> dict[str, str]:
    caches = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, form, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
        except OSError:
            continue
        caches[f"L{level} {form.lower()}"] = size
    return caches
