"""
API keys: `hx_live_<public id>_<secret><checksum>`.

The public id finds the row, the secret is compared by its SHA-256 (it is random, so a slow hash would add
nothing), the checksum lets scanners and people see a mistyped key without asking us.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from orchestrator.database import accounts
from orchestrator.database.session import LOGIN, SERVICE, Database, Principal
from orchestrator.domain.errors import InvalidInput, NotAuthenticated

PREFIX: Final = "hx_live_"
SCOPES: Final = ("read", "test", "submit")
_ALPHABET: Final = string.ascii_letters + string.digits
_FORM: Final = re.compile(r"hx_live_([A-Za-z0-9]{8})_([A-Za-z0-9]{43})([0-9a-f]{8})")


@dataclass(frozen=True)
class KeyHolder:
    """Whom a key stands for; `user_id` is None for the service role."""

    user_id: UUID | None
    scopes: frozenset[str]
    public_id: str

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
) -> str:
    """
    A new key of `principal`, to be shown once. A service-role key needs the workers' login and `SERVICE`.

    Raises `InvalidInput` for a bad name or scope.
    """
    if not 1 <= len(name) <= 100:
        raise InvalidInput("name has 1 to 100 characters.")
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise InvalidInput(f"scopes are among {', '.join(SCOPES)}.")
    public_id, secret = _random(8), _random(43)
    key = f"{PREFIX}{public_id}_{secret}{_checksum(public_id, secret)}"
    async with database.transaction(SERVICE if service_role else principal) as session:
        await accounts.add_key(
            session,
            name=name,
            public_id=public_id,
            secret_hash=_digest(secret),
            scopes=scopes,
            expires_at=expires_at,
            service_role=service_role,
        )
    return key


async def key_holder(database: Database, key: str) -> KeyHolder:
    """Whom `key` stands for. Raises `NotAuthenticated` for anything but a valid key."""
    form = _FORM.fullmatch(key)
    if form is None or not hmac.compare_digest(_checksum(form[1], form[2]), form[3]):
        raise NotAuthenticated("The API key is mistyped or not one of ours.")
    async with database.transaction(LOGIN) as session:
        stored = await accounts.used_key(session, form[1])
    expected = stored.secret_hash if stored else bytes(32)
    if not hmac.compare_digest(expected, _digest(form[2])) or stored is None:
        raise NotAuthenticated("The API key is unknown or was revoked.")
    if stored.expires_at is not None and stored.expires_at <= datetime.now(UTC):
        raise NotAuthenticated("The API key has expired.")
    return KeyHolder(stored.user_id, frozenset(stored.scopes), form[1])


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(public_id: str, secret: str) -> str:
    return f"{zlib.crc32(f'{public_id}_{secret}'.encode()):08x}"
