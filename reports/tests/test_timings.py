"""pytest-benchmark's JSON, read."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from reports import speed, timings
from reports.tests import samples


def _written(folder, content):
    file = folder / "bench-1.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_real_file_of_pytest_benchmark_is_read(tmp_path):
    """A file that pytest-benchmark itself has written gives its timings, with what extra_info says."""
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_it.py").write_text(
        "def test_sum(benchmark):\n"
        "    benchmark.extra_info.update(workload='sum', backend='python', layout='channels_last', bytes=8000)\n"
        "    benchmark.pedantic(sum, args=([1.0] * 1000,), rounds=9)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--benchmark-json=bench-1.json", "-p", "no:cacheprovider", "test_it.py"]
    # Under xdist pytest-benchmark times nothing, and a worker's children would take themselves for workers.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120, env=alone)
    (timing,) = timings.read([tmp_path / "bench-1.json"], {"aaaa": ""}).timings
    assert (timing.workload, timing.backend, timing.layout, timing.environment) == ("sum", "python", "channels_last", "aaaa")
    assert timing.spread.rounds == 9 and timing.spread.low is not None and timing.spread.median > 0


def test_what_is_compared_is_told_apart(tmp_path):
    """Each benchmark becomes one timing, with the share of the copy bandwidth that it reached."""
    measured = timings.read([_written(tmp_path, samples.benchmarks())], {samples.HERE.id: samples.HERE.cpu})
    fast = next(one for one in measured.timings if one.series == "torch channels_last" and one.workload == "resnet50.stem")
    assert len(measured.timings) == 16 and measured.problems == () and measured.machines == ()
    assert fast.fraction == pytest.approx(8_000_000 / 1e-3 / 10e9) and fast.setting == ("values", "cpu", "2", "")
    assert dataclasses.replace(fast, limit=9e-4, limited_by="arithmetic").fraction == pytest.approx(0.9)


def test_what_the_machine_was_set_to_is_told(tmp_path):
    """Cores, frequency policy, pages and settings come from the file's machine, the load from before and after each timing."""
    content = samples.benchmarks()
    settings = {"OMP_NUM_THREADS": "1", "NPROC": "1"}
    content["machine_info"] = {
        "poolproof": {"virtual machine": "yes", "usable cores": 2, "governor": "performance", "huge pages": "madvise", "settings": settings}
    }
    for number, benchmark in enumerate(content["benchmarks"]):
        benchmark["extra_info"] |= {"load_before": 0.25, "load_after": 0.5 + number}
    measured = timings.read([_written(tmp_path, content)], {samples.HERE.id: samples.HERE.cpu}).timings
    told = speed.told(measured, samples.HERE)
    assert told.conditions == [
        "usable cores 2, virtual machine yes, frequency policy performance, huge pages madvise",
        "load of the machine 0.25 to 16 before and after the timings",
    ]


@pytest.mark.parametrize(
    "content, line, said",
    [
        ('{"benchmarks": [\n{]', 2, "not JSON"),
        ({"results": []}, 0, "not pytest-benchmark's JSON"),
        ({"benchmarks": {}}, 0, "not pytest-benchmark's JSON"),
        ([1], 0, "not pytest-benchmark's JSON"),
    ],
    ids=["truncated", "foreign", "of another shape", "a list"],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, content, line, said):
    """A truncated or foreign file is named, with its line where there is one."""
    file = _written(tmp_path, content)
    (problem,) = timings.read([file], {}).problems
    assert (problem.file, problem.line) == (str(file), line) and said in problem.message


@pytest.mark.parametrize("data", [[0.0, 1.0], [-1.0], ["fast"], [1.0, None]], ids=str)
def test_a_time_that_is_none_costs_only_its_benchmark(tmp_path, data):
    """A time that is not positive is a problem; the other benchmarks of the file are kept."""
    content = samples.benchmarks()
    content["benchmarks"][0]["stats"]["data"] = data
    measured = timings.read([_written(tmp_path, content)], {samples.HERE.id: samples.HERE.cpu})
    assert len(measured.timings) == 15 and "benchmark test_forward" in measured.problems[0].message


def test_without_rounds_the_summary_serves(tmp_path):
    """A file that kept no rounds gives medians and quartiles, and no interval."""
    content = samples.benchmarks()
    content["benchmarks"] = content["benchmarks"][:1]
    del content["benchmarks"][0]["stats"]["data"]
    (timing,) = timings.read([_written(tmp_path, content)], {samples.HERE.id: samples.HERE.cpu}).timings
    assert timing.spread.median == 1.6e-3 and timing.spread.low is None


@pytest.mark.parametrize(
    "known, home",
    [
        ({}, "bench-host-AMD EPYC-3.11.7"),
        ({"only": ""}, "only"),
        ({"only": "AMD EPYC"}, "only"),
        ({"only": "Neoverse-V2"}, "bench-host-AMD EPYC-3.11.7"),
        ({"one": "", "two": ""}, "bench-host-AMD EPYC-3.11.7"),
    ],
)
def test_a_benchmark_without_environment_finds_a_home(tmp_path, known, home):
    """A benchmark that names no environment belongs to the only one on its CPU, or else to the machine that its file describes."""
    content = samples.benchmarks()
    content["benchmarks"] = content["benchmarks"][:1]
    del content["benchmarks"][0]["extra_info"]["environment"]
    (timing,) = timings.read([_written(tmp_path, content)], known).timings
    assert timing.environment == home


def test_conditions_are_told_once():
    """What the machine was set to in all timings is told once, what only some had apart, and thread counts stand with the timings."""
    spread_ = timings.spread.of([1.0, 1.1, 1.2])
    both = [
        timings.Timing(
            workload="w", backend="b", spread=spread_, conditions="frequency policy powersave, KMP_INIT_AT_FORK=FALSE", load=(0.5, 1)
        ),
        timings.Timing(workload="w", backend="c", spread=spread_, conditions="frequency policy powersave"),
    ]
    assert timings.conditions(both)[:2] == ["frequency policy powersave", "in some KMP_INIT_AT_FORK=FALSE"]
    settings = {"OMP_NUM_THREADS": "1", "NPROC": "1", "TF_NUM_INTRAOP_THREADS": "1", "LD_PRELOAD": "libx.so"}
    assert timings._conditions({"machine_info": {"poolproof": {"settings": settings}}}) == "LD_PRELOAD=libx.so"
