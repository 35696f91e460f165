"""What phases of runs are made of: the few events that begin one, and earlier runs to compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Run
from orchestrator.domain.gpu_catalogue import is_cpu, matches
from orchestrator.domain.phases import Told

_MOST: Final = 10

# Of the agent's many progress events the first of each kind.
_TOLD: Final = text(
    """
    SELECT run_id, seq, at, type, body ->> 'state' AS name
    FROM gpu_test_events WHERE run_id = ANY (:run_ids) AND type IN ('state', 'postponed', 'result')
    UNION ALL
    (SELECT DISTINCT ON (run_id, body ->> 'phase') run_id, seq, at, type, body ->> 'phase' AS name
     FROM gpu_test_events WHERE run_id = ANY (:run_ids) AND type = 'progress'
     ORDER BY run_id, body ->> 'phase', seq)
    ORDER BY run_id, seq
    """
)
_OF_INSTANCE: Final = text(
    """
    SELECT id, created_at, finished_at FROM gpu_test_runs
    WHERE instance_id = :instance_id AND created_at < :before AND state = 'passed'
      AND coalesce(options ->> 'profile', 'quick') = :profile
    ORDER BY created_at DESC LIMIT :most
    """
)
_OF_OTHERS: Final = text(
    """
    SELECT run.id, run.created_at, run.finished_at, result.measured_gpu_name, result.device
    FROM (SELECT * FROM gpu_test_results WHERE created_at < :before
          ORDER BY created_at DESC, id DESC LIMIT 1000) result
    JOIN gpu_test_runs run ON run.id = result.run_id
    WHERE run.state = 'passed' AND coalesce(run.options ->> 'profile', 'quick') = :profile
    ORDER BY result.created_at DESC, result.id DESC
    """
)
_MODEL: Final = text(
    """
    SELECT coalesce((SELECT r.measured_gpu_name FROM gpu_test_results r
                     WHERE r.gpu_instance_id = i.id AND r.measured_gpu_name IS NOT NULL
                     ORDER BY r.created_at DESC, r.id DESC LIMIT 1), i.gpu_name)
    FROM gpu_instances i WHERE i.id = :instance_id
    """
)


@dataclass(frozen=True)
class Earlier:
    """A run that passed."""

    id: UUID
    created_at: datetime
    finished_at: datetime


async def told(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, list[Told]]:
    """The events of each run that may begin a phase, in order."""
    found: defaultdict[UUID, list[Told]] = defaultdict(list)
    for row in await _rows(session, _TOLD, run_ids=list(run_ids)):
        found[row.run_id].append(Told(row.type, row.name, row.at))
    return found


async def earlier(session: AsyncSession, run: Run) -> list[Earlier]:
    """
    Up to ten earlier runs of the same profile that passed, newest first: of the same instance, or else of the
    caller's latest tests those of the same GPU model.
    """
    asked = {"before": run.created_at, "profile": run.options.get("profile", "quick")}
    of_instance = await _rows(
        session, _OF_INSTANCE, instance_id=run.instance_id, most=_MOST, **asked
    )
    if of_instance:
        return [Earlier(*row) for row in of_instance]
    (model,) = (await _rows(session, _MODEL, instance_id=run.instance_id))[0]
    if model is None:
        return []
    others = await _rows(session, _OF_OTHERS, **asked)
    alike = (row for row in others if _alike(model, row.measured_gpu_name, row.device))
    return [Earlier(*row[:3]) for row in islice(alike, _MOST)]


def _alike(model: str, measured: str | None, device: str | None) -> bool:
    if is_cpu(model):
        return device == "cpu"
    return measured is not None and matches(model, measured)


async def _rows(session: AsyncSession, statement: TextClause, **values: Any) -> Sequence[Any]:
    found: Sequence[Any] = (await session.exec(statement, params=values)).all()  # type: ignore[call-overload]
    return found
