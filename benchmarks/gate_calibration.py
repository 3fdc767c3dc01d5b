"""The noise of this machine: how far two comparisons of identical code lie apart, workload by workload, kept as a file.

A calibration holds for one machine and one backend, and says which. It is made by `--aa` and `--power`
(`gate_trials.py`), read by the gate and shown in the report.
"""

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gate_data import Invalid, Machine, Usage
from benchmarks.gate_statistics import Rule, detectable, least_visible, proportion
from benchmarks.gate_verdict import size

SCHEMA = 1
KIND = "gate-calibration"
FOLDER = Path(__file__).with_name("calibrations")


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Of one workload: standard deviations of the log-ratio, of `pairs` pairs of identical code and of runs one after the other.

    `sequential` is 0 where fewer than three runs were recorded.
    """

    deviation: float
    pairs: int
    sequential: float = 0.0
    runs: int = 0

    def __post_init__(self) -> None:
        for name in ("deviation", "sequential"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{name}={value!r}: expected a finite standard deviation")
        for name, least in (("pairs", 3), ("runs", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: expected at least {least}")


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a gate measures, as far as its noise depends on it; a file that does not say was measured by the defaults.

    `layout` is "" where the baseline chose. What is asked beside values is a workload of its own, so `outputs` are only told.
    """

    quads: int = 32
    layout: str = ""
    outputs: tuple[str, ...] = ("values",)

    def __post_init__(self) -> None:
        if isinstance(self.quads, bool) or not isinstance(self.quads, int) or self.quads < 1:
            raise ValueError(f"quads={self.quads!r}: expected at least 1")
        object.__setattr__(self, "outputs", tuple(self.outputs))

    def fits(self, other: "Manner") -> bool:
        """Whether the noise of one is that of the other."""
        return (self.quads, self.layout) == (other.quads, other.layout)

    def __str__(self) -> str:
        return f"{self.quads} quads, {self.layout or 'either layout'}"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """So many of so many."""

    found: int
    trials: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What null gates and known slowdowns said on one machine, for one backend.

    `states` counts the null gates by their verdict. `swapped` counts how often the recorded pairs, decided again with
    sides swapped at random, gave a red run, by how they were swapped. `power` is, by effect ("5" is 5 %) and workload, how
    often a known slowdown was found; `reversed` how often it was called an improvement. `sequential` counts how often
    pytest-benchmark's own rules would have been red on the same runs. `settings` are what all of it was measured by, and holds for.
    """

    machine: Machine
    backend: str
    created: str
    workloads: Mapping[str, Noise]
    states: Mapping[str, int] = field(default_factory=dict)
    swapped: Mapping[str, Tally] = field(default_factory=dict)
    power: Mapping[str, Mapping[str, Tally]] = field(default_factory=dict)
    sequential: Mapping[str, Tally] = field(default_factory=dict)
    reversed: int = 0
    notes: tuple[str, ...] = ()
    settings: Manner = field(default_factory=Manner)
    schema: int = SCHEMA

    def deviation(self, workload: str) -> float | None:
        """The standard deviation of one pair's log-ratio; None for a workload that was not calibrated."""
        noise = self.workloads.get(workload)
        return noise.deviation if noise else None

    @property
    def gates(self) -> int:
        """How many null gates there were."""
        return sum(self.states.values())


def require_threshold(threshold: float, calibration: Calibration | None, workloads: Iterable[str], rule: Rule | None = None) -> None:
    """Refuse a threshold (a share) that a user asks for and that lies under what this machine can tell from noise.

    Without a calibration nothing under the default is accepted: nobody knows then what the machine can tell.

    Raises:
        Usage: it is too low; the message has the number that is not.
    """
    given = rule or Rule()
    if not given.delta < threshold < math.inf:
        raise Usage(f"threshold {threshold!r}: expected more than {size(given.delta)}, which the layout of memory alone can do")
    if calibration is None:
        if threshold < given.threshold:
            raise Usage(f"threshold {size(threshold)}: under {size(given.threshold)} only on a machine that is calibrated: run --aa first")
        return
    for workload in workloads:
        deviation = calibration.deviation(workload)
        if deviation is None and threshold < given.threshold:
            raise Usage(f"threshold {size(threshold)}: {workload} was not calibrated; under {size(given.threshold)} it must be: run --aa")
        if deviation is not None:
            floor = least_visible(deviation, given.pairs[1], replace(given, threshold=math.nextafter(given.delta, 1)))
            if threshold < floor:
                least = f"{math.ceil(1e4 * floor) / 100:.2f} %"
                raise Usage(
                    f"threshold {size(threshold)}: the noise of {workload} on this machine allows {least} at least; "
                    "give that, or leave the workload out with -k"
                )


def detectable_effects(calibration: Calibration, rule: Rule | None = None) -> dict[str, float]:
    """The smallest slowdown (a share) that is found 95 times in 100, by workload; infinite where none is."""
    return {name: detectable(noise.deviation, rule or Rule()) for name, noise in calibration.workloads.items()}


def content(calibration: Calibration, rule: Rule | None = None) -> dict[str, Any]:
    """A calibration with what follows from it, for readers that have no statistics.

    "alarms" says how many null gates went red, and with 95 % confidence under which share do; "detectable" is by workload the
    smallest slowdown that is found 95 times in 100, null where none is.
    """
    red, gates = calibration.states.get("regression", 0), calibration.gates
    alarms = {"red": red, "gates": gates, "bound": proportion(red, gates)[1] if gates else None}
    visible = {name: share if math.isfinite(share) else None for name, share in detectable_effects(calibration, rule).items()}
    return {"kind": KIND, **asdict(calibration), "alarms": alarms, "detectable": visible}


# --- machines -----------------------------------------------------------------------------------


def this_machine(cpu: str = "") -> Machine:
    """Where this process runs."""
    described = machine.describe()
    return machine_of({"cpu": cpu or cpu_name(), "architecture": platform.machine(), **described})


def machine_of(description: Mapping[str, Any]) -> Machine:
    """A machine by its description: what decides a time beside the code and does not change from run to run makes the fingerprint."""
    deciding = {name: description.get(name, "unknown") for name in ("cpu", "architecture", "usable cores", "caches", "virtual machine")}
    text = json.dumps(deciding, sort_keys=True, default=str)
    return Machine(fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16], description=dict(description))


def cpu_name() -> str:
    """The processor as the system names it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


# --- files --------------------------------------------------------------------------------------


def place(folder: Path, where: Machine, backend: str, settings: Manner | None = None) -> Path:
    """The file of this machine and backend in a folder of calibrations; what is measured otherwise than usual has one of its own."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in backend)
    given = settings or Manner()
    how = "" if given.fits(Manner()) else f"-{given.quads}-quads" + (f"-{given.layout}" if given.layout else "")
    return folder / f"{where.fingerprint}-{plain}{how}.json"


def write(calibration: Calibration, path: Path, rule: Rule | None = None) -> None:
    """Keep it; a reader meets a whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content(calibration, rule), indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def read(path: Path, where: Machine | None = None, backend: str | None = None, settings: Manner | None = None) -> Calibration:
    """A calibration from its file, held against the machine, the backend and the settings that it is to be used for.

    Raises:
        Invalid: it is truncated, foreign, of a newer schema, or of another machine or backend or other settings.
    """
    try:
        found = json.loads(path.read_bytes(), parse_constant=_no_constant)
        if not isinstance(found, dict) or found.pop("kind", None) != KIND:
            raise Invalid(f"{path}: not a calibration of this gate; --aa makes one")
        if found.get("schema") != SCHEMA:
            raise Invalid(f"{path}: schema {found.get('schema')!r}, and this gate reads {SCHEMA}: calibrate again with --aa")
        made = _made(found)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror or error}") from error
    except Invalid:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid(f"{path}: not a whole calibration: {type(error).__name__}: {error}") from error
    if where is not None and made.machine.fingerprint != where.fingerprint:
        theirs, ours = (one.description.get("cpu", "unknown") for one in (made.machine, where))
        raise Invalid(
            f"{path}: calibrated on another machine ({made.machine.fingerprint}, {theirs}), and this one is {where.fingerprint}, {ours}: "
            "run --aa here"
        )
    if backend is not None and made.backend != backend:
        raise Invalid(f"{path}: calibrated for {made.backend}, not for {backend}: run --aa with it")
    if settings is not None and not made.settings.fits(settings):
        raise Invalid(f"{path}: calibrated with {made.settings}, and this gate measures {settings}: run --aa with the same options")
    return made


def find(where: Machine, backend: str, folders: Sequence[Path] | None = None, settings: Manner | None = None) -> Calibration | None:
    """The calibration of this machine, backend and settings in the first folder that has one (`FOLDER` unless said), or None.

    Raises:
        Invalid: there is one, and it cannot be read.
    """
    for folder in (FOLDER,) if folders is None else folders:
        if (path := place(folder, where, backend, settings)).exists():
            return read(path, where, backend, settings or Manner())
    return None


def _made(content: dict[str, Any]) -> Calibration:
    workloads = {str(name): Noise(**noise) for name, noise in content.pop("workloads").items()}
    power = {effect: {name: _tally(tally) for name, tally in table.items()} for effect, table in content.pop("power").items()}
    swapped, sequential = ({name: _tally(tally) for name, tally in content.pop(key).items()} for key in ("swapped", "sequential"))
    states = {str(name): int(number) for name, number in content.pop("states").items()}
    where = Machine(**content.pop("machine"))
    notes = tuple(map(str, content.pop("notes", ())))
    settings = Manner(**content.pop("settings", {}))
    for derived in ("alarms", "detectable"):
        content.pop(derived, None)
    return Calibration(
        machine=where, workloads=workloads, power=power, swapped=swapped, sequential=sequential, states=states, notes=notes,
        settings=settings, **content
    )  # fmt: skip


def _tally(content: Mapping[str, Any]) -> Tally:
    tally = Tally(**content)
    if not 0 <= tally.found <= tally.trials:
        raise ValueError(f"{tally.found} of {tally.trials}")
    return tally


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
