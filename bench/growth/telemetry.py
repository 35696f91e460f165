"""
Readings of cards as the agent packs them and the product keeps them: bytes a reading at rest and readings stored a second,
beside a wide row each: typed columns with an index of (run, t), as SQLModel writes them, one by one with a commit each, and
a run's all at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import MetaData
from sqlmodel import Field, Session, SQLModel, create_engine

from bench.goals import Goal, counted, of_samples, times_faster
from bench.growth.ground import new_database, server
from orchestrator.database import figures, runs
from orchestrator.database.models import Run
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain.events import Decoder, Event
from remote_agent.machine import series
from tests.agent.readings import COLUMNS
from tests.agent.readings import readings as readings_of

RUNS: Final = 200
READINGS: Final = 600  # of a card in a run of a minute
ROUNDS: Final = 12
ONE_BY_ONE: Final = 100  # readings a round
_TABLE: Final = "sample"
_SEED: Final = (
    "INSERT INTO profiles (email) VALUES ('bench@example.com')",
    "INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host) SELECT id, 'm', 'host.example' FROM profiles",
    "INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, instance_status, instance_test_status, state, finished_at)"
    " SELECT user_id, id, 'api', 'pending', 'not_started', 'passed', now() FROM gpu_instances, generate_series(1, {count}) n",
)
_SIZE: Final = "SELECT pg_total_relation_size('{table}')::float8"


class Sample(SQLModel, table=True):
    """A wide row: what an ordinary program keeps of one reading."""

    metadata = MetaData()  # none of the product's

    id: int | None = Field(default=None, primary_key=True)
    run_id: UUID = Field(index=True)
    seconds: float
    power_watts: float | None
    energy_joules: float | None
    temperature_celsius: float | None
    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    clock_reasons: int | None
    utilization_percent: float | None
    memory_used_gb: float | None
    pcie_width: int | None


def measure(
    count: int = RUNS, readings: int = READINGS, rounds: int = ROUNDS, one_by_one: int = ONE_BY_ONE
) -> dict[str, Any]:
    """Bytes from the tables' whole sizes, indexes and TOAST included; seconds for the same readings, in turns."""
    with server() as url:
        logins = new_database(url, "telemetry")
        with psycopg.connect(logins.owner, autocommit=True) as owner:
            for statement in _SEED:
                owner.execute(statement.format(count=count + rounds).encode())
        engine = create_engine(logins.owner.replace("postgresql:", "postgresql+psycopg:"))
        Sample.metadata.create_all(engine)
        try:
            return asyncio.run(
                _measured(logins.owner, logins.worker, engine, count, readings, rounds, one_by_one)
            )
        finally:
            engine.dispose()


async def _measured(
    owner_url: str,
    worker_url: str,
    engine: Any,
    count: int,
    readings: int,
    rounds: int,
    one_by_one: int,
) -> dict[str, Any]:
    worker = Database(worker_url, pool_size=1)
    taken: dict[str, list[float]] = {"ours": [], "one_by_one": [], "add_all": []}
    try:
        with psycopg.connect(owner_url, autocommit=True) as owner:
            ended = [row[0] for row in owner.execute("SELECT id FROM gpu_test_runs ORDER BY id")]
            for number, run_id in enumerate(ended[:rounds]):
                rows = readings_of(readings, number)
                taken["ours"].append(await _ours(worker, run_id, rows) / readings)
                taken["one_by_one"].append(_one_by_one(engine, rows[:one_by_one]) / one_by_one)
                taken["add_all"].append(_add_all(engine, rows) / readings)
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            owner.execute(b"TRUNCATE gpu_test_telemetry, sample")
            for number, run_id in enumerate(ended[rounds:]):
                rows = readings_of(readings, rounds + number)
                await _ours(worker, run_id, rows)
                _add_all(engine, rows)
            sizes = [
                _size(owner, table) / (count * readings) for table in ("gpu_test_telemetry", _TABLE)
            ]
    finally:
        await worker.close()
    return _told(taken, *sizes)


def _told(taken: dict[str, list[float]], ours: float, wide: float) -> dict[str, Any]:
    peer = f"SQLModel {version('sqlmodel')}, {{}}, psycopg {version('psycopg')}"
    by_row = times_faster(taken["ours"], taken["one_by_one"])
    at_once = times_faster(taken["ours"], taken["add_all"])
    return {
        "goals": [
            Goal("telemetry at rest, bytes a sample of ten columns", "", 8.0, False, "B").told(
                counted(ours)
            ),
            Goal("telemetry at rest", "a wide row each with its indexes", 20.0).told(
                counted(wide / ours)
            ),
            Goal("telemetry: ingest", peer.format("add and commit a reading"), 100.0).told(by_row),
        ],
        "wide_row_bytes": round(wide, 1),
        "times_faster_than_add_all": round(at_once.ratio, 1),
        **{
            f"{name}_readings_per_s": round(1 / of_samples(each).ratio)
            for name, each in taken.items()
        },
    }


async def _ours(worker: Database, run_id: UUID, rows: list[list[Any]]) -> float:
    """From the agent's line to the commit, as a worker that follows the run does; packing is done on the machine."""
    packed = series.fitting(COLUMNS, rows)
    told = {
        "v": 1,
        "nonce": "n",
        "seq": 0,
        "t": 60.0,
        "type": "telemetry",
        "gpu_index": 0,
        "gpu_uuid": f"GPU-{uuid4()}",
        "interval_seconds": 0.1 * packed.stride,
        "readings": len(rows),
        "columns": packed.columns,
        "rollup": series.rollup(COLUMNS, rows),
        "packed": packed.text,
    }
    line = json.dumps(told).encode() + b"\n"
    async with worker.transaction(SERVICE) as session:
        run: Run = await runs.get(session, run_id)
    began = time.perf_counter()
    (event,) = Decoder("n").feed(line)
    if not isinstance(event, Event):
        raise AssertionError(event)
    async with worker.transaction(SERVICE) as session:
        body = event.body.model_dump(mode="json", exclude={"type"})
        await figures.keep_telemetry(session, run, [body])
    return time.perf_counter() - began


def _samples(rows: list[list[Any]], run_id: UUID) -> list[Sample]:
    return [Sample(run_id=run_id, **dict(zip(COLUMNS, row, strict=True))) for row in rows]


def _one_by_one(engine: Any, rows: list[list[Any]]) -> float:
    samples = _samples(rows, uuid4())
    began = time.perf_counter()
    with Session(engine) as session:
        for sample in samples:
            session.add(sample)
            session.commit()
    return time.perf_counter() - began


def _add_all(engine: Any, rows: list[list[Any]]) -> float:
    samples = _samples(rows, uuid4())
    began = time.perf_counter()
    with Session(engine) as session:
        session.add_all(samples)
        session.commit()
    return time.perf_counter() - began


def _size(owner: psycopg.Connection[Any], table: str) -> float:
    row = owner.execute(_SIZE.format(table=table).encode()).fetchone()
    assert row is not None
    return float(row[0])
