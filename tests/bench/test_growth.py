"""The benchmarks of growth, with a handful of everything: they measure what they say, and tell it as goals."""

from __future__ import annotations

from typing import Any

from bench.growth import latest, pages, telemetry


def told(found: dict[str, Any]) -> set[str]:
    return {goal["goal"].partition(" at ")[0] for goal in found["goals"] if goal["ratio"] > 0}


def test_readings_are_kept_in_both_ways() -> None:
    """The same readings, packed and as rows, of which ours take less."""
    found = telemetry.measure(count=4, readings=50, rounds=2, one_by_one=5)
    assert told(found) == {"telemetry", "telemetry: ingest"}


def test_the_newest_are_found_and_the_oldest_months_go() -> None:
    """Databases of two sizes in as many months, and months that are dropped from the larger one."""
    found = latest.measure(results=240, few=120, months=4, rounds=2)
    assert told(found) == {
        "latest 20 of an instance",
        "retention: drop a month of 240 results",
    }
    assert found["months_dropped"] == 2
    assert found["many_bytes"]["results"] == 240 - 2 * 60


def test_every_page_is_asked_for() -> None:
    """All pages answer, over HTTP, of a supplier who has results."""
    found = pages.measure(results=120, months=2, requests=2)
    assert {"instances", "results", "runs", "fleet_1000", "listing"} <= found.keys()
    assert told(found) == {"page"}
