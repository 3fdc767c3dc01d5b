"""Each backend that a run names can be loaded, and is what the interface says."""

import pytest

from backends.interface import Backend, Capabilities
from properties.subject import Subject


@pytest.mark.loads
def test_loads(backend: Subject) -> None:
    """The backend loads, and has the attributes and capabilities of the interface."""
    assert isinstance(backend.backend, Backend)
    assert backend.capabilities
    assert all(Capabilities.of(declared) for declared in backend.capabilities.values())
