"""One Idempotency-Key, sent many times at once: whatever is made by a POST is made once, and everybody is told of it."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
import psycopg

from bench.attacks.ground import Ground
from bench.attacks.http.served import opened, served, signed_in
from bench.attacks.record import Played

_ROUNDS: Final = 3
_SECONDS: Final = 120


@dataclass(frozen=True)
class Making:
    """A POST that makes a row of `table`; `told` is where its answer names it."""

    path: str
    table: str
    told: tuple[str, ...]
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Tally:
    """What was sent, how many rows too many it made, and what did not go as it must."""

    attempted: int = 0
    doubled: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def take(self, making: Making, answers: Sequence[httpx.Response], made: int) -> None:
        self.attempted += len(answers)
        ids = {_told(each, making.told) for each in answers if each.is_success}
        self.doubled[making.table] += max(0, made - 1) + max(0, len(ids) - 1)
        if made < 1:
            self.missed[f"{making.table}: nothing was made"] += 1
        for each in answers:
            if not each.is_success:
                refusal = f"{each.status_code} {each.text[:200]}"
                self.missed[f"{making.table}: refused: {refusal}"] += 1


async def play(ground: Ground, count: int, seed: int) -> Played:
    """`count` posts at once, some rounds of every operation that makes something."""
    chosen = random.Random(seed)
    tally = _Tally()
    with ground.database() as logins:
        async with served(logins, ground.folder / uuid4().hex) as base, opened(logins) as api:
            _, login = await signed_in(api)
            limits = httpx.Limits(max_connections=None)
            async with httpx.AsyncClient(
                base_url=base, headers=login, timeout=_SECONDS, limits=limits
            ) as client:
                await client.put("/v1/login-key")
                for number in range(_ROUNDS):
                    for making in await _makings(client, number):
                        before = _rows(logins.owner, making.table)
                        answers = await _sent(client, making, f"{chosen.getrandbits(64):x}", count)
                        tally.take(making, answers, _rows(logins.owner, making.table) - before)
                        print(f"repeats: {tally.attempted}", end="\r", file=sys.stderr, flush=True)
    doubled = tally.doubled
    return Played(
        tally.attempted,
        {"doubled": doubled.total()},
        {"rounds": _ROUNDS, "operations": len(doubled)},
        missed=tuple(f"{times} x {what}" for what, times in tally.missed.items()),
        sentences=tuple(f"{table}: {extra} too many" for table, extra in doubled.items() if extra),
    )


async def _sent(
    client: httpx.AsyncClient, making: Making, key: str, count: int
) -> list[httpx.Response]:
    headers = {"Idempotency-Key": key}
    posts = (client.post(making.path, json=making.body, headers=headers) for _ in range(count))
    return await asyncio.gather(*posts)


async def _makings(client: httpx.AsyncClient, number: int) -> list[Making]:
    machine = {"instance_id": f"of round {number}", "ssh_host": "host.example"}
    onboarded = await client.post("/functions/v1/onboard-gpu", json=machine)
    instance = onboarded.raise_for_status().json()["gpu_instance"]["id"]
    again = {**machine, "instance_id": f"once {number}"}
    return [
        Making(f"/v1/instances/{instance}/runs", "gpu_test_runs", ("id",)),
        Making("/functions/v1/onboard-gpu", "gpu_instances", ("gpu_instance", "id"), again),
        Making("/v1/inventory", "gpu_inventory", ("id",), {"gpu_model": "H100"}),
        Making("/v1/connection-checks", "connection_checks", ("id",), {"ssh_host": "h.example"}),
    ]


def _told(answer: httpx.Response, names: tuple[str, ...]) -> str:
    said: Any = answer.json()
    for name in names:
        said = said[name]
    return str(said)


def _rows(owner: str, table: str) -> int:
    with psycopg.connect(owner) as connection:
        [found] = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or [0]
    return int(found)
