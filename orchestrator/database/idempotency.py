"""Idempotency keys: a request that is sent again gets the answer of the first, from the same transaction on."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.domain.errors import KeyReused

_TAKE: Final = text(
    """
    INSERT INTO idempotency_keys (key, fingerprint, answer) VALUES (:key, :fingerprint, '{}')
    ON CONFLICT (user_id, key) DO NOTHING RETURNING key
    """
)
_LOOK: Final = text("SELECT fingerprint, answer FROM idempotency_keys WHERE key = :key")
_ANSWER: Final = text(
    "UPDATE idempotency_keys SET answer = CAST(:answer AS jsonb) WHERE key = :key"
)
_FORGET: Final = text("DELETE FROM idempotency_keys WHERE expires_at < now()")


async def take(
    session: AsyncSession, key: str, operation: str, body: dict[str, Any]
) -> dict[str, Any] | None:
    """
    Take the key for this operation in the caller's transaction, which then does the work and calls `answer`.
    Where the work was done before, its answer; a request that is under way with the same key is waited for.

    Raises `KeyReused` for a key that stood for something else. Call it as the supplier: keys are per tenant.
    """
    told = json.dumps([operation, body], sort_keys=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(told.encode()).digest()
    parameters = {"key": key, "fingerprint": fingerprint}
    known = None
    while known is None:  # again only if the key expired between the two statements
        if (await session.exec(_TAKE, params=parameters)).first() is not None:  # type: ignore[call-overload]
            return None
        known = (await session.exec(_LOOK, params={"key": key})).one_or_none()  # type: ignore[call-overload]
    if bytes(known.fingerprint) != fingerprint:
        raise KeyReused()
    answer: dict[str, Any] = known.answer
    return answer


async def answer(session: AsyncSession, key: str, told: dict[str, Any]) -> None:
    """What the work of this key came to; committed with the work."""
    await session.exec(_ANSWER, params={"key": key, "answer": json.dumps(told)})  # type: ignore[call-overload]


async def forget_expired(session: AsyncSession) -> None:
    await session.exec(_FORGET)  # type: ignore[call-overload]
