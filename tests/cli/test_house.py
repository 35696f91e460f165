"""The parts of an installation end whole, also where they never began."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.house import bound_socket, running_api
from orchestrator.config import load
from orchestrator.database.logins import Logins
from orchestrator.database.session import Database
from orchestrator.domain.errors import ConfigError


async def test_an_api_that_does_not_start_leaves_nothing_open(
    tmp_path: Path, logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that nobody is safe under: neither its socket nor a connection stays."""
    closed: list[Database] = []
    close = Database.close

    async def told(database: Database) -> None:
        closed.append(database)
        await close(database)

    monkeypatch.setattr(Database, "close", told)
    flags = {"state_dir": tmp_path, "auth": {"session_secret": "short"}}
    listening = bound_socket("127.0.0.1", 0)
    with pytest.raises(ConfigError):
        async with running_api(load(None, {}, flags).settings, logins, listening):
            raise AssertionError("it started")
    assert listening.fileno() == -1
    assert len(closed) == 1
