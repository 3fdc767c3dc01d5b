import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends.environments import ROOT, Environment
from benchmarks import gate_meaning
from benchmarks.gate_data import Invalid
from benchmarks.gate_worker import Contender

STRANGERS = Path(__file__).with_name("gate_strangers.py")
HERE = Environment(label=".", kind="path", python=sys.executable, root=ROOT, home=ROOT)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gate needs Linux")


@pytest.fixture(autouse=True, scope="module")
def few_laws():
    """Three laws say as much here as fifty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_meaning, "LAWS", ("properties/test_equivalence.py", "-m", "law"))
        yield


class Told:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def compared(folder, *names, told=None):
    sides = zip(("baseline", "candidate"), names, strict=True)
    contenders = [Contender(role=role, backend=f"{STRANGERS}:{name}", environment=HERE) for role, name in sides]
    return gate_meaning.compare(contenders, folder, told or Told())


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """What changes from a backend that keeps NaN to one that drops it."""
    return compared(tmp_path_factory.mktemp("meaning"), "Plain", "Forgetful")


def test_a_law_that_fails_now_is_told_with_its_smallest_case(changed):
    """Newly diverging: the law, the smallest case that it shrank to, and what came instead."""
    laws = {entry["law"]: entry for entry in changed["newly_diverging"] if entry["law"]}
    assert "values" in laws
    assert "nan" in laws["values"]["case"].lower()
    assert len(laws["values"]["case"]) < 200
    assert changed["newly_conforming"] == changed["problems"] == []


def test_cases_that_both_were_asked_are_counted(changed):
    """The two sides are asked the same cases."""
    assert changed["compared"] > 10


def test_what_conforms_now_is_told(tmp_path):
    """The other way round the same laws conform newly, which is no fault."""
    found = compared(tmp_path, "Forgetful", "Plain")
    assert "values" in [entry["law"] for entry in found["newly_conforming"]]
    assert found["newly_diverging"] == []


def test_what_can_be_asked_no_more_is_told(tmp_path):
    """A capability that the candidate does not declare any more, and each law that it could be put to, is newly unsupported."""
    found = compared(tmp_path, "Plain", "Narrow")
    assert "max, layouts: channels_last" in [entry["message"] for entry in found["newly_unsupported"]]
    assert found["newly_supported"] == []


@pytest.mark.parametrize("names", [("Torch", "NextTorch"), ("NextTorch", "Torch")])
def test_what_is_known_of_one_version_alone_is_no_change(tmp_path, names):
    """Two versions that answer bit by bit alike mean the same, though only one is known to deviate so."""
    found = compared(tmp_path, *names)
    assert found["compared"] > 10
    assert found["newly_diverging"] == found["newly_conforming"] == found["problems"] == []
    assert not found["different_bits"]["cases"]


@pytest.mark.parametrize("names, change", [(("MendedTorch", "Torch"), "newly_diverging"), (("Torch", "MendedTorch"), "newly_conforming")])
def test_what_deviates_newly_in_a_known_way_is_told(tmp_path, names, change):
    """A case that conformed and deviates now as is known of it diverges newly; the other way round it conforms newly."""
    found = compared(tmp_path, *names)
    (entry,) = found[change]
    assert entry["known"] == ["torch-index-last-nan"]
    assert "nan" in entry["case"]
    assert [name for name in ("newly_diverging", "newly_conforming") if found[name]] == [change]


def test_a_law_that_had_no_time_to_fail_is_no_change():
    """What the other side fails as well, asked that very case, is not new; what it does not fail is."""
    line = "max sliding kernel=2 stride=1 values channels_first x=float32:1,1,2:"
    found = {"newly_diverging": [{"law": "values", "case": f"{line}{values}"} for values in ("nan,1", "1,2")], "problems": []}
    gate_meaning._alike(Contender(role="baseline", backend=f"{STRANGERS}:Forgetful", environment=HERE), "newly_diverging", (), found)
    assert [entry["case"] for entry in found["newly_diverging"]] == [f"{line}1,2"]
    assert found["problems"] == []


def test_a_side_that_cannot_be_asked_is_no_verdict(tmp_path):
    """A side that does not load ends the comparison, with what loading it said."""
    with pytest.raises(Invalid, match=r"the candidate, \., does not start: .*libpooling"):
        compared(tmp_path, "Plain", "Unloadable")


def test_laws_that_do_not_run_to_their_end_are_a_problem(tmp_path, monkeypatch):
    """A run of the laws that breaks off leaves the comparison incomplete."""
    monkeypatch.setattr(gate_meaning, "LAWS", ("properties", "-m", "law", "-k", "no_law_has_this_name"))
    with pytest.raises(Invalid, match="cannot be asked"):
        compared(tmp_path, "Plain", "Plain")


def test_the_laws_say_how_far_they_are(tmp_path, monkeypatch):
    """Each side's laws are counted against how many there are, with the time that is left once both have begun."""
    monkeypatch.setattr(gate_meaning, "TOLD", 0.0)
    compared(tmp_path, "Plain", "Plain", told=(told := Told()))
    assert told.notes
    for role in ("baseline", "candidate"):
        assert f"3 of 3 of the {role}'s laws" in gate_meaning._far(tmp_path, 9.0)
    assert gate_meaning._far(tmp_path, 9.0).endswith("0:09, about 0:00 left")
    next(iter((tmp_path / "baseline").glob("*.jsonl"))).write_text('{"kind":"tally"}\n')
    assert gate_meaning._far(tmp_path, 9.0).startswith("conformance: 1 of 3 of the baseline's laws, 3 of 3")
    assert gate_meaning._far(tmp_path, 9.0).endswith("about 0:18 left")


def test_laws_end_with_the_gate(tmp_path):
    """A gate that is killed in the middle of the laws leaves no process of theirs behind."""
    script = (
        "import sys; from pathlib import Path; from benchmarks.tests import test_gate_meaning as here; "
        "here.compared(Path(sys.argv[1]), 'Plain', 'Plain')"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT) as gate:
        wait_until(lambda: len(list(tmp_path.glob("*/*.jsonl"))) == 2)
        assert running(tmp_path)
        gate.kill()
    wait_until(lambda: not running(tmp_path), 15)  # the laws would go on for a minute


def running(folder):
    """The processes whose command names a folder, the gate's own left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--records={folder}" in entry.read_text():
                found.append(entry.parent.name)
    return found


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    assert holds()
