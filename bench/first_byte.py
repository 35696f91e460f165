"""
How long from POST request-gpu-test to the first byte that reaches the instance, on an idle server, and how much of that
is after the commit.

The whole path is real: `harborx serve` as a process of its own, HTTP request, transaction, job, worker, connection. The
instance is a listener on loopback that notes when our first byte arrives and hangs up, so that the run ends at once; it
is met in turns for the first time and with a host key on record.

The commit is observed by PostgreSQL itself: `pg_xact_commit_timestamp` of the transaction that wrote the request's line
in the audit log. The server takes that time as it writes the commit's record, before the record is flushed to disk and
before any worker can be told, so the flush counts against us; a time taken where the commit returns would leave it out.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.goals import Goal, of_samples
from bench.summary import summary
from orchestrator import log
from orchestrator.config import Settings, load
from orchestrator.database.logins import database_logins
from orchestrator.database.schema import apply_schema

ROUNDS: Final = 60  # of each kind of instance
WARM_UP: Final = 6
GOAL: Final = Goal(
    "POST request to first byte at the instance, idle, p50 after commit", "", 5.0, False, "ms"
)

_SECONDS: Final = 30.0
_HOST_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmsX3bwiVGqH1AxfcCOAXPqsfu7yfQWE+S0Lz3qSNoX"
)
_KNOWN: Final = (
    "UPDATE gpu_instances SET host_key = %s, host_key_trust = 'first_contact' WHERE id = %s"
)
_COMMITTED: Final = """
    SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM audit_log
    WHERE action = 'gpu_test_runs.insert' AND subject_id = %s
"""
_CONFIG: Final = """
state_dir = "{folder}"
[log]
level = "error"
[ssh]
allowed_networks = ["127.0.0.0/8"]
connect_attempts = 1
"""


def measure() -> dict[str, Any]:
    """Milliseconds: p50 and p95 of the whole and of what is after the commit, for both kinds of instance."""
    log.configure("error", "json")
    with tempfile.TemporaryDirectory(prefix="hx-") as folder:
        config = Path(folder, "config.toml")
        config.write_text(_CONFIG.format(folder=folder))
        settings = load(config, {}).settings
        _note_commits(settings)
        with database_logins(settings) as logins, _product(config, "serve", "--port", "0") as said:
            address = str(said["address"])
            with psycopg.connect(logins.owner, autocommit=True) as owner:
                promises = _shown(owner, "fsync", "synchronous_commit", "track_commit_timestamp")
                samples = asyncio.run(_rounds(address, owner))
    after = [each.after_commit for each in samples]
    return {
        "goals": [GOAL.told(of_samples(after))],
        "postgresql": promises,
        "after_commit": summary(after, "ms"),
        "whole": summary([each.whole for each in samples], "ms"),
        **{
            f"{name}_{kind}": summary(
                [getattr(each, name) for each in samples if each.known is known], "ms"
            )
            for name in ("after_commit", "whole")
            for kind, known in (("first_contact", False), ("known_host_key", True))
        },
    }


@dataclass(frozen=True)
class _Sample:
    """Milliseconds to the first byte, from the request and from the commit."""

    known: bool
    whole: float
    after_commit: float


@dataclass
class _Instance:
    """A listener that remembers when the first byte came, by the clock that stamps commits."""

    port: int = 0
    first_byte: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            self.first_byte.put_nowait(time.time())
        writer.close()


@asynccontextmanager
async def _instance() -> AsyncIterator[_Instance]:
    instance = _Instance()
    server = await asyncio.start_server(instance.serve, "127.0.0.1", 0)
    instance.port = server.sockets[0].getsockname()[1]
    async with server:
        yield instance


def _note_commits(settings: Settings) -> None:
    """PostgreSQL reads this setting when it starts, and the last to leave stops it."""
    with database_logins(settings) as logins:
        apply_schema(logins)
        with psycopg.connect(logins.owner, autocommit=True) as owner:
            owner.execute("ALTER SYSTEM SET track_commit_timestamp = on")


@contextmanager
def _product(config: Path, *command: str) -> Iterator[dict[str, Any]]:
    """The command as a process; what it says first."""
    program = [Path(sys.executable).with_name("harborx"), "--json", "--config", config]
    process = subprocess.Popen([*program, *command], stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None:
            raise AssertionError("its output is piped")
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _shown(owner: psycopg.Connection[Any], *names: str) -> dict[str, str]:
    return {name: str((owner.execute(f"SHOW {name}").fetchone() or ("",))[0]) for name in names}


async def _rounds(address: str, owner: psycopg.Connection[Any]) -> list[_Sample]:
    async with _instance() as instance:
        login = {"email": "bench@example.com", "password": "a long password"}
        session = await _post(address, "/v1/auth/sign-up", login, None)
        token = session["access_token"]
        samples = []
        for number in range(2 * (ROUNDS + WARM_UP)):
            body = {"instance_id": f"m{number}", "ssh_host": "127.0.0.1", "ssh_port": instance.port}
            onboarded = await _post(address, "/functions/v1/onboard-gpu", body, token)
            instance_id = onboarded["gpu_instance"]["id"]
            known = number % 2 == 1
            if known:
                owner.execute(_KNOWN, (_HOST_KEY, instance_id))
            samples.append(await _round(address, owner, instance, instance_id, token, known))
        return samples[2 * WARM_UP :]


async def _round(
    address: str,
    owner: psycopg.Connection[Any],
    instance: _Instance,
    instance_id: str,
    token: str,
    known: bool,
) -> _Sample:
    ask = {"gpu_instance_id": instance_id}
    began = time.time()
    requested = await _post(address, "/functions/v1/request-gpu-test", ask, token)
    async with asyncio.timeout(_SECONDS):
        arrived = await instance.first_byte.get()
    await _idle(address, requested["run_id"], token)
    found = owner.execute(_COMMITTED, (requested["run_id"],)).fetchone()
    if found is None:
        raise AssertionError("a request is in the audit log")
    return _Sample(known, (arrived - began) * 1000, (arrived - found[0]) * 1000)


async def _idle(address: str, run_id: str, token: str) -> None:
    """Wait until the run has ended, so that the next one meets an idle server."""
    async with asyncio.timeout(_SECONDS):
        while True:
            run = await _post(address, f"/v1/runs/{run_id}", None, token)
            if run["finished"]:
                return
            await asyncio.sleep(0.02)


async def _post(address: str, path: str, body: Any, token: str | None) -> Any:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(address + path, data, headers)

    def send() -> Any:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    return await asyncio.to_thread(send)
