"""Run the commands of an installation, pass on what they say, and remember what it means."""

import collections
import functools
import glob
import os
import re
import select
import signal
import subprocess
import time
from typing import Callable, Deque, Dict, List, Optional, Set, Tuple

from remote_agent import processes

_KEPT_LINES = 40
_TELL_SECONDS = 1.0
_MB = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}
_DOWNLOAD = re.compile(r"Downloading (?:\S*/)?([^/\s]+\.(?:whl|gz)) \(([\d.]+) (bytes|kB|MB|GB)\)")

DISK, NETWORK, NOTHING = "disk", "network", "nothing"
"""What may be wrong: the disk is full, the index can't be reached, or it has nothing that fits."""

# As pip, uv and the C library say it, in lower case; a command runs in the C locale.
_SIGNS: Dict[str, Tuple[str, ...]] = {
    DISK: ("no space left on device", "disk quota exceeded"),
    NETWORK: (
        "failed to establish a new connection",
        "could not connect",
        "name or service not known",
        "name resolution",
        "network is unreachable",
        "no route to host",
        "connection refused",
        "connection reset",
        "connection aborted",
        "connection broken",
        "remote end closed",
        "timed out",
        "timeout",
        "max retries exceeded",
        "proxyerror",
        "sslerror",
        "certificate_verify_failed",
        "incompleteread",
        "incomplete-download",
        "dns error",
        "error sending request",
    ),
    NOTHING: (
        "no matching distribution",
        "could not find a version",
        "is not a supported wheel",
        "no solution found",
        "resolutionimpossible",
    ),
}

# They would lead pip out of our own folder or to another Python, have it keep nothing, take or leave out what
# was not asked for, or hide what went wrong.
_MISLEADING = (
    *("PIP_PYTHON", "PIP_CONSTRAINT", "PIP_NO_DEPS", "PIP_DRY_RUN", "PIP_NO_BINARY", "UV_NO_CACHE"),
    *("UV_CONSTRAINT", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "PYTHONPATH"),
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME"),
    *("PIP_NO_CACHE_DIR", "PIP_QUIET"),
)

Tell = Callable[[str, str], None]
"""Takes a step of the event `provision` and a message."""


class Commands:
    """Runs one command after another; `last` lines and `signs` are of the latest."""

    def __init__(self, parts: str, tell: Tell) -> None:
        """`parts` is the folder for what is downloaded and unpacked; it may not exist yet."""
        self.last: Deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self.signs: Set[str] = set()
        self.downloading = False
        self._parts = parts
        self._tell = tell
        self._told_at = 0.0
        self._download: Optional[Tuple[str, float]] = None

    def run(self, argv: List[str], seconds: float) -> bool:
        """Runs `argv` to its end or for `seconds`, telling its lines; whether it succeeded."""
        self.last.clear()
        self.signs.clear()
        self.downloading, self._download = False, None
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environ(self._parts),
                preexec_fn=functools.partial(processes.die_with, os.getpid()),
            )
        except OSError as error:
            self.last.append(str(error))
            return False
        with child:
            assert child.stdout is not None
            limit = time.monotonic() + seconds
            in_time = _each_line(child.stdout.fileno(), self._hear, self._look, limit)
            if not in_time:
                self.last.append(f"stopped after {seconds:.0f} s")
                child.send_signal(signal.SIGKILL)
        return in_time and child.returncode == 0

    def _hear(self, line: str) -> None:
        self.last.append(line)
        low = line.lower()
        for sign, words in _SIGNS.items():
            if any(word in low for word in words):
                self.signs.add(sign)
        found = _DOWNLOAD.search(line)
        self._download = (
            (found.group(1), float(found.group(2)) * _MB[found.group(3)]) if found else None
        )
        self.downloading = self.downloading or found is not None
        self._say(line[:500])

    def _look(self) -> None:
        """How much of the file is here: most releases of pip don't tell when nobody watches."""
        if self._download is None:
            return
        name, total = self._download
        sizes = [_size(path) for path in glob.glob(os.path.join(temporary(self._parts), "*", name))]
        if sizes:
            self._say(f"Downloading {name}: {max(sizes) / 1e6:.0f} of {total:.0f} MB")

    def _say(self, message: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            self._tell("installing", message)


def temporary(parts: str) -> str:
    """Where a command that downloads into `parts` unpacks; /tmp is often small, and of memory."""
    return os.path.join(parts, "tmp")


def _environ(parts: str) -> Dict[str, str]:
    environ = dict(os.environ)
    for name in _MISLEADING:
        environ.pop(name, None)
    environ.update(PIP_USER="0", PIP_RESUME_RETRIES="5", LC_ALL="C", LANGUAGE="C")
    environ.update(UV_CACHE_DIR=os.path.join(parts, "uv"), UV_PYTHON_DOWNLOADS="never")
    if os.path.isdir(temporary(parts)):
        environ["TMPDIR"] = temporary(parts)
    return environ


def _each_line(
    fd: int, hear: Callable[[str], None], look: Callable[[], None], limit: float
) -> bool:
    """
    Calls `hear` with a pipe's lines as they come, and `look` while none do.

    False where `limit` came before the pipe's end.
    """
    rest = b""
    while True:
        left = limit - time.monotonic()
        if left <= 0:
            return False
        if not select.select([fd], [], [], min(left, _TELL_SECONDS))[0]:
            look()
            continue
        piece = os.read(fd, 65_536)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines if piece else [rest]:
            text = line.decode("utf-8", "replace").strip()
            if text:
                hear(text)
        if not piece:
            return True


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
