"""Which laws hold of a backend on which cases: many lines asked in one process.

    python -m properties.holds --backend torch --backend-python ../old/bin/python < lines

reads lines as `python -m properties` takes them, and prints a JSON list of what becomes of each: "holds", "fails" or
"cannot be asked".
"""

import argparse
import json
import sys

from backends import text
from backends.interface import Unsupported
from properties.__main__ import add_backend, put, started
from properties.subject import Subject


def holds(line: str, subject: Subject) -> str:
    """What becomes of one line.

    Raises:
        Unreadable: it names no case, or no law.
    """
    law, case = text.parse(line)
    try:
        put(law, case, subject)
    except Unsupported:
        return "cannot be asked"
    except AssertionError:
        return "fails"
    return "holds"


def main(arguments: list[str] | None = None) -> int:
    """Run the command on the lines of standard input, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m properties.holds", description="Which laws hold on which cases, a line each.")
    add_backend(parser)
    _, subject = started(parser.parse_args(arguments))
    print(json.dumps([holds(line.strip(), subject) for line in sys.stdin if line.strip()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
