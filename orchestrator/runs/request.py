"""
Asking for things: onboarding an instance, and a run of it. Used by every surface.

With an Idempotency-Key the work and the key are one transaction: work that was refused leaves the key free, and
whoever sends the key again is told what became of the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from orchestrator.database import credentials, host_keys, idempotency, instances, runs
from orchestrator.database.contacts import NEW_MACHINES_PER_HOUR
from orchestrator.database.models import Instance, Run
from orchestrator.database.session import Database, Principal, Session
from orchestrator.domain import gpu_catalogue
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.options import Options
from orchestrator.runs.login_keys import LoginGiven, sealed_login, store_login
from orchestrator.vault import Vault

Requester = Literal["api", "schedule", "cli"]


@dataclass(frozen=True)
class Onboarded:
    """
    `public_key` is what has to be authorized on the machine, one line; where it is `ours`, the supplier still has
    to. `replayed`: an earlier request with the same key did it.
    """

    instance: Instance
    public_key: str
    ours: bool
    replayed: bool = False


@dataclass(frozen=True)
class Requested:
    """`replayed`: it is the run of an earlier request with the same key, as it is now."""

    run: Run
    replayed: bool = False


async def onboard(
    database: Database,
    vault: Vault,
    principal: Principal,
    claims: Mapping[str, Any],
    login: LoginGiven = LoginGiven(),
    *,
    check_id: UUID | None = None,
    key: str | None = None,
) -> Onboarded:
    """
    A new instance, its inventory item and its login, in one transaction; `key` is an Idempotency-Key. With
    `check_id` it is pinned to the host key that this connection check saw, unless `claims` give another one's fingerprint.

    Raises `CredentialUnusable` for a key that can't be read, `AlreadyOnboarded`, `NotFound` for the check, and
    `KeyReused`; then nothing was stored.
    """
    sealed = await sealed_login(vault, principal, login)
    asked = {**claims, "login": login.digest()}
    if check_id is not None:
        asked["connection_check_id"] = str(check_id)
    async with database.transaction(principal) as session:
        told = await _told_before(session, principal, key, "onboard", asked)
        if told is not None:
            instance = await instances.get(session, UUID(told["instance_id"]))
            known = await credentials.public_half(session, instance)
            public_key = known.public_key if known else ""
            return Onboarded(instance, public_key, login.ours, replayed=True)
        instance = await instances.onboard(session, dict(claims))
        public_key = await store_login(session, instance, sealed, login)
        if check_id is not None:
            instance = await host_keys.pin_checked(session, instance.id, check_id)
        if key is not None:
            await idempotency.answer(session, key, {"instance_id": str(instance.id)})
    return Onboarded(instance, public_key, login.ours)


async def request_run(
    database: Database,
    principal: Principal,
    instance_id: UUID,
    options: Options,
    requested_by: Requester,
    *,
    new_machines_per_hour: int = NEW_MACHINES_PER_HOUR,
) -> Run:
    """
    A queued run with its job, committed. Raises `NotFound`, `RunInProgress`, `TooManyContacts`, and `InvalidInput`
    for the CPU of an instance that was onboarded with a GPU: such a run could only fail.
    """
    requested = await request_run_once(
        database,
        principal,
        instance_id,
        options,
        requested_by,
        None,
        new_machines_per_hour=new_machines_per_hour,
    )
    return requested.run


async def request_run_once(
    database: Database,
    principal: Principal,
    instance_id: UUID,
    options: Options,
    requested_by: Requester,
    key: str | None,
    *,
    new_machines_per_hour: int = NEW_MACHINES_PER_HOUR,
) -> Requested:
    """`request_run` under an Idempotency-Key. Raises `KeyReused` too."""
    chosen = options.model_dump(exclude_defaults=True)
    asked = {"instance_id": str(instance_id), "options": chosen}
    async with database.transaction(principal) as session:
        told = await _told_before(session, principal, key, "request_run", asked)
        if told is not None:
            return Requested(await runs.get(session, UUID(told["run_id"])), replayed=True)
        if options.device == "cpu":
            instance = await instances.get(session, instance_id)
            if not gpu_catalogue.is_cpu(instance.gpu_name):
                raise InvalidInput(
                    "device cpu is for instances onboarded with gpu_name CPU.", field="device"
                )
        run = await runs.request(
            session,
            instance_id,
            requested_by,
            chosen,
            new_machines_per_hour=new_machines_per_hour,
        )
        if key is not None:
            await idempotency.answer(session, key, {"run_id": str(run.id)})
    return Requested(run)


async def _told_before(
    session: Session, principal: Principal, key: str | None, operation: str, asked: dict[str, Any]
) -> dict[str, Any] | None:
    """What this key's work came to; None where it is to be done now. Raises `KeyReused`."""
    if key is None:
        return None
    if principal.user_id is None:
        raise InvalidInput("An Idempotency-Key belongs to a supplier; the service role is none.")
    return await idempotency.take(session, key, operation, asked)
