"""NumPy against its peers, interleaved: who is faster on the same workload, threads and minute.

Two runs on a shared machine differ by more than two kernels do. Here every contender lives in a
process of its own and they take turns, a few milliseconds each, in a new order each sweep; a ratio is
the median over sweeps of two times that were taken within one. Only one computes at a time.
"""

import contextlib
import json
import math
import os
import queue
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.interface import LAYOUTS
from benchmarks import machine
from benchmarks.table import SHORT, aligned, duration, seconds_text
from benchmarks.workloads import QUICK, WORKLOADS, Workload
from reports.record import Environment

OURS = "numpy"
FRAMEWORKS = ("torch", "tensorflow", "jax")
PLAIN = ("benchmarks.plain:BlockReduce", "benchmarks.plain:WindowView")
PLACEMENTS, SWEEPS, BLOCK = 3, 8, 0.005
"""How often each contender gets new memory, how many turns it has in each, and about how many seconds a turn takes."""
SLOW = 5.0
"""A contender this many times slower than the fastest has two turns in each placement: more would change nothing but the wait."""
PATIENCE = 300.0
SPIN = 0.004
"""Seconds between turns where there is more than one thread: a pool of OpenMP threads spins for a while after its last task."""
AIM, EXPLAIN, MOST, PLAIN_AIM = 1.2, 1.5, 2.5, 5.0

Column = tuple[str, str]
"""(contender, layout)"""


class Lost(Exception):
    """A contender died, hung, or never started; the message says which."""

    def __init__(self, contender: str, what: str) -> None:
        super().__init__(f"{contender} {what}")
        self.contender = contender


@dataclass(kw_only=True)
class Comparison:
    """What one workload took each contender, turn by turn; `None` for a turn that it did not have."""

    turns: dict[Column, list[float | None]] = field(default_factory=dict)
    words: dict[Column, str] = field(default_factory=dict)

    def seconds(self, column: Column) -> float:
        """The median turn."""
        return statistics.median(turn for turn in self.turns[column] if turn is not None)

    def fastest(self, names: Sequence[str]) -> Column | None:
        """The faster layout of the fastest of some contenders."""
        mine = [column for column in self.turns if column[0] in names]
        return min(mine, key=self.seconds, default=None)

    def ratio(self, above: Column, below: Column) -> float:
        """How many times as long one takes as the other, by turns of one sweep."""
        both = zip(self.turns[above], self.turns[below], strict=True)
        return statistics.median(a / b for a, b in both if a is not None and b is not None)

    def against(self, names: Sequence[str]) -> float | None:
        """NumPy's time over that of the fastest of some contenders, each in its better layout."""
        ours, theirs = self.fastest((OURS,)), self.fastest(names)
        return self.ratio(ours, theirs) if ours and theirs else None

    def ahead(self, name: str) -> float | None:
        """How many times as long plain code takes as NumPy, in the layout where that is least."""
        ratios = [
            self.ratio((name, layout), (OURS, layout))
            for layout in LAYOUTS
            if (name, layout) in self.turns and (OURS, layout) in self.turns
        ]
        return min(ratios, default=None)


# --- measuring ----------------------------------------------------------------------------------


class Peer:
    """The parent's side of a contender."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        environment = {**os.environ, **machine.pinned(threads)}
        command = [sys.executable, "-m", "benchmarks.peer", name]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.hello = self.reply()
        except Lost:
            self.close()
            raise

    def order(self, **what: Any) -> dict[str, Any]:
        """Have something done, and wait for the answer.

        Raises:
            Lost: it died, or takes too long.
        """
        if self.process.stdin is None:
            raise Lost(self.name, "has no input")
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Lost(self.name, f"died with status {self.process.wait()}") from None
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """The next answer."""
        try:
            line = self.answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise Lost(self.name, f"did not answer for {PATIENCE:g} s") from None
        if not line:
            raise Lost(self.name, f"died with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

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


def measure(peers: Mapping[str, Peer], workload: Workload, threads: int, chance: random.Random) -> Comparison:
    """Let all contenders that can say a workload take turns at it."""
    found = Comparison()
    guesses: dict[Column, float] = {}
    for name, peer in peers.items():
        for layout in LAYOUTS:
            answer = peer.order(do="ask", workload=workload.name, layout=layout, output="values")
            if answer["status"] == "ready":
                guesses[name, layout] = answer["seconds"]
            else:
                found.words[name, layout] = answer["status"] if answer["status"] == "gap" else f"{answer['status']}: {answer['message']}"
    found.turns = {column: [] for column in guesses}
    fastest = min(guesses.values(), default=0.0)
    for placement in range(PLACEMENTS):
        for who, where in guesses if placement else ():
            peers[who].order(do="place", layout=where)
        for sweep in range(SWEEPS):
            order = list(guesses)
            chance.shuffle(order)
            for column in order:
                who, where = column
                if sweep >= 2 and guesses[column] > SLOW * fastest:
                    found.turns[column].append(None)
                    continue
                calls = max(1, math.ceil(BLOCK / guesses[column]))
                if threads > 1:
                    time.sleep(SPIN)
                answer = peers[who].order(do="time", layout=where, calls=calls)
                found.turns[column].append(answer["seconds"] if answer["status"] == "ready" else None)
    return found


@contextlib.contextmanager
def contenders(names: Sequence[str], threads: int, say: Any) -> Iterator[dict[str, Peer]]:
    """Processes of all contenders that can be loaded."""
    peers: dict[str, Peer] = {}
    try:
        for name in names:
            try:
                peer = Peer(name, threads)
            except Lost as error:
                say(f"left out: {error}")
                continue
            if peer.hello["status"] == "ready":
                peers[name] = peer
            else:
                say(f"left out: {peer.hello['message']}")
                peer.close()
        yield peers
    finally:
        for peer in peers.values():
            peer.close()


def compare(
    *, threads: int, records: Path, select: str = "", level: str = "standard", names: Sequence[str] = (), out: Any = sys.stdout
) -> int:
    """Compare NumPy with its peers, print the table, keep the turns; return 0 when something was compared.

    `names` are the contenders, NumPy among them; without any: the frameworks and plain code.
    """

    def say(text: str) -> None:
        print(text, file=out, flush=True)

    chosen = [workload for workload in _workloads(level) if all(word in workload.name for word in select.split())]
    known = names or (OURS, *FRAMEWORKS, *PLAIN)
    found: dict[str, Comparison] = {}
    start, chance = time.monotonic(), random.Random(0)
    with contenders(known, threads, say) as peers:
        try:
            for number, workload in enumerate(chosen):
                while workload.name not in found:
                    try:
                        found[workload.name] = measure(peers, workload, threads, chance)
                    except Lost as error:
                        say(f"{workload.name}: {error}; it is left out from here on")
                        peers.pop(error.contender).close()
                left = (time.monotonic() - start) / (number + 1) * (len(chosen) - number - 1)
                ratio = found[workload.name].against(FRAMEWORKS)
                say(f"{number + 1}/{len(chosen)} {duration(left)} left  {workload.name}: {'no peer' if ratio is None else f'{ratio:.2f}'}")
        except KeyboardInterrupt:
            say("interrupted: what was compared follows")
        labels = {name: peer.hello["name"] for name, peer in peers.items()}
    say(_table(found, labels))
    say("\n".join(verdict(found)))
    say(f"turns in {_save(found, labels, threads, records)}")
    return 0 if any(comparison.turns for comparison in found.values()) else 1


def _workloads(level: str) -> list[Workload]:
    if level == "quick":
        return list(QUICK)
    return [workload for workload in WORKLOADS.values() if level == "full" or "scaling" not in workload.families]


# --- reading ------------------------------------------------------------------------------------


def verdict(found: Mapping[str, Comparison]) -> list[str]:
    """What the comparison says, in sentences: geometric means of ratios, and where they are worst."""
    lines = []
    ratios = {name: ratio for name, comparison in found.items() if (ratio := comparison.against(FRAMEWORKS)) is not None}
    if ratios:
        mean = geometric_mean(ratios.values())
        lines.append(f"NumPy takes {mean:.2f} times as long as the fastest framework, over {len(ratios)} workloads (must be under {AIM})")
        over = {name: ratio for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > EXPLAIN}
        lines += [f"  {name}: {ratio:.2f}{', more than ' + str(MOST) if ratio > MOST else ''}" for name, ratio in over.items()]
    for plain in PLAIN:
        ahead = {name: ratio for name, comparison in found.items() if (ratio := comparison.ahead(plain)) is not None}
        if ahead:
            worst = min(ahead, key=ahead.__getitem__)
            text = f"{_label(plain)} takes {geometric_mean(ahead.values()):.1f} times as long as NumPy, over {len(ahead)} workloads"
            lines.append(f"{text}, at least {ahead[worst]:.1f} times ({worst}; aim: {PLAIN_AIM:g} everywhere)")
    wrong = [
        f"{name}: {_label(who)} {layout}: {word}" for name, c in found.items() for (who, layout), word in c.words.items() if word != "gap"
    ]
    return lines + wrong


def geometric_mean(ratios: Any) -> float:
    """The mean that does not depend on which side is divided by which."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def _table(found: Mapping[str, Comparison], labels: Mapping[str, str]) -> str:
    """A row for each workload: the better layout of each contender, and NumPy's ratios."""
    plain = [name for name in labels if name in PLAIN]
    rows = [["", *labels.values(), "NumPy / fastest", *(f"{labels[name]} / NumPy" for name in plain)]]
    for workload, comparison in found.items():
        times = []
        for name in labels:
            best = comparison.fastest((name,))
            words = {comparison.words.get((name, layout), "").partition(":")[0] for layout in LAYOUTS}
            times.append(f"{seconds_text(comparison.seconds(best))} {SHORT[best[1]]}" if best else " ".join(sorted(words)))
        ratios = [comparison.against(FRAMEWORKS), *(comparison.ahead(one) for one in plain)]
        rows.append([workload, *times, *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return "\n".join([*aligned(rows), "each in its better layout: channels first or last"])


def _label(name: str) -> str:
    return {"benchmarks.plain:BlockReduce": "block_reduce", "benchmarks.plain:WindowView": "sliding_window_view"}.get(name, name)


def _save(found: Mapping[str, Comparison], labels: Mapping[str, str], threads: int, records: Path) -> Path:
    records.mkdir(parents=True, exist_ok=True)
    file = records / f"peers-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.json"
    turns = {
        name: [
            {"contender": labels.get(who, who), "layout": layout, "seconds": seconds} for (who, layout), seconds in comparison.turns.items()
        ]
        for name, comparison in found.items()
    }  # fmt: skip
    environment = Environment.capture()
    content = {
        "environment": environment.id,
        "packages": dict(environment.packages),
        "threads": threads,
        "machine": machine.describe(),
        "turns": turns,
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return file
