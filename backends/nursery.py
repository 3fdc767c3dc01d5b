"""A process that has imported a framework, runs no operation, and forks a child for each life.

An operation would start thread pools, which a fork does not copy. A child ends with its nursery, a
nursery with the process that made it, and what a child leaves behind is ended with the child.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from backends import wire

ORDER = struct.Struct("<cqd")
"""An order to the nursery: b"F" forks a child for the descriptors sent along, b"E" ends the child of
that id, at once or after as many seconds as it may take to end by itself."""
REPLY = struct.Struct("<qq")
"""The nursery's reply: a process id and 0, or a wait status and whether it had to kill."""
Serve = Callable[[wire.Channel], None]
"""What a child does: answer on a channel until the other side hangs up."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def forkable() -> bool:
    """Whether this process may be forked: Linux, and no accelerator opened by what was imported."""
    if sys.platform != "linux":
        return False
    opened = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return not any(path.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/accel")) for path in opened)


def nurse(serve: Serve, control: socket.socket) -> None:
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
                    live(serve, control, libc, descriptors)
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


def live(serve: Serve, control: socket.socket, libc: Any, descriptors: list[int]) -> NoReturn:
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
        serve(wire.Channel(socket.socket(fileno=sock), *arenas))
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
