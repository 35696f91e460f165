"""Signing up, in and out, the password, and API keys."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import COOKIE, Authenticating, Authenticator, Credential, Reader, Tester
from orchestrator.api.problems import answers
from orchestrator.api.shapes import Line
from orchestrator.api.surface import Given, Surface
from orchestrator.database import accounts, sign_ins
from orchestrator.domain.errors import NotAllowed, NotAuthenticated, NotFound
from orchestrator.runs.accounts import LONGEST_PASSWORD, change_password, sign_in, sign_up
from orchestrator.runs.api_keys import create_key

router = APIRouter(prefix="/v1", tags=["accounts"])

Password = Annotated[str, Field(max_length=LONGEST_PASSWORD, repr=False)]
_LONGEST_AGENT: Final = 300
_NO_SESSION: Final = "It is no session of ours."


class Login(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "name@example.com", "password": "ten or more"}}
    )

    email: Annotated[str, Field(max_length=255)]
    password: Password


class NewPassword(BaseModel):
    """Changing it ends every other session."""

    current_password: Password
    new_password: Password


class SessionShape(BaseModel):
    """
    Send `access_token` as `Authorization: Bearer`, or let the browser send the cookie that is set along with
    it; `expires_in` is in seconds.
    """

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    user_id: UUID


class NewKey(BaseModel):
    name: Annotated[Line, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Literal["read", "test", "submit"]], Field(min_length=1)] = [
        "read",
        "test",
        "submit",
    ]
    expires_in_days: Annotated[int | None, Field(ge=1, le=3650)] = None


class CreatedKey(BaseModel):
    """The only time the key itself is shown."""

    key: str


class KeyShape(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    public_id: str
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime


@router.post("/auth/sign-up", operation_id="signUp", status_code=201, responses=answers(409))
async def post_sign_up(
    body: Login,
    given: Given,
    authenticator: Authenticating,
    request: Request,
    response: Response,
) -> SessionShape:
    """Make an account; the answer is a session."""
    if not given.settings.auth.sign_up:
        raise NotAllowed("Signing up is turned off here.")
    user_id = await sign_up(given.database, body.email, body.password)
    return await _session(given, authenticator, request, response, user_id)


@router.post("/auth/sign-in", operation_id="signIn")
async def post_sign_in(
    body: Login,
    given: Given,
    authenticator: Authenticating,
    request: Request,
    response: Response,
) -> SessionShape:
    """Start a session."""
    user_id = await sign_in(given.database, body.email, body.password)
    return await _session(given, authenticator, request, response, user_id)


@router.post("/auth/sign-out", operation_id="signOut", status_code=204)
async def post_sign_out(
    given: Given, authenticator: Authenticating, credential: Credential, request: Request
) -> Response:
    """End this session and take its cookie back; also where it had ended already."""
    with suppress(NotAuthenticated, NotFound):
        caller = await authenticator.caller(credential)
        if caller.session_id is None:
            raise NotAllowed(_NO_SESSION)
        async with given.database.transaction(caller.principal) as session:
            await sign_ins.revoke(session, caller.session_id)
        authenticator.sessions.forget(caller.session_id)
    response = Response(status_code=204)
    if COOKIE in request.cookies:  # a page of another site sends none, and takes none away
        _set_cookie(given, response, "", 0)
    return response


@router.put("/profile/password", operation_id="changePassword", status_code=204)
async def put_password(
    body: NewPassword, caller: Tester, given: Given, authenticator: Authenticating
) -> Response:
    """Change the password and end every other session. For sessions only: an API key is not enough."""
    if caller.session_id is None:
        raise NotAllowed(_NO_SESSION)
    passwords = (body.current_password, body.new_password)
    await change_password(given.database, caller.principal, caller.session_id, *passwords)
    authenticator.sessions.forget_all_of(caller.user_id)
    return Response(status_code=204)


@router.post("/api-keys", operation_id="createApiKey", status_code=201)
async def post_api_key(body: NewKey, caller: Tester, given: Given) -> CreatedKey:
    """Make an API key. It is shown once, so no Idempotency-Key is heeded: a repeat makes another key."""
    expires_at = None
    if body.expires_in_days is not None:
        expires_at = datetime.now(UTC) + timedelta(days=body.expires_in_days)
    # A key can't make a key that may do more than itself.
    beyond = set(body.scopes) - caller.scopes
    if beyond:
        raise NotAllowed(f"This login lacks the scope {sorted(beyond)[0]!r}.")
    key = await create_key(
        given.database, caller.principal, body.name, scopes=body.scopes, expires_at=expires_at
    )
    return CreatedKey(key=key)


@router.get("/api-keys", operation_id="listApiKeys")
async def get_api_keys(caller: Reader, given: Given) -> list[KeyShape]:
    """The caller's keys, newest first, without the keys themselves."""
    async with given.database.transaction(caller.principal) as session:
        return [KeyShape.model_validate(key) for key in await accounts.keys(session)]


@router.delete("/api-keys/{key_id}", operation_id="revokeApiKey", status_code=204)
async def delete_api_key(key_id: UUID, caller: Tester, given: Given) -> Response:
    """Revoke a key, at once and for good."""
    async with given.database.transaction(caller.principal) as session:
        await accounts.revoke_key(session, key_id)
    return Response(status_code=204)


async def _session(
    given: Surface,
    authenticator: Authenticator,
    request: Request,
    response: Response,
    user_id: UUID,
) -> SessionShape:
    agent = "".join(filter(str.isprintable, request.headers.get("user-agent", "")))
    token, seconds = await authenticator.open_session(user_id, agent[:_LONGEST_AGENT] or None)
    _set_cookie(given, response, token, seconds)
    return SessionShape(access_token=token, expires_in=seconds, user_id=user_id)


def _set_cookie(given: Surface, response: Response, token: str, seconds: int) -> None:
    """No script reads it and no other site sends it. Zero seconds take it back."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path="/",
        secure=(given.settings.server.public_url or "").startswith("https"),
        httponly=True,
        samesite="strict",
    )
