"""The porting table: one pooling, said in each framework, and run before it is printed.

    python -m properties.porting                                   every framework that is installed
    python -m properties.porting --framework torch --framework onnx --records DIR

Each row of `properties/ways.py` is run in a process of its framework's own, on inputs of odd and even
sides, and held against the definition within its error bounds. It leaves one line of kind "porting" in
the records. The exit status is 0 unless a row did not give what it promises (1), the command line is
wrong (2), or it was interrupted (130). Of a framework that is not installed nothing is recorded.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.compare import Nonconformity, assert_conforms
from backends.interface import Case
from properties.ways import FRAMEWORKS, WAYS, Way
from reports import record

CHANNELS_LAST = {"tensorflow"}
DISTRIBUTIONS = {"onnx": "onnxruntime"}
"""What runs a framework's code, where that is another package."""
TIME_LIMIT = 300.0
"""Seconds for all rows of one framework, its import included."""


def inputs(way: Way) -> list[np.ndarray]:
    """What a row is tried on, `(N, C, *spatial)` in float32: negatives alone, ties, and numbers of very different sizes."""
    arrays = []
    for seed, shape in enumerate(way.shapes):
        chance = np.random.default_rng(seed)
        arrays.append(chance.integers(-9, 0, shape).astype(np.float32))
        arrays.append(chance.normal(size=shape).astype(np.float32))
        arrays.append((chance.normal(size=shape) * 10.0 ** chance.integers(-6, 7, shape)).astype(np.float32))
    return arrays


def check(framework: str, ways: Sequence[Way] = WAYS) -> list[record.Porting]:
    """Run a framework's rows and say of each whether it gave the definition's answers; none if it is not installed."""
    package = DISTRIBUTIONS.get(framework, framework)
    if importlib.util.find_spec(package) is None:
        return []
    answers, failure = _run(framework, ways)
    version = importlib.metadata.version(package)
    return [_line(way, framework, failure or _wrong(way, answers[way.name]), version) for way in ways]


def _line(way: Way, framework: str, wrong: str | None, version: str) -> record.Porting:
    return record.Porting(
        way=way.name, title=way.title, framework=framework, version=version, imports=FRAMEWORKS[framework],
        code=way.code[framework], own=framework in way.own, verified=wrong is None,
        text=" ".join(filter(None, (wrong, way.notes.get(framework)))),
    )  # fmt: skip


def _wrong(way: Way, answers: list[Any]) -> str | None:
    """What is wrong with a row's answers; None if nothing is."""
    for x, answer in zip(inputs(way), answers, strict=True):
        if isinstance(answer, str):
            return f"It raised on an input of shape {x.shape}: {answer}"
        try:
            # JAX has 32-bit indices unless told otherwise; an index is the same number in either.
            assert_conforms(Case(spec=way.spec, x=x, output=way.output), answer.astype(np.int64) if way.output == "indices" else answer)
        except Nonconformity as error:
            return f"It differs on an input of shape {x.shape}: {error}"
    return None


def _run(framework: str, ways: Sequence[Way]) -> tuple[dict[str, list[Any]], str | None]:
    """A framework's answers by row, each an array `(N, C, *out)` or the exception's text; or why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "inputs.npz", Path(folder) / "answers.npz"
        np.savez(paths[0], **{f"{way.name} {i}": x for way in ways for i, x in enumerate(inputs(way))})  # type: ignore[arg-type]
        (Path(folder) / "code.json").write_text(json.dumps({way.name: way.code[framework] for way in ways}))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "properties.porting", "--run", framework, folder],
                cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=TIME_LIMIT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {}, f"It took longer than {TIME_LIMIT:.0f} s."
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
            return {}, f"Its process ended with status {done.returncode}: {last}."
        with np.load(paths[1], allow_pickle=False) as file:
            return {way.name: [_read(file, f"{way.name} {i}") for i in range(len(inputs(way)))] for way in ways}, None


def _read(file: Any, key: str) -> Any:
    return str(file[f"error {key}"]) if f"error {key}" in file.files else file[key]


def run_here(framework: str, folder: Path) -> None:
    """Run a framework's rows in this process; what `_run` starts. Files are those that it wrote, and `answers.npz`."""
    names: dict[str, Any] = {"np": np}
    exec(FRAMEWORKS[framework], names)
    if framework == "onnx":
        names |= {name: _operator(name) for name in OPERATORS}
    module, function = {
        "torch": ("torch", "tensor"),
        "tensorflow": ("tf", "constant"),
        "jax": ("jnp", "asarray"),
        "onnx": ("np", "asarray"),
    }[framework]
    give = getattr(names[module], function)
    codes = json.loads((folder / "code.json").read_text())
    answers: dict[str, Any] = {}
    with np.load(folder / "inputs.npz", allow_pickle=False) as file:
        for key in file.files:
            x = file[key]
            scope = names | {"x": give(np.moveaxis(x, 1, -1) if framework in CHANNELS_LAST else x)}
            try:
                exec(codes[key.rpartition(" ")[0]], scope)
                y = np.asarray(scope["y"])
                answers[key] = np.moveaxis(y, -1, 1) if framework in CHANNELS_LAST else y
            except Exception as error:  # whatever a row raises is that row's
                answers[f"error {key}"] = traceback.format_exception_only(error)[-1].strip()
    np.savez(folder / "answers.npz", **answers)


def _operator(name: str) -> Any:
    """An ONNX operator as a function of arrays and attributes: a model of one node, run by onnxruntime.

    Imported here since ONNX is a column of the table and no backend: no adapter would have it, and only the process of its rows does.
    """
    import onnx
    import onnxruntime

    def call(*arrays: np.ndarray, outputs: int = 1, **attributes: Any) -> Any:
        given = {f"x{i}": np.asarray(array) for i, array in enumerate(arrays)}
        made = [f"y{i}" for i in range(outputs)]
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node(name, list(given), made, **attributes)],
            "one",
            [helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for key, a in given.items()],
            [helper.make_empty_tensor_value_info(key) for key in made],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        answers = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)
        return answers[0] if outputs == 1 else answers

    return call


OPERATORS = ("AveragePool", "Div", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool", "Mod", "Mul")
OPSET = 22
"""The newest of pooling: ceil mode and LpPool are what the table says from here on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is in the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m properties.porting", description="Check and record the porting table.")
    parser.add_argument("--framework", action="append", choices=FRAMEWORKS, help="this framework; repeatable (default: all)")
    parser.add_argument("--records", type=Path, default=record.DEFAULT_FOLDER, metavar="DIR", help="where to record (default: %(default)s)")
    parser.add_argument("--run", nargs=2, metavar=("FRAMEWORK", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.run:
        run_here(chosen.run[0], Path(chosen.run[1]))
        return 0
    broken = 0
    with record.Writer(chosen.records) as writer:
        for framework in chosen.framework or FRAMEWORKS:
            lines = check(framework)
            wrong = [line for line in lines if not line.verified]
            for line in lines:
                writer.append(line)
            said = (
                f"{lines[0].version}: {len(lines) - len(wrong)} of {len(lines)} ways of pooling verified" if lines else "is not installed"
            )
            print(f"{framework} {said}", flush=True)
            for line in wrong:
                print(f"{framework}: {line.way} does not give what it promises. {line.text}", file=sys.stderr, flush=True)
            broken += len(wrong)
    print(f"Recorded in {chosen.records}.")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted: what was finished is recorded.", file=sys.stderr)
        sys.exit(130)
