"""One benchmark at a time on a home: the lock that a supervisor holds for as long as it lives."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_agent import processes
from tests.agent.instance import (
    OTHER,
    RUN,
    Instance,
    can_lock,
    has_open,
    is_alive,
    spec,
    until,
    with_benchmark,
)

Make = Callable[..., Instance]

# Says its pid and that of a child which hides from everything but its parent, and waits for `go`.
WAITING = with_benchmark("""
import os, subprocess, sys, time
def benchmark(path, seq, start):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True, env={})
    print(os.getpid(), child.pid, flush=True)
    while not os.path.exists(os.path.join(path, "go")):
        time.sleep(0.01)
    return 0
""")
# Makes a machine whose file system can't lock a folder; `site` imports it in every Python.
UNLOCKABLE = """
import errno, fcntl, os, stat
lock = fcntl.flock
def flock(fd, how):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError(errno.EBADF, "not on this file system")
    lock(fd, how)
fcntl.flock = flock
"""


def other() -> dict[str, object]:
    return spec(run_id=OTHER)


def test_a_second_run_is_busy_until_the_first_has_ended(machine: Make) -> None:
    """While a run is alive another is not started and leaves nothing; attaching goes on."""
    instance = machine(WAITING)
    first = instance.launch(spec())
    assert first.answer() == "begin started"
    seconds = [instance.launch(other(), run=OTHER) for _ in range(3)]
    assert [second.answer() for second in seconds] == [f"busy run {RUN}"] * 3
    assert [path.name for path in instance.runs.iterdir()] == [RUN]
    assert instance.launch(spec(), epoch=2).answer() == "begin attached"
    (instance.run_folder / "go").touch()
    assert first.end()["status"] == 0
    assert instance.launch(other(), run=OTHER).answer() == "begin started"


def test_the_lock_is_the_supervisors_alone(machine: Make) -> None:
    """Of all that runs the supervisor alone has the lock, so it ends with it, whoever survives."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream().endswith(b"\n"))
    benchmark, hidden = map(int, session.stream().split())
    others = (session.pid, benchmark, hidden)
    assert has_open(instance.pid(), instance.runs)
    assert not any(has_open(pid, instance.runs) for pid in others)
    os.kill(instance.pid(), signal.SIGKILL)
    until(lambda: not is_alive(instance.pid()))
    assert is_alive(hidden)
    assert can_lock(instance.runs)
    os.kill(hidden, signal.SIGKILL)


def test_a_cleaned_run_has_left_the_lock(machine: Make) -> None:
    """When `cleaned` is said the next run can be started, at once."""
    instance = machine(WAITING)
    assert instance.launch(spec()).answer() == "begin started"
    assert not can_lock(instance.runs)
    assert instance.clean() == "cleaned"
    assert can_lock(instance.runs)


def test_a_lock_that_nobody_explains_is_told_without_a_run(machine: Make) -> None:
    """Where no live run can be found behind the lock, the answer is `busy run` alone."""
    instance = machine(WAITING)
    instance.runs.mkdir(parents=True)
    fd = os.open(instance.runs, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert instance.launch(spec()).answer() == "busy run"
    os.close(fd)
    assert not list(instance.runs.iterdir())


def test_a_lock_held_for_a_moment_delays_the_start(machine: Make) -> None:
    """A launch that meets a run which has just ended waits for it instead of being postponed."""
    instance = machine(WAITING)
    instance.run_folder.mkdir(parents=True)
    fd = os.open(instance.runs, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with subprocess.Popen(["sleep", "60"]) as ending:
        process = until(lambda: processes.look(ending.pid))
        (instance.run_folder / "pid").write_text(f"{process.pid} {process.start}\n")
        (instance.run_folder / "exit").write_text('{"status": 0, "signal": null, "reason": null}')
        session = instance.launch(other(), run=OTHER)
        until(lambda: has_open(session.pid, instance.runs))
        os.close(fd)
        assert session.answer() == "begin started"
        ending.kill()


def test_a_file_system_that_locks_no_folder_is_no_hindrance(machine: Make, tmp_path: Path) -> None:
    """Where a folder can't be locked, runs are started as if it were free."""
    instance = machine(WAITING)
    (tmp_path / "sitecustomize.py").write_text(UNLOCKABLE)
    instance.environ["PYTHONPATH"] = str(tmp_path)
    assert instance.launch(spec()).answer() == "begin started"
    assert can_lock(instance.runs)


@pytest.mark.parametrize("order", [None, spec()])
def test_a_run_that_may_not_start_never_asks_for_the_lock(
    machine: Make, order: dict[str, object] | None
) -> None:
    """Attaching to a run that has ended is answered whatever else is alive."""
    instance = machine(WAITING)
    first = instance.launch(spec())
    until(lambda: instance.run_folder.exists())
    (instance.run_folder / "go").touch()
    assert first.end()["status"] == 0
    assert instance.launch(other(), run=OTHER).answer() == "begin started"
    again = instance.launch(order)
    assert again.answer() == "begin attached"
    assert again.end()["status"] == 0
