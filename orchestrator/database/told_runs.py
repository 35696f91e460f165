"""Runs as the API tells of them: JSON that PostgreSQL makes of their rows, in the words of its shapes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from orchestrator.database.direct import Direct
from orchestrator.database.events import Head
from orchestrator.database.session import LOGIN, Principal

_TOLD: Final = """
    SELECT row_to_json(told)::text FROM (
        SELECT r.id, r.instance_id, r.requested_by, r.options, r.state, r.finished_at IS NOT NULL AS finished, r.attempt,
               r.worker, r.last_seq AS last_event_seq, r.schedule_id, r.due_at, r.created_at, r.not_before, r.claimed_at,
               r.started_at, r.cancel_requested_at, r.finished_at, r.error_code, r.error_message, r.evidence,
"""
_RUN: Final = (
    _TOLD  # noqa: S608  all of it is ours
    + """
            CASE WHEN r.finished_at IS NOT NULL THEN
                (SELECT row_to_json(of_run) FROM gpu_test_results of_run
                 WHERE of_run.run_id = r.id AND of_run.created_at = r.finished_at)
            END AS result
        FROM gpu_test_runs r WHERE r.id = %s
    ) told
    """
)
_REQUEST: Final = (
    _TOLD
    + "NULL::json AS result FROM request_run(%s, 'api', %s::jsonb, NULL, NULL, %s::integer) r) told"
)
_EVENTS: Final = """
    SELECT json_agg(row_to_json(e))::text FROM unnest(%s::uuid[], %s::bigint[]) asked (id, after)
    CROSS JOIN LATERAL (
        SELECT run_id, seq, at, t, type, body FROM gpu_test_events
        WHERE run_id = asked.id AND seq > asked.after ORDER BY seq LIMIT %s
    ) e
"""
_HEADS: Final = "SELECT json_agg(json_build_array(id, last_seq, finished))::text FROM run_heads(%s)"


async def run(direct: Direct, principal: Principal, run_id: UUID) -> str | None:
    """With its result; None where the principal may see no such run."""
    return await direct.ask(_RUN, principal, run_id)


async def request(
    direct: Direct,
    principal: Principal,
    instance_id: UUID,
    options: dict[str, Any],
    new_machines_per_hour: int,
) -> str | None:
    """
    A queued run with its job, committed, as `runs.request` makes it for the API. Raises `Refused` for whatever that would
    raise an error for, and then nothing was done.
    """
    asked = json.dumps(options)
    return await direct.ask(_REQUEST, principal, instance_id, asked, new_machines_per_hour)


async def events(
    direct: Direct, principal: Principal, after: Mapping[UUID, int], limit: int
) -> str | None:
    """Of each run up to `limit` events with a number above its own, in order, in the words of `EventShape` and with `run_id`."""
    return await direct.ask(_EVENTS, principal, list(after), list(after.values()), limit)


async def heads(direct: Direct, run_ids: Collection[UUID]) -> dict[UUID, Head]:
    """How far runs are, whoever owns them: for the one look that wakes all watchers of a process."""
    told = json.loads(await direct.ask(_HEADS, LOGIN, list(run_ids)) or "[]")
    return {UUID(run_id): Head(last_seq, finished) for run_id, last_seq, finished in told}
