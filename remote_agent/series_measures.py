"""What a series of numbers shows: its quantiles and its slope. Pure; for readings and steps alike."""

import math
from typing import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The `share` quantile of at least one value, between its neighbours in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def slope(values: Sequence[float]) -> float:
    """Least squares: how much the values change from one to the next; 0 for fewer than two."""
    count = len(values)
    if count < 2:
        return 0.0
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    moment = math.fsum((n - middle) * (value - mean) for n, value in enumerate(values))
    return moment / math.fsum((n - middle) ** 2 for n in range(count))
