"""Host authorities: whose certificates say which machine it is, for fleets that change their keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.shapes import PageShape
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.database import host_authorities
from orchestrator.ssh.host_authorities import LONGEST_HOSTS, HostAuthority
from orchestrator.ssh.keys import LONGEST_HOST_KEY

router = APIRouter(prefix="/v1/host-authorities", tags=["instances"])


class NewAuthority(BaseModel):
    """
    `hosts` are comma-separated patterns (* and ?, ! takes out) of ssh_host, or of [ssh_host]:port where that is not 22;
    `public_key` is the authority's, one line. Or both as a `line` of known_hosts: @cert-authority HOSTS KEY.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "line": "@cert-authority *.fleet.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."
            }
        },
    )

    hosts: Annotated[str | None, Field(min_length=1, max_length=LONGEST_HOSTS)] = None
    public_key: Annotated[str | None, Field(min_length=1, max_length=LONGEST_HOST_KEY)] = None
    line: Annotated[str | None, Field(max_length=LONGEST_HOSTS + LONGEST_HOST_KEY)] = None

    @model_validator(mode="after")
    def _one_way_or_the_other(self) -> Self:
        if (self.line is None) == (self.hosts is None or self.public_key is None):
            raise ValueError("takes hosts and public_key, or line")
        return self

    def read(self) -> HostAuthority:
        """Raises `InvalidInput`."""
        if self.line is not None:
            return HostAuthority.of_line(self.line)
        return HostAuthority.read(self.hosts or "", self.public_key or "")


class AuthorityShape(Shown):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    hosts: str
    public_key: str
    fingerprint: str
    created_at: datetime


@router.get("", operation_id="listHostAuthorities")
async def list_authorities(caller: Reader, given: Given) -> PageShape[AuthorityShape]:
    """The caller's, oldest first: 32 at most, so there is one page."""
    async with given.database.transaction(caller.principal) as session:
        rows = await host_authorities.every(session)
    return PageShape(items=[AuthorityShape.model_validate(row) for row in rows], next_cursor=None)


@router.post("", operation_id="addHostAuthority", status_code=201)
async def post_authority(body: NewAuthority, caller: Tester, given: Given) -> AuthorityShape:
    """
    Trust machines by their certificates: one for ssh_host, of this authority, not expired. Such machines may change their
    keys; any other key of theirs is put on offer. The same again is the one there is.
    """
    read = body.read()
    async with given.database.transaction(caller.principal) as session:
        row = await host_authorities.add(session, read.hosts, read.public_key, read.fingerprint)
    return AuthorityShape.model_validate(row)


@router.delete("/{authority_id}", operation_id="deleteHostAuthority", status_code=204)
async def delete_authority(authority_id: UUID, caller: Tester, given: Given) -> Response:
    """From the next login on its certificates count for nothing; each machine is pinned to its key of last."""
    async with given.database.transaction(caller.principal) as session:
        await host_authorities.remove(session, authority_id)
    return Response(status_code=204)
