"""
Who is asking: a session of ours, a token of the configured issuer, or an API key.

Each issuer has one algorithm family, fixed by configuration and never taken from the token: ours HS256; an
external one either HS256 with its secret or asymmetric with its published keys. A token of ours names its
session, which can be ended before the token expires. Browsers send it in a cookie that no script reads; there
it changes something only on a request from our own pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer

from orchestrator.api.surface import Surface
from orchestrator.config import AuthSettings
from orchestrator.database import accounts, sign_ins
from orchestrator.database.session import LOGIN, Database, Principal, supplier
from orchestrator.domain.errors import NotAllowed, NotAuthenticated
from orchestrator.runs.api_keys import PREFIX, SCOPES, key_holder

ISSUER: Final = "harborx"
COOKIE: Final = "harborx_session"
_AUDIENCE: Final = "authenticated"
_ASYMMETRIC: Final = ["ES256", "RS256", "EdDSA"]
_LEEWAY: Final = 30  # seconds
_LONGEST: Final = 8192
_SIGNING: Final = ("authorization", "x-api-key")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}

_bearer = HTTPBearer(auto_error=False, description="A session's access_token, or an API key.")
_api_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    description="A session's access_token, as signing in sets it. It changes something only with an Origin of ours.",
)


@dataclass(frozen=True)
class Caller:
    """A supplier, and what this login may do; `session_id` is that of a session of ours."""

    user_id: UUID
    scopes: frozenset[str]
    via: str
    session_id: UUID | None = None

    @property
    def principal(self) -> Principal:
        return supplier(self.user_id, self.via)


class LiveSessions:
    """
    Whose session an id is, asked of the database at most once in `SECONDS`: so long one that another process
    ended may live on here. One that this process ends is forgotten at once.
    """

    SECONDS: Final = 5.0
    MOST: Final = 10_000

    def __init__(self, database: Database) -> None:
        self.clock = time.monotonic
        self._database = database
        self._known: dict[UUID, tuple[UUID, float]] = {}  # the oldest first
        self._forgettings = 0

    async def holder(self, session_id: UUID) -> UUID | None:
        """None for a session that is over or revoked."""
        user_id, until = self._known.get(session_id, (None, 0.0))
        if user_id is not None and self.clock() < until:
            return user_id
        before = self._forgettings
        async with self._database.transaction(LOGIN) as session:
            user_id = await sign_ins.use(session, session_id)
        self._known.pop(session_id, None)
        # An answer that was under way while one was ended may be older than that.
        if user_id is not None and before == self._forgettings:
            self._known[session_id] = (user_id, self.clock() + self.SECONDS)
            if len(self._known) > self.MOST:
                del self._known[next(iter(self._known))]
        return user_id

    def forget(self, session_id: UUID) -> None:
        self._forgettings += 1
        self._known.pop(session_id, None)

    def forget_all_of(self, user_id: UUID) -> None:
        self._forgettings += 1
        self._known = {each: known for each, known in self._known.items() if known[0] != user_id}


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
        self.sessions = LiveSessions(self.database)

    async def open_session(self, user_id: UUID, user_agent: str | None) -> tuple[str, int]:
        """An access token for a new session and its seconds to live."""
        lifetime = timedelta(hours=self.settings.session_hours)
        async with self.database.transaction(LOGIN) as session:
            session_id = await sign_ins.open_sign_in(
                session, user_id, user_agent, lifetime.total_seconds()
            )
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": _AUDIENCE,
            "role": "authenticated",
            "sub": str(user_id),
            "sid": str(session_id),
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
            return Caller(holder.user_id, holder.scopes, f"api_key {holder.public_id}")
        return await self._caller_of_token(credential)

    async def _caller_of_token(self, token: str) -> Caller:
        session_id = None
        try:
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
            external = self.settings.issuer is not None and claimed == self.settings.issuer
            claims = await self._external(token) if external else self._own(token)
            user_id = UUID(claims["sub"])
            if not external:
                session_id = UUID(claims["sid"])
        except (jwt.PyJWTError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise NotAuthenticated("The token is not valid or has expired.") from error
        if session_id is not None and await self.sessions.holder(session_id) != user_id:
            raise NotAuthenticated("The session has ended.")
        if external and user_id not in self._known:
            async with self.database.transaction(LOGIN) as session:
                await accounts.ensure_profile(session, user_id, str(claims.get("email", ""))[:255])
            self._known.add(user_id)
        return Caller(user_id, frozenset(SCOPES), "session", session_id)

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


async def _authenticator(request: Request) -> Authenticator:
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator


async def _credential(
    request: Request,
    bearer: Annotated[Any, Depends(_bearer)],
    key: Annotated[str | None, Depends(_api_key)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> str | None:
    """
    What the request signs in with: a header, or the cookie where no header does. Raises `NotAuthenticated` for
    a cookie on a change that another site's page may have asked for.
    """
    if bearer is not None:
        credential: str = bearer.credentials
        return credential
    if any(name in request.headers for name in _SIGNING):
        return key
    if cookie is not None and request.method not in _READING and not _from_our_pages(request):
        raise NotAuthenticated("A cookie counts for changes with our own Origin only.")
    return cookie


def _from_our_pages(request: Request) -> bool:
    surface: Surface = request.app.state.surface
    here = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    ours = {_origin(url) for url in (here, surface.settings.server.public_url) if url}
    return request.headers.get("origin") in ours


def _origin(url: str) -> str:
    """As browsers write it: lower case, without the scheme's own port. Any text will do: it may be a caller's."""
    scheme, _, rest = url.lower().partition("://")
    authority = rest.partition("/")[0]
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"


Authenticating = Annotated[Authenticator, Depends(_authenticator)]
Credential = Annotated[str | None, Depends(_credential)]


def caller_with(scope: str) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, who must hold `scope`."""

    async def dependency(authenticator: Authenticating, credential: Credential) -> Caller:
        caller = await authenticator.caller(credential)
        if scope not in caller.scopes:
            raise NotAllowed(f"This API key lacks the scope {scope!r}.")
        return caller

    return dependency


Reader = Annotated[Caller, Depends(caller_with("read"))]
Tester = Annotated[Caller, Depends(caller_with("test"))]
