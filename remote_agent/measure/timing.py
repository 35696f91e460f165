"""Time equal steps until they are steady, then until their mean is exact enough or time is up."""

import time
from typing import Any, Callable, List, NamedTuple, Tuple

from remote_agent.measure import interval
from remote_agent.series_measures import slope

Progress = Callable[[int, float], None]
"""Takes the steps that are done and the seconds they took."""

TARGET = 0.002
"""Half of the 95 % interval, as a share of the figure, at which measuring may stop."""

_STEADY_WINDOWS = 5
_STEADY_SLOPE = 0.001  # a window
_STEADY_NEIGHBOURS = 0.002
_LEAST_STEPS = 3  # whatever the budget: fewer have no spread
_LEAST_BLOCKS = 64  # steps: two in each block of the bootstrap
_LEAST_SECONDS = (
    2.0  # before a small interval is believed; clocks of a card wander for longer than this
)


class Limits(NamedTuple):
    """
    At least `least_steps`, then on until the interval is within `target`; over at `budget_seconds`
    whatever is reached, but for three steps. A `target` of 0 uses the whole budget.
    """

    least_steps: int
    budget_seconds: float
    target: float = TARGET


class Warm(NamedTuple):
    """How warming up went: `steady` is False where the budget ended before the steps were alike."""

    steps: int
    seconds: float
    step_seconds: float
    steady: bool


class Timing(NamedTuple):
    """
    Every step's seconds, their sum, and the same span by the wall clock.

    On a GPU the two clocks are independent; where they disagree the machine is short of processor time,
    or one of them lies.
    """

    steps: List[float]
    measured_seconds: float
    wall_seconds: float

    @property
    def spread(self) -> interval.Spread:
        return interval.spread(self.steps)


class ProcessorClock:
    """Marks of the processor's own clock: a step has ended when its call returns."""

    def mark(self) -> Any:
        return time.perf_counter()

    def wait(self, mark: Any) -> None:
        """There is nothing to wait for."""

    def synchronize(self) -> None:
        """There is nothing to wait for."""

    def seconds(self, earlier: Any, later: Any) -> float:
        return float(later - earlier)


class GpuClock:
    """Marks in the GPU's own queue (CUDA events): to set one costs the GPU nothing."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda  # torch.cuda, or what stands for it in a test

    def mark(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self, mark: Any) -> None:
        mark.synchronize()

    def synchronize(self) -> None:
        self._cuda.synchronize()

    def seconds(self, earlier: Any, later: Any) -> float:
        return float(earlier.elapsed_time(later)) / 1000


def unheard(_done: int, _seconds: float) -> None:
    """Progress that nobody needs to hear of."""


def warm_up(
    step: Callable[[], None],
    clock: Any,
    least_steps: int,
    budget_seconds: float,
    window_seconds: float,
    progress: Progress,
) -> Warm:
    """
    Steps that don't count: kernels are chosen, clocks go up, caches fill.

    Steady is: over five windows the slope is under 0.1 % a window, and the last two are within 0.2 %.
    """
    started = time.monotonic()
    done, seconds, _ = _window(step, clock, 1)
    windows: List[float] = []
    count, usual = 1, seconds
    while True:
        progress(done, seconds)
        steady = len(windows) >= _STEADY_WINDOWS and _steady(windows[-_STEADY_WINDOWS:])
        over = time.monotonic() - started >= budget_seconds
        if done >= least_steps and (steady or over):
            return Warm(done, seconds, usual, steady)
        # The first steps are far slower than the later ones, so the window grows with what is known.
        count = max(1, min(2 * count, round(window_seconds / usual) if usual > 0 else 1))
        if done < least_steps:
            count = min(count, least_steps - done)
        _, took, _ = _window(step, clock, count)
        done, seconds, usual = done + count, seconds + took, took / count
        windows.append(usual)


def measure(
    step: Callable[[], None], clock: Any, window: int, limits: Limits, progress: Progress
) -> Timing:
    """
    The steps that count, in windows of `window`.

    We wait always for the window before the one just queued: a GPU's queue never runs dry, so waiting,
    reporting and deciding cost it nothing, and the time is that from the first mark to the last.
    """
    clock.synchronize()
    wall = time.perf_counter()
    steps: List[float] = []
    last = clock.mark()
    waiting: List[Any] = []
    ending = False
    while not ending:
        marks = [last]
        for _ in range(window):
            step()
            marks.append(clock.mark())
        last = marks[-1]
        if waiting:
            _collect(clock, waiting, steps, progress)
        waiting = marks
        ending = _enough(steps, window, limits, time.perf_counter() - wall)
    clock.synchronize()
    wall = time.perf_counter() - wall  # before we do anything for ourselves
    _collect(clock, waiting, steps, progress)
    return Timing(steps, sum(steps), wall)


def _window(step: Callable[[], None], clock: Any, count: int) -> Tuple[int, float, Any]:
    clock.synchronize()
    first = clock.mark()
    for _ in range(count):
        step()
    last = clock.mark()
    clock.synchronize()
    return count, clock.seconds(first, last), last


def _steady(windows: List[float]) -> bool:
    before, after = windows[-2:]
    alike = abs(after - before) <= _STEADY_NEIGHBOURS * before
    return alike and abs(slope(windows)) <= _STEADY_SLOPE * before


def _collect(clock: Any, marks: List[Any], steps: List[float], progress: Progress) -> None:
    clock.wait(marks[-1])
    steps += [clock.seconds(marks[n], marks[n + 1]) for n in range(len(marks) - 1)]
    progress(len(steps), sum(steps))


def _enough(steps: List[float], queued: int, limits: Limits, wall: float) -> bool:
    """Whether the window that is queued shall be the last; `steps` are those before it."""
    if wall >= limits.budget_seconds:
        return len(steps) + queued >= _LEAST_STEPS
    if len(steps) + queued < limits.least_steps:
        return False
    if len(steps) < _LEAST_BLOCKS or sum(steps) < min(_LEAST_SECONDS, limits.budget_seconds):
        return False
    low, high = interval.bootstrap(steps, 200)
    return (high - low) / 2 <= limits.target * sum(steps) / len(steps)
