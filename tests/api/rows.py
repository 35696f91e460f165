"""Runs and results that have ended, straight in the database: a worker's part, without a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from tests.conftest import Databases

NOW = datetime.now(UTC)
HASH = "0123456789abcdef"
CARD = "NVIDIA H100 80GB HBM3"
MEASURED: dict[str, Any] = {
    "throughput_images_per_sec": 2450.0,
    "throughput_samples_per_sec": 2450.0,
    "throughput_low": 2440.0,
    "throughput_high": 2460.0,
    "power_draw_watts": 612.5,
    "measured_gpu_name": CARD,
    "measured_gpu_count": 8,
    "device": "cuda",
    "profile": "quick",
    "precision": "amp-bf16",
    "mode": "cuda-graph",
    "torch_version": "2.13.0",
    "driver_version": "580.1",
    "cuda_version": "13.0",
    "configuration_hash": HASH,
}


@dataclass(frozen=True)
class Ended:
    """A run that ended `ago`; `story` are its events as (seconds after it was asked for, type, body)."""

    ago: timedelta = timedelta(hours=1)
    state: str = "passed"
    error_code: str | None = None
    story: tuple[tuple[float, str, str], ...] = ()
    took: float = 60.0
    options: str = "{}"
    result: dict[str, Any] | None = field(default_factory=dict)


def end(databases: Databases, instance_id: str, ended: Ended = Ended()) -> UUID:
    """Store the run, with its result unless that is None, and what both mean for the instance."""
    run_id, at = uuid4(), NOW - ended.ago
    with psycopg.connect(databases.logins.owner) as connection:
        user_id = _owner(connection, instance_id)
        run = {
            "id": run_id,
            "user_id": user_id,
            "instance_id": instance_id,
            "requested_by": "api",
            "state": ended.state,
            "error_code": ended.error_code,
            "created_at": at - timedelta(seconds=ended.took),
            "finished_at": at,
            "options": ended.options,
            "epoch": 1,
            "instance_status": "pending",
            "instance_test_status": "not_started",
        }
        _insert(connection, "gpu_test_runs", run)
        for seq, (seconds, kind, body) in enumerate(ended.story, 1):
            event = {"run_id": run_id, "seq": seq, "user_id": user_id, "type": kind, "body": body}
            _insert(
                connection,
                "gpu_test_events",
                {**event, "at": run["created_at"] + timedelta(seconds=seconds)},
            )
        if ended.result is not None:
            _result(connection, instance_id, at, {"run_id": run_id, **ended.result}, ended.state)
        if ended.state in ("passed", "failed"):
            status = "active" if ended.state == "passed" else "failed"
            connection.execute(
                "UPDATE gpu_instances SET status = %s, tested_at = greatest(tested_at, %s) WHERE id = %s",
                (status, at, instance_id),
            )
    return run_id


def submit(databases: Databases, instance_id: str, ago: timedelta, **figures: Any) -> None:
    """A result of an agent that somebody ran by hand."""
    with psycopg.connect(databases.logins.owner) as connection:
        told = {"source": "submitted", **figures}
        _result(connection, instance_id, NOW - ago, told, "passed")


def execute(databases: Databases, statement: str, *values: object) -> None:
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute(statement.encode(), values or None)


def _owner(connection: psycopg.Connection[Any], instance_id: str) -> UUID:
    row = connection.execute("SELECT user_id FROM gpu_instances WHERE id = %s", (instance_id,))
    (user_id,) = row.fetchone() or (None,)
    assert user_id is not None
    return UUID(str(user_id))


def _result(
    connection: psycopg.Connection[Any],
    instance_id: str,
    at: datetime,
    figures: dict[str, Any],
    verdict: str,
) -> None:
    row = {
        "gpu_instance_id": instance_id,
        "user_id": _owner(connection, instance_id),
        "source": "pushed",
        "verdict": verdict,
        "created_at": at,
        "completed_at": at,
        **MEASURED,
        **figures,
    }
    _insert(connection, "gpu_test_results", row)


def _insert(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    connection.execute(statement, list(row.values()))
