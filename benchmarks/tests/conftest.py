"""Benchmarks that tests start in processes of their own are timed, under xdist too."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def a_process_of_its_own() -> Iterator[None]:
    """pytest-benchmark refuses to time in a worker of xdist, which it knows by a variable that every child inherits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_XDIST_WORKER", raising=False)
        yield
