"""How exact a figure is: spread and confidence of a series of step times. Pure, no numpy."""

import math
import random
import statistics
from typing import Dict, List, NamedTuple, Tuple

from remote_agent.series_measures import percentile

_BLOCKS = 32
_RESAMPLES = 400
_SEED = 20_151_210


class Spread(NamedTuple):
    """
    Of step times in seconds: mean (total time / steps), median, 5th and 95th percentile, coefficient of
    variation in percent, and the 95 % interval of the mean, `low` to `high`.
    """

    mean: float
    median: float
    p5: float
    p95: float
    variation_percent: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval as a share of the mean: 0.002 is 0.2 %."""
        return (self.high - self.low) / 2 / self.mean if self.mean > 0 else math.inf


def spread(steps: List[float]) -> Spread:
    """The spread of at least one step. One step alone has an interval from 0 to twice its time."""
    mean = math.fsum(steps) / len(steps)
    low, high = bootstrap(steps)
    deviation = statistics.stdev(steps) if len(steps) > 1 else 0.0
    return Spread(
        mean=mean,
        median=statistics.median(steps),
        p5=percentile(steps, 0.05),
        p95=percentile(steps, 0.95),
        variation_percent=100 * deviation / mean if mean > 0 else 0.0,
        low=low,
        high=high,
    )


def bootstrap(steps: List[float], resamples: int = _RESAMPLES) -> Tuple[float, float]:
    """
    The 95 % interval of the mean of `steps`, by a bootstrap over blocks of neighbours.

    Steps follow each other on one clock and one temperature, so single steps are not independent:
    resampling them alone would promise too much (Künsch 1989). There are 32 blocks, or one a step.
    """
    count = min(_BLOCKS, len(steps))
    if count < 2:
        return 0.0, 2 * steps[0]
    blocks = [_block(steps, n, count) for n in range(count)]
    middle = math.fsum(steps) / len(steps)
    # With few blocks the bootstrap's spread falls short by sqrt((n - 1) / n), and its tails are too
    # short as well: both are corrected towards Student's interval.
    widen = math.sqrt(count / (count - 1)) * _student(count - 1) / 1.96
    draw = random.Random(_SEED)
    means = [_mean(draw.choices(blocks, k=count)) for _ in range(resamples)]
    low, high = min(percentile(means, 0.025), middle), max(percentile(means, 0.975), middle)
    return max(0.0, middle + (low - middle) * widen), middle + (high - middle) * widen


def _block(steps: List[float], number: int, count: int) -> Tuple[float, int]:
    """The total of block `number` of `count`, and its steps; all steps are in one of them."""
    begin, end = number * len(steps) // count, (number + 1) * len(steps) // count
    return math.fsum(steps[begin:end]), end - begin


def _mean(blocks: List[Tuple[float, int]]) -> float:
    return math.fsum(total for total, _ in blocks) / sum(steps for _, steps in blocks)


def spread_ms(found: Spread, steps: List[float]) -> Dict[str, float]:
    """How long steps took, in milliseconds, for a reader."""
    return {
        "min": min(steps) * 1000,
        "p5": found.p5 * 1000,
        "median": found.median * 1000,
        "p95": found.p95 * 1000,
        "max": max(steps) * 1000,
    }


def _student(freedom: int) -> float:
    """Student's 97.5 % quantile (Hill's expansion in 1 / freedom; exact to 1 % from 3 on)."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    if freedom == 1:
        return 12.706
    return z + first / freedom + second / freedom**2 + third / freedom**3
