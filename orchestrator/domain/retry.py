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


def after_error(error: RunError, *, attempt: int, now: datetime, launched: bool) -> RetryAt | End:
    """
    Retry what another connection can mend; end everything else.

    A machine that was never reached ends at once (connecting has its own short retries, and somebody
    waits for the answer); one on which the benchmark is already running is sought again.
    """
    if not error.retryable or attempt >= MAX_ATTEMPTS:
        return End()
    if isinstance(error, HostUnreachable) and not launched:
        return End()
    wait = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)
    return RetryAt(now + timedelta(seconds=wait))
