"""
How long from POST request-gpu-test to the first byte that reaches the instance, on an idle server.

The whole path is real: HTTP request, transaction, job, worker, connection. The instance is a listener
on loopback that notes when our first byte arrives and hangs up, so that the run ends at once.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bench.summary import summary
from orchestrator import log
from orchestrator.cli.house import bound_socket, running_api, running_worker
from orchestrator.config import Settings, load
from orchestrator.database.logins import database_logins
from orchestrator.database.schema import apply_schema

ROUNDS: Final = 40
WARM_UP: Final = 5


def measure() -> dict[str, Any]:
    """Milliseconds; the goal of the issue is a median under 50."""
    log.configure("error", "json")
    with tempfile.TemporaryDirectory(prefix="hx-") as folder:
        flags = {
            "state_dir": folder,
            "ssh": {"allowed_networks": ["127.0.0.0/8"], "connect_attempts": 1},
        }
        settings = load(None, {}, flags).settings
        with database_logins(settings) as logins:
            apply_schema(logins)
            samples = asyncio.run(_rounds(settings, logins))
    return {"goal_ms": 50, **summary(samples[WARM_UP:], "ms")}


@dataclass
class _Instance:
    """A listener that remembers when the first byte came."""

    port: int = 0
    first_byte: asyncio.Queue[float] = field(default_factory=asyncio.Queue)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            self.first_byte.put_nowait(time.perf_counter())
        writer.close()


@asynccontextmanager
async def _instance() -> AsyncIterator[_Instance]:
    instance = _Instance()
    server = await asyncio.start_server(instance.serve, "127.0.0.1", 0)
    instance.port = server.sockets[0].getsockname()[1]
    async with server:
        yield instance


async def _rounds(settings: Settings, logins: Any) -> list[float]:
    async with (
        _instance() as instance,
        running_api(settings, logins, bound_socket("127.0.0.1", 0)) as address,
        running_worker(settings, logins, "bench"),
    ):
        login = {"email": "bench@example.com", "password": "a long password"}
        session = await _post(address, "/v1/auth/sign-up", login, None)
        token = session["access_token"]
        samples = []
        for number in range(ROUNDS + WARM_UP):
            body = {"instance_id": f"m{number}", "ssh_host": "127.0.0.1", "ssh_port": instance.port}
            onboarded = await _post(address, "/functions/v1/onboard-gpu", body, token)
            ask = {"gpu_instance_id": onboarded["gpu_instance"]["id"]}
            began = time.perf_counter()
            requested = await _post(address, "/functions/v1/request-gpu-test", ask, token)
            async with asyncio.timeout(30):
                arrived = await instance.first_byte.get()
            samples.append((arrived - began) * 1000)
            await _idle(address, requested["run_id"], token)
        return samples


async def _idle(address: str, run_id: str, token: str) -> None:
    """Wait until the run has ended, so that the next one meets an idle server."""
    async with asyncio.timeout(30):
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
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return await asyncio.to_thread(send)
