"""Accounts, profiles and API keys, through the doors that the API's login may open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import ApiKey, Profile, SupplierProfile
from orchestrator.domain.errors import AccountExists, NotFound

_SIGN_UP = text("SELECT sign_up(:email, :password_hash)")
_SIGN_IN = text("SELECT user_id, password_hash FROM account_for_sign_in(:email)")
_CHANGE_PASSWORD = text("SELECT change_password(:user_id, :password_hash, :session_id)")
_ENSURE = text("SELECT ensure_profile(:user_id, :email)")
_USE_KEY = text(
    "SELECT user_id, role, secret_hash, scopes, expires_at FROM use_api_key(:public_id)"
)

_ADD_KEY = text(
    "INSERT INTO api_keys (name, public_id, secret_hash, scopes, expires_at)"
    " VALUES (:name, :public_id, :secret_hash, :scopes, :expires_at)"
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
    """`user_id` is None for a service-role key."""

    user_id: UUID | None
    role: str
    secret_hash: bytes = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: datetime | None


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


async def ensure_profile(session: AsyncSession, user_id: UUID, email: str) -> None:
    """The profile of an external issuer's user, made on first sight."""
    await session.exec(_ENSURE, params={"user_id": user_id, "email": email})  # type: ignore[call-overload]


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


async def used_key(session: AsyncSession, public_id: str) -> StoredKey | None:
    """The unrevoked key with this public id, noting its use."""
    found = (await session.exec(_USE_KEY, params={"public_id": public_id})).one_or_none()  # type: ignore[call-overload]
    if found is None:
        return None
    return StoredKey(
        found.user_id, found.role, bytes(found.secret_hash), tuple(found.scopes), found.expires_at
    )


async def add_key(
    session: AsyncSession,
    *,
    name: str,
    public_id: str,
    secret_hash: bytes,
    scopes: Sequence[str],
    expires_at: datetime | None,
    service_role: bool = False,
) -> None:
    """A key of the caller, or a service-role key (for workers' and operators' sessions only)."""
    parameters = {
        "name": name,
        "public_id": public_id,
        "secret_hash": secret_hash,
        "scopes": list(scopes),
        "expires_at": expires_at,
    }
    statement = _ADD_SERVICE_KEY if service_role else _ADD_KEY
    await session.exec(statement, params=parameters)  # type: ignore[call-overload]


async def keys(session: AsyncSession) -> Sequence[ApiKey]:
    """The caller's keys, newest first."""
    return (await session.exec(select(ApiKey).order_by(col(ApiKey.created_at).desc()))).all()


async def revoke_key(session: AsyncSession, key_id: UUID) -> None:
    """Raises `NotFound` for a key that is not the caller's or is revoked already."""
    statement = (
        update(ApiKey)
        .where(col(ApiKey.id) == key_id, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=func.now())
    )
    if (await session.exec(statement)).rowcount != 1:
        raise NotFound(f"No key {key_id} that could be revoked.")
