"""
What a worker writes about the run it owns.

Every write is one short transaction under the run's epoch; when that is gone (`RunTakenOver`), nothing is
written and the worker stops. Decoded events and the byte offset behind them are committed together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.database import events, figures, instances, jobs, runs
from orchestrator.database.events import Batch, NewEvent, Told
from orchestrator.database.models import Run, RunEvent
from orchestrator.database.session import NOW, SERVICE, Database
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable, OutputFlood
from orchestrator.domain.events import (
    Decoder,
    Event,
    Failed,
    Item,
    LogLine,
    Probe,
    Progress,
    Refused,
    ResultBody,
    Telemetry,
    Warned,
)
from orchestrator.domain.run_states import RunState, may_move
from orchestrator.domain.verdict import Observation
from orchestrator.runs.scribe import Entry, Scribe, taken_over
from orchestrator.ssh.follow import MOST_BYTES

LOG_LINES_KEPT: Final = 500
REFUSALS_KEPT: Final = 20
_MOST_EVENTS: Final = 5_000
_EVENTS_A_SECOND: Final = 4
_LINES_AN_EVENT: Final = 10  # what is no event is not stored for ever, but costs to read
_MOST_OF_A_GAP: Final = 3.0  # seconds
FINDINGS_KEPT: Final = 50
_REMEMBERED: Final = ("state", "progress", "refused", "probe", "warning", "result", "failed")


@dataclass
class Journal:
    """The stored story of one run under one epoch, and what was seen while writing it."""

    database: Database
    run: Run
    decoder: Decoder
    most_events: int
    scribe: Scribe = field(default_factory=Scribe)
    result: ResultBody | None = None
    failed: Failed | None = None
    probe: Probe | None = None
    log_lines: int = 0
    refusals: list[Refused] = field(default_factory=list)
    findings: list[Warned] = field(default_factory=list)
    interrupted: bool = False
    cancelled: bool = False
    begun: float | None = None  # when the launch was answered, in the loop's time
    _measuring_since: tuple[float, float] | None = None
    _result_at: tuple[float, float] | None = None
    _telemetry: list[dict[str, Any]] = field(default_factory=list)
    _told_last: tuple[float, float] | None = None
    _watched_before: float = 0.0
    _watched_now: float = 0.0

    @classmethod
    async def resume(
        cls, database: Database, run: Run, *, deadline_seconds: float, scribe: Scribe | None = None
    ) -> Journal:
        """
        A journal that goes on where the stored one ends, knowing what that one was told. `deadline_seconds`
        bounds the number of events: an honest benchmark tells a few a second. Runs with one `scribe` write together.
        """
        decoder = Decoder(run.nonce, offset=run.remote_offset, next_seq=run.next_agent_seq)
        most = _MOST_EVENTS + round(_EVENTS_A_SECOND * deadline_seconds)
        interrupted = run.remote_offset > 0
        journal = cls(database, run, decoder, most, scribe or Scribe(), interrupted=interrupted)
        if run.launched_at is not None:
            async with database.transaction(SERVICE) as session:
                stored = await events.of_types(session, run.id, _REMEMBERED)
            journal._watched_before = watched(stored)
            for event in stored:
                journal._remember(event.type, event.body)
        return journal

    @property
    def observation(self) -> Observation:
        """The measured stretch on our clock and on the machine's."""
        waited = self._result_at[0] - self.begun if self._result_at and self.begun else None
        if self.interrupted:
            return Observation(self._watched_before + self._watched_now, None, waited, True)
        if self._measuring_since is None or self._result_at is None:
            return Observation(None, None, waited)
        (ours_from, theirs_from), (ours_to, theirs_to) = self._measuring_since, self._result_at
        measuring = self._told_last[0] - ours_from if self._told_last else 0.0
        return Observation(
            ours_to - ours_from, theirs_to - theirs_from, waited, measuring=measuring
        )

    async def enter(self, state: RunState, **facts: Any) -> None:
        """Move the run to `state`, with an event that tells so."""
        current = RunState(self.run.state)
        if current is not state and not may_move(current, state):
            raise AssertionError(f"a run does not move from {current} to {state}")
        await self.append([_now("state", {"state": state, **facts})], state=state)

    async def launching(self) -> None:
        """Note that the machine may hold something of the run from now on."""
        if self.run.launched_at is None:
            await self.append([], launched_at=NOW)

    async def postpone(self, until: datetime, event: NewEvent) -> None:
        """Put the run back into the queue, with a job at `until`: nothing of it is on the machine."""
        changes = {
            "state": RunState.QUEUED,
            "not_before": until,
            "launched_at": None,
            "retries": Run.retries + 1,
        }
        async with self.database.transaction(SERVICE) as session:
            await instances.lock(session, self.run.instance_id)
            batch = Batch([event], changes)
            self.run = await events.append(session, self.run.id, self.run.epoch, batch)
            if self.run.cancel_requested_at is not None:
                await runs.cancel(session, self.run.id)  # queued again, it ends here and now
            else:
                await jobs.defer_run(session, self.run, until)

    async def append(self, new: Iterable[NewEvent], **changes: Any) -> None:
        """Store events and what they mean for the run's row, in a transaction that other runs may share."""
        told = Told(self.run.id, self.run.epoch, Batch(tuple(new), changes))
        if self._telemetry or not told.plain:
            async with self.database.transaction(SERVICE) as session:
                self.run = await events.append(session, told.run_id, told.epoch, told.batch)
                if self._telemetry:
                    await figures.keep_telemetry(session, self.run, self._telemetry)
            return
        entry = Entry(told)
        while entry.row is None and (mine := await self.scribe.turn(entry)):
            try:
                with self.scribe.answering(mine) as rows:
                    async with self.database.transaction(SERVICE) as session:
                        rows.update(await events.append_all(session, [each.told for each in mine]))
            except DatabaseUnavailable:
                raise
            except DatabaseError:
                if len(mine) == 1:
                    raise
                continue  # now each by itself: what can't be written is one run's own
            if entry.row is None:
                raise taken_over(told)
        for name, value in (entry.row or {}).items():
            setattr(self.run, name, value)

    async def take(self, data: bytes) -> None:
        """
        Decode bytes from the machine and store what they complete.

        Raises `OutputFlood` for more events, lines or bytes than a benchmark has to tell, however often the line
        broke; `RunTakenOver`.
        """
        await self._store(self.decoder.feed(data))
        if self.run.last_seq > self.most_events:
            raise OutputFlood(f"It told more than {self.most_events} events.")
        if self.decoder.lines > _LINES_AN_EVENT * self.most_events:
            raise OutputFlood(f"It sent more than {_LINES_AN_EVENT * self.most_events} lines.")
        if self.decoder.offset > MOST_BYTES:
            raise OutputFlood(f"It sent more than {MOST_BYTES} bytes.")

    async def close(self) -> None:
        """The machine will say no more: store what was left without a newline."""
        await self._store(self.decoder.flush())

    async def _store(self, items: list[Item]) -> None:
        received = datetime.now(UTC)
        new = [event for item in items if (event := self._told(item, received)) is not None]
        changes: dict[str, Any] = {
            "remote_offset": self.decoder.offset,
            "next_agent_seq": self.decoder.next_seq,
        }
        if self.run.retries:
            changes["retries"] = (
                0  # the line works again: the next break is waited for briefly at first
            )
        if self.run.started_at is None and any(isinstance(item, Event) for item in items):
            changes["started_at"] = received
        if new or self.decoder.offset != self.run.remote_offset:
            await self.append(new, **changes)
            self._telemetry.clear()

    def _told(self, item: Item, received: datetime) -> NewEvent | None:
        """The event to store for an item; None for what is over the bounds."""
        if isinstance(item, Event):
            self._notice(item)
            body = item.body.model_dump(mode="json", exclude={"type"})
            if isinstance(item.body, Telemetry):
                # The series has a row of its own; who watches needs no kilobytes of it.
                self._telemetry.append(dict(body))
                body["packed"] = f"{len(body['packed'])} characters"
            return NewEvent(item.body.type, body, received, item.t)
        if isinstance(item, Refused):
            self.refusals.append(item)
            del self.refusals[REFUSALS_KEPT:]
            if len(self.refusals) == REFUSALS_KEPT:
                return None
            return NewEvent("refused", {"reason": item.reason, "text": item.excerpt}, received)
        return self._logged(item, received)

    def _logged(self, line: LogLine, received: datetime) -> NewEvent | None:
        self.log_lines += 1
        if self.log_lines > LOG_LINES_KEPT:
            return None
        return NewEvent("log", {"text": line.text}, received)

    def _remember(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "refused":
            self.refusals.append(Refused(body["reason"], body["text"]))
        elif kind == "probe":
            self.probe = Probe.model_validate({**body, "type": kind})
        elif kind == "warning":
            self._find(Warned.model_validate({**body, "type": kind}))
        elif kind == "result":
            self.result = ResultBody.model_validate({**body, "type": kind})
        elif kind == "failed":
            self.failed = Failed.model_validate({**body, "type": kind})
        self.decoder.ended = self.result is not None or self.failed is not None

    def _notice(self, event: Event) -> None:
        body, moment = event.body, (asyncio.get_running_loop().time(), event.t)
        measures = isinstance(body, Progress) and body.phase == "measure"
        if measures and self._measuring_since is not None:
            last = self._told_last or self._measuring_since
            self._watched_now += _credible(moment[0] - last[0], moment[1] - last[1])
            self._told_last = moment
        if isinstance(body, ResultBody):
            self.result, self._result_at = body, moment
        elif isinstance(body, Failed):
            self.failed = body
        elif isinstance(body, Probe):
            self.probe = body
        elif isinstance(body, Warned):
            self._find(body)
        elif measures:
            self._measuring_since = self._measuring_since or moment

    def _find(self, warned: Warned) -> None:
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(warned)


def watched(stored: Iterable[RunEvent]) -> float:
    """Seconds of measuring between the events of each unbroken line, when they were received."""
    total = 0.0
    last: RunEvent | None = None
    for event in stored:
        measures = event.type == "progress" and event.body.get("phase") == "measure"
        if event.type == "state":
            last = None
        elif measures:
            if last is not None:
                ours = (event.at - last.at).total_seconds()
                total += _credible(ours, (event.t or 0.0) - (last.t or 0.0))
            last = event
    return total


def _credible(ours: float, machines: float) -> float:
    """
    The seconds between two events that speak against a machine. One long gap may be a frozen line, or a frozen
    worker, and counts for little; many gaps that are each longer than the machine says add up.
    """
    return min(ours, machines + _MOST_OF_A_GAP)


def _now(kind: str, body: dict[str, Any]) -> NewEvent:
    return NewEvent(kind, body, datetime.now(UTC))
