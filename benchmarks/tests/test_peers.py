import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from backends.compare import assert_conforms
from backends.interface import LAYOUTS, Case, dtype_named, refusal
from backends.spec import Average, Max, PoolSpec, Sliding
from benchmarks import peers, peers_text
from benchmarks.__main__ import main
from benchmarks.costs import KINDS, Costs
from benchmarks.peers import chosen, compare
from benchmarks.peers_text import VIEW, Comparison, geometric_mean, table, verdict
from benchmarks.plain import BlockReduce, WindowView
from benchmarks.progress import bar
from benchmarks.workloads import WORKLOADS

BLOCKS = "benchmarks.plain:BlockReduce"
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
        (WindowView, Max(), Sliding(kernel=(3, 3), stride=(2, 4), ceil_mode=True)),
        (WindowView, Max(), Sliding(kernel=(3, 2), stride=(2, 3), padding=((1, 1), (0, 1)), ceil_mode=True)),
        (BlockReduce, Max(), Sliding(kernel=(4, 3), ceil_mode=True)),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_plain_code_conforms(plain, reduction, windows, layout, dtype):
    """What NumPy is compared with computes the same pooling, where its last windows reach past the image and in half precision too."""
    pytest.importorskip("skimage", reason="block_reduce is scikit-image's")
    # All negative, so that zeros around the image would be seen; and sums that float16 itself could not hold exactly.
    x = -np.abs(X + (1024 if isinstance(reduction, Average) else 0.5)).astype(dtype)
    backend, case = plain(), Case(PoolSpec(reduction=reduction, windows=windows), x, layout)
    assert refusal(backend, case) is None
    assert_conforms(case, backend.fetch(backend.bind(case)()))


@pytest.mark.parametrize("plain", [WindowView, BlockReduce])
def test_plain_code_has_no_mean_of_bfloat16(plain):
    """What NumPy adds up in bfloat16 itself is a gap, and so is a mean in ceil mode, whose last windows read less."""
    pytest.importorskip("skimage", reason="block_reduce is scikit-image's")
    mean = PoolSpec(reduction=Average(), windows=Sliding(kernel=(2, 2)))
    assert "bfloat16" in refusal(plain(), Case(mean, X.astype(dtype_named("bfloat16"))))
    assert "ceil" in refusal(plain(), Case(PoolSpec(reduction=Average(), windows=Sliding(kernel=(4, 4), ceil_mode=True)), X))


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
    names = {"n": "numpy", "t": "torch", "c": "torch:compile", "j": "jax", "s": "kernel.py:Mine", "b": BLOCKS, "w": VIEW}
    layouts = {"f": "channels_first", "l": "channels_last"}
    return Comparison(turns={(names[key[0]], layouts[key[1]]): list(turns) for key, turns in seconds.items()})


def test_ratios_are_taken_within_a_sweep():
    """When the machine slows down for everybody, a ratio does not see it."""
    assert compared(nf=(2.0, 8.0, 20.0), tl=(1.0, 4.0, 10.0)).against == 2.0


def test_the_better_layout_counts():
    """NumPy in its better layout is compared with the fastest framework in its better layout."""
    found = compared(nf=(4.0,), nl=(3.0,), tf=(40.0,), tl=(6.0,), jl=(2.0,))
    assert found.fastest(["torch"]) == ("torch", "channels_last")
    assert found.against == 1.5
    del found.turns["jax", "channels_last"]
    assert found.against == 0.5


@pytest.mark.parametrize(
    "turns, ratio",
    [({"cl": [2.0]}, 0.5), ({"sl": [0.5]}, 2.0), ({"tl": [2.0], "sl": [0.25]}, 4.0), ({"bl": [9.0]}, None), ({"wl": [9.0]}, None)],
)
def test_a_peer_is_whoever_is_neither_numpy_nor_plain_code(turns, ratio):
    """Variants and strangers are compared with as frameworks are; plain code alone is no peer."""
    assert compared(nl=[1.0], **turns).against == ratio


def test_whom_numpy_is_compared_with_is_said():
    """The first sentence names the peers as they call themselves; the aim is of frameworks alone."""
    (line, *_) = verdict({"one": compared(nl=[1.0], cl=[1.0], sl=[2.0])}, {"torch:compile": "torch:compile", "kernel.py:Mine": "mine"})
    assert line.startswith("NumPy takes 1.00 times as long as the fastest of torch:compile, mine, over 1 workloads")
    assert "must be" not in line
    (line, *_) = verdict({"one": compared(nl=[1.0], sl=[2.0])}, {"kernel.py:Mine": "mine"})
    assert line.startswith("NumPy takes 0.50 times as long as mine, over 1 workloads")


def test_numpy_that_is_wrong_is_said_first():
    """Where NumPy itself was wrong there is no ratio, and the table, the line of the workload and the verdict say so."""
    found = compared(tl=[1.0])
    found.words.update({("numpy", layout): "wrong: element (0, 0)" for layout in LAYOUTS})
    assert found.ratio_text == "numpy: wrong"
    assert "numpy: wrong" in table({"one": found}, {"numpy": "numpy", "torch": "torch"})
    assert verdict({"one": found, "two": compared(nl=[1.0], tl=[1.0])}, {})[0] == "numpy itself was wrong or failed on 1 of 2: one"
    assert compared(nl=[1.0]).ratio_text == "no peer"


def test_plain_code_is_compared_in_each_layout():
    """How far NumPy is ahead of plain code is the least over the layouts, and over turns that both had."""
    found = compared(nf=(1.0, 1.0, 1.0), nl=(2.0, 2.0, 2.0), bf=(9.0, None, 9.0), bl=(8.0, 8.0, None))
    assert found.ahead(BLOCKS) == 4.0


def test_nothing_is_further_ahead_of_plain_code_than_a_copy():
    """Of the workloads that miss the aim it is said on how many plain code is within five times a copy; unknown bandwidths prove nothing."""
    found = {name: compared(nl=[2.0], bl=[8.0], nf=[2.0], bf=[9.0]) for name in ("near", "far", "unknown")}
    for name, copy in (("near", 1.7), ("far", 1.5)):
        found[name].bytes, found[name].bandwidth = 100, 100 / copy
    assert found["near"].room(BLOCKS) == pytest.approx(8 / 1.7)
    assert found["unknown"].room(BLOCKS) is None
    (told,) = [line for line in verdict(found, {}) if "miss it" in line]
    assert told == "  3 miss it; on 1 of them even copying the bytes that must move takes more than a fifth of its time"
    for fine in ({"met": compared(nl=[1.0], bl=[5.0])}, {"densenet121-transition1": compared(nl=[1.0], wl=[2.0])}):
        assert not [line for line in verdict(fine, {}) if "miss it" in line]


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
    assert lines[0] == "NumPy takes 1.17 times as long as torch, over 3 workloads (must be under 1.2)"
    assert lines[1].startswith("  densenet121-transition1-f16: 4.00, more than 2.5: NumPy converts float16 number by number")
    assert lines[2] == "  three: 1.60: unexplained"
    assert lines[3].startswith("block_reduce takes 6.0 times as long as NumPy, over 1 workloads, at least 6.0 times (densenet121-")
    assert lines[4:] == ["two: jax channels_last: wrong: element (0, 0)", "gap: tensorflow: no such layout (2 cells)"]


def spent(*, whole=100e-6, moved=1_000, runs=None, **microseconds):
    seconds = {**dict.fromkeys(KINDS, 0.0), **{kind: 1e-6 * taken for kind, taken in microseconds.items()}}
    return Costs(calls=5, empty=0.5e-6, whole=whole, moved=moved, seconds=seconds, runs=runs or {})


@pytest.mark.parametrize(
    "costs, why",
    [
        (spent(strided=61, passes=35), "61% in passes over elements that are not neighbours, which NumPy's vector loops do not take"),
        (spent(short=50, counts=26, passes=20, runs={"short": 64}), "50% in passes over runs of 64 elements, which NumPy begins anew or gathers in its buffer, 26% in multiplying by a map, since windows do not all count as much"),
        (spent(passes=90, moved=3_600), "90% in passes over long runs, where all passes move 3.6 times the bytes that must move"),
        (spent(rows=97, runs={"rows": 49}), "97% in reductions over runs of 49 elements, each of which NumPy begins anew"),
        (spent(converted=80, passes=19), "80% in conversions of type"),
        (spent(passes=60), "40% in 5 calls themselves, 0.5 µs each and the interpreter between them"),
        (spent(passes=95), "unexplained"),
        (spent(strided=150, passes=150, moved=900), "50% in passes over elements that are not neighbours, which NumPy's vector loops do not take"),
        (None, "unexplained"),
    ],
)  # fmt: skip
def test_a_slow_workload_is_explained(costs, why):
    """Beside a ratio above 1.5 stands what takes a fifth of NumPy's time or more, most first; where nothing does: "unexplained"."""
    found = compared(nl=[2.0], tl=[1.0])
    found.costs, found.bytes = costs, 1_000
    assert verdict({"vgg16-pool1": found}, {})[1] == f"  vgg16-pool1: 2.00: {why}"


def test_where_numpy_is_slow_its_calls_are_timed(tmp_path, monkeypatch):
    """A ratio above the limit is explained by a plan's calls, which the file keeps; one below is not."""
    monkeypatch.setattr(peers, "EXPLAIN", 0.0)
    monkeypatch.setattr(peers_text, "EXPLAIN", 0.0)
    asked = {"threads": 1, "select": "m5-wide", "level": "quick", "names": (f"{STRANGERS}:Plain",)}
    out = io.StringIO()
    assert compare(**asked, records=tmp_path / "slow", out=out) == 0
    assert re.search(r"^  m5-wide-pool1: \d+\.\d\d.*: (\d+% in .*|unexplained)$", out.getvalue(), re.MULTILINE)
    (file,) = tmp_path.glob("slow/peers-*.json")
    assert set(json.loads(file.read_text())["costs"]["m5-wide-pool1"]["seconds"]) == set(KINDS)
    monkeypatch.setattr(peers, "EXPLAIN", 1e9)
    assert compare(**asked, records=tmp_path / "quick", out=out) == 0
    (file,) = tmp_path.glob("quick/peers-*.json")
    assert json.loads(file.read_text())["costs"] == {}


@pytest.mark.parametrize(
    "turns, busy, why",
    [
        ([1.0] * 8, 0.1, None),
        ([1.0] * 8, None, None),
        ([1.0, 1.5] * 4, None, "the middle half of the ratios spreads over more than 10% on 1"),
        ([1.0 + 0.015 * i for i in range(9)], None, "the later half of them differs from the first by more than 5% on 1"),
        ([1.0] * 8, 0.6, "others kept more than 0.25 cores busy on 1"),
    ],
)
def test_noise_is_told(turns, busy, why):
    """A ratio is noisy by the rule of a timing: spread, drift, or others that computed meanwhile; its row is marked, a steady one is not."""
    found = compared(nf=turns, tf=[1.0] * len(turns))
    found.busy = busy
    told = [line for line in verdict({"a": found, "b": compared(nf=[1.0] * 8, tf=[1.0] * 8)}, {}) if line.startswith("noisy")]
    assert told == ([f"noisy: 1 of 2: {why}"] if why else [])
    assert found.ratio_text.startswith("~") == bool(why)


def test_the_maximum_of_a_window_view_is_judged_apart():
    """The aim is of sliding_window_view's maximum: its averages have a line of their own, without an aim."""
    found = {"vgg16-pool1": compared(nl=[1.0], wl=[6.0]), "densenet121-transition1": compared(nl=[1.0], wl=[3.0])}
    assert [line for line in verdict(found, {}) if "sliding" in line] == [
        "sliding_window_view(…).max takes 6.0 times as long as NumPy, over 1 workloads, at least 6.0 times (vgg16-pool1; aim: 5 everywhere)",
        "sliding_window_view(…).mean takes 3.0 times as long as NumPy, over 1 workloads, at least 3.0 times (densenet121-transition1; no aim)",
    ]


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
    status = compare(threads=1, records=tmp_path, select="m5-wide", level="quick", names=(*names, VIEW), out=out)
    text = out.getvalue()
    assert status == 0
    assert "plain beside borderline, sliding_window_view: values of 1 workload\n" in text
    assert re.search(r"^\[#{20}\] 1/1 0:00 left m5-wide-pool1: no peer$", text, re.MULTILINE)
    assert "left out: " in text
    assert "libpooling.so.7 is missing" in text
    assert "wrong: Wrong: element (0, " in text
    assert "sliding_window_view(…).max takes" in text
    (file,) = tmp_path.glob("peers-*.json")
    content = json.loads(file.read_text())
    assert (content["threads"], content["output"]) == (1, "values")
    assert {"cpu", "cores", "memory", "caches", "os", "python", "packages"} <= set(content)
    assert [(one["name"], one["version"], one["device"]) for one in content["contenders"]][:2] == [
        ("plain", "1", "cpu"), ("borderline", "1", "cpu"),
    ]  # fmt: skip
    assert content["cores_busy_elsewhere"]["m5-wide-pool1"] >= 0
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
    assert [name for name in ("m5-wide-pool1", "m5-pool2") if f"{name}: mortal killed by SIGSEGV" in said] == [
        "m5-wide-pool1",
        "m5-pool2",
    ]
    assert "m5-wide-pool1: mortal channels_first: error: killed by SIGSEGV" in said
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


def test_options_reach_the_comparison(monkeypatch):
    """The output and the time limit that are asked for are those of the comparison."""
    asked = []
    monkeypatch.setattr(peers, "compare", lambda **options: asked.append((options["output"], options["patience"])) or 0)
    main(["--peers"])
    main(["--peers", "--output", "gradient", "--cell-limit", "7"])
    assert asked == [("values", 120.0), ("gradient", 7.0)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--resume"], "--resume: a comparison of peers is of one run"),
        (["--layout", "channels_last"], "--layout: --peers compares each contender in its better layout"),
        (["--cold"], "--cold: --peers compares calls on warm caches"),
        (["--overhead"], "--overhead: --peers has no harness"),
        (["--output", "values", "--output", "gradient"], "--peers compares one output a run"),
        (["-k", "vgg16 and yolo"], "-k 'vgg16 and yolo': chooses none of the"),
        (["-k", "resnet50-head", "--level", "quick", "--output", "indices"], "of level 'quick' that have indices"),
        (["-k", "vgg16 yolo"], "-k 'vgg16 yolo': expected words with and, or, not"),
    ],
)
def test_what_a_comparison_cannot_honour_is_refused(monkeypatch, capsys, arguments, message):
    """An option that would change nothing, and an expression that chooses nothing, are usage errors before any process starts."""
    monkeypatch.setattr(peers, "Peer", None)
    with pytest.raises(SystemExit) as stopped:
        main(["--peers", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "expression, found",
    [
        ("resnet50-stem or vgg16-head", ["resnet50-stem", "vgg16-head-14"]),
        ("pool1 and not (vgg16 or m5)", ["googlenet-pool1"]),
        ("YOLO and VALUES", ["yolov3-spp13"]),
    ],
)
def test_an_expression_chooses_workloads(expression, found):
    """`-k` is an expression as pytest's, over the name of a workload and the output, whatever the case of its letters."""
    assert sorted(workload.name for workload in chosen("quick", expression, "values")) == found


def test_an_output_is_asked_of_who_has_it():
    """Indices are compared on maxima alone, gradients on all."""
    assert {workload.spec.reduction.name for workload in chosen("standard", "", "indices")} == {"max"}
    assert {workload.spec.reduction.name for workload in chosen("standard", "", "gradient")} == {"max", "average", "lp"}


def test_gradients_are_compared(tmp_path):
    """With another output NumPy is there unasked, its turns are kept under that output, and plain code has gaps."""
    out = io.StringIO()
    assert compare(threads=1, records=tmp_path, select="m5-wide", level="quick", names=(VIEW,), output="gradient", out=out) == 0
    assert "numpy beside sliding_window_view: gradient of 1 workload\n" in out.getvalue()
    assert "gap: sliding_window_view: " in out.getvalue()
    content = json.loads(next(tmp_path.glob("peers-*.json")).read_text())
    assert content["output"] == "gradient"
    assert content["contenders"][0]["build"]["SIMD baseline"]
    assert [turn["contender"] for turn in content["turns"]["m5-wide-pool1"]] == ["numpy", "numpy"]


def test_numpy_that_fails_fails_the_comparison(tmp_path, monkeypatch):
    """A NumPy that is wrong, or that cannot be loaded, is said to be, and the exit status is 1."""
    out = io.StringIO()
    for module in (peers, peers_text):
        monkeypatch.setattr(module, "OURS", f"{STRANGERS}:Borderline")
    asked = {"threads": 1, "records": tmp_path, "select": "m5-wide", "level": "quick", "out": out}
    assert compare(**asked, names=(f"{STRANGERS}:Plain",)) == 1
    assert re.search(r"m5-wide-pool1: .*Borderline: wrong$", out.getvalue(), re.MULTILINE)
    assert "itself was wrong or failed on 1 of 1: m5-wide-pool1" in out.getvalue()
    for module in (peers, peers_text):
        monkeypatch.setattr(module, "OURS", f"{STRANGERS}:Broken")
    assert compare(**asked, names=(f"{STRANGERS}:Plain",)) == 1
    assert "could not be loaded: there is nothing to compare with" in out.getvalue()


def test_a_contender_that_hangs_is_given_up(tmp_path):
    """A contender that does not answer within the time limit is out of a workload, and the message has the limit."""
    out = io.StringIO()
    asked = {"threads": 1, "records": tmp_path, "select": "m5-wide", "level": "quick", "patience": 2.0}
    assert compare(**asked, names=(f"{STRANGERS}:Slow",), out=out) == 0
    assert "m5-wide-pool1: slow did not answer for 2 s" in out.getvalue()


@pytest.mark.parametrize(
    "name, words",
    [
        ("Changeable", "m5-wide-pool1: changeable channels_first: wrong: Wrong: element (0, "),
        ("Slow", "m5-wide-pool1: slow channels_last: timeout: did not answer for 2 s"),
        ("Unclear", "m5-wide-pool1: unclear channels_first: error: TypeError: unclear.gap returned True: expected None, or the reason as a text"),
        ("Killed", "m5-wide-pool1: killed channels_last: memory: killed by SIGKILL, which is how the kernel ends a process"),
    ],
)  # fmt: skip
def test_what_goes_wrong_has_the_words_of_any_cell(tmp_path, name, words):
    """A contender that is wrong later on is not compared; deaths, hangs and gaps without a reason have the status that a timing's would have."""
    out = io.StringIO()
    asked = {"threads": 1, "records": tmp_path, "select": "m5-wide", "level": "quick", "patience": 2.0}
    assert compare(**asked, names=(f"{STRANGERS}:{name}",), out=out) == 0
    assert words in out.getvalue()
    turns = json.loads(next(tmp_path.glob("peers-*.json")).read_text())["turns"]["m5-wide-pool1"]
    assert {turn["contender"] for turn in turns} == {"numpy"}


def test_a_bar_without_an_estimate_has_none():
    """Before anything is finished nothing is said of the time left."""
    assert bar(0, 2, None) == "[....................] 0/2"
    assert bar(1, 2, 61.0) == "[##########..........] 1/2 1:01 left"
