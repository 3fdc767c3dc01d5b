"""The child's side of `process.Remote`: a script for any interpreter that has NumPy and the backend.

    python worker.py ROOT BACKEND START SOCKET [OUTGOING INCOMING]

It imports the package `backends` from ROOT, which may be another revision of this checkout, loads
BACKEND from it, says hello, and then either serves requests (START "spawn") or becomes a *nursery*
("fork"): a process that has imported the framework, runs no operation, and forks a child for each
life, so that a death costs milliseconds. An operation would start thread pools, which a fork does
not copy; a framework that has opened an accelerator at import cannot be forked at all, and then the
process serves by itself and says so.

Standard output and error are the parent's files; the messages have a socket of their own.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = sys.argv[1]

import ast
import contextlib
import ctypes
import faulthandler
import gc
import importlib.machinery
import importlib.util
import itertools
import os
import platform
import select
import signal
import socket
import struct
import time
import traceback
import warnings
from typing import Any, NoReturn

import numpy as np

if __name__ == "__main__":
    # Both ends speak the language of one checkout, whatever revision the backend comes from.
    for _name in ("wire", "answer"):
        _loader = importlib.machinery.SourceFileLoader(f"backends.{_name}", str(Path(__file__).with_name(f"{_name}.py")))
        _spec = importlib.util.spec_from_loader(_loader.name, _loader)
        sys.modules[_loader.name] = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]  # a loader has a spec
        _loader.exec_module(sys.modules[_loader.name])

import backends
from backends import answer, interface, wire

ORDER = struct.Struct("<cqd")
"""An order to the nursery: b"F" forks a child for the descriptors sent along, b"E" ends the child of
that id, at once or after as many seconds as it may take to end by itself."""
REPLY = struct.Struct("<qq")
"""The nursery's reply: a process id and 0, or a wait status and whether it had to kill."""
OFFERS = ("native", "static_shape", "layers", "convolve", "environment")
FACTS = ("device", "threads")
LONGEST = 4000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(root: str, name: str, start: str, *descriptors: str) -> None:
    """Load the backend, say hello, and nurse or serve until the parent hangs up."""
    faulthandler.enable(2)
    channel = attach(*descriptors)
    try:
        backend = backends.load(name)
        hello = introduce(backend)
    except BaseException as error:
        channel.send({"error": explain(error, "load")})
        return
    forks = start == "fork" and forkable()
    if not forks:
        end_with_parent()
        no_core()
    flush()
    channel.send({**hello, "forks": forks})
    with contextlib.suppress(EOFError, OSError):
        if forks:
            nurse(backend, channel.sock)
        else:
            Servant(backend, channel).serve()
    # What a framework does at exit is not under test, and may hang.
    os._exit(0)


def attach(*descriptors: str) -> wire.Channel:
    """The channel to the parent; Windows hands a socket over by value, through standard input."""
    if not descriptors:
        return wire.Channel(socket.fromshare(sys.stdin.buffer.read()))  # type: ignore[attr-defined]  # Windows only
    sock, *arenas = map(int, descriptors)
    for descriptor in (sock, *arenas):
        # Held by a child of this process, the socket would stay open after its end.
        os.set_inheritable(descriptor, False)
    return wire.Channel(socket.socket(fileno=sock), *arenas)


def introduce(backend: Any) -> dict[str, Any]:
    """What the parent needs to be this backend's `Backend`."""
    declared = {name: vars(interface.Capabilities.of(can)) for name, can in backend.capabilities.items()}
    return {
        "name": str(backend.name),
        "version": str(backend.version),
        "capabilities": {
            name: {key: value if isinstance(value, bool) else sorted(value, key=str) for key, value in can.items()}
            for name, can in declared.items()
        },
        "offers": [name for name in OFFERS if callable(getattr(backend, name, None))],
        "facts": {name: getattr(backend, name) for name in FACTS if hasattr(backend, name)},
        "python": platform.python_version(),
    }


def forkable() -> bool:
    """Whether this process may be forked: Linux, and no accelerator opened by what was imported."""
    if sys.platform != "linux":
        return False
    opened = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return not any(path.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/accel")) for path in opened)


# --- the nursery --------------------------------------------------------------------------------


def nurse(backend: Any, control: socket.socket) -> None:
    """Fork and end children as ordered; when the parent hangs up, end them all."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Whatever a life leaves behind, compile workers say, becomes this process's child, to be ended.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Python 3.12 warns of forking with threads; NumPy's BLAS has some, and stops them around a fork.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    gc.collect()
    gc.freeze()
    lives: set[int] = set()
    try:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 8)
            if len(message) < ORDER.size:
                return
            order, pid, patience = ORDER.unpack(message)
            if order == b"F":
                pid = os.fork()
                if not pid:
                    live(backend, control, libc, descriptors)
                lives.add(pid)
                for descriptor in descriptors:
                    os.close(descriptor)
                control.sendall(REPLY.pack(pid, 0))
            else:
                status, killed = end(pid, patience)
                lives.discard(pid)
                sweep(lives)
                control.sendall(REPLY.pack(status, killed))
    finally:
        for pid in lives:
            end(pid, 0)
        sweep(set())


def live(backend: Any, control: socket.socket, libc: Any, descriptors: list[int]) -> NoReturn:
    """Be a child: serve requests until the parent hangs up, and never return into the nursery."""
    try:
        nursery = os.getppid()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != nursery:
            os._exit(1)
        os.setsid()
        control.close()
        no_core()
        sock, out, err, *arenas = descriptors
        for descriptor in (sock, *arenas):
            os.set_inheritable(descriptor, False)
        for descriptor, standard in ((out, 1), (err, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        Servant(backend, wire.Channel(socket.socket(fileno=sock), *arenas)).serve()
    except (EOFError, OSError):
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        flush()
    os._exit(1)


def end(pid: int, patience: float) -> tuple[int, bool]:
    """The wait status of a child, and whether it had to be killed: it had `patience` seconds to end."""
    deadline = time.monotonic() + patience
    killed = False
    while True:
        done, status = os.waitpid(pid, 0 if killed else os.WNOHANG)
        if done:
            break
        if time.monotonic() >= deadline:
            killed = True
            os.kill(pid, signal.SIGKILL)
        else:
            time.sleep(0.0005)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return status, killed


def sweep(lives: set[int]) -> None:
    """End every child that is not a life: they are orphans of lives that have ended."""
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        orphans = children(os.getpid()) - lives
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def children(parent: int) -> set[int]:
    """The ids of a process's children, ended ones that nobody has waited for included."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError):
                stat = Path("/proc", entry, "stat").read_text()
                # The name, in parentheses, may hold anything; state and parent follow the last one.
                if int(stat.rpartition(")")[2].split()[1]) == parent:
                    found.add(int(entry))
    return found


def end_with_parent() -> None:
    """Let the system end this process with its parent, in the middle of a call that hangs as well.

    The parent holds the other end of standard input, and its closing raises SIGIO here, whose
    default is to end. (PR_SET_PDEATHSIG, which nurseries use, would fire when the parent's thread ends.)
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        lifeline = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        # Closed before it was watched, it would raise nothing.
        if select.select([lifeline], [], [], 0)[0]:
            os._exit(1)


def no_core() -> None:
    """A death is an observation here: write no core file, and pipe none to a crash reporter."""
    with contextlib.suppress(ImportError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        # 1, not 0: Linux pipes to a crash reporter in spite of 0, and takes 1 for "none at all".
        limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def flush() -> None:
    """Hand all that was printed to the parent's files, C's buffers included."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if os.name == "posix":
        _libc().fflush(None)


def _libc(_loaded: list[Any] = []) -> Any:  # noqa: B006  # a cache: opening the library costs more than the call
    if not _loaded:
        _loaded.append(ctypes.CDLL(None))
    return _loaded[0]


# --- a life -------------------------------------------------------------------------------------


class Servant:
    """Answers requests, and holds what cannot travel: bound calls and native answers."""

    def __init__(self, backend: Any, channel: wire.Channel) -> None:
        self.backend = backend
        self.channel = channel
        self.held: dict[int, Any] = {}
        self.handles = itertools.count()

    def serve(self) -> None:
        """Answer until the other side hangs up.

        Raises:
            EOFError: it did.
        """
        while True:
            header, arrays = self.channel.receive()
            for handle in header.get("free", ()):
                self.held.pop(handle, None)
            stage = header["do"]
            try:
                reply, back = getattr(self, f"do_{stage}")(header, arrays)
            except answer.Raised as raised:
                reply, back = {"error": explain(raised.__cause__, raised.stage)}, []
            except BaseException as error:
                reply, back = {"error": explain(error, stage)}, []
            flush()
            self.channel.send(reply, back)
            del reply, back, arrays

    def do_gap(self, header: dict, arrays: list) -> tuple[dict, list]:
        gap = self.backend.gap(wire.case_from(header["case"], arrays))
        return {"gap": None if gap is None else str(gap)}, []

    def do_bind(self, header: dict, arrays: list) -> tuple[dict, list]:
        return self._hold(self.backend.bind(wire.case_from(header["case"], arrays))), []

    def do_call(self, header: dict, arrays: list) -> tuple[dict, list]:
        return self._hold(self.held[header["handle"]]()), []

    def do_fetch(self, header: dict, arrays: list) -> tuple[dict, list]:
        value = self.backend.fetch(self.held[header["handle"]])
        return {"returned": answer.type_name(value)}, _travelling(value)

    def do_ask(self, header: dict, arrays: list) -> tuple[dict, list]:
        memory = {name: array.base for name, array in zip(("x", "cotangent"), arrays, strict=False)}
        seen = answer.observe(self.backend, wire.case_from(header["case"], arrays), memory)
        return {
            "returned": seen.returned, "native": seen.native, "aliases": seen.aliases, "warned": seen.warned, "wrote": seen.wrote,
        }, _travelling(seen.array)  # fmt: skip

    def do_offer(self, header: dict, arrays: list) -> tuple[dict, list]:
        arguments = arrays if header["case"] is None else [wire.case_from(header["case"], arrays)]
        value = getattr(self.backend, header["name"])(*arguments)
        back = _travelling(value)
        return {"value": None if back else value}, back

    def do_measure(self, header: dict, arrays: list) -> tuple[dict, list]:
        call, repetitions = self.held[header["handle"]], itertools.repeat(None, header["iterations"])
        call()
        collecting = gc.isenabled()
        gc.disable()
        try:
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in repetitions:
                call()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            if collecting:
                gc.enable()
        return {"wall": wall, "cpu": cpu}, []

    def do_execute(self, header: dict, arrays: list) -> tuple[dict, list]:
        limit_memory(header["memory"])
        tree = ast.parse(header["code"], "<native>")
        *_, last = tree.body
        namespace: dict[str, Any] = {"__name__": "__main__"}
        if not isinstance(last, ast.Expr):
            exec(compile(tree, "<native>", "exec"), namespace)
            return {"result": ""}, []
        tree.body.pop()
        exec(compile(tree, "<native>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<native>", "eval"), namespace)
        return {"result": shorten(repr(value))}, []

    def _hold(self, value: Any) -> dict[str, Any]:
        handle = next(self.handles)
        self.held[handle] = value
        return {"handle": handle, "type": answer.type_name(value)}


def _travelling(value: Any) -> list:
    return [value] if isinstance(value, np.ndarray) and wire.sendable(value.dtype) else []


def limit_memory(allowance: int | None) -> None:
    """Let this process grow by so many bytes and no more: an absurd size must not starve the machine."""
    if allowance is not None and sys.platform == "linux":
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + allowance, resource.getrlimit(resource.RLIMIT_AS)[1]))


def explain(error: BaseException | None, stage: str) -> dict[str, str]:
    """An exception as text: its type, what it says, and the traceback."""
    try:
        message = str(error)
    except Exception as second:
        message = f"<its text cannot be read: {type(second).__name__}>"
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__)) if error else ""
    return {"type": answer.type_name(error), "message": shorten(message), "stage": stage, "traceback": trace[-LONGEST:]}


def shorten(text: str) -> str:
    """A text of bearable length, with its end: compilers say what went wrong last."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


if __name__ == "__main__":
    main(*sys.argv[1:])
