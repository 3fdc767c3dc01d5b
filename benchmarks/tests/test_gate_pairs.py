import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from backends.environments import ROOT, Environment
from backends.process import Timing
from benchmarks import gate_worker
from benchmarks.gate_data import Invalid
from benchmarks.gate_judge import Judge
from benchmarks.gate_pairs import Measurement
from benchmarks.gate_run import slowed
from benchmarks.gate_sides import Choice, common, ours
from benchmarks.gate_worker import Cell, Contender, Fault, Question, Settings, Worker

STRANGERS = Path(__file__).with_name("gate_strangers.py")
HERE = Environment(label=".", kind="path", python=sys.executable, root=ROOT, home=ROOT)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs Linux")


class Told:
    def __init__(self):
        self.began_, self.ended_, self.notes = [], [], []

    def began(self, workload, pair, total):
        self.began_.append((workload, pair, total))

    def ended(self, pair):
        self.ended_.append(pair)

    def note(self, text):
        self.notes.append(text)


def contender(role, name):
    return Contender(role=role, backend=f"{STRANGERS}:{name}", environment=HERE)


def question(name="m5-wide-pool1"):
    listed = ours().workloads
    (found,) = [one for one in common(listed, listed, Choice(level="quick", select="m5"))[0] if one.name == name]
    return found


@pytest.fixture
def measure():
    """What makes a measurement, and ends its judge."""
    made = []

    def make(*sides, **settings):
        made.append(Measurement(sides, Settings(**settings), Told()))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def measured():
    """(the measurement, its pairs, what was told) of two sides that are the same."""
    told = Told()
    measurement = Measurement((contender("baseline", "Plain"), contender("candidate", "Plain")), Settings(quads=4, seed=7), told)
    measurement.rehearse([question()])
    pairs = list(measurement.pairs(["m5-wide-pool1"], 3, 0))
    measurement.close()
    return measurement, pairs, told


def test_every_pair_measures_the_workload_and_the_sentinels(measured):
    """Three pairs and a null one, each with the workload and every sentinel; the start order alternates."""
    _, pairs, told = measured
    assert Counter(pair.workload for pair in pairs) == dict.fromkeys(["m5-wide-pool1", "python-loop", "copy-8MB", "maximum-64KB"], 4)
    assert sorted({pair.number: pair.null for pair in pairs}.values()) == [False, False, False, True]
    assert [pair.first for pair in pairs if pair.sentinel is False] == ["baseline", "candidate"] * 2
    assert told.ended_ == pairs
    assert {(pair, total) for _, pair, total in told.began_} == {(number, 4) for number in range(4)}


def test_quads_are_balanced(measured):
    """Half of the quads begin with the baseline, half with the candidate, in random order."""
    _, pairs, _ = measured
    assert {tuple(sorted(quad.order for quad in pair.quads)) for pair in pairs} == {("ABBA", "ABBA", "BAAB", "BAAB")}
    assert len({tuple(quad.order for quad in pair.quads) for pair in pairs}) > 1


def test_both_sides_make_as_many_calls(measured):
    """Calls a block are the cell's, in every pair."""
    measurement, pairs, _ = measured
    assert {pair.iterations for pair in pairs if not pair.sentinel} == {measurement.cells["m5-wide-pool1"].iterations}


def test_equal_answers_have_one_checksum(measured):
    """Both sides' checksums are there, and equal; they were held against the definition."""
    _, pairs, _ = measured
    assert len({checksum for pair in pairs if not pair.sentinel for checksum in pair.checksums}) == 1
    assert all(pair.conforming for pair in pairs if not pair.sentinel)


def test_the_seed_decides_every_order():
    """The same seed gives the same orders and places."""
    orders = [Measurement((), Settings(seed=seed), Told())._shuffled(range(100)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_workload_that_fails_leaves_the_others(measure):
    """What goes wrong with one workload is told, and the next is rehearsed in other processes; without any there is no pair."""
    measurement = measure(contender("baseline", "Plain"), contender("candidate", "Dying"), quads=2)
    measurement.rehearse([question()])
    (event,) = measurement.uncovered
    assert (event.workload, event.kind, event.side) == ("m5-wide-pool1", "died", "candidate")
    assert all(cell.sentinel for cell in measurement.cells.values())
    assert list(measurement.pairs(["m5-wide-pool1"], 3, 0)) == []


def test_a_rehearsal_says_how_far_it_is(measure):
    """Each workload is told when its turn comes, with its number of all, also after one that killed a process."""
    measurement = measure(contender("baseline", "Plain"), contender("candidate", "Dying"), quads=2)
    measurement.rehearse([question(), replace(question(), name="again")])
    told = [note for note in measurement.progress.notes if note.startswith("rehearsal")]
    assert told == ["rehearsal: m5-wide-pool1, 1 of 2", "rehearsal: again, 2 of 2"]


def test_a_side_that_does_not_start_ends_it_all(measure):
    """A side that cannot be loaded is no fault of one workload."""
    measurement = measure(contender("baseline", "Plain"), contender("candidate", "Unloadable"))
    with pytest.raises(Invalid, match=r"the candidate, \., does not start: .*libpooling"):
        measurement.rehearse([question()])


def test_the_other_layout_is_asked_where_the_baseline_has_only_that(measure):
    """A backend that knows one layout is asked in it, unless the user chose."""
    measurement = measure(contender("baseline", "Last"), contender("candidate", "Last"), quads=2)
    measurement.rehearse([question()])
    assert measurement.cells["m5-wide-pool1"].question.layout == "channels_last"
    chosen = measure(contender("baseline", "Last"), contender("candidate", "Last"), quads=2)
    chosen.rehearse([replace(question(), any_layout=False)])
    assert (chosen.gaps, chosen.uncovered) == (["m5-wide-pool1: not in its capabilities: layouts: channels_first"], [])


def test_a_slowed_side_answers_as_before(measure):
    """Known extra work changes no answer, and neither name nor version of its backend."""
    plain = contender("candidate", "Plain")
    measurement = measure(replace(plain, role="baseline"), slowed(plain, 0.5), quads=2)
    measurement.rehearse([question()])
    (pair,) = (pair for pair in measurement.pairs(["m5-wide-pool1"], 1, 0, nulls=0) if not pair.sentinel)
    assert pair.checksums[0] == pair.checksums[1]
    assert measurement.versions["baseline"] == measurement.versions["candidate"]


def test_a_device_is_timed_by_its_own_clock(measure):
    """Where calls are queued, what the device says they took counts, over the launches of a block; its answer is the bound call's."""
    measurement = measure(contender("baseline", "Device"), contender("candidate", "Device"), quads=2)
    measurement.rehearse([question()])
    assert measurement.cells["m5-wide-pool1"].metric == "device"
    (pair,) = (pair for pair in measurement.pairs(["m5-wide-pool1"], 1, 0, nulls=0) if not pair.sentinel)
    assert {round(seconds, 9) for quad in pair.quads for seconds in quad.seconds} == {0.001}


# --- clocks ---------------------------------------------------------------------------------------


class Scripted:
    """A worker process whose blocks take what a list says."""

    def __init__(self, *timings):
        self.timings = list(timings)
        self.asked = 0

    def measure(self, placed, calls):
        self.asked += 1
        return self.timings[min(self.asked, len(self.timings)) - 1]


CELL = Cell(name="w", iterations=2, metric="cpu", question=Question(name="w", spec="", shape=(1, 1, 1), dtype="float32"))
CLEAN = Timing(wall=1.0, cpu=1.0)


@pytest.mark.parametrize(
    "timings, metric",
    [
        ([CLEAN], "cpu"),
        ([Timing(wall=3.0, cpu=1.0, waited=2.0)], "cpu"),
        ([Timing(wall=3.0, cpu=1.0)] * 4 + [CLEAN], "cpu"),
        ([Timing(wall=3.0, cpu=1.0)], "wall"),
        ([Timing(wall=1.0, cpu=1.9)], "wall"),
        ([Timing(wall=1.0, cpu=0.1, device=0.9)], "device"),
    ],
    ids=["one core", "others had its core", "clean in the end", "it sleeps", "two cores", "a device"],
)
def test_the_clock_is_the_one_that_tells(timings, metric):
    """CPU time counts where a call computes on one core all the time; the wall clock where it waits or uses several; a device's own."""
    assert Worker("candidate", Scripted(*timings)).metric(CELL, None) == metric


def test_a_block_that_was_not_calm_is_timed_again_by_the_wall_clock():
    """Only the wall clock suffers from others, and only it is asked again, a few times."""
    busy = Timing(wall=5.0, cpu=1.0, waited=4.0)
    calm = Scripted(busy, busy, CLEAN)
    assert Worker("baseline", calm).timed(replace(CELL, metric="wall"), None) == (0.5, 0.5)
    never = Scripted(busy)
    assert Worker("baseline", never).timed(replace(CELL, metric="wall"), None) == (2.5, 2.5)
    assert never.asked == gate_worker.ATTEMPTS
    cpu = Scripted(busy)
    assert Worker("baseline", cpu).timed(CELL, None) == (0.5, 2.5)
    assert cpu.asked == 1


@pytest.mark.parametrize("clock", ["wall", "cpu", "device"])
@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_an_impossible_time_is_garbage(clock, seconds):
    """A time by any clock that is not positive and finite is a fault of that side."""
    worker = Worker("candidate", Scripted(Timing(**{"wall": 1.0, "cpu": 1.0, clock: seconds})))
    with pytest.raises(Fault) as caught:
        worker.block("w", None, 1)
    assert (caught.value.event.kind, caught.value.event.side) == ("garbage", "candidate")


# --- judging --------------------------------------------------------------------------------------


def test_a_judge_that_cannot_judge_says_so(tmp_path):
    """An answer that cannot be held against the definition is not taken for a right one."""
    judge = Judge()
    asked = {**question().described(0), "file": str(tmp_path / "gone"), "answer": {"dtype": "float32", "shape": [1]}}
    judge.ask("w", "abc", asked)
    judge.close()
    assert "cannot be held against the definition: FileNotFoundError" in judge.wrong("w", "abc")


def test_placement_is_random_and_reproducible():
    """Where a question's arrays lie follows the seed it is given."""
    assert question().described(3) == question().described(3) != question().described(random.Random(1).getrandbits(32))


def test_arrays_lie_elsewhere_in_each_placement(measure, monkeypatch):
    """Within a pair the arrays are placed anew on both sides, each time somewhere else, and every answer is held against the first."""
    asked = []

    def placing(self, question, where, place=Worker.place):
        asked.append(("placed", where))
        return place(self, question, where)

    def holding(self, name, placed, before, unchanged=Worker.unchanged):
        asked.append(("held", before))
        unchanged(self, name, placed, before)

    measurement = measure(contender("baseline", "Plain"), contender("candidate", "Plain"), quads=5, placements=3)
    measurement.rehearse([question()])
    monkeypatch.setattr(Worker, "place", placing)
    monkeypatch.setattr(Worker, "unchanged", holding)
    (pair,) = [pair for pair in measurement.pairs(["m5-wide-pool1"], 1, 0, nulls=0) if not pair.sentinel]
    assert [what for what, _ in asked] == ["placed", "placed", "held", "held"] * 3
    assert len({where for what, where in asked if what == "placed"}) == 6
    assert {before for what, before in asked if what == "held"} == set(pair.checksums)
    assert len(pair.quads) == 5
