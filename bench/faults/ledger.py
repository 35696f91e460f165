"""What the database says, asked as its owner; while PostgreSQL is away the question waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from bench.faults.record import StoredEvent, StoredRun

_PATIENCE: Final = 60.0
_LIVE: Final = """
    SELECT id::text, instance_id::text, state, epoch, worker, last_seq, remote_offset
    FROM gpu_test_runs WHERE finished_at IS NULL
"""
_RUNS: Final = """
    SELECT r.id::text, r.instance_id::text, r.nonce, r.state, r.finished_at IS NOT NULL AS finished,
           r.error_code, r.error_message, r.epoch, r.remote_offset,
           (SELECT count(*) FROM gpu_test_results t WHERE t.run_id = r.id) AS results
    FROM gpu_test_runs r ORDER BY r.created_at
"""
_EVENTS: Final = """
    SELECT run_id::text, seq, type, body, t, at FROM gpu_test_events ORDER BY run_id, seq
"""


@dataclass(frozen=True)
class LiveRun:
    id: str
    instance_id: str
    state: str
    epoch: int
    worker: str | None
    last_seq: int
    remote_offset: int

    @property
    def owned(self) -> bool:
        """Whether a worker has it in hand."""
        return self.state != "queued"


@dataclass
class Ledger:
    """One connection, made again when it breaks; `live` is the last answer of `look`."""

    url: str
    live: tuple[LiveRun, ...] = ()
    _connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()

    async def look(self) -> tuple[LiveRun, ...]:
        """The unfinished runs."""
        self.live = tuple(LiveRun(**row) for row in await self.ask(_LIVE))
        return self.live

    async def finished(self) -> int:
        rows = await self.ask(
            "SELECT count(*) AS n FROM gpu_test_runs WHERE finished_at IS NOT NULL"
        )
        return int(rows[0]["n"])

    async def owned_by(self, worker: str) -> tuple[LiveRun, ...]:
        """The live runs in a worker's hands."""
        return tuple(run for run in await self.look() if run.worker == worker and run.owned)

    async def stored(self) -> tuple[StoredRun, ...]:
        """Every run with its events."""
        events: dict[str, list[StoredEvent]] = {}
        for row in await self.ask(_EVENTS):
            events.setdefault(row.pop("run_id"), []).append(StoredEvent(**row))
        rows = await self.ask(_RUNS)
        return tuple(StoredRun(**row, events=tuple(events.get(row["id"], ()))) for row in rows)

    async def ask(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a statement, however long PostgreSQL is away; bounded."""
        async with asyncio.timeout(_PATIENCE), self._turn:
            while True:
                try:
                    return await self._rows(statement, values)
                except psycopg.OperationalError:
                    await self.close()
                    await asyncio.sleep(0.1)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _rows(self, statement: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self.url, autocommit=True, row_factory=dict_row, connect_timeout=5
            )
        cursor = await self._connection.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []
