"""Signing up and in, the caller's profile, and API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Authenticator, Reader, Tester
from orchestrator.api.problems import answers
from orchestrator.api.shapes import Line
from orchestrator.api.surface import Given
from orchestrator.database import accounts
from orchestrator.domain.errors import NotAllowed
from orchestrator.runs.accounts import LONGEST_PASSWORD, sign_in, sign_up
from orchestrator.runs.api_keys import create_key

router = APIRouter(prefix="/v1", tags=["accounts"])


class Login(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "name@example.com", "password": "ten or more"}}
    )

    email: Annotated[str, Field(max_length=255)]
    password: Annotated[str, Field(max_length=LONGEST_PASSWORD, repr=False)]


class SessionShape(BaseModel):
    """Send `access_token` as `Authorization: Bearer`; `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    user_id: UUID


class ProfileShape(BaseModel):
    id: UUID
    email: str


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
async def post_sign_up(body: Login, given: Given, request: Request) -> SessionShape:
    """Make an account; the answer is a session."""
    if not given.settings.auth.sign_up:
        raise NotAllowed("Signing up is turned off here.")
    return _session(request, await sign_up(given.database, body.email, body.password))


@router.post("/auth/sign-in", operation_id="signIn")
async def post_sign_in(body: Login, given: Given, request: Request) -> SessionShape:
    """Start a session."""
    return _session(request, await sign_in(given.database, body.email, body.password))


@router.get("/profile", operation_id="getProfile")
async def get_profile(caller: Reader, given: Given) -> ProfileShape:
    """Who is signed in."""
    async with given.database.transaction(caller.principal) as session:
        profile = await accounts.profile(session)
    return ProfileShape(id=profile.id, email=profile.email)


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


def _session(request: Request, user_id: UUID) -> SessionShape:
    authenticator: Authenticator = request.app.state.authenticator
    token, seconds = authenticator.issue(user_id)
    return SessionShape(access_token=token, expires_in=seconds, user_id=user_id)
