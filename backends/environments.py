"""From what a person writes to something that a backend runs in: an interpreter, and a checkout with the adapters.

    2f1c9e0, HEAD~3, main     a git revision of a checkout: its files, taken out into the cache
    ../other                  another checkout, as its files are now
    python3.12, env/bin/python    an interpreter that has NumPy and the framework
    "torch==2.12.0"           requirements: a virtual environment, built once, kept in the cache
    rev:NAME, path:NAME, python:NAME, pip:NAME    the same, where a word could mean two things

What a side does not say is taken from here: a revision runs under this interpreter, requirements get this
checkout's adapters. Whatever revision the adapters are of, the worker that runs them is this checkout's.
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("rev", "path", "python", "pip")
READY = ".ready"
"""The file that says that a cached thing is whole: an interrupted one has none, and is made anew."""
BASE = ("numpy", "ml-dtypes")
"""What a worker imports beside the backend's framework."""
Say = Callable[[str], None]


class Unclear(ValueError):
    """What a person wrote names nothing, or two things; the message says what would."""


class Unbuildable(Exception):
    """An environment that cannot be had: the message has the end of what the failing command said."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a backend runs: `python` with the package `backends` of `root`, and files of its own under `home`.

    `kind` is "revision", "path", "python" or "requirements"; `revision` the full name of a commit, if the files are
    one's. Two environments with one `identity` are the same.
    """

    label: str
    kind: str
    python: str
    root: Path
    home: Path
    revision: str = ""
    identity: str = ""

    def address(self, backend: str) -> str:
        """A backend's name there: a file of its own is the one under `home`, if it has it."""
        where, colon, attribute = backend.rpartition(":")
        if colon and where.endswith(".py") and (self.home / where).is_file():
            return f"{self.home / where}:{attribute}"
        return backend

    @property
    def variables(self) -> dict[str, str]:
        """What its processes need to find modules of a project that is not ours."""
        if self.home == self.root:
            return {}
        paths = [str(self.home), str(self.home / "src"), os.environ.get("PYTHONPATH", "")]
        return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def prepare(written: str, backend: str, *, checkout: Path, cache: Path, say: Say, build: str = "") -> Environment:
    """The environment that is meant, built if it is not there yet; `checkout` is what revisions are of.

    `build` is a shell command that a revision's files need before they run, in their folder: "python setup.py build_ext --inplace".

    Raises:
        Unclear: it names nothing, or two things.
        Unbuildable: it cannot be built.
    """
    kind, name = classify(written, checkout)
    if kind == "rev":
        return _revision(written, name, checkout, cache, say, build)
    if kind == "path":
        return _path(written, Path(name).resolve())
    if kind == "python":
        return _interpreter(written, name)
    return _requirements(written, name, backend, cache, say)


def classify(written: str, checkout: Path) -> tuple[str, str]:
    """(kind, name) of a side: its prefix says, or there is only one thing that it can be.

    Raises:
        Unclear: there is none, or more than one.
    """
    prefix, colon, rest = written.partition(":")
    if colon and prefix in KINDS:
        return prefix, rest
    found = []
    path = Path(written)
    if written and path.is_dir() and (os.sep in written or written in (".", "..") or (path / ".git").exists()):
        found.append("path")
    elif path.is_file() and os.access(path, os.X_OK) or (re.fullmatch(r"python[\d.]*", written) and shutil.which(written)):
        found.append("python")
    if not found and commit_of(written, checkout):
        found.append("rev")
    if not found and re.search(r"[=<>!~@\[]", written):
        with contextlib.suppress(InvalidRequirement):
            _parsed(written)
            found.append("pip")
    if not found:
        raise Unclear(
            f"{written!r}: no revision of {checkout}, no folder, no interpreter and no requirement with a version; "
            f"expected one of these, or one with a prefix: {', '.join(f'{kind}:…' for kind in KINDS)}"
        )
    return found[0], written


# --- revisions and paths ------------------------------------------------------------------------


def git(checkout: Path, *arguments: str) -> str | None:
    """What git says about a checkout; None if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit_of(name: str, checkout: Path) -> str | None:
    """The full name of a commit; None if nothing is called so."""
    if not name or name.startswith("-"):
        return None
    return git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _revision(written: str, name: str, checkout: Path, cache: Path, say: Say, build: str) -> Environment:
    commit = commit_of(name, checkout)
    if commit is None:
        shallow = git(checkout, "rev-parse", "--is-shallow-repository") == "true"
        hint = "; this is a shallow clone: fetch its history (actions/checkout: fetch-depth: 0)" if shallow else ""
        raise Unclear(f"{name!r}: {checkout} has no such revision{hint}")
    home = cache / "revisions" / (f"{commit}-{hashlib.sha256(build.encode()).hexdigest()[:8]}" if build else commit)
    with _building(home) as missing:
        if missing:
            say(f"{written}: taking {commit[:10]} out of {checkout}")
            try:
                with tempfile.TemporaryFile() as packed:
                    command = ["git", "-C", str(checkout), "archive", "--format=tar", commit]
                    subprocess.run(command, stdout=packed, stderr=subprocess.PIPE, check=True)
                    packed.seek(0)
                    with tarfile.open(fileobj=packed) as files:
                        files.extractall(home, filter="data")
            except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
                said = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else str(error)
                raise Unbuildable(f"{written}: cannot take {commit[:10]} out of {checkout}: {said.strip()}") from error
            if build:
                say(f"{written}: {build}")
                path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
                _command(["sh", "-c", build], written, say, cwd=home, env={**os.environ, "PATH": path})
    return Environment(
        label=written,
        kind="revision",
        python=sys.executable,
        root=_adapters(home),
        home=home,
        revision=commit,
        identity=f"revision {commit}",
    )


def _path(written: str, home: Path) -> Environment:
    if not home.is_dir():
        raise Unclear(f"{written!r}: there is no folder {home}")
    commit = commit_of("HEAD", home) or ""
    # A calibration that was just written changes nothing of what is measured.
    clean = bool(commit) and git(home, "status", "--porcelain", "--", ".", ":!benchmarks/calibrations") == ""
    identity = f"revision {commit}" if clean else f"path {home}"
    return Environment(
        label=written, kind="path", python=sys.executable, root=_adapters(home), home=home,
        revision=commit + ("" if clean else "+changes") if commit else "", identity=identity,
    )  # fmt: skip


def _adapters(home: Path) -> Path:
    """The checkout whose package `backends` is asked: that one, or this where another project's has none of ours."""
    return home if (home / "backends" / "interface.py").is_file() else ROOT


# --- interpreters and requirements --------------------------------------------------------------


def _interpreter(written: str, name: str) -> Environment:
    found = shutil.which(name)
    if found is None:
        raise Unclear(f"{written!r}: there is no interpreter {name}")
    # Not resolved: the interpreter of a virtual environment is a link, and its name says which environment.
    python = str(Path(found).absolute())
    try:
        subprocess.run(
            [python, "-c", f"import {', '.join(BASE).replace('-', '_')}"], capture_output=True, text=True, check=True, timeout=120
        )
    except subprocess.CalledProcessError as error:
        raise Unbuildable(f"{written}: {python} lacks what a worker needs ({', '.join(BASE)}): {_end(error.stderr, 1)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unbuildable(f"{written}: {python} does not run: {error}") from error
    return Environment(label=written, kind="python", python=python, root=ROOT, home=ROOT, identity=f"python {python}")


def _parsed(written: str) -> list[Requirement]:
    return [Requirement(part.strip()) for part in re.split(r"\n|,(?=\s*[A-Za-z])|(?<=[\d*])\s+(?=[A-Za-z])", written) if part.strip()]


def _requirements(written: str, name: str, backend: str, cache: Path, say: Say) -> Environment:
    try:
        given = _parsed(name)
    except InvalidRequirement as error:
        raise Unclear(f"{written!r}: not a requirement: {error}") from error
    named = {canonicalize_name(requirement.name) for requirement in given}
    rest = [other for other in _ours(backend) if canonicalize_name(Requirement(other).name) not in named]
    wanted = [*map(str, given), *rest]
    pins = [line for line in _constraints() if canonicalize_name(Requirement(line).name) not in named]
    version = ".".join(map(str, sys.version_info[:3]))
    key = hashlib.sha256("\n".join([version, sys.executable, *sorted(wanted), "", *pins]).encode()).hexdigest()[:16]
    home = cache / "environments" / key
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with _building(home) as missing:
        if missing:
            say(f"{written}: building an environment of {', '.join(wanted)} (once: it is kept in {home})")
            _command([sys.executable, "-m", "venv", str(home)], written, say)
            listed = home / "constraints.txt"
            listed.write_text("\n".join(pins) + "\n", encoding="utf-8")
            install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
            try:
                _command([*install, "--constraint", str(listed), *wanted], written, say)
            except Unbuildable as error:
                # What was asked for may need another version of a neighbour than the one that is pinned here.
                if "onflict" not in str(error):
                    raise
                say(f"{written}: this project's pins contradict it; the rest is whatever fits")
                _command([*install, *wanted], written, say)
    return Environment(label=written, kind="requirements", python=str(python), root=ROOT, home=ROOT, identity=f"requirements {key}")


def _ours(backend: str) -> list[str]:
    """What a worker of that backend needs, by pyproject.toml: NumPy and the extra of its framework."""
    project = _project()
    wanted = [line for line in project["dependencies"] if canonicalize_name(Requirement(line).name) in BASE]
    return [*wanted, *project["optional-dependencies"].get(backend.partition(":")[0], ())]


def _project() -> Mapping[str, Any]:
    # Python 3.10 has no tomllib; the two tables that are read have one plain form, which a test holds.
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    try:
        import tomllib
    except ImportError:
        return _plain_toml(text)
    return tomllib.loads(text)["project"]


def _plain_toml(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"optional-dependencies": {}}
    section = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    found["dependencies"] = re.findall(r'^\s*"([^"]+)"', section.group(1), re.MULTILINE) if section else []
    extras = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", text, re.DOTALL | re.MULTILINE)
    for name, values in re.findall(r"^([\w-]+) = \[(.*)\]", extras.group(1) if extras else "", re.MULTILINE):
        found["optional-dependencies"][name] = re.findall(r'"([^"]+)"', values)
    return found


def _constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in (line.partition("#")[0].strip() for line in lines) if line]


# --- building -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _building(home: Path) -> Iterator[bool]:
    """Whether a cached thing is missing; if so it is built in the block, by one process at a time."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with (home.parent / f"{home.name}.lock").open("w") as lock:
            _lock(lock)
            missing = not (home / READY).is_file()
            if missing and home.exists():
                shutil.rmtree(home)
            yield missing
            if missing:
                (home / READY).touch()
    except OSError as error:
        raise Unbuildable(f"cannot write to the cache {home.parent}: {error}") from error


def _lock(file: io.TextIOBase) -> None:
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _command(command: Sequence[str], what: str, say: Say, **where: Any) -> None:
    """Run a command that takes its time, and tell what it does.

    Raises:
        Unbuildable: it fails.
    """
    start, said = time.monotonic(), []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace", start_new_session=True, **where
        ) as process:  # fmt: skip
            try:
                for line in process.stdout or ():
                    said.append(line)
                    if line.startswith(("Collecting", "Downloading", "Building", "Installing")):
                        say(f"{what}: {time.monotonic() - start:.0f} s: {line.strip()[:100]}")
            except BaseException:
                _kill(process)
                raise
        errors.seek(0)
        failed = errors.read()
    if process.returncode:
        raise Unbuildable(f"{what}: {' '.join(command[1:5])} … failed ({process.returncode}): {_end(failed or ''.join(said))}")


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process that leads a session, with all that it started: a shell's compiler, what pip builds in."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _end(text: str, lines: int = 12) -> str:
    return "\n".join([line for line in text.strip().splitlines() if line.strip()][-lines:])
