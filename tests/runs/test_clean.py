"""What is cleaned later: by the janitor, from what the database says, any number of times."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.database import leavings
from orchestrator.database.session import SERVICE
from orchestrator.domain.options import Options
from orchestrator.runs import clean, engine
from tests.machines import SshdMachine, scripted_machine
from tests.runs.conftest import SMALL, Marketplace, left_behind, sql
from tests.runs.machines import GOOD


async def test_the_janitor_cleans_what_the_database_says(
    marketplace: Marketplace, machine: SshdMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that could not be cleaned is due until it is, at ever longer intervals, and then never again."""
    instance = await marketplace.onboard(machine.target())
    with monkeypatch.context() as away:

        async def not_now(*_: object) -> None:
            pass

        away.setattr("orchestrator.runs.execute.try_to_clean", not_now)
        run = await marketplace.execute(instance, SMALL)
    assert left_behind(machine) == [str(run.id)]
    assert await clean.janitor_round(marketplace.worker) == 0  # whoever ended it has a moment
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(session, "UPDATE gpu_test_runs SET clean_due_at = now()")
    machine.stop()
    assert await clean.janitor_round(marketplace.worker) == 1
    failed = await marketplace.run(run.id)
    assert (failed.cleaned_at, failed.clean_attempts) == (None, 1)
    assert failed.clean_due_at is not None
    assert failed.clean_due_at > datetime.now(UTC) + timedelta(seconds=20)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(session, "UPDATE gpu_test_runs SET clean_due_at = now()")
    assert machine.start()
    rounds = [await clean.janitor_round(marketplace.worker) for _ in range(2)]
    assert rounds == [1, 0]
    assert left_behind(machine) == []
    assert (await marketplace.run(run.id)).cleaned_at is not None


async def test_a_machine_that_answers_nothing_does_not_keep_the_janitor(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look has its time, whatever the machine does; then it is due again."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        run = await marketplace.execute(instance, Options())
    async with scripted_machine("silent") as silent:
        again = await marketplace.onboard(silent.target(), "NVIDIA H100")
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            await sql(
                session,
                "UPDATE gpu_test_runs SET clean_due_at = now(), cleaned_at = NULL, instance_id = :id",
                id=again.id,
            )
        monkeypatch.setattr(clean, "_LOOK_SECONDS", 0.5)
        async with asyncio.timeout(10):
            assert await clean.janitor_round(marketplace.worker) == 1
        assert silent.execs
    looked = await marketplace.run(run.id)
    assert (looked.cleaned_at, looked.clean_attempts) == (None, 1)


async def test_the_janitor_gives_up_in_the_end(marketplace: Marketplace) -> None:
    """A machine that is gone for good is not looked for for ever."""
    async with scripted_machine(GOOD) as machine:
        instance = await marketplace.onboard(machine.target(), "NVIDIA H100")
        await marketplace.execute(instance, Options())
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await sql(
            session,
            "UPDATE gpu_test_runs SET clean_due_at = now(), clean_attempts = :n",
            n=leavings.MOST_ATTEMPTS - 1,
        )
        (taken,) = await leavings.take_due(session, 10)
        assert taken.clean_due_at is None


async def test_expired_idempotency_keys_are_forgotten(marketplace: Marketplace) -> None:
    """A sweep removes keys whose day is over and no others, as often as it comes."""
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        for key, left in (("old", "-1 second"), ("new", "1 hour")):
            await sql(
                session,
                "INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, expires_at)"
                " VALUES (:user, :key, sha256('x'), '{}', now() + CAST(:left AS interval))",
                user=marketplace.user_id,
                key=key,
                left=left,
            )
    for _ in range(2):
        await engine.sweep_once(marketplace.worker)
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            assert await sql(session, "SELECT string_agg(key, ' ') FROM idempotency_keys") == "new"
