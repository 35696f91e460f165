"""A login on an instance, with what the database holds of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from orchestrator.database import instances
from orchestrator.database.models import Instance
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import CredentialUnusable
from orchestrator.runs.request import credential_binding
from orchestrator.runs.worker import Worker
from orchestrator.ssh.connection import Connection, Target, connect
from orchestrator.ssh.host_keys import first_contact
from orchestrator.vault import Sealed

FirstContact = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def logged_in(
    instance: Instance, worker: Worker, on_first_contact: FirstContact | None = None
) -> AsyncIterator[Connection]:
    """
    A login on the instance, after its host key was checked. A machine that was never seen has its key put on
    record before any login is tried; `on_first_contact` is told that key.

    Raises what `connect` raises, and `CredentialUnusable` where no login is on record.
    """
    target = await _target(instance, worker)
    if target.host_key is None:
        host_key = await _pin_host_key(target, instance, worker)
        if on_first_contact is not None:
            await on_first_contact(host_key)
        target = replace(target, host_key=host_key)
    attempts = worker.settings.ssh.connect_attempts
    async with connect(target, deadlines=worker.deadlines, attempts=attempts) as connection:
        yield connection


async def _target(instance: Instance, worker: Worker) -> Target:
    async with worker.database.transaction(SERVICE) as session:
        stored = await instances.credential(session, instance.id)
    if stored is None:
        raise CredentialUnusable("The instance has no login on record.")
    private_key = worker.vault.open(
        Sealed(stored.key_id, stored.wrapped_key, stored.ciphertext),
        credential_binding(stored.user_id, stored.id),
    )
    return Target(
        host=instance.ssh_host,
        port=instance.ssh_port,
        user=instance.ssh_user,
        private_key=private_key,
        host_key=instance.host_key,
        policy=worker.policy,
    )


async def _pin_host_key(target: Target, instance: Instance, worker: Worker) -> str:
    presented = await first_contact(
        target.endpoint, deadlines=worker.deadlines, attempts=worker.settings.ssh.connect_attempts
    )
    async with worker.database.transaction(SERVICE) as session:
        return await instances.pin_host_key(session, instance.id, presented)
