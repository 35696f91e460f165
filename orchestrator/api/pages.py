"""
The dashboard's files: built by hatch_build.py from dashboard/ into `static`, served on the API's own address.

Every address that is no file and not the API's is the page itself, which reads the address. Files under
assets/ carry a hash of their content in their names and may be kept for ever; the page is asked for each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from orchestrator.api.paths import is_api

STATIC: Final = Path(__file__).parent / "static"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"
# Styles are inline because the component library sets them as attributes; scripts are files of ours only.
_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_NOT_BUILT: Final = "The dashboard is not built here. `make demo` or `pip install` builds it; the API answers under /v1.\n"


def install(app: FastAPI, static: Path = STATIC) -> None:
    """Serve the dashboard for whatever no route of the API matches."""
    if (static / "assets").is_dir():
        app.mount("/assets", _Assets(static / "assets"))
    # Listed once: no request makes us look for a file by a name of its own.
    files = {f"/{each.name}": each for each in static.glob("*") if each.is_file()}
    index = files.get("/index.html")
    nothing = app.router.default

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        is_page = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not is_page or is_api(path):
            await nothing(scope, receive, send)
            return
        response: Response = PlainTextResponse(_NOT_BUILT, 404)
        if index is not None:
            file = files.get(path, index)
            response = FileResponse(file, headers={"Cache-Control": _ASK, **_HEADERS})
        await response(scope, receive, send)

    app.router.default = page


class _Assets(StaticFiles):
    """Files whose names change with their content; the build has compressed each (vite.config.ts)."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._there = frozenset(file.name for file in directory.glob("*.gz"))

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if not isinstance(response, FileResponse):
            return response
        compressed = Path(f"{response.path}.gz")
        if (
            "gzip" in Headers(scope=scope).get("accept-encoding", "")
            and compressed.name in self._there
        ):
            response = FileResponse(compressed, media_type=response.media_type)
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers.update({**_HEADERS, "Cache-Control": _FOR_EVER})
        return response
