"""The API on a port of its own, as it is served, and suppliers that log in to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from orchestrator import log
from orchestrator.cli import house
from orchestrator.config import load
from orchestrator.database import accounts
from orchestrator.database.logins import Logins
from orchestrator.database.session import LOGIN, Database, supplier
from orchestrator.runs.api_keys import SCOPES, create_key

_NO_RATES: Final = {
    f"rate_limit_{name}": 0 for name in ("reads", "writes", "anonymous", "expensive", "streams")
}


@asynccontextmanager
async def served(logins: Logins, state: Path) -> AsyncIterator[str]:
    """The API as it is served, without its rate limits: they are not what is attacked here."""
    flags = {"state_dir": state, "server": {**_NO_RATES, "listing_seconds": 0}}
    settings = load(None, {}, flags).settings
    log.configure("critical", "json")  # a fault is counted; what it says is in its sentence
    listening = house.bound_socket("127.0.0.1", 0)
    async with house.running_api(settings, logins, listening) as base:
        yield base


@asynccontextmanager
async def opened(logins: Logins) -> AsyncIterator[Database]:
    database = Database(logins.api, pool_size=2)
    try:
        yield database
    finally:
        await database.close()


async def signed_in(api: Database) -> tuple[UUID, dict[str, str]]:
    """A new supplier, and what it logs in with."""
    async with api.transaction(LOGIN) as session:
        user_id = await accounts.sign_up(session, f"{uuid4().hex}@example.com", "$argon2id$none")
    return user_id, await log_in(api, user_id)


async def log_in(api: Database, user_id: UUID) -> dict[str, str]:
    """The header of an API key that may do all that keys may."""
    key = await create_key(api, supplier(user_id), "a fuzzer", scopes=SCOPES)
    return {"Authorization": f"Bearer {key}"}
