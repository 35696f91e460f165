"""Credentials: how we log in to an instance, its own or the supplier's one for all that have none."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, or_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Credential, Instance
from orchestrator.database.vault_keys import retired

Kind = Literal["supplied", "generated", "shared", "certificate"]
_KINDS: Final[dict[str, Kind]] = {
    "supplied": "supplied",
    "generated": "generated",
    "certificate": "certificate",
}

# Tenants may read no more than these: the sealed columns go in and do not come out.
_PUBLIC: Final = select(
    Credential.public_key,
    Credential.fingerprint,
    Credential.kind,
    col(Credential.instance_id).is_(None),
)

_OWN_FIRST: Final = col(Credential.instance_id).nulls_last()


class PublicHalf(NamedTuple):
    """What may be told of a login: a line for authorized_keys, its fingerprint, and where it comes from."""

    public_key: str
    fingerprint: str
    kind: Kind


async def store(session: AsyncSession, credential: Credential) -> None:
    """
    Ciphertext goes in by INSERT without RETURNING: the API's role may not read it back. Raises `VaultError` where it is
    sealed under a retired key.
    """
    await _insert(session, insert(Credential).values(**_columns(credential)))


async def store_shared(session: AsyncSession, credential: Credential) -> PublicHalf:
    """The caller's own key for all its instances, unless it has one already; the one on record."""
    statement = insert(Credential).values(**_columns(credential))
    await _insert(
        session,
        statement.on_conflict_do_nothing(
            index_elements=[col(Credential.user_id)],
            index_where=col(Credential.instance_id).is_(None),
        ),
    )
    found = await shared(session)
    if found is None:
        raise AssertionError("a supplier has one shared key, and it was just stored")
    return found


async def shared(session: AsyncSession) -> PublicHalf | None:
    """The caller's own key for all its instances; for suppliers' sessions, which see one at most."""
    statement = _PUBLIC.where(col(Credential.instance_id).is_(None))
    return _told((await session.exec(statement)).one_or_none())


async def public_half(session: AsyncSession, instance: Instance) -> PublicHalf | None:
    """What we log in to the instance with: its own credential first, else its supplier's."""
    statement = _PUBLIC.where(*_for(instance)).order_by(_OWN_FIRST)
    return _told((await session.exec(statement)).first())


async def sealed(session: AsyncSession, instance: Instance) -> Credential | None:
    """The credential of `public_half` with its private half; for workers only."""
    statement = select(Credential).where(*_for(instance)).order_by(_OWN_FIRST)
    return (await session.exec(statement)).first()


async def sealed_shared(session: AsyncSession, user_id: UUID) -> Credential | None:
    """A supplier's key for all its instances; for workers only."""
    statement = select(Credential).where(
        Credential.user_id == user_id, col(Credential.instance_id).is_(None)
    )
    return (await session.exec(statement)).one_or_none()


async def _insert(session: AsyncSession, statement: Insert) -> None:
    try:
        await session.exec(statement)
    except DBAPIError as error:
        if refused := retired(error):
            raise refused from error
        raise


def _for(instance: Instance) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    own, shared = (
        col(Credential.instance_id) == instance.id,
        col(Credential.instance_id).is_(None),
    )
    return col(Credential.user_id) == instance.user_id, or_(own, shared)


def _columns(credential: Credential) -> dict[str, object]:
    return credential.model_dump(exclude={"user_id", "created_at"})


def _told(row: tuple[str, str, str, bool] | None) -> PublicHalf | None:
    if row is None:
        return None
    public_key, fingerprint, kind, is_shared = row
    return PublicHalf(public_key, fingerprint, "shared" if is_shared else _KINDS[kind])
