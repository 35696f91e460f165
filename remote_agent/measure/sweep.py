"""The search for the best batch and mode of a card. Pure: it is told how to measure and what time it is."""

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

_GAIN = 1.01  # a step of the search that gains less has found the plateau
_MOST_DOUBLINGS = 12


class Trial(NamedTuple):
    """One setting and its images/s; None where it did not work, and `trouble` says why."""

    batch_size: int
    mode: str
    value: Optional[float]
    trouble: Optional[str] = None


Measure = Callable[[int, str], Tuple[Optional[float], Optional[str]]]
"""Takes a batch size and a mode; images/s, or None and what went wrong."""


def search(
    measure: Measure, first_batch: int, modes: Sequence[str], time_is_up: Callable[[], bool]
) -> List[Trial]:
    """
    All trials, in their order. The batch is doubled in the first mode until it does not fit or gains under
    1 % twice; where it did not fit, the size between is tried; the other modes are tried on the best batch.
    """
    trials: List[Trial] = []

    def attempt(batch_size: int, mode: str) -> Optional[float]:
        value, trouble = measure(batch_size, mode)
        trials.append(Trial(batch_size, mode, value, trouble))
        return value

    _double(attempt, first_batch, modes[0], trials, time_is_up)
    winner = best(trials)
    for mode in modes[1:]:
        if winner is None or time_is_up():
            break
        attempt(winner.batch_size, mode)
    return trials


def best(trials: Sequence[Trial]) -> Optional[Trial]:
    """The fastest that worked; of equals the smallest batch. None where nothing did."""
    worked = [trial for trial in trials if trial.value is not None]
    return max(worked, key=lambda trial: (trial.value or 0.0, -trial.batch_size), default=None)


def _double(
    attempt: Callable[[int, str], Optional[float]],
    first_batch: int,
    mode: str,
    trials: List[Trial],
    time_is_up: Callable[[], bool],
) -> None:
    batch, flat = first_batch, 0
    for _ in range(_MOST_DOUBLINGS):
        before = best(trials)
        if trials and time_is_up():
            return
        value = attempt(batch, mode)
        if value is None:
            between = batch * 3 // 4
            if before is not None and between > before.batch_size and not time_is_up():
                attempt(between, mode)
            return
        flat = 0 if before is None or value > (before.value or 0.0) * _GAIN else flat + 1
        if flat == 2:
            return
        batch *= 2
