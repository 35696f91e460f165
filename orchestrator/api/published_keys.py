"""
The keys that an issuer publishes (a JWKS), read over https without redirects, bounded in size and time.

Anybody can name an unknown key, so the issuer is asked at most once in `PAUSE` seconds, whatever it answers. A
symmetric key among them is no secret any more and is dropped.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import time
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import jwt

from orchestrator import log
from orchestrator.domain.errors import ConfigError

logger = log.get(__name__)

# Which kind of key signs by which algorithm; a key of another kind, or for another algorithm, is none of ours.
_KINDS: Final = {"ES256": "EC", "RS256": "RSA", "EdDSA": "OKP"}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LARGEST: Final = 256 * 1024
_MOST_KEYS: Final = 100
_CHUNK: Final = 16 * 1024
_TIMEOUT: Final = 5.0  # seconds of silence
_DEADLINE: Final = 10.0


class PublishedKeys:
    """Of one issuer, kept for `FRESH` seconds and asked for again after that; `OLDEST` if it does not answer."""

    FRESH: Final = 600.0
    PAUSE: Final = 30.0
    OLDEST: Final = 24 * 3600.0

    def __init__(self, issuer: str, url: str | None) -> None:
        """`url` None: where the issuer's discovery document says. Raises `ConfigError`."""
        self.clock = time.monotonic
        self._issuer = issuer
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        try:
            _address(url or issuer)
        except ValueError as error:
            raise ConfigError(f"auth.issuer, its keys: {error}.") from error

    async def key(self, name: str) -> jwt.PyJWK:
        """Raises `InvalidKeyError` for one that is not published, as far as we know."""
        known = self._current(name)
        if known is None or (self._age() > self.FRESH and not self._asking.locked()):
            async with self._asking:
                if self.clock() - self._asked_at >= self.PAUSE:
                    await self._read()
            known = self._current(name)
        if known is None:
            raise jwt.InvalidKeyError("the issuer publishes no such key")
        return known

    def _age(self) -> float:
        return self.clock() - self._read_at

    def _current(self, name: str) -> jwt.PyJWK | None:
        return self._keys.get(name) if self._age() < self.OLDEST else None

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(_DEADLINE):
                document = await asyncio.to_thread(_published, self._issuer, self._url)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            logger.warning("issuer.keys_unreadable", reason=type(error).__name__, detail=str(error))
        else:
            self._keys = _usable(document)
            self._read_at = self.clock()
        finally:
            self._asked_at = self.clock()


def _published(issuer: str, url: str | None) -> dict[str, Any]:
    if url is None:
        known = _document(issuer.rstrip("/") + "/.well-known/openid-configuration")
        url = known.get("jwks_uri")
        if known.get("issuer") != issuer or not isinstance(url, str):
            raise ValueError("it is another issuer's discovery document")
    return _document(url)


def _document(url: str) -> dict[str, Any]:
    """Raises `OSError`, `HTTPException`, `ValueError`."""
    parts = _address(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:  # a redirect, too, would let another one speak for the issuer
            raise ValueError(f"it answered {answer.status}")
        document = json.loads(_body(answer))
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document


def _body(answer: http.client.HTTPResponse) -> bytes:
    until = time.monotonic() + _DEADLINE
    body = bytearray()
    while chunk := answer.read1(_CHUNK):
        body += chunk
        if len(body) > _LARGEST or time.monotonic() > until:
            raise ValueError("it is too large or too slow")
    return bytes(body)


def _address(url: str) -> SplitResult:
    """Raises `ValueError`."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (plain or parts.scheme == "https") or not parts.hostname:
        raise ValueError("its address has to be https")
    return parts


def _usable(document: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    said = document.get("keys")
    keys = (_key(each) for each in (said if isinstance(said, list) else [])[:_MOST_KEYS])
    return {str(key.key_id): key for key in keys if key is not None}


def _key(said: object) -> jwt.PyJWK | None:
    if not isinstance(said, dict) or not isinstance(said.get("kid"), str):
        return None
    if said.get("kty") not in _KINDS.values() or said.get("use") not in (None, "sig"):
        return None
    try:
        key = jwt.PyJWK(said)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError):
        return None
    fits = _KINDS.get(key.algorithm_name) == said["kty"]
    return key if fits and not key.Algorithm.check_key_length(key.key) else None
