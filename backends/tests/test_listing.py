"""Which frameworks a process imports: none, until a backend that needs one is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

import backends

ROOT = Path(__file__).parents[2]
IMPORTED = 70
SPY = f"""
import importlib.machinery, os, sys

class Spy:
    def find_spec(self, name, path=None, target=None):
        known = name in ("jax", "keras", "onnxruntime", "tensorflow", "torch")
        return importlib.machinery.ModuleSpec(name, self) if known else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        sys.stdout.write(f"imported {{module.__name__}}\\n")
        sys.stdout.flush()
        os._exit({IMPORTED})

sys.meta_path.insert(0, Spy())
"""
"""Ends the process at the first import of a framework, installed or not."""


def watched(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, under the eyes of the spy."""
    return subprocess.run([sys.executable, "-c", SPY + code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_listing_backends_imports_no_framework():
    """Naming every backend imports no framework, and names those whose framework is not installed too."""
    run = watched("import backends; print(*backends.available())")
    assert run.returncode == 0, run.stdout + run.stderr
    assert {"numpy", "torch", "tensorflow"} <= set(run.stdout.split())


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_loading_is_what_imports(name):
    """Loading a framework's backend imports that framework, so that the test above can fail."""
    run = watched(f"import backends; backends.load({name!r})")
    assert run.returncode == IMPORTED, run.stdout + run.stderr
    assert run.stdout == f"imported {name}\n"


@pytest.mark.parametrize("name", ["torch", "torch:compile", "tensorflow:xla", "jax"])
def test_a_missing_framework_says_what_installs_it(name, monkeypatch):
    """A backend whose framework is not installed says so, with the environment that has it."""
    framework = name.partition(":")[0]
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(backends.BrokenBackend, match=rf"^{name}: ModuleNotFoundError: .*`tox -e conform-{framework}` installs it"):
        backends.load.__wrapped__(name)
