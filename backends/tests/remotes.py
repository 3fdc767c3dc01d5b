"""What the tests of processes ask of `strangers.py`, and how they watch processes come and go."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backends.interface import Case
from backends.spec import Max, PoolSpec, Sliding

linux = pytest.mark.skipif(sys.platform != "linux", reason="a nursery needs fork, and /proc to look at")

STRANGERS = Path(__file__).with_name("strangers.py")
MAX = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2)))
PLAIN = Case(MAX, np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4))
FATAL = PLAIN.replace(x=-PLAIN.x)
POOLED = [[[[6, 8], [14, 16]]]]
starts = pytest.mark.parametrize("start", [pytest.param("fork", marks=linux), "spawn"])


def pids(folder):
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, limit=60):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the condition never came true")
        time.sleep(0.01)
