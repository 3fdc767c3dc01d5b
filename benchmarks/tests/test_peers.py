import io
import json
from pathlib import Path

import numpy as np
import pytest

from backends.interface import Case, refusal
from backends.oracle import pool
from backends.spec import Average, Max, PoolSpec, Sliding
from benchmarks import peers
from benchmarks.peers import Comparison, compare, geometric_mean, verdict
from benchmarks.plain import BlockReduce, WindowView

STRANGERS = Path(__file__).with_name("strangers.py")
X = np.random.default_rng(1).integers(-9, 9, (2, 3, 6, 8)).astype(np.float32)


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize(
    "plain, reduction, windows",
    [
        (WindowView, Max(), Sliding(kernel=(2, 3), stride=(1, 2))),
        (WindowView, Average(), Sliding(kernel=(3, 2), stride=(3, 1))),
        (WindowView, Max(), Sliding(kernel=(3, 2), stride=(2, 1), padding=((1, 0), (0, 1)))),
        (WindowView, Max(), Sliding(kernel=(3, 2), stride=(2, 3), padding="same_lower")),
        (BlockReduce, Max(), Sliding(kernel=(3, 2))),
        (BlockReduce, Average(), Sliding(kernel=(2, 4))),
    ],
)
def test_plain_code_conforms(plain, reduction, windows, layout):
    """What NumPy is compared with computes the same pooling."""
    pytest.importorskip("skimage", reason="block_reduce is scikit-image's")
    backend, case = plain(), Case(PoolSpec(reduction=reduction, windows=windows), X, layout)
    assert refusal(backend, case) is None
    np.testing.assert_allclose(backend.fetch(backend.bind(case)()), pool(case).value, rtol=1e-6)


@pytest.mark.parametrize(
    "windows, reason",
    [(Sliding(kernel=(2, 2), stride=(1, 2)), "do not step by their own size"), (Sliding(kernel=(4, 2)), "do not divide the image")],
)
def test_block_reduce_says_what_it_cannot(windows, reason):
    """Blocks that overlap, or that would be filled up with zeros, are gaps."""
    pytest.importorskip("skimage", reason="block_reduce is scikit-image's")
    assert reason in BlockReduce().gap(Case(PoolSpec(reduction=Max(), windows=windows), X))


def compared(**seconds):
    """A comparison of contenders named with one letter and their layout: nf = NumPy, channels first."""
    names = {"n": "numpy", "t": "torch", "j": "jax", "b": "benchmarks.plain:BlockReduce"}
    layouts = {"f": "channels_first", "l": "channels_last"}
    return Comparison(turns={(names[key[0]], layouts[key[1]]): list(turns) for key, turns in seconds.items()})


def test_ratios_are_taken_within_a_sweep():
    """When the machine slows down for everybody, a ratio does not see it."""
    found = compared(nf=(2.0, 8.0, 20.0), tl=(1.0, 4.0, 10.0))
    assert found.against(["torch"]) == 2.0


def test_the_better_layout_counts():
    """NumPy in its better layout is compared with the fastest framework in its better layout."""
    found = compared(nf=(4.0,), nl=(3.0,), tf=(40.0,), tl=(6.0,), jl=(2.0,))
    assert found.fastest(["torch"]) == ("torch", "channels_last")
    assert found.against(["torch", "jax"]) == 1.5
    assert found.against(["tensorflow"]) is None


def test_plain_code_is_compared_in_each_layout():
    """How far NumPy is ahead of plain code is the least over the layouts, and over turns that both had."""
    found = compared(nf=(1.0, 1.0, 1.0), nl=(2.0, 2.0, 2.0), bf=(9.0, None, 9.0), bl=(8.0, 8.0, None))
    assert found.ahead("benchmarks.plain:BlockReduce") == 4.0


def test_the_verdict_is_in_sentences():
    """The geometric mean, what is above the limits by name, and what was wrong."""
    found = {
        "one": compared(nl=(4.0,), tl=(1.0,), bl=(24.0,)),
        "two": compared(nl=(1.0,), tl=(4.0,)),
        "three": compared(nl=(1.6,), tl=(1.0,)),
    }
    found["two"].words["jax", "channels_last"] = "wrong: element (0, 0)"
    found["two"].words["tensorflow", "channels_last"] = "gap"
    lines = verdict(found)
    assert lines[0].startswith("NumPy takes 1.17 times as long as the fastest framework, over 3 workloads")
    assert lines[1:3] == ["  one: 4.00, more than 2.5", "  three: 1.60"]
    assert lines[3].startswith("block_reduce takes 6.0 times as long as NumPy, over 1 workloads, at least 6.0 times (one;")
    assert lines[4:] == ["two: jax channels_last: wrong: element (0, 0)"]


def test_a_geometric_mean_has_no_side():
    """Twice and half cancel."""
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)


def test_a_comparison_is_run(tmp_path, monkeypatch):
    """Contenders take turns in processes of their own; who cannot be loaded or is wrong is named, and every turn is kept."""
    monkeypatch.setattr(peers, "OURS", f"{STRANGERS}:Plain")
    out, names = io.StringIO(), [f"{STRANGERS}:{name}" for name in ("Plain", "Borderline", "Broken")]
    status = compare(threads=1, records=tmp_path, select="m5-wide", level="quick", names=(*names, "benchmarks.plain:WindowView"), out=out)
    text = out.getvalue()
    assert status == 0
    assert "left out: " in text
    assert "libpooling.so.7 is missing" in text
    assert "wrong: Wrong: element (0, " in text
    assert "sliding_window_view takes" in text
    (file,) = tmp_path.glob("peers-*.json")
    content = json.loads(file.read_text())
    assert content["threads"] == 1
    assert {(turn["contender"], turn["layout"]) for turn in content["turns"]["m5-wide-pool1"]} == {
        (name, layout) for name in ("plain", "sliding_window_view") for layout in ("channels_first", "channels_last")
    }
    assert all(len(turn["seconds"]) == peers.PLACEMENTS * peers.SWEEPS for turn in content["turns"]["m5-wide-pool1"])


def test_a_contender_that_dies_is_left_out(tmp_path, monkeypatch):
    """A contender that dies is named and left out; the comparison goes on without it."""
    monkeypatch.setattr(peers, "OURS", f"{STRANGERS}:Plain")
    out = io.StringIO()
    status = compare(
        threads=1, records=tmp_path, select="m5-wide", level="quick", names=(f"{STRANGERS}:Plain", f"{STRANGERS}:Mortal"), out=out
    )
    assert "Mortal died with status -11" in out.getvalue()
    assert status == 0
    assert "m5-wide-pool1" in json.loads(next(tmp_path.glob("peers-*.json")).read_text())["turns"]
