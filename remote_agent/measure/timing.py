"""Time a number of equal steps, on the processor's clock or on the GPU's own."""

import math
import statistics
import time
from typing import Any, Callable, Dict, List, NamedTuple

Progress = Callable[[int, float], None]
"""Takes the steps that are done and the seconds they took."""


class Timing(NamedTuple):
    """
    Every step's seconds, their sum, and the same span by the wall clock.

    On a GPU the two clocks are independent; where they disagree the machine is short of
    processor time, or one of them lies.
    """

    steps: List[float]
    measured_seconds: float
    wall_seconds: float


def on_processor(step: Callable[[], None], count: int, progress: Progress) -> Timing:
    """Times `count` calls of `step`, which returns when its work is done."""
    steps: List[float] = []
    for done in range(1, count + 1):
        started = time.perf_counter()
        step()
        steps.append(time.perf_counter() - started)
        progress(done, sum(steps))
    return Timing(steps, sum(steps), sum(steps))


def on_gpu(
    step: Callable[[], None],
    count: int,
    window: int,
    new_mark: Callable[[], Any],
    synchronize: Callable[[], None],
    progress: Progress,
) -> Timing:
    """
    Times `count` steps by marks (CUDA events) in the GPU's own queue.

    We wait once in `window` steps, and always for the window before the one just queued: the
    queue never runs dry, so waiting and reporting cost the GPU nothing, and the time is that
    from the first mark to the last without a gap.
    """
    synchronize()
    wall = time.perf_counter()
    marks = [_marked(new_mark)]
    for done in range(1, count + 1):
        step()
        marks.append(_marked(new_mark))
        finished = done - window
        if done % window == 0 and finished > 0:
            marks[finished].synchronize()
            progress(finished, _seconds(marks[0], marks[finished]))
    synchronize()
    wall = time.perf_counter() - wall
    total = _seconds(marks[0], marks[-1])
    progress(count, total)
    steps = [_seconds(marks[n], marks[n + 1]) for n in range(count)]
    return Timing(steps, total, wall)


def spread_ms(steps: List[float]) -> Dict[str, float]:
    """How long steps of so many seconds took, in milliseconds."""
    ordered = sorted(steps)
    return {
        "min": ordered[0] * 1000,
        "median": statistics.median(ordered) * 1000,
        "p95": ordered[math.ceil(0.95 * len(ordered)) - 1] * 1000,
        "max": ordered[-1] * 1000,
    }


def _marked(new_mark: Callable[[], Any]) -> Any:
    mark = new_mark()
    mark.record()
    return mark


def _seconds(earlier: Any, later: Any) -> float:
    return float(earlier.elapsed_time(later)) / 1000
