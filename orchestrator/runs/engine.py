"""
The job engine: procrastinate on the same database.

It delivers a run's job at least once and wakes workers; owning a run is decided by the epoch (`execute`).
A connection check is taken once: where its worker dies it fails. The periodic task sweeps: fires schedules,
takes back jobs of dead workers, finds runs without a job, ends checks that nobody ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final
from uuid import UUID

import procrastinate
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from orchestrator import log
from orchestrator.database import idempotency, jobs, retention
from orchestrator.database.queue import queue_connector
from orchestrator.database.session import SERVICE
from orchestrator.domain.errors import HarborxError
from orchestrator.runs.check_connection import check_connection, fail_overdue
from orchestrator.runs.clean import run_janitor
from orchestrator.runs.execute import Worker, execute_run
from orchestrator.runs.fire_schedules import fire_due
from orchestrator.runs.months import keep_months

logger = log.get(__name__)

SWEEP_SECONDS: Final = 1
_POLL_SECONDS: Final = 1.0  # for jobs whose notification was missed
_TIDY_CRON: Final = "*/10 * * * *"
_JOB_HOURS: Final = 24  # jobs that failed are kept so long
_FORGET_MOST: Final = (
    5000  # rows of a table in one transaction; the rest has time until the next tidying
)
_CHECKS_AT_ONCE: Final = 20  # they wait for machines, and a person waits for them
_RESTART_WAIT: Final = 1.0
_STOP_SECONDS: Final = 5.0


class Engine:
    """
    procrastinate for one worker process: its workers, our tasks, and whether it is still alive.

    Used for one life: a new one takes its place after a broken link (see `run_worker`).
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._running: set[asyncio.Task[Any]] = set()
        self.app = procrastinate.App(
            connector=queue_connector(
                worker.database.url, prepare=worker.settings.database.listen_notify
            )
        )
        self._jobs = _FencedJobs(self.app.connector)
        self.app.job_manager = self._jobs
        self._add_tasks()

    async def work(self) -> None:
        """Until cancelled, or until procrastinate gives up: it does so at the first failed heartbeat."""
        concurrency = self._worker.settings.worker.concurrency
        async with self._opened():
            logger.info("worker.started", worker=self._worker.name, concurrency=concurrency)
            # Sweeps have a worker of their own: they must not wait behind the runs that they rescue.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve("runs", concurrency))
                group.create_task(self._serve("checks", _CHECKS_AT_ONCE))
                group.create_task(self._serve("sweeps", 1))
                group.create_task(self._worker.cancellations.poll(self._worker.database))
                group.create_task(run_janitor(self._worker))

    async def silence(self) -> None:
        """
        Returns once no heartbeat was written for as long as makes others think us dead: procrastinate can
        hang for ever after a broken link (its issue 1513) and would never say so.
        """
        limit = 2 * self._worker.settings.worker.stalled_seconds
        while True:
            left = limit - self._jobs.silent_for()
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def abandon(self) -> None:
        """Stop the jobs that a hung engine left behind; whoever has their jobs next attaches."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_STOP_SECONDS)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        try:
            async with self.app.open_async():
                yield
        finally:
            # Cancelled while it was opening, procrastinate leaves its pool behind, connecting for ever.
            with suppress(ConnectorException, TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS / 2):
                    await self.app.close_async()

    @contextmanager
    def _known(self) -> Iterator[None]:
        """Our job in this task is one that `abandon` stops."""
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a job runs in a task")
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    def _add_tasks(self) -> None:
        @self.app.task(name="execute_run", queue="runs")
        async def execute(run_id: str) -> None:
            with self._known():
                await execute_run(UUID(run_id), self._worker)

        @self.app.task(name="check_connection", queue="checks")
        async def check(check_id: str) -> None:
            with self._known():
                await check_connection(UUID(check_id), self._worker)

        @self.app.periodic(cron=f"* * * * * */{SWEEP_SECONDS}")
        @self.app.task(name="sweep", queue="sweeps", queueing_lock="sweep")
        async def sweep(timestamp: int) -> None:
            await sweep_once(self._worker)

        @self.app.periodic(cron=_TIDY_CRON)
        @self.app.task(name="tidy", queue="sweeps", queueing_lock="tidy")
        async def tidy(timestamp: int) -> None:
            await forget_old(self._worker)
            await keep_months(self._worker.database, self._worker.settings.server.result_months)
            await self._jobs.delete_old_jobs(
                _JOB_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
            )

    async def _serve(self, queue: str, concurrency: int) -> None:
        settings = self._worker.settings.worker
        await self.app.run_worker_async(
            queues=[queue],
            name=self._worker.name,
            concurrency=concurrency,
            install_signal_handlers=False,
            listen_notify=self._worker.settings.database.listen_notify,
            fetch_job_polling_interval=_POLL_SECONDS,
            update_heartbeat_interval=settings.heartbeat_seconds,
            stalled_worker_timeout=settings.stalled_seconds,
            # A run goes on at its machine; whoever gets its job next attaches to it.
            shutdown_graceful_timeout=_STOP_SECONDS / 2,
            delete_jobs="successful",
        )
        raise _EngineStopped(queue)  # it returns when a heartbeat failed, too


class _EngineStopped(Exception):
    """procrastinate has ended a worker by itself."""


class _FencedJobs(JobManager):
    """Ends only jobs that this process still has, and knows when a heartbeat was last written."""

    def __init__(self, connector: Any) -> None:
        super().__init__(connector)
        self._beats: dict[int, float] = {}
        self._since = time.monotonic()

    def silent_for(self) -> float:
        """Seconds since the quieter of our workers was heard, or since the beginning."""
        return time.monotonic() - min(self._beats.values(), default=self._since)

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        row = await self.connector.execute_query_one_async(
            query=jobs.FETCH, queues=queues, worker_id=worker_id
        )
        return None if row["id"] is None else Job.from_row(row)

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await self.connector.execute_query_async(
            query=jobs.FINISH_OURS,
            job_id=job.id,
            worker_id=job.worker_id,
            status=status.value,
            delete_job=delete_job,
        )

    async def register_worker(self) -> int:
        worker_id = await super().register_worker()
        self._beats[worker_id] = time.monotonic()
        return worker_id

    async def update_heartbeat(self, worker_id: int) -> None:
        await super().update_heartbeat(worker_id)
        self._beats[worker_id] = time.monotonic()


async def sweep_once(worker: Worker) -> None:
    """What any worker does for all, any number of times; a step that fails leaves the others alone."""
    for step in (_fire_schedules, _take_back_stalled, _requeue_lost, _fail_checks, _forget_keys):
        try:
            await step(worker)
        except (HarborxError, ConnectorException) as error:
            logger.warning("sweep.failed", step=step.__name__.lstrip("_"), reason=str(error))


async def _fire_schedules(worker: Worker) -> None:
    per_hour = worker.settings.ssh.new_machines_per_hour
    await fire_due(worker.database, new_machines_per_hour=per_hour)


async def _take_back_stalled(worker: Worker) -> None:
    async with worker.database.transaction(SERVICE) as session:
        taken = await jobs.take_back_stalled(session, worker.settings.worker.stalled_seconds)
    if taken:
        logger.warning("jobs.stalled", job_ids=taken)


async def _requeue_lost(worker: Worker) -> None:
    async with worker.database.transaction(SERVICE) as session:
        lost = await jobs.requeue_lost(session)
    if lost:
        logger.info("runs.requeued", count=lost)


async def _fail_checks(worker: Worker) -> None:
    overdue = await fail_overdue(worker.database)
    if overdue:
        logger.warning("checks.overdue", count=overdue)


async def _forget_keys(worker: Worker) -> None:
    async with worker.database.transaction(SERVICE) as session:
        await idempotency.forget_expired(session)


async def forget_old(worker: Worker) -> None:
    """What is kept for a time only goes; a table that fails leaves the others alone."""
    for table in retention.STATEMENTS:
        try:
            async with worker.database.transaction(SERVICE) as session:
                count = await retention.forget(
                    session, table, _FORGET_MOST, audit_days=worker.settings.server.audit_days
                )
        except HarborxError as error:
            logger.warning("forget.failed", table=table, reason=str(error))
        else:
            if count:
                logger.info("rows.forgotten", table=table, count=count)


async def run_worker(worker: Worker, stop: asyncio.Event) -> None:
    """
    Work until `stop` is set. The engine is replaced when it ends by itself or falls silent.
    """
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            engine = Engine(worker)
            work = asyncio.create_task(engine.work())
            silence = asyncio.create_task(engine.silence())
            await asyncio.wait({work, stopping, silence}, return_when=asyncio.FIRST_COMPLETED)
            if silence.done():
                logger.error("worker.silent", worker=worker.name)
            silence.cancel()
            await _end(work)
            await engine.abandon()
            if not stop.is_set():
                await asyncio.wait({stopping}, timeout=_RESTART_WAIT)
    finally:
        stopping.cancel()


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
    if isinstance(error, ConnectorException | OSError | _EngineStopped):
        logger.warning("worker.lost_database", reason=type(error).__name__)
    elif error is not None:
        logger.error("worker.failed", exc_info=error)
