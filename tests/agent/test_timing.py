"""Steps are timed from mark to mark without a gap, and the GPU's queue never runs dry."""

from __future__ import annotations

import pytest

from remote_agent.measure import timing


class Gpu:
    """A queue with a clock of its own: a step takes 10 ms there, however fast it was queued."""

    def __init__(self) -> None:
        self.queued = 0
        self.done = 0
        self.idle = 0

    def step(self) -> None:
        if self.queued and self.done == self.queued:
            self.idle += 1
        self.queued += 1

    def wait(self) -> None:
        self.done = self.queued

    def mark(self) -> Mark:
        return Mark(self)


class Mark:
    """What a CUDA event is to us."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.place = -1

    def record(self) -> None:
        self.place = self._gpu.queued

    def synchronize(self) -> None:
        self._gpu.done = max(self._gpu.done, self.place)

    def elapsed_time(self, later: Mark) -> float:
        assert later.place <= self._gpu.done, "asked for a time that has not come"
        return (later.place - self.place) * 10.0


@pytest.mark.parametrize(("count", "window"), [(1, 1), (7, 1), (32, 5), (10, 10), (3, 50)])
def test_gpu_steps_are_timed_without_a_gap(count: int, window: int) -> None:
    """Every step has its time, their sum is the whole, and no wait ever empties the queue."""
    gpu, told = Gpu(), []
    found = timing.on_gpu(
        gpu.step, count, window, gpu.mark, gpu.wait, lambda done, took: told.append((done, took))
    )
    assert found.steps == pytest.approx([0.01] * count)
    assert found.measured_seconds == pytest.approx(0.01 * count)
    assert gpu.idle == 0
    assert told[-1] == (count, pytest.approx(0.01 * count))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_processor_steps_add_up() -> None:
    """On the processor the measured time is the sum of the steps, without what lies between."""
    calls: list[int] = []
    found = timing.on_processor(lambda: calls.append(1), 5, lambda done, took: None)
    assert len(calls) == len(found.steps) == 5
    assert found.measured_seconds == pytest.approx(sum(found.steps))


def test_the_spread_is_told_in_milliseconds() -> None:
    """Minimum, median, 95th percentile and maximum of the steps, in milliseconds."""
    steps = [number / 1000 for number in range(1, 101)]
    assert timing.spread_ms(steps) == pytest.approx(
        {"min": 1, "median": 50.5, "p95": 95, "max": 100}
    )
    assert timing.spread_ms([0.002]) == {"min": 2, "median": 2, "p95": 2, "max": 2}
