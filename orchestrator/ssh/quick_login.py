"""
Log in with a signature at once: without the `none` probe, without asking whether the key would do, and without waiting for
the word that logging in may begin. Each of them is a round trip that tells us nothing, since we have one key and one way to
log in. The host key is judged before all of that.

Looks into asyncssh; where that has changed, asyncssh logs in as it does by itself.
"""

from __future__ import annotations

from typing import Any, Final

import asyncssh

try:
    from asyncssh.auth import _ClientPublicKeyAuth
except ImportError:  # another asyncssh than those that are known
    _ClientPublicKeyAuth = None  # type: ignore[assignment,misc]

_PROBE: Final = [b"none"]
_METHOD: Final = b"publickey"
_LOOKED_AT: Final = ("_auth", "_auth_in_progress", "_client_keys", "send_service_request")


def sign_at_once(connection: asyncssh.SSHClientConnection) -> bool:
    """To be called before the handshake begins; whether the shortcut will be taken."""
    conn: Any = connection
    known = hasattr(_ClientPublicKeyAuth, "_send_signed_request") and all(
        hasattr(conn, name) for name in _LOOKED_AT
    )
    if not known or getattr(conn, "_auth_methods", None) != _PROBE:
        return False
    shortcut = _Shortcut(conn)
    conn.send_service_request = shortcut.send_service_request
    conn.try_next_auth = shortcut.try_next_auth
    return True


class _Shortcut:
    """In the place of two methods of a connection, each until its first use."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._request_service = conn.send_service_request
        self._next_in_turn = conn.try_next_auth
        self._signing = False

    def send_service_request(self, service: bytes) -> None:
        """RFC 4253 (10) lets us go on where the host key has signed, which it always has."""
        self._conn.send_service_request = self._request_service
        self._request_service(service)
        # How an RSA key is to sign the server says, just about now.
        if not any(b"rsa" in key.algorithm for key in self._conn._client_keys):
            self._sign()

    def try_next_auth(self, **options: Any) -> None:
        """The server's word that it may begin; a refused signature takes the usual way to its end."""
        self._conn.try_next_auth = self._next_in_turn
        if self._signing:
            return
        if self._conn._auth_methods != _PROBE:
            self._next_in_turn(**options)
            return
        self._sign()

    def _sign(self) -> None:
        self._signing = True
        self._conn._auth_in_progress = True
        self._conn._auth_methods = [_METHOD]
        self._conn._auth = _Signature(self._conn, _METHOD)


if _ClientPublicKeyAuth is not None:

    class _Signature(_ClientPublicKeyAuth):
        async def _start(self) -> None:
            conn: Any = self._conn
            self._keypair = await conn.public_key_auth_requested()
            if self._keypair is None:
                conn.try_next_auth(next_method=True)
            else:
                await self._send_signed_request()
