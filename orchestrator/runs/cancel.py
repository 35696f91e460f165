"""Cancelling a run: the wish is written down, and the worker that has the run heeds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from orchestrator import log
from orchestrator.database import runs
from orchestrator.database.models import Run
from orchestrator.database.session import SERVICE, Database, Principal
from orchestrator.domain.errors import DatabaseError, RunCancelled

logger = log.get(__name__)

_POLL_SECONDS: Final = 1.0


async def cancel_run(database: Database, principal: Principal, run_id: UUID) -> Run:
    """
    Put the wish on record. A queued run has ended with it; one at work is ended on its machine first, also
    when the line to it is down just now; a finished one stays as it is. The same again changes nothing.

    Raises `NotFound`.
    """
    async with database.transaction(principal) as session:
        return await runs.cancel(session, run_id)


class Cancellations:
    """The runs of this process and who wants them ended, asked with one query a second for all."""

    def __init__(self) -> None:
        self._heeding: dict[object, tuple[UUID, asyncio.Timeout]] = {}

    @asynccontextmanager
    async def heeded(self, run_id: UUID) -> AsyncIterator[None]:
        """
        The block is left with `RunCancelled` soon after somebody asked for it, whatever it is waiting for.

        Needs `poll` to run beside it.
        """
        mine = object()
        try:
            async with asyncio.timeout(None) as scope:
                self._heeding[mine] = (run_id, scope)
                try:
                    yield
                finally:
                    del self._heeding[mine]
        except TimeoutError:
            if not scope.expired():
                raise
            raise RunCancelled() from None

    async def poll(self, database: Database) -> None:
        """Ask for ever. A database that is away is asked again."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if not self._heeding:
                continue
            try:
                async with database.transaction(SERVICE) as session:
                    ids = {run_id for run_id, _ in self._heeding.values()}
                    wanted = await runs.to_be_cancelled(session, ids)
            except DatabaseError as error:
                logger.debug("cancel.database_away", reason=error.detail)
                continue
            for run_id, scope in list(self._heeding.values()):
                if run_id in wanted and not scope.expired():
                    scope.reschedule(asyncio.get_running_loop().time())
