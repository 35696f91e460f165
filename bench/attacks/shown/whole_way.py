"""A share of the outputs the whole way: a worker's journal or a row as it is, PostgreSQL, and out by commands and API."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import UUID

import httpx
import psycopg
from psycopg.types.json import Jsonb

from bench.attacks.ground import Ground
from bench.attacks.shown import payloads
from orchestrator.api.app import Surface, create_app
from orchestrator.cli import main
from orchestrator.config import load
from orchestrator.database import claims
from orchestrator.database.logins import Logins
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain.run_states import RunState
from orchestrator.runs.conclude import conclude, outcome_of
from orchestrator.runs.journal import Journal
from orchestrator.ssh.follow import End
from orchestrator.vault import Vault

_SECRET: Final = "a-session-secret-of-the-attacks-that-is-long-enough-for-any-hmac-0123456789"
_PASSWORD: Final = "correct horse battery"
_EMAIL: Final = "supplier@example.com"
_OF_ONE_RUN: Final = 20  # outputs

Told = tuple[str, list[str]]


async def whole_way(ground: Ground, dice: random.Random, count: int) -> AsyncIterator[Told]:
    """`("output", [])` for each output that was put in, then each surface with what it shows."""
    with ground.database() as logins:
        worker = Database(logins.worker, pool_size=2)
        try:
            async with _signed_in(logins) as client:
                for start in range(0, count, _OF_ONE_RUN):
                    most = min(_OF_ONE_RUN, count - start)
                    instance_id, run_id = await _requested(client, start)
                    await _journal(worker, run_id, dice, most)
                    await asyncio.to_thread(_as_it_is, logins, instance_id, run_id, dice)
                    for _ in range(most):
                        yield "output", []
                    async for told in _api(client, instance_id, run_id):
                        yield told
                    async for told in _commands(ground, logins, instance_id, run_id):
                        yield told
        finally:
            await worker.close()


@asynccontextmanager
async def _signed_in(logins: Logins) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(logins.api, pool_size=4)
    settings = load(None, {}, {}).settings
    app = create_app(Surface(database, Vault(bytes(32)), settings, _SECRET))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://harborx.test") as client,
        ):
            said = await client.post(
                "/v1/auth/sign-up", json={"email": _EMAIL, "password": _PASSWORD}
            )
            client.headers["Authorization"] = f"Bearer {said.json()['access_token']}"
            yield client
    finally:
        await database.close()


async def _requested(client: httpx.AsyncClient, number: int) -> tuple[UUID, UUID]:
    body = {"instance_id": f"m-{number}", "ssh_host": "host.example", "gpu_name": "NVIDIA H100"}
    onboarded = await client.post("/functions/v1/onboard-gpu", json=body)
    instance_id = onboarded.json()["gpu_instance"]["id"]
    run = await client.post(f"/v1/instances/{instance_id}/runs")
    return UUID(instance_id), UUID(run.json()["id"])


async def _journal(worker: Database, run_id: UUID, dice: random.Random, count: int) -> None:
    """A worker takes what the machine says, and judges it."""
    async with worker.transaction(SERVICE) as session:
        claimed = await claims.claim(session, run_id, "worker-1")
    if claimed is None:
        raise AssertionError("a queued run can be claimed")
    run, instance = claimed.run, claimed.instance
    journal = await Journal.resume(worker, run, deadline_seconds=60.0)
    for state in (RunState.CONNECTING, RunState.PREPARING, RunState.RUNNING):
        await journal.enter(state)
    for seq in range(count):
        _, line = payloads.event(dice, run.nonce, seq)
        await journal.take(line + payloads.line(dice))
    await journal.close()
    await journal.enter(RunState.JUDGING)
    outcome = outcome_of(journal, instance, End(status=1, stderr_tail=""), "0" * 64)
    await conclude(journal, outcome)


def _as_it_is(logins: Logins, instance_id: UUID, run_id: UUID, dice: random.Random) -> None:
    """Rows as an older program, or somebody by hand, may have left them."""
    raw = payloads.storable(dice)
    told = Jsonb([{"check": raw, "text": raw, "passed": False, raw: raw}])
    with psycopg.connect(logins.owner) as connection:
        connection.execute(
            "INSERT INTO gpu_test_events (run_id, seq, user_id, type, body)"
            " SELECT id, last_seq + 1, user_id, 'log', %s FROM gpu_test_runs WHERE id = %s",
            (Jsonb({"text": raw, raw: [raw]}), run_id),
        )
        connection.execute(
            "UPDATE gpu_test_runs SET last_seq = last_seq + 1, error_message = %s, evidence = %s"
            " WHERE id = %s",
            (raw, Jsonb({raw: raw, "stderr_tail": f"{raw}\n{raw}"}), run_id),
        )
        connection.execute(
            "INSERT INTO gpu_test_results (gpu_instance_id, user_id, run_id, source, verdict,"
            " throughput_images_per_sec, throughput_samples_per_sec, measured_gpu_name, device,"
            " torch_version, cuda_version, driver_version, error_message, findings, evidence,"
            " raw_results, completed_at, created_at)"
            " SELECT instance_id, user_id, id, 'pushed', 'passed', 1, 1, %(raw)s, 'cuda', %(raw)s,"
            " %(raw)s, %(raw)s, %(raw)s, %(told)s, %(told)s, %(kept)s, now(), finished_at"
            " FROM gpu_test_runs WHERE id = %(run)s",
            {"raw": raw[:200], "told": told, "kept": Jsonb({"raw": raw}), "run": run_id},
        )
        connection.execute(
            "UPDATE gpu_instances SET gpu_name = %(raw)s, cuda_version = %(raw)s, location = %(raw)s,"
            " provider = %(raw)s, vast_offer_id = %(raw)s, status = 'active', listed = true,"
            " tested_at = now() WHERE id = %(id)s",
            {"raw": raw[:200], "id": instance_id},
        )
        connection.execute(
            "INSERT INTO connection_checks (id, user_id, ssh_host, ssh_port, ssh_user, login, state,"
            " steps, probe, error_code, error_message, evidence, finished_at)"
            " SELECT %(run)s, user_id, 'host.example', 22, 'root', 'shared', 'failed', %(steps)s,"
            " NULL, 'launch_failed', %(raw)s, %(seen)s, now() FROM gpu_test_runs WHERE id = %(run)s",
            {
                "run": run_id,
                "raw": raw,
                "steps": Jsonb(
                    [{"name": "probe", "state": "failed", "detail": raw, "seconds": 1.0}]
                ),
                "seen": Jsonb({raw: raw}),
            },
        )


async def _api(client: httpx.AsyncClient, instance_id: UUID, run_id: UUID) -> AsyncIterator[Told]:
    """What a program that reads our JSON gets, once it has decoded it."""
    of_instance, of_run = f"/v1/instances/{instance_id}", f"/v1/runs/{run_id}"
    for path in (
        *("/v1/instances", "/v1/instances/overview", of_instance, f"{of_instance}/history"),
        *("/v1/runs", of_run, f"{of_run}/figures", f"{of_run}/telemetry", "/v1/results"),
        *("/v1/inventory", "/v1/audit", f"/v1/connection-checks/{run_id}", "/v1/listing"),
        *(f"/v1/listing/{instance_id}", f"{of_instance}/phases", "/v1/nothing%1B%5B2J%E2%80%AE"),
    ):
        answer = await client.get(path)
        if answer.status_code >= 500:
            raise AssertionError(f"{path} answers {answer.status_code}: {answer.text[:300]}")
        yield f"GET {_named(path)}", payloads.texts_in(answer.json())
    badge = await client.get(f"/v1/listing/{instance_id}/badge.svg")
    yield "badge", [badge.text]
    stream = await client.get(f"{of_run}/events")
    # Not splitlines: to a stream of events only newlines end a line.
    lines = stream.text.split("\n")
    data = [line[len("data:") :] for line in lines if line.startswith("data:")]
    yield "event stream", [each for text in data for each in payloads.texts_in(json.loads(text))]


async def _commands(
    ground: Ground, logins: Logins, instance_id: UUID, run_id: UUID
) -> AsyncIterator[Told]:
    """What the commands print: for people where stdout is none of theirs, and as JSON."""
    for words in (
        *(("instances",), ("instances", str(instance_id)), ("runs",), ("runs", str(run_id))),
        *(("results",), ("results", str(run_id)), ("watch", str(run_id))),
    ):
        for more in ((), ("--json",)):
            printed = await asyncio.to_thread(_command, ground, logins, (*words, *more))
            yield f"harborx {words[0]} {' '.join(more)}".rstrip(), [printed, *_documents(printed)]


def _command(ground: Ground, logins: Logins, words: tuple[str, ...]) -> str:
    stream = io.StringIO()
    with (
        _environment(ground.folder, logins),
        mock.patch("orchestrator.log.configure"),
        contextlib.redirect_stdout(stream),
        contextlib.redirect_stderr(stream),
    ):
        main.run(words)
    return stream.getvalue()


@contextmanager
def _environment(folder: Path, logins: Logins) -> Iterator[None]:
    given = {
        "HARBORX_STATE_DIR": str(folder / "state"),
        "HARBORX_DATABASE__URL": logins.owner,
        "HARBORX_DATABASE__API_PASSWORD": logins.api_password,
        "HARBORX_DATABASE__WORKER_PASSWORD": logins.worker_password,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARBORX_")}
    with mock.patch.dict(os.environ, {**kept, **given}, clear=True):
        yield


def _documents(printed: str) -> list[str]:
    """What JSON among the lines says, decoded."""
    texts: list[str] = []
    for line in printed.splitlines():
        with contextlib.suppress(ValueError):
            document: Any = json.loads(line)
            texts.extend(payloads.texts_in(document))
    return texts


def _named(path: str) -> str:
    """The path without ids."""
    return "/".join("{id}" if len(part) == 36 else part for part in path.split("/"))
