"""Whether a run goes on after an error. Pure: error, attempt and now in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.errors import HostUnreachable, RunError

MAX_ATTEMPTS: Final = 6
_FIRST_WAIT: Final = 2.0  # seconds, doubled by each attempt
_LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True)
class RetryAt:
    at: datetime


@dataclass(frozen=True)
class End:
    pass


def after_error(
    error: RunError, *, attempt: int, now: datetime, seek_until: datetime | None
) -> RetryAt | End:
    """
    Retry what another connection can mend; end everything else.

    `seek_until` is None before the benchmark was launched: then a machine that can't be reached ends at once
    (connecting has its own short retries, and somebody waits for the answer). Once it runs, the machine is
    sought until then, however often the line breaks: the benchmark goes on without us.
    """
    if not error.retryable:
        return End()
    if seek_until is None and (attempt >= MAX_ATTEMPTS or isinstance(error, HostUnreachable)):
        return End()
    if seek_until is not None and now >= seek_until:
        return End()
    wait = min(_FIRST_WAIT * 2 ** min(attempt - 1, 10), _LONGEST_WAIT)
    return RetryAt(now + timedelta(seconds=wait))
