"""The checker: clean for what is right, and each figure above 0 for what it is there to see."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from bench.chaos import last_line
from bench.faults.checker import Findings, percentile
from bench.faults.record import Fault, StoredEvent, Survivor
from tests.chaos.records import MACHINE, RUN, Record, after, events, said

_OTHER: Final = "33333333-3333-4333-8333-333333333333"


def _doubled(story: tuple[StoredEvent, ...]) -> tuple[StoredEvent, ...]:
    """The machine's first word once more, numbered as if it were new."""
    again = [story[0], story[1], *story[1:]]
    return tuple(replace(event, seq=number) for number, event in enumerate(again, 1))


def _changed(story: tuple[StoredEvent, ...]) -> tuple[StoredEvent, ...]:
    metric = next(event for event in story if event.type == "progress")
    return tuple(
        replace(event, body={**event.body, "done": 7}) if event is metric else event
        for event in story
    )


def _missing(story: tuple[StoredEvent, ...]) -> tuple[StoredEvent, ...]:
    return tuple(
        replace(event, seq=number) for number, event in enumerate((*story[:3], *story[4:]), 1)
    )


CLEAN: Final = Record()
_STRAY: Final = Survivor(7, RUN, "sleep 86400")
_CUT_SHORT: Final = {"results": 0, "remote_offset": 0, "events": events(ended="x", words=3)}
BROKEN: Final = {
    "accepted and unknown": ("lost", replace(CLEAN, accepted=frozenset({RUN, _OTHER}))),
    "ended otherwise": ("lost", CLEAN.with_run(state="failed", error_code="agent_crashed")),
    "no result": ("lost", CLEAN.with_run(results=0)),
    "cancelled by nobody": ("lost", CLEAN.with_run(state="cancelled", **_CUT_SHORT)),
    "two results": ("duplicates", CLEAN.with_run(results=2)),
    "two ends": (
        "duplicates",
        CLEAN.with_run(events=(*CLEAN.run.events, replace(CLEAN.run.events[-1], seq=999))),
    ),
    "two starts": ("duplicates", CLEAN.with_machine(starts=(RUN, RUN))),
    "a word stored twice": ("duplicates", CLEAN.with_run(events=_doubled(events()))),
    "a process": ("orphans", CLEAN.with_machine(survivors=(_STRAY,))),
    "a process of nobody": ("orphans", CLEAN.with_machine(survivors=(Survivor(7, None, "x"),))),
    "a folder": ("folders", CLEAN.with_machine(folders=(RUN,))),
    "a folder of nobody": ("folders", CLEAN.with_machine(folders=(_OTHER,))),
    "unfinished": ("stuck", CLEAN.with_run(state="running", finished=False)),
    "another word": ("differing", CLEAN.with_run(events=_changed(events()))),
    "a word missing": ("differing", CLEAN.with_run(events=_missing(events()))),
    "an offset short": ("differing", CLEAN.with_run(remote_offset=len(said()) - 1)),
    "a number skipped": (
        "differing",
        CLEAN.with_run(events=(*events()[:-1], replace(events()[-1], seq=999))),
    ),
    "a machine that said something else": (
        "differing",
        CLEAN.with_machine(said={RUN: said().replace(b"stand-in", b"stood-in")}),
    ),
    "two at once": ("overlaps", CLEAN.with_machine(overlaps=(RUN,))),
    "a login tried on an impostor": (
        "authentications",
        replace(CLEAN, impostor_log="Connection closed by authenticating user root 127.0.0.1"),
    ),
}


def test_a_clean_record_has_no_findings() -> None:
    found = CLEAN.findings()
    assert found.clean
    assert found == Findings()


@pytest.mark.parametrize(("figure", "record"), BROKEN.values(), ids=BROKEN.keys())
def test_each_breakage_shows_in_its_figure(figure: str, record: Record) -> None:
    found = record.findings()
    assert getattr(found, figure), vars(found)
    assert not found.clean


@pytest.mark.parametrize("action", ["freeze", "throttle", "part"])
def test_a_run_on_a_stalled_line_may_go_unjudged(action: str) -> None:
    record = CLEAN.with_run(state="inconclusive", error_code="clock_disagrees")
    stalled = record.with_faults(Fault("cuts", action, after(0), MACHINE, until=after(1)))
    found = stalled.findings()
    assert found.clean, vars(found)
    assert len(found.unjudged) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cuts", "cut", after(0), MACHINE, until=after(1)),
        Fault("kills", "kill", after(0), "worker-1", runs=(RUN,)),
        Fault("cuts", "freeze", after(0), _OTHER, until=after(1)),
        Fault("cuts", "freeze", after(-9), MACHINE, until=after(-8)),
    ],
    ids=["a cut", "a kill", "another machine's", "earlier"],
)
def test_without_a_stall_an_unjudged_run_is_lost(fault: Fault) -> None:
    record = CLEAN.with_run(state="inconclusive", error_code="clock_disagrees")
    assert record.with_faults(fault).findings().lost


def test_of_an_unjudged_run_all_the_rest_is_checked() -> None:
    record = CLEAN.with_run(
        state="inconclusive", error_code="clock_disagrees", events=_changed(events())
    )
    stalled = record.with_faults(Fault("cuts", "freeze", after(0), MACHINE, until=after(1)))
    assert stalled.findings().differing


def _wish(answered: float) -> Fault:
    detail = {"run": RUN, "answered": after(answered)}
    return Fault("cancels", "cancel", after(answered), MACHINE, True, (RUN,), detail=detail)


def test_a_run_that_was_cancelled_on_demand_is_not_lost_and_may_stop_early() -> None:
    record = CLEAN.with_run(state="cancelled", **_CUT_SHORT)
    found = record.with_faults(_wish(0)).findings()
    assert found.clean, vars(found)


def test_a_cancelled_run_stores_nothing_that_was_not_said() -> None:
    cut_short = {**_CUT_SHORT, "events": _changed(events(ended="cancelled", words=20))}
    record = CLEAN.with_run(state="cancelled", **cut_short)
    assert record.with_faults(_wish(0)).findings().differing


def test_a_cancelled_run_leaves_nothing_on_its_machine() -> None:
    record = CLEAN.with_run(state="cancelled", **_CUT_SHORT).with_machine(folders=(RUN,))
    assert record.with_faults(_wish(0)).findings().folders


def test_a_wish_to_cancel_that_was_answered_long_before_the_result_is_lost() -> None:
    assert CLEAN.with_faults(_wish(-1)).findings().clean
    assert CLEAN.with_faults(_wish(-60)).findings().lost


def test_who_meets_an_impostor_may_stop() -> None:
    stopped = CLEAN.with_run(state="failed", error_code="host_key_changed", **_CUT_SHORT)
    assert stopped.findings().lost
    met = Fault("impostors", "impostor", after(0), MACHINE, until=after(1))
    assert stopped.with_faults(met).findings().clean


def test_the_time_to_reattach_is_from_the_signal_to_running_again() -> None:
    again = replace(events()[0], at=after(9), seq=2)
    record = CLEAN.with_run(events=(events()[0], again))
    killed = Fault("kills", "kill", after(1.5), "worker-1", True, (RUN,))
    assert record.with_faults(killed).findings().reattached == [7.5]
    outage = Fault("pg-stops", "immediate", after(3), "postgres", True, (RUN,), after(5))
    assert record.with_faults(killed, outage).findings().reattached == []


def test_the_time_to_recover_is_that_of_the_slower_of_workers_and_api() -> None:
    detail = {"ready_s": 0.2, "at_work_s": 1.25}
    outage = Fault("pg-stops", "immediate", after(0), "postgres", True, (RUN,), detail=detail)
    assert CLEAN.with_faults(outage).findings().recovered_p99 == 1.25


def test_a_percentile_is_of_the_nearest_rank() -> None:
    assert percentile([], 0.99) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(1, 201)], 0.99) == 198.0
    assert percentile([2.0, 1.0, 3.0], 0.5) == 2.0


def test_the_last_line_has_the_form_that_was_asked_for() -> None:
    found = Findings(reattached=[9.06])
    assert last_line(found, {"kills": 30, "cuts": 4}, {"kills": 28, "cuts": 4}) == (
        "chaos: kills=30 effective=28 lost=0 duplicates=0 orphans=0 folders=0 stuck=0 differing=0"
        " reattach_p99_s=9.1"
    )
    assert last_line(Findings(lost=["x"]), {}, {}) == (
        "chaos: kills=0 effective=0 lost=1 duplicates=0 orphans=0 folders=0 stuck=0 differing=0"
        " reattach_p99_s=-"
    )
