"""A login on an instance, with what the database holds of it; each is on the supplier's record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from orchestrator import log
from orchestrator.database import claims, host_keys, machine_logins
from orchestrator.database.claims import Login
from orchestrator.database.models import HostAuthority, Instance
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import (
    CredentialUnusable,
    DatabaseError,
    HarborxError,
    HostKeyChanged,
    HostUnreachable,
)
from orchestrator.runs.login_keys import open_credential
from orchestrator.runs.worker import Worker
from orchestrator.ssh.connection import Connection, Target, log_in
from orchestrator.ssh.host_authorities import covers
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import fingerprint

FirstContact = Callable[[str], Awaitable[None]]

logger = log.get(__name__)


@asynccontextmanager
async def logged_in(
    instance: Instance,
    worker: Worker,
    run_id: UUID,
    on_first_contact: FirstContact | None = None,
    *,
    login: Login | None = None,
) -> AsyncIterator[Connection]:
    """
    A login on the instance for the run, after its host key was checked. A machine that was never seen, and that no
    authority of its supplier's vouches for, has its key put on record before any login is tried; `on_first_contact` is
    told that key. `login` is what was on record of it just now. Another key than those that are trusted becomes the instance's key on offer. Other keys that the machine
    proves to have are trusted from the next login on. A login that ended well is there for the next run (`WarmConnections`)
    that would log in with the same.

    Raises what `connect` raises, and `CredentialUnusable` where no login is on record.
    """
    target = await _target(instance, worker, run_id, login)
    if target.host_key is None and not target.authorities:
        host_key = await _pin_host_key(target, instance, worker)
        target = replace(target, host_key=host_key)
        if on_first_contact is not None:
            await on_first_contact(host_key)
    # While another key is on offer each login asks the machine anew which one it has.
    asked = instance.host_key_offered is not None
    kept = None if asked else worker.warm.take(instance.id, target)
    connection = kept or await _log_in(target, instance, worker)
    warm = False
    try:
        await _note(connection, target, instance, run_id, worker, reused=kept is not None)
        try:
            yield connection
        except HarborxError:
            await _remember(connection, target, instance, worker)
            raise
        trusting = await _remember(connection, target, instance, worker)
        warm = worker.warm.keep(instance.id, trusting, connection)
    finally:
        if not warm:
            await connection.close(worker.deadlines.close)


def vouching(authorities: Sequence[HostAuthority], host: str, port: int) -> tuple[str, ...]:
    """The keys of those whose certificates count there."""
    return tuple(each.public_key for each in authorities if covers(each.hosts, host, port))


async def _target(instance: Instance, worker: Worker, run_id: UUID, login: Login | None) -> Target:
    if login is None:
        async with worker.database.transaction(SERVICE) as session:
            login = await claims.login(session, instance)
    stored = login.credential
    if stored is None:
        raise CredentialUnusable("The instance has no login on record.")
    key = await open_credential(worker.vault, worker.user_ca, stored, f"harborx run {run_id}")
    # One that is held to a fingerprint is that machine, whoever vouches for others.
    strict = instance.host_key_given is not None
    authorities = (
        () if strict else vouching(login.authorities, instance.ssh_host, instance.ssh_port)
    )
    # A key that a certificate vouched for is not pinned: the next certificate may name another.
    pinned = instance.host_key_trust != "authority" or not authorities
    return Target(
        host=instance.ssh_host,
        port=instance.ssh_port,
        user=instance.ssh_user,
        private_key=key.private_key,
        certificate=key.certificate,
        host_key=instance.host_key if pinned else None,
        policy=worker.policy_for(instance.user_id),
        proved=tuple(instance.host_keys_proved or ()) if pinned else (),
        authorities=authorities,
    )


async def _log_in(target: Target, instance: Instance, worker: Worker) -> Connection:
    try:
        return await log_in(
            target,
            deadlines=worker.deadlines,
            attempts=worker.settings.ssh.connect_attempts,
        )
    except HostKeyChanged as changed:
        await _offer(changed, instance, target.host_key, worker)
        raise


async def _pin_host_key(target: Target, instance: Instance, worker: Worker) -> str:
    try:
        presented = await first_contact(
            target.endpoint,
            expected=instance.host_key_given,
            deadlines=worker.deadlines,
            attempts=worker.settings.ssh.connect_attempts,
        )
    except HostKeyChanged as changed:
        await _offer(changed, instance, None, worker)
        raise
    async with worker.database.transaction(SERVICE) as session:
        pinned = await host_keys.pin(session, instance, presented)
    if pinned is None:
        raise HostUnreachable("The instance was moved meanwhile, or is held to another host key.")
    return pinned


async def _offer(
    changed: HostKeyChanged, instance: Instance, pinned: str | None, worker: Worker
) -> None:
    if changed.presented is None:
        return
    async with worker.database.transaction(SERVICE) as session:
        await host_keys.offer(session, instance, pinned, changed.presented)


async def _note(
    connection: Connection,
    target: Target,
    instance: Instance,
    run_id: UUID,
    worker: Worker,
    *,
    reused: bool,
) -> None:
    detail: dict[str, Any] = {
        "run_id": str(run_id),
        "address": connection.address,
        "user": instance.ssh_user,
        "fingerprint": fingerprint(connection.host_key),
    }
    if connection.authority is not None:
        detail["authority"] = connection.authority
    if reused:
        detail["reused"] = True
    async with worker.database.transaction(SERVICE) as session:
        await machine_logins.note(session, instance.user_id, instance.id, instance.id, detail)
        if connection.authority is not None:
            await host_keys.certify(session, instance, connection.host_key)
        elif instance.host_key_offered is not None:
            await host_keys.withdraw(session, instance, target.host_key)


async def _remember(
    connection: Connection, target: Target, instance: Instance, worker: Worker
) -> Target:
    """
    What the next login trusts, if nothing else comes between: what this one does, and what the machine has proved. What is
    lost here, the machine announces again at the next login.
    """
    if connection.announced is None or target.host_key is None:
        return target
    before = (target.host_key, *target.proved)
    after = connection.announced.trusted_after(before, connection.host_key)
    if after == before:
        return target
    try:
        async with worker.database.transaction(SERVICE) as session:
            await host_keys.rotate(session, instance, before, after)
    except DatabaseError as away:
        logger.warning("login.host_keys_not_kept", reason=away.detail)
        return target
    if connection.host_key not in after:
        return target
    return replace(target, host_key=after[0], proved=after[1:])
