"""A supplier with instances, straight in the database."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from uuid import UUID

import pytest

from orchestrator.database import instances
from orchestrator.database.models import Instance
from orchestrator.database.session import Principal, supplier
from tests.conftest import Databases

_numbers = count(1)


@dataclass(frozen=True)
class Tenant:
    databases: Databases
    user_id: UUID

    @property
    def principal(self) -> Principal:
        return supplier(self.user_id)

    async def onboard(self) -> Instance:
        claims = {"vast_instance_id": f"machine-{next(_numbers)}", "ssh_host": "host.example"}
        async with self.databases.api.transaction(self.principal) as session:
            return await instances.onboard(session, claims)


@pytest.fixture
async def tenant(databases: Databases) -> Tenant:
    return Tenant(databases, await databases.new_supplier())


@pytest.fixture
async def other(databases: Databases) -> Tenant:
    return Tenant(databases, await databases.new_supplier("other@example.com"))
