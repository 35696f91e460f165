"""
Errors as answers: problem+json (RFC 9457) under /v1, `{"error": "..."}` under /functions/v1.

An answer holds the catalogue's words and what the caller sent wrong; never a traceback, never a value
that the caller sent.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from orchestrator import log
from orchestrator.domain.errors import (
    CredentialUnusable,
    DatabaseUnavailable,
    HarborxError,
    InvalidInput,
    NotFound,
    RequestError,
)

logger = log.get(__name__)

_OLD_ENDPOINTS: Final = "/functions/v1/"
_MEDIA: Final = "application/problem+json"
_RETRY_SECONDS: Final = 2  # PostgreSQL restarts in seconds, and our pools find it by themselves
_RETRY_AFTER: Final = {
    "description": "Seconds to wait before sending the request again.",
    "schema": {"type": "integer"},
}


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
    """As the old system's front end reads errors; `code` is the catalogue's."""

    error: str
    code: str


def answers(*statuses: int | str, old: bool = False) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: the errors of an operation."""
    model = OldProblem if old else Problem
    told: dict[int | str, dict[str, Any]] = {status: {"model": model} for status in statuses}
    if 503 in told:
        told[503]["headers"] = {"Retry-After": _RETRY_AFTER}
    return told


def install(app: FastAPI) -> None:
    """Answer every error of the tree, and every other one as an internal error; the document says so."""
    app.add_exception_handler(HarborxError, _harborx)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    plain = app.openapi
    app.openapi = lambda: app.openapi_schema or _described(plain())  # type: ignore[method-assign]


def status_of(error: HarborxError) -> int:
    if isinstance(error, RequestError):
        return error.http_status
    if isinstance(error, CredentialUnusable):
        return 400
    return 503 if isinstance(error, DatabaseUnavailable) else 500


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with each `Problem` under its media type; FastAPI knows only the operation's own."""
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for media, content in list(response.get("content", {}).items()):
                    if content.get("schema", {}).get("$ref", "").endswith("/Problem"):
                        response["content"][_MEDIA] = response["content"].pop(media)
    return document


def _answer(
    request: Request, status: int, error: HarborxError, errors: list[dict[str, str]] | None = None
) -> JSONResponse:
    if request.url.path.startswith(_OLD_ENDPOINTS):
        # The old front end knows 400, 401 and 404 for what a caller can mend.
        known = status if status in (400, 401, 404) or status >= 500 else 400
        old = OldProblem(error=str(error), code=error.code)
        return JSONResponse(old.model_dump(), known, _headers(status))
    problem = Problem(
        type=f"urn:harborx:problem:{error.code}",
        title=error.sentence,
        status=status,
        detail=str(error),
        code=error.code,
        remedy=error.remedy,
        errors=errors or [],
        run_id=error.evidence.get("run_id"),
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, _headers(status), media_type=_MEDIA
    )


def _headers(status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(_RETRY_SECONDS)} if status == 503 else {}


async def _harborx(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HarborxError):
        raise error
    status = status_of(error)
    if status >= 500:
        logger.error("request.failed", path=request.url.path, code=error.code, detail=error.detail)
        error = type(error)()  # the detail is for the log: it may name hosts and objects of ours
    return _answer(request, status, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [_pointed(problem) for problem in error.errors()[:20]]
    detail = "; ".join(f"{item['pointer'] or 'body'}: {item['message']}" for item in errors)
    return _answer(request, 422, InvalidInput(detail), errors)


def _pointed(problem: Any) -> dict[str, str]:
    where = [str(part) for part in problem["loc"][1:]]  # without body, query, path or header
    message = "required" if problem["type"] == "missing" else str(problem["msg"])
    return {"pointer": ".".join(where), "message": message}


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    told = f"{error.detail}."
    wrapped = NotFound(told) if error.status_code == 404 else RequestError(told)
    return _answer(request, error.status_code, wrapped)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    logger.error("request.fault", path=request.url.path, exc_info=error)
    return _answer(request, 500, HarborxError())
