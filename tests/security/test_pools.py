"""Suppliers that share connections see their own rows only, whatever is cancelled or cut off in between."""

from __future__ import annotations

from random import Random
from uuid import UUID

import psycopg
import pytest

from bench.attacks.ground import Ground
from bench.attacks.pools import attack
from orchestrator.database import session
from orchestrator.database.logins import Logins


async def test_nobody_sees_another_on_a_shared_connection(ground: Ground) -> None:
    """Fifty suppliers on two connections, direct and behind PgBouncer, with cancelled and killed ones: no leak."""
    played = await attack.play(ground, 2_000, 7)
    assert played.held, (*played.sentences[:5], *played.missed)
    assert played.figures["cancelled"] > 0
    assert played.figures["kills"] > 0


async def test_a_setting_of_the_session_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Role and claims that outlive their transaction are seen by whoever gets the connection next."""
    monkeypatch.setattr(session, "ACT_AS", session.ACT_AS.replace("true", "false"))
    played = await attack.play(ground, 400, 7)
    assert any("handed out as ('authenticated'" in leak for leak in played.sentences)


async def test_a_table_without_row_security_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of others that are seen or written are counted, not only what is left on a connection."""
    seeded = attack._seeded

    def weakened(logins: Logins, random: Random) -> list[UUID]:
        with psycopg.connect(logins.owner) as owner:
            owner.execute("ALTER TABLE gpu_instances DISABLE ROW LEVEL SECURITY")
        return seeded(logins, random)

    monkeypatch.setattr(attack, "_seeded", weakened)
    played = await attack.play(ground, 200, 7)
    assert any("writes to" in leak for leak in played.sentences)
    assert any("sees" in leak for leak in played.sentences)
