"""`supervise`: run the benchmark, bound its time and its output, and record how it ended."""

import errno
import functools
import os
import select
import signal
import subprocess
import sys
import time
from typing import List, Optional, Set

from remote_agent import own_code, processes, spec
from remote_agent.bounded_log import BoundedLog
from remote_agent.run_folder import RunFolder

DISK_FULL_STATUS = 74
"""The exit status by which a child says that the disk was full (EX_IOERR of sysexits.h)."""

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_FOLDER_LOST = "folder_lost"
_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0


def supervise(path: str) -> int:
    """Runs the benchmark of the run folder at `path` to its end; returns 0. Raises `OSError`."""
    folder = RunFolder(path)
    try:
        with open(folder.spec, encoding="utf-8") as file:
            orders = spec.parse(file.read())
        Supervisor(folder, orders).run(own_code.command(sys.executable, "benchmark", path))
    except FileNotFoundError:
        if folder.exists():
            raise
    return 0


class Supervisor:
    """One child with all its descendants, from start to exit file."""

    def __init__(
        self, folder: RunFolder, orders: spec.Spec, grace_seconds: float = _GRACE_SECONDS
    ) -> None:
        self._folder = folder
        self._orders = orders
        self._grace_seconds = grace_seconds
        self._deadline = time.monotonic() + orders.deadline_seconds
        self._events = os.open(folder.events, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        log = os.open(folder.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log = BoundedLog(log, orders.stderr_bytes)
        self._stderr: Optional[int] = None
        self._child = 0
        self._wait_status: Optional[int] = None

    def run(self, argv: List[str]) -> None:
        """Runs `argv`, leaves none of its processes behind and writes the exit file."""
        processes.adopt_orphans()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _leave)
        try:
            self._start(argv)
            reason = self._watch()
        finally:
            self._end_tree()
        reason = self._wind_up(reason)
        # Without a folder there is nobody to tell, and one that took its place is another's.
        if self._folder.holds(self._events):
            self._record(reason)

    def _start(self, argv: List[str]) -> None:
        self._stderr, writer = os.pipe()
        os.set_blocking(self._stderr, False)
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self._events,
            stderr=writer,
            start_new_session=True,
            # The lock on the folder of all runs, which we inherited, must end with us.
            close_fds=True,
            env=dict(
                os.environ, **{processes.COOKIE: self._orders.run_id}, **self._folder.caches()
            ),
            preexec_fn=functools.partial(processes.die_with, os.getpid()),  # no threads here
        )
        os.close(writer)
        self._child = child.pid
        # We reap every child ourselves, adopted ones among them; Popen must not look for its own.
        child.returncode = 0

    def _watch(self) -> Optional[str]:
        """Waits for the child's end; the reason where it must be ended by us."""
        while self._wait_status is None:
            try:
                self._drain(_POLL_SECONDS)
            except OSError as error:
                if error.errno not in FULL_DISK:
                    raise
                return "disk_full"
            self._reap()
            if not self._folder.holds(self._events):
                return _FOLDER_LOST
            if os.fstat(self._events).st_size > self._orders.events_bytes:
                return "output_limit"
            if time.monotonic() > self._deadline:
                return "deadline" if self._wait_status is None else None
        return None

    def _drain(self, seconds: float) -> None:
        """Moves what the child wrote to stderr into the log, waiting up to `seconds` for it."""
        if self._stderr is None:
            time.sleep(seconds)
            return
        if not select.select([self._stderr], [], [], seconds)[0]:
            return
        try:
            piece = os.read(self._stderr, 65_536)
        except BlockingIOError:
            return
        if piece:
            self._log.write(piece)
        else:
            os.close(self._stderr)
            self._stderr = None

    def _reap(self) -> bool:
        """Takes the exit statuses that wait, also of orphans; whether we have children left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child:
                self._wait_status = status

    def _end_tree(self) -> None:
        """Ends the child's group at once, then whoever left the group but not the family."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are leaving; once is enough
        if self._child and self._wait_status is None:
            _signal_group(self._child, signal.SIGTERM)
        processes.end(self._family, self._grace_seconds)
        self._reap()

    def _family(self) -> Optional[Set[int]]:
        # A list of processes misses one that forks and exits faster than we read. Such a one is
        # always somebody's child, though, and every orphan ours: the kernel's word is the last.
        if self._reap():
            return processes.descendants(os.getpid()) or None
        return processes.bearers(self._orders.run_id)

    def _wind_up(self, reason: Optional[str]) -> Optional[str]:
        """Saves the last words and looks once more for bounds that were broken at the very end."""
        if os.fstat(self._events).st_size > self._orders.events_bytes:
            os.ftruncate(self._events, self._orders.events_bytes)
            reason = reason or "output_limit"
        try:
            for _ in range(64):  # a pipe holds 64 KiB; a survivor may go on writing for ever
                self._drain(0.0)
            self._log.close()
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            reason = reason or "disk_full"
        status = self._wait_status
        if status is not None and os.WIFEXITED(status):
            told = os.WEXITSTATUS(status) == DISK_FULL_STATUS
            reason = reason or ("disk_full" if told else None)
        return reason

    def _record(self, reason: Optional[str]) -> None:
        status = self._wait_status
        exited = status is not None and os.WIFEXITED(status)
        code = os.WEXITSTATUS(status) if status is not None and exited else None
        name = _signal_name(os.WTERMSIG(status)) if status is not None and not exited else None
        try:
            self._folder.write_exit(code, name, reason)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            # The word of how it ended is worth more than the log that fills the disk.
            os.truncate(self._folder.stderr, 0)
            self._folder.write_exit(code, name, reason or "disk_full")


def _leave(*_: object) -> None:
    """SIGTERM: the machine goes down or `clean` is at work. Unwinding ends the tree."""
    sys.exit(128 + signal.SIGTERM)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the kernel has more real-time signals than Python has names
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except OSError:
        pass  # gone meanwhile
