"""
Every table and view of the catalog, with every verb, role and tenant, and every reference and every unique value of it:
what a supplier reads, writes, points at, or learns of another from a refusal.

Out of scope: how long a statement takes, and what the planner estimates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from bench.attacks.ground import Ground
from bench.attacks.record import Played
from bench.attacks.tenancy import doors, injections, matrix, pointers, rules
from bench.attacks.tenancy.two_tenants import Tally, two_tenants
from orchestrator.database.logins import Logins


async def play(ground: Ground, count: int, seed: int) -> Played:
    """The matrix, `count` times, each with tenants of its own."""
    tally = Tally()
    for number in range(count):
        with ground.database() as logins:
            await asyncio.to_thread(attack, logins, seed + number, tally)
    return told(tally)


def told(tally: Tally) -> Played:
    return Played(
        tally.cells,
        {"leaks": len(tally.leaks)},
        dict(sorted(tally.figures.items())),
        missed=tuple(tally.missed),
        sentences=tuple(tally.leaks),
    )


def attack(logins: Logins, seed: int, tally: Tally, parts: Sequence[str] = ()) -> None:
    """On a fresh database of ours, as it is: it may have been weakened. Without `parts`, all of it."""
    with two_tenants(logins, Random(seed)) as tenants:
        for name, part in PARTS.items():
            if not parts or name in parts:
                part(tenants, tally)
        if not parts:
            for name in ("read", "written", "references", "uniques", "doors", "injected"):
                if not tally.figures[name]:
                    tally.missed.append(f"{name}: 0, so that the matrix proves nothing")


PARTS: Final = {
    "rules": rules.hold,
    "matrix": matrix.try_all,
    "references": pointers.point_all,
    "doors": doors.open_all,
    "injections": injections.inject_all,
}
