"""Records of an imagined run, as every part of the suite would leave them: what the report's tests read.

Five backends: numpy conforms, torch and tensorflow deviate as is known, kernel.py:Pool deviates as
nobody has explained, jax is not installed.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reports.record import Environment, Line, Loading, Record, Tally, Writer, read_line

HERE = Environment(
    id="aaaa11112222",
    environment="aaaa11112222",
    created="2026-03-01T10:00:00+00:00",
    cpu="AMD EPYC",
    cores=2,
    memory=25_276_502_016,
    caches={"L1 data": "48K", "L2 unified": "1024K", "L3 unified": "32768K"},
    os="Linux 6.18 x86_64",
    python="CPython 3.11.7",
    packages={"numpy": "2.4.6", "torch": "2.13.0+cpu", "tensorflow": "2.21.0"},
    threads={"OMP_NUM_THREADS": "2", "usable cores": "2"},
    load=0.4,
)
ELSEWHERE = Environment(id="bbbb33334444", environment="bbbb33334444", created="2026-03-02T10:00:00+00:00", cpu="Neoverse-V2", cores=8)

VERSIONS = {"numpy": "2.4.6", "torch": "2.13.0", "torch:compile": "2.13.0", "tensorflow": "2.21.0", "kernel.py:Pool": "0.1"}
LAWS = {
    "conforms_to_the_definition": "Every answer is within its bound of the definition.",
    "max_is_an_element_of_its_window": "Every maximum is one of the elements that its window reads.",
    "gradient_mass_is_kept": "The gradient of a max adds up to its cotangent.",
}
WORKLOADS = {"resnet50.stem": "max", "vgg16.pool1": "max", "densenet121.transition": "average", "resnet50.head": "average"}
NAN_DROPPED = "tensorflow-max-drops-nan"
CRASH = "tensorflow-window-larger-than-input"
LAST_NAN = "torch-last-nan-index"


def capabilities(**changes: Any) -> dict[str, Any]:
    """What a backend declares for one reduction."""
    declared = {
        "windows": ["adaptive", "global", "sliding"],
        "ndims": [1, 2, 3],
        "dtypes": ["float32", "float64", "float16"],
        "layouts": ["channels_first", "channels_last"],
        "outputs": ["values", "indices", "gradient"],
        "paddings": ["valid", "same_upper", "symmetric"],
        "dilation": True,
        "ceil_mode": True,
        "count_include_pad": False,
        "divisor": False,
    }
    return declared | changes


def question(**changes: str) -> dict[str, str]:
    """What a case asks, attribute by attribute."""
    asked = {
        "reduction": "max",
        "windows": "sliding",
        "ndim": "2-D",
        "dtype": "float32",
        "layout": "channels_first",
        "output": "values",
        "padding": "valid",
        "dilation": "no",
        "ceil_mode": "no",
        "values": "finite",
    }
    return asked | changes


def observation(backend: str = "numpy", status: str = "conforms", **fields: Any) -> Record:
    """One answer; its case's text follows from what it asks, unless given."""
    asked = fields.setdefault("question", question())
    words = " ".join(value for name, value in asked.items() if name != "values")
    fields.setdefault("case", f"{words} x={asked['dtype']}:1,1,2,2:{'nan' if 'nan' in asked['values'] else '1'},0x3")
    fields.setdefault("law", "conforms_to_the_definition")
    return Record(backend=backend, version=VERSIONS.get(backend, "1"), status=status, **fields)


def conforming(backends: Iterable[str] = tuple(VERSIONS)) -> Iterator[Record]:
    """Each backend answers everyday questions well."""
    asked = itertools.product(
        ("max", "average"), ("1-D", "2-D"), ("float32", "float64", "float16"), ("channels_first", "channels_last"), ("values", "gradient")
    )
    for reduction, ndim, dtype, layout, output in asked:
        for backend, law in itertools.product(backends, LAWS):
            asks = question(reduction=reduction, ndim=ndim, dtype=dtype, layout=layout, output=output)
            yield observation(backend, law=law, question=asks)


def deviating() -> Iterator[Record | Mapping[str, Any]]:
    """What is known of torch and tensorflow, and what nobody has explained of the kernel."""
    nan = question(values="nan")
    yield observation("numpy", question=nan)
    for dtype in ("float32", "float64"):
        yield observation(
            "tensorflow", "diverges", question=nan | {"dtype": dtype}, divergence=NAN_DROPPED, expected="nan", actual="1.0", bound="0"
        )
    yield observation("torch", "diverges", question=nan | {"output": "indices"}, divergence=LAST_NAN, expected="0", actual="3", bound="0")
    yield observation("tensorflow", "crashed", question=question(bad_call="window larger than the input"), divergence=CRASH)
    yield observation("torch", "conforms", question=question(bad_call="window larger than the input"))
    for size in (40, 4):
        yield observation(
            "kernel.py:Pool",
            "diverges",
            case=f"average sliding kernel=3 stride=2 padding=same_lower x=float32:1,1,{size}:1...",
            question=question(reduction="average", ndim="1-D", padding="same_lower"),
            expected="1.0",
            actual="0.6666667",
            bound="1.19e-07",
            message="AssertionError: values differ: first at (0, 0, 0): expected 1.0, got 0.6666667, bound 1.19e-07",
            native="import kernel\nprint(kernel.average([1, 1, 1, 1], k=3, s=2))",
            seed=7,
        )
    yield {
        "kind": "divergence", "id": NAN_DROPPED, "backend": "tensorflow", "variants": ["", "xla"], "versions": ">=2.0", "verdict": "bug",
        "smallest": "max sliding kernel=2,2 x=float32:1,1,2,2:nan,1,0,0", "observed": "1.0", "expected": "nan",
        "native": "import tensorflow as tf\nx = tf.constant([[[[float('nan')], [1.]], [[0.], [0.]]]])\n"
                  "print(tf.nn.max_pool2d(x, 2, 2, 'VALID'))",
        "description": "A NaN in the window of a max is dropped.", "documentation": "tf.math.maximum: NaN is propagated.",
        "upstream": "https://github.com/tensorflow/tensorflow/issues/12345", "since": "2.0",
    }  # fmt: skip
    yield {
        "kind": "divergence", "id": LAST_NAN, "backend": "torch", "variants": [""], "versions": ">=1.7", "verdict": "convention",
        "smallest": "max sliding kernel=2,2 indices x=float32:1,1,2,2:nan,0,0,nan", "observed": "3", "expected": "0",
        "description": "Of several NaNs in a window, the index of the last is returned.",
    }  # fmt: skip
    yield {
        "kind": "divergence", "id": CRASH, "backend": "tensorflow", "variants": [""], "versions": "==2.21.*", "verdict": "crash",
        "outcome": "signal:SIGFPE", "smallest": "max sliding kernel=3,3 x=float32:1,1,2,2:0x4", "observed": "SIGFPE",
        "expected": "an exception", "description": "A window larger than the input kills the process.",
    }  # fmt: skip


def around() -> Iterator[Line | Mapping[str, Any]]:
    """Loadings, gaps, tallies, experiments and the rest."""
    for backend, version in VERSIONS.items():
        can = {"max": capabilities(), "average": capabilities(outputs=["values", "gradient"])}
        yield Loading(backend=backend, version=version, status="loaded", device="cpu", capabilities=can, build={"threads": "2"})
    yield Loading(backend="jax", status="missing", message="ModuleNotFoundError: No module named 'jax'")
    for ndim in ("1-D", "2-D", "3-D"):
        yield {
            "kind": "gap", "backend": "torch", "reduction": "average", "reason": "cannot say: a dilated average has no argument",
            "question": {"ndim": ndim, "dilation": "yes"},
        }  # fmt: skip
    for backend, (law, claim) in itertools.product(VERSIONS, LAWS.items()):
        failed = backend == "kernel.py:Pool" and law == "conforms_to_the_definition"
        idle = backend == "kernel.py:Pool" and law == "gradient_mass_is_kept"
        yield Tally(
            law=law,
            claim=claim,
            backend=backend,
            status="failed" if failed else "not run" if idle else "passed",
            drawn=120,
            filtered=20,
            compared=0 if idle else 100,
            known=2 if backend == "tensorflow" else 0,
            seconds=0.4,
            message="every case was filtered" if idle else "",
        )
    for backend in ("numpy", "torch"):
        yield {
            "kind": "experiment", "experiment": "shifted-circle", "claim": "Small shifts disappear after four poolings.",
            "backend": backend, "holds": False, "sentence": "12 of 49 shifts leave the map unchanged after four max poolings.",
            "numbers": {"unchanged, max": {"value": 24.49, "unit": "%"}, "drift": {"value": math.nan, "unit": "cells"}},
            "arrays": f"experiment-shifted-circle-{backend}.npz",
        }  # fmt: skip
    for framework, code in (
        ("tensorflow", 'y = tf.nn.max_pool2d(x, 3, 2, "SAME")'),
        ("torch", "y = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-math.inf), 3, 2)"),
    ):
        yield {
            "kind": "porting", "way": "max-same", "title": "Max, 3×3, stride 2, SAME", "framework": framework, "version": "2.1",
            "code": code, "own": framework == "tensorflow", "verified": framework == "tensorflow", "imports": "import math",
            "text": "for even sides",
        }  # fmt: skip
    yield {"kind": "mutant", "mutant": "max-drops-nan", "family": "NaN", "killed_by": "conforms_to_the_definition", "seconds": 0.8}
    yield {"kind": "mutant", "mutant": "divisor-counts-overhang", "family": "divisor", "seconds": 12.0}
    yield {
        "kind": "mutant",
        "mutant": "max-drops-nan",
        "family": "NaN",
        "beside": "tensorflow",
        "known": "tf-max-drops-nan",
        "seconds": 3.0,
    }


def benchmarks(environment: str = HERE.id, rounds: int = 21, slow: float = 1.0) -> dict[str, Any]:
    """What pytest-benchmark writes for four workloads on torch, in both layouts, and on numpy."""
    entries = []
    for place, (workload, reduction) in enumerate(WORKLOADS.items(), 1):
        for backend, layout, factor in (
            ("numpy", "channels_first", 1.6), ("torch", "channels_first", 12.0), ("torch", "channels_last", 1.0),
            ("torch:compile", "channels_last", 0.5),
        ):  # fmt: skip
            median = 1e-3 * place * factor * slow
            data = [median * (1 + 0.002 * ((8 * number) % rounds - rounds // 2)) for number in range(rounds)]
            entries.append({
                "group": workload, "name": f"test_forward[{workload}-{backend}-{layout}]",
                "fullname": "benchmarks/test_speed.py::test_forward",
                "params": None, "param": None, "options": {"timer": "perf_counter"},
                "stats": {"data": data, "rounds": rounds, "median": median, "q1": median, "q3": median},
                "extra_info": {
                    "workload": workload, "backend": backend, "layout": layout, "output": "values", "reduction": reduction, "threads": 2,
                    "device": "cpu", "bytes": 8_000_000 * place, "copy_bandwidth": 10e9, "environment": environment,
                    "source": "torchvision",
                },
            })  # fmt: skip
    return {
        "machine_info": {"node": "host", "cpu": {"brand_raw": "AMD EPYC", "count": 2}, "python_version": "3.11.7", "system": "Linux"},
        "datetime": "2026-03-01T10:05:00+00:00",
        "version": "5.3.1",
        "benchmarks": entries,
    }


def experiment_arrays(path: Path, backend: str, amount: float = 0.0) -> None:
    """An experiment's arrays, in the convention of `properties/figures.py`, with one figure of each kind."""
    axis = {"label": "poolings", "unit": "", "array": "depth", "low": None, "high": None}
    share = {"label": "shifts with an unchanged map", "unit": "%", "array": None, "low": 0, "high": 100}
    about = {
        "experiment": "shifted-circle", "title": "The shifted circle", "claim": "Small shifts disappear.", "backend": backend,
        "sources": [{"name": "circle", "title": "A drawn circle", "author": "the suite", "licence": "CC0", "url": "https://example.org/"}],
        "digests": {"map": f"{int(amount * 1000):016x}"},
        "figures": [
            {"kind": "images", "title": "The circle and its maps", "caption": "Pooled 2×2.", "rows": [[
                {"array": "circle", "title": "input", "scale": "gray"}, {"array": "pooled", "title": "pooled once", "scale": "signed"},
            ]]},
            {"kind": "curves", "title": "Unchanged maps", "caption": "All 49 shifts.", "x": axis, "y": share, "panels": [
                {"title": "replicated border", "lines": [
                    {"array": "max", "title": "max", "low": "max low", "high": "max high"},
                    {"array": "average", "title": "average", "low": None, "high": None},
                ]},
            ]},
            {"kind": "heatmap", "title": "First depth without change", "caption": "", "array": "first",
             "x": {**axis, "label": "dx", "array": "shift"},
             "y": {**axis, "label": "dy", "array": "shift"}, "value": {**axis, "label": "depth", "array": None}, "names": {"5": "never"}},
            {"kind": "bars", "title": "Accuracy", "caption": "", "y": {**share, "label": "accuracy"},
             "bars": [{"title": "pooled", "value": 88.0, "low": 82.0, "high": 93.0},
                      {"title": "flat", "value": 90.0, "low": None, "high": None}],
             "references": [{"title": "chance", "value": 50.0}]},
        ],
    }  # fmt: skip
    circle = np.fromfunction(lambda y, x: 255.0 * (np.abs(np.hypot(y - 31.5, x - 31.5) - 28) < 1), (64, 64))
    np.savez_compressed(
        path,
        about=np.array(json.dumps(about)),
        circle=circle.astype(np.uint8),
        pooled=circle.reshape(32, 2, 32, 2).max((1, 3)).astype(np.float32) + np.float32(amount),
        depth=np.arange(5.0),
        shift=np.arange(-3.0, 4.0),
        max=np.array([2.0, 10, 14, 20, 24.49]),
        average=np.array([2.0, 2, 2, 2, 4]),
        first=np.tile(np.arange(7.0) % 6, (7, 1)),
        **{"max low": np.array([1.0, 8, 12, 18, 20]), "max high": np.array([3.0, 12, 16, 22, 28])},
    )


def write(folder: Path, lines: Iterable[Line | Mapping[str, Any]], environment: Environment = HERE, name: str | None = None) -> None:
    """Append lines to a records file, as a run would."""
    with Writer(folder, name=name, environment=environment) as writer:
        for line in lines:
            writer.append(line if isinstance(line, Line) else read_line(line))


def whole_run(folder: Path, environment: Environment = HERE) -> None:
    """Everything that a complete run leaves in its folder."""
    write(folder, itertools.chain(around(), conforming(), deviating()), environment)
    (folder / f"bench-{environment.id}.json").write_text(json.dumps(benchmarks(environment.id)), encoding="utf-8")
    for backend in ("numpy", "torch"):
        experiment_arrays(folder / f"experiment-shifted-circle-{backend}.npz", backend)
