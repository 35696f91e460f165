"""The months of results, kept: made ahead, and dropped with all that their runs left when nobody wants them any more."""

from __future__ import annotations

from typing import Final

from orchestrator import log
from orchestrator.database import months, retention
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain.errors import HarborxError

logger = log.get(__name__)

# A run has about a hundred rows, which go one by one. So many in ten minutes are 144,000 a day; sweeps wait meanwhile.
_RUNS_AT_ONCE: Final = 200
_BATCHES: Final = 5


async def keep_months(database: Database, kept: int) -> None:
    """
    Make months ahead; drop those that are more than `kept` whole months old, and their runs, piece by piece; 0 keeps all.

    What is refused because somebody reads there has time until the next tidying.
    """
    try:
        async with database.transaction(SERVICE) as session:
            made = await months.make(session)
        if made:
            logger.info("months.made", names=made)
        if kept:
            await _drop(database, kept)
    except HarborxError as error:
        logger.warning("months.failed", reason=str(error))


async def _drop(database: Database, kept: int) -> None:
    while True:
        async with database.transaction(
            SERVICE
        ) as session:  # each for itself, so that nobody waits for all
            dropped = await months.drop_oldest(session, kept)
        if dropped is None:
            break
        logger.info("months.dropped", name=dropped)
    for _ in range(_BATCHES):
        async with database.transaction(SERVICE) as session:
            count = await retention.forget_runs(session, kept, _RUNS_AT_ONCE)
        if count:
            logger.info("rows.forgotten", table="gpu_test_runs", count=count)
        if count < _RUNS_AT_ONCE:
            break
