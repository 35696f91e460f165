"""How fast the file system of a folder writes and reads, past the page cache where that can be."""

import contextlib
import errno
import fcntl
import math
import mmap
import os
import struct
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from remote_agent.measure import interval
from remote_agent.measure.figure import Figure

METHOD = 1
"""Raised whenever the way of measuring changes so that figures do not compare any more."""

MEGA = 1e6

_BLOCK = 2**23
_MOST_BLOCKS = 64  # 512 MiB
_FREE_SHARE = 0.1
_LEFT_FREE = 2**31
_SYNC_BLOCKS = 4  # without O_DIRECT: more would let one fsync outlast the budget
_NAMES = ("disk write", "disk read")


class _File(NamedTuple):
    """An open file without a name; `direct` says that the page cache is not used."""

    fd: int
    direct: bool
    nameless: bool


def throughput(folder: str, seconds: float) -> List[Figure]:
    """
    MB/s (10^6 bytes) written to and read from a file in `folder`, within about `seconds`.

    Up to 512 MiB, no more than a tenth of what is free, and never the last 2 GiB. The file has no name
    from the start on, so whatever ends us removes it. What can't be measured has a value of None.
    """
    told: Dict[str, Any] = {"block_bytes": _BLOCK, "file_system": _file_system(folder)}
    blocks = 0
    try:
        blocks = _room(folder)
        if not blocks:
            return _unmeasured(dict(told, error="less than 2 GiB would be left free"), [])
        file = _opened(folder)
    except OSError as error:
        return _unmeasured(dict(told, error=_text(error)), [])
    told["method"] = "O_DIRECT" if file.direct else "fsync and posix_fadvise"
    told["nameless"] = file.nameless
    figures: List[Figure] = []
    try:
        written = _written(file, blocks, seconds / 2)
        figures.append(_figure(_NAMES[0], written, file, told))
        read = _read(file, len(written) * (1 if file.direct else _SYNC_BLOCKS), seconds / 2)
        figures.append(_figure(_NAMES[1], read, file, told))
        return figures
    except OSError as error:
        return _unmeasured(dict(told, error=_text(error)), figures)
    finally:
        os.close(file.fd)


def _room(folder: str) -> int:
    """How many blocks may be written: a multiple of what is synced at once."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    blocks = int(min(_FREE_SHARE * free, free - _LEFT_FREE)) // _BLOCK
    return max(0, min(_MOST_BLOCKS, blocks)) // _SYNC_BLOCKS * _SYNC_BLOCKS


def _opened(folder: str) -> _File:
    """A file past the page cache, or else a usual one. Raises `OSError`."""
    direct = getattr(os, "O_DIRECT", 0)
    if direct:
        try:
            fd, nameless = _nameless(folder, direct)
        except OSError as error:
            if error.errno != errno.EINVAL:  # such as tmpfs says
                raise
        else:
            # Some file systems open it and only then refuse to write.
            if _writes(fd):
                return _File(fd, True, nameless)
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~direct)
            return _File(fd, False, nameless)
    fd, nameless = _nameless(folder, 0)
    return _File(fd, False, nameless)


def _nameless(folder: str, flags: int) -> Tuple[int, bool]:
    """A new file without a name, and whether it never had one; else it is unlinked at once."""
    flags |= os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(folder, flags | os.O_TMPFILE, 0o600), True
        except OSError as error:
            # Not every file system has such files; an old kernel takes it for opening the folder.
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
    path = os.path.join(folder, f".harborx-disk-{os.urandom(8).hex()}")
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), False
    finally:
        # A refusal of O_DIRECT leaves the file that it was refused for.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _writes(fd: int) -> bool:
    """Whether the file takes a whole aligned block past the page cache."""
    with mmap.mmap(-1, _BLOCK) as buffer:
        try:
            return os.pwrite(fd, buffer, 0) == _BLOCK
        except OSError as error:
            if error.errno != errno.EINVAL:
                os.close(fd)
                raise
            return False


def _written(file: _File, blocks: int, seconds: float) -> List[float]:
    """
    Writes up to `blocks` blocks; the seconds of each, or of each few that were synced together.

    The last one's time holds that of the closing fsync. Raises `OSError`.
    """
    random = os.urandom(_BLOCK)  # what can't be compressed
    with mmap.mmap(-1, _BLOCK) as buffer:  # memory of its own pages, as O_DIRECT wants it
        buffer[:] = random

        def write(number: int) -> None:
            struct.pack_into("<Q", buffer, 0, number)
            if os.pwrite(file.fd, buffer, number * _BLOCK) != _BLOCK:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        took = _timed(file, write, blocks, seconds, lambda: os.fdatasync(file.fd))
        started = time.perf_counter()
        os.fsync(file.fd)
        took[-1] += time.perf_counter() - started
    return took


def _read(file: _File, blocks: int, seconds: float) -> List[float]:
    """Reads the blocks that were written; their seconds as `_written` has them. Raises `OSError`."""
    if not file.direct:
        os.posix_fadvise(file.fd, 0, 0, os.POSIX_FADV_DONTNEED)
    with mmap.mmap(-1, _BLOCK) as buffer:

        def read(number: int) -> None:
            whole = os.preadv(file.fd, [buffer], number * _BLOCK) == _BLOCK
            if not whole or struct.unpack_from("<Q", buffer, 0)[0] != number:
                raise OSError(errno.EIO, "something else was read than was written")

        return _timed(file, read, blocks, seconds, None)


def _timed(
    file: _File,
    act: Callable[[int], None],
    blocks: int,
    seconds: float,
    after: Optional[Callable[[], None]],
) -> List[float]:
    """The seconds of each group of blocks, as long as the budget lasts; one at least."""
    size = 1 if file.direct else _SYNC_BLOCKS
    took: List[float] = []
    ends = time.perf_counter() + seconds
    for first in range(0, blocks, size):
        started = time.perf_counter()
        for number in range(first, first + size):
            act(number)
        if after is not None and not file.direct:
            after()
        now = time.perf_counter()
        took.append(now - started)
        if now >= ends:
            break
    return took


def _figure(name: str, took: List[float], file: _File, told: Dict[str, Any]) -> Figure:
    size = _BLOCK * (1 if file.direct else _SYNC_BLOCKS)
    low, high = interval.bootstrap(took)
    total = math.fsum(took)
    return Figure(
        name,
        size * len(took) / total / MEGA,
        "MB/s",
        low=size / high / MEGA,
        high=size / low / MEGA if low > 0 else None,
        configuration={"method": METHOD, "kernel": name, "how": told["method"], "block": _BLOCK},
        detail=dict(told, bytes=size * len(took), seconds=total),
    )


def _unmeasured(told: Dict[str, Any], figures: List[Figure]) -> List[Figure]:
    """`figures`, and those that are missing without a value."""
    missing = _NAMES[len(figures) :]
    return figures + [Figure(name, None, "MB/s", detail=told) for name in missing]


def _file_system(folder: str) -> Optional[str]:
    """What kind of file system holds `folder`, such as ext4 or overlay; None where /proc can't tell."""
    try:
        device = os.stat(folder).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}".encode()
        with open("/proc/self/mountinfo", "rb") as file:
            for line in file:
                before, _, after = line.partition(b" - ")
                if before.split()[2] == wanted:
                    return after.split()[0].decode("ascii", "replace")
    except (OSError, IndexError):
        pass
    return None


def _text(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, error.errno)}: {error.strerror}"[:200]
