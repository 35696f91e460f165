"""
THE STORY of a connection check: address -> host key -> login -> Python -> probe.

A worker tells it, never the API, which must not reach out into networks. Each step is stored as it ends, in a
short transaction; whatever happens is told by the check's row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import structlog

from orchestrator import log
from orchestrator.database import (
    connection_checks,
    credentials,
    host_authorities,
    idempotency,
    machine_logins,
)
from orchestrator.database.connection_checks import NewCheck
from orchestrator.database.contacts import CHECKS_PER_HOUR
from orchestrator.database.models import ConnectionCheck
from orchestrator.database.session import SERVICE, Database, Principal
from orchestrator.domain.errors import (
    CredentialUnusable,
    DatabaseError,
    HarborxError,
    HostUnreachable,
    InvalidInput,
    LaunchFailed,
    RunError,
)
from orchestrator.domain.events import Probe
from orchestrator.domain.sanitise import printable
from orchestrator.runs.login import vouching
from orchestrator.runs.login_keys import LoginGiven, certified_login, open_credential
from orchestrator.runs.worker import Worker
from orchestrator.ssh.addresses import UNREACHABLE, Endpoint, resolve
from orchestrator.ssh.connection import Connection, Target, connect
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import fingerprint
from orchestrator.ssh.look import look
from orchestrator.ssh.user_ca import CertifiedKey
from orchestrator.vault import Binding, Sealed, Vault

logger = log.get(__name__)

StepName = Literal["address", "host_key", "login", "python", "probe"]

_MARGIN: Final = 5.0  # seconds before a sweep would end the check: its own ending says more
_MOST_TOLD: Final = 500  # characters of a step's detail
_ADDRESSES_TOLD: Final = 4


@dataclass(frozen=True)
class Checked:
    """`replayed`: it is the check of an earlier request with the same key, as it is now."""

    check: ConnectionCheck
    replayed: bool = False


async def request_check(
    database: Database,
    vault: Vault,
    principal: Principal,
    address: tuple[str, int, str],
    login: LoginGiven,
    *,
    per_hour: int = CHECKS_PER_HOUR,
    key: str | None = None,
) -> Checked:
    """
    A queued check of `address` (host, port, user) with its job, committed; `key` is an Idempotency-Key. Without a
    private key our key for this supplier will be tried, or a certificate of our user CA.

    Raises `CredentialUnusable`, `InvalidInput` where there is no such key yet, `TooManyChecks`, `TooManyContacts`,
    `KeyReused`.
    """
    if principal.user_id is None:
        raise InvalidInput("A check belongs to a supplier; the service role is none.")
    check_id = uuid4()
    sealed: dict[str, Any] = {}
    if login.private_key:
        async with database.transaction(principal) as session:
            await connection_checks.require_room(
                session
            )  # before the CPU that an encrypted key costs
        pair = await login.pair()
        binding = check_binding(principal.user_id, check_id)
        sealed = vars(await vault.seal(pair.private_key, binding))
    host, port, user = address
    kind: Literal["supplied", "shared", "certificate"] = "supplied" if sealed else "shared"
    if login.certified_by:
        kind = "certificate"
    new = NewCheck(check_id, principal.user_id, host, port, user, kind, sealed)
    asked = {"address": list(address), "kind": kind, "login": login.digest()}
    async with database.transaction(principal) as session:
        told = await idempotency.take(session, key, "check_connection", asked) if key else None
        if told is not None:
            check = await connection_checks.get(session, UUID(told["check_id"]))
            return Checked(check, replayed=True)
        if kind == "shared" and await credentials.shared(session) is None:
            raise InvalidInput(
                "Send ssh_key, or have a key of ours made first: PUT /v1/login-key.",
                field="ssh_key",
            )
        check = await connection_checks.add(session, new, per_hour)
        if key:
            await idempotency.answer(session, key, {"check_id": str(check.id)})
    return Checked(check)


async def check_connection(check_id: UUID, worker: Worker) -> None:
    """Carry a check to its end, unless it is not there to be taken. Nothing is raised but cancellation."""
    with structlog.contextvars.bound_contextvars(check_id=str(check_id)):
        try:
            async with worker.database.transaction(SERVICE) as session:
                claimed = await connection_checks.claim(session, check_id)
            if claimed is None:
                logger.info("check.not_claimed")
                return
            progress = _Progress(worker.database, claimed.check)
            error = await _outcome(progress, worker, claimed.seconds - _MARGIN)
            async with worker.database.transaction(SERVICE) as session:
                await connection_checks.end(session, check_id, error)
            logger.info("check.ended", error_code=error.code if error else None)
        except _EndedMeanwhile:
            logger.info("check.ended_meanwhile")
        except DatabaseError as failed:
            logger.warning("check.database_away", reason=failed.detail)  # a sweep ends it


async def fail_overdue(database: Database) -> int:
    """End what nobody has taken, or whose worker died, within the time that a check has; how many there were."""
    error = HarborxError("No worker has finished the check in time.")
    async with database.transaction(SERVICE) as session:
        return await connection_checks.fail_overdue(session, error)


class _EndedMeanwhile(Exception):
    """The check's row is over: a sweep ended it, or its supplier is gone."""


@dataclass
class _Step:
    """What a step has come to: a line for people, and columns of the check."""

    detail: str = ""
    found: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Progress:
    """The check's row as it grows."""

    database: Database
    check: ConnectionCheck
    _steps: list[dict[str, Any]] = field(default_factory=list)
    _begun: tuple[StepName, float] | None = None

    @asynccontextmanager
    async def step(self, name: StepName) -> AsyncIterator[_Step]:
        """One step, stored as passed at the end of the block; `failed` stores one that does not get there."""
        self._begun = (name, asyncio.get_running_loop().time())
        step = _Step()
        yield step
        await self._store("passed", step.detail, step.found)

    @property
    def reached(self) -> bool:
        """Whether the machine has let us in."""
        return any(each["name"] == "login" for each in self._steps)

    async def failed(self, error: HarborxError) -> None:
        """The step that was begun ended with `error`."""
        if self._begun is not None:
            await self._store("failed", str(error), {})

    async def _store(self, state: str, detail: str, found: dict[str, Any]) -> None:
        if self._begun is None:
            raise AssertionError("a step is stored once, after it was begun")
        (name, began), self._begun = self._begun, None
        seconds = round(asyncio.get_running_loop().time() - began, 3)
        told = {"name": name, "state": state, "detail": printable(detail, _MOST_TOLD)}
        self._steps.append({**told, "seconds": seconds})
        async with self.database.transaction(SERVICE) as session:
            values = {"steps": self._steps, **found}
            if not await connection_checks.grow(session, self.check.id, values):
                raise _EndedMeanwhile


async def _outcome(progress: _Progress, worker: Worker, seconds: float) -> HarborxError | None:
    """What the check failed with, its step stored; None if it passed. Raises `DatabaseError`."""
    try:
        async with asyncio.timeout(seconds):
            await _look_at_machine(progress, worker)
        return None
    except TimeoutError:
        error: HarborxError = (
            LaunchFailed("It took too long.") if progress.reached else HostUnreachable(UNREACHABLE)
        )
    except RunError as failed:
        error = failed
    except (DatabaseError, _EndedMeanwhile):
        raise
    except Exception as fault:  # the one place: a fault of ours ends the check and is told as such
        logger.exception("check.fault")
        error = HarborxError(
            str(fault) if isinstance(fault, HarborxError) else type(fault).__name__
        )
    await progress.failed(error)
    return error


async def _look_at_machine(progress: _Progress, worker: Worker) -> None:
    check = progress.check
    endpoint = Endpoint(check.ssh_host, check.ssh_port, worker.policy_for(check.user_id))
    async with progress.step("address") as step:
        found = await resolve(endpoint, timeout=worker.deadlines.connect)
        step.detail = ", ".join(found[:_ADDRESSES_TOLD])
    async with progress.step("host_key") as step:
        host_key = await first_contact(endpoint, deadlines=worker.deadlines, attempts=1)
        step.detail = f"{host_key.split()[0]} {fingerprint(host_key)}"
        step.found = {"host_key": host_key}
    async with AsyncExitStack() as stack:
        async with progress.step("login") as step:
            target = await _target(check, host_key, worker)
            connection = await stack.enter_async_context(
                connect(target, deadlines=worker.deadlines, attempts=1, probing=True)
            )
            await _note(connection, target, check, worker)
            step.detail = f"{check.ssh_user} at {connection.address}"
        async with progress.step("python") as step:
            looking = await stack.enter_async_context(
                look(connection, worker.archive, deadlines=worker.deadlines)
            )
            step.detail = looking.python
        async with progress.step("probe") as step:
            probe = await looking.probe()
            step.detail = _described(probe)
            step.found = {"probe": probe.model_dump(mode="json", exclude={"type"})}


async def _target(check: ConnectionCheck, host_key: str, worker: Worker) -> Target:
    """Pinned to the very key that the first contact read, or to certificates where somebody vouches for the machine."""
    key = await _key(check, worker)
    async with worker.database.transaction(SERVICE) as session:
        known = await host_authorities.every(session, check.user_id)
    authorities = vouching(known, check.ssh_host, check.ssh_port)
    return Target(
        host=check.ssh_host,
        port=check.ssh_port,
        user=check.ssh_user,
        private_key=key.private_key,
        certificate=key.certificate,
        host_key=None if authorities else host_key,
        authorities=authorities,
        policy=worker.policy_for(check.user_id),
    )


async def _key(check: ConnectionCheck, worker: Worker) -> CertifiedKey:
    purpose = f"harborx check {check.id}"
    if check.login == "supplied":
        sealed = Sealed(check.key_id or "", check.wrapped_key or b"", check.ciphertext or b"")
        binding = check_binding(check.user_id, check.id)
        return CertifiedKey(await worker.vault.open(sealed, binding), None)
    if check.login == "certificate":
        return certified_login(worker.user_ca, check.user_id, purpose)
    async with worker.database.transaction(SERVICE) as session:
        stored = await credentials.sealed_shared(session, check.user_id)
    if stored is None:
        raise CredentialUnusable("There is no key of ours for this supplier.")
    return await open_credential(worker.vault, worker.user_ca, stored, purpose)


async def _note(
    connection: Connection, target: Target, check: ConnectionCheck, worker: Worker
) -> None:
    detail = {
        "check": str(check.id),
        "address": connection.address,
        "user": target.user,
        "fingerprint": fingerprint(connection.host_key),
    }
    async with worker.database.transaction(SERVICE) as session:
        await machine_logins.note(session, check.user_id, check.id, None, detail)


def _described(probe: Probe) -> str:
    if not probe.gpu_count:
        return "No NVIDIA GPU was found."
    return f"{probe.gpu_count} x {probe.gpu_name or 'unknown GPU'}"


def check_binding(user_id: UUID, check_id: UUID) -> Binding:
    """What a key that was supplied for a check is sealed for."""
    return Binding("connection_checks", "ciphertext", user_id, check_id)
