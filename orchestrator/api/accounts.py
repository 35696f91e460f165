"""Signing up, in and out, and the password."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import COOKIE, Authenticating, Authenticator, Credential, Tester
from orchestrator.api.client_address import came_by_https, client_network
from orchestrator.api.problems import answers
from orchestrator.api.surface import Given, Surface
from orchestrator.database import sign_ins
from orchestrator.domain.errors import NotAllowed, NotAuthenticated, NotFound
from orchestrator.runs.accounts import LONGEST_PASSWORD, change_password, sign_in, sign_up

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


@router.post("/auth/sign-up", operation_id="signUp", status_code=201, responses=answers(409))
async def post_sign_up(
    body: Login,
    given: Given,
    authenticator: Authenticating,
    request: Request,
    response: Response,
) -> SessionShape:
    """Make an account; the answer is a session. Only so many may be made from one network."""
    if not given.settings.auth.sign_up:
        raise NotAllowed("Signing up is turned off here.")
    user_id = await sign_up(given.database, body.email, body.password, client_network(request))
    return await _session(given, authenticator, request, response, user_id)


@router.post("/auth/sign-in", operation_id="signIn")
async def post_sign_in(
    body: Login,
    given: Given,
    authenticator: Authenticating,
    request: Request,
    response: Response,
) -> SessionShape:
    """
    Start a session. After a few wrong passwords one has to wait, longer each time, and the answer is 429 with
    Retry-After, whether there is such an account or not.
    """
    user_id = await sign_in(given.database, body.email, body.password, client_network(request))
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
        _set_cookie(given, request, response, "", 0)
    return response


@router.put("/profile/password", operation_id="changePassword", status_code=204)
async def put_password(
    body: NewPassword,
    caller: Tester,
    given: Given,
    authenticator: Authenticating,
    request: Request,
) -> Response:
    """
    Change the password and end every other session. For sessions only: an API key is not enough. A wrong current one
    counts as a sign-in that failed.
    """
    if caller.session_id is None:
        raise NotAllowed(_NO_SESSION)
    passwords = (body.current_password, body.new_password)
    await change_password(
        given.database,
        caller.principal,
        caller.session_id,
        *passwords,
        network=client_network(request),
    )
    authenticator.sessions.forget_all_of(caller.user_id)
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
    _set_cookie(given, request, response, token, seconds)
    return SessionShape(access_token=token, expires_in=seconds, user_id=user_id)


def _set_cookie(
    given: Surface, request: Request, response: Response, token: str, seconds: int
) -> None:
    """No script reads it, no other site sends it, and where we are https nobody on the way. Zero seconds take it back."""
    public = (given.settings.server.public_url or "").lower()
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path="/",
        secure=public.startswith("https:") or came_by_https(request),
        httponly=True,
        samesite="strict",
    )
