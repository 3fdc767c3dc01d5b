"""PyTorch for the files that test its adapter, and backends in processes of their own."""

import contextlib

import pytest

import backends
from backends.process import Remote
from backends.tests.remotes import STRANGERS
from backends.tests.torch_questions import loaded


@pytest.fixture(scope="module")
def eager() -> backends.Backend:
    return loaded("torch")


@pytest.fixture(scope="module")
def compiled() -> backends.Backend:
    return loaded("torch:compile")


@pytest.fixture
def remote(tmp_path):
    """Makes Remotes of `strangers.py` by class name, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(name, *, answer="native", stage="", error="KeyError", **options):
            said = {"STRANGER_FILE": str(tmp_path / "pids"), "STRANGER_ANSWER": answer, "STRANGER_STAGE": stage, "STRANGER_ERROR": error}
            options = {"time_limit": 60, "environment": said} | options
            return stack.enter_context(Remote(f"{STRANGERS}:{name}", **options))

        yield make
