"""The lock on the folder of all runs: one benchmark at a time on a home."""

import contextlib
import errno
import fcntl
import os
import time
from typing import Iterator, Optional

from remote_agent.run_folder import RunFolder, run_ids, runs

_POLL_SECONDS = 0.05


class Taken(Exception):
    """Another run of this home has the lock; `run_id` is None where it can't be told which."""

    def __init__(self, run_id: Optional[str]) -> None:
        super().__init__(f"run {run_id}" if run_id else "run")
        self.run_id = run_id


@contextlib.contextmanager
def held(seconds: float) -> Iterator[Optional[int]]:
    """
    Holds the lock, at least while the block runs: a supervisor that is started in it inherits the
    descriptor that the block is given, and holds the lock for as long as it lives.

    None is given where the file system can't lock a folder, which is no reason not to measure.
    Raises `Taken`, after `seconds` where no run is under way, and `OSError` without a folder.
    """
    # The folder itself is locked: no file is left behind, and none can be removed under us.
    fd = os.open(runs(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd if _take(fd, seconds) else None
    finally:
        os.close(fd)  # and no LOCK_UN, which would unlock it for the supervisor too


def _take(fd: int, seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                return False
        run_id = _under_way()
        # Without one a run is just ending or just starting, or `clean` is at work: soon over.
        if run_id or time.monotonic() > limit:
            raise Taken(run_id)
        time.sleep(_POLL_SECONDS)


def _under_way() -> Optional[str]:
    """The run whose supervisor is alive and has not yet written how it ended."""
    for run_id in run_ids():
        folder = RunFolder.of(run_id)
        if folder.supervisor() and not folder.read_exit():
            return run_id
    return None
