"""The benchmarks of the API, with a handful of requests and watchers."""

from __future__ import annotations

from bench.api import speed, stream


def test_both_sides_are_asked() -> None:
    """GET and POST of ours and of the peer's are all answered, and held against their goals."""
    found = speed.measure(rounds=2, warm_up=0, reads=8, writes=4)
    assert [goal["target"] for goal in found["goals"]] == [3.0, 2.0]
    measured = {
        f"{side}_{kind}_{count}"
        for side in ("ours", "peer")
        for kind in ("get", "post")
        for count in (1, 32)
    }
    assert measured <= set(found)


def test_every_watcher_hears_every_event() -> None:
    """Nobody misses one, on a run that others watch and on one of their own."""
    found = stream.measure(watchers=10, runs=3, events=5, seconds=1, warm_up=1)
    assert found["gaps"] == 0
    assert {goal["unit"] for goal in found["goals"]} == {"/s", "ms"}
