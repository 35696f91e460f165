"""
The short form of the reliability targets: every kind of fault upon one world of real parts, `make chaos` being
the same at length.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from bench.chaos import Played, explain, parsed, play
from bench.faults.points import FAILPOINTS, RARE

pytestmark = pytest.mark.timeout(540)

_ATTEMPTED: Final = {
    "kills": 30,
    "failpoints": 30,
    "cuts": 20,
    "pg-stops": 3,
    "impostors": 1,
    "cancels": 6,
}
_REQUESTS: Final = 60  # in bursts of 20 for one machine
_ENOUGH: Final = 0.7  # of the faults hit a run at work; the rest fall between two runs
_WORLD: Final = "--instances 10 --workers 4 --pace 6 --pause 1 --seed 7"
_REATTACH_SECONDS: Final = 15.0


@pytest.fixture(scope="module")
def played() -> Played:
    counts = " ".join(f"--{kind} {count}" for kind, count in _ATTEMPTED.items())
    played = asyncio.run(play(parsed(f"{counts} --requests {_REQUESTS} {_WORLD}".split())))
    explain(played)
    return played


def test_nothing_is_lost_doubled_left_stuck_or_changed(played: Played) -> None:
    found = played.findings
    assert not any(found.counts.values()), vars(found)
    assert len(played.evidence.accepted) >= len(played.evidence.machines)


def test_requests_at_once_never_make_benchmarks_overlap(played: Played) -> None:
    bursts = [fault for fault in played.evidence.faults if fault.kind == "requests"]
    assert sum(fault.detail["requests"] for fault in bursts) == _REQUESTS
    assert not played.findings.overlaps


def test_an_impostor_is_met_and_never_asked_to_let_us_in(played: Played) -> None:
    assert played.effective["impostors"] == 1
    assert not played.findings.authentications


@pytest.mark.parametrize("kind", [kind for kind in _ATTEMPTED if kind != "impostors"])
def test_faults_hit_live_runs(played: Played, kind: str) -> None:
    assert played.attempted[kind] == _ATTEMPTED[kind]
    assert played.effective[kind] >= _ENOUGH * _ATTEMPTED[kind]


def test_a_killed_workers_run_is_followed_again_within_15_seconds(played: Played) -> None:
    p99 = played.findings.reattach_p99
    assert p99 is not None
    assert p99 <= _REATTACH_SECONDS, sorted(played.findings.reattached)


def test_workers_and_api_find_back_after_each_stop_of_postgresql(played: Played) -> None:
    stops = [fault for fault in played.evidence.faults if fault.kind == "pg-stops"]
    assert all({"ready_s", "at_work_s"} <= fault.detail.keys() for fault in stops)
    assert len(played.findings.recovered) == sum(fault.effective for fault in stops)


def test_every_name_in_the_catalogue_is_a_point_that_workers_pass(played: Played) -> None:
    assert len(FAILPOINTS) >= 30
    assert not set(FAILPOINTS) - played.evidence.reached


def test_every_point_that_workers_pass_is_in_the_catalogue(played: Played) -> None:
    rare = {f"{when}-commit:{name}" for name in RARE for when in ("before", "after")}
    assert not played.evidence.reached - set(FAILPOINTS) - rare
