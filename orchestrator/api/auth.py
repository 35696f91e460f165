"""
Who is asking: a session of ours, a token of the configured issuer, or an API key.

Each issuer has one algorithm family, fixed by configuration and never taken from the token: ours HS256; an
external one either HS256 with its secret or asymmetric with its published keys. A token of ours names its
session, which can be ended before the token expires. Browsers send it in a cookie that no script reads; there
it changes something only on a request from our own pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, APIKeyHeader, HTTPBearer

from orchestrator.api.client_address import came_by_https
from orchestrator.api.issuer import OURS, ROLE, SHORTEST_SECRET, Issuer
from orchestrator.api.surface import Surface
from orchestrator.api.tokens import FAULTS, claimed_issuer, verified
from orchestrator.config import AuthSettings
from orchestrator.database import accounts, sign_ins
from orchestrator.database.session import LOGIN, Database, Principal, supplier
from orchestrator.domain.errors import ConfigError, NotAllowed, NotAuthenticated
from orchestrator.runs.api_keys import PREFIX, SCOPES, Maker, key_holder

COOKIE: Final = "harborx_session"
_AUDIENCE: Final = "authenticated"
_OUR_ALGORITHM: Final = "HS256"
_LONGEST: Final = 8192
_MOST_KNOWN: Final = 10_000
_ALL: Final = frozenset(SCOPES)
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
    """
    A supplier, and what this login may do; `session_id` is that of a session of ours, `key` the API key that it is.
    """

    user_id: UUID
    scopes: frozenset[str]
    via: str
    session_id: UUID | None = None
    key: Maker | None = None

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
    """Issues our sessions and recognises callers. Raises `ConfigError` for settings that nobody is safe under."""

    database: Database
    settings: AuthSettings
    session_secret: str = field(repr=False)
    _known: set[UUID] = field(default_factory=set)
    # What our tokens say, once the signature has been verified, until they expire; whether the session goes on is asked
    # every time.
    _verified: dict[str, tuple[UUID, UUID, float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.session_secret.encode()) < SHORTEST_SECRET:
            raise ConfigError(f"auth.session_secret has at least {SHORTEST_SECRET} bytes.")
        name = self.settings.issuer
        self.issuer = Issuer(name, self.settings) if name is not None else None
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
            "iss": OURS,
            "aud": _AUDIENCE,
            "role": ROLE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "exp": now + lifetime,
        }
        token = jwt.encode(claims, self.session_secret, algorithm=_OUR_ALGORITHM)
        return token, int(lifetime.total_seconds())

    async def caller(self, credential: str | None) -> Caller:
        """Raises `NotAuthenticated`, and `NotAllowed` for the service role, which is no supplier."""
        if not credential or len(credential) > _LONGEST:
            raise NotAuthenticated("Send Authorization: Bearer with a token, or an API key.")
        if credential.startswith(PREFIX):
            holder = await key_holder(self.database, credential)
            if holder.user_id is None:
                raise NotAllowed("A service-role key submits results and reads nobody's rows.")
            return Caller(
                holder.user_id,
                holder.scopes,
                f"api_key {holder.public_id}",
                key=Maker(holder.key_id, holder.scopes, holder.expires_at),
            )
        return await self._caller_of_token(credential)

    async def _caller_of_token(self, token: str) -> Caller:
        known = self._verified.get(token)
        if known is not None and time.time() < known[2]:
            return await self._caller_of_session(*known[:2])
        try:
            issuer, claimed = self.issuer, claimed_issuer(token)
            if issuer is not None and claimed == issuer.name:
                identity = await issuer.identity(token)
                user_id, session_id = identity.user_id, None
            else:
                user_id, session_id = self._own(token)
        except FAULTS as error:
            raise NotAuthenticated("The token is not valid or has expired.") from error
        if session_id is not None:
            return await self._caller_of_session(user_id, session_id)
        await self._meet(user_id, identity.email)
        return Caller(user_id, _ALL, "session")

    async def _caller_of_session(self, user_id: UUID, session_id: UUID) -> Caller:
        if await self.sessions.holder(session_id) != user_id:
            raise NotAuthenticated("The session has ended.")
        return Caller(user_id, _ALL, "session", session_id)

    def _own(self, token: str) -> tuple[UUID, UUID]:
        """Whose token of ours it is, and of which session. Raises one of `FAULTS`."""
        claims = verified(token, self.session_secret, _OUR_ALGORITHM, OURS, _AUDIENCE)
        if claims.get("role") != ROLE:
            raise jwt.InvalidTokenError(f"the role is not {ROLE}")
        found = UUID(claims["sub"]), UUID(claims["sid"])
        if len(self._verified) >= _MOST_KNOWN:
            self._verified.clear()
        self._verified[token] = (*found, float(claims["exp"]))
        return found

    async def _meet(self, user_id: UUID, email: str) -> None:
        """The issuer's user has a profile from now on. Raises `NotAuthenticated` for an account of ours."""
        if user_id in self._known:
            return
        async with self.database.transaction(LOGIN) as session:
            await accounts.ensure_profile(session, user_id, email)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(user_id)


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
    scheme = "https" if came_by_https(request) else "http"
    here = f"{scheme}://{request.headers.get('host', '')}"
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

    async def dependency(
        request: Request, authenticator: Authenticating, credential: Credential
    ) -> Caller:
        return await _recognised(request, authenticator, credential, scope)

    return dependency


async def credential_of(request: Request) -> str | None:
    """`Credential` of a request that is read by hand (plain.py)."""
    return await _credential(
        request, await _bearer(request), await _api_key(request), await _cookie(request)
    )


async def caller_of(request: Request, scope: str) -> Caller:
    """What `caller_with` gives, for a request that is read by hand."""
    credential = await credential_of(request)
    return await _recognised(request, await _authenticator(request), credential, scope)


async def _recognised(
    request: Request, authenticator: Authenticator, credential: str | None, scope: str
) -> Caller:
    caller = await authenticator.caller(credential)
    request.state.supplier = caller.user_id  # from now on the login counts as theirs (rates.py)
    if scope not in caller.scopes:
        raise NotAllowed(f"This API key lacks the scope {scope!r}.")
    return caller


Reader = Annotated[Caller, Depends(caller_with("read"))]
Tester = Annotated[Caller, Depends(caller_with("test"))]
