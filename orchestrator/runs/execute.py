"""
THE STORY of a run: load -> connect -> push -> launch -> follow -> store -> judge -> apply.

No transaction is open across the network: each step of the database is a short one under the epoch that
the claim gave us, so a worker that was presumed dead can change nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from orchestrator import log
from orchestrator.config import Settings
from orchestrator.database import instances, runs
from orchestrator.database.events import NewEvent
from orchestrator.database.models import Instance, Run
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain.errors import (
    AgentError,
    ConnectionLost,
    CredentialUnusable,
    DatabaseUnavailable,
    HarborxError,
    HostUnreachable,
    LaunchError,
    RunError,
    RunTakenOver,
)
from orchestrator.domain.gpu_catalogue import is_cpu
from orchestrator.domain.options import Options
from orchestrator.domain.retry import End, after_error
from orchestrator.domain.run_states import RunState
from orchestrator.runs.conclude import Outcome, conclude, outcome_of
from orchestrator.runs.journal import Journal
from orchestrator.runs.request import credential_binding
from orchestrator.ssh import agent_archive
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.clean import clean
from orchestrator.ssh.connection import Connection, Deadlines, Target, connect
from orchestrator.ssh.follow import NO_END
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import fingerprint
from orchestrator.ssh.launch import Order, launch
from orchestrator.vault import Sealed, Vault

logger = log.get(__name__)

# The machine ends the benchmark itself at its deadline; we give up a little later.
_GRACE: Final = 60.0
_MOST_ATTEMPTS: Final = 200  # claims of one run, however they came about
_MOST_CLEANED: Final = 5
_DATABASE_WAIT: Final = 1.0  # seconds between tries while PostgreSQL is away


@dataclass(frozen=True)
class Worker:
    """What executing runs needs, made once a process."""

    database: Database
    vault: Vault
    settings: Settings
    name: str

    @property
    def policy(self) -> AddressPolicy:
        return AddressPolicy(self.settings.ssh.allowed_networks)

    @property
    def deadlines(self) -> Deadlines:
        ssh = self.settings.ssh
        return Deadlines(connect=ssh.connect_timeout, login=ssh.login_timeout)


async def execute_run(run_id: UUID, worker: Worker) -> None:
    """
    Carry a run to its end, or to where another worker owns it.

    Whatever happens is told by the run's row: nothing is raised but cancellation.
    """
    with structlog.contextvars.bound_contextvars(run_id=str(run_id)):
        while True:
            try:
                await _claim_and_attempt(run_id, worker)
                return
            except RunTakenOver:
                logger.info("run.taken_over")
                return
            except DatabaseUnavailable as error:
                logger.warning("run.database_away", reason=error.detail)
                await asyncio.sleep(_DATABASE_WAIT)
            except _TryAgain as again:
                await asyncio.sleep(again.seconds)


class _TryAgain(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = max(0.0, seconds)


async def _claim_and_attempt(run_id: UUID, worker: Worker) -> None:
    async with worker.database.transaction(SERVICE) as session:
        run = await runs.claim(session, run_id, worker.name)
        if run is None:
            logger.info("run.finished_before")
            return
        instance = await instances.get(session, run.instance_id)
    journal = await Journal.resume(worker.database, run)
    if run.attempt > _MOST_ATTEMPTS:
        gave_up = RunError(f"It was given up after {_MOST_ATTEMPTS} attempts.")
        await conclude(journal, Outcome.of_error(gave_up))
        return
    try:
        await _attempt(journal, instance, worker)
    except RunError as error:
        await _again_or_end(journal, error, worker)
    except (RunTakenOver, DatabaseUnavailable, asyncio.CancelledError):
        raise
    except Exception as error:  # the one place: a fault of ours ends the run and is told as such
        logger.exception("run.fault")
        told = str(error) if isinstance(error, HarborxError) else type(error).__name__
        await conclude(journal, Outcome.of_error(RunError(told)))


async def _attempt(journal: Journal, instance: Instance, worker: Worker) -> None:
    """One connection's worth of the story."""
    await journal.enter(RunState.CONNECTING, attempt=journal.run.attempt, worker=worker.name)
    async with _connected(journal, instance, worker) as connection:
        await journal.enter(RunState.PREPARING)
        await _clean_earlier(journal.run, connection, worker)
        try:
            outcome = await _measure(journal, instance, connection, worker)
        except (AgentError, LaunchError) as error:
            if error.retryable:
                raise
            outcome = Outcome.of_error(error)
        except RunTakenOver as error:
            if not await _still_ours(journal.run, worker):
                raise
            # Only our database says who owns a run; a machine that says otherwise lies or was restored.
            refused = LaunchError("The machine claims that another worker owns the run.")
            outcome = Outcome.of_error(refused)
            logger.warning("run.refused_by_machine", reason=error.detail)
        await conclude(journal, outcome)
        await _clean(journal.run, connection, worker)


@asynccontextmanager
async def _connected(
    journal: Journal, instance: Instance, worker: Worker
) -> AsyncIterator[Connection]:
    """A login on the instance, after its host key was checked."""
    target = await _target(instance, worker)
    if instance.host_key is None:
        host_key = await _pin_host_key(journal, target, instance.id, worker)
        target = Target(
            target.host, target.port, target.user, target.private_key, host_key, target.policy
        )
    attempts = worker.settings.ssh.connect_attempts
    async with connect(target, deadlines=worker.deadlines, attempts=attempts) as connection:
        yield connection


async def _target(instance: Instance, worker: Worker) -> Target:
    async with worker.database.transaction(SERVICE) as session:
        stored = await instances.credential(session, instance.id)
    if stored is None:
        raise CredentialUnusable("The instance has no login on record.")
    private_key = worker.vault.open(
        Sealed(stored.key_id, stored.wrapped_key, stored.ciphertext),
        credential_binding(stored.user_id, stored.id),
    )
    return Target(
        host=instance.ssh_host,
        port=instance.ssh_port,
        user=instance.ssh_user,
        private_key=private_key,
        host_key=instance.host_key,
        policy=worker.policy,
    )


async def _pin_host_key(journal: Journal, target: Target, instance_id: UUID, worker: Worker) -> str:
    """First contact: the machine's key goes on record before any login is tried."""
    presented = await first_contact(
        target.endpoint, deadlines=worker.deadlines, attempts=worker.settings.ssh.connect_attempts
    )
    async with worker.database.transaction(SERVICE) as session:
        host_key = await instances.pin_host_key(session, instance_id, presented)
    facts = {"fingerprint": fingerprint(host_key), "first_contact": True}
    await journal.append([NewEvent("host_key", facts, datetime.now(UTC))])
    return host_key


async def _measure(
    journal: Journal, instance: Instance, connection: Connection, worker: Worker
) -> Outcome:
    """Launch the benchmark or attach to it, follow it to its end, and judge what it said."""
    run, settings = journal.run, worker.settings.agent
    order = Order(
        run_id=str(run.id),
        epoch=run.epoch,
        offset=run.remote_offset,
        spec=_spec(run, instance, worker),
    )
    archive = agent_archive.pack()
    async with launch(connection, archive, order, deadlines=worker.deadlines) as following:
        facts = {"attached": following.attached, "pushed": following.pushed}
        journal.begun = asyncio.get_running_loop().time()
        await journal.enter(RunState.RUNNING, **facts)
        deadline = asyncio.get_running_loop().time() + settings.deadline_seconds + _GRACE
        async for chunk in following.chunks(deadline=deadline):
            await journal.take(chunk)
        if following.end is None or following.end.reason != NO_END:
            await (
                journal.close()
            )  # a follower that vanished left half a line: the next one reads it whole
    await journal.enter(RunState.JUDGING)
    return outcome_of(journal, instance, following.end, archive.sha256)


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
            },
            "limits": {"events_bytes": 64 * 1024 * 1024, "stderr_bytes": 1024 * 1024},
        }
    )


async def _still_ours(run: Run, worker: Worker) -> bool:
    async with worker.database.transaction(SERVICE) as session:
        return await runs.owns(session, run.id, run.epoch)


async def _again_or_end(journal: Journal, error: RunError, worker: Worker) -> None:
    now = datetime.now(UTC)
    run = journal.run
    seek_until = None
    if run.started_at is not None:
        longest = worker.settings.agent.deadline_seconds + _GRACE
        seek_until = run.started_at + timedelta(seconds=longest)
    decision = after_error(error, attempt=run.attempt, now=now, seek_until=seek_until)
    if isinstance(decision, End):
        if seek_until is not None and isinstance(error, HostUnreachable):
            error = ConnectionLost("The machine was not reached again.", evidence=error.evidence)
        await conclude(journal, Outcome.of_error(error))
        return
    wait = (decision.at - now).total_seconds()
    logger.info("run.retry", error_code=error.code, seconds=wait)
    facts = {"code": error.code, "message": str(error), "retry_in_seconds": wait}
    await journal.append([NewEvent("retry", facts, now)])
    raise _TryAgain(wait)


async def _clean_earlier(run: Run, connection: Connection, worker: Worker) -> None:
    """
    End what earlier runs may have left on this machine: a benchmark that we lost sight of would
    share the device with this one.
    """
    async with worker.database.transaction(SERVICE) as session:
        earlier = await runs.uncleaned(session, run.instance_id, _MOST_CLEANED)
    for each in earlier:
        await _clean(each, connection, worker)


async def _clean(run: Run, connection: Connection, worker: Worker) -> None:
    """Leave nothing behind; what fails here is done before the instance's next run."""
    try:
        archive = agent_archive.pack()
        await clean(connection, archive, str(run.id), run.epoch, deadlines=worker.deadlines)
    except (RunError, RunTakenOver) as error:
        logger.warning("run.not_cleaned", error_code=error.code)
        return
    async with worker.database.transaction(SERVICE) as session:
        await runs.mark_cleaned(session, run.id)
