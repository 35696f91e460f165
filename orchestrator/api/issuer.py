"""
The one issuer that is trusted beside us: Supabase, or any OIDC issuer.

It signs either with a shared secret (HS256) or with keys that it publishes, as configured and never as a token
says: whoever accepts both lets a public key pass for a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt

from orchestrator.api.published_keys import PublishedKeys
from orchestrator.api.tokens import key_name, verified
from orchestrator.config import AuthSettings
from orchestrator.domain.errors import ConfigError
from orchestrator.domain.sanitise import printable

OURS: Final = "harborx"
ROLE: Final = "authenticated"
SHORTEST_SECRET: Final = 32  # bytes; a shorter one can be guessed from a single token


@dataclass(frozen=True)
class Identity:
    """Whom a token of the issuer is about."""

    user_id: UUID
    email: str


class Issuer:
    """What `auth.issuer` and its settings say. Raises `ConfigError` where they contradict each other."""

    def __init__(self, name: str, settings: AuthSettings) -> None:
        self.name = name
        self._settings = settings
        secret = settings.issuer_secret
        self._secret = secret.get_secret_value() if secret is not None else None
        if name == OURS:
            raise ConfigError(f"auth.issuer can't be {OURS}: that is what we are called ourselves.")
        if self._secret is None:
            self.keys = PublishedKeys(name, settings.issuer_jwks_url)
        elif settings.issuer_jwks_url is not None:
            raise ConfigError("auth.issuer_secret and auth.issuer_jwks_url: only one of them.")
        elif len(self._secret.encode()) < SHORTEST_SECRET:
            raise ConfigError(f"auth.issuer_secret has at least {SHORTEST_SECRET} bytes.")

    async def identity(self, token: str) -> Identity:
        """Raises one of `tokens.FAULTS`."""
        claims = await self._claims(token)
        role = claims.get("role")
        if role != ROLE and (self._settings.issuer_requires_role or "role" in claims):
            raise jwt.InvalidTokenError(f"the role is not {ROLE}")
        email = claims.get("email")
        shown = printable(email, 255) if isinstance(email, str) else ""
        return Identity(user_of(self.name, claims["sub"]), shown)

    async def _claims(self, token: str) -> dict[str, Any]:
        audience = self._settings.issuer_audience
        if self._secret is not None:
            return verified(token, self._secret, "HS256", self.name, audience)
        key = await self.keys.key(key_name(token))
        return verified(token, key, key.algorithm_name, self.name, audience)


def user_of(issuer: str, subject: str) -> UUID:
    """The subject itself where it is a UUID, as Supabase's are; else always the same one for it and its issuer."""
    try:
        plain = UUID(subject)
    except ValueError:
        plain = None
    if plain is not None and str(plain) == subject:
        return plain
    return uuid5(NAMESPACE_URL, f"{issuer} {subject}")
