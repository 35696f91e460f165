"""
The vault's keys and the database: none works without the keys of what is sealed in it, and all of it is taken over
by another key while everybody goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from orchestrator.database import vault_keys
from orchestrator.database.session import LOGIN, SERVICE, Database
from orchestrator.database.vault_keys import KnownKey, SealedRow, SealedTable
from orchestrator.domain.errors import VaultError, VaultUnavailable
from orchestrator.runs.check_connection import check_binding
from orchestrator.runs.login_keys import credential_binding
from orchestrator.vault import Binding, Sealed, Vault

BATCH: Final = 200
_NOBODY: Final = UUID(int=0)
_CANARY: Final = Binding("vault_keys", "ciphertext", _NOBODY, _NOBODY)
_TEXT: Final = "Whoever reads this has the key."
_BINDINGS: Final[dict[SealedTable, Callable[[UUID, UUID], Binding]]] = {
    "gpu_credentials": credential_binding,
    "connection_checks": check_binding,
}

Told = Callable[[int], None]


async def known_keys(database: Database) -> list[KnownKey]:
    """Every key that is on record or in use."""
    async with database.transaction(LOGIN) as session:
        return await vault_keys.in_use(session)


async def require_keys(database: Database, vault: Vault) -> None:
    """
    Before a process begins: it has the key of everything that is sealed in the database, and its current key is on
    record. Raises `VaultError`, which says which key is missing and where it was looked for, and `VaultUnavailable`.
    """
    known = await known_keys(database)
    if not known:
        await introduce_current(database, vault, first=True)
        known = await known_keys(database)
    for key in known:
        if key.rows:
            _require(vault, key)
    opened = [await _opens(vault, key) for key in known if key.wrapped_key is not None]
    if opened and not any(opened):
        named = ", ".join(key.key_id for key in known)
        raise VaultError(
            f"This database was used with key {named}, which was looked for in {', '.join(vault.ring.places)}"
            " and not found. Copy it there from where it was made; a new one would not open what is there."
        )
    await introduce_current(database, vault)


async def introduce_current(database: Database, vault: Vault, *, first: bool = False) -> str:
    """Put the current key on record, or with `first` only where there is none; its id. Raises `VaultError`."""
    sealed = await vault.seal(_TEXT, _CANARY)
    async with database.transaction(LOGIN) as session:
        await vault_keys.introduce(
            session, sealed.key_id, sealed.wrapped_key, sealed.ciphertext, first=first
        )
    for key in await known_keys(database):
        if key.key_id == sealed.key_id and key.retired_at is not None:
            raise VaultError(f"Key {key.key_id}, which would seal here, is retired.")
    return sealed.key_id


async def retire(database: Database, key_id: str) -> None:
    """Nothing is sealed under this key any more; for the workers' login. Raises `NotFound`, `VaultError` while something is."""
    async with database.transaction(SERVICE) as session:
        await vault_keys.retire(session, key_id)


class Refused(NamedTuple):
    """A row that does not open: changed, or sealed under a key that is gone."""

    table: SealedTable
    row_id: UUID
    reason: str


@dataclass
class Rotation:
    """What taking over has come to."""

    key_id: str
    done: int = 0
    refused: list[Refused] = field(default_factory=list)


async def rotate(database: Database, vault: Vault, told: Told = lambda _: None) -> Rotation:
    """
    Have everything that other keys opened wrapped under the current one, in small batches; for the workers' login.

    It may end at any point and be begun again: each row is under one key or the other, whose process has both. What
    is sealed under another key meanwhile is taken over too. `told` gets the count as it grows. Raises `VaultError`,
    `VaultUnavailable` and `DatabaseError`.
    """
    rotation = Rotation(await introduce_current(database, vault))
    while True:
        before = rotation.done
        rotation.refused.clear()
        for table in vault_keys.TABLES:
            async for rows in _batches(database, table, rotation.key_id):
                rotation.done += await _take_over(database, vault, table, rows, rotation)
                told(rotation.done)
        if rotation.done == before:
            return rotation


async def _batches(
    database: Database, table: SealedTable, key_id: str
) -> AsyncIterator[list[SealedRow]]:
    after = _NOBODY
    while True:
        async with database.transaction(SERVICE) as session:
            rows = await vault_keys.under_others(session, table, key_id, after, BATCH)
        if not rows:
            return
        yield rows
        after = rows[-1].id


async def _take_over(
    database: Database, vault: Vault, table: SealedTable, rows: list[SealedRow], rotation: Rotation
) -> int:
    rewrapped: list[tuple[SealedRow, bytes]] = []
    for row in rows:
        sealed = Sealed(row.key_id, row.wrapped_key, row.ciphertext)
        binding = _BINDINGS[table](row.user_id, row.id)
        try:
            anew = await vault.rewrap(sealed, binding)
        except VaultUnavailable:
            raise
        except VaultError as error:
            rotation.refused.append(Refused(table, row.id, error.detail))
            continue
        if anew.key_id != rotation.key_id:
            raise VaultError(f"Another key, {anew.key_id}, became the current one. Begin again.")
        rewrapped.append((row, anew.wrapped_key))
    if not rewrapped:
        return 0
    async with database.transaction(SERVICE) as session:
        return await vault_keys.replace(session, table, rotation.key_id, rewrapped)


def _require(vault: Vault, key: KnownKey) -> None:
    try:
        vault.ring.holder_of(key.key_id)
    except VaultError as error:
        raise VaultError(
            f"{key.rows} logins are sealed under key {key.key_id}. {error.detail}"
            " Copy the key there; a new one would not open them."
        ) from error


async def _opens(vault: Vault, key: KnownKey) -> bool:
    """Whether the key on record is there. Raises `VaultError` where a key of this name is another one."""
    if not vault.ring.holds(key.key_id):
        return False
    sealed = Sealed(key.key_id, key.wrapped_key or b"", key.ciphertext or b"")
    if await vault.open(sealed, _CANARY) != _TEXT:
        raise VaultError(f"Key {key.key_id} is not the one on record.")
    return True
