"""The three endpoints of the old system, as its front end and its hand-run agent call them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from orchestrator.api.auth import Tester
from orchestrator.api.idempotency import DESCRIBED, IdempotencyKey, tell_replay
from orchestrator.api.shapes import (
    InstanceShape,
    OnboardRequest,
    ResultShape,
    Submission,
    TestRequest,
)
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given, user_ca
from orchestrator.database import instances
from orchestrator.domain.errors import NotAuthenticated, NotFound, RunInProgress
from orchestrator.runs.api_keys import key_holder
from orchestrator.runs.login_keys import LoginGiven
from orchestrator.runs.request import onboard, request_run_once
from orchestrator.runs.submit import submit_result

router = APIRouter(prefix="/functions/v1", tags=["functions"])


class OnboardAnswer(BaseModel):
    success: bool = True
    gpu_instance: InstanceShape
    inventory_id: UUID | None
    message: str
    public_key: str


class ConnectionInfo(Shown):
    gpu_instance_id: UUID
    ssh_host: str
    ssh_port: int
    ssh_user: str
    gpu_name: str | None


class TestAnswer(BaseModel):
    __test__ = False  # not a test class

    success: bool = True
    message: str
    connection_info: ConnectionInfo
    submit_url: str
    run_id: UUID


class SubmitAnswer(BaseModel):
    success: bool = True
    test_result: ResultShape
    message: str


@router.post("/onboard-gpu", operation_id="onboardGpu", responses={200: {"headers": DESCRIBED}})
async def onboard_gpu(
    body: OnboardRequest,
    caller: Tester,
    given: Given,
    response: Response,
    key: IdempotencyKey = None,
) -> OnboardAnswer:
    """
    Put a machine on record. Without `ssh_key`, authorize the answer's `public_key` on it: with `login` "shared" it
    is our one key for all of the caller's machines.
    """
    onboarded = await onboard(
        given.database,
        given.vault,
        caller.principal,
        body.claims(),
        LoginGiven(
            body.ssh_key,
            body.ssh_key_passphrase,
            shared=body.login == "shared",
            certified_by=user_ca(given) if body.login == "certificate" else None,
        ),
        check_id=body.connection_check_id,
        key=key,
    )
    tell_replay(response, onboarded.replayed)
    message = "GPU instance onboarded. Request a test to activate it."
    if onboarded.ours:
        message = "GPU instance onboarded. Add public_key to ~/.ssh/authorized_keys on it, then request a test."
    return OnboardAnswer(
        gpu_instance=InstanceShape.of(onboarded.instance),
        inventory_id=onboarded.instance.gpu_inventory_id,
        message=message,
        public_key=onboarded.public_key,
    )


@router.post(
    "/request-gpu-test", operation_id="requestGpuTest", responses={200: {"headers": DESCRIBED}}
)
async def request_gpu_test(
    body: TestRequest,
    caller: Tester,
    given: Given,
    request: Request,
    response: Response,
    key: IdempotencyKey = None,
) -> TestAnswer:
    """Ask for a test; the server carries it out. While one is under way, the answer names it."""
    instance_id = _instance_id(body.gpu_instance_id)
    async with given.database.transaction(caller.principal) as session:
        instance = await instances.get(session, instance_id)
    message = "Test requested. The server connects and runs it."
    try:
        requested = await request_run_once(
            given.database,
            caller.principal,
            instance_id,
            body.options,
            "api",
            key,
            new_machines_per_hour=given.settings.ssh.new_machines_per_hour,
        )
        run_id = requested.run.id
        tell_replay(response, requested.replayed)
    except RunInProgress as error:
        message = "A test of this instance is in progress already."
        run_id = UUID(error.evidence["run_id"])
    base = given.public_url or str(request.base_url).rstrip("/")
    return TestAnswer(
        message=message,
        connection_info=ConnectionInfo(
            gpu_instance_id=instance.id,
            ssh_host=instance.ssh_host,
            ssh_port=instance.ssh_port,
            ssh_user=instance.ssh_user,
            gpu_name=instance.gpu_name,
        ),
        submit_url=f"{base}/functions/v1/submit-test-results",
        run_id=run_id,
    )


@router.post("/submit-test-results", operation_id="submitTestResults")
async def submit_test_results(body: Submission, given: Given, request: Request) -> SubmitAnswer:
    """
    Take the result of an agent that was run by hand, signed by an API key: that instance's submit key, the supplier's
    own with scope submit, or the service role's.
    """
    key = request.headers.get("x-api-key") or body.api_key
    if not key:
        raise NotAuthenticated("Missing API key.")
    holder = await key_holder(given.database, key)
    payload: dict[str, Any] = body.model_dump(exclude={"gpu_instance_id", "api_key"})
    instance_id = _instance_id(body.gpu_instance_id)
    result = await submit_result(given.database, instance_id, holder, payload)
    return SubmitAnswer(
        test_result=ResultShape.of(result), message="Test results submitted successfully."
    )


def _instance_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("GPU instance not found.") from error
