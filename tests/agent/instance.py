"""A machine for the agent: a home in a temporary folder, a packed agent in it, and its commands."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.domain.events import Decoder, Event
from orchestrator.ssh.agent_archive import pack

# Never the same twice: `clean` ends whoever carries a run's id, in other test sessions too.
RUN, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
NONCE = "0123456789abcdef0123456789abcdef"
MARKER = "c0ffee"


def spec(**changes: Any) -> dict[str, Any]:
    """A complete spec of the contract: the smallest ResNet-50 test, on the CPU."""
    return {
        "run_id": RUN,
        "epoch": 1,
        "nonce": NONCE,
        "deadline_seconds": 120,
        "options": {
            "batch_size": 125,
            "num_epochs": 1,
            "image_size": 16,
            "device": "cpu",
            "budget_seconds": 0.3,
        },
        "provision": {"install": False, "torch": "2.13.0", "index_url": None},
        "limits": {"events_bytes": 67108864, "stderr_bytes": 1048576},
        **changes,
    }


def with_benchmark(source: str, pynvml: str | None = None) -> bytes:
    """
    The packed agent with `source` in the place of its benchmark; all else is the real thing,
    except NVIDIA's library where `pynvml` is the source of another.
    """
    packed, changed = io.BytesIO(pack().content), io.BytesIO()
    others = {"remote_agent/benchmark.py": source, "pynvml.py": pynvml}
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, others.get(name) or old.read(name))
    return changed.getvalue()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `condition` returns once it is true; fails after `seconds`."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "the awaited condition did not come"
        time.sleep(0.01)
    return found


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def naming(words: object) -> set[int]:
    """The live processes with `words` in their command line, which a fork keeps."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has gone meanwhile
            if str(words).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(int(pid))
    return found


def has_open(pid: int, path: Path) -> bool:
    """Whether the process `pid` has `path` open."""
    return any(os.path.realpath(fd) == str(path) for fd in Path(f"/proc/{pid}/fd").iterdir())


def can_lock(path: Path) -> bool:
    """Whether nobody holds a lock on `path`; asked once, without waiting."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


class Session:
    """One exec of the agent: stdin stays open until `hang_up`; output goes to files."""

    def __init__(self, argv: list[str], environ: dict[str, str], folder: Path) -> None:
        folder.mkdir()
        self._paths = (folder / "stdout", folder / "stderr")
        with self._paths[0].open("wb") as stdout, self._paths[1].open("wb") as stderr:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=environ
            )

    @property
    def stdout(self) -> bytes:
        return self._paths[0].read_bytes()

    @property
    def stderr(self) -> str:
        return self._paths[1].read_text()

    def answer(self) -> str:
        """The first line, without its marker."""
        until(lambda: b"\n" in self.stdout or self._process.poll() is not None)
        line, _, _ = self.stdout.partition(b"\n")
        prefix = f"@harborx {MARKER} "
        assert line.decode().startswith(prefix), (line, self.stderr)
        return line.decode()[len(prefix) :]

    def stream(self) -> bytes:
        """What followed the first line."""
        return self.stdout.partition(b"\n")[2]

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self, seconds: float = 60.0) -> dict[str, Any]:
        """Waits until the agent has ended by itself; its end line."""
        assert self._process.wait(seconds) == 0, self.stderr
        self.hang_up()
        last = self.stderr.splitlines()[-1]
        prefix = f"@harborx {MARKER} end "
        assert last.startswith(prefix), self.stderr
        return json.loads(last[len(prefix) :])

    def hang_up(self) -> None:
        """Ends stdin, as a lost connection does, and waits for the agent to go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def kill(self) -> None:
        """The end of a session that was not asked: SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self.hang_up()


class Instance:
    """The machine. Its agent is `archive`, run by `python`."""

    def __init__(self, folder: Path, archive: bytes, python: str = sys.executable) -> None:
        self._folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.agent = self.home / "agent.pyz"
        self.agent.write_bytes(archive)
        self._sha256 = hashlib.sha256(archive).hexdigest()
        self._python = python
        self._sessions: list[Session] = []
        self.runs = self.home / ".harborx" / "runs"
        self.run_folder = self.runs / RUN
        self.environ = {"HOME": str(self.home), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}

    def launch(
        self,
        orders: dict[str, Any] | None,
        *,
        epoch: int = 1,
        offset: int = 0,
        sha256: str | None = None,
        run: str = RUN,
    ) -> Session:
        """`launch`; without `orders` it only attaches."""
        options = ["--offset", str(offset), "--sha256", sha256 or self._sha256]
        return self._run("launch", run, epoch, options, json.dumps(orders) if orders else "")

    def clean(self, epoch: int = 1, *, run: str = RUN, keep: str | None = None) -> str:
        """`clean`; its answer."""
        session = self._run("clean", run, epoch, ["--keep", keep] if keep else [], "")
        answer = session.answer()
        session.hang_up()
        return answer

    def pid(self) -> int:
        """The supervisor's pid, once it is noted."""
        path = self.run_folder / "pid"
        return int(until(lambda: path.exists() and path.read_text().split())[0])

    def close(self) -> None:
        """Ends every session and every process of every run."""
        for session in self._sessions:
            session.kill()
        for run in (RUN, OTHER):
            self.clean(epoch=10**9, run=run)
        for session in self._sessions:
            session.hang_up()

    def _run(self, command: str, run: str, epoch: int, options: list[str], line: str) -> Session:
        argv = [self._python, str(self.agent), command, "--run", run, "--epoch", str(epoch)]
        argv += ["--marker", MARKER, *options]
        if line:
            argv += ["--spec", urlsafe_b64encode(line.encode()).decode().rstrip("=")]
        folder = self._folder / f"session-{len(self._sessions)}"
        session = Session(argv, self.environ, folder)
        self._sessions.append(session)
        return session


def decoded(stream: bytes) -> list[Event]:
    """The events of `stream`; fails where the orchestrator's decoder would refuse or overlook one."""
    decoder = Decoder(NONCE)
    items = [*decoder.feed(stream), *decoder.flush()]
    assert all(isinstance(item, Event) for item in items), items
    return [item for item in items if isinstance(item, Event)]
