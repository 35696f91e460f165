"""A log file that never outgrows its limit and still ends with the last words."""

import os
from typing import Final

from remote_agent.output import write_all

_TAIL: Final = 4096


class BoundedLog:
    """
    Keeps the beginning and the end of what is written, within `limit` bytes together.

    The end waits in memory until `close`, since only then it is known to be the end.
    """

    def __init__(self, fd: int, limit: int) -> None:
        self._fd = fd
        self._room = max(0, limit - _TAIL - 128 - os.fstat(fd).st_size)
        self._keep = min(_TAIL, limit)
        self._left_out = 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Takes `data`, of whatever length. Raises `OSError` where the disk is full."""
        head, rest = data[: self._room], data[self._room :]
        write_all(self._fd, head)
        self._room -= len(head)
        self._left_out += len(rest)
        self._tail = (self._tail + rest)[-self._keep :]

    def close(self) -> None:
        """Writes the end that was kept, after a note of how much is missing. Raises `OSError`."""
        missing = self._left_out - len(self._tail)
        note = f"\n[{missing} bytes left out]\n".encode() if missing else b""
        write_all(self._fd, note + self._tail)
        self._tail, self._left_out = b"", 0
