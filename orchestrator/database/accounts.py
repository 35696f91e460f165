"""Accounts, profiles and API keys, through the doors that the API's login may open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import ApiKey, Profile, SupplierProfile
from orchestrator.database.session import NOW, constraint_of
from orchestrator.domain.errors import AccountExists, NotAuthenticated, NotFound

_SIGN_UP = text("SELECT sign_up(:email, :password_hash)")
_SIGN_IN = text("SELECT user_id, password_hash FROM account_for_sign_in(:email)")
_CHANGE_PASSWORD = text("SELECT change_password(:user_id, :password_hash, :session_id)")
_REHASH = text("SELECT rehash_password(:user_id, :old_hash, :new_hash)")
_ENSURE = text("SELECT ensure_profile(:user_id, :email)")
_USE_KEY = text(
    "SELECT id, user_id, role, scopes, expires_at, instance_id"
    " FROM use_api_key(:public_id, :secret_hash)"
)

# Of a key's maker the row is locked: one that is being revoked makes no key, or one that is revoked with it.
_LOCK_MAKER = text("SELECT id FROM api_keys WHERE id = :made_by AND revoked_at IS NULL FOR SHARE")
_ADD_KEY = text(
    "INSERT INTO api_keys (name, public_id, secret_hash, scopes, expires_at, instance_id, made_by)"
    " VALUES (:name, :public_id, :secret_hash, :scopes, :expires_at, :instance_id, :made_by)"
)
_REVOKE_MADE_BY = text(
    "WITH RECURSIVE made (id) AS (SELECT id FROM api_keys WHERE made_by = :key_id"
    " UNION SELECT k.id FROM api_keys k JOIN made ON k.made_by = made.id)"
    " UPDATE api_keys SET revoked_at = now() WHERE id IN (SELECT id FROM made) AND revoked_at IS NULL"
)
_ADD_SERVICE_KEY = text(
    "INSERT INTO api_keys (name, public_id, secret_hash, scopes, expires_at, user_id, role)"
    " VALUES (:name, :public_id, :secret_hash, :scopes, :expires_at, NULL, 'service_role')"
)


@dataclass(frozen=True)
class StoredPassword:
    user_id: UUID
    password_hash: str = field(repr=False)


@dataclass(frozen=True)
class StoredKey:
    """`user_id` is None for a service-role key; `instance_id` is the only one that a key submits for."""

    id: UUID
    user_id: UUID | None
    role: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    instance_id: UUID | None


@dataclass(frozen=True)
class NewKey:
    """`made_by` is the key that asks for it."""

    name: str
    public_id: str
    secret_hash: bytes = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: datetime | None
    instance_id: UUID | None = None
    made_by: UUID | None = None


async def sign_up(session: AsyncSession, email: str, password_hash: str) -> UUID:
    """A profile with an account; its id. Raises `AccountExists`."""
    parameters = {"email": email, "password_hash": password_hash}
    try:
        found = await session.exec(_SIGN_UP, params=parameters)  # type: ignore[call-overload]
    except IntegrityError as error:
        raise AccountExists() from error
    user_id: UUID = found.scalar_one()
    return user_id


async def stored_password(session: AsyncSession, email: str) -> StoredPassword | None:
    found = (await session.exec(_SIGN_IN, params={"email": email})).one_or_none()  # type: ignore[call-overload]
    return StoredPassword(found.user_id, found.password_hash) if found else None


async def change_password(
    session: AsyncSession, user_id: UUID, password_hash: str, session_id: UUID
) -> None:
    """Ends every session of the account but `session_id`."""
    parameters = {"user_id": user_id, "password_hash": password_hash, "session_id": session_id}
    await session.exec(_CHANGE_PASSWORD, params=parameters)  # type: ignore[call-overload]


async def rehash_password(session: AsyncSession, stored: StoredPassword, new_hash: str) -> None:
    """The same password under another hash; not where it was changed meanwhile."""
    parameters = {
        "user_id": stored.user_id,
        "old_hash": stored.password_hash,
        "new_hash": new_hash,
    }
    await session.exec(_REHASH, params=parameters)  # type: ignore[call-overload]


async def ensure_profile(session: AsyncSession, user_id: UUID, email: str) -> None:
    """
    The profile of an external issuer's user, made on first sight. Raises `NotAuthenticated` where it is that of an
    account of ours.
    """
    found = await session.exec(_ENSURE, params={"user_id": user_id, "email": email})  # type: ignore[call-overload]
    if not found.scalar_one():
        raise NotAuthenticated("The token names a user whom its issuer can't vouch for.")


async def profile(session: AsyncSession) -> Profile:
    """The caller's own profile."""
    found = (await session.exec(select(Profile))).one_or_none()
    if found is None:
        raise NotFound("This login has no profile.")
    return found


async def company(session: AsyncSession) -> SupplierProfile | None:
    """The company behind the caller, once it is on record."""
    return (await session.exec(select(SupplierProfile))).one_or_none()


async def put_company(session: AsyncSession, said: Mapping[str, str | None]) -> None:
    """Replaces what is on record; keys of `said` are `SupplierProfile`'s."""
    statement = (
        insert(SupplierProfile)
        .values(**said)
        .on_conflict_do_update(index_elements=["user_id"], set_=dict(said))
    )
    await session.exec(statement)


async def profile_by_email(session: AsyncSession, email: str | None) -> Profile:
    """For the command line: the profile with this address, or the only one. Else `NotFound`."""
    statement = select(Profile).order_by(col(Profile.created_at)).limit(2)
    if email is not None:
        statement = statement.where(Profile.email == email.lower())
    found = (await session.exec(statement)).all()
    if len(found) != 1:
        raise NotFound(
            f"No account {email}."
            if email
            else "Say whose with --user: there is not exactly one account."
        )
    return found[0]


async def used_key(session: AsyncSession, public_id: str, secret_hash: bytes) -> StoredKey | None:
    """The unrevoked key with this public id and secret, noting its use."""
    parameters = {"public_id": public_id, "secret_hash": secret_hash}
    found = (await session.exec(_USE_KEY, params=parameters)).one_or_none()  # type: ignore[call-overload]
    if found is None:
        return None
    return StoredKey(
        id=found.id,
        user_id=found.user_id,
        role=found.role,
        scopes=tuple(found.scopes),
        expires_at=found.expires_at,
        instance_id=found.instance_id,
    )


async def add_key(session: AsyncSession, key: NewKey, *, service_role: bool = False) -> None:
    """
    A key of the caller, or a service-role key (for workers' and operators' sessions only). Raises `NotAuthenticated`
    where the key that asks for it was revoked just now, and `NotFound` where its instance is gone.
    """
    if key.made_by is not None:
        found = await session.exec(_LOCK_MAKER, params={"made_by": key.made_by})  # type: ignore[call-overload]
        if found.one_or_none() is None:
            raise NotAuthenticated("The API key is unknown or was revoked.")
    statement = _ADD_SERVICE_KEY if service_role else _ADD_KEY
    parameters = {**vars(key), "scopes": list(key.scopes)}
    try:
        await session.exec(statement, params=parameters)  # type: ignore[call-overload]
    except IntegrityError as error:
        if constraint_of(error) == "api_keys_user_id_instance_id_fkey":
            raise NotFound(f"No instance {key.instance_id}.") from error
        raise


async def keys(session: AsyncSession) -> Sequence[ApiKey]:
    """The caller's keys, newest first."""
    return (await session.exec(select(ApiKey).order_by(col(ApiKey.created_at).desc()))).all()


async def revoke_key(session: AsyncSession, key_id: UUID) -> None:
    """
    With the keys that it made, and those that they made. Raises `NotFound` for a key that is not the caller's or is
    revoked already.
    """
    statement = (
        update(ApiKey)
        .where(col(ApiKey.id) == key_id, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=NOW)
    )
    if (await session.exec(statement)).rowcount != 1:
        raise NotFound(f"No key {key_id} that could be revoked.")
    # A statement of its own: it sees what was made while this one waited for its maker.
    await session.exec(_REVOKE_MADE_BY, params={"key_id": key_id})  # type: ignore[call-overload]
