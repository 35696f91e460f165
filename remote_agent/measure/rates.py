"""The rate of a kernel: warmed up, then timed in batches on the device's own clock, with its interval."""

import contextlib
import math
import statistics
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import torch

from remote_agent.measure import timing
from remote_agent.measure.figure import Figure
from remote_agent.series_measures import percentile

METHOD = 1
"""Raised whenever the way of measuring changes so that figures do not compare any more."""

_WARMUP_SHARE = 0.25  # of the budget, at most
_BATCHES = 40  # in a budget, where a call is short enough
_WINDOW_BATCHES = 4
_ERROR_CHARACTERS = 200


class Rate(NamedTuple):
    """
    Work a second: the median of all batches and its 95 % interval.

    `detail` tells how many batches of how many calls that were, and the 5th and 95th percentile of their
    rates, in the same unit as `value`.
    """

    value: float
    low: float
    high: float
    detail: Dict[str, Any]

    def figure(
        self,
        name: str,
        unit: str,
        scale: float,
        gpu_index: Optional[int],
        configuration: Dict[str, Any],
        **detail: Any,
    ) -> Figure:
        """The figure `name` in `unit`, of which one is `scale` of the work's own units a second."""
        told = dict(self.detail)
        for quantile in ("p5", "p95"):
            told[quantile] = self.detail[quantile] / scale
        return Figure(
            name,
            self.value / scale,
            unit,
            low=self.low / scale,
            high=self.high / scale,
            gpu_index=gpu_index,
            configuration=configuration,
            detail={**told, **detail},
        )


@contextlib.contextmanager
def current(device: str) -> Iterator[Any]:
    """
    Makes `device` (cpu, cuda or cuda:<index>) torch's current one, and is its clock.

    What torch holds there in reserve is given back afterwards.
    """
    if device == "cpu":
        yield timing.ProcessorClock()
        return
    with torch.cuda.device(device):
        try:
            yield timing.GpuClock(torch.cuda)
        finally:
            torch.cuda.empty_cache()


def conditions(device: str, **more: Any) -> Dict[str, Any]:
    """What a comparison must hold fixed for any kernel on `device`, and `more`."""
    return {
        "method": METHOD,
        "device": device.partition(":")[0],
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda or torch.version.hip,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        **more,
    }


def rate(call: Callable[[], None], clock: Any, seconds: float, work: float) -> Rate:
    """
    `work` (flop or bytes a call) per second of `call`, within a budget of `seconds` with the warm-up.

    Calls are timed in batches of a fortieth of the budget: the mark between two costs next to nothing.
    """
    started = time.monotonic()
    share = seconds * _WARMUP_SHARE
    warm = timing.warm_up(call, clock, 2, share, share / 8, timing.unheard)
    usual = max(warm.step_seconds, 1e-9)
    calls = max(1, round(seconds / _BATCHES / usual))
    window = max(1, min(_WINDOW_BATCHES, round(seconds / 8 / (calls * usual))))

    def batch() -> None:
        for _ in range(calls):
            call()

    left = max(0.0, seconds - (time.monotonic() - started))
    timed = timing.measure(batch, clock, window, timing.Limits(1, left, target=0.0), timing.unheard)
    return of_batches(timed.steps, calls * work, calls=calls, wall_seconds=timed.wall_seconds)


def of_batches(batches: List[float], work: float, **detail: Any) -> Rate:
    """The rate of batches that took `batches` seconds for `work` each."""
    ordered = sorted(max(seconds, 1e-9) for seconds in batches)
    low, high = median_bounds(ordered)
    return Rate(
        work / statistics.median(ordered),
        work / high,
        work / low,
        {
            "batches": len(ordered),
            "seconds": math.fsum(batches),
            "p5": work / percentile(ordered, 0.95),
            "p95": work / percentile(ordered, 0.05),
            **detail,
        },
    )


def median_bounds(ordered: List[float]) -> Tuple[float, float]:
    """
    The 95 % interval of the median of an ascending list, whatever its distribution.

    By order statistics (Conover 1999, section 3.2): ranks n / 2 -+ 0.98 sqrt(n). Fewer than six values
    can't promise 95 %: theirs is from the least to the greatest.
    """
    count = len(ordered)
    rank = max(1, math.floor(count / 2 - 0.98 * math.sqrt(count)))
    return ordered[rank - 1], ordered[count - rank]


def fixed(call: Callable[[], None], clock: Any, count: int) -> List[float]:
    """The seconds of each of `count` calls, queued without a wait between them."""
    clock.synchronize()
    marks = [clock.mark()]
    for _ in range(count):
        call()
        marks.append(clock.mark())
    clock.synchronize()
    return [clock.seconds(marks[n], marks[n + 1]) for n in range(count)]


def error_text(error: BaseException) -> str:
    """What went wrong, short enough for a figure's detail."""
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS]
