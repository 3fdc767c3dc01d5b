"""A process that dies, hangs or is interrupted is named, and costs one life."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from backends import process
from backends.process import Died, RemoteFailure, TimedOut
from backends.tests.remotes import FATAL, PLAIN, POOLED, STRANGERS, alive, linux, pids, starts, wait_until


@starts
@pytest.mark.parametrize("name, outcome", [("Mortal", "signal:SIGFPE"), ("Aborting", "signal:SIGABRT"), ("Exiting", "exit:3")])
def test_a_death_is_named_and_survived(remote, start, name, outcome):
    """A process that dies raises Died with the signal's name, and the next request is answered by another."""
    there = remote(name, start=start)
    there.ask(PLAIN)
    before = there.pid
    with pytest.raises(Died, match=outcome) as caught:
        there.ask(FATAL)
    assert (caught.value.outcome, caught.value.status) == (outcome, "crashed")
    assert there.ask(PLAIN).array.tolist() == POOLED
    assert there.pid != before


def test_the_last_words_of_a_dead_process_are_kept(remote):
    """What a process wrote to standard error before it aborted is in the message, and other signals have their name there."""
    with pytest.raises(Died, match=r"signal:SIGABRT: Check failed: stride > 0$") as caught:
        remote("Aborting").ask(FATAL)
    assert "strangers.py" in caught.value.logged
    with pytest.raises(Died, match=r"signal:SIGFPE: Fatal Python error: Floating.point exception$"):
        remote("Mortal").ask(FATAL)


@starts
def test_a_hang_is_ended(remote, start):
    """A request that outlasts the time limit raises TimedOut, and the next one is answered."""
    there = remote("Hanging", start=start, time_limit=0.5)
    with pytest.raises(TimedOut, match=r"no answer within 0\.5 s") as caught:
        there.ask(FATAL)
    assert caught.value.outcome == "hangs"
    there.time_limit = 60
    assert there.ask(PLAIN).array.tolist() == POOLED


@linux
def test_what_a_life_leaves_behind_ends_with_it(remote, tmp_path):
    """A process that a backend started, in a session of its own, does not outlive the backend's death."""
    there = remote("Parental")
    with pytest.raises(Died):
        there.ask(FATAL.replace(x=FATAL.x - 1))
    assert [alive(pid) for pid in pids(tmp_path)] == [True, False, False]


@linux
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_end_with_their_maker(tmp_path, start):
    """Killing the process that made a Remote ends all of its processes, one that hangs included."""
    script = f"""
        from backends.process import Remote
        from backends.tests.remotes import FATAL
        Remote({str(STRANGERS) + ":Parental"!r}, start={start!r}).ask(FATAL)
    """
    environment = {**os.environ, "STRANGER_FILE": str(tmp_path / "pids"), "PYTHONPATH": str(process.ROOT)}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment) as maker:
        wait_until(lambda: len(pids(tmp_path)) == 3)
        nursery, life, grandchild = pids(tmp_path)
        maker.kill()
    wait_until(lambda: not alive(nursery) and not alive(life))
    if start == "fork":
        wait_until(lambda: not alive(grandchild))
    else:
        # Nobody inherits what a process without a nursery leaves in a session of its own.
        os.kill(grandchild, signal.SIGKILL)


@linux
def test_a_nursery_that_dies_is_replaced(remote):
    """Killing the nursery ends its child with it; the next request starts another."""
    there = remote("Stranger")
    there.ask(PLAIN)
    life = there.pid
    os.kill(there._keeper.process.popen.pid, signal.SIGKILL)
    wait_until(lambda: not alive(life))
    with pytest.raises(RemoteFailure):
        there.ask(PLAIN)
    assert there.ask(PLAIN).array.tolist() == POOLED


def test_a_call_is_bound_again_in_the_next_life(remote):
    """A bound call works after its process died; an answer that died with it says so."""
    there = remote("Mortal")
    call = there.bind(PLAIN)
    native = call()
    with pytest.raises(Died):
        there.ask(FATAL)
    with pytest.raises(RemoteFailure, match="held this answer has ended"):
        there.fetch(native)
    assert there.fetch(call()).tolist() == POOLED


def test_a_process_can_be_renewed(remote):
    """A Remote that is told to renews its process, and answers as before; without a process it is no error."""
    there = remote("Stranger")
    there.renew()
    there.ask(PLAIN)
    before = there.pid
    there.renew()
    assert there.ask(PLAIN).array.tolist() == POOLED
    assert there.pid != before and not alive(before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")
def test_an_interrupted_request_spoils_none_after_it(remote):
    """Ctrl-C in the middle of a request leaves no late answer for the next one to find."""
    there = remote("Hanging")

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            there.ask(FATAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert there.ask(PLAIN).array.tolist() == POOLED


@starts
def test_closing_ends_everything_and_again_is_no_error(remote, start):
    """After close no process and no descriptor is left, closing again does nothing, and asking is refused."""
    descriptors = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    there = remote("Mortal", start=start)
    there.ask(PLAIN)
    with pytest.raises(Died):
        there.ask(FATAL)
    there.ask(PLAIN)
    life, nursery = there.pid, there._keeper.process.popen
    there.close()
    there.close()
    assert nursery.returncode is not None and not alive(life)
    assert not descriptors or set(os.listdir("/proc/self/fd")) == descriptors
    with pytest.raises(ValueError, match="closed"):
        there.ask(PLAIN)
