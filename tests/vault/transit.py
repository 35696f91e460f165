"""A server that speaks the transit API of HashiCorp Vault, with real AES-256-GCM and versions of one key."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.local_http import Asked, serving


@dataclass
class Transit:
    """`statuses` are answered first, one a request; `asked` are the paths that were asked for."""

    token: str
    url: str = ""
    keys: list[bytes] = field(default_factory=lambda: [AESGCM.generate_key(256)])
    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def rotate(self) -> None:
        self.keys.append(AESGCM.generate_key(256))

    def answer(self, path: str, token: str | None, body: dict[str, str]) -> tuple[int, Any]:
        self.asked.append(path)
        if self.statuses:
            return self.statuses.pop(0), {"errors": ["as the test has it"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        associated_data = base64.b64decode(body["associated_data"])
        if path == "/v1/transit/encrypt/harborx":
            nonce = os.urandom(12)
            plaintext = base64.b64decode(body["plaintext"])
            sealed = nonce + AESGCM(self.keys[-1]).encrypt(nonce, plaintext, associated_data)
            version = len(self.keys)
            told = f"vault:v{version}:{base64.b64encode(sealed).decode()}"
            return 200, {"data": {"ciphertext": told, "key_version": version}}
        if path == "/v1/transit/decrypt/harborx":
            try:
                _, version_told, text = body["ciphertext"].split(":")
                sealed = base64.b64decode(text)
                key = AESGCM(self.keys[int(version_told[1:]) - 1])
                plain = key.decrypt(sealed[:12], sealed[12:], associated_data)
            except (ValueError, IndexError, InvalidTag, binascii.Error):
                return 400, {"errors": ["cipher: message authentication failed"]}
            return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        return 404, {"errors": []}


@contextmanager
def transit_server(token: str) -> Iterator[Transit]:
    transit = Transit(token)

    def answer(asked: Asked) -> tuple[int, bytes]:
        token = asked.headers.get("X-Vault-Token")
        status, told = transit.answer(asked.path, token, json.loads(asked.body))
        return status, json.dumps(told).encode()

    with serving(answer) as transit.url:
        yield transit
