"""Whether a run goes on after an error. Pure: error, what was tried, and now in; a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.errors import ConnectError, HostUnreachable, RunError

MAX_RETRIES: Final = 6
_FIRST_WAIT: Final = timedelta(seconds=2)  # doubled by each retry
_LONGEST_WAIT: Final = timedelta(seconds=60)
_LONGEST_SEEK: Final = timedelta(seconds=10)  # a benchmark may be waiting for us
_FIRST_DELAY: Final = timedelta(minutes=1)
_LONGEST_DELAY: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Patience:
    """
    `seek_until`: from the launch on, the machine may hold a benchmark of ours; it is sought until then.
    `wait_until`: how long a machine that is busy is waited for. `begun`: the benchmark has spoken.
    """

    seek_until: datetime | None
    wait_until: datetime
    begun: bool = False


@dataclass(frozen=True)
class RetryAt:
    """Try again then; the worker keeps the run."""

    at: datetime


@dataclass(frozen=True)
class Postpone:
    """Nothing was started: the run goes back to the queue until then."""

    at: datetime


@dataclass(frozen=True)
class End:
    pass


def after_error(
    error: RunError, *, retries: int, now: datetime, patience: Patience
) -> RetryAt | Postpone | End:
    """
    Retry what another connection can mend, put off what only time can mend, end everything else: a failed
    benchmark is not repeated.

    `retries` counts the errors after which this run was tried again. A machine that never answered ends at
    once (connecting has its own short retries, and somebody waits for the answer). Once the benchmark may
    run, the machine is sought to the end, however often the line breaks: the benchmark goes on without us. A
    machine that answers and will not launch is asked a few times only.
    """
    if error.postpones:
        if now >= patience.wait_until:
            return End()
        return Postpone(
            min(now + _doubled(_FIRST_DELAY, retries, _LONGEST_DELAY), patience.wait_until)
        )
    if not error.retryable:
        return End()
    sought = patience.begun or isinstance(error, ConnectError)
    if patience.seek_until is not None and sought:
        if now >= patience.seek_until:
            return End()
        return RetryAt(now + _doubled(_FIRST_WAIT, retries, _LONGEST_SEEK))
    never_answered = isinstance(error, HostUnreachable) and retries == 0
    if never_answered or retries >= MAX_RETRIES:
        return End()
    return RetryAt(now + _doubled(_FIRST_WAIT, retries, _LONGEST_WAIT))


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    doubled: timedelta = first * 2 ** min(times, 16)
    return min(doubled, longest)
