"""Whether a machine has become slower, told from two figures with their intervals. Pure."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

REPEATABILITY: Final = 0.001
"""Standard deviation of one machine's figure between processes, as a share: the goal of `repeat`."""

LEAST: Final = 0.005
"""A drop that is worth a word: half of the one that must be found."""

_ONE_IN_A_HUNDRED: Final = 2.326  # standard deviations that noise alone exceeds in 1 % of cases
_CONFIDENCE: Final = 1.96  # half of a 95 % interval in standard deviations


class Measured(NamedTuple):
    """A rate, and its 95 % interval."""

    value: float
    low: float
    high: float


def drop(earlier: Measured, later: Measured) -> float:
    """How much slower `later` is, as a logarithm: 0.01 is one percent, negative is faster."""
    return math.log(earlier.value / later.value)


def threshold(earlier: Measured, later: Measured, repeatability: float = REPEATABILITY) -> float:
    """The drop that noise alone exceeds once in a hundred pairs, and never less than `LEAST`."""
    noise = math.hypot(_deviation(earlier), _deviation(later), repeatability, repeatability)
    return max(LEAST, _ONE_IN_A_HUNDRED * noise)


def slower(earlier: Measured, later: Measured, repeatability: float = REPEATABILITY) -> bool:
    """Whether `later` is slower than `earlier` by more than noise explains."""
    return drop(earlier, later) > threshold(earlier, later, repeatability)


def _deviation(measured: Measured) -> float:
    return (measured.high - measured.low) / (2 * _CONFIDENCE * measured.value)
