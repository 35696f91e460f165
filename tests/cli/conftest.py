"""The command line against a database of the test's own: in this process, or as a real process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import run
from orchestrator.database.logins import Logins
from tests.cli.stories import Storyteller

PROGRAM = (sys.executable, "-c", "from orchestrator.cli.main import main; main()")


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    status: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        [only] = self.documents
        return only

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.err.splitlines()[-1])
        return found


Harborx = Callable[..., Finished]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, without settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("HARBORX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HARBORX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARBORX_DATABASE__URL", logins.owner)
    monkeypatch.setenv("HARBORX_DATABASE__API_PASSWORD", logins.api_password)
    monkeypatch.setenv("HARBORX_DATABASE__WORKER_PASSWORD", logins.worker_password)


@pytest.fixture
def command(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Harborx:
    """Calls a command in this process, with no database configured."""
    monkeypatch.setattr("orchestrator.log.configure", lambda *_: None)  # pytest has the root logger

    def call(*arguments: str, stdin: str = "") -> Finished:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = run(arguments)
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return call


@pytest.fixture
def harborx(logins: Logins, command: Harborx, monkeypatch: pytest.MonkeyPatch) -> Harborx:
    """Calls a command in this process, on a database with the schema and nothing in it."""
    use(logins, monkeypatch)
    return command


@pytest.fixture
def story(logins: Logins, harborx: Harborx) -> Storyteller:
    """One supplier with one onboarded machine, `m1`, and a way to tell what workers do."""
    teller = Storyteller(logins)
    teller.add_supplier("supplier@example.com")
    assert harborx("onboard", "m1", "198.51.100.7", "--gpu-name", "NVIDIA H100").status == 0
    return teller


@contextmanager
def process(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command as a process of its own, killed if the test leaves it behind."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen([*PROGRAM, *arguments], **pipes) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
