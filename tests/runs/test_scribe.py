"""Runs that have something to write at once share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.database import claims, runs
from orchestrator.database.events import Batch, NewEvent, Told
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import DatabaseError, RunTakenOver
from orchestrator.runs.journal import Journal
from orchestrator.runs.scribe import Entry, Scribe
from orchestrator.ssh.connection import Target
from orchestrator.ssh.keys import generate_key_pair
from tests.runs.conftest import Marketplace

_BUSY = 2  # writers that a scribe has


class _Counting(Scribe):
    """Knows how many have come to wait for their turn."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._news = asyncio.Event()

    async def turn(self, entry: Entry) -> Sequence[Entry]:
        self._count += 1
        self._news.set()
        return await super().turn(entry)

    async def come(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self._count < count:
                self._news.clear()
                await self._news.wait()


async def test_runs_that_wait_are_written_in_one_transaction_each_under_its_own_epoch(
    marketplace: Marketplace,
) -> None:
    """Events and offset of each are there together, and of one that was taken over there is nothing."""
    *busy, first, lost, second = await _journals(marketplace, _BUSY + 3)
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        await claims.claim(session, lost.run.id, "another")
    async with _all_writers_busy(marketplace, busy) as blocked:
        writing = [asyncio.create_task(_tell(each)) for each in (first, lost, second)]
        await first.scribe.come(_BUSY + 3)
        blocked.set()
        ended = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None), RunTakenOver, type(None)]
    assert await _offset(marketplace, lost) == 0
    assert (await _told(marketplace, lost)) == []
    transactions = set()
    for journal in (first, second):
        assert journal.run.last_seq == await _last_seq(marketplace, journal)
        assert await _offset(marketplace, journal) == journal.run.remote_offset == 10
        (told,) = await _told(marketplace, journal)
        transactions.add(told["xmin"])
    assert len(transactions) == 1


async def test_what_cannot_be_written_is_its_own_runs_fault_alone(marketplace: Marketplace) -> None:
    """The others of the same transaction are written all the same."""
    *busy, first, sick, second = await _journals(marketplace, _BUSY + 3)
    async with _all_writers_busy(marketplace, busy) as blocked:
        writing = [
            asyncio.create_task(_tell(first)),
            asyncio.create_task(_tell(sick, text="\x00")),
            asyncio.create_task(_tell(second)),
        ]
        await first.scribe.come(_BUSY + 3)
        blocked.set()
        ended = await asyncio.gather(*writing, return_exceptions=True)
    assert [isinstance(each, DatabaseError) for each in ended] == [False, True, False]
    assert [len(await _told(marketplace, each)) for each in (first, sick, second)] == [1, 0, 1]


@pytest.mark.parametrize("called", [False, True])
async def test_a_run_that_is_ended_while_it_waits_is_not_written_and_keeps_nobody_waiting(
    marketplace: Marketplace, called: bool
) -> None:
    """Also when its turn has come and it was not there any more to take it."""
    scribe = _Counting()
    journals = await _journals(marketplace, _BUSY + 2)
    entries = [Entry(Told(each.run.id, each.run.epoch, _batch())) for each in journals]
    held = [await scribe.turn(entry) for entry in entries[:_BUSY]]
    leaving, staying = (asyncio.create_task(scribe.turn(each)) for each in entries[_BUSY:])
    await scribe.come(_BUSY + 2)
    if not called:
        leaving.cancel()
    with scribe.answering(held[0]):
        pass  # the next one's turn comes
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    async with asyncio.timeout(5):
        assert [each.told.run_id for each in await staying] == [journals[-1].run.id]


def _batch() -> Batch:
    return Batch([NewEvent("log", {"text": "said"}, datetime.now(UTC))], {"remote_offset": 10})


async def _journals(marketplace: Marketplace, count: int) -> list[Journal]:
    """Of so many claimed runs, all with one scribe."""
    scribe = _Counting()
    database = marketplace.databases.worker
    key = generate_key_pair()
    journals = []
    for number in range(count):
        target = Target("127.0.0.1", 22 + number, "tester", key.private_key)
        run = await marketplace.request(await marketplace.onboard(target))
        async with database.transaction(SERVICE) as session:
            claimed = await claims.claim(session, run.id, "worker-1")
        assert claimed is not None
        journals.append(
            await Journal.resume(database, claimed.run, deadline_seconds=60, scribe=scribe)
        )
    return journals


@asynccontextmanager
async def _all_writers_busy(
    marketplace: Marketplace, journals: Sequence[Journal]
) -> AsyncIterator[asyncio.Event]:
    """Each of `journals` is in the middle of a transaction of its own until the event is set."""
    blocked = asyncio.Event()
    started = asyncio.Event()

    async def hold() -> None:
        async with marketplace.databases.worker.transaction(SERVICE) as session:
            for each in journals:
                await runs.write(session, each.run.id, each.run.epoch, attempt=1)
            started.set()
            await blocked.wait()

    holding = asyncio.create_task(hold())
    await started.wait()
    writing = [asyncio.create_task(_tell(each)) for each in journals]
    await journals[0].scribe.come(len(journals))
    yield blocked
    await asyncio.gather(holding, *writing)


async def _tell(journal: Journal, text: str = "said") -> None:
    event = NewEvent("log", {"text": text}, datetime.now(UTC))
    await journal.append([event], remote_offset=10, next_agent_seq=1)


async def _told(marketplace: Marketplace, journal: Journal) -> list[Any]:
    statement = text(
        "SELECT seq, xmin::text FROM gpu_test_events WHERE run_id = :run_id AND type = 'log' ORDER BY seq"
    )
    async with marketplace.databases.worker.transaction(SERVICE) as session:
        rows = await session.exec(statement, params={"run_id": journal.run.id})  # type: ignore[call-overload]
        return [dict(row) for row in rows.mappings()]


async def _offset(marketplace: Marketplace, journal: Journal) -> int:
    return (await marketplace.run(journal.run.id)).remote_offset


async def _last_seq(marketplace: Marketplace, journal: Journal) -> int:
    return (await marketplace.run(journal.run.id)).last_seq
