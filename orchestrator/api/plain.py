"""
Plain requests of the operations that are called most, answered before the router.

To find an operation and to resolve its dependencies costs FastAPI several times what the operation itself does. A request
that is as plain as nearly all are is read here by hand; every other one goes FastAPI's way. Both have passed the same
door, recognise callers alike, and are answered with the same words.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api import bodies, problems
from orchestrator.domain.errors import HarborxError

# It answers, or returns None and has done nothing.
Plain = Callable[[Request, UUID], Awaitable[Response | None]]

# As we write ids ourselves.
_PATH: Final = re.compile(
    r"(/v1/[a-z]+/)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})((?:/[a-z]+)?)"
)


class PlainRequests:
    def __init__(self, app: ASGIApp, *, operations: Mapping[str, Plain]) -> None:
        """`operations` by method and path, in which the id is `{}`."""
        self._app = app
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        plain = None
        if found is not None and not scope["query_string"]:
            plain = self._operations.get(f"{scope['method']} {found[1]}{{}}{found[3]}")
        # An app that nobody has started has no connections for this, and answers all the same.
        if found is None or plain is None or not hasattr(scope["app"].state, "direct"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await plain(request, UUID(found[2]))
        except HarborxError as error:
            answer = problems.answered(request, error)
        if answer is None:
            await self._app(scope, bodies.again(await request.body(), receive), send)
        else:
            await answer(scope, receive, send)


def told(shape: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """As FastAPI would write it."""
    content = shape.__pydantic_serializer__.to_json(shape)
    return Response(content, status, headers, media_type="application/json")
