"""NumPy against its peers, interleaved: who is faster on the same workload, threads and minute.

Two runs on a shared machine differ by more than two kernels do. Here every contender lives in a
process of its own and they take turns, a few milliseconds each, in a new order each sweep; a ratio is
the median over sweeps of two times that were taken within one. Only one computes at a time.
"""

import contextlib
import itertools
import json
import math
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backends.interface import LAYOUTS, Output
from benchmarks import machine
from benchmarks.costs import Costs
from benchmarks.gate_data import Usage
from benchmarks.gate_sides import matches
from benchmarks.peers_text import EXPLAIN, FRAMEWORKS, LARGE, OURS, PLAIN, Column, Comparison, table, verdict
from benchmarks.problems import status_of_death
from benchmarks.progress import Screen, bar
from benchmarks.workloads import QUICK, WORKLOADS, Workload
from reports.record import Environment

PLACEMENTS, SWEEPS, BLOCK = 3, 8, 0.005
"""How often each contender gets new memory, how many turns it has in each, and about how many seconds a turn takes."""
SLOW = 5.0
"""A contender this many times slower than the fastest has two turns in each placement: more would change nothing but the wait."""
LOADING, PATIENCE = 300.0, 120.0
"""Seconds that a framework may take to import, and that a contender may take to do one thing unless told otherwise."""
SPIN = 0.004
"""Seconds between turns where there is more than one thread: a pool of OpenMP threads spins for a while after its last task."""


class Lost(Exception):
    """A contender died, hung, or never started; `status` says which, as of any cell, and the message how."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


# --- measuring ----------------------------------------------------------------------------------


class Peer:
    """The parent's side of a contender."""

    def __init__(self, name: str, threads: int, patience: float = PATIENCE) -> None:
        self.name, self.patience = name, patience
        command = [sys.executable, "-m", "benchmarks.peer", name]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=machine.timed(threads),
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.hello = self.reply(LOADING)
        except Lost:
            self.close()
            raise

    def order(self, **what: Any) -> dict[str, Any]:
        """Have something done, and wait for the answer.

        Raises:
            Lost: it died, or takes too long.
        """
        if self.process.stdin is None:
            raise Lost("error", "has no input")
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._dead() from None
        return self.reply(self.patience)

    def reply(self, patience: float) -> dict[str, Any]:
        """The next answer, if it comes within so many seconds."""
        try:
            line = self.answers.get(timeout=patience)
        except queue.Empty:
            raise Lost("timeout", f"did not answer for {patience:g} s") from None
        if not line:
            raise self._dead()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _dead(self) -> Lost:
        return Lost(*status_of_death(self.process.wait()))

    def _listen(self) -> None:
        # A thread, since only a thread can wait for a pipe with a time limit on every system.
        for line in self.process.stdout or ():
            self.answers.put(line)
        self.answers.put("")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._listener.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def measure(peers: Mapping[str, Peer], workload: Workload, output: Output, threads: int, chance: random.Random) -> Comparison:
    """Let all contenders that can say a workload take turns at it; one that is lost meanwhile has words instead of times."""
    match = Match(peers, threads)
    match.ask(workload, output)
    with machine.Watch([peer.process.pid for peer in peers.values()]) as watch:
        for placement in range(PLACEMENTS):
            if placement:
                match.place()
            for sweep in range(SWEEPS):
                match.sweep(chance, short=sweep >= 2)
            match.look()
    match.found.busy = watch.elsewhere
    return match.finish()


class Match:
    """One workload, and who is still in: `guesses` has about how long a call takes each, in seconds."""

    def __init__(self, peers: Mapping[str, Peer], threads: int) -> None:
        self.peers, self.threads = peers, threads
        self.found = Comparison()
        self.guesses: dict[Column, float] = {}
        self.failed: dict[Column, str] = {}

    def ask(self, workload: Workload, output: Output) -> None:
        """Have everybody prepare."""
        for column in itertools.product(list(self.peers), LAYOUTS):
            if column[0] in self.found.lost:
                continue
            answer = self._order(column, do="ask", workload=workload.name, output=output)
            if answer["status"] == "ready":
                self.guesses[column] = answer["seconds"]
                self.found.turns[column] = []
                self.found.bytes, self.found.input = answer["bytes"], answer["input"]
            elif answer["status"] != "lost":
                self.found.words[column] = f"{answer['status']}: {answer['message']}"

    def place(self) -> None:
        """Have everybody bind to new memory."""
        for column in list(self.guesses):
            if column in self.guesses:
                self._order(column, do="place")

    def sweep(self, chance: random.Random, *, short: bool) -> None:
        """A turn for each, in a new order; if `short`, for none that is slow."""
        fastest, order = min(self.guesses.values(), default=0.0), list(self.guesses)
        chance.shuffle(order)
        for column in order:
            if column not in self.guesses:
                continue
            if short and self.guesses[column] > SLOW * fastest:
                self.found.turns[column].append(None)
                continue
            if self.threads > 1:
                time.sleep(SPIN)
            answer = self._order(column, do="time", calls=max(1, math.ceil(BLOCK / self.guesses[column])))
            if answer["status"] != "lost":
                self.found.turns[column].append(answer.get("seconds"))
                if answer["status"] != "ready":
                    self.failed[column] = f"{answer['status']}: {answer['message']}"

    def look(self) -> None:
        """Have everybody look at one more answer: who gives a wrong one by now was timed for nothing, and has words instead."""
        for column in list(self.guesses):
            answer = self._order(column, do="look") if column in self.guesses else {"status": "lost"}
            if answer["status"] not in ("ready", "lost"):
                del self.guesses[column], self.found.turns[column]
                self.found.words[column] = f"{answer['status']}: {answer['message']}"

    def finish(self) -> Comparison:
        """What was found, with NumPy's memory, what it costs where it is slow, and the machine's bandwidth; who had no turn has words."""
        found = self.found
        for column in [column for column, turns in found.turns.items() if not any(turns)]:
            del found.turns[column]
            found.words[column] = self.failed[column]
        for column in list(self.guesses):
            if column[0] == OURS and found.input > LARGE:
                answer = self._order(column, do="memory")
                if answer["status"] == "ready":
                    found.memory[column[1]] = answer["extra"]
        ours = found.fastest((OURS,))
        if ours and (found.against or 0) > EXPLAIN:
            status, facts = (answer := self._order(ours, do="explain")).pop("status"), answer
            found.costs = Costs(**facts) if status == "ready" else None
        if found.bytes:
            found.bandwidth = machine.copy_bandwidth(found.bytes, self.threads)
        return found

    def _order(self, column: Column, **what: Any) -> dict[str, Any]:
        """A contender's answer to an order about a layout; its status is "lost" where it died or hung, and it is out then."""
        name, layout = column
        try:
            return self.peers[name].order(layout=layout, **what)
        except Lost as error:
            self.found.lost[name] = str(error)
            for one in LAYOUTS:
                self.guesses.pop((name, one), None)
                self.found.turns.pop((name, one), None)
                self.found.words[name, one] = f"{error.status}: {error}"
            return {"status": "lost"}


class Contenders:
    """Processes of all contenders that can be loaded, and what each says of itself; one that was lost is started anew."""

    def __init__(self, names: Sequence[str], threads: int, patience: float, say: Callable[[str], None]) -> None:
        self.threads, self.patience, self.say = threads, patience, say
        self.peers: dict[str, Peer] = {}
        self.labels: dict[str, str] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        for name in dict.fromkeys(names):
            self._start(name)

    def _start(self, name: str) -> None:
        try:
            peer = Peer(name, self.threads, self.patience)
        except Lost as error:
            self.say(f"left out: {name} {error}")
            return
        if peer.hello["status"] == "ready":
            self.peers[name] = peer
            self.labels[name] = peer.hello["name"]
            self.facts[name] = {"address": name, **{fact: peer.hello[fact] for fact in ("name", "version", "device", "build")}}
        else:
            self.say(f"left out: {peer.hello['message']}")
            peer.close()

    def again(self, name: str) -> None:
        """Start one anew."""
        self.peers.pop(name).close()
        self._start(name)

    def close(self) -> None:
        """End all processes."""
        for peer in self.peers.values():
            peer.close()


def compare(
    *,
    threads: int,
    records: Path,
    select: str = "",
    level: str = "standard",
    names: Sequence[str] = (),
    output: Output = "values",
    patience: float = PATIENCE,
    out: Any = sys.stdout,
) -> int:
    """Compare NumPy with its peers, print the table, keep the turns; return 0 when something was compared, 130 when interrupted.

    NumPy is compared with `names`, else with the frameworks and plain code; 1 is returned where it was itself wrong or
    failed. A contender has `patience` seconds for one thing. What was compared is kept after each workload.

    Raises:
        Usage: no workload is chosen; nothing was started.
    """
    workloads = chosen(level, select, output)
    screen, found = Screen(out), dict[str, Comparison]()
    start, chance, interrupted = time.monotonic(), random.Random(0), False
    contenders = Contenders((OURS, *(names or (*FRAMEWORKS, *PLAIN))), threads, patience, screen.say)
    labels = contenders.labels
    with contextlib.closing(contenders):
        if OURS not in contenders.peers:
            screen.say(f"{OURS} could not be loaded: there is nothing to compare with")
            return 1
        beside = ", ".join(label for name, label in labels.items() if name != OURS)
        screen.say(f"{labels[OURS]} beside {beside or 'nobody'}: {output} of {len(workloads)} workload{'s' * (len(workloads) > 1)}")
        file = Kept(records, contenders, threads, output)
        try:
            for number, workload in enumerate(workloads):
                left = (time.monotonic() - start) / number * (len(workloads) - number) if number else None
                screen.show(f"{bar(number, len(workloads), left)} {workload.name} …")
                found[workload.name] = one = measure(contenders.peers, workload, output, threads, chance)
                file.keep(found)
                for name, what in one.lost.items():
                    screen.say(f"{workload.name}: {labels[name]} {what}")
                    contenders.again(name)
                left = (time.monotonic() - start) / (number + 1) * (len(workloads) - number - 1)
                screen.say(f"{bar(number + 1, len(workloads), left)} {workload.name}: {one.ratio_text}")
        except KeyboardInterrupt:
            interrupted = True
            screen.say("interrupted: what was compared follows")
    file.keep(found, load_after=machine.load())
    screen.say(table(found, labels))
    screen.say("\n".join(verdict(found, labels)))
    screen.say(f"turns in {file.path}")
    if interrupted:
        return 130
    return 0 if any(one.turns for one in found.values()) and not any(one.failed(OURS) for one in found.values()) else 1


def chosen(level: str, select: str, output: Output) -> list[Workload]:
    """The workloads of a level that have an output, and that an expression as pytest's -k takes it chooses by name and output.

    Raises:
        Usage: there are none, or the expression is none.
    """
    having = [workload for workload in _workloads(level) if output in workload.valid_outputs]
    found = [workload for workload in having if not select or matches(select, [workload.name, output])]
    if not found:
        raise Usage(
            f"-k {select!r}: chooses none of the {len(having)} workloads of level {level!r} that have {output}; with --peers it sees a "
            "workload's name and the output (both layouts are always compared); `python -m benchmarks --list` has the names"
        )
    return found


def _workloads(level: str) -> list[Workload]:
    if level == "quick":
        return list(QUICK)
    return [workload for workload in WORKLOADS.values() if level == "full" or "scaling" not in workload.families]


class Kept:
    """The file of a comparison, written anew after each workload; a reader meets a whole one."""

    def __init__(self, records: Path, contenders: Contenders, threads: int, output: Output) -> None:
        records.mkdir(parents=True, exist_ok=True)
        environment = Environment.capture()
        self.path = records / f"peers-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.json"
        self._labels = contenders.labels
        told = ("cpu", "cores", "memory", "caches", "os", "python", "packages")
        self._content = {
            "environment": environment.id, **{name: getattr(environment, name) for name in told}, "threads": threads, "output": output,
            "machine": machine.describe(), "contenders": list(contenders.facts.values()),
        }  # fmt: skip

    def keep(self, found: Mapping[str, Comparison], **more: Any) -> None:
        """Write what was compared so far."""
        turns = {
            name: [
                {"contender": self._labels.get(who, who), "layout": layout, "seconds": seconds}
                for (who, layout), seconds in comparison.turns.items()
            ]
            for name, comparison in found.items()
        }  # fmt: skip
        more["extra_memory"] = {name: comparison.memory for name, comparison in found.items() if comparison.memory}
        more["cores_busy_elsewhere"] = {name: round(one.busy, 2) for name, one in found.items() if one.busy is not None}
        more["costs"] = {name: asdict(one.costs) for name, one in found.items() if one.costs}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({**self._content, **more, "turns": turns}), encoding="utf-8")
        partial.replace(self.path)
