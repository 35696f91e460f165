"""The product for a browser: `harborx serve` with its embedded PostgreSQL, an SSH machine, and ways to fill it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg

_HARBORX = str(Path(sys.executable).with_name("harborx"))
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class House:
    """A running server. `owner` connects to its database past every rule."""

    address: str
    folder: Path
    pid: int

    def owner(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self.folder / "postgresql"), user="postgres", dbname="harborx", autocommit=True
        )

    def sign_up(self, email: str) -> str:
        """A new account; its id. The server slows down a network that signs up so often as all tests here do."""
        with self.owner() as owner:
            owner.execute("DELETE FROM attempts")
        login = {"email": email, "password": PASSWORD}
        answer = httpx.post(f"{self.address}/v1/auth/sign-up", json=login, timeout=30)
        assert answer.status_code == 201, answer.text
        user_id: str = answer.json()["user_id"]
        return user_id

    def newcomer(self) -> tuple[str, str]:
        """A new account, of an address that nobody had before: the address and the id."""
        email = f"{uuid4()}@example.com"
        return email, self.sign_up(email)


@contextmanager
def house(folder: Path, *, worker: bool = True, **settings: str) -> Iterator[House]:
    """`harborx serve` from nothing, in `folder`, with further HARBORX_ settings."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HARBORX_")},
        "HARBORX_STATE_DIR": str(folder),
        "HARBORX_SSH__ALLOWED_NETWORKS": "127.0.0.0/8",
        "HARBORX_LOG__LEVEL": "warning",
        "HARBORX_SERVER__LISTING_SECONDS": "0",
        **settings,
    }
    command = [_HARBORX, "serve", "--port", "0", "--json", *([] if worker else ["--no-worker"])]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=folder
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "serve.log").read_text()
        yield House(json.loads(line)["address"], folder, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
