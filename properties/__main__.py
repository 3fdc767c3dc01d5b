"""Replay one case: `python -m properties TEXT --backend NAME`.

TEXT is the line that a failing law printed. Its law is asked again, on that one case; without a
law's name the answer is held against the definition. A case that breaks the definition must raise,
and that is asked of it alone. Exit status: 0 it holds, 1 it does not, 2 the line or the backend
cannot be understood, 3 the backend cannot be asked.
"""

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

import backends
import properties
from backends import oracle, text
from backends.compare import assert_conforms
from backends.interface import Case, Unsupported
from backends.process import ROOT, Remote
from properties.divergence import named
from properties.divergences import DIVERGENCES
from properties.laws import REGISTRY, Law
from properties.refusals import invalid, is_ours, knows, outcome
from properties.subject import Subject, native_code

BAD_CASE = "bad_case"
"""What the records call the law that `test_bad_calls` puts invalid cases to."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m properties", description="Replay one case that a law was put to.")
    parser.add_argument("text", nargs="+", help="the line that a failing law printed")
    add_backend(parser)
    options = parser.parse_args(arguments)
    try:
        law, case = text.parse(" ".join(options.text))
        backend, subject = started(options)
    except (text.Unreadable, backends.UnknownBackend, backends.BrokenBackend) as error:
        parser.error(str(error))
    if law not in (None, BAD_CASE, *laws()):
        parser.error(f"there is no law {law!r}; the laws are {', '.join(sorted(laws()))}")
    rule = invalid(case)
    if law == BAD_CASE and rule is None:
        parser.error(f"{BAD_CASE} is about what breaks the definition, and this case does not")
    show(case, rule)
    if rule is not None:
        return refused(backend, case, options.backend)
    if law is not None:
        print(f"law: {' '.join((laws()[law].claim.__doc__ or '').split())}")
    try:
        put(law, case, subject)
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


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The options that say who is asked, where it lives, and with whom it is compared."""
    add = parser.add_argument
    add("--backend", required=True, help="a backend of ours, FILE.py:Name or package.module:Name")
    add("--backend-python", metavar="PYTHON", help="the interpreter that it lives under (default: this one)")
    add("--backend-root", type=Path, default=ROOT, metavar="DIR", help="the checkout whose adapters are asked (default: this one)")
    add("--compared-with", action="append", default=[], type=named, metavar="NAME==VERSION", help="excuse what is known of that as well")


def started(options: argparse.Namespace) -> tuple[Remote, Subject]:
    """The backend that those options mean, in a process of its own; and as what laws are put to.

    Raises:
        UnknownBackend: nothing has that name.
        BrokenBackend: it cannot be loaded.
    """
    remote = Remote(options.backend, options.backend_python, root=options.backend_root)
    return remote, Subject(remote, DIVERGENCES, address=options.backend, compared_with=options.compared_with)


def put(law: str | None, case: Case, subject: Subject) -> None:
    """Put a case to a backend: by a law's name, or against the definition.

    Raises:
        Unsupported: it cannot be asked this.
        AssertionError: it does not hold.
    """
    if law is None:
        assert_conforms(case, subject.ask(case))
    else:
        laws()[law].claim(subject, case)


def refused(backend: Remote, case: Case, address: str) -> int:
    """Ask a backend a case that breaks the definition, say whether it refuses it, and return the exit status."""
    seen = outcome(backend, case, ours=is_ours(address))
    if seen is None:
        print(f"{backend.name} {backend.version} cannot be asked that: it says so itself, or claims nothing of the kind")
        return 3
    if seen.outcome == "raises":
        print(f"{backend.name} {backend.version} conforms: it must raise an exception, and does: {seen.text}")
        return 0
    row = knows(backend, seen.outcome, text.write(case), case)
    known = f"; known: {row.id}" if row else ""
    print(f"{backend.name} {backend.version} does not conform: it must raise an exception, and {seen.outcome}: {seen.text}{known}")
    if code := native_code(backend, case):
        print(f"\n{code}")
    return 1


def laws() -> dict[str, Law]:
    """Every law by name: importing the test files registers them."""
    for module in pkgutil.iter_modules(properties.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"properties.{module.name}")
    return dict(REGISTRY)


def show(case: Case, rule: str | None) -> None:
    """Print a case, and the definition's answer, or the rule that it breaks."""
    print(f"{case.spec}\n{case.output}, {case.layout}, {case.x.dtype.name}\nx =\n{case.x}")
    if case.cotangent is not None:
        print(f"cotangent =\n{case.cotangent}")
    print(f"by definition: invalid, {rule}" if rule is not None else f"by definition =\n{oracle.pool(case).value}")


if __name__ == "__main__":
    sys.exit(main())
