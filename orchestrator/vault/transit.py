"""
A key that never leaves HashiCorp Vault (or OpenBao): its transit engine wraps data keys for us.

The engine's key must be of an authenticated kind (aes256-gcm96, the default, or chacha20-poly1305). A token that may
`update` `<mount>/encrypt/<name>` and `<mount>/decrypt/<name>` is enough; it is read from its file for every call, so
that an agent of Vault's may renew it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from orchestrator.domain.errors import VaultError, VaultUnavailable
from orchestrator.vault.keys import Wrapped

_LARGEST: Final = 64 * 1024
_TIMEOUT: Final = 3.0  # seconds of silence
_DEADLINE: Final = 5.0
_PAUSES: Final = (0.1, 0.5)  # seconds before each further try
_CIPHERTEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=]+")


class _Refused(Exception):
    """Vault answered with this status, which is not 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class TransitKey:
    """The key `name` of the transit engine at `address`; an id names its version: `transit:<mount>/<name>:v3`."""

    address: str
    name: str
    token_file: Path
    mount: str = "transit"

    def __str__(self) -> str:
        return f"{self.address} (transit key {self.mount}/{self.name})"

    def holds(self, key_id: str) -> bool:
        return key_id.startswith(self._prefix)

    async def wrap(self, data_key: bytes, associated_data: bytes) -> Wrapped:
        body = {"plaintext": _text(data_key), "associated_data": _text(associated_data)}
        try:
            answered = (await self._post("encrypt", body)).get("ciphertext")
        except _Refused as refused:
            raise self._unwilling(refused) from None
        found = _CIPHERTEXT.fullmatch(answered) if isinstance(answered, str) else None
        if found is None:
            raise VaultError(f"{self} answers with no ciphertext.")
        return Wrapped(f"{self._prefix}{found[1]}", found[0].encode())

    async def unwrap(self, wrapped: Wrapped, associated_data: bytes) -> bytes:
        body = {
            "ciphertext": wrapped.data.decode("ascii", "replace"),
            "associated_data": _text(associated_data),
        }
        try:
            answered = (await self._post("decrypt", body)).get("plaintext")
            if not isinstance(answered, str):
                raise VaultError(f"{self} answers with no plaintext.")
            return base64.b64decode(answered, validate=True)
        except _Refused as refused:
            if refused.status == 400:
                raise VaultError("The wrapped key was changed or belongs to another row.") from None
            raise self._unwilling(refused) from None
        except binascii.Error:
            raise VaultError(f"{self} answers with no plaintext.") from None

    @property
    def _prefix(self) -> str:
        return f"transit:{self.mount}/{self.name}:v"

    def _unwilling(self, refused: _Refused) -> VaultError:
        if refused.status == 403:
            return VaultError(f"{self} refuses the token in {self.token_file}.")
        return VaultError(f"{self} answers with status {refused.status}.")

    async def _post(self, operation: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        """Raises `_Refused`, and `VaultUnavailable` after the last try. Both operations may be repeated."""
        for pause in (*_PAUSES, None):
            try:
                async with asyncio.timeout(_DEADLINE):
                    return await asyncio.to_thread(self._asked, operation, body)
            except _Refused as refused:
                if refused.status < 500 and refused.status != 429:
                    raise
                reason = f"status {refused.status}"
            except (OSError, http.client.HTTPException, TimeoutError) as error:
                reason = type(error).__name__
            if pause is not None:
                await asyncio.sleep(pause)
        raise VaultUnavailable(f"{self}: {reason}.")

    def _asked(self, operation: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        path = f"/v1/{quote(self.mount)}/{operation}/{quote(self.name, safe='')}"
        headers = {"X-Vault-Token": self._token(), "Content-Type": "application/json"}
        connection = self._connection()
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            told = answer.read(_LARGEST)
        finally:
            connection.close()
        if answer.status != 200:
            raise _Refused(answer.status)
        try:
            data = json.loads(told)["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise VaultError(f"{self} answers with something else than Vault does.") from None
        if not isinstance(data, dict):
            raise VaultError(f"{self} answers with something else than Vault does.")
        return data

    def _connection(self) -> http.client.HTTPConnection:
        address = urlsplit(self.address)
        host, port = address.hostname or "", address.port
        if address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)

    def _token(self) -> str:
        try:
            token = self.token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(f"Vault's token {self.token_file} can't be read.") from error
        if not token or not token.isprintable():
            raise VaultError(f"Vault's token {self.token_file} holds none.")
        return token


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
