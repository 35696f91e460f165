"""A supplier, a worker, and machines to test: a real sshd whose Python has torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.config import load
from orchestrator.database import events, figures, instances, results, runs
from orchestrator.database.models import FigureRow, Instance, Result, Run, RunEvent, TelemetryRow
from orchestrator.database.session import SERVICE, Session, supplier
from orchestrator.domain.options import Options
from orchestrator.runs.execute import Worker, execute_run
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard, request_run
from orchestrator.ssh import agent_call
from orchestrator.ssh.connection import Target
from orchestrator.vault import Vault
from tests.conftest import Databases
from tests.machines import SshdMachine, bin_folder, sshd_machine

# ResNet-50 on two cores: 1,000 images of 32 px take a few seconds.
SMALL = Options(batch_size=50, image_size=32, budget_seconds=0.5)


@dataclass
class Marketplace:
    """One supplier and one worker over a fresh database."""

    databases: Databases
    worker: Worker
    user_id: UUID
    machines: int = field(default=0)

    async def onboard(
        self, target: Target, gpu_name: str | None = "CPU", **claims: Any
    ) -> Instance:
        self.machines += 1
        onboarded = await onboard(
            self.databases.api,
            self.worker.vault,
            supplier(self.user_id),
            {
                "vast_instance_id": f"machine-{self.machines}",
                "ssh_host": target.host,
                "ssh_port": target.port,
                "ssh_user": target.user,
                "gpu_name": gpu_name,
                **claims,
            },
            LoginGiven(target.private_key),
        )
        return onboarded.instance

    async def request(self, instance: Instance, options: Options = SMALL) -> Run:
        return await request_run(
            self.databases.api, supplier(self.user_id), instance.id, options, "api"
        )

    async def execute(self, instance: Instance, options: Options = SMALL) -> Run:
        """Request a run, carry it out, and return it as it ended."""
        run = await self.request(instance, options)
        await execute_run(run.id, self.worker)
        return await self.run(run.id)

    async def run(self, run_id: UUID) -> Run:
        async with self.databases.api.transaction(supplier(self.user_id)) as session:
            return await runs.get(session, run_id)

    async def instance(self, instance_id: UUID) -> Instance:
        async with self.databases.api.transaction(supplier(self.user_id)) as session:
            return await instances.get(session, instance_id)

    async def result(self, run_id: UUID) -> Result | None:
        async with self.databases.api.transaction(supplier(self.user_id)) as session:
            return await results.of_run(session, run_id)

    async def figures(self, run_id: UUID) -> list[FigureRow]:
        async with self.databases.api.transaction(supplier(self.user_id)) as session:
            return list(await figures.of_run(session, run_id))

    async def telemetry(self, run_id: UUID) -> list[TelemetryRow]:
        async with self.databases.api.transaction(supplier(self.user_id)) as session:
            return list(await figures.telemetry_of_run(session, run_id))

    async def events(self, run_id: UUID) -> list[RunEvent]:
        async with self.databases.worker.transaction(SERVICE) as session:
            return list(await events.after(session, run_id, 0, limit=10_000))


@pytest.fixture
async def marketplace(databases: Databases, tmp_path: Path) -> Marketplace:
    return Marketplace(databases, worker_of(databases, tmp_path), await databases.new_supplier())


def worker_of(databases: Databases, folder: Path, name: str = "worker-1") -> Worker:
    settings = load(
        None,
        {},
        {
            "state_dir": str(folder),
            "ssh": {"allowed_networks": ["127.0.0.0/8"], "connect_attempts": 1},
            "agent": {"install_torch": False, "deadline_seconds": 120},
            "worker": {"heartbeat_seconds": 0.5, "stalled_seconds": 2.0},
        },
    ).settings
    return Worker(databases.worker, Vault(bytes(32)), settings, name)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SshdMachine]:
    """A real sshd; the one Python on its PATH has torch."""
    with sshd_machine(path=bin_folder(tmp_path / "bin", python3=sys.executable)) as sshd:
        yield sshd


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshdMachine]:
    """A real sshd without any Python, nor one looked for outside its PATH."""
    names = tuple(name for name in agent_call.INTERPRETERS if not name.startswith("/"))
    monkeypatch.setattr(agent_call, "INTERPRETERS", names)
    with sshd_machine(path=bin_folder(tmp_path / "bare")) as sshd:
        yield sshd


def left_behind(machine: SshdMachine) -> list[str]:
    """The run folders on a machine."""
    folder = machine.home / ".harborx" / "runs"
    return os.listdir(folder) if folder.is_dir() else []


async def sql(session: Session, statement: str, **parameters: object) -> object:
    """A statement of the test's own; its one value, if it gives any."""
    found = await session.exec(text(statement), params=parameters)  # type: ignore[call-overload]
    return found.scalar() if found.returns_rows else None
