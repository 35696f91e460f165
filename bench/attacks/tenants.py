"""Suppliers with machines, and one worker for all of them, whose deadlines are short."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final
from uuid import UUID, uuid4

from orchestrator.config import load
from orchestrator.database import accounts, host_keys, runs
from orchestrator.database.logins import Logins
from orchestrator.database.models import Run
from orchestrator.database.session import LOGIN, SERVICE, Database, supplier
from orchestrator.domain.options import Options
from orchestrator.runs.execute import Worker
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard, request_run
from orchestrator.ssh.connection import Deadlines
from orchestrator.ssh.keys import KeyPair, generate_key_pair
from orchestrator.vault import Vault

RUN_SECONDS: Final = 5.0  # the agent's deadline
_SHORT: Final = Deadlines(connect=2.0, login=3.0, command=3.0, push=1.5, close=0.5, keepalive=1.0)
_FLAGS: Final = {
    "ssh": {"allowed_networks": ["127.0.0.0/8"], "connect_attempts": 1},
    "agent": {"install_torch": False, "deadline_seconds": RUN_SECONDS},
}


class _Hasty(Worker):
    @property
    def deadlines(self) -> Deadlines:
        return _SHORT


@dataclass(frozen=True)
class Place:
    """A machine's address."""

    name: str
    host: str
    port: int


@dataclass(frozen=True)
class Tenant:
    """A supplier; each request is of a machine that was onboarded for it."""

    api: Database
    worker: Worker
    user_id: UUID
    key: KeyPair

    async def request(self, place: Place, *, pinned: bool = False) -> Run:
        """A run of a new instance at `place`; `pinned` to some host key."""
        claims = {
            "vast_instance_id": f"{place.name}-{uuid4().hex[:12]}",
            "ssh_host": place.host,
            "ssh_port": place.port,
            "ssh_user": "tester",
            "gpu_name": "NVIDIA H100",
        }
        login = LoginGiven(self.key.private_key)
        me = supplier(self.user_id)
        onboarded = await onboard(self.api, self.worker.vault, me, claims, login)
        if pinned:
            async with self.worker.database.transaction(SERVICE) as session:
                await host_keys.pin(session, onboarded.instance, self.key.public_key)
        return await request_run(self.api, me, onboarded.instance.id, Options(), "api")

    async def run(self, run_id: UUID) -> Run:
        async with self.api.transaction(supplier(self.user_id)) as session:
            return await runs.get(session, run_id)


@dataclass(frozen=True)
class House:
    """The database's logins, open, and the worker."""

    api: Database
    worker: Worker
    numbers: count[int]
    key: KeyPair

    async def tenant(self) -> Tenant:
        async with self.api.transaction(LOGIN) as session:
            email = f"supplier{next(self.numbers)}@example.com"
            user_id = await accounts.sign_up(session, email, "$argon2id$not-used")
        return Tenant(self.api, self.worker, user_id, self.key)


@asynccontextmanager
async def tenants_of(logins: Logins) -> AsyncIterator[House]:
    api, own = Database(logins.api, pool_size=4), Database(logins.worker, pool_size=8)
    worker = _Hasty(own, Vault(bytes(32)), load(None, {}, _FLAGS).settings, "worker-1")
    try:
        yield House(api, worker, count(1), generate_key_pair())
    finally:
        await api.close()
        await own.close()
