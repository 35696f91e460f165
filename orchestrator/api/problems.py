"""
Errors as answers: problem+json (RFC 9457) under /v1, `{"error": "..."}` under /functions/v1.

An answer holds the catalogue's words and what the caller sent wrong; never a traceback, never a value
that the caller sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from orchestrator import log
from orchestrator.api.paths import OLD_ENDPOINTS
from orchestrator.domain.errors import (
    CredentialUnusable,
    DatabaseUnavailable,
    HarborxError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    RequestError,
    VaultUnavailable,
)
from orchestrator.domain.sanitise import printable

logger = log.get(__name__)

MEDIA: Final = "application/problem+json"
_RETRY_SECONDS: Final = 2  # PostgreSQL restarts in seconds, and our pools find it by themselves


class Problem(BaseModel):
    """What happened, why, and what to do; `type` and `code` are stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    errors: list[dict[str, str]] = []
    run_id: str | None = None


class OldProblem(BaseModel):
    """As the old system's front end reads errors; `code` is the catalogue's, `errors` are what was sent wrong."""

    error: str
    code: str
    errors: list[dict[str, str]] = []


def answers(*statuses: int | str, old: bool = False) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: the errors that an operation itself answers; document.py adds all others."""
    return {status: {"model": OldProblem if old else Problem} for status in statuses}


def install(app: FastAPI) -> None:
    """Answer every error of the tree; `fault` is for all others."""
    app.add_exception_handler(HarborxError, _harborx)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def status_of(error: HarborxError) -> int:
    if isinstance(error, RequestError):
        return error.http_status
    if isinstance(error, CredentialUnusable):
        return 400
    return 503 if isinstance(error, DatabaseUnavailable | VaultUnavailable) else 500


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    error: HarborxError,
    status: int | None = None,
) -> None:
    """Answer a request with an error before it has come to a route."""
    response = _answer(scope["path"], status or status_of(error), error)
    await response(scope, receive, send)


def answered(request: Request, error: HarborxError) -> JSONResponse:
    """What the request is answered with; what is our own fault is told to the log only."""
    status = status_of(error)
    path = request.scope["path"]
    if status >= 500:
        logger.error("request.failed", path=path, code=error.code, detail=error.detail)
        error = type(error)()  # the detail is for the log: it may name hosts and objects of ours
    return _answer(path, status, error)


def _answer(
    path: str,
    status: int,
    error: HarborxError,
    errors: Sequence[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    pointed = list(errors) if errors is not None else _blamed(error)
    sent = {**_headers(status, error), **(headers or {})}
    if path.startswith(OLD_ENDPOINTS):
        # The old front end knows 400, 401 and 404 for what a caller can mend.
        known = status if status in (400, 401, 404, 405, 429) or status >= 500 else 400
        old = OldProblem(error=printable(str(error)), code=error.code, errors=pointed)
        return JSONResponse(old.model_dump(exclude_defaults=True), known, sent)
    problem = Problem(
        type=f"urn:harborx:problem:{error.code}",
        title=error.sentence,
        status=status,
        detail=printable(str(error)),
        code=error.code,
        remedy=error.remedy,
        errors=pointed,
        run_id=error.evidence.get("run_id"),
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, sent, media_type=MEDIA)


def _blamed(error: HarborxError) -> list[dict[str, str]]:
    field = error.evidence.get("field")
    return [{"pointer": str(field), "message": error.detail}] if field is not None else []


def _headers(status: int, error: HarborxError) -> dict[str, str]:
    if "retry_after" in error.evidence:
        return {"Retry-After": str(math.ceil(error.evidence["retry_after"]))}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(_RETRY_SECONDS)} if status == 503 else {}


async def _harborx(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HarborxError):
        raise error
    return answered(request, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [_pointed(problem) for problem in error.errors()[:20]]
    detail = "; ".join(f"{item['pointer'] or 'body'}: {item['message']}" for item in errors)
    return _answer(request.scope["path"], 422, InvalidInput(detail), errors)


def _pointed(problem: Any) -> dict[str, str]:
    where = [str(part) for part in problem["loc"][1:]]  # without body, query, path or header
    message = "required" if problem["type"] == "missing" else str(problem["msg"])
    return {"pointer": ".".join(where), "message": message}


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    known = {404: NotFound, 405: MethodNotAllowed}.get(error.status_code, RequestError)
    path = request.scope["path"]
    allowed: Callable[[str], list[str]] | None = getattr(request.app.state, "allowed", None)
    headers = dict(error.headers or {})
    if error.status_code == 405 and allowed is not None:
        headers = {"Allow": ", ".join(allowed(path))}  # the router's own names one route's only
    return _answer(path, error.status_code, known(f"{error.detail}."), headers=headers)


async def fault(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: the log has it, the answer nothing of it."""
    path = request.scope["path"]
    logger.error("request.fault", path=path, exc_info=error)
    return _answer(path, 500, HarborxError())
