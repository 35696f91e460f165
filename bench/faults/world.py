"""Everything that is hit: PostgreSQL, machines behind lines, workers and an API as processes, and load on them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url

from bench.faults.client import Client
from bench.faults.crew import Crew, Member, crew_at_work
from bench.faults.ledger import Ledger, LiveRun
from bench.faults.machine import Machine, machine_in_place, survivors_on
from bench.faults.mutations import IN_DATABASE
from bench.faults.points import reached_in
from bench.faults.postgres import Postgres
from bench.faults.record import Evidence, Fault
from orchestrator.config import WorkerSettings
from orchestrator.database.logins import Logins
from orchestrator.database.schema import apply_schema
from tests.machines import SshdMachine, sshd_machine

_PASSWORD: Final = "chaos"
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Plan:
    """How big the world is, and how its product is set; None leaves the product's default."""

    instances: int = 10
    workers: int = 3
    pace: float = 10.0
    deadline_seconds: float = 300.0
    heartbeat_seconds: float | None = None
    stalled_seconds: float | None = None
    late: bool = False  # stopped workers go on only when their runs have ended
    mutation: str | None = None
    keep: bool = False

    @property
    def stalled(self) -> float:
        return self.stalled_seconds or WorkerSettings().stalled_seconds


class WorldBroken(Exception):
    """A process of the world ended in a way that no fault explains."""


@dataclass
class World:
    plan: Plan
    folder: Path
    postgres: Postgres
    machines: list[Machine]
    impostor: SshdMachine
    crew: Crew
    ledger: Ledger
    client: Client
    faults: list[Fault] = field(default_factory=list)

    @property
    def by_instance(self) -> dict[str, Machine]:
        return {machine.instance_id: machine for machine in self.machines}

    def fault(self, kind: str, action: str, target: str = "") -> Fault:
        """A new fault on record, attempted now and not yet effective."""
        fault = Fault(kind, action, now(), target)
        self.faults.append(fault)
        return fault

    def live_on(self, machine: Machine) -> LiveRun | None:
        """The machine's run by the last look, if there is one."""
        return next((r for r in self.ledger.live if r.instance_id == machine.instance_id), None)

    def worker(self, name: str) -> Member | None:
        return next((member for member in self.crew.workers if member.name == name), None)

    async def watch(self) -> None:
        """Keep `ledger.live` fresh for ever; raises when a process of ours ended by itself."""
        while True:
            if trouble := self.crew.trouble():
                raise WorldBroken(trouble)
            await self.ledger.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def evidence(self) -> Evidence:
        """What the checker is given."""
        survivors = survivors_on(self.machines)
        return Evidence(
            runs=await self.ledger.stored(),
            machines=tuple(m.look(survivors.get(m.instance_id, ())) for m in self.machines),
            faults=tuple(self.faults),
            accepted=frozenset(self.client.accepted),
            impostor_log=self.impostor.log,
            reached=reached_in(self.folder),
        )

    def at_rest(self) -> bool:
        """Whether nothing of ours is left on any machine."""
        left = any(machine.folders() for machine in self.machines)
        return not left and not any(survivors_on(self.machines).values())


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def world_of(plan: Plan) -> AsyncIterator[World]:
    """A whole world on this machine, on ports from the kernel, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="hx-chaos-"))
    try:
        async with AsyncExitStack() as stack:
            yield await _made(plan, folder, stack)
    finally:
        if not plan.keep:
            shutil.rmtree(folder, ignore_errors=True)


async def _made(plan: Plan, folder: Path, stack: AsyncExitStack) -> World:
    for name in ("logs", "arms", "fired", "state", "postgres"):
        (folder / name).mkdir()
    postgres = Postgres(folder / "postgres")
    stack.callback(postgres.ended)
    await asyncio.to_thread(postgres.make)
    await asyncio.to_thread(apply_schema, _logins(postgres.url))
    if plan.mutation in IN_DATABASE:
        await asyncio.to_thread(postgres.execute, IN_DATABASE[plan.mutation])
    machines = [
        await stack.enter_async_context(machine_in_place(plan.pace)) for _ in range(plan.instances)
    ]
    impostor = stack.enter_context(sshd_machine())
    for machine in machines:
        impostor.authorise(machine.sshd.key.public_key)
    port = _free_port()
    crew = await stack.enter_async_context(
        crew_at_work(
            str(folder), _flags(plan, folder, postgres.url), plan.workers, port, plan.mutation
        )
    )
    ledger = Ledger(postgres.url)
    stack.push_async_callback(ledger.close)
    client = Client(f"http://127.0.0.1:{port}")
    stack.push_async_callback(client.close)
    world = World(plan, folder, postgres, machines, impostor, crew, ledger, client)
    await client.sign_up()
    for number, machine in enumerate(machines):
        machine.instance_id = await client.onboard(_as_onboarded(machine, number))
    return world


def _as_onboarded(machine: Machine, number: int) -> dict[str, Any]:
    return {
        "instance_id": f"chaos-{number}",
        "ssh_host": "127.0.0.1",
        "ssh_port": machine.line.port,
        "ssh_user": machine.sshd.user,
        "ssh_key": machine.sshd.key.private_key,
        "gpu_name": "CPU",
    }


def _flags(plan: Plan, folder: Path, url: str) -> dict[str, Any]:
    """The settings of the processes: the product's own, but for what a world on loopback needs."""
    worker = {"heartbeat_seconds": plan.heartbeat_seconds, "stalled_seconds": plan.stalled_seconds}
    return {
        "state_dir": str(folder / "state"),
        "database": {"url": url, "api_password": _PASSWORD, "worker_password": _PASSWORD},
        "ssh": {"allowed_networks": ["127.0.0.0/8"]},
        "agent": {"install_torch": False, "deadline_seconds": plan.deadline_seconds},
        "worker": {name: value for name, value in worker.items() if value is not None},
    }


def _logins(owner: str) -> Logins:
    def login(user: str) -> str:
        url = make_url(owner).set(username=user, password=_PASSWORD)
        return url.render_as_string(hide_password=False)

    return Logins(owner, login("harborx_api"), login("harborx_worker"), _PASSWORD, _PASSWORD)


def _free_port() -> int:
    # The API comes back on the same port after each death, so it can't be asked for a new one.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
