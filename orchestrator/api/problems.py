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


def install(app: FastAPI) -> None:
    """Answer every error of the tree, and every other one as an internal error."""
    app.add_exception_handler(HarborxError, _harborx)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)


def status_of(error: HarborxError) -> int:
    if isinstance(error, RequestError):
        return error.http_status
    if isinstance(error, CredentialUnusable):
        return 400
    return 503 if isinstance(error, DatabaseUnavailable) else 500


def _answer(
    request: Request, status: int, error: HarborxError, errors: list[dict[str, str]] | None = None
) -> JSONResponse:
    if request.url.path.startswith(_OLD_ENDPOINTS):
        # The old front end knows 400, 401 and 404 for what a caller can mend.
        known = status if status in (400, 401, 404) or status >= 500 else 400
        return JSONResponse({"error": str(error), "code": error.code}, known)
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
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status,
        headers,
        media_type="application/problem+json",
    )


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
    where = [str(part) for part in problem["loc"] if part not in ("body", "query", "path")]
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
