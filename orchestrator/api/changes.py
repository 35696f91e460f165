"""The fleet live: one query for all watchers of a process says whose instances changed; each reads its own, as itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from orchestrator import log
from orchestrator.api.auth import Authenticating, Caller, Credential, Reader
from orchestrator.api.overview import Overview
from orchestrator.api.surface import Given
from orchestrator.database import overview
from orchestrator.database.overview import Change
from orchestrator.database.session import LOGIN, Database
from orchestrator.domain.errors import (
    DatabaseError,
    DatabaseUnavailable,
    NotAllowed,
    NotAuthenticated,
)

logger = log.get(__name__)

_POLL_SECONDS: Final = 0.3
_AWAY_SECONDS: Final = 1.0
_AT_ONCE: Final = 200  # instances an event

router = APIRouter(prefix="/v1/instances", tags=["instances"])


class InstanceChanges(BaseModel):
    """Instances as they are now, and ids of those that are gone."""

    items: list[Overview] = []
    removed: list[UUID] = []


@dataclass(eq=False)
class Watcher:
    """One stream: the ids that changed since it last took them, each once however often it changed."""

    _changed: set[UUID] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, instance_id: UUID) -> None:
        self._changed.add(instance_id)
        self._news.set()

    async def taken(self) -> list[UUID]:
        """What changed; waits until something has."""
        await self._news.wait()
        self._news.clear()
        changed, self._changed = self._changed, set()
        return sorted(changed)


class FleetWatch:
    """
    What changes for the watching suppliers, by polling: no notification can be lost, and any replica can do it.

    A poll brings again what changed lately, since rows are stamped with the start of their transaction and seen at
    its end; what the poll before brought is known. Who begins to watch may be told what it has just read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: defaultdict[UUID, set[Watcher]] = defaultdict(set)
        self._known: frozenset[Change] = frozenset()
        self._since: datetime | None = None

    @contextmanager
    def watching(self, user_id: UUID) -> Iterator[Watcher]:
        watcher = Watcher()
        self._watchers[user_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[user_id].discard(watcher)
            if not self._watchers[user_id]:
                del self._watchers[user_id]

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
            if not self._watchers:
                self._known, self._since = frozenset(), None
                continue
            try:
                async with self._database.transaction(LOGIN) as session:
                    watched = list(self._watchers)
                    at, found = await overview.changes(session, watched, self._since)
            except DatabaseError as error:
                logger.warning("watch.database_away", reason=error.detail)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            for change in found - self._known:
                for watcher in self._watchers.get(change.user_id, ()):
                    watcher.tell(change.instance_id)
            self._known, self._since = found, at


async def fleet_changes(
    database: Database, recognised: Callable[[], Awaitable[Caller]], watcher: Watcher
) -> AsyncIterator[InstanceChanges]:
    """
    What changes from now on: nothing at first, so that whoever reads the fleet after that misses nothing. While
    PostgreSQL is away it waits for as long as the client does; it ends when the login that `recognised` asks for has.
    """
    yield InstanceChanges()
    while True:
        changed = await watcher.taken()
        for start in range(0, len(changed), _AT_ONCE):
            try:
                yield await _read(database, recognised, changed[start : start + _AT_ONCE])
            except (NotAuthenticated, NotAllowed):
                return


async def _read(
    database: Database, recognised: Callable[[], Awaitable[Caller]], ids: Sequence[UUID]
) -> InstanceChanges:
    while True:
        try:
            caller = await recognised()
            async with database.transaction(caller.principal) as session:
                items = [Overview.of(row) for row in await overview.of(session, ids)]
        except DatabaseUnavailable as error:
            logger.warning("watch.database_away", reason=error.detail)
            await asyncio.sleep(_AWAY_SECONDS)
            continue
        there = {item.id for item in items}
        return InstanceChanges(items=items, removed=[each for each in ids if each not in there])


@router.get("/changes", operation_id="followInstances", response_class=EventSourceResponse)
async def follow_instances(
    caller: Reader,
    credential: Credential,
    authenticator: Authenticating,
    given: Given,
    request: Request,
) -> AsyncIterator[ServerSentEvent]:
    """
    The caller's instances as they change: `instances` events with `items` and `removed`, the first one empty. Read
    the overview after that one, also after a reconnect. The stream ends with its login.
    """

    def recognised() -> Awaitable[Caller]:
        return authenticator.caller(credential)

    watch: FleetWatch = request.app.state.fleet
    with watch.watching(caller.user_id) as watcher:
        async for changes in fleet_changes(given.database, recognised, watcher):
            yield ServerSentEvent(event="instances", data=changes.model_dump(mode="json"))
