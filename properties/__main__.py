"""Replay one case: `python -m properties TEXT --backend NAME`.

TEXT is the line that a failing law printed. Its law is asked again, on that one case; without a
law's name the answer is held against the definition. Exit status: 0 it holds, 1 it does not,
2 the line or the backend cannot be understood, 3 the backend cannot be asked.
"""

import argparse
import importlib
import pkgutil
import sys

import backends
import properties
from backends import oracle, text
from backends.compare import assert_conforms
from backends.interface import Case, Unsupported
from backends.process import Remote
from properties.divergences import DIVERGENCES
from properties.laws import REGISTRY
from properties.subject import Subject, native_code


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m properties", description="Replay one case that a law was put to.")
    parser.add_argument("text", nargs="+", help="the line that a failing law printed")
    parser.add_argument("--backend", required=True, help="a backend of ours, FILE.py:Name or package.module:Name")
    options = parser.parse_args(arguments)
    try:
        law, case = text.parse(" ".join(options.text))
        backend = Remote(options.backend)
    except (text.Unreadable, backends.UnknownBackend, backends.BrokenBackend) as error:
        parser.error(str(error))
    if law is not None and law not in laws():
        parser.error(f"there is no law {law!r}; the laws are {', '.join(sorted(laws()))}")
    subject = Subject(backend, DIVERGENCES, address=options.backend)
    show(case)
    try:
        if law is None:
            assert_conforms(case, subject.ask(case))
        else:
            print(f"law: {' '.join((REGISTRY[law].claim.__doc__ or '').split())}")
            REGISTRY[law].claim(subject, case)
    except Unsupported as reason:
        print(f"{backend.name} {backend.version} cannot be asked: {reason}")
        return 3
    except AssertionError as error:
        print(f"{backend.name} {backend.version} does not conform: {error}")
        if code := native_code(backend, case):
            print(f"\n{code}")
        return 1
    known = "".join(f"; known and excused: {row} ({count} elements)" for row, count in subject.excused.items())
    print(f"{backend.name} {backend.version} conforms{known}")
    return 0


def laws() -> dict[str, object]:
    """Every law by name: importing the test files registers them."""
    for module in pkgutil.iter_modules(properties.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"properties.{module.name}")
    return dict(REGISTRY)


def show(case: Case) -> None:
    """Print a case, and the definition's answer."""
    print(f"{case.spec}\n{case.output}, {case.layout}, {case.x.dtype.name}\nx =\n{case.x}")
    if case.cotangent is not None:
        print(f"cotangent =\n{case.cotangent}")
    try:
        print(f"by definition =\n{oracle.pool(case).value}")
    except ValueError as error:
        print(f"by definition: invalid, {error}")


if __name__ == "__main__":
    sys.exit(main())
