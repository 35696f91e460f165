"""Whole writes, and the answers that the orchestrator finds among a login shell's noise."""

import os


def write_all(fd: int, data: bytes) -> None:
    """Writes every byte of `data`. Raises `OSError`, `BrokenPipeError` among them."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class Answers:
    """Lines `@harborx <marker> ...`, unbuffered: nothing is left to flush on a dead pipe."""

    def __init__(self, marker: str) -> None:
        self._marker = marker

    def say(self, text: str, fd: int = 1) -> None:
        """Writes one answer; line breaks within `text` become spaces. Raises `OSError`."""
        line = f"@harborx {self._marker} {' '.join(text.splitlines())}\n"
        write_all(fd, line.encode("utf-8", "replace"))
