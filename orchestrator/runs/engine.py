"""
The job engine: procrastinate on the same database.

It delivers a run's job at least once and wakes workers; owning a run is decided by the epoch (`execute`).
Its one periodic task sweeps: fires schedules, takes back jobs of dead workers, finds runs without a job.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import procrastinate
from procrastinate.exceptions import ConnectorException

from orchestrator import log
from orchestrator.database import runs
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import HarborxError
from orchestrator.runs.execute import Worker, execute_run
from orchestrator.runs.fire_schedules import fire_due

logger = log.get(__name__)

SWEEP_SECONDS: Final = 5
_RESTART_WAIT: Final = 2.0
_STOP_SECONDS: Final = 5.0


def build_engine(worker: Worker) -> procrastinate.App:
    """An app with our tasks for `worker`; open it before use."""
    kwargs = {} if worker.settings.database.listen_notify else {"prepare_threshold": None}
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=worker.database.url, kwargs=kwargs, min_size=1, max_size=5
        )
    )

    @app.task(name="execute_run", queue="runs")
    async def execute(run_id: str) -> None:
        await execute_run(UUID(run_id), worker)

    @app.periodic(cron=f"* * * * * */{SWEEP_SECONDS}")
    @app.task(name="sweep", queue="sweeps", queueing_lock="sweep")
    async def sweep(timestamp: int) -> None:
        await sweep_once(app, worker)

    return app


async def sweep_once(app: procrastinate.App, worker: Worker) -> None:
    """What any worker does for all, any number of times; a step that fails leaves the others alone."""
    for step in (_fire_schedules, _take_back_stalled, _requeue_lost):
        try:
            await step(app, worker)
        except (HarborxError, ConnectorException) as error:
            logger.warning("sweep.failed", step=step.__name__.lstrip("_"), reason=str(error))


async def _fire_schedules(_: procrastinate.App, worker: Worker) -> None:
    await fire_due(worker.database)


async def _take_back_stalled(app: procrastinate.App, worker: Worker) -> None:
    stalled = await app.job_manager.get_stalled_jobs(
        seconds_since_heartbeat=worker.settings.worker.stalled_seconds
    )
    for job in stalled:
        logger.warning("job.stalled", job_id=job.id, task=job.task_name)
        await app.job_manager.retry_job(job)


async def _requeue_lost(_: procrastinate.App, worker: Worker) -> None:
    async with worker.database.transaction(SERVICE) as session:
        lost = await runs.requeue_lost(session)
    if lost:
        logger.info("runs.requeued", count=lost)


async def run_worker(worker: Worker, stop: asyncio.Event) -> None:
    """
    Work until `stop` is set. The engine is restarted when it ends by itself: it stops at the first
    heartbeat that PostgreSQL doesn't answer.
    """
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            work = asyncio.create_task(_work(worker))
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await _end(work)
            if not stop.is_set():
                await asyncio.wait({stopping}, timeout=_RESTART_WAIT)
    finally:
        stopping.cancel()


async def _work(worker: Worker) -> None:
    settings = worker.settings.worker
    app = build_engine(worker)
    async with app.open_async():
        logger.info("worker.started", worker=worker.name, concurrency=settings.concurrency)
        # Sweeps have a worker of their own: they must not wait behind the runs that they rescue.
        async with asyncio.TaskGroup() as both:
            both.create_task(_engine_worker(app, worker, "runs", settings.concurrency))
            both.create_task(_engine_worker(app, worker, "sweeps", 1))


async def _engine_worker(
    app: procrastinate.App, worker: Worker, queue: str, concurrency: int
) -> None:
    settings = worker.settings.worker
    await app.run_worker_async(
        queues=[queue],
        name=worker.name,
        concurrency=concurrency,
        install_signal_handlers=False,
        listen_notify=worker.settings.database.listen_notify,
        update_heartbeat_interval=settings.heartbeat_seconds,
        stalled_worker_timeout=settings.stalled_seconds,
        # A run goes on at its machine; whoever gets its job next attaches to it.
        shutdown_graceful_timeout=_STOP_SECONDS / 2,
        delete_jobs="successful",
    )


async def _end(work: asyncio.Task[None]) -> None:
    """Take the engine down, waiting a bounded time: a broken link can make it hang for ever."""
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=_STOP_SECONDS)
    if not work.done() or work.cancelled():
        return
    error = work.exception()
    if isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ConnectorException | OSError):
        logger.warning("worker.lost_database", reason=type(error).__name__)
    elif error is not None:
        logger.error("worker.failed", exc_info=error)
