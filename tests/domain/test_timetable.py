"""When a schedule is due next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from orchestrator.domain.errors import InvalidInput
from orchestrator.domain.timetable import (
    MISFIRE_GRACE,
    MOST_COUNTED,
    Due,
    Misfire,
    Timetable,
    fire_at,
    what_is_due,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


def dues(timetable: Timetable, start: str, count: int) -> list[str]:
    moment, told = at(start), []
    for _ in range(count):
        moment = timetable.next_due(moment, moment)
        assert moment.tzinfo is UTC
        told.append(f"{moment:%m-%d %H:%M}")
    return told


def test_hours_are_counted_from_the_last_due_time() -> None:
    """A late worker does not move the hours, and missed times are skipped, not caught up."""
    every = Timetable(every_hours=6)
    assert every.next_due(at("2026-01-01T10:00"), None) == at("2026-01-01T16:00")
    last = at("2026-01-01T10:00")
    assert every.next_due(at("2026-01-01T10:05"), last) == at("2026-01-01T16:00")
    assert every.next_due(at("2026-01-03T11:00"), last) == at("2026-01-03T16:00")
    assert every.next_due(at("2026-01-01T16:00"), last) == at("2026-01-01T22:00")


def test_a_cron_line_is_read_in_its_zone() -> None:
    """Three in the morning in Berlin is two in UTC in winter and one in summer."""
    berlin = Timetable(cron="0 3 * * *", timezone="Europe/Berlin")
    assert dues(berlin, "2026-01-10T00:00", 1) == ["01-10 02:00"]
    assert dues(berlin, "2026-07-10T00:00", 1) == ["07-10 01:00"]
    assert dues(Timetable(cron="30 4 * * 1"), "2026-11-01T00:00", 2) == [
        "11-02 04:30",
        "11-09 04:30",
    ]


def test_the_hour_that_does_not_exist_fires_once() -> None:
    """At the start of summer time a skipped 02:30 comes right after the gap, and only once."""
    berlin = Timetable(cron="30 2 * * *", timezone="Europe/Berlin")
    assert dues(berlin, "2026-03-28T12:00", 2) == ["03-29 01:00", "03-30 00:30"]


def test_the_hour_that_exists_twice_fires_once() -> None:
    """At the end of summer time 02:30 comes once."""
    berlin = Timetable(cron="30 2 * * *", timezone="Europe/Berlin")
    assert dues(berlin, "2026-10-24T12:00", 2) == ["10-25 00:30", "10-26 01:30"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"every_hours": 1, "cron": "0 3 * * *"},
        {"every_hours": 0},
        {"every_hours": 8761},
        {"every_hours": 1, "jitter_seconds": -1},
        {"every_hours": 1, "jitter_seconds": 86_401},
        *({"cron": line} for line in ("", "x", "@daily", "0 0 30 2 *", "61 * * * *", "* * * *")),
        {"cron": "* * * * * *"},
        {"cron": "0 3 * * *\0"},
        *({"cron": "0 3 * * *", "timezone": zone} for zone in ("", "Mars/Base", "../etc/passwd")),
        *({"cron": "0 3 * * *", "timezone": zone} for zone in ("a\0b", "x" * 5000, "\ud800")),
    ],
    ids=lambda wrong: str(wrong)[:50],
)
def test_what_can_not_be_read_is_refused_when_made(wrong: dict[str, int | str]) -> None:
    """Bad hours, lines, zones and jitter are InvalidInput at once, not at the due time."""
    with pytest.raises(InvalidInput):
        Timetable(**wrong)  # type: ignore[arg-type]


def test_jitter_is_the_same_for_everybody_and_within_bounds() -> None:
    """Any worker in any time zone computes the same share, later than the due time by at most the jitter."""
    due, schedule = at("2026-01-01T00:00"), UUID(int=1)
    elsewhere = due.astimezone(timezone(timedelta(hours=9)))
    assert fire_at(schedule, due, 600) == fire_at(schedule, elsewhere, 600)
    assert fire_at(schedule, due, 0) == due
    delays = [(fire_at(uuid4(), due, 600) - due).total_seconds() for _ in range(300)]
    assert all(0 <= delay <= 600 for delay in delays)
    assert min(delays) < 100
    assert max(delays) > 500
    assert fire_at(schedule, due, 600) - due != fire_at(schedule, at("2026-01-02T00:00"), 600) - at(
        "2026-01-02T00:00"
    )


def owed(timetable: Timetable, due: str, now: str, misfire: Misfire = "run_once") -> Due:
    return what_is_due(timetable, UUID(int=0), at(due), misfire=misfire, now=at(now))


@pytest.mark.parametrize("misfire", ["run_once", "skip"])
def test_a_time_that_is_met_fires_under_either_policy(misfire: Misfire) -> None:
    """Within the grace nothing was missed; a time nobody met is told as missed, the latest fires."""
    hourly = Timetable(every_hours=1)
    grace = f"{at('2026-01-01T10:00') + MISFIRE_GRACE:%Y-%m-%dT%H:%M}"
    met = owed(hourly, "2026-01-01T10:00", grace, misfire)
    assert met == Due(at("2026-01-01T10:00"), None, at("2026-01-01T11:00"))
    late = owed(hourly, "2026-01-01T07:00", grace, misfire)
    missed = (at("2026-01-01T07:00"), at("2026-01-01T09:00"), 3)
    assert late == Due(at("2026-01-01T10:00"), missed, at("2026-01-01T11:00"))


def test_after_a_long_silence_the_policy_decides() -> None:
    """`run_once` makes up for all that was missed with one run of the latest time, `skip` with none."""
    hourly = Timetable(every_hours=1)
    once = owed(hourly, "2026-01-01T07:00", "2026-01-01T10:06", "run_once")
    missed = (at("2026-01-01T07:00"), at("2026-01-01T09:00"), 3)
    assert once == Due(at("2026-01-01T10:00"), missed, at("2026-01-01T11:00"))
    skipped = owed(hourly, "2026-01-01T07:00", "2026-01-01T10:06", "skip")
    missed = (at("2026-01-01T07:00"), at("2026-01-01T10:00"), 4)
    assert skipped == Due(None, missed, at("2026-01-01T11:00"))


def test_a_year_of_silence_is_not_counted_to_the_end() -> None:
    """However long nobody was there, a bounded number of times is counted and the next one is ahead."""
    now = "2026-12-31T23:59"
    due = owed(Timetable(cron="* * * * *"), "2026-01-01T00:00", now, "skip")
    assert due.missed is not None
    assert due.missed[2] == MOST_COUNTED
    assert due.next_due_at > at(now)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_the_night_the_clocks_change_owes_each_time_once(day: str) -> None:
    """Where an hour is skipped or comes twice, a nightly test in it is due exactly once."""
    nightly = Timetable(cron="30 2 * * *", timezone="Europe/Berlin")
    start = nightly.next_due(at(f"{day}T00:00") - timedelta(days=1), None)
    due = what_is_due(
        nightly, UUID(int=0), start, misfire="run_once", now=start + timedelta(days=2, hours=1)
    )
    told = [start, due.fire, due.next_due_at]
    local = [f"{moment.astimezone(ZoneInfo('Europe/Berlin')):%d}" for moment in told if moment]
    assert len(set(local)) == len(local) == 3
    assert due.missed is not None
    assert due.missed[2] == 2


def test_jitter_delays_what_is_owed() -> None:
    """A due time whose share of the jitter has not passed is not owed yet."""
    spread = Timetable(every_hours=1, jitter_seconds=1800)
    first = at("2026-01-01T10:00")
    second_fires = fire_at(UUID(int=0), first + timedelta(hours=1), 1800)
    for now, fires in ((second_fires - timedelta(seconds=1), 10), (second_fires, 11)):
        due = what_is_due(spread, UUID(int=0), first, misfire="run_once", now=now)
        assert due.fire is not None
        assert due.fire.hour == fires


@pytest.mark.parametrize(
    ("times", "most"), [({"every_hours": 1}, 3600), ({"cron": "*/5 8-9 * * *"}, 300)]
)
def test_jitter_is_no_longer_than_the_time_between_two_tests(
    times: dict[str, Any], most: int
) -> None:
    """With more, a later due time could fire before an earlier one, and the earlier one would be missed."""
    assert Timetable(**times, jitter_seconds=most)
    with pytest.raises(InvalidInput, match="jitter"):
        Timetable(**times, jitter_seconds=most + 1)
