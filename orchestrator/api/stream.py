"""
Live events: one look for all watchers of a process says which runs have news, and what is new of a run is read and
written out once for all who watch it. Whoever is behind reads for itself, as itself, until it has caught up: so nothing
is kept for the slow, and nobody misses anything.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fastapi.sse import format_sse_event
from pydantic_core import from_json

from orchestrator import log
from orchestrator.api.auth import Caller
from orchestrator.api.shapes import EventShape
from orchestrator.database import told_runs
from orchestrator.database.direct import Direct
from orchestrator.database.events import Head
from orchestrator.database.session import Principal, supplier
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable

logger = log.get(__name__)

_LOOK_SECONDS: Final = 0.01  # while something happens
_QUIET_LOOK_SECONDS: Final = 0.1
_QUIET_AFTER: Final = 5.0
_AWAY_SECONDS: Final = 1.0
_PING_SECONDS: Final = 15.0
_AT_ONCE: Final = 500  # events that are read at a time
_KEPT: Final = 1000  # frames of a run; whoever is further behind reads for itself
_KEPT_BYTES: Final = 1 << 20
_GONE: Final = Head(0, finished=True)  # deleted with its instance: nothing more will come
_NOTHING: Final[tuple[Frame, ...]] = ()
PING: Final = b": ping\n\n"


@dataclass(frozen=True)
class Frame:
    """An event as a stream tells it."""

    seq: int
    type: str
    data: str
    sent: bytes

    @classmethod
    def of(cls, shape: EventShape) -> Frame:
        data = shape.model_dump_json()
        sent = format_sse_event(data_str=data, event=shape.type, id=str(shape.seq))
        return cls(shape.seq, shape.type, data, sent)


class Feed:
    """
    What is new of a run, for those who may see it as `principal`: the latest frames, without gaps, `last` being the number
    of the newest. It begins with the first look after somebody has begun to watch.
    """

    def __init__(self, run_id: UUID, principal: Principal) -> None:
        self.run_id = run_id
        self.principal = principal
        self.last: int | None = None
        self.finished = False
        self.pings = 0
        self.watchers = 0
        self.news = asyncio.Event()  # of those who wait now
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._told: dict[int, tuple[Frame, ...]] = {}  # to those at the same place

    def tell(self, frames: Sequence[Frame], *, finished: bool) -> None:
        for frame in frames:
            self._frames.append(frame)
            self._bytes += len(frame.sent)
            self.last = frame.seq
        while self._bytes > _KEPT_BYTES or len(self._frames) > _KEPT:
            self._bytes -= len(self._frames.popleft().sent)
        self.finished = finished
        self._told.clear()
        self.wake()

    def wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()

    def beyond(self, seq: int) -> Sequence[Frame] | None:
        """What came after number `seq`; None where not all of that is kept."""
        if self.last is None or seq >= self.last:
            return _NOTHING
        if not self._frames or seq < self._frames[0].seq - 1:
            return None
        told = self._told.get(seq)
        if told is None:
            told = self._told[seq] = tuple(each for each in self._frames if each.seq > seq)
        return told


@dataclass
class RunWatch:
    """The feeds of the watched runs, by polling: no notification can be lost, and any replica can do it."""

    direct: Direct
    _feeds: dict[tuple[UUID, UUID], Feed] = field(default_factory=dict)
    _watched: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def watching(self, run_id: UUID, user_id: UUID) -> Iterator[Feed]:
        key = run_id, user_id
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(run_id, supplier(user_id))
        feed.watchers += 1
        self._watched.set()
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[key]

    @asynccontextmanager
    async def polling(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=_AWAY_SECONDS)

    async def _poll(self) -> None:
        news_at = pinged_at = time.monotonic()
        while True:
            if not self._feeds:
                self._watched.clear()
                await self._watched.wait()
                news_at = time.monotonic()
            try:
                if await self._look():
                    news_at = time.monotonic()
            except DatabaseError as error:
                logger.warning("watch.database_away", reason=error.detail)
                await asyncio.sleep(_AWAY_SECONDS)
            now = time.monotonic()
            if now - pinged_at > _PING_SECONDS:
                pinged_at = now
                for feed in self._feeds.values():
                    feed.pings += 1
                    feed.wake()
            quiet = now - news_at > _QUIET_AFTER
            await asyncio.sleep(_QUIET_LOOK_SECONDS if quiet else _LOOK_SECONDS)

    async def _look(self) -> bool:
        """Whether there was news."""
        feeds = list(self._feeds.values())
        heads = await told_runs.heads(self.direct, {feed.run_id for feed in feeds})
        moved: defaultdict[Principal, list[tuple[Feed, Head]]] = defaultdict(list)
        for feed in feeds:
            head = heads.get(feed.run_id, _GONE)
            if feed.last is None or head is _GONE:
                feed.last = head.last_seq if feed.last is None else feed.last
                feed.tell((), finished=head.finished)
            elif head != Head(feed.last, feed.finished):
                moved[feed.principal].append((feed, head))
        await asyncio.gather(*(self._read(*each) for each in moved.items()))
        return bool(moved)

    async def _read(self, principal: Principal, moved: Sequence[tuple[Feed, Head]]) -> None:
        """What is new of these runs, as who may see them: in one statement."""
        after = {feed.run_id: feed.last or 0 for feed, _ in moved}
        new = await _frames(self.direct, principal, after)
        for feed, head in moved:
            frames = new.get(feed.run_id, [])
            caught_up = not frames or frames[-1].seq >= head.last_seq
            lost = not frames and head.last_seq > (feed.last or 0)  # it is no longer theirs to see
            feed.tell(frames, finished=caught_up and (head.finished or lost))


async def run_events(
    watch: RunWatch,
    run_id: UUID,
    user_id: UUID,
    after: int,
    recognised: Callable[[], Awaitable[Caller]],
) -> AsyncIterator[Sequence[Frame]]:
    """
    The events of a run beyond number `after`, live, until the run is finished and all were told; an empty batch now and
    then while nothing happens. While PostgreSQL is away it waits for as long as the client does. `user_id` is whose run it
    is known to be.

    Raises `NotAuthenticated` or `NotAllowed` once the login that `recognised` asks for has ended.
    """
    with watch.watching(run_id, user_id) as feed:
        pings = feed.pings
        while True:
            frames = feed.beyond(after)
            if frames is _NOTHING and feed.finished:
                return
            if frames is _NOTHING:
                await feed.news.wait()
                if feed.pings != pings:
                    pings = feed.pings
                    yield _NOTHING
                continue
            try:
                caller = await recognised()
                if frames is None:
                    read = await _frames(watch.direct, caller.principal, {run_id: after})
                    frames = read.get(run_id, [])
            except DatabaseUnavailable as error:
                logger.warning("watch.database_away", reason=error.detail)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if not frames:
                return  # the run is gone
            yield frames
            after = frames[-1].seq


async def _frames(
    direct: Direct, principal: Principal, after: Mapping[UUID, int]
) -> dict[UUID, list[Frame]]:
    """What came of each run after its number, in order, up to a bound."""
    text = await told_runs.events(direct, principal, after, _AT_ONCE)
    found: defaultdict[UUID, list[Frame]] = defaultdict(list)
    for each in from_json(text or "[]"):
        found[UUID(each["run_id"])].append(Frame.of(EventShape.model_validate(each)))
    return found
