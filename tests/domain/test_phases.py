"""Events become phases that begin once and never go back."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.phases import Phase, Told, expected_seconds, phases_of

START = datetime(2026, 11, 25, tzinfo=UTC)
ORDER = ["queue", "connect", "push", "provision", "warmup", "measure", "judge"]
STORY = (
    *(("state", "connecting"), ("state", "preparing"), ("state", "running"), ("probe", None)),
    *(("progress", "warmup"), ("progress", "warmup"), ("progress", "measure")),
    *(("result", None), ("state", "judging")),
)


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


def told(*said: tuple[str, str | None]) -> list[Told]:
    """An event a second, the first a second after the run was asked for."""
    return [Told(kind, name, second(at)) for at, (kind, name) in enumerate(said, 1)]


def names(phases: list[Phase]) -> list[str]:
    return [phase.name for phase in phases]


def test_a_run_goes_through_its_phases() -> None:
    """Each begins with the event that tells of it and ends where the next begins; the last with the run."""
    phases = phases_of(START, second(11), told(*STORY))
    assert names(phases) == ORDER
    begun = [0, 1, 2, 3, 5, 7, 9]
    assert [phase.started_at for phase in phases] == [second(at) for at in begun]
    assert [phase.ended_at for phase in phases] == [second(at) for at in (*begun[1:], 11)]


@pytest.mark.parametrize("events", range(len(STORY) + 1))
def test_what_has_not_begun_is_not_told(events: int) -> None:
    """At any moment the phases are a beginning of the whole, and of an unfinished run the last one lasts."""
    phases = phases_of(START, None, told(*STORY[:events]))
    assert names(phases) == ORDER[: len(phases)]
    assert [phase.ended_at is None for phase in phases] == [False] * (len(phases) - 1) + [True]


def test_another_worker_does_not_take_a_run_back() -> None:
    """What a re-attachment takes belongs to the phase in which the line broke."""
    again = (("retry", None), ("state", "connecting"), ("state", "preparing"), ("state", "running"))
    phases = phases_of(START, None, told(*STORY[:7], *again, ("progress", "warmup")))
    assert names(phases) == ORDER[:6]
    assert (phases[-1].started_at, phases[-1].ended_at) == (second(7), None)


def test_a_run_that_was_put_off_is_in_the_queue_again() -> None:
    """Nothing of it is on the machine, so that its phases begin anew; the queue has lasted all the time."""
    off = told(*STORY[:2], ("postponed", None))
    assert names(phases_of(START, None, off)) == ["queue"]
    phases = phases_of(START, None, told(*STORY[:2], ("postponed", None), ("state", "connecting")))
    assert names(phases) == ["queue", "connect"]
    assert (phases[0].started_at, phases[0].ended_at) == (START, second(4))


@pytest.mark.parametrize(
    ("story", "passed"),
    [
        ((), ["queue"]),  # cancelled before a worker had it
        ((("state", "connecting"),), ["queue", "connect"]),  # not reached
        ((*STORY[:3], ("failed", None), ("state", "judging")), [*ORDER[:4], "judge"]),
        ((*STORY[:3], ("result", None), ("state", "judging")), [*ORDER[:4], "measure", "judge"]),
        ((*STORY[:3], ("progress", "measure")), [*ORDER[:4], "measure"]),
    ],
)
def test_a_phase_that_did_not_happen_is_left_out(
    story: tuple[tuple[str, str | None], ...], passed: list[str]
) -> None:
    """However a run ends, only what it went through is there, and all of that has ended."""
    phases = phases_of(START, second(60), told(*story))
    assert names(phases) == passed
    assert phases[-1].ended_at == second(60)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*STORY, ("postponed", None), ("retry", None), ("log", None)]),
            st.integers(-50, 50),
        )
    ),
    st.none() | st.integers(-50, 50),
)
def test_no_story_makes_a_phase_end_before_it_began(
    story: list[tuple[tuple[str, str | None], int]], finished: int | None
) -> None:
    """In any order of events and with any clocks the phases are in order, touch, and last no less than nothing."""
    events = [Told(kind, name, second(at)) for (kind, name), at in story]
    phases = phases_of(START, None if finished is None else second(finished), events)
    assert names(phases) == sorted(set(names(phases)), key=ORDER.index)
    for phase, following in itertools.pairwise(phases):
        assert phase.ended_at == following.started_at
    assert all(phase.ended_at is None or phase.ended_at >= phase.started_at for phase in phases)


def test_what_is_expected_is_the_median_of_what_had_it() -> None:
    """One slow run does not move it, and a phase that a run lacks is not counted as no time."""
    runs = [
        [Phase("queue", START, second(1)), Phase("connect", second(1), second(3))],
        [Phase("queue", START, second(2)), Phase("connect", second(2), None)],
        [Phase("queue", START, second(600))],
    ]
    assert expected_seconds(runs) == {"queue": 2, "connect": 2}
    assert expected_seconds([]) == {}
