"""
How far a run is, as phases with their times. Pure.

    queue -> connect -> push -> provision -> warmup -> measure -> judge

A phase begins with the first event that tells of it and lasts until a later one begins, or the run ends; one that
nothing told of is not there. Phases never go back: what a retry or another worker takes to find the machine again
belongs to the phase in which the line broke. Only a run that was put off, of which the machine holds nothing, is in
the queue again, and has been since it was asked for.

Events are stamped by workers and by PostgreSQL, whose clocks may differ: no phase lasts less than no time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final, Literal, get_args

PhaseName = Literal["queue", "connect", "push", "provision", "warmup", "measure", "judge"]

_ORDER: Final[tuple[PhaseName, ...]] = get_args(PhaseName)
_BEGINNINGS: Final[dict[tuple[str, str | None], PhaseName]] = {
    ("state", "connecting"): "connect",
    ("state", "preparing"): "push",
    ("state", "running"): "provision",
    ("progress", "warmup"): "warmup",
    ("progress", "measure"): "measure",
    ("result", None): "measure",
    ("state", "judging"): "judge",
}


@dataclass(frozen=True)
class Told:
    """An event as far as phases need it: `name` is a state's, or the agent's own word for what it does."""

    type: str
    name: str | None
    at: datetime


@dataclass(frozen=True)
class Phase:
    """`ended_at` is None while it lasts."""

    name: PhaseName
    started_at: datetime
    ended_at: datetime | None


def phases_of(
    created_at: datetime, finished_at: datetime | None, told: Iterable[Told]
) -> list[Phase]:
    """The phases that have begun, in order; `told` are the run's events in order, of other types too."""
    begun: list[tuple[PhaseName, datetime]] = [("queue", created_at)]
    for each in told:
        if each.type == "postponed":
            del begun[1:]
        name = _BEGINNINGS.get((each.type, each.name))
        last, since = begun[-1]
        if name is not None and _ORDER.index(name) > _ORDER.index(last):
            begun.append((name, max(each.at, since)))
    ends: list[datetime | None] = [at for _, at in begun[1:]]
    ends.append(max(finished_at, begun[-1][1]) if finished_at else None)
    return [Phase(name, at, end) for (name, at), end in zip(begun, ends, strict=True)]


def expected_seconds(runs: Iterable[Sequence[Phase]]) -> dict[PhaseName, float]:
    """What each phase took in these runs: the median of those that had it."""
    took: defaultdict[PhaseName, list[float]] = defaultdict(list)
    for phases in runs:
        for phase in phases:
            if phase.ended_at is not None:
                took[phase.name].append((phase.ended_at - phase.started_at).total_seconds())
    return {name: median(took[name]) for name in _ORDER if name in took}
