"""
Secrets at rest: envelope encryption with AES-256-GCM.

Each secret has its own data key, wrapped by a key-encryption key that lives outside the database. Both
layers authenticate the row they belong to, so a ciphertext that is copied to another row does not
open. Sole importer of cryptography.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.errors import VaultError

_NONCE: Final = 12  # bytes; random, and each data key encrypts one secret
_KEY: Final = 32


@dataclass(frozen=True)
class Binding:
    """The row a secret belongs to."""

    table: str
    column: str
    user_id: UUID
    row_id: UUID

    def associated_data(self, layer: str, key_id: str) -> bytes:
        parts = ("v1", layer, self.table, self.column, self.user_id, self.row_id, key_id)
        return "|".join(str(part) for part in parts).encode()


@dataclass(frozen=True)
class Sealed:
    """What the database stores of a secret."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


@dataclass(frozen=True)
class Vault:
    """Seals and opens under one key-encryption key; `key_id` names it without telling it."""

    _key: bytes = field(repr=False)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The vault under the key in `path`. Raises `VaultError` for a missing or open file."""
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(f"The key file {path} can't be read.") from error
        if mode & 0o077:
            raise VaultError(f"The key file {path} can be read by others; chmod 600 it.")
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise VaultError(f"The key file {path} does not hold base64.") from error
        if len(key) != _KEY:
            raise VaultError(f"The key file {path} does not hold 32 bytes.")
        return cls(key)

    @property
    def key_id(self) -> str:
        return hashlib.sha256(b"harborx key id" + self._key).hexdigest()[:16]

    def seal(self, secret: str, binding: Binding) -> Sealed:
        data_key = AESGCM.generate_key(_KEY * 8)
        wrapped = _encrypt(self._key, data_key, binding.associated_data("key", self.key_id))
        ciphertext = _encrypt(
            data_key, secret.encode(), binding.associated_data("data", self.key_id)
        )
        return Sealed(self.key_id, wrapped, ciphertext)

    def open(self, sealed: Sealed, binding: Binding) -> str:
        """The secret. Raises `VaultError` for another key, another row or an edited ciphertext."""
        if sealed.key_id != self.key_id:
            raise VaultError(f"It was sealed with key {sealed.key_id}, this is key {self.key_id}.")
        try:
            data_key = _decrypt(
                self._key, sealed.wrapped_key, binding.associated_data("key", self.key_id)
            )
            secret = _decrypt(
                data_key, sealed.ciphertext, binding.associated_data("data", self.key_id)
            )
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
            raise VaultError("The ciphertext was changed or belongs to another row.") from error
        return secret.decode()


def _encrypt(key: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated_data)


def _decrypt(key: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], associated_data)
