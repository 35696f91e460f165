"""Accounts: signing up and in with a password (argon2id), and changing it."""

from __future__ import annotations

import asyncio
import re
from typing import Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from orchestrator.database import accounts
from orchestrator.database.session import LOGIN, Database, Principal
from orchestrator.domain.errors import InvalidInput, NotAuthenticated

SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}")
_HASHER: Final = PasswordHasher()  # the library's argon2id defaults follow RFC 9106
# Verified against for unknown addresses, so that both refusals take the same time.
_NOBODYS: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$"
    "tn9pwxNjvtxYzPSZXvaXM7M6M2wjKgAN8ScLQ4WgoWw"
)


async def sign_up(database: Database, email: str, password: str) -> UUID:
    """A new account's id. Raises `InvalidInput` and `AccountExists`."""
    if not _ADDRESS.fullmatch(email):
        raise InvalidInput("email is not an address like name@example.com.")
    _require_length(password)
    password_hash = await asyncio.to_thread(_HASHER.hash, password)
    async with database.transaction(LOGIN) as session:
        return await accounts.sign_up(session, email, password_hash)


async def sign_in(database: Database, email: str, password: str) -> UUID:
    """The account's id. Raises `NotAuthenticated`, in the same words for address and password."""
    known = email if _ADDRESS.fullmatch(email) else ""  # nobody's, and safe to ask for
    async with database.transaction(LOGIN) as session:
        stored = await accounts.stored_password(session, known)
    password_hash = stored.password_hash if stored else _NOBODYS
    matches = await asyncio.to_thread(_matches, password_hash, password[: LONGEST_PASSWORD + 1])
    if stored is None or not matches:
        raise NotAuthenticated("E-mail address or password is wrong.")
    return stored.user_id


async def change_password(
    database: Database, principal: Principal, session_id: UUID, current: str, new: str
) -> None:
    """
    A new password for the caller, which ends all its sessions but this one. Raises `InvalidInput`, in the same
    words whatever is wrong with the current one.
    """
    _require_length(new)
    async with database.transaction(principal) as session:
        profile = await accounts.profile(session)
    async with database.transaction(LOGIN) as session:
        stored = await accounts.stored_password(session, profile.email)
    password_hash = stored.password_hash if stored else _NOBODYS
    matches = await asyncio.to_thread(_matches, password_hash, current[: LONGEST_PASSWORD + 1])
    if stored is None or stored.user_id != profile.id or not matches:
        raise InvalidInput("current_password is wrong.")
    new_hash = await asyncio.to_thread(_HASHER.hash, new)
    async with database.transaction(LOGIN) as session:
        await accounts.change_password(session, stored.user_id, new_hash, session_id)


def _require_length(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(f"password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.")


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except VerificationError:
        return False
