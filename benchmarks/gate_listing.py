"""What a side has to offer, as one line of JSON: `python gate_listing.py ROOT` under the side's interpreter.

The workloads are those of ROOT's own benchmarks, so that one that a change renames or drops is seen; a side without
any (an older revision, another project) says null. Packages are those that decide a result or a timing.
"""

import contextlib
import importlib.metadata
import json
import platform
import sys

PACKAGES = ("numpy", "ml-dtypes", "torch", "tensorflow", "keras", "jax", "jaxlib", "onnxruntime", "onnx", "triton", "scipy")


def workloads() -> list[dict] | None:
    """Each workload's name, question and the words that it is chosen by; None where there are none."""
    try:
        from benchmarks.workloads import WORKLOADS
    except ImportError:
        return None
    return [
        {
            "name": workload.name,
            "spec": json.dumps([[part.name, vars(part)] for part in (workload.spec.reduction, workload.spec.windows)]),
            "shape": workload.shape,
            "dtype": workload.dtype,
            "outputs": workload.valid_outputs,
            "quick": workload.quick,
            "words": sorted({workload.network, *workload.families}),
        }
        for workload in WORKLOADS.values()
    ]


def packages() -> dict[str, str]:
    """Versions of what is installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


if __name__ == "__main__":
    sys.path[0] = sys.argv[1]
    print(json.dumps({"workloads": workloads(), "packages": packages(), "python": platform.python_version()}))
