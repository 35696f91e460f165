"""
Asking for things: onboarding an instance, and a run of it. Used by every surface.

With an Idempotency-Key the work and the key are one transaction: work that was refused leaves the key free, and
whoever sends the key again is told what became of the first request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

from orchestrator.database import idempotency, instances, runs
from orchestrator.database.models import Credential, Instance, Run
from orchestrator.database.session import Database, Principal, Session
from orchestrator.domain import gpu_catalogue
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.options import Options
from orchestrator.ssh.keys import KeyPair, generate_key_pair, import_private_key
from orchestrator.vault import Binding, Vault

Requester = Literal["api", "schedule", "cli"]


@dataclass(frozen=True)
class Onboarded:
    """
    `public_key` is what the supplier authorizes on the machine, one line. `replayed`: an earlier request with
    the same key did it.
    """

    instance: Instance
    public_key: str
    generated: bool
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
    *,
    private_key: str | None = None,
    passphrase: str | None = None,
    key: str | None = None,
) -> Onboarded:
    """
    A new instance, its inventory item and its login, in one transaction; `key` is an Idempotency-Key.

    Without a private key the instance gets a key pair of its own. Raises `CredentialUnusable` for a
    key that can't be read, `AlreadyOnboarded`, and `KeyReused`; then nothing was stored.
    """
    pair = await asyncio.to_thread(_key_pair, private_key, passphrase)
    generated = not private_key
    asked = {**claims, "login": _digest(private_key, passphrase)}
    async with database.transaction(principal) as session:
        told = await _told_before(session, principal, key, "onboard", asked)
        if told is not None:
            instance = await instances.get(session, UUID(told["instance_id"]))
            public_key = await instances.public_key(session, instance.id) or ""
            return Onboarded(instance, public_key, generated, replayed=True)
        instance = await instances.onboard(session, dict(claims))
        kind = "generated" if generated else "supplied"
        await instances.store_credential(session, seal_credential(vault, instance, pair, kind))
        if key is not None:
            await idempotency.answer(session, key, {"instance_id": str(instance.id)})
    return Onboarded(instance, pair.public_key, generated)


async def request_run(
    database: Database,
    principal: Principal,
    instance_id: UUID,
    options: Options,
    requested_by: Requester,
) -> Run:
    """
    A queued run with its job, committed. Raises `NotFound`, `RunInProgress`, and `InvalidInput` for the CPU of
    an instance that was onboarded with a GPU: such a run could only fail.
    """
    requested = await request_run_once(
        database, principal, instance_id, options, requested_by, None
    )
    return requested.run


async def request_run_once(
    database: Database,
    principal: Principal,
    instance_id: UUID,
    options: Options,
    requested_by: Requester,
    key: str | None,
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
                raise InvalidInput("device cpu is for instances onboarded with gpu_name CPU.")
        run = await runs.request(session, instance_id, requested_by, chosen)
        if key is not None:
            await idempotency.answer(session, key, {"run_id": str(run.id)})
    return Requested(run)


def _key_pair(private_key: str | None, passphrase: str | None) -> KeyPair:
    # An encrypted key costs a second of CPU to open, so this runs in a thread.
    return import_private_key(private_key, passphrase) if private_key else generate_key_pair()


def _digest(private_key: str | None, passphrase: str | None) -> str | None:
    """
    Stands for the login in a request's fingerprint. A passphrase is hashed with its key only: alone it could
    be guessed from the digest.
    """
    if not private_key:
        return None
    return hashlib.sha256(json.dumps([private_key, passphrase]).encode()).hexdigest()


async def _told_before(
    session: Session, principal: Principal, key: str | None, operation: str, asked: dict[str, Any]
) -> dict[str, Any] | None:
    """What this key's work came to; None where it is to be done now. Raises `KeyReused`."""
    if key is None:
        return None
    if principal.user_id is None:
        raise InvalidInput("An Idempotency-Key belongs to a supplier; the service role is none.")
    return await idempotency.take(session, key, operation, asked)


def seal_credential(vault: Vault, instance: Instance, pair: KeyPair, kind: str) -> Credential:
    """The row for a login of `instance`: the private half sealed and bound to this very row."""
    row_id = uuid4()
    sealed = vault.seal(pair.private_key, credential_binding(instance.user_id, row_id))
    return Credential(
        id=row_id,
        user_id=instance.user_id,
        instance_id=instance.id,
        kind=kind,
        public_key=pair.public_key,
        fingerprint=pair.fingerprint,
        key_id=sealed.key_id,
        wrapped_key=sealed.wrapped_key,
        ciphertext=sealed.ciphertext,
    )


def credential_binding(user_id: UUID, credential_id: UUID) -> Binding:
    return Binding("gpu_credentials", "ciphertext", user_id, credential_id)
