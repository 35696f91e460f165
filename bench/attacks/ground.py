"""What attacks stand on: a PostgreSQL to make databases in, and a folder that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

from orchestrator.config import load
from orchestrator.database.embedded import embedded_server
from orchestrator.database.logins import Logins, database_logins
from orchestrator.database.schema import apply_schema

PASSWORD: Final = "test"  # as the tests': logins belong to the whole server


@dataclass(frozen=True)
class Ground:
    """`postgres_url` is the owner's, of a server of our own."""

    postgres_url: str
    folder: Path

    @contextmanager
    def database(self) -> Iterator[Logins]:
        """A database with the schema applied, dropped at the end."""
        name = f"attacked_{uuid4().hex[:12]}"
        self._execute(f"CREATE DATABASE {name}")
        try:
            url = make_url(self.postgres_url).set(database=name)
            given = {
                "url": url.render_as_string(hide_password=False),
                "api_password": PASSWORD,
                "worker_password": PASSWORD,
            }
            with database_logins(load(None, {}, {"database": given}).settings) as logins:
                apply_schema(logins)
                yield logins
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def ground() -> Iterator[Ground]:
    with (
        tempfile.TemporaryDirectory(prefix="hx-", ignore_cleanup_errors=True) as folder,
        embedded_server(Path(folder)) as url,
    ):
        yield Ground(url, Path(folder))
