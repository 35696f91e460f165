"""Processes as /proc tells them: who they are, who belongs to a run, and how they are ended."""

import collections
import contextlib
import os
import signal
import time
from typing import Callable, DefaultDict, List, NamedTuple, Optional, Set

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
    fields = _stat(pid)
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def descendants(root: int) -> Set[int]:
    """
    The pids of all children of `root`, their children, and so on; without `root`.

    Those whose exit status waits to be taken are among them.
    """
    told = os.path.exists("/proc/thread-self/children")  # not every kernel is built to tell
    children = _children if told else _scanned().__getitem__
    family: Set[int] = set()
    born = children(root)
    while born:
        family |= born
        born = {child for pid in born for child in children(pid)} - family
    return family


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


def end(
    find: Callable[[], Optional[Set[int]]], grace_seconds: float, told: Optional[Set[int]] = None
) -> bool:
    """
    Ends what `find` finds until it finds nothing: SIGTERM once, SIGKILL after `grace_seconds`.

    SIGTERM goes to `told` alone where that is given. `find` returns None for processes that are
    there and could not be named. False where something is left even so (a process stuck in the
    kernel, or somebody else's).
    """
    found = find()
    _signal(found if told is None else told, signal.SIGTERM)
    started = time.monotonic()
    while found != set() and time.monotonic() - started < grace_seconds:
        time.sleep(_POLL_SECONDS)
        found = find()
    started = time.monotonic()
    while found != set() and time.monotonic() - started < _KILL_SECONDS:
        _signal(found, signal.SIGKILL)
        before, found = found, find()
        if found and found == before:  # they are dying; new ones would be gone after a sleep
            time.sleep(_POLL_SECONDS)
    return found == set()


def _signal(pids: Optional[Set[int]], number: int) -> None:
    for pid in pids or ():
        try:
            os.kill(pid, number)
        except OSError:
            pass  # gone meanwhile, or not ours


def adopt_orphans() -> None:
    """Makes this process the parent of descendants that lose theirs: none leaves the family."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """
    Has the kernel kill this process with the thread that started it, in the process `parent`.

    For `preexec_fn`: nothing that the agent starts outlives who started it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died meanwhile
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    # A second net under the cookie. Where ctypes is missing or forbidden the cookie must do.
    with contextlib.suppress(Exception):
        import ctypes  # late: `launch` must start fast and needs none of it

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _everyone() -> Set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _stat(pid: int) -> List[bytes]:
    """The fields of /proc/<pid>/stat from the third (the state) on, none where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may itself hold spaces and parentheses.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> Set[int]:
    found: Set[int] = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.update(map(int, file.read().split()))
        except OSError:
            pass  # this thread has gone while we looked
    return found


def _scanned() -> DefaultDict[int, Set[int]]:
    """The same for every process at once, where the kernel does not tell the children of one."""
    found: DefaultDict[int, Set[int]] = collections.defaultdict(set)
    for pid in _everyone():
        fields = _stat(pid)
        if fields:
            found[int(fields[1])].add(pid)
    return found
