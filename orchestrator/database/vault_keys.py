"""
The vault's keys as the database knows them: a text sealed under each, and what else is sealed under them.

Rotation replaces the wrapped data keys of sealed rows, each only if it is still what was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Text, Uuid, bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.domain.errors import NotFound, VaultError

SealedTable = Literal["gpu_credentials", "connection_checks"]
TABLES: Final[tuple[SealedTable, ...]] = ("gpu_credentials", "connection_checks")

_RETIRED: Final = "HX410"
_IN_USE: Final = text("SELECT * FROM vault_keys_in_use()")
_INTRODUCE: Final = text("SELECT introduce_vault_key(:key_id, :wrapped_key, :ciphertext, :first)")
_RETIRE: Final = text(
    "UPDATE vault_keys SET retired_at = coalesce(retired_at, now()) WHERE key_id = :key_id"
)
_OTHERS: Final = {
    table: text(
        f"SELECT id, user_id, key_id, wrapped_key, ciphertext FROM {table}"  # noqa: S608  our own words
        " WHERE key_id <> :key_id AND id > :after ORDER BY id LIMIT :most"
    )
    for table in TABLES
}
_REPLACE: Final = {
    table: text(
        f"UPDATE {table} sealed SET key_id = :key_id, wrapped_key = given.after FROM"  # noqa: S608
        " unnest(CAST(:ids AS uuid[]), CAST(:before AS bytea[]), CAST(:after AS bytea[])) given (id, before, after)"
        " WHERE sealed.id = given.id AND sealed.wrapped_key = given.before"
    ).bindparams(
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("before", type_=ARRAY(LargeBinary)),
        bindparam("after", type_=ARRAY(LargeBinary)),
        bindparam("key_id", type_=Text),
    )
    for table in TABLES
}


class KnownKey(NamedTuple):
    """A key on record, with its sealed text, or (without) one that rows name all the same; and how many rows do."""

    key_id: str
    wrapped_key: bytes | None
    ciphertext: bytes | None
    retired_at: datetime | None
    credentials: int
    checks: int

    @property
    def rows(self) -> int:
        return self.credentials + self.checks


@dataclass(frozen=True)
class SealedRow:
    id: UUID
    user_id: UUID
    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


async def in_use(session: AsyncSession) -> list[KnownKey]:
    """Every key on record or in use, by id. For either login."""
    return [KnownKey(*row) for row in await session.exec(_IN_USE)]  # type: ignore[call-overload]


async def introduce(
    session: AsyncSession, key_id: str, wrapped_key: bytes, ciphertext: bytes, *, first: bool
) -> None:
    """Put a key on record unless it is; with `first` only where none is. For either login."""
    given = {"key_id": key_id, "wrapped_key": wrapped_key, "ciphertext": ciphertext, "first": first}
    await session.exec(_INTRODUCE, params=given)  # type: ignore[call-overload]


async def retire(session: AsyncSession, key_id: str) -> None:
    """
    From now on nothing is sealed under this key, on any server. Raises `NotFound`, and `VaultError` while something is. For
    workers only.
    """
    found = await session.exec(_RETIRE, params={"key_id": key_id})  # type: ignore[call-overload]
    if not found.rowcount:
        raise NotFound(f"No vault key {key_id}; `harborx keys status` shows them.")
    # Another statement than the one that waited for whoever was sealing: it sees what they stored.
    rows = next(key.rows for key in await in_use(session) if key.key_id == key_id)
    if rows:
        raise VaultError(f"Key {key_id} still opens {rows} rows; run `harborx keys rotate` first.")


async def under_others(
    session: AsyncSession, table: SealedTable, key_id: str, after: UUID, most: int
) -> list[SealedRow]:
    """Rows behind `after` that are not under `key_id`, by id. For workers only."""
    given = {"key_id": key_id, "after": after, "most": most}
    rows = await session.exec(_OTHERS[table], params=given)  # type: ignore[call-overload]
    return [SealedRow(*row) for row in rows]


async def replace(
    session: AsyncSession,
    table: SealedTable,
    key_id: str,
    rewrapped: Sequence[tuple[SealedRow, bytes]],
) -> int:
    """
    Put the rows' data keys, wrapped anew under `key_id`, in the place of those that were read; how many were still
    there. Raises `VaultError` where that key is retired.
    """
    given = {
        "key_id": key_id,
        "ids": [row.id for row, _ in rewrapped],
        "before": [row.wrapped_key for row, _ in rewrapped],
        "after": [wrapped for _, wrapped in rewrapped],
    }
    try:
        done = await session.exec(_REPLACE[table], params=given)  # type: ignore[call-overload]
    except DBAPIError as error:
        if refused := retired(error):
            raise refused from error
        raise
    count: int = done.rowcount
    return count


def retired(error: DBAPIError) -> VaultError | None:
    """What the database's refusal to store what is sealed under a retired key means; None for any other error."""
    if getattr(error.orig, "sqlstate", None) != _RETIRED:
        return None
    return VaultError(
        "This process seals under a key that is retired: give it the current one, and start it again."
    )
