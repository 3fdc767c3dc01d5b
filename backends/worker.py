"""The child's side of `process.Remote`: a script for any interpreter that has NumPy and the backend.

    python worker.py ROOT BACKEND START SOCKET [OUTGOING INCOMING]

It imports the package `backends` from ROOT, which may be another revision of this checkout, loads
BACKEND from it, says hello, and then either serves requests (START "spawn") or becomes a nursery
("fork") whose children do, so that a death costs milliseconds. A framework that has opened an
accelerator at import cannot be forked, and then the process serves by itself and says so.

Standard output and error are the parent's files; the messages have a socket of their own.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = sys.argv[1]

import ast
import contextlib
import faulthandler
import functools
import importlib.machinery
import importlib.util
import itertools
import os
import platform
import socket
import traceback
from typing import Any

import numpy as np


@functools.cache
def ours(name: str) -> Any:
    """A module of the package `backends` from the checkout that this file lies in, in place of ROOT's."""
    loader = importlib.machinery.SourceFileLoader(f"backends.{name}", str(Path(__file__).with_name(f"{name}.py")))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # a loader has a spec
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


if __name__ == "__main__":
    # Both ends speak the language of one checkout, whatever revision the backend comes from.
    for _name in ("wire", "answer", "nursery", "timing"):
        ours(_name)

import backends  # noqa: E402
from backends import answer, interface, nursery, timing, wire  # noqa: E402

OFFERS = ("native", "static_shape", "layers", "convolve", "environment", "recorded", "with_indices")
FACTS = ("device", "threads", "compiles")
LONGEST = 4000


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
    forks = start == "fork" and nursery.forkable()
    if not forks:
        nursery.end_with_parent()
        nursery.no_core()
    nursery.flush()
    channel.send({**hello, "forks": forks})
    with contextlib.suppress(EOFError, OSError):
        if forks:
            nursery.nurse(lambda life: Servant(backend, life).serve(), channel.sock)
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


# --- a life -------------------------------------------------------------------------------------


class Servant:
    """Answers requests, and holds what cannot travel: bound calls and native answers."""

    def __init__(self, backend: Any, channel: wire.Channel) -> None:
        self.backend = backend
        self.channel = channel
        self.held: dict[int, Any] = {}
        self.handles = itertools.count()
        self.last = answer.Held()

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
            nursery.flush()
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
        case = wire.case_from(header["case"], arrays)
        if header["heed_gap"] and (gap := self.backend.gap(case)):
            raise interface.Unsupported(f"{self.backend.name}: {gap}")
        seen = answer.observe(self.backend, case, memory, self.last)
        facts = {"returned": seen.returned, "native": seen.native, "warned": seen.warned, "wrote": seen.wrote}
        return facts, _travelling(seen.array)

    def do_offer(self, header: dict, arrays: list) -> tuple[dict, list]:
        arguments = arrays if header["case"] is None else [wire.case_from(header["case"], arrays)]
        value = getattr(self.backend, header["name"])(*arguments)
        back = _travelling(value)
        return {"value": None if back else value}, back

    def do_measure(self, header: dict, arrays: list) -> tuple[dict, list]:
        asked = self.held[header["handle"]]
        call, wait = (asked.call, asked.wait) if isinstance(asked, timing.Asked) else (asked, None)
        return timing.block(call, wait, header["iterations"]), []

    def do_place(self, header: dict, arrays: list) -> tuple[dict, list]:
        spec = wire.spec_from(header["spec"])
        case = timing.question(spec, header, ours("text"), interface.Case)
        if gap := interface.refusal(self.backend, case):
            return {"gap": str(gap)}, []
        return {"gap": None, **self._hold(timing.ask(self.backend, case, header["place"]))}, []

    def do_sentinel(self, header: dict, arrays: list) -> tuple[dict, list]:
        return self._hold(timing.sentinel(header["name"])), []

    def do_digest(self, header: dict, arrays: list) -> tuple[dict, list]:
        return timing.digest(self.backend.fetch(self.held[header["handle"]].answer()), header["keep"]), []

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
