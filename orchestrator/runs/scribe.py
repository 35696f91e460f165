"""
Many runs that are told of at once share a transaction: each that has something to write waits for its turn, and whoever's
turn it is writes for all that wait. One alone writes at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from orchestrator.database.events import Told
from orchestrator.domain.errors import DatabaseError, DatabaseUnavailable, RunTakenOver

_WRITERS: Final = 2  # transactions at a time: one is prepared while the other is committed
_MOST_RUNS: Final = 256
_MOST_EVENTS: Final = 4096


class Entry:
    """What one run has to write. `row` is what its row says once it is written."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.row: dict[str, Any] | None = None
        self.alone = False  # something in its company can't be written
        self._turn: asyncio.Future[bool] | None = None  # False: somebody has written it

    @property
    def waits(self) -> bool:
        return self._turn is not None and not self._turn.done()

    @property
    def called(self) -> bool:
        """Whether its turn has come, though nobody may be there to take it."""
        turn = self._turn
        return turn is not None and turn.done() and not turn.cancelled() and turn.result()

    async def wait(self) -> bool:
        """Whether it is its turn; else it is written. Raises what its writer met."""
        self._turn = asyncio.get_running_loop().create_future()
        return await self._turn

    def call(self, turn: bool) -> None:
        if self.waits and self._turn is not None:
            self._turn.set_result(turn)

    def fail(self, error: Exception) -> None:
        if self.waits and self._turn is not None:
            self._turn.set_exception(error)


class Scribe:
    """Whose turn it is to write; one a worker. A run has one entry at a time."""

    def __init__(self) -> None:
        self._waiting: deque[Entry] = deque()
        self._writing = 0

    async def turn(self, entry: Entry) -> Sequence[Entry]:
        """
        Wait. The entries that are now the caller's to write, within `answering`; none where another has written it.

        Raises `RunTakenOver`, and `DatabaseUnavailable` where another met it.
        """
        self._waiting.append(entry)
        if self._writing < _WRITERS:
            self._writing += 1
            return self._taken(entry)
        try:
            mine = await entry.wait()
        except asyncio.CancelledError:
            self._leave(entry)
            raise
        return self._taken(entry) if mine else ()

    @contextmanager
    def answering(self, entries: Sequence[Entry]) -> Iterator[dict[UUID, dict[str, Any]]]:
        """
        The block writes `entries` and puts the rows in what it is given. Whatever becomes of it, who waits for it is told, or
        waits for another's turn: the block may be ended because of its own run.
        """
        rows: dict[UUID, dict[str, Any]] = {}
        others = entries[1:]
        try:
            yield rows
            self._answer(entries, rows)
        except DatabaseUnavailable as error:
            for each in others:
                each.fail(DatabaseUnavailable(error.detail))
            raise
        except DatabaseError:
            for each in entries:
                each.alone = True
            raise
        finally:
            # Who is not answered waits on; those whose callers have left meanwhile are nobody's any more.
            self._waiting.extendleft(each for each in reversed(others) if each.waits)
            self._pass_on()

    @staticmethod
    def _answer(entries: Sequence[Entry], rows: dict[UUID, dict[str, Any]]) -> None:
        for each in entries:
            each.row = rows.get(each.told.run_id)
        for each in entries[1:]:
            if each.row is None:
                each.fail(taken_over(each.told))
            else:
                each.call(False)

    def _taken(self, own: Entry) -> list[Entry]:
        """Its own first, and of the others those that came first."""
        self._waiting.remove(own)
        entries, events = [own], len(own.told.batch.events)
        for each in () if own.alone else tuple(self._waiting):
            if len(entries) == _MOST_RUNS or events >= _MOST_EVENTS:
                break
            if each.waits and not each.alone:
                self._waiting.remove(each)
                entries.append(each)
                events += len(each.told.batch.events)
        return entries

    def _leave(self, entry: Entry) -> None:
        """Nobody waits for it any more; where its turn has just come, it is the next one's."""
        if entry in self._waiting:
            self._waiting.remove(entry)
        if entry.called:
            self._pass_on()

    def _pass_on(self) -> None:
        self._writing -= 1
        for each in self._waiting:
            if each.waits:
                each.call(True)
                self._writing += 1
                return


def taken_over(told: Told) -> RunTakenOver:
    return RunTakenOver(f"Run {told.run_id}, epoch {told.epoch}.")
