"""Timings side by side, and the advice that is made from them."""

import json

import pytest

from reports import speed, timings
from reports.record import BenchmarkProblem, Environment, Gap
from reports.tests import samples


@pytest.fixture
def measured(tmp_path):
    """The sample's timings."""
    file = tmp_path / "bench-1.json"
    file.write_text(json.dumps(samples.benchmarks()))
    return timings.read([file], {samples.HERE.id: samples.HERE.cpu}).timings


def _timing(backend="torch", layout="channels_last", median=1e-3, spread=0.001, **fields):
    rounds = [median * (1 + spread * (place % 5 - 2)) for place in range(20)]
    return timings.Timing(workload=fields.pop("workload", "w"), backend=backend, layout=layout, spread=timings.spread.of(rounds), **fields)


def _told(*found, environment=samples.HERE, **beside):
    return speed.told(list(found), environment, **beside)


def test_the_layout_that_costs_most_is_told_first(measured):
    """A backend that is twelve times slower in one layout is told so in words, with what to do."""
    first = speed.told(measured, samples.HERE).advice[0]
    assert first == (
        "torch average pooling on contiguous NCHW (channels_first) takes 12× the time of channels_last here "
        "(forward, 2 threads; median of 2 workloads): convert once, before the first layer."
    )


@pytest.mark.parametrize(
    "slow, spread, said", [(1.2e-3, 0.001, False), (2e-3, 0.4, False), (2e-3, 0.001, True)], ids=["small", "within the noise", "real"]
)
def test_advice_needs_a_difference_that_matters_and_is_sure(slow, spread, said):
    """Nothing is advised for a difference under 1.5×, or one that the intervals leave open."""
    told = _told(_timing(layout="channels_first", median=slow, spread=spread), _timing(spread=spread))
    assert any("convert once" in sentence for sentence in told.advice) == said


def test_advice_on_layouts_never_contradicts_itself():
    """A backend's reduction gets one advice on its layout, which names the workloads where it is the other way round."""
    found = [_timing(layout="channels_first", median=9e-3, workload=name, reduction="max") for name in "ab"]
    found += [_timing(workload=name, reduction="max") for name in "ab"]
    found += [_timing(layout="channels_first", workload="c", reduction="max"), _timing(median=4e-3, workload="c", reduction="max")]
    (advice,) = [sentence for sentence in _told(*found).advice if "convert once" in sentence]
    assert "takes 9.0× the time of channels_last here" in advice and advice.endswith(" The other way round on c, 4.0×.")


@pytest.mark.parametrize(
    "median, said", [(0.4e-3, "torch takes 2.5× the time of torch:compile"), (2.5e-3, "do not compile a pooling on its own")]
)
def test_variants_are_held_against_the_plain_backend(median, said):
    """A compiled variant that pays is recommended, one that costs is warned of."""
    assert any(said in sentence for sentence in _told(_timing(), _timing("torch:compile", median=median)).advice)


@pytest.mark.parametrize(
    "field, one, other", [("device", "cpu", "cuda:0"), ("threads", "1", "2"), ("output", "values", "gradient"), ("mode", "warm", "cold")]
)
def test_settings_are_never_compared(field, one, other):
    """Times of different devices, thread counts, outputs or cache modes stand in tables of their own."""
    told = _told(_timing(**{field: one}), _timing("numpy", median=5e-3, **{field: other}))
    assert [len(block.entries) for block in told.blocks] == [1, 1]


def test_of_two_runs_the_later_stands():
    """Two runs of one cell are not averaged: the later is shown, and says that there was another."""
    told = _told(_timing(median=1e-3, created="2026-01-01"), _timing(median=2e-3, created="2026-01-02"))
    (entry,) = told.blocks[0].entries
    assert entry.timing.spread.median == pytest.approx(2e-3) and entry.remarks == ("the last of 2 runs",)


@pytest.mark.parametrize(
    "timing, why",
    [
        (_timing(spread=0.1), "spread over"),
        (_timing(busy=0.6), "others kept 0.6 cores busy"),
        (timings.Timing(workload="w", backend="b", spread=timings.spread.of([1.0] * 10 + [1.07] * 10)), "drifted"),
    ],
    ids=["spread", "busy", "drift"],
)
def test_noise_is_called_by_rule(timing, why):
    """A timing whose rounds scatter or drift, or that had company, is called noisy and says why."""
    told = _told(timing)
    assert why in told.blocks[0].entries[0].remarks[0] and "noisy" in told.warnings[0]


def test_a_time_on_more_cores_than_threads_is_told(tmp_path):
    """A kernel that computes on more cores than the threads that were asked for has a remark, and a warning names it."""
    content = samples.benchmarks()
    content["benchmarks"][0]["extra_info"] |= {"threads": 1, "threads_asked": 1, "cores_used": 1.9, "processor_seconds": 0.1}
    (tmp_path / "bench-1.json").write_text(json.dumps(content))
    told = speed.told(timings.read([tmp_path / "bench-1.json"], {}).timings, samples.HERE)
    remarks = [remark for block in told.blocks for entry in block.entries for remark in entry.remarks]
    assert remarks.count("it computed on 1.9 cores where 1 thread was asked for") == 1
    assert any(warning.startswith("1 of 16 timings were not of what their setting says") for warning in told.warnings)


@pytest.mark.parametrize("loads, said", [((), True), ((1.0, 5.0), True), ((1.0, 1.5), False)])
def test_a_busy_machine_is_a_warning(loads, said):
    """More runnable processes than cores is said: around the timings, or at the start of the run where nobody noted that."""
    told = _told(_timing(load=loads), environment=Environment(id="e", cores=2, load=5.0))
    assert ("The machine had other work: a load of 5 on 2 cores." in told.warnings) is said


def test_what_was_not_timed_has_a_word_not_a_zero(measured):
    """A gap, a failure and a cell that nobody asked are words in the heat map, with the reason."""
    problem = BenchmarkProblem(
        workload="vgg16.pool1", backend="jax", layout="channels_last", output="values", status="memory", message="full"
    )
    gap = Gap(
        backend="jax",
        reduction="max",
        reason="cannot say",
        question={"workload": "resnet50.stem", "layout": "channels_last", "output": "values"},
    )
    timed = _timing("jax", workload="resnet50.head", threads="2")
    told = speed.told([*measured, timed], samples.HERE, [problem], [gap])
    place = told.heats[0].series.index(("jax", "channels_last"))
    words = {workload: cells[place].word for workload, cells in told.heats[0].rows}
    assert words == {"resnet50.stem": "gap", "vgg16.pool1": "memory", "densenet121.transition": "not run", "resnet50.head": ""}


PROBLEM = {
    "workload": "w",
    "backend": "torch",
    "layout": "channels_last",
    "output": "values",
    "status": "wrong",
    "threads": "1",
    "mode": "warm",
}


@pytest.mark.parametrize(
    "fields, stays_wrong, is_timed",
    [
        ({"created": "2026-01-02"}, False, True),
        ({"created": "2025-12-31"}, True, False),
        ({"created": "2026-01-02", "mode": "cold"}, True, True),
        ({"created": "2026-01-02", "threads": "2"}, True, True),
        ({"created": "2026-01-02", "layout": "channels_first"}, True, True),
    ],
    ids=["mended since", "broken since", "another mode", "other threads", "another layout"],
)
def test_of_a_cell_the_last_word_counts(fields, stays_wrong, is_timed):
    """A kernel that is mended is wrong no more, one that broke has no time; another setting says nothing of this one."""
    timed = _timing(**{"threads": "1", "mode": "warm", **fields})
    told = _told(timed, untimed=[BenchmarkProblem(**PROBLEM, created="2026-01-01")])
    assert (bool(told.untimed), any(block.entries for block in told.blocks)) == (stays_wrong, is_timed)


def test_a_problem_stands_once_and_where_it_happened():
    """Of a problem that was met twice the later one is told, and in the blocks of its own setting alone."""
    problems = [BenchmarkProblem(**PROBLEM, created=f"2026-01-0{day}", message=f"day {day}") for day in (1, 3, 2)]
    others = [_timing("jax", threads=threads, mode="warm") for threads in ("1", "2")]
    told = _told(*others, untimed=problems)
    assert [one.message for one in told.untimed] == ["day 3"]
    assert {block.threads: [one.message for one in block.absent] for block in told.blocks} == {"1": ["day 3"], "2": []}


def test_a_gap_of_a_device_is_no_gap_of_another():
    """What a backend cannot say on one device is no word in the table of another."""
    gap = Gap(backend="torch", reduction="max", reason="cannot say", question={"workload": "w", "layout": "channels_last", "device": "cpu"})
    told = _told(_timing("jax"), _timing("jax", device="cuda:0"), gaps=[gap])
    assert {block.device: len(block.absent) for block in told.blocks} == {"cpu": 1, "cuda:0": 0}


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"returns": "indices", "output": "indices"}, "indices alone"),
        ({"returns": "values and indices", "output": "indices"}, ""),
        ({"varies": True}, "vary from call to call"),
        ({"bytes": 2e6, "bandwidth": 1e9}, "faster than a copy"),
        ({"bytes": 1e6, "bandwidth": 1e9}, ""),
    ],
)
def test_what_was_timed_otherwise_is_remarked(fields, said):
    """Indices without values, an answer that varies and a time below the limit are remarked on."""
    (remarks,) = [entry.remarks for entry in _told(_timing(**fields)).blocks[0].entries]
    assert said in "; ".join(remarks) if said else not remarks


def test_how_fast_the_bytes_moved_is_told():
    """Beside the share of the limit stand the bytes and both speeds."""
    assert _timing(bytes=4e6, bandwidth=12.3e9).reached == "4 MB must move: 4 of 12.3 GB/s"
    assert _timing().reached == ""


def test_far_from_the_limit_is_told():
    """A workload on which nobody reaches a tenth of the copy bandwidth is named."""
    told = _told(_timing(bytes=1000, bandwidth=1e10))
    assert "there is room" in told.advice[-1] and "w (< 0.1 %)" in told.advice[-1]


@pytest.mark.parametrize(
    "found, family",
    [
        ([_timing(workload=f"k{k}", family="window", position=k) for k in (2.0, 3.0)], "window"),
        ([_timing(threads=number) for number in ("1", "2")], "threads: w"),
    ],
    ids=["family", "threads"],
)
def test_scaling_is_drawn_where_there_is_any(found, family):
    """A family of workloads, or one workload on several thread counts, becomes a curve."""
    (scaling,) = _told(*found).scaling
    assert scaling.family == family and len(scaling.lines[0][1]) == 2


def test_nothing_timed_is_nothing_told():
    """Without timings there is no speed section."""
    assert _told() is None
