"""The benchmarks of many runs go through with ten."""

from __future__ import annotations

import pytest

from bench.fleet import claims, ground, many, memory, scaling


def test_runs_at_once_all_pass_and_their_connections_are_weighed() -> None:
    """All of them are in `running` together before one may end."""
    found = many.measure(10, seconds=1.0)
    assert found["endings"] == {"passed": 10}
    assert found["worker_cpu_ms_a_run"] > 0
    assert all(cpu > 0 for cpu in found["connection_cpu_ms"])
    failures, _ = found["goals"]
    assert (failures["ratio"], failures["met"]) == (0, True)


def test_memory_is_told_of_more_runs_and_of_a_flood() -> None:
    """A flood ends its run by the product's own limits."""
    found = memory.measure(2, 10, settle=0.5, kinds=("progress",))
    assert found["endings"] == {"passed": 10}
    assert list(found["floods"]["progress"]["endings"]) == ["failed output_flood"]


def test_every_run_is_claimed_in_turns_with_the_peer() -> None:
    """Where the peers' environment is not there, ours are counted alone."""
    found = claims.measure(10, rounds=2)
    assert len(found["ours_claims_per_s"]) == 2
    assert bool(found["peer"]) == ground.PEERS.exists()


@pytest.mark.parametrize("workers", [(1, 2)])
def test_workers_share_the_runs_of_one_database(workers: tuple[int, ...]) -> None:
    """Each round's runs all end, however many workers there are."""
    found = scaling.measure(10, rounds=1, workers=workers)
    assert found["endings"] == {"passed": 20}
    assert set(found["runs_per_s"]) == set(workers)
