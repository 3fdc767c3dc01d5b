"""The gate's command line: what is asked, one run of it, and how it ends."""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from backends import adapters, available
from backends.environments import ROOT, Environment, Unbuildable, Unclear, prepare
from backends.interface import LAYOUTS, OUTPUTS
from benchmarks import gate_baseline, gate_calibration
from benchmarks.gate_again import of_plan, tool
from benchmarks.gate_data import GateError, Usage
from benchmarks.gate_end import clear, flushed, leave, refuse
from benchmarks.gate_live import Live
from benchmarks.gate_repeat import effects, series
from benchmarks.gate_run import Gate, Plan, require_platform
from benchmarks.gate_sides import Choice, default_candidate, merge_base
from benchmarks.gate_statistics import Rule
from benchmarks.gate_worker import QUADS, Settings

OUT = Path("out/gate")
NO_VERDICT = 3


class Interrupted(BaseException):
    """The run was told to end."""


def run(text: str, arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return its exit status, which is 0 for a passed comparison alone. `text` is the help."""
    given = _parser(text).parse_args(arguments)
    asked = sys.argv[1:] if arguments is None else arguments
    try:
        require_platform()
        with _interruptible():
            status = _ended(given, asked)
    except GateError as error:
        status = _refused(error, given, asked)
    except Interrupted:
        status = NO_VERDICT
    told = [flushed(stream) for stream in (sys.stderr, sys.stdout)]
    return status if all(told) else NO_VERDICT


def _ended(given: argparse.Namespace, asked: Sequence[str]) -> int:
    try:
        return _do(given)
    except (Exception, Interrupted, KeyboardInterrupt) as error:
        with _uninterrupted():
            return _refused(error, given, asked)


def _do(given: argparse.Namespace) -> int:
    out = given.out.resolve()
    many = bool(given.aa or given.power)
    if not many:
        clear(out)
    plan = make_plan(given)
    if many:
        shares = effects(given.power) if given.power else ()

        def once(one: Plan, folder: Path) -> int:
            return gate(one, folder, given, quiet=True)

        return series(plan, once, out, nulls=given.aa or 0, shares=shares, trials=given.trials)
    return gate(plan, out, given)


def gate(plan: Plan, out: Path, given: argparse.Namespace, *, quiet: bool = False) -> int:
    """Run one gate, leave its files in `out`, and return its exit status; `given` is what was asked for beside the plan.

    Raises:
        Usage: the plan chooses nothing.
        OSError: there can be no such folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    interrupted: BaseException | None = None
    with Live() as live:
        running = Gate(plan, live)
        try:
            running.look()
            if plan.only != "meaning":
                running.speed()
            if plan.only != "speed":
                running.answers(out)
            running.finish()
        except Usage:
            raise
        except (Interrupted, KeyboardInterrupt) as error:
            interrupted = error
            running.notes.append("interrupted")
        except Exception as error:
            if not isinstance(error, GateError | OSError):
                traceback.print_exc()
            running.notes.append(f"stopped: {error or type(error).__name__}")
    with _uninterrupted():
        run = running.run()
        with contextlib.redirect_stdout(sys.stderr if quiet else sys.stdout):
            verdict = leave(run, running.judged(run), out, plan.calibration, of_plan(plan, run, given, out))
    if interrupted and quiet:
        raise interrupted
    return verdict.status


# --- what is asked ------------------------------------------------------------------------------


def make_plan(given: argparse.Namespace) -> Plan:
    """What the command line asks for, with both environments built.

    Raises:
        Usage: it contradicts itself, or this machine.
        Unclear: a side names nothing.
        Unbuildable: a side cannot be built.
    """
    for name in ("null", "aa", "power"):
        if getattr(given, name) and given.baseline:
            raise Usage(f"--{name} compares the candidate with itself: leave --baseline out")
    for name in ("aa", "trials", "quads"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            raise Usage(f"--{name} {getattr(given, name)}: expected at least 1")
    for name in ("limit", "start_limit"):
        if not getattr(given, name) > 0:
            raise Usage(f"--{name.replace('_', '-')} {getattr(given, name):g}: expected a positive number of seconds")
    null = bool(given.null or given.aa or given.power)
    if not 0 <= given.inject < 1000:
        raise Usage(f"--inject {given.inject:g}: expected a per cent from 0 to under 1000")
    checkout = given.checkout.resolve()
    backends = (_named(given.baseline_backend or given.backend), _named(given.candidate_backend or given.backend))
    candidate = given.candidate or default_candidate()
    baseline = candidate if null else given.baseline or merge_base(checkout)
    stored = _stored(baseline, backends[0])
    if stored and given.only != "speed":
        raise Usage(f"a stored baseline has times and no answers to compare: give --only speed with {baseline}")
    if stored and backends[0] != backends[1]:
        raise Usage(f"{baseline} is of {backends[0]}: it is no baseline of {backends[1]}")
    environments = _environments((candidate if stored else baseline, candidate), backends, checkout, given)
    same = not stored and environments[0].identity == environments[1].identity and backends[0] == backends[1]
    if same and not null and not given.inject:
        raise Usage(
            f"baseline {baseline!r} and candidate {candidate!r} are the same, {environments[0].identity}: there is nothing to compare "
            "(--null compares the same on purpose)"
        )
    rule = Rule() if given.threshold is None else _rule(given.threshold)
    plan = Plan(
        environments=environments, backends=backends, only=given.only, rule=rule, injected=given.inject / 100, stored=stored,
        threshold=None if given.threshold is None else given.threshold / 100,
        choice=Choice(
            level=given.level or ("all" if given.select else "quick"), select=given.select, layout=given.layout or "",
            outputs=tuple(given.output or ("values",)),
        ),
        settings=Settings(seed=given.seed, quads=given.quads, limit=given.limit, start_limit=given.start_limit),
    )  # fmt: skip
    return _calibrated(plan, given.calibration)


def _environments(
    sides: tuple[str, str], backends: tuple[str, str], checkout: Path, given: argparse.Namespace
) -> tuple[Environment, Environment]:
    def told(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    baseline, candidate = (
        replace(
            prepare(str(checkout) if side == "." else side, backend, checkout=checkout, cache=given.cache, say=told, build=given.build),
            label=side,
        )
        for side, backend in zip(sides, backends, strict=True)
    )
    return baseline, candidate


def _named(backend: str) -> str:
    """The name, if it can be one: whether a side has such a file or module is known when it is started."""
    where, colon, attribute = backend.rpartition(":")
    if backend in available() or (colon and attribute and where not in adapters()):
        return backend
    raise Usage(f"--backend {backend}: choose from {', '.join(available())}, FILE.py:Name or package.module:Name")


def _stored(side: str, backend: str) -> gate_baseline.Baseline | None:
    if not side.endswith(".json"):
        return None
    return gate_baseline.read(Path(side), gate_calibration.this_machine(), backend)


def _rule(percent: float) -> Rule:
    try:
        return replace(Rule(), threshold=percent / 100)
    except ValueError as error:
        raise Usage(f"--threshold {percent:g}: {error}") from error


def _calibrated(plan: Plan, file: Path | None) -> Plan:
    """The plan with this machine's noise: of that file, or else the one that is kept for what is measured so."""
    where, backend = gate_calibration.this_machine(), plan.backends[0]
    if file:
        return replace(plan, calibration=gate_calibration.read(file, where, backend, plan.manner))
    if found := gate_calibration.find(where, backend, settings=plan.manner):
        return replace(plan, calibration=found)
    if other := gate_calibration.find(where, backend):
        told = f"this machine is calibrated with {other.settings}, and this gate measures {plan.manner}: nothing of that is used"
        return replace(plan, notes=(told,))
    return plan


def _parser(text: str) -> argparse.ArgumentParser:
    opening, _, rest = text.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate", usage="%(prog)s [--baseline SIDE] [--candidate SIDE] [--backend NAME] [option ...]",
        description=opening.partition(": ")[2].capitalize(), epilog=rest, allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=130),
    )  # fmt: skip
    add = parser.add_argument
    add("--baseline", metavar="SIDE", help="what to compare with")
    add("--candidate", metavar="SIDE", help="what to judge")
    add("--backend", default="numpy", metavar="NAME", help="which backend: ours, FILE.py:Name or package.module:Name (default numpy)")
    add("--baseline-backend", metavar="NAME", help="where the baseline's is another")
    add("--candidate-backend", metavar="NAME", help="where the candidate's is another")
    add("--checkout", type=Path, default=ROOT, metavar="DIR", help="the repository that revisions are of (default: this one)")
    add("--build", default="", metavar="COMMAND", help="what a revision's files need before they run, in their folder")
    add("--only", choices=("speed", "meaning"), default="both", help="one half alone")
    add("-k", dest="select", default="", metavar="EXPRESSION", help="the workloads that match, as in pytest")
    add("--level", choices=("quick", "all"), help="ten workloads, or all (default: quick without -k)")
    add("--layout", choices=LAYOUTS, help="(default: what the baseline can, channels_first before channels_last)")
    add("--output", choices=OUTPUTS, action="append", help="what is asked, again for more (default values)")
    add("--threshold", type=float, metavar="PERCENT", help="the least slowdown that is red (default 3)")
    add("--calibration", type=Path, metavar="FILE", help="this machine's noise (default: the one kept for it)")
    add("--null", action="store_true", help="the candidate against itself")
    add("--aa", type=int, metavar="N", help="N gates of the candidate against itself: how often one is red for nothing, what it can see")
    add("--power", metavar="3,5,10", help="gates with so many per cent of real extra work: how often it finds them")
    add("--trials", type=int, default=20, metavar="N", help="how many gates for each effect of --power (default 20)")
    add("--inject", type=float, default=0.0, metavar="PERCENT", help="make the candidate do so much more work")
    add("--seed", type=int, default=0, metavar="N", help="of every random order")
    add("--quads", type=int, default=QUADS, metavar="N", help=f"ABBA quads of blocks in a pair (default {QUADS})")
    add("--limit", type=float, default=60.0, metavar="SECONDS", help="that one request may take (default 60)")
    add("--start-limit", type=float, default=180.0, metavar="SECONDS", help="that a side may take to start (default 180)")
    add("--cache", type=Path, default=_cache(), metavar="DIR", help="where environments are kept")
    add("--out", type=Path, default=OUT, metavar="DIR", help=f"where files go (default {OUT})")
    return parser


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poolproof"


# --- how it ends ----------------------------------------------------------------------------------


def _refused(error: BaseException, given: argparse.Namespace, asked: Sequence[str]) -> int:
    """Say why there is no comparison, wherever somebody may look; the exit status. A series has no files but its gates'."""
    message, status = _why(error, given)
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    if not (given.aa or given.power):
        refuse(message, status, given.out.resolve(), shlex.join([*tool(), *asked]))
    return status


def _why(error: BaseException, given: argparse.Namespace) -> tuple[str, int]:
    match error:
        case Usage() | Unclear():
            return f"usage: {error}", Usage.status
        case GateError():
            return f"no verdict: {error}", error.status
        case Unbuildable():
            return f"no verdict: an environment cannot be had: {error}", NO_VERDICT
        case Interrupted() | KeyboardInterrupt():
            if given.aa or given.power:
                return f"interrupted: the gates that ran to their end are kept in {given.out}; the same command goes on", NO_VERDICT
            return "no verdict: interrupted before anything was measured", NO_VERDICT
        case OSError():
            return f"no verdict: {error}", NO_VERDICT
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
    # Python's own status for this is 1, which here means slower.
    return "no verdict: the gate itself failed", NO_VERDICT


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP ends the run by an exception, so that it can see off its processes and keep what it has."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        # A terminal and tox both send it: a second one must not end what sees off and writes. A handler, as SIG_IGN is inherited.
        for number in numbers:
            signal.signal(number, lambda *_: None)
        raise Interrupted

    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """What was measured is written, however impatient somebody is."""
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        for number in numbers & signal.sigpending():
            signal.sigwait({number})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
