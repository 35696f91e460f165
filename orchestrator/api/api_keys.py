"""
API keys: made, listed and revoked by their supplier.

A key that makes a key lends it no more than it has itself: its scopes, its time, and its end, for revoking a key
revokes what it made. One that an agent run by hand needs submits for one instance, and only for some days.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Caller, Reader, Tester
from orchestrator.api.shapes import Line
from orchestrator.api.surface import Given
from orchestrator.database import accounts
from orchestrator.runs.api_keys import (
    LONGEST_SUBMIT_KEY_DAYS,
    SUBMIT_KEY_DAYS,
    create_key,
    create_submit_key,
)

router = APIRouter(prefix="/v1", tags=["accounts"])

Name = Annotated[Line, Field(min_length=1, max_length=100)]


class NewKey(BaseModel):
    name: Name
    scopes: Annotated[
        list[Literal["read", "test", "submit"]], Field(min_length=1, max_length=3)
    ] = [
        "read",
        "test",
        "submit",
    ]
    expires_in_days: Annotated[int | None, Field(ge=1, le=3650)] = None


class NewSubmitKey(BaseModel):
    name: Name | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=LONGEST_SUBMIT_KEY_DAYS)] = SUBMIT_KEY_DAYS


class CreatedKey(BaseModel):
    """The only time the key itself is shown. A key that another one made ends with it at the latest."""

    key: str
    expires_at: datetime | None


class KeyShape(BaseModel):
    """`instance_id` is the only instance that a submit key submits for; `made_by` the key that asked for this one."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    public_id: str
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    instance_id: UUID | None
    made_by: UUID | None


@router.post("/api-keys", operation_id="createApiKey", status_code=201)
async def post_api_key(body: NewKey, caller: Tester, given: Given) -> CreatedKey:
    """Make an API key. It is shown once, so no Idempotency-Key is heeded: a repeat makes another key."""
    expires_at = _end(caller, body.expires_in_days)
    key = await create_key(
        given.database,
        caller.principal,
        body.name,
        scopes=body.scopes,
        expires_at=expires_at,
        made_by=caller.key,
    )
    return CreatedKey(key=key, expires_at=expires_at)


@router.post(
    "/instances/{instance_id}/submit-keys", operation_id="createSubmitKey", status_code=201
)
async def post_submit_key(
    instance_id: UUID, caller: Tester, given: Given, body: NewSubmitKey = NewSubmitKey()
) -> CreatedKey:
    """
    Make the key that an agent run by hand on this instance is given: it submits that instance's results, for some
    days, and does nothing else. It is shown once, and revoked like any other.
    """
    expires_at = _end(caller, body.expires_in_days)
    if expires_at is None:
        raise AssertionError("a submit key ends")
    key = await create_submit_key(
        given.database,
        caller.principal,
        instance_id,
        expires_at=expires_at,
        name=body.name,
        made_by=caller.key,
    )
    return CreatedKey(key=key, expires_at=expires_at)


@router.get("/api-keys", operation_id="listApiKeys")
async def get_api_keys(caller: Reader, given: Given) -> list[KeyShape]:
    """The caller's keys, newest first, without the keys themselves."""
    async with given.database.transaction(caller.principal) as session:
        return [KeyShape.model_validate(key) for key in await accounts.keys(session)]


@router.delete("/api-keys/{key_id}", operation_id="revokeApiKey", status_code=204)
async def delete_api_key(key_id: UUID, caller: Tester, given: Given) -> Response:
    """Revoke a key, and with it those that it made: at once and for good."""
    async with given.database.transaction(caller.principal) as session:
        await accounts.revoke_key(session, key_id)
    return Response(status_code=204)


def _end(caller: Caller, days: int | None) -> datetime | None:
    wished = None if days is None else datetime.now(UTC) + timedelta(days=days)
    return caller.key.bounded(wished) if caller.key is not None else wished
