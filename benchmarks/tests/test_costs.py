import numpy as np
import pytest

import backends
from backends.numpy_kernels import sum_rows
from backends.numpy_program import Call, copy
from benchmarks import costs
from benchmarks.workloads import WORKLOADS

LONG, WIDE = np.ones(40_000, np.float32), np.ones((100, 200), np.float32)


def call(function, *inputs, out, **arguments):
    return Call(function, inputs, out, arguments)


@pytest.mark.parametrize(
    "made, kind, run",
    [
        (call(np.maximum, LONG[:20_000], LONG[20_000:], out=np.empty(20_000, np.float32)), "passes", 20_000),
        (call(np.maximum, LONG[::2], LONG[1::2], out=np.empty(20_000, np.float32)), "strided", 20_000),
        (call(np.add, WIDE[:, :100], WIDE[:, 100:], out=np.empty((100, 100), np.float32)), "short", 100),
        (call(np.add, WIDE[:50], WIDE[50:], out=np.empty((50, 200), np.float32)), "passes", 10_000),
        (call(np.add, WIDE.T[:, :100], WIDE.T[:, :100], out=np.empty((100, 200), np.float32).T), "passes", 20_000),
        (call(np.multiply, WIDE, np.ones((100, 1), np.float32), out=np.empty_like(WIDE)), "counts", 200),
        (call(np.multiply, WIDE, np.float32(0.5), out=np.empty_like(WIDE)), "passes", 20_000),
        (call(np.multiply, WIDE, np.array(0.5, np.float32), out=np.empty_like(WIDE)), "passes", 20_000),
        (call(np.maximum.reduce, WIDE, out=np.empty((100, 1), np.float32), axis=1, keepdims=True), "rows", 200),
        (call(np.maximum.reduce, WIDE, out=np.empty((1, 200), np.float32), axis=0, keepdims=True), "rows", 200),
        (call(np.maximum.reduce, LONG.reshape(8, 5000), out=np.empty((1, 5000), np.float32), axis=0, keepdims=True), "passes", 5000),
        (call(sum_rows, WIDE, out=np.empty((100, 1), np.float32)), "passes", 200),
        (call(np.add.reduce, LONG[np.newaxis], out=np.empty((1, 1), np.float32), axis=1, keepdims=True), "passes", 40_000),
        (call(copy, LONG, out=np.empty(40_000, np.float64)), "converted", 40_000),
        (call(copy, LONG, out=np.empty_like(LONG)), "passes", 40_000),
        (call(copy, 0, out=np.empty_like(LONG)), "passes", 40_000),
        (call(copy, LONG.reshape(-1, 2, 50)[:, 0], out=np.empty((400, 50), np.float32)), "passes", 50),
        (call(np.add.at, LONG, np.arange(3), np.ones(3, np.float32), out=None), "passes", 40_000),
        (call(np.maximum, LONG[:0], LONG[:0], out=np.empty(0, np.float32)), "passes", 0),
    ],
)  # fmt: skip
def test_what_makes_a_call_slow(made, kind, run):
    """A call is sorted by how its arrays lie: long runs, short ones, strided ones, rows, maps, conversions."""
    assert costs.kind_of(made) == kind
    assert costs.run_of(made)[0] == run


@pytest.mark.parametrize(
    "name, layout, kinds",
    [
        ("googlenet-pool1", "channels_last", {"short": 64, "passes": ...}),
        ("googlenet-pool1", "channels_first", {"short": 112, "strided": ..., "passes": ...}),
        ("inception3-keras-mixed0", "channels_last", {"passes": ...}),
        ("densenet121-transition1-bf16", "channels_last", {"converted": ..., "short": 128, "passes": ...}),
    ],
)
def test_a_pooling_is_made_of_such_calls(name, layout, kinds, monkeypatch):
    """The calls of a workload's plan are those of its layout, whatever else is computed on this machine."""
    monkeypatch.setattr(costs, "ENOUGH", 0.0)
    monkeypatch.setenv("POOLPROOF_NUMPY_THREADS", "1")
    backend, case = type(backends.load("numpy"))(), WORKLOADS[name].case(layout)
    found = costs.measure(backend.plan(case), backend.bind(case))
    assert {kind: ... if kinds.get(kind) is ... else run for kind, run in found.runs.items()} == kinds
    assert found.calls == len(backend.plan(case).calls())
    assert found.moved > case.x.nbytes
    assert set(found.seconds) == set(costs.KINDS)


def test_calls_are_timed_as_the_plan_makes_them(monkeypatch):
    """Each call is timed with the buffer of its plan, and nothing of that is left afterwards."""
    plan, seen = backends.load("numpy").plan(WORKLOADS["googlenet-pool1"].case("channels_last")), []
    monkeypatch.setattr(costs, "_medians", lambda works: seen.append(np.getbufsize()) or [1e-6] * len(works))
    costs.measure(plan, lambda: None)
    assert seen == [8192, 8192, plan.buffer] and plan.buffer != 8192
    assert np.getbufsize() == 8192
