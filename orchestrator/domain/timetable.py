"""
When a schedule is due next. Pure: the time now is passed in.

Cron lines follow Debian's cron at daylight-saving changes (cronsim): a time that does not exist fires
once right after the gap, a time that exists twice fires once, wildcard hours fire by elapsed time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.domain.errors import InvalidInput

Misfire = Literal["run_once", "skip"]
MISFIRE_GRACE: Final = timedelta(minutes=5)
MOST_COUNTED: Final = 1000
_GAPS_LOOKED_AT: Final = 8
_ANY_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Timetable:
    """Every N hours, or a cron line in a time zone; exactly one of the two."""

    every_hours: int | None = None
    cron: str | None = None
    timezone: str = "UTC"
    jitter_seconds: int = 0

    def __post_init__(self) -> None:
        if (self.every_hours is None) == (self.cron is None):
            raise InvalidInput(
                "A schedule has either every_hours or a cron line.", field="every_hours"
            )
        if self.every_hours is not None and not 1 <= self.every_hours <= 8760:
            raise InvalidInput("every_hours is between 1 and 8760.", field="every_hours")
        if not 0 <= self.jitter_seconds <= 86_400:
            raise InvalidInput("jitter_seconds is between 0 and 86400.", field="jitter_seconds")
        dues = [self.next_due(_ANY_MOMENT, None)]  # refuses a bad cron line or time zone here
        if self.jitter_seconds:
            for _ in range(_GAPS_LOOKED_AT):
                dues.append(self.next_due(dues[-1], dues[-1]))
            shortest = min(later - due for due, later in pairwise(dues))
            if self.jitter_seconds > shortest.total_seconds():
                raise InvalidInput(
                    "jitter_seconds is at most the time between two due times.",
                    field="jitter_seconds",
                )

    def next_due(self, after: datetime, previous: datetime | None) -> datetime:
        """
        The first due time after `after`, in UTC. `previous` is the last one: hours are counted from it, so
        that a restart does not move them; times missed meanwhile are skipped.

        Raises `InvalidInput` for a cron line or time zone that can't be read, or that never comes.
        """
        if self.every_hours is not None:
            return _next_interval(timedelta(hours=self.every_hours), after, previous)
        return _next_cron(self.cron or "", self.timezone, after)


@dataclass(frozen=True)
class Due:
    """
    What a schedule owes at some moment: the due time that gets a run (None: none does), those that were
    missed (first, last, how many; at most `MOST_COUNTED` are counted), and the next one.
    """

    fire: datetime | None
    missed: tuple[datetime, datetime, int] | None
    next_due_at: datetime


def what_is_due(
    timetable: Timetable, schedule_id: UUID, due_at: datetime, *, misfire: Misfire, now: datetime
) -> Due:
    """
    Of the due times from `due_at` to `now` at most the latest gets a run. It is missed itself when nobody
    was there within `MISFIRE_GRACE`: `skip` leaves it at that, `run_once` makes up for all with one run.

    Raises `InvalidInput` as `Timetable.next_due`.
    """
    times = [due_at]
    following = timetable.next_due(due_at, due_at)
    while fire_at(schedule_id, following, timetable.jitter_seconds) <= now:
        if len(times) == MOST_COUNTED:
            following = timetable.next_due(now, due_at)
            break
        times.append(following)
        following = timetable.next_due(following, following)
    late = now - fire_at(schedule_id, times[-1], timetable.jitter_seconds)
    fire = times.pop() if late <= MISFIRE_GRACE or misfire == "run_once" else None
    missed = (times[0], times[-1], len(times)) if times else None
    return Due(fire, missed, following)


def fire_at(schedule_id: UUID, due_at: datetime, jitter_seconds: int) -> datetime:
    """
    `due_at` plus this firing's share of the jitter: the same for everybody who computes it, spread
    evenly over schedules.
    """
    if not jitter_seconds:
        return due_at
    digest = hashlib.sha256(f"{schedule_id} {due_at.astimezone(UTC).isoformat()}".encode()).digest()
    return due_at + timedelta(seconds=int.from_bytes(digest[:8], "big") % (jitter_seconds + 1))


def _next_interval(step: timedelta, after: datetime, previous: datetime | None) -> datetime:
    start = previous or after
    missed = max(0, (after - start) // step)
    return start + step * (missed + 1)


def _next_cron(line: str, timezone: str, after: datetime) -> datetime:
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f"There is no time zone {timezone!r}; use a name like Europe/Berlin.", field="timezone"
        ) from error
    if len(line.split()) != 5:  # cronsim would read six as seconds first
        raise InvalidInput(f"The cron line {line!r} does not have five fields.", field="cron")
    try:
        return next(CronSim(line, after.astimezone(zone))).astimezone(UTC)
    except CronSimError as error:
        raise InvalidInput(
            f"The cron line {line!r} can't be read: {error}.", field="cron"
        ) from error
    except StopIteration as error:
        raise InvalidInput(f"The cron line {line!r} never comes.", field="cron") from error
