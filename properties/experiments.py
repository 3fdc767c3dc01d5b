"""The image experiments: what pooling does to a photograph, and what a small shift does to a pooled one.

    python -m properties.experiments                       every plain backend whose framework is installed
    python -m properties.experiments --backend numpy --backend torch --records DIR
    python -m properties.experiments --backend tensorflow --weights vgg16.h5 --only linear-probe

Each experiment runs through a backend's adapter, in a process of its own. It leaves one line of kind
"experiment" in the records (its claim, the numbers measured, a sentence made from them, whether the
claim holds) and beside it one .npz file of small arrays, in the convention of `properties/figures.py`.
The number "digest" is equal where two backends computed the very same maps. A claim that does not
hold is a result, not a failure: the exit status is 0 unless a backend could not be loaded or an
experiment broke (1), the command line is wrong (2), or it was interrupted (130).
"""

import argparse
import contextlib
import importlib.util
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import backends
from backends.interface import Backend, Unsupported
from backends.process import Remote
from properties import condensing, invariance, probing
from properties.steps import Experiment, Options, Steps, fingerprint
from reports import record

EXPERIMENTS = (
    condensing.CONDENSE,
    condensing.MERGE,
    invariance.CIRCLE,
    condensing.AVERAGED,
    condensing.SUMMARISE,
    probing.PROBE,
    invariance.CHANGE,
    invariance.MEAN,
    probing.CONSISTENCY,
)

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Maps this small are pooled twice as fast by one of PyTorch's threads as by two."""


def run(experiment: Experiment, backend: Backend, options: Options, writer: record.Writer) -> tuple[record.Experiment, Exception | None]:
    """Run one experiment on one backend and record it, with the exception that broke it, if one did.

    What a backend cannot be asked is recorded with the reason, and is no exception.
    """
    steps = Steps(backend)
    try:
        outcome = experiment.measure(steps, options)
    except Unsupported as reason:
        return _record(experiment, backend, writer, sentence=f"Not run: {reason}."), None
    except Exception as error:  # whatever a backend raises is its own result; the others still run
        return _record(experiment, backend, writer, sentence=f"Broke: {type(error).__name__}: {error}"), error
    numbers = dict(outcome.numbers)
    if steps.digests:
        numbers["digest"] = {"value": fingerprint(steps.digests), "unit": "48 bits of SHA-256"}
    file = f"experiment-{experiment.name}-{re.sub(r'[^A-Za-z0-9.]+', '-', backend.name)}-{writer.environment.id}.npz"
    about = {
        "experiment": experiment.name,
        "title": experiment.title,
        "claim": experiment.claim,
        "backend": backend.name,
        "sources": [source.credit() for source in outcome.sources],
        "digests": steps.digests,
    }
    outcome.album.save(writer.folder / file, about)
    return _record(experiment, backend, writer, sentence=outcome.sentence, holds=outcome.holds, numbers=numbers, arrays=file), None


def _record(experiment: Experiment, backend: Backend, writer: record.Writer, **found: object) -> record.Experiment:
    line = record.Experiment(experiment=experiment.name, claim=experiment.claim, backend=backend.name, **found)  # type: ignore[arg-type]
    writer.append(line)
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is in the module's docstring."""
    chosen = _parsed(arguments)
    experiments = [experiment for experiment in EXPERIMENTS if not chosen.only or experiment.name in chosen.only]
    options = Options(weights=chosen.weights)
    total, done, broken = len(chosen.backend) * len(experiments), 0, 0
    with record.Writer(chosen.records) as writer:
        for name in chosen.backend:
            try:
                # Its own process, so that a death or a hang costs one experiment; but VGG16 is only asked for in this one.
                backend: Any = backends.load(name) if chosen.in_process or chosen.weights else Remote(name, environment=ONE_THREAD)
            except (backends.BrokenBackend, backends.UnknownBackend) as failure:
                status = "missing" if "ModuleNotFoundError" in str(failure) else "broken"
                writer.append(record.Loading(backend=name, status=status, message=str(failure)))
                print(f"{name} is {status}: {failure}", file=sys.stderr, flush=True)
                done, broken = done + len(experiments), broken + 1
                continue
            with backend if isinstance(backend, Remote) else contextlib.nullcontext():
                for experiment in experiments:
                    done += 1
                    print(f"[{done:2}/{total}] {name} {experiment.name} ", end="", flush=True)
                    start = time.perf_counter()
                    line, error = run(experiment, backend, options, writer)
                    print(f"{time.perf_counter() - start:.1f} s: {_verdict(line)}. {line.sentence}", flush=True)
                    broken += error is not None
    print(f"Recorded in {chosen.records}.")
    return 1 if broken else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [experiment.name for experiment in EXPERIMENTS]
    parser = argparse.ArgumentParser(
        prog="python -m properties.experiments", description="Run the image experiments; record what they find."
    )
    add = parser.add_argument
    add("--backend", action="append", metavar="NAME", help="a backend by name; repeatable (default: each plain one that is installed)")
    add("--records", type=Path, default=record.DEFAULT_FOLDER, metavar="DIR", help="where to record (default: %(default)s)")
    add("--weights", type=Path, metavar="PATH", help="VGG16's weights without its top, for a backend that has the model")
    add("--only", action="append", choices=names, help="this experiment; repeatable")
    add("--in-process", action="store_true", help="ask backends in this process, for a debugger: a death ends the run")
    chosen = parser.parse_args(arguments)
    if chosen.weights is not None and not chosen.weights.is_file():
        parser.error(f"--weights {chosen.weights}: there is no such file")
    installed = [name for name in backends.adapters() if importlib.util.find_spec(name)]
    try:
        chosen.backend = [backends.known(name) for name in dict.fromkeys(chosen.backend or installed)]
    except backends.UnknownBackend as unknown:
        parser.error(f"--backend: {unknown}")
    return chosen


def _verdict(line: record.Experiment) -> str:
    if line.arrays is None:
        return "no result"
    return {True: "the claim holds", False: "the claim does not hold", None: "the data cannot tell"}[line.holds]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted: what was finished is recorded.", file=sys.stderr)
        sys.exit(130)
