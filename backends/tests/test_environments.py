import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from backends import environments
from backends.environments import ROOT, Environment, Unbuildable, Unclear, classify, prepare


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A repository of somebody else's with two commits of one file."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        (folder / "kernel.py").write_text(f"VERSION = {number}\n", encoding="utf-8")
        git(folder, "add", "kernel.py")
        git(folder, "commit", "--quiet", "-m", str(number))
    return folder


@pytest.fixture
def made(project, tmp_path):
    """What prepares a side of that project: the environment, and what was said meanwhile."""
    told = []

    def make(written, backend="numpy", **options):
        return prepare(written, backend, checkout=project, cache=tmp_path / "cache", say=told.append, **options)

    make.told = told
    return make


def test_a_revision_is_its_files(made, project):
    """A revision's files are taken out as they were, whatever lies in the checkout now."""
    (project / "kernel.py").write_text("broken(", encoding="utf-8")
    environment = made("HEAD~1")
    assert (environment.home / "kernel.py").read_text(encoding="utf-8") == "VERSION = 1\n"
    assert (environment.kind, environment.revision) == ("revision", git(project, "rev-parse", "HEAD~1"))
    assert (environment.python, environment.root) == (sys.executable, ROOT)


def test_a_revision_is_taken_out_once(made):
    """What was built stays in the cache, and is used again."""
    assert made("HEAD").home == made("main").home
    assert len(made.told) == 1


def test_what_was_interrupted_is_built_anew(made):
    """A cached folder that is not whole is not trusted."""
    home = made("HEAD").home
    (home / environments.READY).unlink()
    (home / "kernel.py").unlink()
    assert (made("HEAD").home / "kernel.py").is_file()


def test_a_revision_can_be_built(made):
    """A build command runs in the revision's own folder, with this interpreter first, once for each command."""
    environment = made("HEAD", build="python -c \"import kernel; open('built', 'w').write(str(kernel.VERSION))\"")
    assert (environment.home / "built").read_text() == "2"
    assert not (made("HEAD").home / "built").exists()


def test_a_build_that_fails_says_why(made):
    """A build that fails names the revision and has the end of what was said; nothing half-built is kept."""
    with pytest.raises(Unbuildable, match=r"HEAD: .*\(3\): (?s:.*)no compiler here"):
        made("HEAD", build="echo no compiler here >&2; exit 3")
    with pytest.raises(Unbuildable):
        made("HEAD", build="echo no compiler here >&2; exit 3")


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
def test_a_build_that_is_stopped_leaves_nobody(tmp_path):
    """Whatever a command had started ends with it when the build is interrupted."""
    alive, held = os.pipe()

    def interrupt(_):
        raise KeyboardInterrupt

    script = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], pass_fds=[int(sys.argv[1])])"
    command = [sys.executable, "-c", f"{script}; print('Building', flush=True); time.sleep(600)", str(held)]
    try:
        with pytest.raises(KeyboardInterrupt):
            environments._command(command, "it", interrupt, pass_fds=[held])
    finally:
        os.close(held)
    # The other end is closed once nobody has it any more.
    with os.fdopen(alive, "rb") as pipe:
        assert select.select([pipe], [], [], 60)[0]


def test_the_same_revision_by_two_names_is_the_same(made, project):
    """Two ways to write one thing have one identity; a path with changes is not its revision."""
    assert made("HEAD").identity == made("main").identity == made(str(project)).identity
    (project / "benchmarks" / "calibrations").mkdir(parents=True)
    (project / "benchmarks" / "calibrations" / "machine.json").write_text("{}", encoding="utf-8")
    assert made(str(project)).identity == made("HEAD").identity, "a calibration changes nothing of what is measured"
    (project / "kernel.py").write_text("VERSION = 3\n", encoding="utf-8")
    assert made(str(project)).identity != made("HEAD").identity
    assert made(str(project)).revision.endswith("+changes")


def test_this_checkout_brings_its_own_adapters(tmp_path):
    """A checkout that has our package is asked for its own adapters, another project for ours."""
    (tmp_path / "backends").symlink_to(ROOT / "backends")
    environment = prepare(f"path:{tmp_path}", "numpy", checkout=ROOT, cache=tmp_path / "cache", say=print)
    assert (environment.root, environment.variables) == (tmp_path, {})


def test_a_file_of_the_side_is_the_one_that_is_asked(made):
    """FILE.py:Name means the side's own file where it has one; modules of the side can be imported."""
    environment = made("HEAD~1")
    assert environment.address("kernel.py:Mine") == f"{environment.home / 'kernel.py'}:Mine"
    assert environment.address("other.py:Mine") == "other.py:Mine"
    assert environment.address("torch:compile") == "torch:compile"
    assert environment.variables["PYTHONPATH"].split(os.pathsep)[0] == str(environment.home)


@pytest.mark.parametrize(
    "written, kind",
    [
        ("HEAD", "rev"), ("main", "rev"), ("rev:anything", "rev"), (".", "path"), ("path:x", "path"), (sys.executable, "python"),
        ("python:x", "python"), ("numpy==2.3.5", "pip"), ("torch>=2.11,<2.14", "pip"), ("jax[cpu]==0.10, numpy==2.4", "pip"), ("pip:numpy", "pip"),
    ],
)  # fmt: skip
def test_a_side_is_what_it_can_only_be(project, written, kind):
    """What a person writes is recognised, or said by a prefix."""
    assert classify(written, project)[0] == kind


@pytest.mark.parametrize("written", ["nothing-of-this", "numpy", "-n", "--output=x", "a b", ""])
def test_what_names_nothing_is_refused(project, written):
    """What could be anything, or an option of git, is refused with what was expected."""
    with pytest.raises(Unclear, match="expected one of these"):
        classify(written, project)


def test_several_requirements_are_told_apart():
    """A comma between versions belongs to one requirement, a comma before a name begins another."""
    assert [str(one) for one in environments._parsed("torch>=2.11,<2.14, numpy==2.4")] == ["torch<2.14,>=2.11", "numpy==2.4"]


def test_an_interpreter_without_numpy_is_refused(tmp_path):
    """An interpreter that lacks what a worker needs is named, with what it said."""
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'No module named numpy' >&2\nexit 1\n", encoding="utf-8")
    bare.chmod(0o755)
    with pytest.raises(Unbuildable, match="No module named numpy"):
        prepare(str(bare), "numpy", checkout=ROOT, cache=tmp_path, say=print)


def test_requirements_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    """An environment that pip cannot make ends with the end of what pip said, and is tried again next time."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Unbuildable, match="No matching distribution"):
        prepare("numpy==0.0.1", "numpy", checkout=ROOT, cache=tmp_path, say=print)
    assert not list(tmp_path.glob(f"*/*/{environments.READY}"))


def test_requirements_are_built_once(tmp_path, monkeypatch):
    """The key of an environment is all that decides its content; one that is whole is not built again."""
    commands = []

    def record(command, *_, **__):
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            Path(command[3]).mkdir(parents=True)

    monkeypatch.setattr(environments, "_command", record)
    first = prepare("numpy==2.3.5", "numpy", checkout=ROOT, cache=tmp_path, say=print)
    assert len(commands) == 2
    assert commands[1][-2:] == ["numpy==2.3.5", "ml-dtypes>=0.5"]
    pins = (tmp_path / "environments" / first.identity.split()[1] / "constraints.txt").read_text(encoding="utf-8")
    assert "numpy==" not in pins
    assert "ml-dtypes==" in pins.replace("_", "-")
    assert prepare("numpy==2.3.5", "numpy", checkout=ROOT, cache=tmp_path, say=print) == first
    assert len(commands) == 2
    assert prepare("numpy==2.3.4", "numpy", checkout=ROOT, cache=tmp_path, say=print).identity != first.identity


def test_a_framework_comes_with_its_backend(tmp_path, monkeypatch):
    """Requirements of one package bring the rest of what the backend needs, by pyproject.toml."""
    commands = []
    monkeypatch.setattr(
        environments, "_command", lambda command, *_, **__: commands.append(command) or Path(command[-1]).mkdir(parents=True, exist_ok=True)
    )
    monkeypatch.chdir(tmp_path)
    prepare("numpy==2.3.5", "torch:compile", checkout=ROOT, cache=tmp_path, say=print)
    assert any(word.startswith("torch") for word in commands[1])


def test_pyproject_is_read_alike_without_tomllib():
    """Python 3.10 reads the same dependencies as the others."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib to compare with")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project, plain = tomllib.loads(text)["project"], environments._plain_toml(text)
    assert plain["dependencies"] == project["dependencies"]
    assert plain["optional-dependencies"] == project["optional-dependencies"]


def test_a_cache_that_cannot_be_written_is_named(project):
    """A cache folder that cannot be made is an error with its path."""
    with pytest.raises(Unbuildable, match="cannot write to the cache /dev/null"):
        prepare("HEAD", "numpy", checkout=project, cache=Path("/dev/null/cache"), say=print)


def test_environments_are_values():
    """An environment cannot be changed after it was made."""
    environment = Environment(label="x", kind="path", python="python", root=ROOT, home=ROOT)
    with pytest.raises(AttributeError):
        environment.label = "y"
