"""
What we log in with: a key given by the supplier, one made for the instance, ours for all of a supplier's, or a
certificate that our user CA signs for each login.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from orchestrator.database import credentials
from orchestrator.database.credentials import PublicHalf
from orchestrator.database.models import Credential, Instance
from orchestrator.database.session import Database, Principal, Session
from orchestrator.domain.errors import CredentialUnusable, InvalidInput
from orchestrator.ssh.keys import KeyPair, generate_key_pair, import_private_key
from orchestrator.ssh.user_ca import CertifiedKey, TrustedCa, UserCa
from orchestrator.vault import Binding, Sealed, Vault


@dataclass(frozen=True)
class LoginGiven:
    """
    How we are to log in: with a private key that the supplier gives, with our key for all of its instances
    (`shared`), with certificates of our user CA (`certified_by`), or, without any of these, with a key pair that is
    made for the instance.
    """

    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    shared: bool = False
    certified_by: TrustedCa | None = None

    def __post_init__(self) -> None:
        if self.private_key and (self.shared or self.certified_by):
            raise InvalidInput("This login takes no private key: the key is ours.", field="ssh_key")

    @property
    def ours(self) -> bool:
        """Whether the supplier has to authorize something of ours on the machine."""
        return not self.private_key

    async def pair(self) -> KeyPair:
        """The pair behind the private key, or a new one. Raises `CredentialUnusable`."""
        if not self.private_key:
            return generate_key_pair()
        # An encrypted key costs a second of CPU to open, so this runs in a thread.
        return await asyncio.to_thread(import_private_key, self.private_key, self.passphrase)

    def digest(self) -> str | None:
        """
        Stands for the login in a request's fingerprint. A passphrase is hashed with its key only: alone it could
        be guessed from the digest.
        """
        if self.certified_by:
            return "certificate"
        if not self.private_key:
            return "shared" if self.shared else None
        told = json.dumps([self.private_key, self.passphrase])
        return hashlib.sha256(told.encode()).hexdigest()


async def sealed_login(vault: Vault, principal: Principal, login: LoginGiven) -> Credential | None:
    """
    The login of an instance to come, sealed before any transaction; None where nothing has to be kept. Raises
    `CredentialUnusable`, `VaultError`.
    """
    if login.certified_by or principal.user_id is None:  # without a supplier nothing is onboarded
        return None
    pair = await login.pair()
    kind = "supplied" if login.private_key else "generated"
    return await _credential(vault, principal.user_id, pair, kind)


async def store_login(
    session: Session, instance: Instance, sealed: Credential | None, login: LoginGiven
) -> str:
    """Put the login of a new instance on record; the line that its machine has to know."""
    if login.certified_by:
        line = login.certified_by.authorized_line(instance.user_id)
        await credentials.store(session, _certified(instance, line, login.certified_by))
        return line
    if sealed is None:
        raise AssertionError("an instance has a supplier, and its login was sealed")
    if login.shared:
        known = await credentials.shared(session)
        return (known or await credentials.store_shared(session, sealed)).public_key
    sealed.instance_id = instance.id
    await credentials.store(session, sealed)
    return sealed.public_key


async def shared_key(database: Database, vault: Vault, principal: Principal) -> PublicHalf:
    """Our key for all of this supplier's instances, made the first time; safe to repeat."""
    if principal.user_id is None:
        raise InvalidInput("A shared key belongs to a supplier; the service role is none.")
    async with database.transaction(principal) as session:
        known = await credentials.shared(session)
    if known is not None:
        return known
    sealed = await _credential(vault, principal.user_id, generate_key_pair(), "generated")
    async with database.transaction(principal) as session:
        return await credentials.store_shared(session, sealed)


async def open_credential(
    vault: Vault, user_ca: UserCa | None, stored: Credential, purpose: str
) -> CertifiedKey:
    """
    What a login is made with; `purpose` is told to the machine where our user CA signs it. Raises `VaultError`, and
    `CredentialUnusable` where this process has no user CA.
    """
    if stored.kind == "certificate":
        return certified_login(user_ca, stored.user_id, purpose)
    sealed = Sealed(stored.key_id or "", stored.wrapped_key or b"", stored.ciphertext or b"")
    binding = credential_binding(stored.user_id, stored.id)
    return CertifiedKey(await vault.open(sealed, binding), None)


def certified_login(user_ca: UserCa | None, user_id: UUID, purpose: str) -> CertifiedKey:
    """A key pair of one login. Raises `CredentialUnusable` where this process has no user CA."""
    if user_ca is None:
        raise CredentialUnusable("This worker has no user CA to sign with.")
    return user_ca.certify(user_id, purpose, datetime.now(UTC))


def credential_binding(user_id: UUID, credential_id: UUID) -> Binding:
    """What a login on record is sealed for."""
    return Binding("gpu_credentials", "ciphertext", user_id, credential_id)


def _certified(instance: Instance, line: str, user_ca: TrustedCa) -> Credential:
    return Credential(
        id=uuid4(),
        user_id=instance.user_id,
        instance_id=instance.id,
        kind="certificate",
        public_key=line,
        fingerprint=user_ca.fingerprint,
        wrapped_key=None,
        ciphertext=None,
    )


async def _credential(vault: Vault, user_id: UUID, pair: KeyPair, kind: str) -> Credential:
    """A row of its own, with the private half sealed and bound to it; of no instance yet."""
    row_id = uuid4()
    sealed = await vault.seal(pair.private_key, credential_binding(user_id, row_id))
    return Credential(
        id=row_id,
        user_id=user_id,
        instance_id=None,
        kind=kind,
        public_key=pair.public_key,
        fingerprint=pair.fingerprint,
        key_id=sealed.key_id,
        wrapped_key=sealed.wrapped_key,
        ciphertext=sealed.ciphertext,
    )
