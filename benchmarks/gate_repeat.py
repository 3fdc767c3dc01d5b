"""Many gates in a row: of the same against itself, and with a known slowdown. Each one's files stay, so a stopped series goes on."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import gate_calibration, gate_files
from benchmarks.gate_data import Invalid, Run, Usage
from benchmarks.gate_decide import decide
from benchmarks.gate_run import Plan
from benchmarks.gate_statistics import Rule
from benchmarks.gate_trials import Trial, calibrate, power, summary
from benchmarks.table import duration

Once = Callable[[Plan, Path], int]
"""Runs one gate, leaves its files in a folder and returns its exit status."""
STOPPED = 3


def effects(written: str) -> tuple[float, ...]:
    """The shares that `--power 3,5,10` names.

    Raises:
        Usage: one is not a positive number.
    """
    try:
        found = tuple(float(part) / 100 for part in written.split(","))
    except ValueError as error:
        raise Usage(f"--power {written}: expected per cents with commas between them") from error
    if not all(0 < share < 10 for share in found):
        raise Usage(f"--power {written}: expected per cents above 0 and under 1000")
    return found


def series(plan: Plan, once: Once, out: Path, *, nulls: int, shares: tuple[float, ...], trials: int) -> int:
    """Run what is not there yet of a series, and write the calibration that all of it makes; its exit status is 0 if it is whole.

    Raises:
        Usage: the folder has a series of something else.
        OSError: a file cannot be written.
    """
    plan = replace(plan, only="speed")
    _claim(out, plan)
    wanted = [(f"null-{number:03}", 0.0) for number in range(1, nulls + 1)]
    wanted += [(f"power-{100 * share:g}-{number:03}", share) for number in range(1, trials + 1) for share in shares]
    start = time.monotonic()
    left = [(name, share) for name, share in wanted if _kept(out / name) is None]
    for done, (name, share) in enumerate(left):
        one = replace(plan, injected=share, settings=replace(plan.settings, seed=plan.settings.seed + _seed(name)))
        _say(f"{name}: {len(wanted) - len(left) + done + 1} of {len(wanted)}" + _remaining(start, done, len(left)))
        once(one, out / name)
        if _kept(out / name) is None:
            _say(f"{name} did not run to its end; the same command goes on from here")
            return STOPPED
    return _conclude(plan, out)


def _conclude(plan: Plan, out: Path) -> int:
    nulls = list(_runs(out, "null-*"))
    if not nulls:
        _say(f"{out} has no null gate: --aa N runs some, and a calibration needs them")
        return STOPPED
    made = calibrate([run for _, run in nulls], max(run.finished or "" for _, run in nulls), plan.rule)
    made = replace(made, settings=plan.manner)
    trials = [
        Trial(effect=float(name.split("-")[1]) / 100, slowed=run.workloads, verdict=decide(run, made, rule=plan.rule))
        for name, run in _runs(out, "power-*")
    ]
    if trials:
        made = power(made, trials)
    print(summary(made, plan.rule))
    gate_calibration.write(made, out / "calibration.json", plan.rule)
    print(f"calibration: {_keep(made, plan.rule) or out / 'calibration.json'}")
    return 0


def _keep(made: gate_calibration.Calibration, rule: Rule) -> Path | None:
    """Put it where the gate looks for this machine's, unless what is there comes from more gates or knows other workloads."""
    path = gate_calibration.place(gate_calibration.FOLDER, made.machine, made.backend, made.settings)
    with contextlib.suppress(Invalid):
        known = gate_calibration.read(path)
        if known.gates > made.gates or not set(known.workloads) <= set(made.workloads):
            print(f"{path} says more ({known.gates} gates, {len(known.workloads)} workloads) and is kept: --calibration takes another")
            return None
    gate_calibration.write(made, path, rule)
    return path


# --- what is there already --------------------------------------------------------------------------


def _claim(out: Path, plan: Plan) -> None:
    """A folder is one series': gates of other sides or by other settings are not counted in."""
    told = {
        "sides": [[where.identity, backend] for where, backend in zip(plan.environments, plan.backends, strict=True)],
        "choice": [plan.choice.level, plan.choice.select, plan.choice.layout, list(plan.choice.outputs)], "seed": plan.settings.seed,
        "quads": plan.settings.quads,
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    file = out / "series.json"
    if file.exists():
        try:
            # A series from before they were told was measured by the usual number.
            known = {"quads": gate_calibration.Manner().quads, **json.loads(file.read_text(encoding="utf-8"))}
        except (ValueError, TypeError) as error:
            raise Usage(f"{file}: {error}; give another --out") from error
        if known != told:
            raise Usage(f"{out} has a series of something else ({known}); give another --out")
        return
    file.write_text(json.dumps(told) + "\n", encoding="utf-8")


def _kept(folder: Path) -> Run | None:
    try:
        run = gate_files.read(folder / gate_files.GATE).run
    except (Invalid, OSError):
        return None
    return None if run.partial else run


def _runs(out: Path, pattern: str) -> Iterator[tuple[str, Any]]:
    for folder in sorted(out.glob(pattern)):
        if run := _kept(folder):
            yield folder.name, run


def _seed(name: str) -> int:
    return int.from_bytes(name.encode()[-6:], "big") % 1_000_003


def _remaining(start: float, done: int, total: int) -> str:
    return f", about {duration((time.monotonic() - start) / done * (total - done))} left" if done else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
