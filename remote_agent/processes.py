"""Processes as /proc tells them: who they are, who belongs to a run, and how they are ended."""

import os
import signal
import time
from typing import Callable, Dict, NamedTuple, Optional, Set

COOKIE = "HARBORX_RUN"
"""The environment variable that every process of a run inherits; its value is the run's id."""

_POLL_SECONDS = 0.02
_KILL_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Process(NamedTuple):
    """A process that is no zombie; `start` (clock ticks since boot) tells it from a reused pid."""

    pid: int
    parent: int
    start: int


def look(pid: int) -> Optional[Process]:
    """The process `pid`, None where it is gone or only its exit status is left."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may itself hold spaces and parentheses.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def _everyone() -> Dict[int, Process]:
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def descendants(root: int) -> Set[int]:
    """The pids of all children of `root`, their children, and so on; without `root`."""
    parents = {pid: process.parent for pid, process in _everyone().items()}
    family = {root}
    growing = True
    while growing:
        born = {pid for pid, parent in parents.items() if parent in family} - family
        family |= born
        growing = bool(born)
    return family - {root}


def bearers(run_id: str) -> Set[int]:
    """The pids of all processes whose environment carries the run's cookie; not our own."""
    cookie = f"{COOKIE}={run_id}".encode()
    found = set()
    for pid in _everyone():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:
            continue
        if cookie in environ.split(b"\0"):
            found.add(pid)
    return found - {os.getpid()}


def end(find: Callable[[], Set[int]], grace_seconds: float) -> bool:
    """
    Ends what `find` finds until it finds nothing: SIGTERM once, SIGKILL after `grace_seconds`.

    False where something is left even so (a process stuck in the kernel, or somebody else's).
    """
    found = find()
    _signal(found, signal.SIGTERM)
    started = time.monotonic()
    while found and time.monotonic() - started < grace_seconds:
        time.sleep(_POLL_SECONDS)
        found = find()
    started = time.monotonic()
    while found and time.monotonic() - started < _KILL_SECONDS:
        _signal(found, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
        found = find()
    return not found


def _signal(pids: Set[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass  # gone meanwhile, or not ours


def adopt_orphans() -> None:
    """Makes this process the parent of descendants that lose theirs: none leaves the family."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Has the kernel kill this process with its parent: no benchmark outlives its supervisor."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    import ctypes  # late: `launch` must start fast and needs none of it

    try:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # a second net under the cookie; without it the cookie must do
