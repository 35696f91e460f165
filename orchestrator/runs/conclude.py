"""The end of a run: what was said is judged, and everything it changes is written in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from orchestrator import log
from orchestrator.database import events, figures, instances, jobs, leavings, results
from orchestrator.database.events import Batch, NewEvent
from orchestrator.database.models import Instance
from orchestrator.database.session import NOW, SERVICE
from orchestrator.domain import roofline
from orchestrator.domain.errors import (
    AgentCrashed,
    AgentError,
    AgentTimedOut,
    ConnectionLost,
    DiskFull,
    GpuMissing,
    HarborxError,
    HostRebooted,
    OptionUnsupported,
    OutOfMemory,
    OutputFlood,
    OutputRefused,
    ProvisionDiskFull,
    ProvisionFailed,
    ProvisionGlibcOld,
    ProvisionNoNetwork,
    ProvisionPythonUnfit,
    RunError,
    RunFolderLost,
    WrongArithmetic,
)
from orchestrator.domain.events import Failed, Measurement
from orchestrator.domain.instance_status import InstanceStatus, after_run
from orchestrator.domain.options import Options
from orchestrator.domain.run_states import RunState
from orchestrator.domain.sanitise import printable
from orchestrator.domain.verdict import Claim, Figures, Verdict, judge
from orchestrator.runs.journal import Journal
from orchestrator.ssh.follow import End

logger = log.get(__name__)

_REASONS: Final[dict[str, type[RunError]]] = {
    "deadline": AgentTimedOut,
    "output_limit": OutputFlood,
    "disk_full": DiskFull,
    "host_rebooted": HostRebooted,
    "folder_lost": RunFolderLost,
    "supervisor_lost": AgentCrashed,
    "no_end": ConnectionLost,
}
_AGENT_CODES: Final[dict[str, type[RunError]]] = {
    cls.code: cls
    for cls in (
        ProvisionFailed,
        ProvisionDiskFull,
        ProvisionNoNetwork,
        ProvisionGlibcOld,
        ProvisionPythonUnfit,
        OutOfMemory,
        WrongArithmetic,
        OptionUnsupported,
        GpuMissing,
    )
}


@dataclass(frozen=True)
class Outcome:
    """How a run ends; `measured` and `verdict` where there is a result to keep."""

    state: RunState
    error_code: str | None = None
    error_message: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    measured: Measurement | None = None
    verdict: Verdict | None = None
    agent_sha256: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_error(cls, error: RunError, facts: dict[str, Any] | None = None) -> Self:
        return cls(
            RunState(error.ending), error.code, str(error), error.evidence, facts=facts or {}
        )


def outcome_of(journal: Journal, instance: Instance, end: End | None, sha256: str) -> Outcome:
    """
    What the machine said and how it ended, judged. Pure but for its inputs' clocks.

    Raises `ConnectionLost` where the follower vanished and the benchmark may still run.
    """
    error = _unjudgeable(journal, end)
    if error is not None:
        if isinstance(error, ConnectionLost):
            raise error
        return Outcome.of_error(error, _facts(journal))
    measured = journal.result
    if measured is None:  # _unjudgeable has an error for every run without a result
        raise AssertionError("no result to judge")
    verdict = judge(
        Figures.of(measured),
        Claim(instance.gpu_name, instance.gpu_count),
        requested=Options(**journal.run.options),
        observation=journal.observation,
        findings=[(each.code, each.message) for each in journal.findings],
    )
    failure = verdict.error
    return Outcome(
        state=verdict.state,
        error_code=failure.code if failure else None,
        error_message=_first_failure(verdict) if failure else None,
        measured=measured,
        verdict=verdict,
        agent_sha256=sha256,
        facts=_facts(journal),
    )


async def conclude(journal: Journal, outcome: Outcome) -> None:
    """
    Write the end: run, result, instance, inventory item and the last event, in one transaction.

    Raises `RunTakenOver` when the run is not ours any more; then nothing was written.
    """
    run = journal.run
    before = InstanceStatus(run.instance_status, run.instance_test_status)
    status = after_run(outcome.state, outcome.error_code, before)
    ending = NewEvent("ended", _told(outcome), datetime.now(UTC))
    changes: dict[str, Any] = {
        "state": outcome.state,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "evidence": outcome.evidence,
        "finished_at": NOW,
    }
    if run.launched_at is not None and run.cleaned_at is None:
        changes["clean_due_at"] = leavings.soon()
    async with journal.database.transaction(SERVICE) as session:
        await instances.lock(session, run.instance_id)
        journal.run = await events.append(session, run.id, run.epoch, Batch([ending], changes))
        if outcome.measured and outcome.verdict:
            await results.store(session, _result_row(journal, outcome))
            await figures.keep(session, journal.run, outcome.measured.gpu_name)
        await jobs.drop_waiting(session, run)
        proven = outcome.state in (RunState.PASSED, RunState.FAILED)
        await results.settle_instance(
            session, run.instance_id, status, tested=proven, facts=outcome.facts
        )
    logger.info(
        "run.ended", state=str(outcome.state), error_code=outcome.error_code, attempt=run.attempt
    )


def _unjudgeable(journal: Journal, end: End | None) -> RunError | None:
    """Why there is no result that can be judged, or None. The gravest reason first."""
    evidence = _evidence(journal, end)
    if journal.failed is not None:
        return _agent_said(journal.failed, evidence)
    if end is not None and end.reason in _REASONS and journal.result is None:
        return _REASONS[end.reason](evidence=evidence)
    died = end is not None and (end.signal is not None or end.status not in (0, None))
    if journal.result is None and died:
        return AgentCrashed(_how_it_died(end), evidence=evidence)
    if journal.refusals:
        first = journal.refusals[0]
        return OutputRefused(f"First: {first.reason}.", evidence=evidence)
    if journal.result is None:
        if journal.decoder.next_seq == 0:
            return OutputRefused("It said nothing of a benchmark.", evidence=evidence)
        return AgentCrashed("It stopped in the middle.", evidence=evidence)
    return None


def _agent_said(failed: Failed, evidence: dict[str, Any]) -> RunError:
    error = _AGENT_CODES.get(failed.code, AgentError)
    said = {"agent_code": printable(failed.code, 200), "detail": printable(failed.detail)}
    return error(printable(failed.message, 500), evidence={**evidence, **said})


def _how_it_died(end: End | None) -> str:
    if end is None:
        return ""
    return f"Signal {end.signal}." if end.signal else f"Exit status {end.status}."


def _evidence(journal: Journal, end: End | None) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    if end is not None:
        seen = {"status": end.status, "signal": end.signal, "reason": end.reason}
        seen["stderr_tail"] = end.stderr_tail
    if journal.refusals:
        seen["refused"] = [
            {"reason": refused.reason, "text": refused.excerpt} for refused in journal.refusals[:5]
        ]
    return {name: value for name, value in seen.items() if value not in (None, "")}


def _first_failure(verdict: Verdict) -> str:
    line = next(line for line in verdict.lines if line.passed is False)
    error = line.error or HarborxError
    return f"{error.sentence} {line.text[:1].upper()}{line.text[1:]}."


def _facts(journal: Journal) -> dict[str, Any]:
    """What was measured about the machine itself, for its instance."""
    names = ("ram_gb", "cpu_count", "disk_space_gb", "cuda_version", "gpu_name", "gpu_count")
    told: dict[str, Any] = {}
    for source in (journal.probe, journal.result and journal.result.system_telemetry):
        if source is not None:
            told |= {name: value for name in names if (value := getattr(source, name)) is not None}
    return told


def _told(outcome: Outcome) -> dict[str, Any]:
    body: dict[str, Any] = {"state": outcome.state}
    if outcome.error_code:
        body |= {"code": outcome.error_code, "message": outcome.error_message}
    if outcome.verdict:
        body["verdict"] = outcome.verdict.evidence
    return body


def _result_row(journal: Journal, outcome: Outcome) -> dict[str, Any]:
    measured, verdict, run = outcome.measured, outcome.verdict, journal.run
    if measured is None or verdict is None:
        raise AssertionError("a result row needs a measurement and its verdict")
    same = measured.model_dump(
        exclude={
            "type",
            "gpu_name",
            "gpu_count",
            "parameters",
            "system_telemetry",
            "python_version",
        }
    )
    return {
        **same,
        "gpu_instance_id": run.instance_id,
        "user_id": run.user_id,
        "run_id": run.id,
        "source": "pushed",
        **roofline.shares_of(measured),
        "findings": [each.model_dump(include={"code", "message"}) for each in journal.findings],
        "measured_gpu_name": measured.gpu_name,
        "measured_gpu_count": measured.gpu_count,
        "agent_sha256": outcome.agent_sha256,
        "verdict": verdict.state,
        "evidence": verdict.evidence,
        "started_at": run.started_at,
        "completed_at": NOW,
    }
