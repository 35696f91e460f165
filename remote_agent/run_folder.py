"""The folder of one run on the instance: its files, its lock and its epoch."""

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Dict, Iterator, List, Optional

from remote_agent import processes, spec

_POLL_SECONDS = 0.02
_REMOVED = ".removed"
_EXIT_BYTES = 65_536  # far more than we ever write; the supplier can write there too


class EpochRefused(Exception):
    """A newer epoch has spoken; whoever asked is a zombie."""

    def __init__(self, known: int) -> None:
        super().__init__(f"epoch {known} has spoken")
        self.known = known


class FolderGone(Exception):
    """The folder was removed while we waited for its lock."""


def home() -> str:
    """~/.harborx, absolute; not created."""
    return os.path.join(os.path.expanduser("~"), ".harborx")


def runs() -> str:
    """The folder that holds the folders of all runs; not created."""
    return os.path.join(home(), "runs")


def run_ids() -> List[str]:
    """The runs that have a folder on this machine, sorted."""
    return sorted(filter(spec.is_run_id, _names()))


def removed() -> List[str]:
    """The paths of folders whose removal was begun by whomever, and not ended."""
    ends = len(_REMOVED)
    return [
        os.path.join(runs(), name)
        for name in _names()
        if name.endswith(_REMOVED) and spec.is_run_id(name[:-ends])
    ]


def boot_id() -> Optional[str]:
    """The kernel's name for the time since the machine started, None where it tells none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip() or None
    except OSError:
        return None


class RunFolder:
    """Paths and small files of one run; whoever changes them holds `locked`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.spec = os.path.join(path, "spec.json")
        self.events = os.path.join(path, "events.ndjson")
        self.stderr = os.path.join(path, "stderr.log")
        self._removed = path + _REMOVED

    @classmethod
    def of(cls, run_id: str) -> "RunFolder":
        """The folder of run `run_id`, which must be a UUID; not created."""
        return cls(os.path.join(runs(), run_id))

    def create(self) -> bool:
        """Makes the folder, for its owner alone; False where it is there. Raises `OSError`."""
        os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            return False
        return True

    def caches(self) -> Dict[str, str]:
        """Where torch and the driver keep compiled kernels, by their variables: in here, so that none stay behind."""
        names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
        return {
            name: os.path.join(self.path, "cache", name.split("_")[0].lower()) for name in names
        }

    def exists(self) -> bool:
        return os.path.isdir(self.path)

    def holds(self, events: int) -> bool:
        """
        Whether the open file `events` is this folder's events.ndjson.

        It is not once somebody has removed, moved or replaced the file or the folder.
        """
        try:
            return _is_same_file(events, self.events)
        except OSError:
            return True  # a file system that can't answer just now has lost nothing yet

    def remove(self) -> None:
        """Removes the folder with all that is in it. Raises `OSError`."""
        self.remove_leavings()
        # Renamed first: a launch finds the whole folder or none, never half of one.
        os.rename(self.path, self._removed)
        self.remove_leavings()

    def remove_leavings(self) -> None:
        """Removes what a removal that was stopped has left. Raises `OSError`."""
        import shutil  # late: attaching must start fast and needs none of it

        with contextlib.suppress(FileNotFoundError):  # another `clean` may be at it too
            shutil.rmtree(self._removed)

    @contextlib.contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """
        Holds the folder's lock, which the kernel frees when its holder dies.

        Raises `FolderGone`, `TimeoutError` after `seconds`, or another `OSError`.
        """
        path = os.path.join(self.path, "lock")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            raise FolderGone(self.path) from None
        try:
            _wait_for_lock(fd, seconds)
            if not _is_same_file(fd, path):
                raise FolderGone(self.path)
            yield
        finally:
            os.close(fd)

    def admit(self, epoch: int) -> None:
        """Notes `epoch` as the highest that has spoken. Raises `EpochRefused`, `OSError`."""
        known = int(self._read("epoch") or 0)
        if epoch < known:
            raise EpochRefused(known)
        if epoch > known:
            try:
                self.write("epoch", f"{epoch}\n")
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self._overwrite("epoch", f"{epoch}\n")

    def write(self, name: str, text: str, sync: bool = False) -> None:
        """Puts `text` into the file `name` in one step, to the disk if `sync`. Raises `OSError`."""
        temporary = os.path.join(self.path, name + ".tmp")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, os.path.join(self.path, name))

    def _overwrite(self, name: str, text: str) -> None:
        """Like `write` where the disk is full: the blocks that the file has are enough for a number."""
        with open(os.path.join(self.path, name), "r+", encoding="utf-8") as file:
            file.write(text)  # epochs only grow, so nothing of the old one is left behind it

    def note_supervisor(self) -> None:
        """Records this process as the supervisor; exec keeps both its numbers. Raises `OSError`."""
        process = processes.look(os.getpid())
        self.write("boot_id", f"{boot_id() or ''}\n")
        self.write("pid", f"{os.getpid()} {process.start if process else 0}\n")

    def forget_supervisor(self) -> None:
        """Undoes `note_supervisor` for a supervisor that could not be started."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.path, "pid"))

    def was_started(self) -> bool:
        """Whether a supervisor was ever started here, alive or not."""
        return self._read("pid") is not None

    def supervisor(self) -> Optional[int]:
        """The pid of the supervisor if that very process is alive, else None."""
        words = (self._read("pid") or "").split()
        if len(words) != 2 or not all(word.isdigit() for word in words):
            return None
        process = processes.look(int(words[0]))
        return process.pid if process and process.start == int(words[1]) else None

    def rebooted(self) -> bool:
        """Whether the machine has started anew since the launch."""
        then, now = (self._read("boot_id") or "").strip(), boot_id()
        return bool(then and now and then != now)

    def write_exit(
        self, status: Optional[int], signal: Optional[str], reason: Optional[str]
    ) -> None:
        """Records how the run ended (`signal` as "SIGKILL"); whoever sees the file sees it whole. Raises `OSError`."""
        ending = {"status": status, "signal": signal, "reason": reason}
        self.write("exit", json.dumps(ending) + "\n", sync=True)

    def read_exit(self) -> Optional[Dict[str, Any]]:
        """`status`, `signal` and `reason` of a run that has ended, else None."""
        text = self._read("exit")
        if text is None:
            return None
        try:
            ending = json.loads(text)
        except ValueError:
            return None
        return ending if isinstance(ending, dict) else None

    def _read(self, name: str) -> Optional[str]:
        try:
            with open(os.path.join(self.path, name), encoding="utf-8", errors="replace") as file:
                return file.read(_EXIT_BYTES)
        except OSError:
            return None


def _names() -> List[str]:
    try:
        return os.listdir(runs())
    except OSError:
        return []


def _wait_for_lock(fd: int, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                raise
        if time.monotonic() > limit:
            raise TimeoutError(errno.ETIMEDOUT, "another launch holds this run's lock")
        time.sleep(_POLL_SECONDS)


def _is_same_file(fd: int, path: str) -> bool:
    try:
        named = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    held = os.fstat(fd)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)
