"""Real parts for every test: one PostgreSQL a session, a database from a template for each test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import make_url

from orchestrator.database import accounts
from orchestrator.database.embedded import embedded_server
from orchestrator.database.logins import Logins
from orchestrator.database.schema import apply_schema
from orchestrator.database.session import LOGIN, Database

_numbers = count(1)


@dataclass(frozen=True)
class Databases:
    """The two logins of one fresh database."""

    logins: Logins
    api: Database
    worker: Database

    async def new_supplier(self, email: str = "supplier@example.com") -> UUID:
        async with self.api.transaction(LOGIN) as session:
            return await accounts.sign_up(session, email, "$argon2id$not-used")


def logins_of(owner_url: str) -> Logins:
    def as_login(user: str) -> str:
        url = make_url(owner_url).set(username=user, password="test")
        return url.render_as_string(hide_password=False)

    return Logins(owner_url, as_login("harborx_api"), as_login("harborx_worker"), "test", "test")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The owner's URL of a server of our own, gone at the end of the session."""
    with (
        tempfile.TemporaryDirectory(prefix="hx-", ignore_cleanup_errors=True) as folder,
        embedded_server(Path(folder)) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """The name of a database with the schema applied, to copy from."""
    _execute(postgres_url, "CREATE DATABASE template_harborx")
    apply_schema(logins_of(_database_url(postgres_url, "template_harborx")))
    return "template_harborx"


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[Logins]:
    """A database without our schema."""
    name = f"empty_{next(_numbers)}"
    _execute(postgres_url, f"CREATE DATABASE {name}")
    yield logins_of(_database_url(postgres_url, name))
    _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def logins(postgres_url: str, template: str) -> Iterator[Logins]:
    """A database of this test's own with the schema applied."""
    name = f"test_{next(_numbers)}"
    _execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield logins_of(_database_url(postgres_url, name))
    _execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def databases(logins: Logins) -> AsyncIterator[Databases]:
    api, worker = Database(logins.api, pool_size=5), Database(logins.worker, pool_size=5)
    yield Databases(logins, api, worker)
    await api.close()
    await worker.close()


def _database_url(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
