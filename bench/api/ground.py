"""What both sides are measured on: `harborx serve` with its embedded PostgreSQL, a supplier, and its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from orchestrator.config import load
from orchestrator.database.logins import database_logins

SECRET: Final = "a-session-secret-of-the-benchmark-that-is-long-enough-for-any-hmac"
_HARBORX: Final = str(Path(sys.executable).with_name("harborx"))
_SECONDS: Final = 30.0
# Every request is counted, as always; the limits are out of the way.
_CONFIG: Final = """
state_dir = "{folder}"
[log]
level = "warning"
[auth]
session_secret = "{secret}"
[server]
rate_limit_reads = 1000000000
rate_limit_writes = 1000000000
rate_limit_streams = 100000
"""
_INSTANCES: Final = """
    INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host, status, test_status, lets_us_in)
    SELECT %s, 'm-' || gen_random_uuid(), '192.0.2.1', 'active', 'completed', true FROM generate_series(1, %s) n RETURNING id
"""
_RUN: Final = """
    INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, state, epoch, attempt, worker, instance_status,
                               instance_test_status, claimed_at, started_at, options)
    SELECT user_id, id, 'api', 'running', 1, 1, 'bench', 'active', 'completed', now(), now(), '{"batch_size": 256}'
    FROM gpu_instances WHERE id = %s RETURNING id
"""


@dataclass(frozen=True)
class Ground:
    """`owner` is the owner's URL; `token` signs its supplier in."""

    address: str
    pid: int
    owner: str
    user_id: UUID
    token: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        """What its process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.owner, autocommit=True)

    def instances(self, count: int) -> list[UUID]:
        """New machines that are idle and have let us in before."""
        with self.connect() as owner:
            return [row[0] for row in owner.execute(_INSTANCES, (self.user_id, count))]

    def run(self, instance_id: UUID) -> UUID:
        """A run of this machine that a worker has begun."""
        with self.connect() as owner:
            found = owner.execute(_RUN, (instance_id,)).fetchone()
        assert found is not None
        run_id: UUID = found[0]
        return run_id


@contextmanager
def ground() -> Iterator[Ground]:
    """One API process without a worker, on a free port."""
    with tempfile.TemporaryDirectory(prefix="hx-") as folder:
        config = Path(folder, "config.toml")
        config.write_text(_CONFIG.format(folder=folder, secret=SECRET))
        settings = load(config, {}).settings
        command = ["--json", "--config", str(config), "serve", "--port", "0", "--no-worker"]
        with (
            process([_HARBORX, *command]) as (server, first),
            database_logins(settings) as logins,
        ):
            address = str(json.loads(first)["address"])
            said = _post(
                address,
                "/v1/auth/sign-up",
                {"email": "b@example.com", "password": "a long password"},
            )
            yield Ground(
                address, server.pid, logins.owner, UUID(said["user_id"]), said["access_token"]
            )


@contextmanager
def process(
    command: Sequence[str], *, stdin: bool = False
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process and its first line."""
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE if stdin else None,
        text=True,
    )
    try:
        assert running.stdout is not None
        yield running, running.stdout.readline()
    finally:
        running.terminate()
        try:
            running.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(_SECONDS)
        for pipe in (running.stdout, running.stdin):
            if pipe is not None:
                pipe.close()


def _post(address: str, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.load(answer)
