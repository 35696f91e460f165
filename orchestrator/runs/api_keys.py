"""
API keys: `hx_live_<public id>_<secret><checksum>`.

The public id finds the row, the database compares the secret by its SHA-256 (it is random, so a slow hash would
add nothing, and how far two hashes agree tells nothing), the checksum lets scanners and people see a mistyped key without asking us.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from orchestrator.database import accounts, instances
from orchestrator.database.accounts import NewKey
from orchestrator.database.session import LOGIN, SERVICE, Database, Principal
from orchestrator.domain.errors import InvalidInput, NotAllowed, NotAuthenticated

PREFIX: Final = "hx_live_"
SCOPES: Final = ("read", "test", "submit")
SUBMIT_KEY_DAYS: Final = 7
LONGEST_SUBMIT_KEY_DAYS: Final = 90
_LONGEST_NAME: Final = 100
_ALPHABET: Final = string.ascii_letters + string.digits
_FORM: Final = re.compile(r"hx_live_([A-Za-z0-9]{8})_([A-Za-z0-9]{43})([0-9a-f]{8})")


@dataclass(frozen=True)
class Maker:
    """A key that makes another, which may do no more and lasts no longer, and is revoked with it."""

    key_id: UUID
    scopes: frozenset[str]
    expires_at: datetime | None

    def bounded(self, expires_at: datetime | None) -> datetime | None:
        """When a key of its making ends that was wished to end then."""
        return min(filter(None, (expires_at, self.expires_at)), default=None)


@dataclass(frozen=True)
class KeyHolder:
    """
    Whom a key stands for; `user_id` is None for the service role. One with an `instance_id` submits for that instance
    and does nothing else.
    """

    user_id: UUID | None
    scopes: frozenset[str]
    public_id: str
    key_id: UUID
    expires_at: datetime | None = None
    instance_id: UUID | None = None

    @property
    def service_role(self) -> bool:
        return self.user_id is None


async def create_key(
    database: Database,
    principal: Principal,
    name: str,
    *,
    scopes: Sequence[str] = SCOPES,
    expires_at: datetime | None = None,
    service_role: bool = False,
    made_by: Maker | None = None,
) -> str:
    """
    A new key of `principal`, to be shown once. A service-role key needs the workers' login and `SERVICE`.

    Raises `InvalidInput` for a bad name or scope, and `NotAllowed` for a scope that its maker lacks.
    """
    key, row = _key(name, scopes, expires_at, made_by)
    async with database.transaction(SERVICE if service_role else principal) as session:
        await accounts.add_key(session, row, service_role=service_role)
    return key


async def create_submit_key(
    database: Database,
    principal: Principal,
    instance_id: UUID,
    *,
    expires_at: datetime,
    name: str | None = None,
    made_by: Maker | None = None,
) -> str:
    """
    A key for the agent that is run by hand on this instance: it submits that instance's results, and nothing else.

    Raises `NotFound` for an instance that is not the caller's, and what `create_key` raises.
    """
    async with database.transaction(principal) as session:
        instance = await instances.get(session, instance_id)
        name = name or f"Submits for {instance.vast_instance_id}"[:_LONGEST_NAME]
        key, row = _key(name, ("submit",), expires_at, made_by)
        await accounts.add_key(session, replace(row, instance_id=instance_id))
    return key


async def key_holder(database: Database, key: str) -> KeyHolder:
    """Whom `key` stands for. Raises `NotAuthenticated` for anything but a valid key."""
    form = _FORM.fullmatch(key)
    if form is None or not hmac.compare_digest(_checksum(form[1], form[2]), form[3]):
        raise NotAuthenticated("The API key is mistyped or not one of ours.")
    async with database.transaction(LOGIN) as session:
        stored = await accounts.used_key(session, form[1], _digest(form[2]))
    if stored is None:
        raise NotAuthenticated("The API key is unknown or was revoked.")
    if stored.expires_at is not None and stored.expires_at <= datetime.now(UTC):
        raise NotAuthenticated("The API key has expired.")
    return KeyHolder(
        user_id=stored.user_id,
        scopes=frozenset(stored.scopes),
        public_id=form[1],
        key_id=stored.id,
        expires_at=stored.expires_at,
        instance_id=stored.instance_id,
    )


def _key(
    name: str, scopes: Sequence[str], expires_at: datetime | None, made_by: Maker | None
) -> tuple[str, NewKey]:
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise InvalidInput(f"name has 1 to {_LONGEST_NAME} characters.", field="name")
    if set(scopes) - set(SCOPES) or not scopes:
        raise InvalidInput(f"scopes are among {', '.join(SCOPES)}.", field="scopes")
    if made_by is not None:
        beyond = set(scopes) - made_by.scopes
        if beyond:
            raise NotAllowed(f"This login lacks the scope {min(beyond)!r}.")
        expires_at = made_by.bounded(expires_at)
    public_id, secret = _random(8), _random(43)
    row = NewKey(
        name=name,
        public_id=public_id,
        secret_hash=_digest(secret),
        scopes=tuple(scopes),
        expires_at=expires_at,
        made_by=made_by.key_id if made_by else None,
    )
    return f"{PREFIX}{public_id}_{secret}{_checksum(public_id, secret)}", row


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(public_id: str, secret: str) -> str:
    return f"{zlib.crc32(f'{public_id}_{secret}'.encode()):08x}"
