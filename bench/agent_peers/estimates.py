"""Estimates with 95 % intervals: of a median, of a coefficient of variation, of a share. Pure, no numpy."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_RESAMPLES: Final = 4000
_SEED: Final = 20_151_210
_BISECTIONS: Final = 60


class Estimate(NamedTuple):
    """`low` and `high` are None where there is too little to tell them from."""

    value: float
    low: float | None
    high: float | None


def median(samples: Sequence[float]) -> Estimate:
    """
    The median, and its interval by a bootstrap over the samples.

    With fewer than six the interval is at most their whole range, which holds the median in less than 95 %.
    """
    middle = statistics.median(samples)
    if len(samples) < 2:
        return Estimate(middle, None, None)
    draw = random.Random(_SEED)
    drawn = sorted(
        statistics.median(draw.choices(samples, k=len(samples))) for _ in range(_RESAMPLES)
    )
    return Estimate(middle, drawn[_RESAMPLES // 40], drawn[-(_RESAMPLES // 40) - 1])


def variation(samples: Sequence[float]) -> Estimate:
    """The coefficient of variation in percent; the interval is the normal distribution's (chi-square)."""
    if len(samples) < 2:
        raise ValueError("one sample has no variation")
    freedom = len(samples) - 1
    value = 100 * statistics.stdev(samples) / statistics.fmean(samples)
    low, high = (
        value * math.sqrt(freedom / _chi_square(freedom, share)) for share in (0.975, 0.025)
    )
    return Estimate(value, low, high)


def proportion(hits: int, of: int) -> Estimate:
    """`hits` of `of` in percent, with the exact interval of Clopper and Pearson."""
    low = 0.0 if hits == 0 else _root(lambda p: 1 - _binomial(hits - 1, of, p), 0.025)
    high = 1.0 if hits == of else _root(lambda p: 1 - _binomial(hits, of, p), 0.975)
    return Estimate(100 * hits / of, 100 * low, 100 * high)


def _root(rising: Callable[[float], float], target: float, most: float = 1.0) -> float:
    """Where a function that rises from 0 to `most` reaches `target`."""
    low, high = 0.0, most
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


def _binomial(hits: int, of: int, chance: float) -> float:
    """The probability of at most `hits`."""
    terms = (math.comb(of, k) * chance**k * (1 - chance) ** (of - k) for k in range(hits + 1))
    return math.fsum(terms)


def _chi_square(freedom: int, share: float) -> float:
    """Its quantile, from the series of the incomplete gamma function."""

    def rising(x: float) -> float:
        half, shape = x / 2, freedom / 2
        term = math.exp(shape * math.log(half) - half - math.lgamma(shape + 1))
        total, n = term, 1
        while term > 1e-12 * total:
            term *= half / (shape + n)
            total, n = total + term, n + 1
        return total

    return _root(rising, share, most=20.0 * freedom + 50)
