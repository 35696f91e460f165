"""
What a request passes before it comes to a route: whose host name it is for, how long it is, what it accepts, and its
body. HEAD is answered as GET without the body, OPTIONS with the methods that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api import bodies
from orchestrator.api.paths import is_api, is_badge, is_stream
from orchestrator.api.problems import refuse
from orchestrator.config import ServerSettings
from orchestrator.domain.errors import (
    AddressTooLong,
    InvalidInput,
    NotAcceptable,
    RequestError,
    WrongHost,
)

_LONGEST: Final = 8192  # bytes of path and query
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_UNHOSTED: Final = ("/healthz", "/readyz")  # probes ask by address
_JSON: Final = ("application/json", "application/problem+json", "application/*", "*/*")
_SVG: Final = ("image/svg+xml", "image/*", *_JSON)
_STREAM: Final = ("text/event-stream", "text/*", *_JSON)

Allowed = Callable[[str], list[str]]


class Door:
    def __init__(self, app: ASGIApp, *, settings: ServerSettings, allowed: Allowed) -> None:
        """`allowed` are the methods that a path has."""
        self._app = app
        self._settings = settings
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        headers = Headers(scope=scope)
        try:
            self._admit(scope, headers)
            if is_api(path):
                if method == "OPTIONS" and (known := self._allowed(path)):
                    told = Response(status_code=204, headers={"Allow": ", ".join(known)})
                    await told(scope, receive, send)
                    return
                if method == "HEAD" and not is_stream(path):
                    scope = {**scope, "method": "GET"}
                if method in _WITH_BODY:
                    receive = await self._read(scope, headers, receive)
        except RequestError as error:
            # What a route says of a field that is not valid.
            status = 422 if isinstance(error, InvalidInput) else None
            await refuse(scope, receive, send, error, status=status)
        except bodies.Gone:
            return
        else:
            await self._app(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        path, query = scope["path"], scope["query_string"]
        hosts = self._settings.allowed_hosts
        if hosts and path not in _UNHOSTED and not _is_one_of(headers.get("host", ""), hosts):
            raise WrongHost
        if len(scope.get("raw_path") or b"") + len(query) > _LONGEST:
            raise AddressTooLong
        if b"%00" in query:
            raise InvalidInput("query: holds NUL", field="")
        accepted = headers.get("accept")
        if accepted is not None and path.startswith("/v1"):
            _require_acceptable(accepted, path)

    async def _read(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        length = headers.get("content-length", "")
        told = int(length) if length.isascii() and length.isdigit() else None
        body = await bodies.whole(receive, told, self._settings.body_seconds)
        try:
            if body:
                bodies.require_json(body, headers.get("content-type", ""))
        except RequestError:
            # An address or method that is not there says so, whatever was sent to it.
            if scope["method"] in self._allowed(scope["path"]):
                raise
        return bodies.again(body, receive)


def _is_one_of(host: str, allowed: Sequence[str]) -> bool:
    name = host.lower()
    if not name.endswith("]"):  # of an IPv6 address without a port, the colons are its own
        name = name.rpartition(":")[0] or name
    return any(
        name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in allowed
    )


def _require_acceptable(accepted: str, path: str) -> None:
    """Raises `NotAcceptable` where nothing that the path has is among what the request accepts."""
    spoken = _STREAM if is_stream(path) else _SVG if is_badge(path) else _JSON
    for each in accepted.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        refused = any(part.replace(" ", "") in ("q=0", "q=0.0", "q=0.00") for part in parameters)
        if not kind or (kind in spoken and not refused):
            return
    raise NotAcceptable(f"There is {spoken[0]}.")
