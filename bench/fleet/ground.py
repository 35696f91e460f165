"""What many runs stand on: PostgreSQL, instances on stand-in machines, and workers as `harborx worker` starts them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from bench.fleet.machines import Manner, manner_text
from bench.fleet.processes import Child, child, postgres_cpu
from orchestrator import log
from orchestrator.cli.desk import open_login
from orchestrator.cli.vault import open_vault, ready_vault
from orchestrator.config import Settings, load
from orchestrator.database import accounts, host_keys
from orchestrator.database.logins import Logins, database_logins
from orchestrator.database.schema import apply_schema
from orchestrator.database.session import LOGIN, SERVICE, Database, Principal, supplier
from orchestrator.domain.options import Options
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard, request_run
from orchestrator.ssh.keys import KeyPair, generate_key_pair

PEERS: Final = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
MACHINE_PROCESSES: Final = 2
_AT_ONCE: Final = 8
_READY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.5
_OPTIONS: Final = Options(batch_size=50, image_size=32)
_MANY: Final = 1_000_000
_WORK: Final = "from orchestrator.cli.main import main; main()"
_COUNT: Final = text(
    "SELECT count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE finished_at IS NOT NULL),"
    " count(*) FILTER (WHERE finished_at IS NULL), count(*) FILTER (WHERE epoch > 0) FROM gpu_test_runs"
)
_ENDINGS: Final = text(
    "SELECT state || coalesce(' ' || error_code, ''), count(*) FROM gpu_test_runs GROUP BY 1 ORDER BY 2 DESC"
)


@dataclass(frozen=True)
class Counts:
    """How many runs are where."""

    running: int
    finished: int
    unfinished: int
    begun: int


@dataclass
class Fleet:
    """`instances` on machines of this process's children; `workers` come and go."""

    folder: Path
    settings: Settings
    owner_url: str
    api: Database
    service: Database
    owner: Principal
    key: KeyPair
    addresses: list[tuple[str, int, str]] = field(default_factory=list)  # with the host key
    instances: list[UUID] = field(default_factory=list)
    houses: list[Child] = field(default_factory=list)

    async def request_all(self, instances: Sequence[UUID] | None = None) -> float:
        """A run of each; seconds until the last was accepted."""
        began = time.monotonic()
        places = asyncio.Semaphore(_AT_ONCE)

        async def ask(instance_id: UUID) -> None:
            async with places:
                await request_run(
                    self.api,
                    self.owner,
                    instance_id,
                    _OPTIONS,
                    "api",
                    new_machines_per_hour=_MANY,
                )

        await asyncio.gather(*(ask(each) for each in instances or self.instances))
        return time.monotonic() - began

    def release(self) -> None:
        """The runs that are held may end."""
        for house in self.houses:
            house.tell("go")

    async def counts(self) -> Counts:
        async with self.service.transaction(SERVICE) as session:
            row = (await session.exec(_COUNT)).one()  # type: ignore[call-overload]
        return Counts(*row)

    async def endings(self) -> dict[str, int]:
        """How runs ended, or where they are: "passed": 998, "failed clock_disagrees": 2."""
        async with self.service.transaction(SERVICE) as session:
            rows = (await session.exec(_ENDINGS)).all()  # type: ignore[call-overload]
        return {str(row[0]): int(row[1]) for row in rows}

    async def execute(self, statement: Any) -> Any:
        """One statement as a worker may say it; its rows."""
        async with self.service.transaction(SERVICE) as session:
            return await session.exec(statement)

    async def until(self, what: str, reached: Any, seconds: float) -> float:
        """Wait until `reached(counts)`; how long that took. Raises `TimeoutError`."""
        began = time.monotonic()
        told = began
        while True:
            counts = await self.counts()
            if reached(counts):
                return time.monotonic() - began
            if time.monotonic() > began + seconds:
                told_of = f"{await self.endings()}, {self.trouble()}"
                raise TimeoutError(f"{what}: {counts}, {told_of}")
            if time.monotonic() > told + 10:
                told = time.monotonic()
                say(f"{what}: {counts}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def until_all_ended(self, seconds: float) -> float:
        return await self.until("ending", lambda counts: counts.unfinished == 0, seconds)

    def postgres_cpu(self) -> float:
        return postgres_cpu(self.folder / "postgresql")

    @asynccontextmanager
    async def workers(
        self, count: int, concurrency: int, **environ: str
    ) -> AsyncIterator[list[Child]]:
        """So many `harborx worker`, all of them ready."""
        async with AsyncExitStack() as stack:
            born = [await self._worker(stack, n, concurrency, environ) for n in range(count)]
            await self._all_registered(3 * count)
            yield born

    @asynccontextmanager
    async def claimers(self, count: int) -> AsyncIterator[None]:
        """So many workers whose runs end when they are claimed (`claimer`)."""
        async with AsyncExitStack() as stack:
            for number in range(count):
                environ, errors = self._environ(), self.folder / f"worker-c{number}.log"
                await stack.enter_async_context(
                    child("-m", "bench.fleet.claimer", environ=environ, errors=errors)
                )
            await self._all_registered(3 * count)
            yield

    async def _worker(
        self, stack: AsyncExitStack, number: int, concurrency: int, environ: dict[str, str]
    ) -> Child:
        own = ("worker", "--name", f"worker-{number}", "--concurrency", str(concurrency))
        given, errors = {**self._environ(), **environ}, self.folder / f"worker-{number}.log"
        return await stack.enter_async_context(
            child("-c", _WORK, *own, environ=given, errors=errors)
        )

    def _environ(self) -> dict[str, str]:
        return {
            "HARBORX_STATE_DIR": str(self.folder),
            "HARBORX_SSH__ALLOWED_NETWORKS": json.dumps(["127.0.0.0/8"]),
            "HARBORX_LOG__LEVEL": "warning",
            "HARBORX_LOG__FORMAT": "json",
        }

    async def _all_registered(self, wanted: int) -> None:
        """The engine has three of its own in each worker: runs, checks, sweeps."""
        fresh = text(
            "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '3 s'"
        )
        async with asyncio.timeout(_READY_SECONDS):
            while True:
                async with self.service.transaction(SERVICE) as session:
                    found = (await session.exec(fresh)).scalar_one()  # type: ignore[call-overload]
                if found >= wanted:
                    return
                await asyncio.sleep(0.1)

    def trouble(self) -> list[str]:
        """What the workers complained of, a line each kind."""
        seen: dict[str, int] = {}
        for path in self.folder.glob("worker-*.log"):
            for line in path.read_text().splitlines():
                try:
                    told = json.loads(line)
                    kind = f"{told.get('event')} {told.get('reason', '')}".strip()
                except ValueError:
                    kind = line[:200]
                seen[kind] = seen.get(kind, 0) + 1
        return [f"{count} x {kind}" for kind, count in list(seen.items())[:20]]


@asynccontextmanager
async def fleet_of(manner: Manner) -> AsyncIterator[Fleet]:
    """`manner.count` instances, onboarded and known by their host keys, each on a machine of its own."""
    log.configure("error", "json")
    async with AsyncExitStack() as stack:
        # What runs as root makes PostgreSQL a user of its own, who has to get there.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hx-fleet-")))
        os.chmod(folder, 0o755)
        settings = load(None, {}, {"state_dir": str(folder)}).settings
        logins = stack.enter_context(database_logins(settings))
        await asyncio.to_thread(apply_schema, logins)
        fleet = await _founded(stack, folder, settings, logins)
        await _housed(stack, fleet, manner)
        await _onboarded(fleet)
        yield fleet


async def _founded(
    stack: AsyncExitStack, folder: Path, settings: Settings, logins: Logins
) -> Fleet:
    api, service = (
        open_login(settings, url, pool_size=_AT_ONCE) for url in (logins.api, logins.worker)
    )
    for database in (api, service):
        stack.push_async_callback(database.close)
    open_vault(settings)
    async with api.transaction(LOGIN) as session:
        user_id = await accounts.sign_up(session, "fleet@example.com", "$argon2id$not-used")
    return Fleet(
        folder, settings, logins.owner, api, service, supplier(user_id), generate_key_pair()
    )


async def _housed(stack: AsyncExitStack, fleet: Fleet, manner: Manner) -> None:
    """The machines, in processes of their own. They show keys of their processes."""
    processes = min(MACHINE_PROCESSES, manner.count)
    # As even as they get.
    shares = [manner.count // processes + (n < manner.count % processes) for n in range(processes)]
    first = manner.first
    for share in shares:
        part = replace(manner, count=share, first=first)
        house = await stack.enter_async_context(
            child("-m", "bench.fleet.machines", manner_text(part))
        )
        told = json.loads(await house.line(_READY_SECONDS))
        fleet.houses.append(house)
        fleet.addresses += [(host, port, told["host_key"]) for host, port in told["addresses"]]
        first += share


async def _onboarded(fleet: Fleet) -> None:
    vault = await ready_vault(fleet.settings, fleet.service)
    places = asyncio.Semaphore(_AT_ONCE)

    async def put(number: int, host: str, port: int, host_key: str) -> UUID:
        claims = {
            "vast_instance_id": f"machine-{number}",
            "ssh_host": host,
            "ssh_port": port,
            "ssh_user": "fleet",
            "gpu_name": "CPU",
        }
        async with places:
            login = LoginGiven(fleet.key.private_key)
            known = await onboard(fleet.api, vault, fleet.owner, claims, login)
            async with fleet.service.transaction(SERVICE) as session:
                await host_keys.pin(session, known.instance, host_key)
        return known.instance.id

    began = time.monotonic()
    fleet.instances = list(
        await asyncio.gather(
            *(put(number, *address) for number, address in enumerate(fleet.addresses))
        )
    )
    say(f"{len(fleet.instances)} instances onboarded in {time.monotonic() - began:.1f} s")


def settings_here() -> Settings:
    """Those that a child of a fleet was given."""
    return load(None, os.environ).settings


def say(line: str) -> None:
    """How far it is, for whoever waits."""
    print(f"  {line}", file=sys.stderr, flush=True)
