"""Looking at a machine before it is onboarded, and our key for all machines of a supplier."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.idempotency import DESCRIBED, IdempotencyKey, tell_replay
from orchestrator.api.shapes import ErrorShape, Host, User
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given, user_ca
from orchestrator.database import connection_checks, credentials
from orchestrator.database.credentials import PublicHalf
from orchestrator.database.models import ConnectionCheck
from orchestrator.domain import errors
from orchestrator.domain.errors import NotFound
from orchestrator.domain.events import ProbedGpu, TorchInstall, Witnesses
from orchestrator.runs.check_connection import StepName, request_check
from orchestrator.runs.login_keys import LoginGiven, shared_key
from orchestrator.ssh.keys import LONGEST_KEY, fingerprint
from orchestrator.ssh.user_ca import LIFETIME, principal

_LOCATION: Final[dict[str, Any]] = {
    "Location": {"description": "The path of the check.", "schema": {"type": "string"}}
}

router = APIRouter(prefix="/v1", tags=["connections"])


class CheckRequest(BaseModel):
    """
    Where to look. Without `ssh_key`, our key for this supplier (GET /v1/login-key) is tried, or with `login`
    "certificate" a certificate of our user CA (GET /v1/login-ca).
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"ssh_host": "your-gpu-host.com"}}
    )

    ssh_host: Host
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 22
    ssh_user: User = "root"
    ssh_key: Annotated[str | None, Field(max_length=LONGEST_KEY, repr=False)] = None
    ssh_key_passphrase: Annotated[str | None, Field(max_length=1024, repr=False)] = None
    login: Literal["key", "certificate"] = "key"


class StepShape(Shown):
    """A step that has ended, and what it came to in a line for people."""

    name: StepName
    state: Literal["passed", "failed"]
    detail: str
    seconds: float


class MachineShape(Shown):
    """
    What the machine is, by its own account. Of a machine with many GPUs `gpus` may lack the last; `gpu_count` counts
    them all.
    """

    gpu_name: str | None
    gpu_count: int | None
    gpus: list[ProbedGpu]
    driver_version: str | None
    cuda_version: str | None
    cpu_model: str | None
    cpu_count: int | None
    ram_gb: float | None
    disk_space_gb: float | None
    disk_free_gb: float | None
    container: str | None
    kernel: str | None
    glibc: str | None
    witnesses: Witnesses
    torch_installs: list[TorchInstall]


class CheckShape(Shown):
    """A look at a machine. `steps` grows while it is `checking`; it ends within two minutes, one way or the other."""

    id: UUID
    ssh_host: str
    ssh_port: int
    ssh_user: str
    login: Literal["supplied", "shared", "certificate"]
    state: Literal["queued", "checking", "passed", "failed"]
    steps: list[StepShape]
    host_key: str | None
    host_key_fingerprint: str | None
    probe: MachineShape | None
    error: ErrorShape | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, check: ConnectionCheck) -> CheckShape:
        same = ("id", "ssh_host", "ssh_port", "ssh_user", "login", "state", "steps", "host_key")
        return cls.model_validate(
            {
                **{name: getattr(check, name) for name in same},
                "host_key_fingerprint": fingerprint(check.host_key) if check.host_key else None,
                "probe": check.probe,
                "error": _error_of(check),
                "created_at": check.created_at,
                "finished_at": check.finished_at,
            }
        )


class LoginKey(BaseModel):
    """Our key for a supplier: `public_key` is the line for ~/.ssh/authorized_keys on each machine."""

    public_key: str
    fingerprint: str

    @classmethod
    def of(cls, half: PublicHalf) -> LoginKey:
        return cls(public_key=half.public_key, fingerprint=half.fingerprint)


class LoginCa(BaseModel):
    """
    `authorized_keys_line` is all that a machine has to know; each login's certificate ends after its lifetime, and is good
    from `source_addresses` only, where there are any.
    """

    authorized_keys_line: str
    public_key: str
    fingerprint: str
    principal: str
    lifetime_seconds: int
    source_addresses: list[str]


@router.post(
    "/connection-checks",
    operation_id="checkConnection",
    status_code=202,
    responses={202: {"headers": {**_LOCATION, **DESCRIBED}}},
)
async def post_check(
    body: CheckRequest,
    caller: Tester,
    given: Given,
    response: Response,
    key: IdempotencyKey = None,
) -> CheckShape:
    """Have a worker look at a machine: address, host key, login, Python, probe; `Location` is the check."""
    requested = await request_check(
        given.database,
        given.vault,
        caller.principal,
        (body.ssh_host, body.ssh_port, body.ssh_user),
        LoginGiven(
            body.ssh_key,
            body.ssh_key_passphrase,
            certified_by=user_ca(given) if body.login == "certificate" else None,
        ),
        per_hour=given.settings.ssh.checks_per_hour,
        key=key,
    )
    response.headers["Location"] = f"/v1/connection-checks/{requested.check.id}"
    tell_replay(response, requested.replayed)
    return CheckShape.of(requested.check)


@router.get("/connection-checks/{check_id}", operation_id="getConnectionCheck")
async def get_check(check_id: UUID, caller: Reader, given: Given) -> CheckShape:
    """How far a check is, and what it found; kept for a day."""
    async with given.database.transaction(caller.principal) as session:
        return CheckShape.of(await connection_checks.get(session, check_id))


@router.put("/login-key", operation_id="putLoginKey")
async def put_login_key(caller: Tester, given: Given) -> LoginKey:
    """Our key for all of the caller's machines, made the first time; it stays the same."""
    return LoginKey.of(await shared_key(given.database, given.vault, caller.principal))


@router.get("/login-key", operation_id="getLoginKey")
async def get_login_key(caller: Reader, given: Given) -> LoginKey:
    """Our key for all of the caller's machines; 404 before it was made."""
    async with given.database.transaction(caller.principal) as session:
        known = await credentials.shared(session)
    if known is None:
        raise NotFound("There is no key of ours for you yet.")
    return LoginKey.of(known)


@router.get("/login-ca", operation_id="getLoginCa")
async def get_login_ca(caller: Reader, given: Given) -> LoginCa:
    """Our user CA: a machine that trusts it needs no key of ours, and lets in nobody but this supplier's tests."""
    ca = user_ca(given)
    return LoginCa(
        authorized_keys_line=ca.authorized_line(caller.user_id),
        public_key=ca.public_key,
        fingerprint=ca.fingerprint,
        principal=principal(caller.user_id),
        lifetime_seconds=int(LIFETIME.total_seconds()),
        source_addresses=[str(network) for network in ca.sources],
    )


def _error_of(check: ConnectionCheck) -> ErrorShape | None:
    if check.error_code is None:
        return None
    known = errors.explain(check.error_code)
    return ErrorShape(
        code=check.error_code,
        message=check.error_message or known.sentence,
        remedy=known.remedy,
        evidence=check.evidence,
    )
