"""
Who is asking: a session of ours, a token of the configured issuer, or an API key.

Each issuer has one algorithm family, fixed by configuration and never taken from the token: ours HS256; an
external one either HS256 with its secret or asymmetric with its published keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from orchestrator.config import AuthSettings
from orchestrator.database import accounts
from orchestrator.database.session import LOGIN, Database, Principal, supplier
from orchestrator.domain.errors import NotAllowed, NotAuthenticated
from orchestrator.runs.api_keys import PREFIX, SCOPES, key_holder

ISSUER: Final = "harborx"
_AUDIENCE: Final = "authenticated"
_ASYMMETRIC: Final = ["ES256", "RS256", "EdDSA"]
_LEEWAY: Final = 30  # seconds
_LONGEST: Final = 8192

_bearer = HTTPBearer(auto_error=False, description="A session's access_token, or an API key.")
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")


@dataclass(frozen=True)
class Caller:
    """A supplier, and what this login may do."""

    user_id: UUID
    scopes: frozenset[str]

    @property
    def principal(self) -> Principal:
        return supplier(self.user_id)


@dataclass
class Authenticator:
    """Issues our sessions and recognises callers."""

    database: Database
    settings: AuthSettings
    session_secret: str = field(repr=False)
    _known: set[UUID] = field(default_factory=set)

    def __post_init__(self) -> None:
        url = self.settings.issuer_jwks_url
        self._jwks = jwt.PyJWKClient(url, cache_keys=True, timeout=10) if url else None

    def issue(self, user_id: UUID) -> tuple[str, int]:
        """An access token for a session and its seconds to live."""
        lifetime = timedelta(hours=self.settings.session_hours)
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": _AUDIENCE,
            "role": "authenticated",
            "sub": str(user_id),
            "iat": now,
            "exp": now + lifetime,
        }
        token = jwt.encode(claims, self.session_secret, algorithm="HS256")
        return token, int(lifetime.total_seconds())

    async def caller(self, credential: str | None) -> Caller:
        """Raises `NotAuthenticated`, and `NotAllowed` for the service role, which is no supplier."""
        if not credential or len(credential) > _LONGEST:
            raise NotAuthenticated("Send Authorization: Bearer with a token, or an API key.")
        if credential.startswith(PREFIX):
            holder = await key_holder(self.database, credential)
            if holder.user_id is None:
                raise NotAllowed("A service-role key submits results and reads nobody's rows.")
            return Caller(holder.user_id, holder.scopes)
        return Caller(await self._user_of_token(credential), frozenset(SCOPES))

    async def _user_of_token(self, token: str) -> UUID:
        try:
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
            external = self.settings.issuer is not None and claimed == self.settings.issuer
            claims = await self._external(token) if external else self._own(token)
            user_id = UUID(claims["sub"])
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise NotAuthenticated("The token is not valid or has expired.") from error
        if external and user_id not in self._known:
            async with self.database.transaction(LOGIN) as session:
                await accounts.ensure_profile(session, user_id, str(claims.get("email", ""))[:255])
            self._known.add(user_id)
        return user_id

    def _own(self, token: str) -> dict[str, Any]:
        return _decode(token, self.session_secret, ["HS256"], ISSUER, _AUDIENCE)

    async def _external(self, token: str) -> dict[str, Any]:
        settings = self.settings
        issuer, audience = settings.issuer or "", settings.issuer_audience
        if settings.issuer_secret is not None:
            secret = settings.issuer_secret.get_secret_value()
            return _decode(token, secret, ["HS256"], issuer, audience)
        if self._jwks is None:
            raise jwt.InvalidIssuerError("no key of this issuer is configured")
        key = await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)
        return _decode(token, key.key, _ASYMMETRIC, issuer, audience)


def _decode(
    token: str, key: Any, algorithms: list[str], issuer: str, audience: str
) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=algorithms,
        issuer=issuer,
        audience=audience,
        leeway=_LEEWAY,
        options={"require": ["exp", "sub", "iss", "aud"]},
    )
    if claims.get("role") != "authenticated":
        raise jwt.InvalidTokenError("the role is not authenticated")
    return claims


def caller_with(scope: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, who must hold `scope`."""

    async def dependency(
        request: Request,
        bearer: Annotated[Any, Depends(_bearer)],
        key: Annotated[str | None, Depends(_api_key)],
    ) -> Caller:
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.caller(bearer.credentials if bearer else key)
        if scope not in caller.scopes:
            raise NotAllowed(f"This API key lacks the scope {scope!r}.")
        return caller

    return dependency


Reader = Annotated[Caller, Depends(caller_with("read"))]
Tester = Annotated[Caller, Depends(caller_with("test"))]
