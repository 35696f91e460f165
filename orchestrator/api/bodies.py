"""
Bodies, read whole before anything is done: no longer than a megabyte, within a time, and JSON that means one thing.

JSON lets a name stand twice, of which two readers may take different ones; it nests as deep as it likes, and its texts
hold what no database stores. All that is refused here, once for every operation.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, Final

from starlette.types import Message, Receive

from orchestrator.domain.errors import BodyNotJson, BodyTooLarge, BodyTooSlow, InvalidInput

LARGEST: Final = 1 << 20  # bytes; the largest we take is a result with its raw figures
_DEEPEST: Final = 64


class Gone(Exception):
    """The client went away in the middle of its request."""


async def whole(receive: Receive, told: int | None, seconds: float) -> bytes:
    """
    The body; `told` is the length that it claims. Raises `BodyTooLarge` as soon as it is, `BodyTooSlow` and `Gone`.
    """
    if told is not None and told > LARGEST:
        raise BodyTooLarge
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > LARGEST:
                    raise BodyTooLarge
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BodyTooSlow from None


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that tells this body first, and then what else becomes of the client."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def told() -> Message:
        return left.pop() if left else await receive()

    return told


def require_json(body: bytes, content_type: str) -> None:
    """Raises `BodyNotJson` for another kind of body and `InvalidInput`, with the place, for what is not strict JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise BodyNotJson("Content-Type: application/json is what is taken.")
    try:
        value = json.loads(body.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise _wrong("is not UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _wrong(f"is not JSON at {place}: {error.msg}") from error
    except RecursionError as error:
        raise _wrong(f"is nested deeper than {_DEEPEST}") from error
    except ValueError as error:  # a number of thousands of digits
        raise _wrong("holds a number that is too long") from error
    _require_storable(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _wrong("stands twice", name)
        found[name] = value
    return found


def _require_storable(value: Any) -> None:
    """
    Raises `InvalidInput` for numbers that are not finite, for texts with NUL or half a character, and for what is
    nested too deep.
    """
    waiting: list[tuple[Any, tuple[str, ...]]] = [(value, ())]
    while waiting:
        each, place = waiting.pop()
        if isinstance(each, str):
            if not _storable(each):
                raise _wrong("holds NUL or half a surrogate pair", *place)
        elif isinstance(each, float):
            if not math.isfinite(each):
                raise _wrong("is no finite number", *place)
        elif isinstance(each, dict | list):
            if len(place) >= _DEEPEST:
                raise _wrong(f"is nested deeper than {_DEEPEST}")
            inner = each.items() if isinstance(each, dict) else enumerate(each)
            waiting += [(below, (*place, str(name))) for name, below in inner]
            if isinstance(each, dict):
                waiting += [(name, place) for name in each]


def _storable(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _wrong(what: str, *place: str) -> InvalidInput:
    pointer = ".".join(place).encode(errors="replace").decode()[:200]
    return InvalidInput(f"{pointer or 'body'}: {what}", field=pointer)
