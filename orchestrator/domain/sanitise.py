"""What comes from machines and clients, made safe to store and to show."""

from __future__ import annotations

import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 8

# ESC sequences (CSI; OSC and its kin up to BEL or ST; two-byte ones) vanish whole; lone controls become
# U+FFFD. No string may hold another's beginning, which keeps the search linear for hostile text.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[@-Z\\-_]?"
)
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str, limit: int = 4096) -> str:
    """
    `text` without escape sequences, control and bidirectional-override characters, at most
    `limit` characters. Newline and tab stay.
    """
    cut = text[: 4 * limit]
    clean = _CONTROLS.sub("\ufffd", _ESCAPES.sub("", cut))
    return clean if len(clean) <= limit and len(text) <= 4 * limit else clean[: limit - 1] + "…"


def require_storable(value: Any, depth: int = 1) -> None:
    """
    Raises `ValueError` for JSON that PostgreSQL can't store or that would hurt whoever reads it: nested
    deeper than 8, numbers that are not finite or over 64 bits, text with NUL or lone surrogates.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, inner in value.items():
            require_storable(key, depth)
            require_storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            require_storable(inner, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    elif isinstance(value, int) and abs(value) > 2**63:
        raise ValueError("a number is too large")
    elif isinstance(value, str):
        if "\0" in value:
            raise ValueError("text holds NUL")
        value.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, a ValueError
