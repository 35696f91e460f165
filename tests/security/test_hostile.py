"""Hostile SSH servers: the short form, and that its checker can fail."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from bench.attacks.ground import Ground
from bench.attacks.hostile import attack
from bench.attacks.hostile.machines import BEHAVIOURS
from bench.attacks.tenants import Place, Tenant
from orchestrator.database.models import Run
from orchestrator.runs.execute import Worker
from orchestrator.runs.journal import Journal
from orchestrator.ssh import connection, host_keys, session
from orchestrator.ssh.follow import Following

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def leavings() -> Iterator[None]:
    """Runs that a mutation cut off in a transaction leave their connection, collected here and not in a later test."""
    yield
    gc.collect()


@pytest.mark.timeout(400)
async def test_every_behaviour_ends_typed_in_time_and_small(ground: Ground) -> None:
    """A run on a hostile machine ends as it may, in time, leaves nothing open, and costs little memory and disk."""
    assert len(BEHAVIOURS) >= 40
    played = await attack.play(ground, 1, seed=6)
    assert played.held, (played.sentences, played.missed)
    assert played.attempted == len(BEHAVIOURS)


async def test_a_fault_that_is_not_foreseen_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broken handshake raises is told as one of our errors; where it is not, the attack counts."""
    for module in (connection, host_keys):
        monkeypatch.setattr(module, "PEER_FAULTS", ())
    played = await attack.play(ground, 1, 6, ["garbage_after_version", "version_one"])
    assert played.must_be_zero["untyped"] == 2


async def test_a_follower_without_a_deadline_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that says nothing more is given up at the deadline; without one it is late."""

    async def read(self: Following, *_: Any) -> bytes:
        return await self._session.read()

    monkeypatch.setattr(Following, "_read", read)
    monkeypatch.setattr(attack, "INSIDE", 9.0)
    played = await attack.play(ground, 1, 6, ["never_ends"])
    assert played.must_be_zero["late"] == 1


async def test_a_journal_without_bounds_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored of a run is bounded; where it is not, the attack counts."""

    async def take(self: Journal, data: bytes) -> None:
        await self._store(self.decoder.feed(data))

    monkeypatch.setattr(Journal, "take", take)
    played = await attack.play(ground, 1, 6, ["small_events"])
    assert played.must_be_zero["escaped"] == 1


async def test_answers_that_are_kept_as_they_came_are_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine answers is made safe before it is stored for people to read."""
    monkeypatch.setattr("orchestrator.ssh.session.printable", lambda text, *_: text)
    played = await attack.play(ground, 1, 6, ["answers_with_escapes"])
    assert played.must_be_zero["escaped"] == 1


async def test_a_machine_that_need_not_wait_for_us_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine says waits there while our database is slow; where it waits with us, memory grows."""
    take = Journal.take

    async def slowly(self: Journal, data: bytes) -> None:
        await asyncio.sleep(0.1)
        await take(self, data)

    monkeypatch.setattr(Journal, "take", slowly)
    monkeypatch.setattr(attack, "MOST_MEMORY", 16 * 2**20)
    monkeypatch.setattr(session, "_MOST_UNREAD", 1 << 40)
    played = await attack.play(ground, 1, 6, ["one_endless_line"])
    assert any("grew" in sentence for sentence in played.missed)


async def test_an_honest_run_that_fails_beside_hostile_ones_is_told(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is attacked beside has to pass, all the time."""
    honest: list[UUID] = []
    request, execute = Tenant.request, attack.execute_run

    async def requested(self: Tenant, place: Place, *, pinned: bool = False) -> Run:
        run = await request(self, place, pinned=pinned)
        if place.name.startswith("honest"):
            honest.append(run.id)
        return run

    async def executed(run_id: UUID, worker: Worker) -> None:
        if run_id not in honest[1:]:  # the first one is alone
            await execute(run_id, worker)

    monkeypatch.setattr(Tenant, "request", requested)
    monkeypatch.setattr(attack, "execute_run", executed)
    with pytest.raises(AssertionError, match="an honest run ended as None"):
        await attack.play(ground, 1, 6, ["no_banner"])


@pytest.mark.filterwarnings("ignore:Diffie-Hellman")
async def test_a_prime_of_the_machine_s_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group exchange is not offered: to check the prime that a machine names would stop the event loop for seconds."""
    for module in (connection, host_keys):
        monkeypatch.setattr(module, "KEY_EXCHANGES", ("diffie-hellman-group-exchange-sha256",))
    played = await attack.play(ground, 1, 6, ["prime_of_its_own"])
    assert played.figures["lag_max_ms"] > 500  # of CPU, however fast the machine
