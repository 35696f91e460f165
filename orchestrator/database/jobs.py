"""
Jobs of runs in the engine's tables: given back when their worker died, made anew when they are lost, put off.

These are statements of ours over procrastinate's tables, because its own calls take two steps (look, then
retry) and wake nobody.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Run

# One statement, so that of two sweeps at once only one gives a job back; and a notification, as a new job has.
# Runs only: a sweep that died is made anew by the next tick, and giving it back could clash with that one; a
# connection check can't be taken twice.
_TAKE_BACK_STALLED: Final = text(
    """
    WITH stalled AS (
        SELECT j.id, j.queue_name FROM procrastinate_jobs j
        LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
        WHERE j.status = 'doing' AND j.task_name = 'execute_run'
          AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :seconds))
        FOR UPDATE OF j SKIP LOCKED
    )
    SELECT id, procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL),
           pg_notify('procrastinate_queue_v1#' || queue_name,
                     json_build_object('type', 'job_inserted', 'job_id', id)::text)
    FROM stalled
    """
)
_DROP_DEAD_SWEEPS: Final = text(
    """
    DELETE FROM procrastinate_jobs j
    WHERE j.status = 'doing' AND j.task_name <> 'execute_run' AND NOT EXISTS (
        SELECT FROM procrastinate_workers w
        WHERE w.id = j.worker_id AND w.last_heartbeat >= now() - make_interval(secs => :seconds))
    """
)
# The lock of a run's job is its instance, so one index answers both questions.
_REQUEUE_LOST: Final = text(
    """
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        'runs', 'execute_run', 0, r.instance_id::text, NULL, jsonb_build_object('run_id', r.id), r.not_before
    )::procrastinate_job_to_defer_v1])
    FROM gpu_test_runs r
    WHERE r.finished_at IS NULL AND NOT EXISTS (
        SELECT FROM procrastinate_jobs j
        WHERE j.lock = r.instance_id::text AND j.task_name = 'execute_run'
          AND j.status IN ('todo', 'doing') AND j.args ->> 'run_id' = r.id::text)
    """
)
# A job that waits, though for later, keeps all later jobs with its lock waiting.
_DROP_WAITING: Final = text(
    """
    DELETE FROM procrastinate_jobs
    WHERE lock = CAST(:instance_id AS text) AND status = 'todo' AND args ->> 'run_id' = CAST(:run_id AS text)
    """
)
_DEFER: Final = text(
    """
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        'runs', 'execute_run', 0, CAST(:instance_id AS text), NULL,
        jsonb_build_object('run_id', CAST(:run_id AS uuid)), :at
    )::procrastinate_job_to_defer_v1])
    """
)
# As procrastinate's own, but nobody waits until the disk has it: a job that a power cut gives back to the queue is
# fetched again, and whoever claims its run then owns it. The claim does wait, and for all that went before it.
FETCH: Final = """
    SELECT id, status, task_name, priority, lock, queueing_lock, args, scheduled_at, queue_name, attempts, worker_id
    FROM set_config('synchronous_commit', 'off', true), procrastinate_fetch_job_v2(%(queues)s::varchar[], %(worker_id)s)
"""
# Only the worker that has the job may end it; procrastinate's own call asks for the id alone.
FINISH_OURS: Final = """
    SELECT procrastinate_finish_job_v1(id, %(status)s, %(delete_job)s) FROM procrastinate_jobs
    WHERE id = %(job_id)s AND status = 'doing' AND worker_id = %(worker_id)s
"""


async def take_back_stalled(session: AsyncSession, seconds: float) -> list[int]:
    """
    Give the runs' jobs of workers that were silent for `seconds` to others, and drop their sweeps; the
    numbers of the former.
    """
    await session.exec(_DROP_DEAD_SWEEPS, params={"seconds": seconds})  # type: ignore[call-overload]
    rows = await session.exec(_TAKE_BACK_STALLED, params={"seconds": seconds})  # type: ignore[call-overload]
    return [int(row[0]) for row in rows.all()]


async def requeue_lost(session: AsyncSession) -> int:
    """Give a job to every unfinished run that has none left; how many there were."""
    return len((await session.exec(_REQUEUE_LOST)).all())  # type: ignore[call-overload]


async def defer_run(session: AsyncSession, run: Run, at: datetime) -> None:
    """One more job for the run, not before `at`, in the caller's transaction."""
    parameters: dict[str, UUID | datetime | str] = {
        "instance_id": str(run.instance_id),
        "run_id": run.id,
        "at": at,
    }
    await session.exec(_DEFER, params=parameters)  # type: ignore[call-overload]


async def drop_waiting(session: AsyncSession, run: Run) -> None:
    """No job of a run that has ended stays in the way of its instance's next."""
    parameters = {"instance_id": str(run.instance_id), "run_id": str(run.id)}
    await session.exec(_DROP_WAITING, params=parameters)  # type: ignore[call-overload]
