import io
import json
from pathlib import Path

import numpy as np
import pytest

from backends.interface import Case, refusal
from backends.oracle import pool
from backends.spec import Average, Max, PoolSpec, Sliding
from benchmarks import peers, peers_text
from benchmarks.__main__ import main
from benchmarks.peers import compare
from benchmarks.peers_text import Comparison, geometric_mean, table, verdict
from benchmarks.plain import BlockReduce, WindowView
from benchmarks.workloads import WORKLOADS

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
    """The geometric mean, what is above the limits by name and why, what was wrong, and each gap once with its reason."""
    found = {
        "densenet121-transition1-f16": compared(nl=(4.0,), tl=(1.0,), bl=(24.0,)),
        "two": compared(nl=(1.0,), tl=(4.0,)),
        "three": compared(nl=(1.6,), tl=(1.0,)),
    }
    found["two"].words["jax", "channels_last"] = "wrong: element (0, 0)"
    found["two"].words["tensorflow", "channels_last"] = "gap: no such layout"
    found["three"].words["tensorflow", "channels_last"] = "gap: no such layout"
    lines = verdict(found, {"tensorflow": "tensorflow"})
    assert lines[0].startswith("NumPy takes 1.17 times as long as the fastest framework, over 3 workloads")
    assert lines[1].startswith("  densenet121-transition1-f16: 4.00, more than 2.5: NumPy converts float16 number by number")
    assert lines[2] == "  three: 1.60"
    assert lines[3].startswith("block_reduce takes 6.0 times as long as NumPy, over 1 workloads, at least 6.0 times (densenet121-")
    assert lines[4:] == ["two: jax channels_last: wrong: element (0, 0)", "gap: tensorflow: no such layout (2 cells)"]


def test_noise_is_told():
    """Workloads whose ratios spread are counted; steady ones are not."""
    steady, noisy = compared(nf=[1.0] * 8, tf=[1.0] * 8), compared(nf=[1.0, 1.5] * 4, tf=[1.0] * 8)
    assert not any(line.startswith("noisy") for line in verdict({"a": steady}, {}))
    assert "noisy: the middle half of the ratios spreads over more than 10% on 1 of 2" in verdict({"a": steady, "b": noisy}, {})


def test_the_table_says_how_near_a_copy_is_and_what_memory_it_takes():
    """NumPy's share of a copy's bandwidth, and its peak beside the output as a share of the input, in its worse layout."""
    found = compared(nf=(2e-3,), nl=(1e-3,), tf=(1e-3,))
    found.bytes, found.bandwidth, found.input, found.memory = 8_000_000, 16e9, 6_000_000, {"channels_first": 60_000, "channels_last": 600}
    row = table({"one": found}, {"numpy": "numpy", "torch": "torch"}).splitlines()[1]
    assert row.split() == ["one", "1", "ms", "last", "1", "ms", "first", "1.00", "50%", "1%"]
    assert "NumPy needs at most 1.0% of the input beside its output (one), over 1 workloads" in "\n".join(verdict({"one": found}, {}))


def test_a_geometric_mean_has_no_side():
    """Twice and half cancel."""
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)


def test_a_comparison_is_run(tmp_path, monkeypatch):
    """Contenders take turns in processes of their own; who cannot be loaded or is wrong is named, and every turn is kept."""
    for module in (peers, peers_text):
        monkeypatch.setattr(module, "OURS", f"{STRANGERS}:Plain")
    monkeypatch.setattr(peers, "LARGE", 1000)
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
    assert set(content["extra_memory"]["m5-wide-pool1"]) == {"channels_first", "channels_last"}
    assert all(len(turn["seconds"]) == peers.PLACEMENTS * peers.SWEEPS for turn in content["turns"]["m5-wide-pool1"])


def test_a_contender_that_dies_is_started_anew(tmp_path, monkeypatch):
    """A contender that dies at a workload has words for it, and is there again for the next."""
    for module in (peers, peers_text):
        monkeypatch.setattr(module, "OURS", f"{STRANGERS}:Plain")
    monkeypatch.setattr(peers, "_workloads", lambda level: [WORKLOADS["m5-wide-pool1"], WORKLOADS["m5-pool2"]])
    out = io.StringIO()
    assert compare(threads=1, records=tmp_path, names=(f"{STRANGERS}:Plain", f"{STRANGERS}:Mortal"), out=out) == 0
    said = out.getvalue()
    assert [name for name in ("m5-wide-pool1", "m5-pool2") if f"{name}: mortal died with status -11" in said] == [
        "m5-wide-pool1",
        "m5-pool2",
    ]
    assert "m5-wide-pool1: mortal channels_first: error: died with status -11" in said
    assert set(json.loads(next(tmp_path.glob("peers-*.json")).read_text())["turns"]) == {"m5-wide-pool1", "m5-pool2"}


def test_what_was_compared_is_kept_when_it_is_interrupted(tmp_path, monkeypatch):
    """An interruption leaves the workloads before it in the file and in the table, and ends with 130."""
    monkeypatch.setattr(peers, "_workloads", lambda level: [WORKLOADS["m5-wide-pool1"], WORKLOADS["m5-pool2"]])
    measure, left = peers.measure, iter([True])

    def interrupted(*arguments):
        if next(left, None):
            return measure(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(peers, "measure", interrupted)
    out = io.StringIO()
    assert compare(threads=1, records=tmp_path, names=(f"{STRANGERS}:Plain",), out=out) == 130
    assert "interrupted" in out.getvalue()
    assert list(json.loads(next(tmp_path.glob("peers-*.json")).read_text())["turns"]) == ["m5-wide-pool1"]


def test_peers_compare_every_layer_unless_told_otherwise(monkeypatch):
    """Without a level `--peers` compares the layers of all networks; `--resume` is refused, since its ratios are of one run."""
    levels = []
    monkeypatch.setattr(peers, "compare", lambda **options: levels.append(options["level"]) or 0)
    assert main(["--peers"]) == main(["--peers", "--level", "quick"]) == 0
    assert levels == ["standard", "quick"]
    with pytest.raises(SystemExit, match="2"):
        main(["--peers", "--resume"])
