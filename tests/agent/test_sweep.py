"""The search for the best batch and mode, on machines that are functions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from remote_agent.measure import sweep


def machine(memory: int, plateau: int, compiled: float = 1.2) -> sweep.Measure:
    """Faster with the batch up to `plateau`; over `memory` images it is out of memory."""

    def measure(batch_size: int, mode: str) -> tuple[float | None, str | None]:
        if batch_size > memory:
            return None, "out of memory"
        rate = 1000 * min(batch_size, plateau) / (min(batch_size, plateau) + 32)
        return rate * (compiled if mode == "compiled" else 1.0), None

    return measure


def never() -> bool:
    return False


def after(trials: int) -> Callable[[], bool]:
    asked = iter(range(1, 10**6))
    return lambda: next(asked) >= trials


@pytest.mark.parametrize(
    ("memory", "plateau", "batches", "best"),
    [
        (10**6, 10**6, [32, 64, 128, 256, 512, 1024, 2048, 4096, 8192], None),
        (10**6, 256, [32, 64, 128, 256, 512, 1024], 256),
        (100, 10**6, [32, 64, 128, 96], 96),
        (90, 10**6, [32, 64, 128, 96], 64),
        (20, 10**6, [32], None),
    ],
)
def test_the_batch_is_doubled_until_it_does_not_pay_or_not_fit(
    memory: int, plateau: int, batches: list[int], best: int | None
) -> None:
    """Doubling ends at the plateau or at the memory, where the size between is tried; nothing is tried twice."""
    trials = sweep.search(machine(memory, plateau), 32, ["cuda-graph"], never)
    assert [trial.batch_size for trial in trials] == batches
    winner = sweep.best(trials)
    if best is not None:
        assert winner is not None
        assert winner.batch_size == best
    assert [trial.trouble for trial in trials if trial.value is None] == [
        "out of memory" for trial in trials if trial.value is None
    ]


def test_other_modes_are_tried_on_the_best_batch() -> None:
    """A mode that wins is the answer, one that fails costs nothing but its trial."""
    trials = sweep.search(machine(10**6, 128), 32, ["cuda-graph", "compiled"], never)
    winner = sweep.best(trials)
    assert winner is not None
    assert (winner.mode, winner.batch_size) == ("compiled", 128)
    slower = sweep.search(machine(10**6, 128, 0.9), 32, ["cuda-graph", "compiled"], never)
    found = sweep.best(slower)
    assert found is not None
    assert found.mode == "cuda-graph"


def test_time_ends_the_search() -> None:
    """The first trial is always made; after the time is up none is begun, not even of another mode."""
    trials = sweep.search(machine(10**6, 10**6), 32, ["cuda-graph", "compiled"], lambda: True)
    assert len(trials) == 1
    some = sweep.search(machine(10**6, 10**6), 32, ["cuda-graph", "compiled"], after(3))
    assert [trial.batch_size for trial in some] == [32, 64, 128]
