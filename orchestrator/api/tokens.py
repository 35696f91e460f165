"""
Tokens (JWT), read strictly: three parts of base64url without padding, an algorithm that the verifier chose, and
claims of the right types.

What a token says of its own key (jwk, jku, x5u, x5c) is never looked at, and one with an extension that must be
understood (crit) is refused: we understand none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import jwt

# Everything that reading what anybody may have written can raise.
FAULTS: Final = (
    jwt.PyJWTError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)

_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # not logout+jwt, for one
_LEEWAY: Final = 30  # seconds
_LONGEST_NAME: Final = 255
_NUMBERS: Final = ("exp", "iat", "nbf")


def claimed_issuer(token: str) -> object:
    """Who has signed it by its own word, to choose whose key is tried. Raises one of `FAULTS`."""
    if _FORM.fullmatch(token) is None:
        raise jwt.DecodeError("not three parts of base64url")
    claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims.get("iss")


def key_name(token: str) -> str:
    """The `kid` of its header. Raises one of `FAULTS`."""
    name = jwt.get_unverified_header(token).get("kid")
    if not _is_name(name):
        raise jwt.InvalidTokenError("no kid")
    return str(name)


def verified(token: str, key: Any, algorithm: str, issuer: str, audience: str) -> dict[str, Any]:
    """
    The claims of a token that this key has signed with this algorithm, for us, and that has not expired. Raises one
    of `FAULTS`.
    """
    read = jwt.decode_complete(
        token,
        key,
        algorithms=[algorithm],
        issuer=issuer,
        audience=audience,
        leeway=_LEEWAY,
        options={"require": ["exp", "sub", "iss", "aud"]},
    )
    header, claims = read["header"], read["payload"]
    if "crit" in header or "b64" in header:
        raise jwt.InvalidTokenError("an extension that must be understood")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise jwt.InvalidTokenError("it is a token for something else")
    if not _is_name(claims["sub"]):
        raise jwt.InvalidTokenError("the subject is no name")
    if not all(_is_time(claims[name]) for name in _NUMBERS if name in claims):
        raise jwt.InvalidTokenError("a time that is no number")
    return dict(claims)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
