"""
Log in with a signature at once: without the `none` probe, without asking whether the key would do, and without waiting for the
leave to ask. Each of them is a round trip that tells us nothing, since we have one key and one way to log in.

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
_LOOKED_INTO: Final = ("_auth", "_auth_methods", "_client_keys", "_auth_in_progress")


def sign_at_once(connection: asyncssh.SSHClientConnection) -> bool:
    """To be called before the handshake begins; whether the shortcut will be taken."""
    conn: Any = connection
    known = hasattr(_ClientPublicKeyAuth, "_send_signed_request")
    if not known or not all(hasattr(conn, name) for name in _LOOKED_INTO):
        return False
    if conn._auth_methods != _PROBE:
        return False
    ask, next_in_turn = conn.send_service_request, conn.try_next_auth

    def begin() -> None:
        conn._auth_in_progress = True
        conn._auth_methods = [_METHOD]
        conn._auth = _Signature(conn, _METHOD)

    def send_service_request(service: bytes) -> None:
        # The host key was judged before this. How to sign with RSA depends on what the machine says later.
        conn.send_service_request = ask
        ask(service)
        if not any(b"rsa" in key.algorithm for key in conn._client_keys):
            begin()

    def try_next_auth(**options: Any) -> None:
        """What asyncssh calls when it has leave; a refused signature takes the usual way to its end."""
        conn.try_next_auth = next_in_turn
        if conn._auth_methods == _PROBE:
            begin()

    conn.send_service_request = send_service_request
    conn.try_next_auth = try_next_auth
    return True


if _ClientPublicKeyAuth is not None:

    class _Signature(_ClientPublicKeyAuth):
        async def _start(self) -> None:
            conn: Any = self._conn
            self._keypair = await conn.public_key_auth_requested()
            if self._keypair is None:
                conn.try_next_auth(next_method=True)
            else:
                await self._send_signed_request()
