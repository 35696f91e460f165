"""Install torch into a virtual environment of our own; never into the supplier's Python."""

import collections
import fcntl
import functools
import os
import select
import signal
import subprocess
import time
from typing import Callable, Deque, List

from remote_agent import processes
from remote_agent.failure import Failure
from remote_agent.machine import nvml
from remote_agent.provision import interpreters
from remote_agent.spec import Provisioning

_KEPT_LINES = 40
_CREATE_SECONDS = 120.0
_LOCK_POLL_SECONDS = 1.0
_TARGET = "import sysconfig; print(sysconfig.get_path('purelib'))"

Tell = Callable[[str, str], None]
"""Takes a step of the event `provision` and a message."""


def install(home: str, base: str, orders: Provisioning, limit: float, tell: Tell) -> str:
    """
    The interpreter of ~/.harborx/venv, made with `base` and given torch where it has none.

    One installation at a time on a machine. `limit` is the moment (monotonic) to give up at.
    Raises `Failure` provision_failed with pip's last lines.
    """
    os.makedirs(home, mode=0o700, exist_ok=True)
    lock = os.open(os.path.join(home, "install.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for(lock, limit, tell)
        python = interpreters.venv_python(home)
        found = interpreters.check(python)
        if found and found.torch:
            return python  # another run has installed it while we waited
        _Installation(base, os.path.dirname(os.path.dirname(python)), limit, tell).run(orders)
        found = interpreters.check(python)
        if not (found and found.torch):
            raise Failure("provision_failed", "torch was installed but can't be imported.")
        return python
    finally:
        os.close(lock)


def requirements(release: str, has_driver: bool) -> List[str]:
    """
    What to ask pip for, in turn: the release, then whatever this Python can have.

    Without an NVIDIA driver the CPU build comes first: it is a tenth of the size.
    """
    exact = [f"torch=={release}", "torch"]
    return exact if has_driver or "+" in release else [f"torch=={release}+cpu", *exact]


def _wait_for(lock: int, limit: float, tell: Tell) -> None:
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > limit:
                raise Failure(
                    "provision_failed", "Another run's installation takes too long."
                ) from None
        if not told:
            tell("installing", "Another run installs torch on this machine; waiting for it.")
            told = True
        time.sleep(_LOCK_POLL_SECONDS)


class _Installation:
    """One attempt; remembers the last lines that any of its commands printed."""

    def __init__(self, base: str, folder: str, limit: float, tell: Tell) -> None:
        self._base = base
        self._folder = folder
        self._python = os.path.join(folder, "bin", "python")
        self._limit = limit
        self._tell = tell
        self._told_at = 0.0
        self._last: Deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def run(self, orders: Provisioning) -> None:
        """Makes the environment and installs torch. Raises `Failure`."""
        pip = self._make_environment()
        options = ["--no-input", "--disable-pip-version-check", "--no-cache-dir"]
        options += ["--progress-bar", "off", "--retries", "2", "--timeout", "30"]
        if orders.index_url:
            options += ["--index-url", orders.index_url]
        for wanted in requirements(orders.torch, nvml.has_driver()):
            self._tell("installing", f"Installing {wanted}.")
            self._last.clear()
            if self._runs([*pip, *options, wanted], self._limit - time.monotonic()):
                return
            if not any("No matching distribution" in line for line in self._last):
                break  # the network or the disk, which another name won't mend
        raise self._failure("torch could not be installed.")

    def _make_environment(self) -> List[str]:
        """Makes the virtual environment; returns the command that installs into it."""
        own_pip = [self._python, "-m", "pip"]
        if self._runs([*own_pip, "--version"]):
            return [*own_pip, "install"]
        self._tell("creating_venv", f"Making a virtual environment with {self._base}.")
        for maker in (
            [self._base, "-m", "venv", "--clear", self._folder],
            [self._base, "-m", "virtualenv", "--clear", self._folder],
        ):
            if self._runs(maker) and self._runs([*own_pip, "--version"]):
                return [*own_pip, "install"]
        # Debian keeps ensurepip in a package of its own. Without it a virtual environment has
        # no pip, but the one outside can fill it.
        bare = [self._base, "-m", "venv", "--clear", "--without-pip", self._folder]
        outer_pip = [self._base, "-m", "pip"]
        steps = (bare, [*outer_pip, "--version"], [self._python, "-c", _TARGET])
        if all(self._runs(step) for step in steps):
            return [*outer_pip, "install", "--target", self._last[-1]]
        raise self._failure(
            "No virtual environment with pip can be made. Install python3-venv, or torch itself."
        )

    def _runs(self, argv: List[str], seconds: float = _CREATE_SECONDS) -> bool:
        """Runs `argv` to its end or for `seconds`, telling its lines; whether it succeeded."""
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(processes.die_with, os.getpid()),
            )
        except OSError as error:
            self._last.append(str(error))
            return False
        with child:
            limit = time.monotonic() + seconds
            assert child.stdout is not None
            in_time = _each_line(child.stdout.fileno(), self._hear, limit)
            if not in_time:
                self._last.append(f"stopped after {seconds:.0f} s")
                child.send_signal(signal.SIGKILL)
        return in_time and child.returncode == 0

    def _hear(self, line: str) -> None:
        self._last.append(line)
        now = time.monotonic()
        if now - self._told_at >= 1.0:
            self._told_at = now
            self._tell("installing", line[:500])

    def _failure(self, message: str) -> Failure:
        return Failure("provision_failed", message, "\n".join(self._last))


def _each_line(fd: int, hear: Callable[[str], None], limit: float) -> bool:
    """Calls `hear` with a pipe's lines as they come; False where `limit` came before its end."""
    rest = b""
    while True:
        left = limit - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            return False
        piece = os.read(fd, 65_536)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines if piece else [rest]:
            text = line.decode("utf-8", "replace").strip()
            if text:
                hear(text)
        if not piece:
            return True
