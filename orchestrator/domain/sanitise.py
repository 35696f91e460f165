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
# Besides C0, C1 and what turns the direction of text: separators that break a line, and what is not seen at all (zero
# width, tags, variation selectors beyond emoji's), which hides words from people and shows them to programs.
_CONTROLS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e01ef]"
)


def printable(text: str, limit: int = 4096) -> str:
    """
    `text` without escape sequences and without control, direction and invisible characters, at most `limit`
    characters. Newline and tab stay.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    cut = text[: 4 * limit]
    clean = _CONTROLS.sub("\ufffd", _ESCAPES.sub("", cut))
    return clean if len(clean) <= limit and len(text) <= 4 * limit else clean[: limit - 1] + "…"


def shown(value: Any) -> Any:
    """JSON whose every text, names included, is `printable`; nothing is cut."""
    if isinstance(value, str):
        return printable(value, len(value))
    if isinstance(value, list):
        return [shown(each) for each in value]
    if isinstance(value, dict):
        return {printable(name, len(name)): shown(each) for name, each in value.items()}
    return value


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
