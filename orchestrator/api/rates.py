"""
How many requests a caller may send in a minute, and how many streams it may have open.

A caller is a supplier, whichever of its sessions and API keys it uses, or else a network: a login counts as its
supplier's once it has been recognised, so that made-up ones are no way around. Counted in this process: with several
replicas each grants its own. What has to hold for all of them together, sign-ins and the machines that we contact, is
counted in PostgreSQL.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.client_address import client_network
from orchestrator.api.paths import is_api, is_stream
from orchestrator.api.problems import refuse
from orchestrator.config import ServerSettings
from orchestrator.domain.errors import TooManyRequests

POLICY: Final = "RateLimit-Policy"
LEFT: Final = "RateLimit"
_MINUTE: Final = 60
_STREAM_WAIT: Final = 5  # seconds
_MOST_KNOWN: Final = 20_000
_MOST_WINDOWS: Final = 100_000
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UNCOUNTED: Final = ("/healthz", "/readyz")
# They hash a password: a tenth of a second of a core each.
_EXPENSIVE: Final = ("/v1/auth/sign-in", "/v1/auth/sign-up", "/v1/profile/password")
_SESSION: Final = re.compile(rb"(?:^|;\s*)harborx_session=([^;]+)")


@dataclass(frozen=True)
class Verdict:
    """`left` requests of `item` remain in the `seconds` until all are back; fewer than none: refused."""

    name: str
    item: RateLimitItem
    left: int
    seconds: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            POLICY: f'"{self.name}";q={self.item.amount};w={_MINUTE}',
            LEFT: f'"{self.name}";r={max(0, self.left)};t={self.seconds}',
        }


class Rates:
    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app = app
        self._limiter = FixedWindowRateLimiter(Windows())
        self._known = KnownLogins()
        self._streams: Counter[str] = Counter()
        self._most_streams = settings.rate_limit_streams
        self._items: dict[str, RateLimitItem | None] = {
            "read": _item(settings.rate_limit_reads),
            "write": _item(settings.rate_limit_writes),
            "anonymous": _item(settings.rate_limit_anonymous),
            "expensive": _item(settings.rate_limit_expensive),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if not is_api(path) or path in _UNCOUNTED:
            await self._app(scope, receive, send)
            return
        login = _login(scope)
        supplier = self._known.supplier(login) if login is not None else None
        caller = supplier or client_network(HTTPConnection(scope))
        verdict = self._count(_class(scope, known=supplier is not None), caller)

        scope.setdefault("state", {})  # where a recognised supplier is left
        refused_login = False

        async def told(message: Message) -> None:
            nonlocal refused_login
            if message["type"] == "http.response.start":
                refused_login = message["status"] == 401
                if verdict is not None:
                    MutableHeaders(scope=message).update(verdict.headers)
            await send(message)

        if verdict is not None and verdict.left < 0:
            error = TooManyRequests(evidence={"retry_after": verdict.seconds})
            await refuse(scope, receive, told, error)
        elif is_stream(path):
            await self._stream(caller, scope, receive, told)
        else:
            await self._app(scope, receive, told)
        if login is not None and refused_login:
            self._known.forget(login)
        elif login is not None and (found := scope["state"].get("supplier")) is not None:
            self._known.learn(login, found)

    def _count(self, name: str, caller: str) -> Verdict | None:
        item = self._items[name]
        if item is None:
            return None
        granted = self._limiter.hit(item, name, caller)
        window = self._limiter.get_window_stats(item, name, caller)
        seconds = max(1, int(window.reset_time - time.time() + 0.999))
        return Verdict(name, item, window.remaining if granted else -1, seconds)

    async def _stream(self, caller: str, scope: Scope, receive: Receive, send: Send) -> None:
        if self._most_streams and self._streams[caller] >= self._most_streams:
            error = TooManyRequests(
                f"At most {self._most_streams} streams are open at a time.",
                evidence={"retry_after": _STREAM_WAIT},
            )
            await refuse(scope, receive, send, error)
            return
        self._streams[caller] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]


class KnownLogins:
    """Whose each login is that was recognised lately, by its digest; the longest unused are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, str] = OrderedDict()

    def supplier(self, login: bytes) -> str | None:
        supplier = self._known.get(login)
        if supplier is not None:
            self._known.move_to_end(login)
        return supplier

    def learn(self, login: bytes, user_id: UUID) -> None:
        self._known[login] = str(user_id)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def forget(self, login: bytes) -> None:
        self._known.pop(login, None)


class Windows(Storage):
    """
    Counts within windows of time, in this process. The library's own goes through all of them with every request; here
    those that began first end first, and no number of callers takes more memory.
    """

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()  # count, end

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        count, end = self._windows.get(key, (0, 0.0))
        if end <= now:
            self._windows.pop(key, None)  # a window that begins anew is the last to end
            count, end = 0, now + expiry
            self._tidy(now)
        self._windows[key] = count + amount, end
        return count + amount

    def get(self, key: str) -> int:
        count, end = self._windows.get(key, (0, 0.0))
        return count if end > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _tidy(self, now: float) -> None:
        for _ in range(2):  # for each that begins, up to two that are over
            first = next(iter(self._windows.items()), None)
            if first is None or (first[1][1] > now and len(self._windows) < _MOST_WINDOWS):
                return
            del self._windows[first[0]]


def _item(most: int) -> RateLimitItem | None:
    return RateLimitItemPerMinute(most) if most else None


def _class(scope: Scope, *, known: bool) -> str:
    if scope["path"] in _EXPENSIVE:
        return "expensive"
    if not known:
        return "anonymous"
    return "read" if scope["method"] in _READING else "write"


def _login(scope: Scope) -> bytes | None:
    """A digest of all that a request signs in with."""
    digest, any_of_it = hashlib.sha256(), False
    for name, value in scope["headers"]:
        if name in (b"authorization", b"x-api-key"):
            digest.update(name + b"\n" + value + b"\n")
            any_of_it = True
        elif name == b"cookie" and (found := _SESSION.search(value)):
            digest.update(b"cookie\n" + found[1] + b"\n")
            any_of_it = True
    return digest.digest() if any_of_it else None
