"""The implementations under test, and the definition that they are held against.

Listing backends imports no framework: an adapter module imports its framework inside `load`, so
that a run pays only for what it asks (TensorFlow takes six seconds, PyTorch three), a framework
that is missing or broken costs only its own results, and the command line answers at once.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backends.interface import Backend, Capabilities, Case

ENTRY_POINTS = "poolproof.backends"


class UnknownBackend(ValueError):
    """No backend has that name."""


class BrokenBackend(Exception):
    """A backend that exists could not be loaded: its framework is missing, or failed at import."""


def adapters() -> dict[str, ModuleType]:
    """Our own adapter modules by name; importing one imports no framework."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.endswith("_backend"))
    return {name.removesuffix("_backend"): importlib.import_module(f"{__name__}.{name}") for name in names}


def available() -> dict[str, str]:
    """Every name that `load` takes, with one line that says what it is.

    A variant follows a colon. Whether its framework is installed, and works, is known only when
    it is loaded.
    """
    names = {}
    for name, module in adapters().items():
        for variant, description in module.VARIANTS.items():
            names[f"{name}:{variant}" if variant else name] = description
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        names[entry.name] = f"entry point {entry.value}"
    return names


def known(name: str) -> str:
    """The name, if it can name a backend; nothing is imported or loaded to find out.

    Raises:
        UnknownBackend: it names none of ours, no entry point, and no file; the message lists what there is.
    """
    where, colon, attribute = name.rpartition(":")
    if name in available() or (colon and attribute and where not in adapters() and (not where.endswith(".py") or Path(where).is_file())):
        return name
    if where.endswith(".py"):
        raise UnknownBackend(f"backend {name!r}: there is no file {where}")
    raise UnknownBackend(_unknown(name))


@functools.cache
def load(name: str) -> Backend:
    """The backend of that name, with its framework imported.

    `name` is one of `available()`, `path/to/file.py:Name` or `package.module:Name`, where Name is
    a class or another callable that takes no arguments.

    Raises:
        UnknownBackend: nothing has that name; the message lists what there is.
        BrokenBackend: its framework is missing or broken, or its file cannot be run; the message
            has the text of the exception.
    """
    base, _, variant = name.partition(":")
    ours = adapters()
    if base in ours and variant in ours[base].VARIANTS:
        return _checked(name, functools.partial(ours[base].load, variant))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _checked(name, functools.partial(_made_by, entry))
    if ":" in name and base not in ours:
        return _checked(name, functools.partial(_stranger, name))
    raise UnknownBackend(_unknown(name))


def plain(declared: Capabilities | Mapping[str, Any]) -> dict[str, Any]:
    """Capabilities as a mapping of sorted lists and booleans, for records."""
    can = Capabilities.of(declared)
    return {key: value if isinstance(value, bool) else sorted(value) for key, value in vars(can).items()}


def run(backend: Backend, case: Case) -> np.ndarray:
    """Ask a backend one case: convert, call, and fetch the answer."""
    return backend.fetch(backend.bind(case)())


def _unknown(name: str) -> str:
    return f"unknown backend {name!r}; choose from {', '.join(available())}, FILE.py:Name or package.module:Name"


def _checked(name: str, build: Any) -> Backend:
    try:
        backend = build()
    except (UnknownBackend, BrokenBackend):
        raise
    except Exception as error:  # whatever a framework raises at import is this backend's alone
        base = name.partition(":")[0]
        missing = isinstance(error, ModuleNotFoundError) and base in adapters()
        hint = f" (`tox -e conform-{base}` installs it)" if missing else ""
        raise BrokenBackend(f"{name}: {type(error).__name__}: {error}{hint}") from error
    for attribute in ("name", "version", "capabilities", "gap", "bind", "fetch"):
        if not hasattr(backend, attribute):
            raise BrokenBackend(f"{name}: has no attribute {attribute!r}; a backend has name, version, capabilities, gap, bind and fetch")
    for reduction, declared in backend.capabilities.items():
        try:
            Capabilities.of(declared)
        except (TypeError, ValueError) as error:
            raise BrokenBackend(f"{name}: {reduction}: {error}") from error
    return backend


def _made_by(entry: importlib.metadata.EntryPoint) -> Any:
    return entry.load()()


def _stranger(name: str) -> Any:
    where, _, attribute = name.rpartition(":")
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise UnknownBackend(f"backend {name!r}: there is no file {path}")
        spec = importlib.util.spec_from_file_location(f"stranger_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise UnknownBackend(f"backend {name!r}: {path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name and (where == error.name or where.startswith(f"{error.name}.")):
                raise UnknownBackend(_unknown(name)) from None
            raise
    if not callable(getattr(module, attribute, None)):
        raise UnknownBackend(f"backend {name!r}: {where} has no class or function {attribute!r}")
    return getattr(module, attribute)()
