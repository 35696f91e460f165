"""
Key-encryption keys: what wraps the data key of a secret, and where it lives.

A provider of a cloud's KMS is one more class with these three methods: `wrap` is its Encrypt with the associated data
as encryption context, `unwrap` its Decrypt, and the key id says which of its keys it was.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.domain.errors import VaultError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Wrapped(NamedTuple):
    """A data key under the key-encryption key `key_id`, which names that key without telling it."""

    key_id: str
    data: bytes


class KeyProvider(Protocol):
    """Holds one key, or the versions of one."""

    def holds(self, key_id: str) -> bool: ...

    async def wrap(self, data_key: bytes, associated_data: bytes) -> Wrapped:
        """Under the newest version. Raises `VaultError`, `VaultUnavailable`."""
        ...

    async def unwrap(self, wrapped: Wrapped, associated_data: bytes) -> bytes:
        """Raises `VaultError` for what it did not wrap with this associated data, `VaultUnavailable`."""
        ...


@dataclass(frozen=True)
class LocalKey:
    """32 bytes in this process."""

    _key: bytes = field(repr=False)

    @classmethod
    def from_text(cls, text: str, source: str) -> Self:
        """The key that is written as base64 in `source`. Raises `VaultError`, which tells nothing of the text."""
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise VaultError(f"{source} does not hold base64.") from None
        if len(key) != KEY_BYTES:
            raise VaultError(f"{source} does not hold {KEY_BYTES} bytes.")
        return cls(key)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Raises `VaultError` for a file that is missing, or open to others."""
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(f"The key file {path} can't be read.") from error
        if mode & 0o077:
            raise VaultError(f"The key file {path} can be read by others; chmod 600 it.")
        return cls.from_text(text, f"The key file {path}")

    @property
    def key_id(self) -> str:
        return hashlib.sha256(b"harborx key id" + self._key).hexdigest()[:16]

    def holds(self, key_id: str) -> bool:
        return key_id == self.key_id

    async def wrap(self, data_key: bytes, associated_data: bytes) -> Wrapped:
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self._key).encrypt(nonce, data_key, associated_data)
        return Wrapped(self.key_id, nonce + sealed)

    async def unwrap(self, wrapped: Wrapped, associated_data: bytes) -> bytes:
        nonce, sealed = wrapped.data[:NONCE_BYTES], wrapped.data[NONCE_BYTES:]
        try:
            return AESGCM(self._key).decrypt(nonce, sealed, associated_data)
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
            raise VaultError("The wrapped key was changed or belongs to another row.") from error
