"""
THE STORY of a run: load -> connect -> push -> launch -> follow -> store -> judge -> apply.

No transaction is open across the network: each step of the database is a short one under the epoch that
the claim gave us, so a worker that was presumed dead can change nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from orchestrator import log
from orchestrator.database import claims, runs
from orchestrator.database.claims import Claimed
from orchestrator.database.events import NewEvent
from orchestrator.database.models import Instance, Run
from orchestrator.database.session import SERVICE, database_now
from orchestrator.domain.errors import (
    AgentError,
    ConnectionLost,
    DatabaseUnavailable,
    HarborxError,
    HostUnreachable,
    LaunchError,
    LaunchFailed,
    MachineBusy,
    RunCancelled,
    RunError,
    RunTakenOver,
)
from orchestrator.domain.gpu_catalogue import is_cpu
from orchestrator.domain.options import Options
from orchestrator.domain.retry import End, Patience, Postpone, after_error
from orchestrator.domain.run_states import RunState
from orchestrator.runs.clean import clean_earlier, clean_other, clean_own, try_to_clean
from orchestrator.runs.conclude import Outcome, conclude, outcome_of
from orchestrator.runs.journal import Journal
from orchestrator.runs.login import logged_in
from orchestrator.runs.worker import Worker
from orchestrator.ssh.clean import clean
from orchestrator.ssh.connection import Connection
from orchestrator.ssh.follow import NO_END
from orchestrator.ssh.follow import End as FollowEnd
from orchestrator.ssh.keys import fingerprint
from orchestrator.ssh.launch import Order, launch

__all__ = ["Worker", "execute_run"]

logger = log.get(__name__)

# The machine ends the benchmark itself at its deadline; we give up a little later.
_GRACE: Final = 60.0
_MOST_ATTEMPTS: Final = 1000  # claims of one run, however they came about
_DATABASE_WAIT: Final = 1.0  # seconds between tries while PostgreSQL is away


async def execute_run(run_id: UUID, worker: Worker) -> None:
    """
    Carry a run to its end, or to where another worker owns it, or to where it was put off.

    Whatever happens is told by the run's row: nothing is raised but cancellation.
    """
    with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
        held: int | None = None
        while True:
            try:
                claimed = await _claim(run_id, worker, held)
                if claimed is None:
                    return
                held = claimed.run.epoch
                await _carry_on(claimed, worker)
                return
            except RunTakenOver:
                logger.info("run.taken_over")
                return
            except DatabaseUnavailable as error:
                logger.warning("run.database_away", reason=error.detail)
                await asyncio.sleep(_DATABASE_WAIT)
            except _TryAgain as again:
                with suppress(RunCancelled):  # then the next attempt carries it out
                    async with worker.cancellations.heeded(run_id):
                        await asyncio.sleep(again.seconds)


class _TryAgain(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(0.0, seconds)


async def _claim(run_id: UUID, worker: Worker, held: int | None) -> Claimed | None:
    async with worker.database.transaction(SERVICE) as session:
        claimed = await claims.claim(session, run_id, worker.name, held)
        run = claimed.run if claimed else None
    if run is None:
        logger.info("run.not_claimed", held=held)
    return claimed


async def _carry_on(claimed: Claimed, worker: Worker) -> None:
    run = claimed.run
    deadline = worker.settings.agent.deadline_seconds
    journal = await Journal.resume(
        worker.database, run, deadline_seconds=deadline, scribe=worker.scribe
    )
    if run.attempt > _MOST_ATTEMPTS:
        gave_up = RunError(f"It was given up after {_MOST_ATTEMPTS} attempts.")
        await conclude(journal, Outcome.of_error(gave_up))
        return
    try:
        await _attempt_or_cancel(journal, claimed, worker)
    except RunError as error:
        await _again_or_end(journal, error, worker)
    except (RunTakenOver, DatabaseUnavailable, asyncio.CancelledError):
        raise
    except Exception as error:  # the one place: a fault of ours ends the run and is told as such
        logger.exception("run.fault")
        told = str(error) if isinstance(error, HarborxError) else type(error).__name__
        await conclude(journal, Outcome.of_error(RunError(told)))


async def _attempt_or_cancel(journal: Journal, claimed: Claimed, worker: Worker) -> None:
    try:
        if journal.run.cancel_requested_at is not None:
            raise RunCancelled()
        async with worker.cancellations.heeded(journal.run.id):
            await _attempt(journal, claimed, worker)
    except RunCancelled as cancelled:
        logger.info("run.cancelling")
        journal.cancelled = True
        if journal.run.launched_at is not None:
            await _end_on_the_machine(journal.run, claimed.instance, worker)
        await conclude(journal, Outcome.of_error(cancelled))


async def _end_on_the_machine(run: Run, instance: Instance, worker: Worker) -> None:
    """Before it is recorded: a cancelled run leaves no GPU busy."""
    async with logged_in(instance, worker, run.id) as connection:
        try:
            await clean_own(run, connection, worker)
        except RunTakenOver as error:
            if not await _still_ours(run, worker):
                raise
            logger.warning("run.refused_by_machine", reason=error.detail)  # the janitor asks again


async def _attempt(journal: Journal, claimed: Claimed, worker: Worker) -> None:
    """One connection's worth of the story."""
    instance = claimed.instance
    async with _connected(journal, claimed, worker) as connection:
        await journal.enter(RunState.PREPARING)
        await clean_earlier(journal.run, connection, worker)
        try:
            outcome = await _measure(journal, instance, connection, worker)
        except MachineBusy as busy:
            await _make_way(journal.run, busy, connection, worker)
            raise
        except (AgentError, LaunchError) as error:
            if error.retryable or error.postpones:
                raise
            outcome = Outcome.of_error(error)
        await conclude(journal, outcome)
        await try_to_clean(journal.run, connection, worker)


@asynccontextmanager
async def _connected(
    journal: Journal, claimed: Claimed, worker: Worker
) -> AsyncIterator[Connection]:
    async def tell(host_key: str) -> None:
        facts = {"fingerprint": fingerprint(host_key), "first_contact": True}
        await journal.append([NewEvent("host_key", facts, datetime.now(UTC))])

    async with logged_in(
        claimed.instance, worker, journal.run.id, tell, login=claimed.login
    ) as connection:
        yield connection


async def _measure(
    journal: Journal, instance: Instance, connection: Connection, worker: Worker
) -> Outcome:
    """Launch the benchmark or attach to it, follow it to its end, and judge what it said."""
    try:
        end = await _follow(journal, instance, connection, worker)
    except RunTakenOver as error:
        if not await _still_ours(journal.run, worker):
            raise
        # Only our database says who owns a run; a machine that says otherwise lies or was restored.
        logger.warning("run.refused_by_machine", reason=error.detail)
        return Outcome.of_error(LaunchError("The machine claims that another worker owns the run."))
    await journal.enter(RunState.JUDGING)
    return outcome_of(journal, instance, end, worker.archive.sha256)


async def _follow(
    journal: Journal, instance: Instance, connection: Connection, worker: Worker
) -> FollowEnd | None:
    run, settings = journal.run, worker.settings.agent
    order = Order(
        run_id=str(run.id),
        epoch=run.epoch,
        offset=run.remote_offset,
        spec=_spec(run, instance, worker),
    )
    launched_before = run.launched_at is not None
    # Before the launch is sent: from here on the machine may hold something of this run, whatever we hear.
    await journal.launching()
    async with launch(
        connection,
        worker.archive,
        order,
        deadlines=worker.deadlines,
        expected=instance.host_key is not None,  # we have been there before
    ) as following:
        facts = {"attached": following.attached, "pushed": following.pushed}
        if following.attached and launched_before:  # how long it has been at work we did not see
            journal.interrupted = True
        journal.begun = asyncio.get_running_loop().time()
        try:
            await journal.enter(RunState.RUNNING, **facts)
        except RunTakenOver:
            if not following.attached:
                await _withdraw(run, connection, worker)
            raise
        deadline = asyncio.get_running_loop().time() + settings.deadline_seconds + _GRACE
        async for chunk in following.chunks(deadline=deadline):
            await journal.take(chunk)
        if following.end is None or following.end.reason != NO_END:
            # A follower that vanished left half a line: the next one reads it whole.
            await journal.close()
    return following.end


async def _withdraw(run: Run, connection: Connection, worker: Worker) -> None:
    """
    We were presumed dead, and what we started is for the new owner to attach to. Where the run has ended
    meanwhile nobody will: it is ended under our old epoch, which the machine refuses if a newer one has spoken.
    """
    async with worker.database.transaction(SERVICE) as session:
        current = await runs.get(session, run.id)
    if current.finished_at is None:
        return
    try:
        await clean(connection, worker.archive, str(run.id), run.epoch, deadlines=worker.deadlines)
    except (RunError, RunTakenOver) as error:
        logger.info("run.not_withdrawn", error_code=error.code)


async def _make_way(run: Run, busy: MachineBusy, connection: Connection, worker: Worker) -> None:
    """Another benchmark holds the machine: if it is one of ours that should be over, it ends now."""
    other = busy.evidence.get("other_run", "")
    try:
        if await clean_other(run, UUID(other), connection, worker):
            raise LaunchFailed(
                "An earlier benchmark of this instance was still there; it was ended."
            )
    except ValueError:
        return  # the machine did not name it
    except RunTakenOver:
        return


def _spec(run: Run, instance: Instance, worker: Worker) -> str:
    """The order as the agent reads it, one line of JSON (docs/agent-contract.md)."""
    agent = worker.settings.agent
    options = Options(**run.options)
    if is_cpu(instance.gpu_name):
        options = options.model_copy(update={"device": "cpu"})
    return json.dumps(
        {
            "run_id": str(run.id),
            "epoch": run.epoch,
            "nonce": run.nonce,
            "deadline_seconds": agent.deadline_seconds,
            "options": options.model_dump(),
            "provision": {
                "install": agent.install_torch,
                "torch": agent.torch_version,
                "index_url": agent.torch_index_url,
                "wheels_dir": agent.torch_wheels_dir,
                "build": agent.torch_build,
            },
            "limits": {"events_bytes": 64 * 1024 * 1024, "stderr_bytes": 1024 * 1024},
        }
    )


async def _still_ours(run: Run, worker: Worker) -> bool:
    async with worker.database.transaction(SERVICE) as session:
        return await runs.owns(session, run.id, run.epoch)


async def _again_or_end(journal: Journal, error: RunError, worker: Worker) -> None:
    run = journal.run
    async with worker.database.transaction(SERVICE) as session:
        now = await database_now(session)  # what it is compared with was stamped by that clock
    patience = _patience(run, worker)
    decision = after_error(error, retries=run.retries, now=now, patience=patience)
    if isinstance(decision, End):
        await conclude(journal, Outcome.of_error(_named(error, journal)))
        return
    wait = (decision.at - now).total_seconds()
    facts = {"code": error.code, "message": str(error), "retry_in_seconds": wait}
    if isinstance(decision, Postpone):
        logger.info("run.postponed", error_code=error.code, seconds=wait)
        await journal.postpone(decision.at, NewEvent("postponed", facts, now))
        return
    logger.info("run.retry", error_code=error.code, seconds=wait)
    await journal.append([NewEvent("retry", facts, now)], retries=Run.retries + 1)
    raise _TryAgain(wait)


def _patience(run: Run, worker: Worker) -> Patience:
    longest = timedelta(seconds=worker.settings.agent.deadline_seconds + _GRACE)
    busy = timedelta(seconds=worker.settings.worker.busy_wait_seconds)
    return Patience(
        seek_until=run.launched_at + longest if run.launched_at else None,
        wait_until=run.created_at + busy,
        begun=run.started_at is not None,
    )


def _named(error: RunError, journal: Journal) -> RunError:
    """The error that a run ends with, by what the run has been through."""
    if journal.cancelled:
        return RunCancelled(f"The machine was not reached to end it there: {error}")
    if journal.run.launched_at is not None and isinstance(error, HostUnreachable):
        return ConnectionLost("The machine was not reached again.", evidence=error.evidence)
    return error
