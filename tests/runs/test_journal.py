"""What a journal knows of a run whose line broke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.database.models import RunEvent
from orchestrator.runs.journal import watched

START = datetime(2026, 11, 1, tzinfo=UTC)


def told(*rows: tuple[float, str, dict[str, Any]]) -> list[RunEvent]:
    return [
        RunEvent(
            run_id=UUID(int=1),
            seq=seq,
            user_id=UUID(int=2),
            at=START + timedelta(seconds=seconds),
            t=None,
            type=kind,
            body=body,
        )
        for seq, (seconds, kind, body) in enumerate(rows, 1)
    ]


def test_only_unbroken_stretches_of_measuring_are_watched() -> None:
    """Between breaks we saw nothing, warming up is no measuring, and the result ends the last stretch."""
    warm, measure = {"phase": "warmup"}, {"phase": "measure"}
    following = {"state": "running"}
    events = told(
        (0, "state", following),
        (1, "progress", warm),
        (5, "progress", measure),
        (7, "progress", measure),
        (20, "state", {"state": "connecting"}),
        (21, "state", following),
        (22, "progress", measure),
        (25, "progress", measure),
        (26, "result", {}),
        (27, "state", {"state": "judging"}),
    )
    assert watched(events) == 2 + 4
    assert watched(events[:4]) == 2
    assert watched(events[:3]) == 0
    assert watched([]) == 0
