"""A backend in another process: the same answers, and whatever it does there is an observation."""

import importlib.util
import os
import shutil
import signal
import sys
import threading
import venv
from pathlib import Path

import numpy as np
import pytest

import backends
from backends import BrokenBackend, UnknownBackend, answer, lives, process
from backends.interface import Unsupported
from backends.process import Died, Remote, RemoteError
from backends.spec import Max, PoolSpec, Sliding
from backends.tests.remotes import FATAL, PLAIN, POOLED, STRANGERS, linux, starts

# --- the same answers ---------------------------------------------------------------------------


@starts
def test_a_remote_is_the_backend_that_it_runs(remote, start):
    """Name, version, capabilities, gaps and answers are those of the backend in this process."""
    there, here = remote("Stranger", start=start), backends.load(f"{STRANGERS}:Stranger")
    assert (there.name, there.version, there.threads) == (here.name, here.version, here.threads)
    assert there.capabilities["max"].paddings == {"valid"} and there.capabilities["max"].ndims == {2}
    assert there.gap(PLAIN) is None
    assert there.gap(PLAIN.replace(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 2))))) == "takes square windows only"
    assert backends.run(there, PLAIN).tolist() == there.ask(PLAIN).array.tolist() == backends.run(here, PLAIN).tolist() == POOLED


def test_a_gap_is_heeded_on_request(remote):
    """Asked to heed gaps, a Remote raises Unsupported with the reason in the one exchange; else it makes the call."""
    there = remote("Stranger")
    oblong = PLAIN.replace(spec=PoolSpec(reduction=Max(), windows=Sliding(kernel=(1, 2))))
    with pytest.raises(Unsupported, match="stranger: takes square windows only"):
        there.ask(oblong, heed_gap=True)
    assert there.ask(PLAIN, heed_gap=True).array.tolist() == POOLED
    assert there.ask(oblong).array is not None


def test_an_array_arrives_with_its_memory_order(remote):
    """A backend sees the strides and the read-only flag that x has here, at the start of a cache line."""
    x = np.zeros((3, 2, 4, 5), np.float32).transpose(1, 0, 3, 2)[:, :, ::-2]
    x.flags.writeable = False
    *seen, writeable, address = remote("Noticing").ask(PLAIN.replace(x=x)).array.tolist()
    assert (tuple(seen), writeable) == (x.strides, 0)
    assert address == -(x.shape[2] - 1) * x.strides[2] % 64


def test_large_arrays_go_and_come(remote):
    """Arrays far past the limit of a message's payload are pooled like small ones, again and again."""
    there = remote("Stranger")
    first = np.arange(3 * 512 * 512, dtype=np.float32).reshape(1, 3, 512, 512)
    pooled = [there.ask(PLAIN.replace(x=x)).array for x in (first, first[:, :1], first + 1)]
    expected = [x[:, :, 1::2, 1::2] for x in (first, first[:, :1], first + 1)]
    assert all(map(np.array_equal, pooled, expected))


def test_what_our_adapters_offer_beside_is_offered(remote):
    """Optional methods work from afar, and are absent where the backend has none."""
    there = remote("Offering")
    assert there.native(PLAIN.replace(x=PLAIN.x[:, :, :1, :1])) == "pool([[[[1.0]]]])"
    assert there.static_shape(PLAIN) == (1, 1, 1, 1)
    assert there.convolve(PLAIN.x, np.float32([2])).tolist() == (PLAIN.x * 2).tolist()
    assert (there.environment(), there.device) == ({"build": "yes"}, "cpu")
    assert not hasattr(remote("Stranger"), "native") and not hasattr(there, "layers") and not hasattr(there, "enqueue")


def test_threads_take_turns(remote):
    """Requests from several threads of this process do not mix."""
    there, found = remote("Stranger"), {}

    def question(value):
        found[value] = [there.ask(PLAIN.replace(x=np.full((1, 1, 2, 2), value, np.float32))).array.item() for _ in range(50)]

    threads = [threading.Thread(target=question, args=(value,)) for value in range(1, 5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == {value: [value] * 50 for value in range(1, 5)}


# --- facts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["gap", "bind", "call", "fetch"])
@pytest.mark.parametrize("error", ["KeyError", "SystemExit"])
def test_an_exception_is_not_a_death(remote, stage, error):
    """What a backend raises arrives with its type, its text and where it was raised, and the process lives on."""
    there = remote("Refusing", stage=stage, error=error)
    ask = there.gap if stage == "gap" else there.ask
    with pytest.raises(RemoteError, match="not that") as caught:
        ask(PLAIN)
    assert (caught.value.type_name, caught.value.stage, caught.value.status) == (error, stage, "error")
    assert "strangers.py" in caught.value.traceback
    before = there.pid
    with pytest.raises(RemoteError):
        ask(PLAIN)
    assert there.pid == before


@pytest.mark.parametrize("ask", ["ask", "bind"])
@pytest.mark.parametrize("kind", [Unsupported, MemoryError])
def test_what_says_nothing_of_the_answer_stays_what_it_is(remote, ask, kind):
    """A backend's own Unsupported is raised as that here, and so is its want of memory."""
    with pytest.raises(kind, match="not that"):
        getattr(remote("Refusing", stage="bind", error=kind.__name__), ask)(PLAIN)


ANSWERS = [
    ("native.tolist()", "list", "list: expected a NumPy array"),
    ("native[0, 0, 0, 0]", "numpy.float32", "numpy.float32: expected a NumPy array"),
    ("np.ma.masked_array(native)", "numpy.ma.MaskedArray", "MaskedArray: expected a NumPy array"),
    ("np.array([self])", "numpy.ndarray", "numpy.ndarray: expected a NumPy array in this machine's memory"),
    ("type('Lazy', (), {'__module__': 'later'})()", "later.Lazy", "later.Lazy: expected a NumPy array"),
    ("np.frombuffer(native.tobytes(), native.dtype)", "numpy.ndarray", "read-only"),
]


@pytest.mark.parametrize("answer, returned, fault", ANSWERS, ids=[answer for answer, *_ in ANSWERS])
def test_what_is_no_array_of_ones_own_is_named(remote, answer, returned, fault):
    """A list, a scalar, a subclass, an array of objects, a lazy object and a read-only array are named as what they are."""
    seen = remote("Answering", answer=answer).ask(PLAIN)
    assert seen.returned == returned
    assert [fault in each for each in seen.faults] == [True]


def test_fetch_names_what_is_no_array(remote):
    """Through `run`, an answer that is no array comes as an object whose type has its type's name."""
    assert type(backends.run(remote("Answering", answer="native.tolist()"), PLAIN)).__name__ == "list"


@pytest.mark.parametrize("name, wrote", [("Writing", ("x",)), ("Overrunning", ("around x",)), ("Stranger", ())])
def test_writing_to_the_input_is_seen(remote, name, wrote):
    """A write to x, and one past its end, are told apart, and nothing else is reported."""
    seen = remote(name).ask(FATAL)
    assert seen.wrote == wrote
    assert seen.faults == tuple(f"it wrote to its input: {each} has changed" for each in wrote)


def test_the_same_is_seen_without_a_process():
    """Facts about an answer can be had in this process too, all but deaths, prints and memory beside x."""
    seen = answer.observe(backends.load(f"{STRANGERS}:Writing"), FATAL.replace(x=FATAL.x.copy()))
    assert (seen.wrote, seen.returned, seen.native) == (("x",), "numpy.ndarray", "numpy.ndarray")
    with pytest.raises(answer.Raised, match="fetch"):
        answer.observe(backends.load(f"{STRANGERS}:Answering"), PLAIN)


def test_prints_are_caught_whoever_prints(remote):
    """Text from Python, from C and from a bare descriptor is reported with the answer that it came with, and harms no message."""
    there = remote("Printing")
    seen, after = there.ask(FATAL), there.ask(PLAIN)
    assert sorted(seen.printed.replace("raw ", "raw\n").split("\n")) == ["", "from C", "hello", "raw"]
    assert seen.logged == "a warning of sorts\n"
    assert seen.faults and "printed" in seen.faults[0]
    assert seen.array.tolist() == (-PLAIN.x[:, :, ::2, ::2]).tolist()
    assert (after.printed, after.logged, after.faults) == ("", "", ())


def test_of_a_flood_the_end_is_kept(remote):
    """A backend that prints without end costs a bounded text, not the answer."""
    seen = remote("Flooding").ask(FATAL)
    assert seen.printed.endswith("xlast") and len(seen.printed) == lives.OUTPUT_KEPT
    assert seen.array is not None


def test_warnings_are_caught(remote):
    """A Python warning is reported apart from what is printed, each time."""
    there = remote("Cautious")
    assert [there.ask(FATAL).warned for _ in range(2)] == [("UserWarning: careful",)] * 2
    assert there.ask(FATAL).logged == ""


def test_answers_that_nobody_holds_are_let_go(remote):
    """Native answers are freed in the other process once they are dropped here."""
    there = remote("Counting")
    call = there.bind(PLAIN)
    natives = [call() for _ in range(5)]
    assert there.fetch(natives[0]).tolist() == [5, 5]
    del natives[1:]
    assert there.fetch(natives[0]).tolist() == [5, 1]


# --- measuring, and native code -----------------------------------------------------------------


@starts
def test_the_worker_times(remote, start):
    """A block has one untimed call before it, takes wall and CPU time, and is bound once for many blocks."""
    there = remote("Counting", start=start)
    call = there.bind(PLAIN)
    blocks = [there.measure(call, 10), there.measure(call, 3), there.measure(PLAIN, 1)]
    assert all(block.wall > 0 and block.cpu >= 0 for block in blocks)
    assert there.fetch(call()).tolist() == [11 + 4 + 2 + 1, 1]
    with pytest.raises(ValueError, match="iterations=0"):
        there.measure(call, 0)


SNIPPETS = [
    ("import numpy as np\nnp.arange(3)", "returns", "array([0, 1, 2])"),
    ("x = 1", "returns", ""),
    ("def f():\n    raise KeyError('no')\nf()", "raises", "KeyError: 'no'"),
    ("1 +", "raises", "SyntaxError"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGBUS)", "signal:SIGBUS", "Bus error"),
    ("import os\nos._exit(4)", "exit:4", "exit:4"),
    ("import sys\nsys.exit(5)", "raises", "SystemExit: 5"),
    ("import time\ntime.sleep(60)", "hangs", "no answer within 0.5 s"),
]


@pytest.mark.parametrize("code, outcome, text", SNIPPETS, ids=[f"{outcome} {code[-12:]!r}" for code, outcome, _ in SNIPPETS])
def test_native_code_has_an_outcome(remote, code, outcome, text):
    """A piece of code returns, raises, hangs or dies, in a process that is not the one that answers."""
    there = remote("Stranger")
    there.ask(PLAIN)
    before = there.pid
    seen = there.execute(code, time_limit=0.5 if outcome == "hangs" else None)
    assert (seen.outcome, text in seen.text) == (outcome, True), seen
    assert (there.ask(PLAIN).array.tolist(), there.pid) == (POOLED, before)


def test_native_code_has_an_interpreter_of_its_own(remote):
    """Where a process is not forked, native code dies in an interpreter of its own."""
    there = remote("Stranger", start="spawn")
    there.ask(PLAIN)
    before = there.pid
    assert there.execute("import os\nos.abort()").outcome == "signal:SIGABRT"
    assert (there.ask(PLAIN).array.tolist(), there.pid) == (POOLED, before)


@linux
def test_native_code_cannot_starve_the_machine(remote):
    """Code that asks for more memory than it may have is refused it."""
    seen = remote("Stranger").execute("bytearray(1 << 30)", memory=100 << 20)
    assert (seen.outcome, seen.text.split(":")[0]) == ("raises", "MemoryError")


# --- getting started ----------------------------------------------------------------------------

BROKEN = {
    "raising": ("raise ImportError('libfoo is missing')", "ImportError: libfoo is missing"),
    "exiting": ("import os; os._exit(7)", "died at import, exit:7"),
    "dying": ("import os; os.write(2, b'boom'); os.abort()", "died at import, signal:SIGABRT: .*boom"),
    "hanging": ("import time; time.sleep(60)", "not imported within 2 s"),
    "lacking": ("class Backend: pass", "no attribute 'name'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_backend_that_cannot_be_loaded_says_why(tmp_path, what):
    """A backend that raises, exits, dies or hangs at import, or is none, is broken, in words."""
    code, message = BROKEN[what]
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(BrokenBackend, match=f"(?s){message}"):
        Remote(f"{tmp_path}/broken.py:Backend", start_limit=2 if what == "hanging" else 60)


def test_an_unknown_backend_is_a_usage_error():
    """A name that nothing has raises UnknownBackend with the choices."""
    with pytest.raises(UnknownBackend, match="unknown backend 'nonesuch'; choose from"):
        Remote("nonesuch")


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    """A Python that does not exist, or is none, is reported with its path."""
    with pytest.raises(BrokenBackend, match=r"cannot start .*no-python"):
        Remote("numpy", python=str(tmp_path / "no-python"))


@pytest.mark.parametrize("options", [{"start": "thread"}, {"time_limit": 0}, {"time_limit": -1.5}], ids=str)
def test_wrong_options_are_refused(options):
    """An unknown way to start and a time limit that is none raise ValueError with the value."""
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        Remote("numpy", **options)


def test_two_interpreters_side_by_side(remote, tmp_path):
    """Two Remotes run one backend under two interpreters, each with its own installation."""
    venv.EnvBuilder(symlinks=os.name == "posix").create(tmp_path / "other")
    (site,) = (tmp_path / "other").rglob("site-packages")
    (site / "ours.pth").write_text(str(Path(np.__file__).parents[1]))
    other = tmp_path / "other" / ("bin/python" if os.name == "posix" else "Scripts/python.exe")
    first, second = remote("Stranger"), remote("Stranger", python=str(other))
    assert (first.version, second.version) == (sys.prefix, str(tmp_path / "other"))
    assert first.ask(PLAIN).array.tolist() == second.ask(PLAIN).array.tolist() == POOLED


def test_a_backend_of_another_checkout(tmp_path):
    """The adapters come from the checkout that is named, also where that one speaks no language of processes."""
    shutil.copytree(process.ROOT / "backends", tmp_path / "backends", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    (tmp_path / "backends" / "wire.py").write_text("raise ImportError('another revision')")
    (tmp_path / "backends" / "elder_backend.py").write_text(
        STRANGERS.read_text() + "\nVARIANTS = {'': 'elder'}\ndef load(variant): return Stranger()"
    )
    with Remote("elder", root=tmp_path) as there:
        assert there.ask(PLAIN).array.tolist() == POOLED


# --- frameworks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy", "torch", "torch:compile", "tensorflow", "tensorflow:graph", "jax"])
def test_a_framework_works_in_a_fork(name):
    """A framework that was imported before the fork gives the same values and gradient in a first and in a second life."""
    if name not in backends.available() or not importlib.util.find_spec(name.partition(":")[0]):
        pytest.skip(f"{name}: not installed")
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    values = PLAIN.replace(x=x, layout="channels_last")
    gradient = values.replace(output="gradient", cotangent=np.ones((2, 3, 32, 32), np.float32))
    with Remote(name, time_limit=300) as there:
        first = [there.ask(case).array for case in (values, gradient)]
        os.kill(there.pid, signal.SIGKILL)
        with pytest.raises(Died):
            there.ask(values)
        second = [there.ask(case).array for case in (values, gradient)]
    assert np.array_equal(first[0], x.reshape(2, 3, 32, 2, 32, 2).max((3, 5)))
    assert first[1].sum() == first[0].size
    assert all(map(np.array_equal, first, second))
