"""Whether an answer that the gate times is right: asked once for each checksum, in a process of its own.

The definition, and the arrays that it needs, stay out of the process that measures. `python -m
benchmarks.gate_judge` reads questions as lines of JSON, and answers each with a line.
"""

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
"""Seconds that one answer may take to be held against the definition."""


class Judge:
    """Remembers, by workload and checksum, what is wrong with an answer."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], str] = {}
        self._process: subprocess.Popen[str] | None = None
        self._errors: Any = None

    def knows(self, workload: str, checksum: str) -> bool:
        """Whether that answer was held against the definition already."""
        return (workload, checksum) in self._said

    def wrong(self, workload: str, checksum: str) -> str:
        """What is wrong with it; empty if it conforms."""
        return self._said[workload, checksum]

    def ask(self, workload: str, checksum: str, question: Mapping[str, Any]) -> None:
        """Hold an answer, whose elements lie in a file, against the definition."""
        self._said[workload, checksum] = self._ask(json.dumps(question))

    def _ask(self, line: str) -> str:
        asking, answering = self._started()
        try:
            asking.write(line + "\n")
            asking.flush()
            if select.select([answering], [], [], PATIENCE)[0] and (said := answering.readline()):
                return str(json.loads(said))
        except (OSError, ValueError):
            pass
        self._errors.seek(0)
        last = [f"not within {PATIENCE:g} s", *self._errors.read().strip().splitlines()][-1]
        self.close()
        return f"it cannot be held against the definition: {last}"

    def _started(self) -> tuple[IO[str], IO[str]]:
        if self._process is None:
            self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # it lives as long as the process
            command = [sys.executable, "-m", "benchmarks.gate_judge"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, cwd=ROOT, start_new_session=True
            )
        return cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
            self._errors.close()


def judge(question: Mapping[str, Any]) -> str:
    """What is wrong with an answer; empty if it conforms."""
    import numpy as np

    from backends import text, timing, wire
    from backends.interface import Case, dtype_named
    from benchmarks.check import Wrong, check

    answer = question["answer"]
    array = np.frombuffer(Path(question["file"]).read_bytes(), dtype_named(answer["dtype"])).reshape(answer["shape"])
    case = timing.question(wire.spec_from(question["spec"]), question, text, Case)
    try:
        check(case, array)
    except Wrong as error:
        return str(error)
    return ""


if __name__ == "__main__":
    for asked in sys.stdin:
        print(json.dumps(judge(json.loads(asked))), flush=True)
