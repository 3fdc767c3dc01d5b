"""One contender of a comparison, in a process of its own: `python -m benchmarks.peer NAME`.

It reads a line of JSON, does what it says, and answers with one: "ask" prepares a question after one
look at the answer, "place" binds it to freshly placed memory, "time" times a block of calls, "look" looks at one
more answer; "memory" and "explain" say what a call needs and where its time goes. It is idle meanwhile, so that contenders take turns.
"""

import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

import backends
from backends.interface import Backend, refusal
from backends.timing import WARM_CALLS, elsewhere
from benchmarks import costs, machine
from benchmarks.cells import Cell
from benchmarks.check import check, checksum
from benchmarks.problems import status_of
from benchmarks.workloads import WORKLOADS, bytes_moved


class Contender:
    """A backend and the questions that it is being timed on, by layout."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.chance = random.Random(0)
        self.cases: dict[str, Any] = {}
        self.checksums: dict[str, str] = {}
        self.calls: dict[str, Callable[[], Any]] = {}

    def ask(self, workload: str, layout: str, output: str) -> dict[str, Any]:
        """Prepare a question; say why not, or about how many seconds a call takes."""
        self.cases.pop(layout, None)
        self.calls.pop(layout, None)
        case = Cell(workload=WORKLOADS[workload], layout=layout, output=output).case()  # type: ignore[arg-type]  # the parent's words
        if reason := refusal(self.backend, case):
            if not isinstance(reason, str):
                raise TypeError(f"{self.backend.name}.gap returned {reason!r}: expected None, or the reason as a text")
            return {"status": "gap", "message": reason}
        looked = check(case, self.backend.fetch(self.backend.bind(elsewhere(case, self.chance))()))
        self.cases[layout], self.checksums[layout] = case, looked.checksum
        self.place(layout)
        facts = {"checksum": looked.checksum, "bytes": bytes_moved(case), "input": case.x.nbytes}
        return {"status": "ready", **facts, "seconds": self.time(layout, 1)["seconds"]}

    def place(self, layout: str) -> dict[str, Any]:
        """Bind the question to freshly placed memory, and warm it."""
        call = self.backend.bind(elsewhere(self.cases[layout], self.chance))
        for _ in range(WARM_CALLS):
            call()
        self.calls[layout] = call
        return {"status": "ready"}

    def look(self, layout: str) -> dict[str, Any]:
        """Look at one more answer: unless it is the first one, to the bit, it is checked anew."""
        answer = self.backend.fetch(self.calls[layout]())
        if checksum(answer) != self.checksums[layout]:
            check(self.cases[layout], answer, seed=1)
        return {"status": "ready"}

    def time(self, layout: str, calls: int) -> dict[str, Any]:
        """Seconds of one call, over a block of them, after one that is not timed."""
        call = self.calls[layout]
        call()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        seconds = (time.perf_counter() - start) / calls
        machine.require_believable([seconds], "time.perf_counter")
        return {"status": "ready", "seconds": seconds}

    def memory(self, layout: str) -> dict[str, Any]:
        """The peak of what Python's allocators, NumPy's among them, gave to binding and a call, beside the output: bytes."""
        case = elsewhere(self.cases[layout], self.chance)
        tracemalloc.start()
        try:
            answer = self.backend.bind(case)()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return {"status": "ready", "extra": peak - self.backend.fetch(answer).nbytes}

    def explain(self, layout: str) -> dict[str, Any]:
        """What the calls that a pooling is made of cost, of a backend that can name them."""
        case = elsewhere(self.cases[layout], self.chance)
        return {"status": "ready", **asdict(costs.measure(self.backend.plan(case), self.backend.bind(case)))}  # type: ignore[attr-defined]


def serve(backend: Backend, orders: TextIO, replies: TextIO) -> None:
    """Do what is ordered, line by line, until there is nothing more; what fails is answered, and the next order awaited."""
    contender = Contender(backend)
    for line in orders:
        order = json.loads(line)
        try:
            reply = getattr(contender, order.pop("do"))(**order)
        except Exception as error:
            reply = {"status": status_of(error), "message": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def main(name: str) -> None:
    """Load the backend, say so, and serve."""
    # Frameworks print; the answers go where nothing else does.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        backend = backends.load(name)
    except (backends.BrokenBackend, backends.UnknownBackend) as error:
        print(json.dumps({"status": "error", "message": str(error)}), file=replies, flush=True)
        return
    build: dict[str, str] = getattr(backend, "environment", dict)()
    facts = {"name": backend.name, "version": backend.version, "device": str(getattr(backend, "device", "cpu")), "build": build}
    print(json.dumps({"status": "ready", **facts}), file=replies, flush=True)
    serve(backend, sys.stdin, replies)


if __name__ == "__main__":
    main(sys.argv[1])
