"""What a gate leaves: `gate.json` with all that was measured and the verdict, and each side as pytest-benchmark's own JSON.

`gate.schema.json` describes the first. The second lets pytest-benchmark's `compare` and `histogram`, and whatever else reads
its files, look at the same blocks; and it is what a later run accepts as a stored baseline.
"""

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_benchmark.stats import Stats

from benchmarks import gate_calibration
from benchmarks.gate_calibration import Calibration
from benchmarks.gate_data import ROLES, SCHEMA, Invalid, Machine, Pair, Quad, Run, Side, Uncovered
from benchmarks.gate_decide import compared
from benchmarks.gate_verdict import Verdict

GATE = "gate.json"
SCHEMA_FILE = Path(__file__).with_name("gate.schema.json")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What stood in a `gate.json`: the run, and the verdict and calibration as they were written."""

    run: Run
    verdict: Mapping[str, Any]
    calibration: Mapping[str, Any] | None


def content(run: Run, verdict: Verdict, calibration: Calibration | None = None) -> dict[str, Any]:
    """What is written into `gate.json`; a number without bound is null there."""
    told = {"status": verdict.status, **dataclasses.asdict(verdict)}
    known = gate_calibration.content(calibration, verdict.rule) if calibration else None
    return _finite({"kind": "gate", "schema": SCHEMA, "run": dataclasses.asdict(run), "verdict": told, "calibration": known})


def write(run: Run, verdict: Verdict, folder: Path, calibration: Calibration | None = None) -> Path:
    """Write `gate.json` into the folder; a reader meets a whole file or none.

    Raises:
        OSError: it cannot be written; what stood there before still does.
    """
    return _written(folder / GATE, content(run, verdict, calibration))


def read(path: Path) -> Kept:
    """What a `gate.json` holds.

    Raises:
        Invalid: it is truncated, foreign, of another schema, or holds what cannot have been measured.
    """
    found = load(path, "gate.json")
    if found.get("kind") != "gate":
        raise Invalid(f"{path}: not a gate.json: kind={found.get('kind')!r}")
    schema = found.get("schema")
    if schema != SCHEMA:
        newer = isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA
        hint = "a newer gate wrote it: use that one" if newer else "not one that any gate wrote"
        raise Invalid(f"{path}: schema {schema!r}, and this gate reads {SCHEMA}: {hint}")
    if wrong := _against_schema(found):
        raise Invalid(f"{path}: {wrong}")
    try:
        return Kept(run=_run(found["run"]), verdict=found["verdict"], calibration=found["calibration"])
    except (ValueError, TypeError, KeyError) as error:
        raise Invalid(f"{path}: {error}") from error


def load(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        Invalid: there is none.
    """
    try:
        found = json.loads(path.read_bytes(), parse_constant=_no_constant)
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise Invalid(f"{path}:{error.lineno}: not JSON, or cut off: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path}: not {what}: {error}") from error
    if not isinstance(found, dict):
        raise Invalid(f"{path}: not {what}: {type(found).__name__}, expected an object")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that was measured")


def _against_schema(found: Mapping[str, Any]) -> str | None:
    # Only who reads a file needs it; the gate itself starts without.
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    worst = jsonschema.exceptions.best_match(validator.iter_errors(found))
    return f"{worst.json_path}: {worst.message[:300]}" if worst else None


def _run(found: Mapping[str, Any]) -> Run:
    facts = dict(found)
    facts["machine"] = Machine(**facts["machine"])
    facts["sides"] = tuple(Side(**side) for side in facts["sides"])
    facts["uncovered"] = tuple(Uncovered(**event) for event in facts["uncovered"])
    facts["pairs"] = tuple(Pair(**{**pair, "quads": tuple(Quad(**quad) for quad in pair["quads"])}) for pair in facts["pairs"])
    return Run(**facts)


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor tuples as keys; what has no bound is null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _written(path: Path, found: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        beside.write_text(json.dumps(found, allow_nan=False) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return path


# --- pytest-benchmark's ---------------------------------------------------------------------------


def write_sides(run: Run, folder: Path) -> list[Path]:
    """Each side as pytest-benchmark's JSON: `gate-baseline.json` and `gate-candidate.json`; a stored side is not written again.

    Raises:
        OSError: one cannot be written.
    """
    sides = [side for side in run.sides if side.kind != "stored"]
    return [_written(folder / f"gate-{side.role}.json", side_content(run, side)) for side in sides]


def side_content(run: Run, side: Side) -> dict[str, Any]:
    """One side in pytest-benchmark's schema: `stats.data` are the seconds a call of each block, in the order of `extra_info`'s lists."""
    return {
        "machine_info": _machine_info(run, side),
        "commit_info": {"id": side.revision or None, "dirty": None, "branch": side.label, "project": "poolproof"},
        "benchmarks": [_benchmark(one.workload, one.stages, side) for one in compared(run.pairs)],
        "datetime": run.started,
        "version": version("pytest-benchmark"),
    }


def _benchmark(workload: str, stages: Mapping[int, tuple[Pair, ...]], side: Side) -> dict[str, Any]:
    blocks = [
        (pair, number, quad.order, place, seconds, wall)
        for pairs in stages.values()
        for pair in pairs
        for number, quad in enumerate(pair.quads)
        for place, (seconds, wall) in enumerate(zip(quad.blocks(side.role), quad.blocks(side.role, wall=True), strict=True))
    ]
    stats = Stats()
    for _, _, _, _, seconds, _ in blocks:
        stats.update(seconds)
    first = blocks[0][0]
    extra = {
        "gate": SCHEMA, "workload": workload, "backend": side.backend, "version": side.version, "role": side.role, "metric": first.metric,
        "threads": 1, "iterations": first.iterations,
        "stage": [pair.stage for pair, *_ in blocks], "pair": [pair.number for pair, *_ in blocks],
        "quad": [number for _, number, *_ in blocks], "order": [order for _, _, order, *_ in blocks],
        "cpu": [seconds for *_, seconds, _ in blocks] if first.metric == "cpu" else [], "wall": [wall for *_, wall in blocks],
        "checksum": sorted({pair.checksums[ROLES.index(side.role)] for pair, *_ in blocks}),
    }  # fmt: skip
    return {
        "group": workload, "name": workload, "fullname": f"benchmarks.gate::{workload}", "params": None, "param": None, "extra_info": extra,
        "options": {"disable_gc": True, "timer": first.metric, "min_rounds": 1, "max_time": 0.0, "min_time": 0.0, "warmup": True},
        "stats": {**stats.as_dict(), "data": list(stats.data), "iterations": first.iterations},
    }  # fmt: skip


def _machine_info(run: Run, side: Side) -> dict[str, Any]:
    described = dict(run.machine.description)
    system = platform.uname()
    return {
        "node": run.machine.fingerprint, "processor": described.get("cpu", ""), "machine": system.machine, "system": system.system,
        "release": system.release, "python_implementation": platform.python_implementation(), "python_version": side.python,
        "cpu": {"brand_raw": described.get("cpu", ""), "arch": system.machine, "count": described.get("usable cores", 0)},
        "poolproof": {
            **described, "fingerprint": run.machine.fingerprint, "packages": dict(side.packages), "partial": run.partial,
            "workloads": list(run.workloads),
        },
    }  # fmt: skip
