"""What the NumPy backend takes of a machine: memory, threads, and what a forked child finds of both."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from backends import numpy_backend
from backends.interface import Case
from backends.numpy_backend import NumpyBackend
from backends.spec import Average, Max, PoolSpec, Sliding


@pytest.fixture(autouse=True)
def small_arrays_are_shared_out(monkeypatch):
    """Let arrays of any size be computed on several threads."""
    monkeypatch.setattr(numpy_backend, "PARALLEL_FROM", 1)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("reduction, windows", [(Max(), Sliding(kernel=(2, 2))), (Average(), Sliding(kernel=(5, 5), stride=(1, 1)))])
def test_memory_beyond_the_answer(reduction, windows, layout):
    """A warm call allocates its answer and little else, and what was set aside for it is a tenth of the input at most."""
    x = np.random.default_rng(0).standard_normal((2, 32, 224, 224) if layout == "channels_first" else (2, 224, 224, 32)).astype(np.float32)
    x = x if layout == "channels_first" else np.moveaxis(x, -1, 1)
    tracemalloc.start()
    try:
        call = NumpyBackend(threads=2).bind(Case(PoolSpec(reduction=reduction, windows=windows), x, layout))
        call()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        answer = call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < x.nbytes / 10
    assert peak - held - answer.nbytes < x.nbytes / 50


def test_a_forked_child_pools_too():
    """A child that is forked after a parallel pooling has its own threads, and does not wait for its parent's."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    script = """
import os, warnings
import numpy as np
from backends import numpy_backend
from backends.interface import Case
from backends.spec import Max, PoolSpec, Sliding
numpy_backend.PARALLEL_FROM = 1
warnings.simplefilter("ignore")
case = Case(PoolSpec(reduction=Max(), windows=Sliding(kernel=(2, 2))), np.ones((8, 4, 32, 32)))
call = numpy_backend.NumpyBackend(threads=2, block=1000).bind(case)
call()
child = os.fork()
if not child:
    os._exit(0 if call().all() else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("given_threads", ["0", "-1", "two", ""])
def test_threads_from_the_environment_are_a_positive_number(monkeypatch, given_threads):
    """A number of threads that is none is an error that names the variable and the value."""
    monkeypatch.setenv(numpy_backend.THREADS, given_threads)
    with pytest.raises(ValueError, match=f"{numpy_backend.THREADS}={given_threads!r}"):
        NumpyBackend()


def test_threads_are_those_of_the_environment_or_the_processors(monkeypatch):
    """The variable decides how many threads pool; without it, every processor that the process may use."""
    monkeypatch.setenv(numpy_backend.THREADS, "3")
    assert NumpyBackend().threads == 3
    monkeypatch.delenv(numpy_backend.THREADS)
    assert NumpyBackend().threads >= 1
