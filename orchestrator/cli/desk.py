"""What a command works with: settings, both logins of the database, and whom it acts for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator import log
from orchestrator.cli.call import Call
from orchestrator.config import Settings
from orchestrator.database import accounts
from orchestrator.database.logins import Logins, database_logins
from orchestrator.database.schema import apply_schema, check_schema
from orchestrator.database.server import server_behind
from orchestrator.database.session import SERVICE, Database, Principal, supplier
from orchestrator.domain.errors import DatabaseUnavailable, NotFound, SchemaMismatch
from orchestrator.ssh.user_ca import UserCa
from orchestrator.state_folder import kept_secret


@dataclass(frozen=True)
class Desk:
    """`api` acts for suppliers, `worker` for the operator."""

    settings: Settings
    api: Database
    worker: Database

    async def supplier(self, email: str | None) -> Principal:
        """The account with this address, or the only one there is. Raises `NotFound`."""
        try:
            async with self.worker.transaction(SERVICE) as session:
                profile = await accounts.profile_by_email(session, email)
        except NotFound as error:
            hint = "`harborx users add EMAIL` makes an account."
            raise NotFound(f"{error.detail} {hint}") from error
        return supplier(profile.id, "cli")


@asynccontextmanager
async def open_desk(call: Call, flags: Mapping[str, Any] | None = None) -> AsyncIterator[Desk]:
    """The database of the settings, ready to use; a command's own few connections to it."""
    settings = call.settings(flags)
    log.configure("warning", settings.log.format)
    with ready_database(settings) as logins:
        desk = Desk(
            settings,
            open_login(settings, logins.api, pool_size=2),
            open_login(settings, logins.worker, pool_size=2),
        )
        try:
            yield desk
        finally:
            await desk.api.close()
            await desk.worker.close()


@contextmanager
def ready_database(settings: Settings, login: Literal["api", "worker"] = "api") -> Iterator[Logins]:
    """
    The logins of a database that is on this program's schema, seen through `login`: a machine that only works
    knows the worker's password alone.

    The embedded one is brought there, so that first use just works; a configured one is its
    owner's to change: `SchemaMismatch` names the command.
    """
    with database_logins(settings) as logins:
        if settings.database.url is None:
            apply_schema(logins)
        else:
            _require_schema(logins, logins.api if login == "api" else logins.worker)
        yield logins


def open_login(settings: Settings, url: str, pool_size: int, *, patience: float = 10.0) -> Database:
    """`patience`: seconds to wait for a connection that others of this process are using."""
    # What keeps LISTEN from working (PgBouncer by transaction) also forbids prepared statements.
    prepare = settings.database.listen_notify
    return Database(url, pool_size=pool_size, pool_timeout=patience, prepare=prepare)


def open_user_ca(settings: Settings) -> UserCa:
    """Raises `ConfigError`."""
    kept = settings.ssh.user_ca_key_file or kept_secret(settings.state_dir, "user-ca.key")
    return UserCa.from_file(kept, settings.ssh.source_addresses)


def _require_schema(logins: Logins, url: str) -> None:
    try:
        check_schema(url)
    except DatabaseUnavailable as error:
        # A server without our logins refuses them: say that the schema is missing, not that it is down.
        if server_behind(logins.owner).schema_version is None:
            raise SchemaMismatch("It has no Harborx schema yet.") from error
        raise
