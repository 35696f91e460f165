"""
Idempotency-Key: a POST that is sent again, because its answer was lost, is answered again and not carried out again.

Keys are a supplier's own and are kept for a day. An API key is not made under one: its answer is a secret that is
shown once, so there is nothing that could be told again.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Header, Response

REPLAYED: Final = "Idempotency-Replayed"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x20-\x7e]+$",
        description="1 to 200 printable ASCII characters, new for each new request and the same to repeat one: "
        "the repeat is answered with what became of the first. A request that was refused leaves its key free.",
    ),
]

DESCRIBED: Final[dict[str, Any]] = {
    REPLAYED: {
        "description": "`true` on the answer to a repeated request.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


def tell_replay(response: Response, replayed: bool) -> None:
    if replayed:
        response.headers[REPLAYED] = "true"
