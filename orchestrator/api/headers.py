"""
Headers that every answer carries, whoever made it.

What the API says is data: no browser runs it, frames it, keeps it or guesses what it is. The pages set their own
(pages.py), the listing and its badges are there to be embedded by pages of any origin: no login of theirs counts there.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.paths import LISTING, is_api

_HSTS: Final = "max-age=31536000"
_EVERYWHERE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_DATA: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers:
    """What an answer has set already stays as it is, but that nothing of the API is kept unless it says `public`."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message), path)
            await send(message)

        await self._app(scope, receive, told)

    def _complete(self, headers: MutableHeaders, path: str) -> None:
        wanted = _EVERYWHERE
        if is_api(path):
            wanted = {**wanted, **_DATA}
            if path.startswith(LISTING):
                wanted |= {"Cross-Origin-Resource-Policy": "cross-origin"}
                headers["Access-Control-Allow-Origin"] = "*"
            if not headers.get("cache-control", "").startswith("public"):
                headers["Cache-Control"] = "no-store"
        for name, value in wanted.items():
            headers.setdefault(name, value)
        if self._https:
            headers["Strict-Transport-Security"] = _HSTS
