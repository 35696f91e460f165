"""
Accounts: signing up and in with a password, and changing it.

Guessing is slow: see `attempts`. What is tried counts before the password is looked at, and no transaction is
open while it is.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from orchestrator.database import accounts
from orchestrator.database.accounts import StoredPassword
from orchestrator.database.attempts import succeed
from orchestrator.database.session import LOGIN, Database, Principal
from orchestrator.domain.errors import InvalidInput, NotAuthenticated
from orchestrator.runs import attempts
from orchestrator.runs.passwords import Passwords

SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}")
_PASSWORDS: Final = Passwords()


async def sign_up(
    database: Database, email: str, password: str, network: str | None = None
) -> UUID:
    """
    A new account's id. From a `network`, only so many make one; None is the operator.

    Raises `InvalidInput`, `AccountExists` and `TooManyAttempts`.
    """
    if not _ADDRESS.fullmatch(email):
        raise InvalidInput("email is not an address like name@example.com.", field="email")
    _require_length(password, "password")
    if network is not None:
        async with database.transaction(LOGIN) as session:
            await attempts.begin(session, attempts.signing_up(network))
    password_hash = await _PASSWORDS.hash(password)
    async with database.transaction(LOGIN) as session:
        user_id = await accounts.sign_up(session, email.lower(), password_hash)
        if network is not None:  # from here on its owner is no stranger there
            await succeed(session, attempts.signing_in(email.lower(), network)[:1])
    return user_id


async def sign_in(database: Database, email: str, password: str, network: str) -> UUID:
    """
    The account's id. Raises `NotAuthenticated`, in the same words for address and password, and `TooManyAttempts`,
    in the same words whether there is such an account.
    """
    known = email.lower() if _ADDRESS.fullmatch(email) else ""  # nobody's, and safe to ask for
    stored = await _proven(database, known, password, network)
    if stored is None:
        raise NotAuthenticated("E-mail address or password is wrong.")
    if _PASSWORDS.outdated(stored.password_hash):
        new_hash = await _PASSWORDS.hash(password)
        async with database.transaction(LOGIN) as session:
            await accounts.rehash_password(session, stored, new_hash)
    return stored.user_id


async def change_password(
    database: Database,
    principal: Principal,
    session_id: UUID,
    current: str,
    new: str,
    *,
    network: str,
) -> None:
    """
    A new password for the caller, which ends all its sessions but this one. Raises `InvalidInput`, in the same
    words whatever is wrong with the current one, and `TooManyAttempts`.
    """
    _require_length(new, "new_password")
    async with database.transaction(principal) as session:
        profile = await accounts.profile(session)
    stored = await _proven(database, profile.email, current, network)
    if stored is None or stored.user_id != profile.id:
        raise InvalidInput("current_password is wrong.", field="current_password")
    new_hash = await _PASSWORDS.hash(new)
    async with database.transaction(LOGIN) as session:
        await accounts.change_password(session, stored.user_id, new_hash, session_id)


async def _proven(
    database: Database, email: str, password: str, network: str
) -> StoredPassword | None:
    """The account whose address and password these are; every attempt counts. Raises `TooManyAttempts`."""
    counters = attempts.signing_in(email, network)
    async with database.transaction(LOGIN) as session:
        await attempts.begin(session, counters)
        stored = await accounts.stored_password(session, email)
    matches = await _PASSWORDS.match(
        stored.password_hash if stored else None, password[: LONGEST_PASSWORD + 1]
    )
    async with database.transaction(LOGIN) as session:
        if matches:
            await succeed(session, counters)
        else:
            await attempts.note_failed_sign_in(session, email, network)
    return stored if matches else None


def _require_length(password: str, field: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(
            f"password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters.", field=field
        )
