"""A server that speaks the transit API of HashiCorp Vault, with real AES-256-GCM and versions of one key."""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = transit.answer(self.path, self.headers.get("X-Vault-Token"), body)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    transit.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield transit
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
