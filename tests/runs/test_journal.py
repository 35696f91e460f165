"""What a journal knows of a run whose line broke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orchestrator.database.models import RunEvent
from orchestrator.runs.journal import watched

START = datetime(2026, 11, 1, tzinfo=UTC)


def told(*rows: tuple[float, str, dict[str, Any]], slower: float = 1.0) -> list[RunEvent]:
    """Events as received; the machine's clock tells `slower` times as much."""
    return [
        RunEvent(
            run_id=UUID(int=1),
            seq=seq,
            user_id=UUID(int=2),
            at=START + timedelta(seconds=seconds),
            t=seconds * slower,
            type=kind,
            body=body,
        )
        for seq, (seconds, kind, body) in enumerate(rows, 1)
    ]


def test_only_unbroken_stretches_of_measuring_are_watched() -> None:
    """Between breaks we saw nothing, warming up is no measuring, and neither is what follows it."""
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
    assert watched(events) == 2 + 3
    assert watched(events[:4]) == 2
    assert watched(events[:3]) == 0
    assert watched([]) == 0


def test_a_machine_that_tells_less_time_than_passes_is_found_out_by_many_gaps() -> None:
    """Each gap counts as we saw it while it is short, so a benchmark's worth of them adds up."""
    rows = [(float(second), "progress", {"phase": "measure"}) for second in range(30)]
    assert watched(told(*rows, slower=0.01)) == 29


def test_one_long_gap_is_nobodys_lie() -> None:
    """A worker or a line that was frozen for a while is no evidence against the machine."""
    events = told(*((float(second), "progress", {"phase": "measure"}) for second in range(4)))
    for event in events[2:]:
        event.at += timedelta(seconds=60)
    assert watched(events) == 1 + 4 + 1
