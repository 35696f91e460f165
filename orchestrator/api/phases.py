"""The phases of a run, with what they usually take: for a progress display that tells when it will be over."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from orchestrator.api.auth import Reader
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.database import phases, runs
from orchestrator.domain.phases import PhaseName, expected_seconds, phases_of

router = APIRouter(prefix="/v1", tags=["runs"])


class PhaseShape(Shown):
    """`ended_at` is null while it lasts."""

    model_config = ConfigDict(from_attributes=True)

    name: PhaseName
    started_at: datetime
    ended_at: datetime | None


class PhasesShape(BaseModel):
    """
    `phases` are those that have begun, in order; one that this run had no need of is not there. `expected` are median
    seconds of `basis` earlier runs that passed: of this instance and profile, or else of the same GPU model.
    """

    phases: list[PhaseShape]
    expected: dict[PhaseName, float]
    basis: int


@router.get("/runs/{run_id}/phases", operation_id="getPhases")
async def get_phases(run_id: UUID, caller: Reader, given: Given) -> PhasesShape:
    """What a run has been through and is at, and how long that takes as a rule."""
    async with given.database.transaction(caller.principal) as session:
        run = await runs.get(session, run_id)
        earlier = await phases.earlier(session, run)
        told = await phases.told(session, [run.id, *(each.id for each in earlier)])
    mine = phases_of(run.created_at, run.finished_at, told.get(run.id, ()))
    theirs = [
        phases_of(each.created_at, each.finished_at, told.get(each.id, ())) for each in earlier
    ]
    return PhasesShape(
        phases=[PhaseShape.model_validate(phase) for phase in mine],
        expected=expected_seconds(theirs),
        basis=len(earlier),
    )
