"""What a benchmark is held against: a goal, what was measured of it, and how sure that is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

_RESAMPLES: Final = 2000
_INTERVAL: Final = 0.95


@dataclass(frozen=True)
class Measured:
    """
    A figure and the bounds of its 95 % interval. Of two things that were measured side by side it is a ratio, of one alone
    a value in the goal's unit; `low` and `high` are that value where it was counted and not sampled.
    """

    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Goal:
    """
    `peer` is what it is compared with, version included, or "" for a bound of its own; `target` is reached from above where
    `at_least`, else from below. `unit` is "x" for ratios.
    """

    goal: str
    peer: str
    target: float
    at_least: bool = True
    unit: str = "x"

    def reached(self, measured: Measured) -> bool:
        """By the figure itself; the interval says how sure that is."""
        if self.at_least:
            return measured.ratio >= self.target
        return measured.ratio <= self.target

    def told(self, measured: Measured) -> dict[str, Any]:
        """A line of bench/results.json."""
        figures = {name: round(value, 3) for name, value in asdict(measured).items()}
        return {**asdict(self), **figures, "met": self.reached(measured)}


def times_faster(ours: Sequence[float], peer: Sequence[float], *, seed: int = 20261125) -> Measured:
    """
    How many times the peer's median is ours, of samples taken in turns: the n-th of each were taken side by side, and
    are resampled together (percentile bootstrap).
    """
    pairs = list(zip(ours, peer, strict=True))
    drawn = _bootstrap(pairs, lambda sample: _ratio(sample), seed)
    return Measured(_ratio(pairs), *drawn)


def of_samples(samples: Sequence[float], *, seed: int = 20261125) -> Measured:
    """The median of samples of ours alone, with its bootstrap interval."""
    return Measured(median(samples), *_bootstrap(list(samples), median, seed))


def counted(value: float) -> Measured:
    """What was counted or taken once."""
    return Measured(value, value, value)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return median(peer for _, peer in pairs) / median(own for own, _ in pairs)


def _bootstrap(samples: list[Any], of: Any, seed: int) -> tuple[float, float]:
    chance = random.Random(seed)
    drawn = sorted(of(chance.choices(samples, k=len(samples))) for _ in range(_RESAMPLES))
    edge = round(_RESAMPLES * (1 - _INTERVAL) / 2)
    return drawn[edge], drawn[-edge - 1]
