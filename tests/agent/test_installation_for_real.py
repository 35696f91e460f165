"""Installing with a real pip: killed in the middle, continued, and nothing but our own folder written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.agent.instance import naming, until
from tests.agent.stand_ins import FAKE_TORCH, wheel

# The Python that this environment was made with: like a supplier's, it has pip and no torch.
SUPPLIERS = os.path.realpath(sys.executable)
AGENT = """
import json, sys, time
from remote_agent.failure import Failure
from remote_agent.provision import finding, places, target
from remote_agent.spec import Provisioning
home, orders = sys.argv[1], json.loads(sys.argv[2])
places._places = lambda home: iter([sys.executable, places.venv_python(home)])
target.look = lambda: target.Target()
def tell(step, message, **fields):
    print(json.dumps([step, message, fields]), flush=True)
try:
    finding.find_torch(Provisioning(install=True, **orders), "auto", home, time.monotonic() + 120, tell)
except Failure as failure:
    print(json.dumps(["failed", failure.code, {"detail": failure.detail}]), flush=True)
"""


class Machine:
    """A supplier's machine: a home, the supplier's Python, and runs of the agent's provisioning."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home" / ".harborx"
        self.home.parent.mkdir()
        self._log = folder / "told"

    def start(self, **orders: Any) -> subprocess.Popen[bytes]:
        environ = {
            "HOME": str(self.home.parent), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": "/dev/null",
            "PYTHONPATH": str(Path.cwd()), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        argv = [SUPPLIERS, "-c", AGENT, str(self.home), json.dumps(orders)]
        with self._log.open("wb") as log:
            return subprocess.Popen(argv, stdout=log, env=environ)

    def run(self, **orders: Any) -> list[Any]:
        """A run to its end; what it told."""
        with self.start(**orders) as agent:
            assert agent.wait(120) == 0
        return self.told()

    def told(self) -> list[Any]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def kill(self, agent: subprocess.Popen[bytes]) -> None:
        """SIGKILL, and nothing of it is left: pip dies with the agent."""
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        until(lambda: not naming(self.home))

    def torch(self) -> str:
        """What the environment's own interpreter imports."""
        argv = [self.home / "venv/bin/python", "-c", "import torch; print(torch.__version__)"]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def modules(python: str) -> set[Path]:
    """Everything in the folders where an interpreter's pip would install."""
    script = "import site; print('\\n'.join([*site.getsitepackages(), site.getusersitepackages()]))"
    told = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout
    return {path for folder in told.split("\n") if folder for path in Path(folder).glob("*")}


def test_an_interrupted_installation_is_continued_from_wheels(
    tmp_path: Path, machine: Machine
) -> None:
    """Killed while pip works, continued by the next run; the supplier's Python is as it was."""
    wheels = tmp_path / "wheels"
    wheel(wheels, "torch", "2.13.0", {"torch/__init__.py": FAKE_TORCH.encode()}, needs="needed")
    needed = wheels / "needed-1.0-py3-none-any.whl"
    os.mkfifo(needed)  # pip waits at it: the moment to be killed in
    before = modules(SUPPLIERS)
    agent = machine.start(wheels_dir=str(wheels))
    held = until(lambda: _held_open(needed), 60.0)
    machine.kill(agent)
    os.close(held)
    # A torch that was half unpacked when it happened, and would import.
    half = next((machine.home / "venv").glob("lib/python3*/site-packages")) / "torch"
    half.mkdir()
    (half / "__init__.py").write_text("__version__ = '2.13.0'\nclass version: cuda = None\n")
    (half / "left_over.py").touch()
    needed.unlink()
    wheel(wheels, "needed", "1.0", {"needed.py": b""})
    told = machine.run(wheels_dir=str(wheels))
    steps = [step for step, _, _ in told]
    assert (steps[:3], steps[-1]) == (["searching", "installing", "creating_venv"], "installed")
    assert told[1][1] == "An earlier installation was interrupted; it is continued."
    ours = str(machine.home / "venv/bin/python")
    assert told[-1][2] == {"interpreter": ours, "torch": "2.13.0"}
    assert machine.torch() == "2.13.0"
    assert not (half / "left_over.py").exists()
    assert {path.name for path in machine.home.iterdir()} == {"venv", "install.lock"}
    assert modules(SUPPLIERS) == before
    assert [step for step, _, _ in machine.run(wheels_dir=str(wheels))] == ["searching", "found"]


class Index(BaseHTTPRequestHandler):
    """A package index on this machine that notes what is fetched and stops half way through one file."""

    folder: Path
    fetched: list[str]
    halves: str = ""
    go_on: threading.Event

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts[0] == "simple":
            files = sorted(path.name for path in self.folder.glob(f"{parts[1]}-*"))
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in files)
            return self._send(f"<!DOCTYPE html><html><body>{links}</body></html>".encode())
        type(self).fetched.append(parts[1])
        return self._send((self.folder / parts[1]).read_bytes(), parts[1])

    def _send(self, content: bytes, name: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if name else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=3600" if name else "no-cache")
        self.end_headers()
        half = len(content) // 2 if name.startswith(self.halves or "-") else len(content)
        self.wfile.write(content[:half])
        self.wfile.flush()
        if half < len(content) and self.go_on.wait(60):
            self.wfile.write(content[half:])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[type[Index], str]]:
    """The index, and its address."""
    handler = type("OneIndex", (Index,), {
        "folder": tmp_path / "index", "fetched": [], "go_on": threading.Event(),
    })  # fmt: skip
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *of: None  # type: ignore[method-assign]  # a killed pip hangs up
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield handler, f"http://127.0.0.1:{server.server_address[1]}/simple"
        finally:
            handler.go_on.set()
            server.shutdown()


def test_what_was_downloaded_is_not_downloaded_again(
    machine: Machine, index: tuple[type[Index], str]
) -> None:
    """Killed in the second of two downloads: the next run fetches that one alone, and tells how far."""
    handler, url = index
    torch = {"torch/__init__.py": FAKE_TORCH.encode(), "torch/big": os.urandom(2_000_000)}
    wheel(handler.folder, "torch", "2.13.0", torch, needs="needed")
    wheel(handler.folder, "needed", "1.0", {"needed.py": b"", "big": os.urandom(6_000_000)})
    handler.halves = "needed"
    agent = machine.start(index_url=url)
    words = "Downloading needed-1.0-py3-none-any.whl: 3 of 6 MB"
    until(lambda: ["installing", words, {}] in machine.told(), 60.0)
    machine.kill(agent)
    fetched = sorted(handler.fetched)
    assert fetched == ["needed-1.0-py3-none-any.whl", "torch-2.13.0-py3-none-any.whl"]
    assert (machine.home / "wheels.part").is_dir()
    handler.go_on.set()
    told = machine.run(index_url=url)
    assert told[-1][0] == "installed", told
    assert sorted(handler.fetched) == sorted([*fetched, "needed-1.0-py3-none-any.whl"])
    assert machine.torch() == "2.13.0"
    assert not (machine.home / "wheels.part").exists()


def test_an_index_that_can_not_be_reached_is_told(machine: Machine) -> None:
    """A closed port is provision_no_network in the words of a real pip, and nothing counts as made."""
    told = machine.run(index_url="http://127.0.0.1:1/simple")
    assert told[-1][:2] == ["failed", "provision_no_network"], told
    assert not (machine.home / "venv" / "complete").exists()


def test_a_release_that_the_index_lacks_is_told(
    machine: Machine, index: tuple[type[Index], str]
) -> None:
    """An index that answers and has no torch at all is provision_failed: it is no fault of the network."""
    told = machine.run(index_url=index[1])
    assert told[-1][:2] == ["failed", "provision_failed"], told
    assert "No matching distribution" in told[-1][2]["detail"]


def _held_open(fifo: Path) -> int | None:
    """A descriptor that keeps the reader of `fifo` waiting, once there is one."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
