"""Findings from the times of the steps: clocks that lie, and a speed that falls or wavers."""

import math
from typing import List, NamedTuple, Optional, Sequence

from remote_agent.machine.findings.finding import Finding
from remote_agent.series_measures import slope

_CLOCKS_SHARE = 0.005
_CLOCKS_SECONDS = 0.01  # of a short measurement this is more, and means nothing
_WINDOWS = 32
_LEAST_WINDOWS = 8
_FALL = 0.01  # one step of a card's clock as it grows warm is 0.75 % and usual
_SIGNIFICANT = 4.0
_VARIATION_PERCENT = 2.0


class Trend(NamedTuple):
    """
    A line through values that are equally far apart (ordinary least squares).

    `change` is that from the first to the last value as a share of their mean, `t` Student's figure of
    the slope, infinite where the values are on the line.
    """

    change: float
    t: float


def of_steps(
    step_seconds: Sequence[float], gpu_seconds: float, wall_seconds: float
) -> List[Finding]:
    """
    What is wrong with a measurement: its steps, and their span by the GPU's and by the wall clock.

    Codes: clock_backwards, which makes all else moot; slow_drift, unsteady.
    """
    clock = _clock(step_seconds, gpu_seconds, wall_seconds)
    if clock:
        return [clock]
    drift = _drift(step_seconds)
    waver = _waver(step_seconds, has_drift=drift is not None)
    return [finding for finding in (drift, waver) if finding]


def trend(values: Sequence[float]) -> Trend:
    """The trend of at least three values."""
    count = len(values)
    rise, mean = slope(values), math.fsum(values) / count
    if mean == 0:
        return Trend(0.0, 0.0)
    middle = (count - 1) / 2
    squares = math.fsum((n - middle) ** 2 for n in range(count))
    rest = [value - mean - rise * (n - middle) for n, value in enumerate(values)]
    error = math.sqrt(math.fsum(one * one for one in rest) / (count - 2) / squares)
    t = rise / error if error else math.copysign(math.inf, rise) if rise else 0.0
    return Trend(rise * (count - 1) / mean, t)


def _clock(steps: Sequence[float], gpu: float, wall: float) -> Optional[Finding]:
    spans = [*steps, gpu, wall]
    backwards = [span for span in spans if not (math.isfinite(span) and span >= 0)]
    if backwards:
        told = f"{len(backwards)} of {len(spans)} spans are negative or no number"
        return Finding("clock_backwards", f"A clock ran backwards: {told} ({backwards[0]:.6f} s).")
    if abs(gpu - wall) <= max(_CLOCKS_SECONDS, _CLOCKS_SHARE * wall):
        return None
    apart = f", {abs(gpu - wall) / wall:.1%} apart" if wall else ""
    return Finding(
        "clock_backwards",
        f"The GPU's clock measured {gpu:.3f} s where {wall:.3f} s went by on the wall's{apart}.",
    )


def _drift(steps: Sequence[float]) -> Optional[Finding]:
    speeds = _speeds(steps)
    if len(speeds) < _LEAST_WINDOWS:
        return None
    found = trend(speeds)
    if -found.change <= _FALL or -found.t <= _SIGNIFICANT:
        return None
    return Finding(
        "slow_drift",
        f"The throughput fell by {-found.change:.1%} within {math.fsum(steps):.0f} s, steadily:"
        " a card that grows warm; see to its cooling.",
    )


def _waver(steps: Sequence[float], has_drift: bool) -> Optional[Finding]:
    """What a drift explains is not told a second time."""
    if len(steps) < 2:
        return None
    mean = math.fsum(steps) / len(steps)
    rise = slope(steps) if has_drift else 0.0
    middle = (len(steps) - 1) / 2
    rest = [value - mean - rise * (n - middle) for n, value in enumerate(steps)]
    deviation = math.sqrt(math.fsum(one * one for one in rest) / (len(steps) - 1))
    if not mean or 100 * deviation / mean <= _VARIATION_PERCENT:
        return None
    return Finding(
        "unsteady",
        f"The steps took {1000 * mean:.2f} ms in the mean with a variation of"
        f" {100 * deviation / mean:.1f} %, where 2 % are usual: something else uses the machine.",
    )


def _speeds(steps: Sequence[float]) -> List[float]:
    """The steps a second of up to 32 windows, each at least two steps long; what is left over is not used."""
    size = max(2, len(steps) // _WINDOWS)
    starts = range(0, len(steps) - size + 1, size)
    spans = [math.fsum(steps[start : start + size]) for start in starts]
    return [size / span for span in spans if span > 0]
