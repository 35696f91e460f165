"""
States of a run and the only moves between them.

    queued -> connecting -> preparing -> running -> judging -> passed | failed | inconclusive | cancelled

A run may end from any unfinished state, and goes back to `queued` when it is put off. A worker that takes over an unfinished run, and a retry, start at
`connecting` again and re-attach to what runs on the machine.
`schema.sql` holds the rule that matters most in a trigger: a finished run never moves.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    QUEUED = "queued"
    CONNECTING = "connecting"
    PREPARING = "preparing"
    RUNNING = "running"
    JUDGING = "judging"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in FINISHED


FINISHED = frozenset({RunState.PASSED, RunState.FAILED, RunState.INCONCLUSIVE, RunState.CANCELLED})
UNFINISHED = frozenset(RunState) - FINISHED

_ORDER = (
    RunState.QUEUED,
    RunState.CONNECTING,
    RunState.PREPARING,
    RunState.RUNNING,
    RunState.JUDGING,
)


def may_move(current: RunState, target: RunState) -> bool:
    """Whether a run in `current` may become `target`. Finished runs never move."""
    if current.finished or current is target:
        return False
    if target is RunState.PASSED:
        return current is RunState.JUDGING
    if target.finished or target in (RunState.QUEUED, RunState.CONNECTING):
        return True
    return _ORDER.index(target) == _ORDER.index(current) + 1
