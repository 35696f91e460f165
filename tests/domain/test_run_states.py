"""Moves of a run, what its end means for the instance, and whether it is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.errors import (
    AgentCrashed,
    ConnectionLost,
    HostUnreachable,
    LoginRefused,
    PushFailed,
    RunError,
)
from orchestrator.domain.instance_status import InstanceStatus, after_run
from orchestrator.domain.retry import MAX_ATTEMPTS, End, RetryAt, after_error
from orchestrator.domain.run_states import FINISHED, RunState, may_move

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ENDS = {"failed", "inconclusive", "cancelled"}
ALLOWED = {
    "queued": {"connecting", *ENDS},
    "connecting": {"queued", "preparing", *ENDS},
    "preparing": {"queued", "connecting", "running", *ENDS},
    "running": {"queued", "connecting", "judging", *ENDS},
    "judging": {"queued", "connecting", "passed", *ENDS},
    **{state: set() for state in ("passed", *ENDS)},
}


@pytest.mark.parametrize("current", RunState)
def test_only_these_moves_exist(current: RunState) -> None:
    """A run goes one step on, back to connecting or queued, or ends; only a judged one passes; ends are final."""
    assert {target for target in RunState if may_move(current, target)} == ALLOWED[current]
    assert current.finished == (not ALLOWED[current]) == (current in FINISHED)


@pytest.mark.parametrize("before", [("pending", "not_started"), ("active", "completed")])
def test_what_an_end_means_for_the_instance(before: tuple[str, str]) -> None:
    """Passed and failed are written; what could not be measured or was cancelled changes nothing."""
    was = InstanceStatus(*before)
    assert after_run(RunState.PASSED, None, was) == InstanceStatus("active", "completed")
    failed = after_run(RunState.FAILED, AgentCrashed.code, was)
    assert failed == InstanceStatus("failed", "failed")
    gone = after_run(RunState.FAILED, HostUnreachable.code, was)
    assert gone == InstanceStatus("offline", "failed")
    assert after_run(RunState.INCONCLUSIVE, "host_rebooted", was) == was
    assert after_run(RunState.CANCELLED, None, was) == was


LATER = NOW + timedelta(hours=1)


def _waits(error: RunError, seek_until: datetime | None) -> list[float | None]:
    decisions = [
        after_error(error, attempt=attempt, now=NOW, seek_until=seek_until)
        for attempt in range(1, MAX_ATTEMPTS + 1)
    ]
    return [
        (each.at - NOW) / timedelta(seconds=1) if isinstance(each, RetryAt) else None
        for each in decisions
    ]


def test_a_lost_connection_is_sought_again_ever_later() -> None:
    """Waits double; before the launch the last attempt ends the run."""
    assert _waits(PushFailed(), None) == [2, 4, 8, 16, 32, None]
    assert _waits(ConnectionLost(), LATER) == [2, 4, 8, 16, 32, 60]


def test_an_unreachable_machine_is_sought_again_only_while_it_works() -> None:
    """Who asked for a test of a dead address hears so at once; a running benchmark is looked for to its end."""
    assert _waits(HostUnreachable(), None) == [None] * MAX_ATTEMPTS
    assert _waits(HostUnreachable(), LATER) == [2, 4, 8, 16, 32, 60]
    assert _waits(HostUnreachable(), NOW) == [None] * MAX_ATTEMPTS


def test_what_another_try_can_not_mend_ends() -> None:
    """A refused login or a crash is never tried again."""
    for error in (LoginRefused(), AgentCrashed(), RunError()):
        assert after_error(error, attempt=1, now=NOW, seek_until=LATER) == End()
