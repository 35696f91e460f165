"""
Secrets at rest: envelope encryption with AES-256-GCM.

Each secret has its own data key, wrapped by a key-encryption key that lives outside the database. Both
layers authenticate the row they belong to, so a ciphertext that is copied to another row does not
open. Only the wrapped data key depends on the key-encryption key: another one takes over 32 bytes. Sole importer of
cryptography.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.errors import VaultError
from orchestrator.vault.keys import KEY_BYTES, NONCE_BYTES, KeyProvider, LocalKey, Wrapped
from orchestrator.vault.ring import KeyRing

__all__ = ["Binding", "KeyProvider", "KeyRing", "LocalKey", "Sealed", "Vault", "Wrapped"]

_CHANGED: Final = "The ciphertext was changed or belongs to another row."


@dataclass(frozen=True)
class Binding:
    """The row a secret belongs to."""

    table: str
    column: str
    user_id: UUID
    row_id: UUID

    def associated_data(self, layer: str) -> bytes:
        parts = ("v2", layer, self.table, self.column, self.user_id, self.row_id)
        return "|".join(str(part) for part in parts).encode()


@dataclass(frozen=True)
class Sealed:
    """What the database stores of a secret; `key_id` names the key-encryption key."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


class Vault:
    """
    Seals under the current key of its ring and opens under any of them. A key may be kept elsewhere, so this may
    take a network's time: never within a database transaction.
    """

    def __init__(self, keys: KeyRing | bytes) -> None:
        """`keys` is a ring, or the bytes of the only key."""
        self.ring = KeyRing(LocalKey(keys)) if isinstance(keys, bytes) else keys

    def __repr__(self) -> str:
        return "Vault()"

    async def seal(self, secret: str, binding: Binding) -> Sealed:
        """Raises `VaultError`, `VaultUnavailable`."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        wrapped = await self.ring.current().wrap(data_key, binding.associated_data("key"))
        nonce = os.urandom(NONCE_BYTES)  # random, and each data key encrypts one secret
        ciphertext = AESGCM(data_key).encrypt(
            nonce, secret.encode(), binding.associated_data("data")
        )
        return Sealed(wrapped.key_id, wrapped.data, nonce + ciphertext)

    async def open(self, sealed: Sealed, binding: Binding) -> str:
        """
        The secret. Raises `VaultError` for a key that is not there, another row or an edited ciphertext, and
        `VaultUnavailable`.
        """
        return _opened(await self._data_key(sealed, binding), sealed, binding).decode()

    async def rewrap(self, sealed: Sealed, binding: Binding) -> Sealed:
        """
        The same secret under the current key: the ciphertext stays, and is known to open. Raises as `open` does.
        """
        data_key = await self._data_key(sealed, binding)
        _opened(data_key, sealed, binding)
        wrapped = await self.ring.current().wrap(data_key, binding.associated_data("key"))
        return replace(sealed, key_id=wrapped.key_id, wrapped_key=wrapped.data)

    async def _data_key(self, sealed: Sealed, binding: Binding) -> bytes:
        holder = self.ring.holder_of(sealed.key_id)
        wrapped = Wrapped(sealed.key_id, sealed.wrapped_key)
        return await holder.unwrap(wrapped, binding.associated_data("key"))


def _opened(data_key: bytes, sealed: Sealed, binding: Binding) -> bytes:
    nonce, ciphertext = sealed.ciphertext[:NONCE_BYTES], sealed.ciphertext[NONCE_BYTES:]
    try:
        return AESGCM(data_key).decrypt(nonce, ciphertext, binding.associated_data("data"))
    except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
        raise VaultError(_CHANGED) from error
