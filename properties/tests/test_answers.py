import json

import numpy as np
import pytest

from backends.interface import Case
from backends.process import RemoteError
from backends.spec import Average, Max, PoolSpec, Sliding
from properties import answers
from properties.answers import Answers, Recorder, Truncated, Verdict, compare, main, read

MAX = PoolSpec(reduction=Max(), windows=Sliding(kernel=(2,)))
AVERAGE = PoolSpec(reduction=Average(), windows=Sliding(kernel=(3,)))
BACKEND = """
import numpy as np
class {name}:
    name, version = "stub", "1"
    capabilities = {{name: dict(windows={{"sliding"}}, ndims={{1}}, dtypes={{"float32"}}, layouts={{"channels_first"}}, outputs={{"values"}},
        paddings={{"valid"}}, dilation=False, ceil_mode=False, count_include_pad=False, divisor=False) for name in ("max", "average")}}
    def gap(self, case): return None
    def fetch(self, native): return native
    def bind(self, case):
        (k,), (s,) = case.spec.windows.kernel, case.spec.windows.stride
        w = np.lib.stride_tricks.sliding_window_view(case.x, k, axis=2)[:, :, ::s]
        return lambda: self.reduce(case, w)
    def reduce(self, case, w): {body}
"""
RIGHT = "return w.max(-1) if case.spec.reduction.name == 'max' else w.mean(-1)"
ROUNDED = "return w.max(-1) if case.spec.reduction.name == 'max' else np.nextafter(w.mean(-1), np.float32(np.inf))"
WRONG = "return w.max(-1) + (w.max(-1) == 4)"
RAISES = "raise RuntimeError('no kernel')"


def case(*values, spec=MAX):
    return Case(spec, np.array(values, np.float32).reshape(1, 1, -1), "channels_first", "values", None)


CASES = (case(1, 2, 3, 4), case(4, 3), case(-0.0, 0.0), case(1, 2, 4, spec=AVERAGE))


@pytest.fixture
def asked(tmp_path):
    """What asks a backend with some body every case, and returns its answers."""
    opened = []

    def ask(name, body, cases=CASES):
        # A file of its own: Python takes a source of the same size, changed within a second, for the one that it compiled.
        stub = tmp_path / f"stub_{name}.py"
        stub.write_text(BACKEND.format(name=name, body=body), encoding="utf-8")
        with Recorder(tmp_path / f"{name}.bin", f"{stub}:{name}") as remote:
            for each in cases:
                try:
                    remote.ask(each)
                except RemoteError:
                    continue
        opened.append(Answers(tmp_path / f"{name}.bin"))
        return opened[-1]

    ask.folder = tmp_path
    yield ask
    for each in opened:
        each.close()


def test_every_answer_is_kept_as_it_was(asked):
    """An answer comes back bit by bit, under the line of its case, with who gave it; a case asked twice is kept once."""
    kept = asked("A", RIGHT, (*CASES, CASES[0]))
    assert kept.who["backend"] == "stub"
    assert len(kept.by_key) == len(CASES)
    assert [kept.array(one).ravel().tolist() for one in kept.by_key.values()][:2] == [[2, 4], [4]]


def test_the_same_answers_are_the_same(asked):
    """Two backends that answer alike differ in nothing."""
    told = compare(asked("A", RIGHT), asked("B", RIGHT))
    assert told.pop("different_bits")["cases"] == 0
    assert told == {"compared": 4, "newly_diverging": [], "newly_conforming": [], "newly_supported": [], "newly_unsupported": []}


def test_a_rounding_is_counted_with_its_size(asked):
    """Other bits within the bound are no change of verdict: they are counted, with the largest difference and its case."""
    told = compare(asked("A", RIGHT), asked("B", ROUNDED))
    assert told["newly_diverging"] == []
    assert told["different_bits"]["cases"] == 1
    assert told["different_bits"]["largest"] == float(np.spacing(np.float32(7 / 3)))
    assert "average" in told["different_bits"]["case"]


@pytest.mark.parametrize("body, said", [(WRONG, "expected"), (RAISES, "no kernel")])
def test_what_diverges_newly_is_told_with_its_smallest_case(asked, body, said):
    """A candidate that is wrong or raises where the baseline answered diverges newly; the other way round it conforms newly."""
    right, wrong = asked("A", RIGHT, CASES[:2]), asked("B", body, CASES[:2])
    told = compare(right, wrong)
    assert len(told["newly_diverging"]) == 2
    assert "4,3" in told["newly_diverging"][0]["case"]
    assert said in told["newly_diverging"][0]["message"].lower()
    assert len(compare(wrong, right)["newly_conforming"]) == 2


def test_a_file_that_is_cut_off_is_named(asked, capsys):
    """A truncated file of answers is an error that names it, never a shorter comparison."""
    asked("A", RIGHT)
    file = asked.folder / "A.bin"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(Truncated, match="cut off"):
        read(file)
    assert main([str(file), str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_a_file_of_something_else_is_named(tmp_path):
    """A file that holds no answers is refused."""
    (tmp_path / "other").write_text("{}", encoding="utf-8")
    with pytest.raises(Truncated, match="not a file of answers"):
        read(tmp_path / "other")


def test_the_command_prints_json(asked, capsys):
    """The command prints what `compare` returns."""
    asked("A", RIGHT)
    assert main([str(asked.folder / "A.bin")] * 2) == 0
    assert json.loads(capsys.readouterr().out)["compared"] == 4


@pytest.mark.parametrize(
    "was, now, change, rows",
    [
        (Verdict(), Verdict(known={"a"}), "newly_diverging", {"a"}),
        (Verdict(known={"a"}), Verdict(), "newly_conforming", {"a"}),
        (Verdict(known={"a"}), Verdict(known={"a", "b"}), "newly_diverging", {"b"}),
        (Verdict(known={"a"}), Verdict(known={"b"}), "newly_diverging", {"b"}),
        (Verdict(known={"a"}), Verdict(known={"a"}), "", set()),
        (Verdict(known={"a"}), Verdict(known={"a"}, wrong="1, got 2"), "newly_diverging", set()),
        (Verdict(wrong="1, got 2"), Verdict(), "newly_conforming", set()),
        (Verdict(wrong="1, got 2"), Verdict(known={"a"}), "", set()),
        (Verdict(wrong="1, got 2"), Verdict(wrong="1, got 3"), "", set()),
    ],
)
def test_a_known_deviation_is_a_verdict_of_its_own(was, now, change, rows):
    """Conforming, deviating in a known way and deviating otherwise are three things, and each row is one way."""
    assert was.change(now)[:2] == (change, rows)


def test_each_known_way_is_told_once():
    """Of many cases that deviate in one known way the first is told with their number, and no way hides another."""
    told = answers._shown([{"case": str(number), "message": "so", "known": ["a" if number < 30 else "b"]} for number in range(31)])
    assert [(entry["case"], entry["known"], entry["message"]) for entry in told] == [
        ("0", ["a"], "so (and 29 more cases)"),
        ("30", ["b"], "so"),
    ]


def test_apart_is_infinite_where_special_values_differ():
    """NaN against a number, or another shape, is an infinite difference; NaN against NaN is none."""
    nan, one = np.array([np.nan]), np.array([1.0])
    assert answers._apart(nan, one) == float("inf")
    assert answers._apart(nan, nan) == 0
    assert answers._apart(one, np.ones(2)) == float("inf")
