"""Instances: read, changed, deleted, tested, and pinned to another host key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from orchestrator.api.auth import Reader, Tester, caller_of
from orchestrator.api.idempotency import DESCRIBED, IdempotencyKey, tell_replay
from orchestrator.api.plain import told
from orchestrator.api.problems import answers
from orchestrator.api.runs import run_shape
from orchestrator.api.shapes import (
    Cursor,
    Host,
    HostKeyGiven,
    InstanceShape,
    Limit,
    Line,
    PageShape,
    Price,
    ResultShape,
    RunShape,
    User,
)
from orchestrator.api.surface import Given, Surface
from orchestrator.database import credentials, host_keys, instances, results, told_runs
from orchestrator.database.direct import Refused
from orchestrator.database.models import Instance
from orchestrator.database.session import Session
from orchestrator.domain.options import Options
from orchestrator.runs.request import request_run_once
from orchestrator.ssh.keys import LONGEST_HOST_KEY

_LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "The path of the run.", "schema": {"type": "string"}}
}

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class ListedInstance(InstanceShape):
    latest_result: ResultShape | None = None


class DetailedInstance(ListedInstance):
    """
    `public_key` is the line for the machine's ~/.ssh/authorized_keys; with `login` "shared" it is the supplier's one
    for all machines.

    `host_key_trust` says how the host key on record became that: `given` with the instance, `checked` before it was
    onboarded, seen at `first_contact`, `accepted` in another's place, `rotated`: proved by the one before, or of a
    certificate of a host `authority`. `host_key_confirmed_at` is when its supplier has said that it is the machine's; null:
    nobody has. `host_key_given` is the fingerprint that the first contact has to show. `host_keys_proved` are other keys
    that the machine has proved to have. `host_key_offered` is another host key that the machine showed since: no login was
    tried, nor is any until its supplier takes it or the machine shows the old one.
    """

    login: Literal["supplied", "generated", "shared", "certificate"] | None = None
    public_key: str | None = None
    host_key_fingerprint: str | None
    host_key_trust: (
        Literal["given", "checked", "first_contact", "accepted", "rotated", "authority"] | None
    )
    host_key_seen_at: datetime | None
    host_key_confirmed_at: datetime | None
    host_key_given: str | None
    host_keys_proved: Annotated[list[str], BeforeValidator(lambda value: value or [])]
    host_key_offered: str | None
    host_key_offered_fingerprint: str | None
    host_key_offered_at: datetime | None
    listed: bool


class InstanceChange(BaseModel):
    """
    What is absent stays as it is; provider, location and price_per_hour may be null. Another address is another
    machine: it counts as untested, and its host key is pinned anew. `host_key` is the one that the machine must show: the
    one on record is confirmed by it, or forgotten.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"location": "Oslo", "listed": False}}
    )

    provider: Line | None = None
    location: Line | None = None
    price_per_hour: Price | None = None
    listed: bool | None = None
    ssh_host: Host | None = None
    ssh_port: Annotated[int | None, Field(ge=1, le=65535)] = None
    ssh_user: User | None = None
    host_key: HostKeyGiven | None = None

    @model_validator(mode="after")
    def _nothing_is_taken_away(self) -> Self:
        for name in ("listed", "ssh_host", "ssh_port", "ssh_user", "host_key"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} can't be null")
        return self


class HostKeyAccepted(BaseModel):
    """
    The key on record or on offer, or its fingerprint, as the instance tells it: nobody takes one that they have not
    seen.
    """

    host_key: Annotated[str, Field(min_length=1, max_length=LONGEST_HOST_KEY)]


@router.get("", operation_id="listInstances")
async def list_instances(
    caller: Reader, given: Given, limit: Limit = 50, cursor: Cursor = None
) -> PageShape[ListedInstance]:
    """The caller's instances, newest first, each with its latest result."""
    async with given.database.transaction(caller.principal) as session:
        page = await instances.page(session, limit, cursor)
        latest = await results.latest(session, [row.id for row in page.rows])
    items = []
    for row in page.rows:
        item = ListedInstance.model_validate(row)
        if row.id in latest:
            item.latest_result = ResultShape.of(latest[row.id])
        items.append(item)
    return PageShape(items=items, next_cursor=page.next_cursor)


# Other words there are addresses of their own.
@router.get("/{instance_id:uuid}", operation_id="getInstance")
async def get_instance(instance_id: UUID, caller: Reader, given: Given) -> DetailedInstance:
    """One instance, with how we log in and which host key it is pinned to."""
    async with given.database.transaction(caller.principal) as session:
        return await _detailed(session, await instances.get(session, instance_id))


@router.patch("/{instance_id:uuid}", operation_id="changeInstance", responses=answers(409))
async def patch_instance(
    instance_id: UUID, body: InstanceChange, caller: Tester, given: Given
) -> DetailedInstance:
    """Change what is told of an instance, or where it is; 409 for another address while a run is unfinished."""
    values = body.model_dump(exclude_unset=True)
    if "host_key" in values:
        values["host_key_given"] = values.pop("host_key")
    async with given.database.transaction(caller.principal) as session:
        return await _detailed(session, await instances.change(session, instance_id, values))


@router.delete(
    "/{instance_id:uuid}", operation_id="deleteInstance", status_code=204, responses=answers(409)
)
async def delete_instance(instance_id: UUID, caller: Tester, given: Given) -> Response:
    """Delete an instance with its inventory item and all that was measured; 409 while a run is unfinished."""
    async with given.database.transaction(caller.principal) as session:
        await instances.delete(session, instance_id)
    return Response(status_code=204)


@router.post("/{instance_id}/host-key", operation_id="acceptHostKey", responses=answers(409))
async def post_host_key(
    instance_id: UUID, body: HostKeyAccepted, caller: Tester, given: Given
) -> DetailedInstance:
    """Confirm the host key on record, or pin the instance to the one on offer; 409 where it is neither."""
    async with given.database.transaction(caller.principal) as session:
        accepted = await host_keys.accept(session, instance_id, body.host_key.strip())
        return await _detailed(session, accepted)


@router.post(
    "/{instance_id}/runs",
    operation_id="requestRun",
    status_code=202,
    responses={202: {"headers": {**_LOCATION, **DESCRIBED}}, **answers(409)},
)
async def post_run(
    instance_id: UUID,
    caller: Tester,
    given: Given,
    response: Response,
    body: Options = Options(),
    key: IdempotencyKey = None,
) -> RunShape:
    """
    Ask for a test of this instance; `Location` is its run. 409 while one is unfinished.

    A repeat with the same Idempotency-Key answers with the first request's run, also when that has ended.
    """
    requested = await request_run_once(
        given.database,
        caller.principal,
        instance_id,
        body,
        "api",
        key,
        new_machines_per_hour=given.settings.ssh.new_machines_per_hour,
    )
    response.headers["Location"] = f"/v1/runs/{requested.run.id}"
    tell_replay(response, requested.replayed)
    return await run_shape(given, caller, requested.run)


async def post_plain_run(request: Request, instance_id: UUID) -> Response | None:
    """The same without an Idempotency-Key. What is refused is asked again by `post_run`, to be told why."""
    options = await _plain_options(request)
    if options is None or options.device == "cpu":
        return None
    caller = await caller_of(request, "test")
    chosen = options.model_dump(exclude_defaults=True)
    surface: Surface = request.app.state.surface
    try:
        text = await told_runs.request(
            request.app.state.direct,
            caller.principal,
            instance_id,
            chosen,
            surface.settings.ssh.new_machines_per_hour,
        )
    except Refused:
        return None
    if text is None:
        raise AssertionError("a request that is not refused has a run")
    shape = RunShape.read(text)
    return told(shape, 202, {"Location": f"/v1/runs/{shape.id}"})


async def _plain_options(request: Request) -> Options | None:
    if "idempotency-key" in request.headers:
        return None
    body = await request.body()
    try:
        return Options.model_validate_json(body) if body else Options()
    except ValidationError:
        return None


async def _detailed(session: Session, instance: Instance) -> DetailedInstance:
    latest = await results.latest(session, [instance.id])
    login = await credentials.public_half(session, instance)
    shape = DetailedInstance.model_validate(instance)
    if login is not None:
        shape.login, shape.public_key = login.kind, login.public_key
    if instance.id in latest:
        shape.latest_result = ResultShape.of(latest[instance.id])
    return shape
