"""What a fleet's table shows of each instance, in one statement a page: every look-up is a step in an index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Row, TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.paging import Page, cursor_behind, position
from orchestrator.domain.instance_status import UNREACHED

# Runs of one instance end in the order in which they were asked for: one is unfinished at a time.
_OF_CHOSEN: Final = """
    SELECT i.id, i.vast_instance_id AS name, i.provider, i.location, i.price_per_hour, i.listed,
           i.ssh_host, i.ssh_port, i.ssh_user,
           coalesce(latest.measured_gpu_name, i.gpu_name) AS gpu_name,
           coalesce(latest.measured_gpu_count, i.gpu_count) AS gpu_count,
           i.status, i.test_status, i.tested_at, i.created_at, i.updated_at,
           i.host_key_offered IS NOT NULL AS host_key_offered,
           row_to_json(run) AS run, row_to_json(last_run) AS last_run, row_to_json(latest) AS latest,
           coalesce(trend.figures, '{}') AS trend, schedule.next_fire_at, tests.tests_30d, tests.unreachable_30d
    FROM chosen i
    LEFT JOIN LATERAL (
        SELECT r.id, r.state, r.created_at, r.not_before, r.cancel_requested_at
        FROM gpu_test_runs r WHERE r.instance_id = i.id AND r.finished_at IS NULL
    ) run ON true
    LEFT JOIN LATERAL (
        SELECT r.id, r.state, r.finished_at, r.error_code, r.error_message
        FROM gpu_test_runs r WHERE r.instance_id = i.id AND r.finished_at IS NOT NULL
        ORDER BY r.finished_at DESC LIMIT 1
    ) last_run ON true
    LEFT JOIN LATERAL (
        SELECT r.run_id, coalesce(r.completed_at, r.created_at) AS at, r.verdict, r.throughput_images_per_sec,
               r.throughput_low, r.throughput_high, r.compute_miles_per_hour, r.latency_ms, r.power_draw_watts,
               r.temperature_celsius, r.configuration_hash, r.measured_gpu_name, r.measured_gpu_count, r.profile,
               r.precision, r.batch_size, r.image_size
        FROM gpu_test_results r WHERE r.gpu_instance_id = i.id AND r.throughput_images_per_sec IS NOT NULL
        ORDER BY r.created_at DESC, r.id DESC LIMIT 1
    ) latest ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(last.figure ORDER BY last.created_at, last.id) AS figures FROM (
            SELECT r.throughput_images_per_sec::double precision AS figure, r.created_at, r.id
            FROM gpu_test_results r WHERE r.gpu_instance_id = i.id AND r.throughput_images_per_sec IS NOT NULL
            ORDER BY r.created_at DESC, r.id DESC LIMIT 12
        ) last
    ) trend ON true
    LEFT JOIN gpu_test_schedules schedule ON schedule.instance_id = i.id AND schedule.enabled
    LEFT JOIN LATERAL (
        SELECT count(*) AS tests_30d, count(*) FILTER (WHERE r.error_code = ANY (:unreached)) AS unreachable_30d
        FROM gpu_test_runs r WHERE r.instance_id = i.id AND r.finished_at > now() - interval '30 days'
    ) tests ON true
    ORDER BY i.created_at DESC, i.id DESC
"""
_PAGE: Final = text(
    _OF_CHOSEN.replace(
        "chosen",
        "(SELECT * FROM gpu_instances WHERE (created_at, id) < (:before, :before_id)"
        " ORDER BY created_at DESC, id DESC LIMIT :limit)",
    )
)
_THESE: Final = text(
    _OF_CHOSEN.replace("chosen", "(SELECT * FROM gpu_instances WHERE id = ANY (:ids))")
)

# Longer than a transaction of ours may last (session.LONGEST): rows are stamped with its start, and seen when it is over.
_CHANGES: Final = text(
    "SELECT now() AS at, c.user_id, c.instance_id, c.mark FROM (SELECT) once LEFT JOIN fleet_changes("
    ":user_ids, coalesce(CAST(:since AS timestamptz), now()) - interval '20 seconds') c ON true"
)


class Change(NamedTuple):
    """Something of an instance that is now as `mark` names it."""

    user_id: UUID
    instance_id: UUID
    mark: str


async def page(session: AsyncSession, limit: int, cursor: str | None) -> Page[Row[Any]]:
    """The caller's instances, newest first. Raises `InvalidInput` for a foreign cursor."""
    before, before_id = position(cursor)
    values = {"before": before, "before_id": before_id, "limit": limit + 1}
    rows = await _rows(session, _PAGE, values)
    more = len(rows) > limit
    return Page(list(rows[:limit]), cursor_behind(rows[limit - 1]) if more else None)


async def of(session: AsyncSession, instance_ids: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Those of these instances that the caller has, newest first."""
    return await _rows(session, _THESE, {"ids": list(instance_ids)})


async def changes(
    session: AsyncSession, user_ids: Sequence[UUID], since: datetime | None
) -> tuple[datetime, frozenset[Change]]:
    """
    The database's time, and what has changed for these suppliers since an earlier such time (None: lately), with
    some of what had changed before it. For the one query that wakes all watchers of a process.
    """
    values = {"user_ids": list(user_ids), "since": since}
    rows = (await session.exec(_CHANGES, params=values)).all()  # type: ignore[call-overload]
    told = (Change(*row[1:]) for row in rows if row.mark is not None)
    return rows[0].at, frozenset(told)


async def _rows(
    session: AsyncSession, statement: TextClause, values: dict[str, Any]
) -> Sequence[Row[Any]]:
    parameters = {**values, "unreached": sorted(UNREACHED)}
    found = await session.exec(statement, params=parameters)  # type: ignore[call-overload]
    rows: Sequence[Row[Any]] = found.all()
    return rows
