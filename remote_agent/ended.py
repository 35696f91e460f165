"""
Which runs were ended and removed here, by which epoch: a worker that slept through that must not start one anew.

One small file beside the agents, bounded in length and age; a run's own folder is gone by then.
"""

import contextlib
import fcntl
import os
import time
from typing import Iterator, List, Tuple

from remote_agent.run_folder import home

_MOST = 200
_SECONDS = 24 * 3600.0  # no worker sleeps longer and finds its connection alive
_BYTES = 64 * 1024


def note(run_id: str, epoch: int) -> None:
    """Remembers that run `run_id` was ended under `epoch`. Raises `OSError`."""
    with _locked():
        kept = [entry for entry in _entries() if entry[0] != run_id]
        kept.append((run_id, max(epoch, epoch_of(run_id)), time.time()))
        temporary = f"{_path()}.tmp"
        with open(temporary, "w", encoding="ascii") as file:
            file.writelines(f"{run} {known} {at:.0f}\n" for run, known, at in kept[-_MOST:])
        os.replace(temporary, _path())


def epoch_of(run_id: str) -> int:
    """The highest epoch under which the run was ended here, -1 where it was not."""
    return max((epoch for run, epoch, _ in _entries() if run == run_id), default=-1)


def _entries() -> List[Tuple[str, int, float]]:
    """What can be read of the file and is not too old, oldest first."""
    try:
        with open(_path(), encoding="ascii", errors="replace") as file:
            lines = file.read(_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            found.append((words[0], int(words[1]), float(words[2])))
    now = time.time()
    return [entry for entry in found if abs(now - entry[2]) < _SECONDS]


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """The folder itself is locked, as `runs` is; where it can't be, two notes at once may lose one."""
    os.makedirs(home(), 0o700, exist_ok=True)
    fd = os.open(home(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)  # held for milliseconds by whoever has it
        yield
    finally:
        os.close(fd)


def _path() -> str:
    return os.path.join(home(), "ended")
