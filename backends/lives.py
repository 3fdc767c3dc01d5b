"""The parent's side of worker processes: starting them, forking from a nursery, and seeing them off."""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from backends import BrokenBackend, UnknownBackend, nursery, wire, worker

OUTPUT_KEPT = 64 * 1024
PATIENCE = 2.0
"""Seconds that a process which hung up may take to end by itself, so that its own status is seen."""

Launched = Callable[[subprocess.Popen[bytes]], object]
"""Told of each interpreter before its framework is waited for; it leads a process group."""


class Keeper:
    """What a Remote must leave behind nobody: apart from it, so that a finalizer can hold it."""

    def __init__(self, process: "Process") -> None:
        self.process = process
        self.life: Life | None = None
        self.closed = False

    def close(self) -> None:
        self.closed = True
        life, self.life = self.life, None
        if life is not None:
            life.end(0)
        self.process.close()


class Process:
    """A worker interpreter: a nursery, or the one life that it is itself."""

    def __init__(
        self, backend: str, python: str, start: str, root: Path, environment: Mapping[str, str], limit: float, launched: Launched
    ) -> None:  # fmt: skip
        self.respawn = functools.partial(Process, backend, python, start, root, environment, limit, launched)
        ours, theirs = socket.socketpair()
        self.channel = wire.Channel(ours, wire.arena(), wire.arena())
        self.out, self.err = _capture(), _capture()
        arenas = [fd for fd in (self.channel.incoming, self.channel.outgoing) if fd is not None]
        passed = [theirs.fileno(), *arenas] if os.name == "posix" else []
        command = [python, "-u", worker.__file__, str(root), backend, start, *map(str, passed)]
        try:
            # Standard input is only held: its closing ends a process that serves by itself.
            self.popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self.out, stderr=self.err, pass_fds=passed, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            theirs.close()
            self._let_go()
            raise BrokenBackend(f"{backend}: cannot start {python}: {error}") from error
        self.stdin = cast(IO[bytes], self.popen.stdin)
        if os.name != "posix":
            self.stdin.write(theirs.share(self.popen.pid))  # type: ignore[attr-defined]  # Windows only
            self.stdin.close()
        theirs.close()
        self.usable = True
        self.hello: dict[str, Any] = {}
        try:
            launched(self.popen)
            self.hello = self._greet(backend, limit)
        except BaseException:
            self.close()
            raise

    def _greet(self, backend: str, limit: float) -> dict[str, Any]:
        try:
            hello, _ = self.channel.receive(time.monotonic() + limit)
        except TimeoutError:
            raise BrokenBackend(f"{backend}: not imported within {limit:g} s") from None
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(PATIENCE)
            raise BrokenBackend(f"{backend}: its process died at import, {_how(self.popen.poll())}: {_drain(self.err).strip()}") from None
        if error := hello.get("error"):
            kind = UnknownBackend if error["type"] == "backends.UnknownBackend" else BrokenBackend
            raise kind(error["message"] if error["type"].startswith("backends.") else f"{backend}: {error['type']}: {error['message']}")
        return hello

    def begin(self, spare: bool = False) -> "Life":
        """A fresh life; a `spare` one leaves the life that is, if this process is that, to itself."""
        if not self.hello["forks"]:
            process = self.respawn() if spare else self
            return Life(process.channel, process.out, process.err, process.popen.pid, process.finish)
        ours, theirs = socket.socketpair()
        out, err = _capture(), _capture()
        outgoing, incoming = wire.arena(), wire.arena()
        with theirs:
            descriptors = [theirs.fileno(), out.fileno(), err.fileno(), incoming, outgoing]
            pid, _ = self._order(b"F", 0, 0, [fd for fd in descriptors if fd is not None])
        return Life(wire.Channel(ours, outgoing, incoming), out, err, pid, functools.partial(self._finish_child, pid))

    def _finish_child(self, pid: int, patience: float) -> tuple[str, bool]:
        try:
            status, killed = self._order(b"E", pid, patience)
        except (EOFError, OSError):
            return "with its nursery", False
        return _how(os.waitstatus_to_exitcode(status)), bool(killed)

    def _order(self, order: bytes, pid: int, patience: float, descriptors: Sequence[int] = ()) -> tuple[int, int]:
        try:
            self.channel.sock.settimeout(None)
            socket.send_fds(self.channel.sock, [nursery.ORDER.pack(order, pid, patience)], list(descriptors))
            reply = b""
            while len(reply) < nursery.REPLY.size:
                chunk = self.channel.sock.recv(nursery.REPLY.size - len(reply))
                if not chunk:
                    raise EOFError("the nursery hung up")
                reply += chunk
        except BaseException:
            self.usable = False
            raise
        return nursery.REPLY.unpack(reply)

    def finish(self, patience: float) -> tuple[str, bool]:
        """End the process; how it ended, and whether it had to be killed."""
        self.usable = False
        killed = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(patience) if patience else self.popen.poll()
        if self.popen.returncode is None:
            killed = True
            self.popen.kill()
        status = self.popen.wait()
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        self.stdin.close()
        return _how(status), killed

    def close(self) -> None:
        """Hang up, and see the process off; a nursery ends its children first."""
        self.channel.close()
        self.finish(PATIENCE if self.hello.get("forks") else 0)
        self._let_go()

    def _let_go(self) -> None:
        self.channel.close()
        self.out.close()
        self.err.close()


class Life:
    """One process that answers, from its beginning to its end."""

    def __init__(self, channel: wire.Channel, out: IO[bytes], err: IO[bytes], pid: int, finish: Any) -> None:
        self.channel, self.out, self.err, self.pid = channel, out, err, pid
        self.freed: list[int] = []
        self._finish = finish
        self._ended: tuple[str, bool] | None = None
        self.said = ("", "")

    def listen(self) -> None:
        """Take what it printed to standard output and standard error since the last time: `said`."""
        self.said = _drain(self.out), _drain(self.err)

    def end(self, patience: float, *, listen: bool = False) -> tuple[str, bool]:
        """End it, once: how it ended, and whether it had to be killed."""
        if self._ended is None:
            self._ended = self._finish(patience)
            if listen:
                self.listen()
            self.channel.close()
            self.out.close()
            self.err.close()
        return self._ended


def _capture() -> IO[bytes]:
    return tempfile.TemporaryFile()  # it lives as long as the process that writes to it


def _drain(file: IO[bytes]) -> str:
    # The child writes to this very open file: its position is shared.
    size = os.lseek(file.fileno(), 0, os.SEEK_END)
    if not size:
        return ""
    os.lseek(file.fileno(), max(0, size - OUTPUT_KEPT), os.SEEK_SET)
    text = os.read(file.fileno(), OUTPUT_KEPT).decode(errors="replace")
    os.ftruncate(file.fileno(), 0)
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return text


def _how(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit:{returncode}"
    try:
        return f"signal:{signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal:{-returncode}"
