"""What workers write about runs, told to a test's database without a machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from structlog.testing import capture_logs

from orchestrator.database import accounts, claims, runs
from orchestrator.database.events import NewEvent
from orchestrator.database.logins import Logins
from orchestrator.database.models import Instance, Run
from orchestrator.database.session import LOGIN, SERVICE, Database
from orchestrator.domain.events import Measurement
from orchestrator.domain.options import Options
from orchestrator.domain.run_states import RunState
from orchestrator.domain.verdict import Claim, Figures, judge
from orchestrator.runs.conclude import Outcome, conclude
from orchestrator.runs.fire_schedules import fire_due
from orchestrator.runs.journal import Journal

T = TypeVar("T")
Told = tuple[str, dict[str, Any]]

MEASURED = Measurement(
    batch_size=32,
    num_epochs=1,
    image_size=224,
    throughput_samples_per_sec=1024.0,
    throughput_images_per_sec=1024.0,
    latency_ms=31.25,
    gpu_utilization_percent=97.0,
    memory_used_gb=10.5,
    memory_total_gb=80.0,
    power_draw_watts=512.0,
    temperature_celsius=61.0,
    loss=6.5,
    test_duration_seconds=12.5,
    images=1024,
    steps=32,
    measured_seconds=1.0,
    device="cuda",
    gpu_name="NVIDIA H100 80GB HBM3",
    gpu_count=1,
    precision="fp32",
    model_source="builtin",
    parameters=25_557_032,
    torch_version="2.13.0",
)
EVENTS: Sequence[Told] = (
    ("state", {"state": "connecting", "attempt": 1, "worker": "w1"}),
    ("host_key", {"fingerprint": "SHA256:abc", "first_contact": True}),
    ("state", {"state": "running", "attached": False, "pushed": True}),
    ("progress", {"phase": "measure", "done": 512, "total": 1024, "images_per_sec": 1000.0}),
    ("sample", {"gpu_index": 0, "power_watts": 510.0, "temperature_celsius": 60.0}),
    ("progress", {"phase": "measure", "done": 1024, "total": 1024, "images_per_sec": 1024.0}),
)


def passing(**changes: Any) -> Outcome:
    """The outcome of a run whose machine measured `MEASURED`, with these fields otherwise."""
    measured = MEASURED.model_copy(update=changes)
    verdict = judge(Figures.of(measured), Claim("NVIDIA H100", None), requested=Options())
    return Outcome(RunState.PASSED, measured=measured, verdict=verdict)


class Storyteller:
    """Acts as the workers' login."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins

    def add_supplier(self, email: str) -> UUID:
        async def add(database: Database) -> UUID:
            async with database.transaction(LOGIN) as session:
                return await accounts.sign_up(session, email, "$argon2id$not-used")

        return self._do(add)

    def a_worker_is_alive(self) -> None:
        async def add(database: Database) -> None:
            async with database.transaction(SERVICE) as session:
                await session.exec(text("INSERT INTO procrastinate_workers DEFAULT VALUES"))  # type: ignore[call-overload]

        self._do(add)

    def request(self, name: str = "m1") -> UUID:
        """A queued run of the instance."""

        async def ask(database: Database) -> UUID:
            async with database.transaction(SERVICE) as session:
                instance = await session.exec(
                    select(Instance).where(Instance.vast_instance_id == name)
                )
                return (await runs.request(session, instance.one().id, "api", {})).id

        return self._do(ask)

    def tell(self, run_id: UUID, outcome: Outcome, told: Sequence[Told] = EVENTS) -> None:
        """Claim the run, write its events, and end it."""

        async def play(database: Database) -> None:
            async with database.transaction(SERVICE) as session:
                claimed = await claims.claim(session, run_id, "w1")
            assert claimed is not None
            journal = await Journal.resume(database, claimed.run, deadline_seconds=60.0)
            await journal.append(
                [NewEvent(kind, body, datetime.now(UTC)) for kind, body in told],
                state=RunState.JUDGING if outcome.measured else RunState.CONNECTING,
                started_at=datetime.now(UTC),
            )
            await conclude(journal, outcome)

        self._do(play)

    def claim(self, run_id: UUID) -> None:
        """A worker has the run and says that it connects."""

        async def take(database: Database) -> None:
            async with database.transaction(SERVICE) as session:
                claimed = await claims.claim(session, run_id, "w1")
            assert claimed is not None
            journal = await Journal.resume(database, claimed.run, deadline_seconds=60.0)
            await journal.append([NewEvent(*EVENTS[0], datetime.now(UTC))])

        self._do(take)

    def run_schedules(self) -> None:
        """What a worker's clock does: request the runs that are due."""

        async def fire(database: Database) -> None:
            await fire_due(database)

        self._do(fire)

    def finished(self, outcome: Outcome, told: Sequence[Told] = EVENTS) -> UUID:
        """A run of `m1` that has ended so."""
        run_id = self.request()
        self.tell(run_id, outcome, told)
        return run_id

    def runs(self) -> list[Run]:
        async def read(database: Database) -> list[Run]:
            async with database.transaction(SERVICE) as session:
                return list((await session.exec(select(Run))).all())

        return self._do(read)

    def alter(self, statement: str) -> None:
        async def execute(database: Database) -> None:
            async with database.transaction(SERVICE) as session:
                await session.exec(text(statement))  # type: ignore[call-overload]

        self._do(execute)

    def _do(self, work: Callable[[Database], Awaitable[T]]) -> T:
        async def whole() -> T:
            database = Database(self._logins.worker, pool_size=2)
            try:
                # Unconfigured, structlog writes to stdout, where a command's data is looked for.
                with capture_logs():
                    return await work(database)
            finally:
                await database.close()

        return asyncio.run(whole())
