"""A login on an instance, with what the database holds of it; each is on the supplier's record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from uuid import UUID

from orchestrator.database import credentials, instances, machine_logins
from orchestrator.database.models import Instance
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import CredentialUnusable, HostKeyChanged
from orchestrator.runs.login_keys import open_credential
from orchestrator.runs.worker import Worker
from orchestrator.ssh.connection import Connection, Target, connect
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import fingerprint

FirstContact = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def logged_in(
    instance: Instance,
    worker: Worker,
    run_id: UUID,
    on_first_contact: FirstContact | None = None,
) -> AsyncIterator[Connection]:
    """
    A login on the instance for the run, after its host key was checked. A machine that was never seen has its key
    put on record before any login is tried; `on_first_contact` is told that key. Another key than the one on
    record becomes the instance's key on offer.

    Raises what `connect` raises, and `CredentialUnusable` where no login is on record.
    """
    target = await _target(instance, worker, run_id)
    host_key = target.host_key
    if host_key is None:
        host_key = await _pin_host_key(target, instance, worker)
        if on_first_contact is not None:
            await on_first_contact(host_key)
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(
                connect(
                    replace(target, host_key=host_key),
                    deadlines=worker.deadlines,
                    attempts=worker.settings.ssh.connect_attempts,
                )
            )
        except HostKeyChanged as changed:
            await _offer(changed, instance, host_key, worker)
            raise
        await _note(connection, instance, host_key, run_id, worker)
        yield connection


async def _target(instance: Instance, worker: Worker, run_id: UUID) -> Target:
    async with worker.database.transaction(SERVICE) as session:
        stored = await credentials.sealed(session, instance)
    if stored is None:
        raise CredentialUnusable("The instance has no login on record.")
    key = open_credential(worker.vault, worker.user_ca, stored, f"harborx run {run_id}")
    return Target(
        host=instance.ssh_host,
        port=instance.ssh_port,
        user=instance.ssh_user,
        private_key=key.private_key,
        certificate=key.certificate,
        host_key=instance.host_key,
        policy=worker.policy,
    )


async def _pin_host_key(target: Target, instance: Instance, worker: Worker) -> str:
    presented = await first_contact(
        target.endpoint, deadlines=worker.deadlines, attempts=worker.settings.ssh.connect_attempts
    )
    async with worker.database.transaction(SERVICE) as session:
        return await instances.pin_host_key(session, instance.id, presented)


async def _offer(changed: HostKeyChanged, instance: Instance, pinned: str, worker: Worker) -> None:
    if changed.presented is None:
        return
    async with worker.database.transaction(SERVICE) as session:
        await instances.offer_host_key(session, instance.id, pinned, changed.presented)


async def _note(
    connection: Connection, instance: Instance, host_key: str, run_id: UUID, worker: Worker
) -> None:
    detail = {
        "run_id": str(run_id),
        "address": connection.address,
        "user": instance.ssh_user,
        "fingerprint": fingerprint(host_key),
    }
    async with worker.database.transaction(SERVICE) as session:
        await machine_logins.note(session, instance.user_id, instance.id, instance.id, detail)
        if instance.host_key_offered is not None:
            await instances.withdraw_host_key(session, instance.id, host_key)
