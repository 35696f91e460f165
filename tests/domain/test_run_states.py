"""Moves of a run, what its end means for the instance, and whether it is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain.errors import (
    AgentCrashed,
    ConnectionLost,
    GpuBusy,
    HostUnreachable,
    LaunchFailed,
    LoginRefused,
    MachineBusy,
    PushFailed,
    RunError,
)
from orchestrator.domain.instance_status import InstanceStatus, after_run
from orchestrator.domain.retry import (
    MAX_RETRIES,
    End,
    Patience,
    Postpone,
    RetryAt,
    after_error,
)
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
FOUND_BUSY = [GpuBusy(), MachineBusy()]


def _waits(
    error: RunError, seek_until: datetime | None, *, begun: bool = False
) -> list[float | None]:
    """Seconds until the next try after each of the first seven errors, None where the run ends."""
    patience = Patience(seek_until, LATER, begun)
    decisions = [
        after_error(error, retries=retries, now=NOW, patience=patience)
        for retries in range(MAX_RETRIES + 1)
    ]
    return [
        (each.at - NOW) / timedelta(seconds=1) if isinstance(each, RetryAt) else None
        for each in decisions
    ]


def test_a_lost_connection_is_sought_again_ever_later() -> None:
    """Waits double; before the launch the sixth retry is the last, and none waits long once it was launched."""
    assert _waits(ConnectionLost(), None) == [2, 4, 8, 16, 32, 60, None]
    assert _waits(ConnectionLost(), LATER) == [2, 4, 8, 10, 10, 10, 10]


def test_a_machine_that_will_not_launch_is_asked_a_few_times() -> None:
    """A failure of the machine's, told by it, is not repeated for an hour, unless the benchmark has spoken before."""
    for seek_until in (None, LATER):
        assert _waits(PushFailed(), seek_until) == [2, 4, 8, 16, 32, 60, None]
    assert _waits(LaunchFailed(), LATER, begun=True) == [2, 4, 8, 10, 10, 10, 10]


def test_an_unreachable_machine_is_sought_again_only_where_it_had_answered() -> None:
    """Who asked for a test of a dead address hears so at once; a running benchmark is looked for to its end."""
    assert _waits(HostUnreachable(), None) == [None, 4, 8, 16, 32, 60, None]
    assert _waits(HostUnreachable(), LATER) == [2, 4, 8, 10, 10, 10, 10]
    assert _waits(HostUnreachable(), NOW) == [None] * 7


@pytest.mark.parametrize("error", FOUND_BUSY)
def test_a_busy_machine_is_put_off_until_patience_ends(error: RunError) -> None:
    """Nothing was started, so the run waits, in the queue and ever longer, and ends only with its patience."""
    patience = Patience(None, wait_until=NOW + timedelta(minutes=12))
    put_off = [after_error(error, retries=n, now=NOW, patience=patience) for n in (0, 1, 2, 9)]
    assert put_off == [Postpone(NOW + timedelta(minutes=minutes)) for minutes in (1, 2, 4, 10)]
    later = NOW + timedelta(minutes=11)
    last = after_error(error, retries=9, now=later, patience=patience)
    assert last == Postpone(patience.wait_until)
    assert after_error(error, retries=9, now=patience.wait_until, patience=patience) == End()


def test_what_another_try_can_not_mend_ends() -> None:
    """A refused login or a crash is never tried again."""
    for error in (LoginRefused(), AgentCrashed(), RunError()):
        decision = after_error(error, retries=0, now=NOW, patience=Patience(LATER, LATER))
        assert decision == End()
