"""Steps are timed from mark to mark without a gap until they are exact, and the GPU's queue never runs dry."""

from __future__ import annotations

import random
import time

import pytest

from remote_agent.measure import interval, timing
from remote_agent.series_measures import slope


class Gpu:
    """A queue with a clock of its own, in milliseconds, and torch.cuda's face: a step takes what it is told."""

    def __init__(self, *milliseconds: float) -> None:
        self._takes = milliseconds or (10.0,)
        self.ends = [0.0]
        self.done = 0
        self.idle = 0

    def step(self) -> None:
        if len(self.ends) > 1 and self.done == len(self.ends) - 1:
            self.idle += 1
        place = min(len(self.ends) - 1, len(self._takes) - 1)
        self.ends.append(self.ends[-1] + self._takes[place])

    def synchronize(self) -> None:
        self.done = len(self.ends) - 1

    def Event(self, enable_timing: bool) -> Mark:  # noqa: N802 - as torch.cuda has it
        assert enable_timing
        return Mark(self)


class Mark:
    """What a CUDA event is to us."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.place = -1

    def record(self) -> None:
        self.place = len(self._gpu.ends) - 1

    def synchronize(self) -> None:
        self._gpu.done = max(self._gpu.done, self.place)

    def elapsed_time(self, later: Mark) -> float:
        assert later.place <= self._gpu.done, "asked for a time that has not come"
        return self._gpu.ends[later.place] - self._gpu.ends[self.place]


def measured(
    gpu: Gpu, window: int, limits: timing.Limits
) -> tuple[timing.Timing, list[tuple[int, float]]]:
    told: list[tuple[int, float]] = []
    found = timing.measure(
        gpu.step, timing.GpuClock(gpu), window, limits, lambda done, took: told.append((done, took))
    )
    return found, told


@pytest.mark.parametrize("window", [1, 7, 50])
def test_gpu_steps_are_timed_without_a_gap(window: int) -> None:
    """Every step has its time, their sum is the whole, and no wait ever empties the queue."""
    gpu = Gpu(*(10 + n % 3 for n in range(5000)))
    found, told = measured(gpu, window, timing.Limits(100, 60.0, target=1.0))
    assert found.steps == pytest.approx([(10 + n % 3) / 1000 for n in range(len(found.steps))])
    assert found.measured_seconds == pytest.approx(gpu.ends[-1] / 1000)
    assert len(found.steps) >= 100
    assert gpu.idle == 0
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (len(found.steps), pytest.approx(found.measured_seconds))


def test_measuring_goes_on_until_it_is_exact() -> None:
    """The least steps are not enough for a noisy card: it is measured until 0.2 % are reached, and no longer."""
    draw = random.Random(3)
    noisy = [draw.gauss(10, 0.3) for _ in range(20_000)]
    found, _ = measured(Gpu(*noisy), 10, timing.Limits(32, 60.0))
    assert found.spread.half_width <= timing.TARGET * 1.2
    assert len(found.steps) < 4000
    quiet = [draw.gauss(10, 0.01) for _ in range(20_000)]
    sooner, _ = measured(Gpu(*quiet), 10, timing.Limits(32, 60.0))
    assert sooner.measured_seconds == pytest.approx(2.0, abs=0.3)  # the least to be believed


def test_the_budget_ends_what_is_not_exact() -> None:
    """A step that never repeats itself is measured for the budget, and a budget of nothing for three steps."""
    slow = timing.ProcessorClock()
    lengths = [0.001, 0.02]
    calls: list[float] = []

    def step() -> None:
        calls.append(0.0)
        time.sleep(lengths[len(calls) % 2])

    found = timing.measure(step, slow, 1, timing.Limits(10**6, 0.3), lambda *_: None)
    assert 0.3 <= found.wall_seconds < 3.0
    assert found.spread.half_width > timing.TARGET
    least = timing.measure(step, slow, 1, timing.Limits(10**6, 1e-9), lambda *_: None)
    assert len(least.steps) == 3


def test_warming_up_ends_when_steps_are_alike() -> None:
    """The slow first steps and the slope after them are waited out; then a few windows are enough."""
    falling = [800.0, 30.0, 20.0, *(10 + 5 * 0.9**n for n in range(60))]
    warm = timing.warm_up(
        (gpu := Gpu(*falling, 10.0)).step, timing.GpuClock(gpu), 10, 60.0, 0.1, lambda *_: None
    )
    assert warm.steady
    assert warm.step_seconds == pytest.approx(0.010, rel=0.002)
    assert warm.steps > 60


def test_warming_up_is_bounded() -> None:
    """Steps that get slower for ever are no reason to warm up for ever, and it is told."""
    clock = timing.ProcessorClock()
    calls: list[int] = []

    def step() -> None:
        calls.append(1)
        time.sleep(0.0005 * len(calls))

    warm = timing.warm_up(step, clock, 2, 0.2, 0.01, lambda *_: None)
    assert not warm.steady
    assert len(calls) == warm.steps


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 400 series of correlated steps, about 95 % have the true mean inside their interval."""
    draw = random.Random(11)
    held = 0
    for _ in range(400):
        wander, steps = 0.0, []
        for _ in range(1000):
            wander = 0.5 * wander + draw.gauss(0, 0.01)
            steps.append(1 + wander)
        low, high = interval.bootstrap(steps, 200)
        held += low <= 1.0 <= high
    assert 0.90 <= held / 400 <= 0.99


def test_few_steps_have_a_wide_interval() -> None:
    """Two steps promise little, one promises nothing, and equal ones have no width."""
    assert interval.bootstrap([1.0]) == (0.0, 2.0)
    low, high = interval.bootstrap([1.0, 1.1])
    assert low < 1.0
    assert high > 1.1
    assert interval.bootstrap([1.0] * 64) == pytest.approx((1.0, 1.0))


def test_every_step_counts_in_the_interval() -> None:
    """A stall at the very end is in the figure, so it is in the interval too; equal steps have no width at all."""
    for length in range(2, 200):
        steps = [0.01] * length
        steps[-1] = 0.5
        found = interval.spread(steps)
        assert found.low <= found.mean <= found.high
        even = interval.spread([0.1] * length)
        assert even.low == pytest.approx(even.mean)
        assert even.high == pytest.approx(even.mean)


def test_a_spread_is_what_a_textbook_says() -> None:
    """Mean as total over steps, median, percentiles between neighbours, variation in percent."""
    found = interval.spread([number / 1000 for number in range(1, 101)])
    assert found.mean == pytest.approx(0.0505)
    assert found.median == pytest.approx(0.0505)
    assert (found.p5, found.p95) == pytest.approx((0.00595, 0.09505))
    assert found.variation_percent == pytest.approx(100 * 0.029011 / 0.0505, rel=1e-3)
    assert slope([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert slope([5.0]) == 0.0
