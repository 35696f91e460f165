"""A result that an agent run by hand submitted: judged like any other, marked as what it is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestrator.database import results
from orchestrator.database.models import Result
from orchestrator.database.session import LOGIN, Database
from orchestrator.domain import gpu_catalogue
from orchestrator.domain.errors import NotAllowed, SubmissionIncomplete
from orchestrator.domain.instance_status import InstanceStatus, after_run
from orchestrator.domain.options import Options
from orchestrator.domain.run_states import RunState
from orchestrator.domain.sanitise import printable
from orchestrator.domain.verdict import Claim, Figures, Line, Verdict, judge
from orchestrator.runs.api_keys import KeyHolder


async def submit_result(
    database: Database, instance_id: UUID, holder: KeyHolder, payload: dict[str, Any]
) -> Result:
    """
    The stored result with its verdict; the instance and its inventory item are settled with it.

    `payload` has the guide's fields, already bounded; `holder` is the key that signs it: a supplier's, for one instance
    or all, or the service role's. Raises `NotAllowed`, and `NotFound` for an instance that is not the key's.
    """
    if "submit" not in holder.scopes:
        raise NotAllowed("This API key lacks the scope 'submit'.")
    user_id = holder.user_id
    async with database.transaction(LOGIN) as session:
        instance = await results.submission_target(
            session, instance_id, user_id, only=holder.instance_id
        )
        verdict = _judge(payload, Claim(instance.gpu_name, instance.gpu_count))
        state = verdict.state
        code = verdict.error.code if verdict.error else None
        status = after_run(state, code, InstanceStatus(instance.status, instance.test_status))
        facts = {name: v for name, v in payload["system_telemetry"].items() if v is not None}
        row = _row(payload, verdict)
        return await results.submit(
            session,
            instance_id,
            user_id,
            row,
            status,
            tested=state is not RunState.INCONCLUSIVE,
            facts=facts if state is RunState.PASSED else {},
        )


def _judge(payload: dict[str, Any], claim: Claim) -> Verdict:
    telemetry, error = payload["system_telemetry"], payload["error_message"]
    samples = payload["throughput_samples_per_sec"]
    figures = Figures(
        throughput=payload["throughput_images_per_sec"] if samples is None else samples,
        latency_ms=payload["latency_ms"],
        options=Options.model_construct(
            batch_size=payload["batch_size"],
            num_epochs=payload["num_epochs"],
            image_size=payload["image_size"],
        ),
        gpu_name=telemetry["gpu_name"],
        gpu_count=telemetry["gpu_count"],
        error_message=printable(error, 500) if error else None,
    )
    origin = Line("origin", None, "submitted by an agent run by hand: not measured by us")
    return Verdict((origin, *judge(figures, claim).lines, _completeness(figures, claim)))


def _completeness(figures: Figures, claim: Claim) -> Line:
    """A bare number above zero proves nothing: without these figures no check could have failed."""
    missing = [
        name
        for name, value in (
            ("throughput", figures.throughput),
            ("latency_ms", figures.latency_ms),
            ("gpu_name", figures.gpu_name or gpu_catalogue.is_cpu(claim.gpu_name) or None),
        )
        if value is None
    ]
    if missing:
        return Line("complete", False, f"not told: {', '.join(missing)}", SubmissionIncomplete)
    return Line("complete", True, "throughput, latency and device are told")


def _row(payload: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    same = {name: value for name, value in payload.items() if name != "system_telemetry"}
    samples, images = same["throughput_samples_per_sec"], same["throughput_images_per_sec"]
    error = same["error_message"]
    return {
        **same,
        "throughput_samples_per_sec": images if samples is None else samples,
        "throughput_images_per_sec": samples if images is None else images,
        "error_message": printable(error, 4000) if error else None,
        "measured_gpu_name": payload["system_telemetry"]["gpu_name"],
        "measured_gpu_count": payload["system_telemetry"]["gpu_count"],
        "cuda_version": payload["system_telemetry"]["cuda_version"],
        "verdict": verdict.state,
        "evidence": verdict.evidence,
    }
