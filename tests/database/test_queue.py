"""The engine's queue when many wait in it."""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import text

from orchestrator.database.session import SERVICE
from tests.conftest import Databases

_FILL = text(
    """
    SELECT procrastinate_defer_jobs_v1(array_agg(ROW(
        'runs', 'execute_run', 0, gen_random_uuid()::text, NULL, '{}', NULL)::procrastinate_job_to_defer_v1))
    FROM generate_series(1, :count)
    """
)
_FETCH = text(
    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT procrastinate_fetch_job_v2(ARRAY['runs']::varchar[], NULL)"
)
_WAITING: Final = 2000
_MOST_PAGES: Final = _WAITING  # a look at each of those that wait takes more than one


async def test_a_job_is_taken_without_a_look_at_all_that_wait(databases: Databases) -> None:
    """Also of a queue that has just filled, of which the planner has been told nothing."""
    async with databases.worker.transaction(SERVICE) as session:
        await session.exec(_FILL, params={"count": _WAITING})  # type: ignore[call-overload]
        told = (await session.exec(_FETCH)).scalar_one()  # type: ignore[call-overload]
    (plan,) = json.loads(told) if isinstance(told, str) else told
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < _MOST_PAGES
