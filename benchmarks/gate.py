"""python -m benchmarks.gate: is the candidate slower than the baseline, or does it answer otherwise?

Each side is one of: a git revision (HEAD~3), a checkout's path (../other), an interpreter (python3.12, env/bin/python),
requirements ("torch==2.12.0"), or a file of pytest-benchmark from an earlier run on this machine. A prefix settles what
could be two things: rev:, path:, python:, pip:. Without --baseline it is the commit where HEAD left its upstream branch; without
--candidate HEAD in CI (where CI is set), else this checkout as it is.

  python -m benchmarks.gate                                               what this branch does to the NumPy backend
  python -m benchmarks.gate --baseline numpy==2.3.5 --candidate numpy==2.4.6
  python -m benchmarks.gate --backend my_kernel.py:Mine --checkout ../mine --baseline main --only speed
  python -m benchmarks.gate --null --aa 20                                calibrate this machine: 20 gates of the same against the same

exit status: 0 nothing is slower and nothing answers otherwise   1 slower   2 the command is wrong
             3 no verdict: noise, a side that does not start, an interruption   4 a workload is lost or answers wrongly
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit status, which is 0 for a passed comparison alone."""
    try:
        from benchmarks.gate_command import run
    except ImportError as error:
        # Python's own status for this is 1, which here means slower.
        print(f"no verdict: {error}; `tox -e gate` has all that the gate needs", file=sys.stderr)
        return 3
    return run(__doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
