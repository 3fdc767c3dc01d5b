import json

import pytest

from benchmarks import results
from benchmarks.results import Result, disagreements, kept, read
from benchmarks.table import REMARKS, aligned, duration, overhead, seconds_text, table
from reports import speed, timings
from reports.record import Environment

STEADY = tuple(1e-3 + 1e-6 * (i % 5) for i in range(30))
FACTS = {
    "address": "numpy", "backend": "numpy", "workload": "resnet50-stem", "layout": "channels_last", "output": "values", "reduction": "max",
    "checksum": "aa", "bytes": 4_000_000, "copy_bandwidth": 8e9, "limit": 5e-4, "limited_by": "copying", "level": "quick",
    "code": "c0de",
}  # fmt: skip


def result(seconds=STEADY, **facts):
    return Result(seconds=seconds, facts={**FACTS, **facts})


@pytest.fixture(autouse=True)
def same_code(monkeypatch):
    """The code that is asked now is that of `FACTS`."""
    monkeypatch.setattr(results, "code_of", lambda address: FACTS["code"])


def saved(folder, name, *results):
    benchmarks = [{"name": "test_speed", "stats": {"data": list(one.seconds)}, "extra_info": dict(one.facts)} for one in results]
    folder.joinpath(name).write_text(json.dumps({"benchmarks": benchmarks}))


def test_a_steady_timing_is_not_noisy():
    """Nothing is held against a steady timing on a quiet machine."""
    assert result(cores_busy_elsewhere=0.1).noise == []


@pytest.mark.parametrize(
    "seconds, facts, why",
    [
        (tuple(1e-3 * (1 + i % 2) for i in range(30)), {}, "its rounds spread over 6"),
        (tuple(1e-3 * (1 + 0.004 * i) for i in range(30)), {}, "it drifted"),
        (STEADY, {"cores_busy_elsewhere": 1.5}, "others kept 1.5 cores busy"),
    ],
)
def test_noise_is_named(seconds, facts, why):
    """Spread, drift and other load are each named where they pass their rule."""
    assert any(text.startswith(why) for text in result(seconds, **facts).noise)


@pytest.mark.parametrize("step", [0.0025, 0.0029, 0.003, 0.004, -0.003])
def test_the_table_and_the_report_agree_on_noise(tmp_path, step):
    """What the table at the end of a run calls noisy, the report of the same file does too, in the same words."""
    saved(tmp_path, "bench-1.json", result(tuple(1e-3 * (1 + step * i) for i in range(30))))
    (ours,) = read([tmp_path / "bench-1.json"])
    (block,) = speed.told(timings.read([tmp_path / "bench-1.json"], {}).timings, Environment(id="e")).blocks
    assert tuple(ours.noise) == block.entries[0].noise


def test_reading_skips_what_is_not_ours(tmp_path):
    """A truncated file, a foreign one and a benchmark that is no workload are left out; the rest is read."""
    saved(tmp_path, "bench-1.json", result(), result(workload="vgg16-pool1"))
    tmp_path.joinpath("bench-2.json").write_text('{"benchmarks": [{"stats"')
    tmp_path.joinpath("bench-3.json").write_text('{"benchmarks": [{"stats": {"data": [1.0]}, "extra_info": {}}]}')
    assert [one.facts["workload"] for one in read(sorted(tmp_path.iterdir()))] == ["resnet50-stem", "vgg16-pool1"]


def test_finished_cells_are_those_of_the_same_run(tmp_path):
    """What was timed at another level is not finished."""
    saved(tmp_path, "bench-1.json", result(), result(workload="vgg16-pool1", level="full"))
    assert {result.key for result in kept(tmp_path, ["numpy"], level="quick")} == {"numpy resnet50-stem channels_last values"}


def test_a_device_that_was_timed_in_another_mode_is_finished(tmp_path):
    """What was asked for counts: a device that rotates its buffers when asked warm has been timed, and not for who asks cold."""
    saved(tmp_path, "bench-1.json", result(mode="cold", mode_asked="warm"), result(workload="vgg16-pool1", mode="warm"))
    assert {result.key for result in kept(tmp_path, ["numpy"], mode="warm")} == {
        "numpy resnet50-stem channels_last values",
        "numpy vgg16-pool1 channels_last values",
    }
    assert kept(tmp_path, ["numpy"], mode="cold") == []


def test_a_timing_of_other_code_is_not_finished(tmp_path, monkeypatch):
    """What another version of the code took is none of this one's timings, nor what nobody said the code of."""
    saved(tmp_path, "bench-1.json", result(), result(workload="vgg16-pool1", code=""))
    assert [one.facts["workload"] for one in kept(tmp_path, ["numpy"])] == ["resnet50-stem"]
    monkeypatch.setattr(results, "code_of", lambda address: "beef")
    assert kept(tmp_path, ["numpy"]) == []


def test_answers_that_differ_are_named():
    """Two checksums of one max workload are named with who gave them; averages may differ."""
    agree, differ = result(), result(backend="torch", checksum="bb")
    average = [result(reduction="average", workload="head", checksum=word) for word in ("aa", "bb")]
    assert disagreements([agree, *average]) == []
    assert disagreements([agree, differ]) == ["resnet50-stem values: numpy channels_last differs from torch channels_last"]


@pytest.mark.parametrize("seconds, text", [(2.314e-3, "2.31 ms"), (1.5, "1.5 s"), (12e-6, "12 µs"), (3e-9, "3 ns"), (65.2, "65.2 s")])
def test_seconds_are_readable(seconds, text):
    """Three digits and a unit."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize("seconds, text", [(0.4, "0:00"), (80, "1:20"), (3599.6, "1:00:00"), (7325, "2:02:05")])
def test_durations_are_readable(seconds, text):
    """Minutes and seconds, hours where there are any."""
    assert duration(seconds) == text


def test_the_table():
    """A time has its share of the bandwidth, a gap its word, noise its tilde; a backend has its own name."""
    words = {("file.py:Mine", "resnet50-stem", "channels_first", "values"): "gap", ("numpy", "m5", "channels_last", "gradient"): "wrong"}
    text = table([result(), result(tuple(1e-3 * (1 + i % 2) for i in range(30)), layout="channels_first")], words, {"file.py:Mine": "mine"})
    head, *rows, note = text.splitlines()
    assert head.split() == ["mine", "first", "mine", "last", "numpy", "first", "numpy", "last"]
    assert rows[0].split() == ["resnet50-stem", "gap", "~1.5", "ms", "(33%)", "1", "ms", "(50%)"]
    assert rows[1].split() == ["m5", "gradient", "wrong"]
    assert "~ noisy" in note


def test_a_time_on_more_threads_than_asked_for_is_marked():
    """A kernel that ignores its pins has a mark in the table and a line below it; of many such lines the first are printed."""
    beyond = {"threads": 1, "cores_used": 1.9, "processor_seconds": 0.1}
    rows = table([result(**beyond)], {}, {"numpy": "mine"}).splitlines()
    assert rows[1].split()[1] == "!1"
    assert rows[-1] == "! mine resnet50-stem channels_last values: it computed on 1.9 cores where 1 thread was asked for"
    many = table([result(**beyond, workload=f"w{number}") for number in range(20)], {}, {}).splitlines()
    assert sum(row.startswith("! numpy") for row in many) == REMARKS - 1 and many[-1].startswith("! and 13 more")


def test_the_overhead():
    """The difference is the median over pairs, whatever slows both of a pair, with its interval; 2 % is the aim from 100 µs on."""
    bare = [1e-3 * (1 + number % 4) for number in range(9)]
    paired = [one * (1.01 + 0.001 * number) for number, one in enumerate(bare)]
    small = [one / 100 for one in paired]
    head, row, far, short, few, _ = overhead(
        [
            result(tuple(paired), bare=bare),
            result(tuple(1.03 * one for one in bare), bare=bare),
            result(tuple(1.2 * one for one in small), bare=small),
            result((1e-3,) * 5, bare=[1e-3] * 5),
        ],
        {"numpy": "numpy"},
    ).splitlines()
    assert head.split() == ["harness", "bare", "loop", "difference", "95", "%", "interval"]
    # Of nine the second and the eighth enclose the median with 95 %.
    assert row.split()[:4] == ["numpy", "resnet50-stem", "channels_last", "values"]
    assert row.split()[-4:] == ["+1.40%", "+1.10%", "to", "+1.70%"]
    assert far.split()[-4] == "!+3.00%" and short.split()[-4] == "+20.00%" and few.split()[-4:] == ["+0.00%", "too", "few", "rounds"]


def test_columns_are_aligned():
    """Columns have one width: the first to the left, the others to the right."""
    assert aligned([["a", "bb"], ["ccc", "d"]]) == ["a    bb", "ccc   d"]
