"""
Log in with a signature at once: without the `none` probe, and without asking whether the key would do. Each of them is a
round trip that tells us nothing, since we have one key and one way to log in.

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


def sign_at_once(connection: asyncssh.SSHClientConnection) -> bool:
    """To be called before the handshake begins; whether the shortcut will be taken."""
    conn: Any = connection
    known = hasattr(_ClientPublicKeyAuth, "_send_signed_request") and hasattr(conn, "_auth")
    if not known or getattr(conn, "_auth_methods", None) != _PROBE:
        return False
    next_in_turn = conn.try_next_auth

    def try_next_auth(**options: Any) -> None:
        conn.try_next_auth = next_in_turn  # a refused signature takes the usual way to its end
        if conn._auth_methods != _PROBE:
            next_in_turn(**options)
            return
        conn._auth_methods = [_METHOD]
        conn._auth = _Signature(conn, _METHOD)

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
