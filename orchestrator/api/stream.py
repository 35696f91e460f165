"""Live events: one query for all watchers of a process says who has news; each reads its own, as itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from uuid import UUID

from orchestrator import log
from orchestrator.api.auth import Caller
from orchestrator.database import events
from orchestrator.database.events import Head
from orchestrator.database.models import RunEvent
from orchestrator.database.session import LOGIN, Database
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable

logger = log.get(__name__)

_POLL_SECONDS: Final = 0.2
_AWAY_SECONDS: Final = 1.0
_GONE: Final = Head(0, finished=True)  # deleted with its instance: nothing more will come


class RunWatch:
    """How far the watched runs are, by polling: no notification can be lost, and any replica can do it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heads: dict[UUID, Head] = {}
        self._watched: Counter[UUID] = Counter()
        self._news = asyncio.Condition()

    @contextmanager
    def watching(self, run_id: UUID) -> Iterator[None]:
        self._watched[run_id] += 1
        try:
            yield
        finally:
            self._watched[run_id] -= 1
            if not self._watched[run_id]:
                del self._watched[run_id]
                self._heads.pop(run_id, None)

    async def beyond(self, run_id: UUID, seq: int) -> Head:
        """The run's head, once it is beyond `seq` or the run is finished. Call while `watching`."""
        async with self._news:
            while True:
                head = self._heads.get(run_id)
                if head is not None and (head.last_seq > seq or head.finished):
                    return head
                await self._news.wait()

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_AWAY_SECONDS)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if not self._watched:
                continue
            try:
                async with self._database.transaction(LOGIN) as session:
                    watched = list(self._watched)
                    found = await events.heads(session, watched)
                    heads = {run_id: found.get(run_id, _GONE) for run_id in watched}
            except DatabaseError as error:
                logger.warning("watch.database_away", reason=error.detail)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if heads != self._heads:
                async with self._news:
                    self._heads = heads
                    self._news.notify_all()


async def run_events(
    database: Database,
    recognised: Callable[[], Awaitable[Caller]],
    watch: RunWatch,
    run_id: UUID,
    after: int,
) -> AsyncIterator[RunEvent]:
    """
    The events of a run beyond number `after`, live, until the run is finished and all were told. While
    PostgreSQL is away it waits for as long as the client does.

    Raises `NotAuthenticated` or `NotAllowed` once the login that `recognised` asks for has ended.
    """
    with watch.watching(run_id):
        while True:
            head = await watch.beyond(run_id, after)
            while after < head.last_seq:
                try:
                    caller = await recognised()
                    async with database.transaction(caller.principal) as session:
                        batch = await events.after(session, run_id, after)
                except DatabaseUnavailable as error:
                    logger.warning("watch.database_away", reason=error.detail)
                    await asyncio.sleep(_AWAY_SECONDS)
                    continue
                if not batch:
                    return  # the run is gone
                for event in batch:
                    yield event
                after = batch[-1].seq
            if head.finished:
                return
