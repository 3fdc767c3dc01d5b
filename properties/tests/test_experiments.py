"""The image experiments as a whole: their verdicts, what they leave behind, and the command."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from properties import experiments
from properties.steps import Options, Steps
from properties.tests import strangers
from properties.tests.lab import FRAMEWORKS, Defective, asking
from reports import record

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="scikit-image is not installed: it ships the photographs"),
    pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed: it fits the probes"),
]

ROOT = Path(__file__).resolve().parents[2]
STRANGERS = Path(strangers.__file__)
NAMED = {experiment.name: experiment for experiment in experiments.EXPERIMENTS}
VERDICTS = {
    "filter-detect-condense": True,
    "repeated-pooling": True,
    "shifted-circle": False,
    "average-beside-max": True,
    "global-average": True,
    "linear-probe": True,
    "shift-changes-map": True,
    "shift-changes-mean": True,
    "shift-changes-decision": None,
}
QUICK = ("filter-detect-condense", "repeated-pooling", "average-beside-max", "global-average", "shift-changes-mean")


@pytest.mark.parametrize("name", NAMED)
def test_every_experiment_reaches_its_verdict(name: str, tmp_path: Path) -> None:
    """Each experiment on NumPy records its verdict, finite numbers with units, and figures whose arrays are all there."""
    with record.Writer(tmp_path) as writer:
        line, error = experiments.run(NAMED[name], asking().backend, Options(), writer)
    (kept,) = record.load(tmp_path).experiments
    assert error is None and kept.holds is VERDICTS[name] and kept.sentence == line.sentence and kept.claim == NAMED[name].claim
    assert (
        all(math.isfinite(number["value"]) and number["unit"] for number in kept.numbers.values()) and kept.numbers["digest"]["value"] > 0
    )
    with np.load(tmp_path / kept.arrays, allow_pickle=False) as file:
        about = json.loads(str(file["about"][()]))
        drawn = {panel["array"] for figure in about["figures"] for row in figure.get("rows", []) for panel in row}
        drawn |= {line["array"] for figure in about["figures"] for chart in figure.get("panels", []) for line in chart["lines"]}
        assert drawn <= set(file.files)
        assert about["figures"] and about["digests"] and {"name", "licence"} <= set.union({"name", "licence"}, *map(set, about["sources"]))
        assert sum(file[key].nbytes for key in file.files) < 1_000_000


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_frameworks_compute_the_same_maps(name: str, framework: str) -> None:
    """An experiment finds the same digests and the same verdict on each framework as on NumPy."""
    sound, asked = asking(), asking(framework)
    found = [NAMED[name].measure(steps, Options()) for steps in (sound, asked)]
    assert asked.digests == sound.digests
    assert found[0].holds is found[1].holds is VERDICTS[name]


@pytest.mark.parametrize("name", QUICK)
def test_a_defective_backend_is_flagged(name: str) -> None:
    """A backend whose pooled maps have one wrong element leaves other digests than a sound one."""

    def spoil(pooled: np.ndarray) -> np.ndarray:
        wrong = pooled.copy()
        wrong[(0,) * pooled.ndim] += 1
        return wrong

    sound, defective = asking(), Steps(Defective(spoil))
    NAMED[name].measure(sound, Options())
    NAMED[name].measure(defective, Options())
    assert defective.digests.keys() == sound.digests.keys() and defective.digests != sound.digests


@pytest.mark.parametrize("name", ["filter-detect-condense", "repeated-pooling", "average-beside-max", "global-average"])
def test_a_claim_can_fail(name: str) -> None:
    """On a backend that answers with one number for all, no claim about pooling holds."""
    assert NAMED[name].measure(Steps(Defective(lambda pooled: np.full_like(pooled, -1))), Options()).holds is False


def test_what_a_stranger_cannot_do_is_said(tmp_path: Path) -> None:
    """A stranger that knows max pooling alone runs what needs no more; the rest is recorded with the reason."""
    with record.Writer(tmp_path) as writer:
        for name in ("repeated-pooling", "global-average"):
            assert experiments.run(NAMED[name], strangers.Sound(), Options(), writer)[1] is None
    merged, summarised = record.load(tmp_path).experiments
    assert merged.holds is True
    assert summarised.holds is None and summarised.arrays is None
    assert summarised.sentence == "Not run: sound: not in its capabilities: average pooling."


def test_a_backend_that_raises_is_recorded(tmp_path: Path) -> None:
    """An exception in the middle of an experiment is recorded with its text, and handed back."""

    def refuse(pooled: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of paper")

    with record.Writer(tmp_path) as writer:
        _, error = experiments.run(NAMED["repeated-pooling"], Defective(refuse), Options(), writer)
    assert isinstance(error, RuntimeError)
    assert record.load(tmp_path).experiments[0].sentence == "Broke: RuntimeError: out of paper"


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    """An adapter that returns another shape breaks the experiment, which says which shape was expected."""
    with record.Writer(tmp_path) as writer:
        line, _ = experiments.run(NAMED["global-average"], Defective(lambda pooled: pooled[..., 0]), Options(), writer)
    assert line.sentence.startswith("Broke: Nonconformity: shape (1, 8, 1): expected (1, 8, 1, 1)")


def command(*arguments: str) -> subprocess.CompletedProcess:
    """The command, run in the checkout."""
    done = [sys.executable, "-m", "properties.experiments", *arguments]
    return subprocess.run(done, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_runs_what_it_can(tmp_path: Path) -> None:
    """A backend that cannot be loaded, and one that dies, are recorded as such; the next one still runs, and the exit status is 1."""
    mortal = tmp_path / "mortal.py"
    mortal.write_text(
        "import os, signal\nfrom properties.tests.strangers import Sound\n\n\nclass Mortal(Sound):\n    name = 'mortal'\n\n"
        "    def reduce(self, windows, case):\n        os.kill(os.getpid(), signal.SIGFPE)\n"
    )
    chosen = [f"--backend={name}" for name in (f"{STRANGERS}:NeedsNothing", f"{mortal}:Mortal", f"{STRANGERS}:Sound")]
    done = command(*chosen, "--only", "repeated-pooling", "--records", str(tmp_path))
    kept = record.load(tmp_path)
    assert done.returncode == 1, done.stderr
    assert [line.status for line in kept.loadings] == ["missing"]
    died, sound = kept.experiments
    assert died.holds is None and "signal:SIGFPE" in died.sentence
    assert sound.holds is True
    assert "[ 3/3]" in done.stdout and "the claim holds" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--backend", "nunpy"], "unknown backend 'nunpy'; choose from"),
        (["--weights", "nowhere.h5"], "--weights nowhere.h5: there is no such file"),
        (["--only", "alchemy"], "invalid choice: 'alchemy'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A backend, a file or an experiment that does not exist is a usage error that names it, and records nothing."""
    with pytest.raises(SystemExit) as ended:
        experiments.main([*arguments, "--records", str(tmp_path / "records")])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "records").exists()
