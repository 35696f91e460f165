"""Asking for things: onboarding an instance, and a run of it. Used by every surface."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID, uuid4

from orchestrator.database import instances, runs
from orchestrator.database.models import Credential, Instance, Run
from orchestrator.database.session import Database, Principal
from orchestrator.domain import gpu_catalogue
from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.options import Options
from orchestrator.ssh.keys import KeyPair, generate_key_pair, import_private_key
from orchestrator.vault import Binding, Vault

Requester = Literal["api", "schedule", "cli"]


@dataclass(frozen=True)
class Onboarded:
    """`public_key` is what the supplier authorizes on the machine, one line."""

    instance: Instance
    public_key: str
    generated: bool


async def onboard(
    database: Database,
    vault: Vault,
    principal: Principal,
    claims: Mapping[str, Any],
    *,
    private_key: str | None = None,
    passphrase: str | None = None,
) -> Onboarded:
    """
    A new instance, its inventory item and its login, in one transaction.

    Without a private key the instance gets a key pair of its own. Raises `CredentialUnusable` for a
    key that can't be read, and `AlreadyOnboarded`; then nothing was stored.
    """
    pair = await asyncio.to_thread(_key_pair, private_key, passphrase)
    async with database.transaction(principal) as session:
        instance = await instances.onboard(session, dict(claims))
        kind = "supplied" if private_key else "generated"
        await instances.store_credential(session, seal_credential(vault, instance, pair, kind))
    return Onboarded(instance, pair.public_key, generated=not private_key)


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
    chosen = options.model_dump(exclude_defaults=True)
    async with database.transaction(principal) as session:
        if options.device == "cpu":
            instance = await instances.get(session, instance_id)
            if not gpu_catalogue.is_cpu(instance.gpu_name):
                raise InvalidInput("device cpu is for instances onboarded with gpu_name CPU.")
        return await runs.request(session, instance_id, requested_by, chosen)


def _key_pair(private_key: str | None, passphrase: str | None) -> KeyPair:
    # An encrypted key costs a second of CPU to open, so this runs in a thread.
    return import_private_key(private_key, passphrase) if private_key else generate_key_pair()


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
