"""
Pages of a supplier with a million results, each by `harborx serve` over HTTP on loopback: the sign-in, the rate limits, row
security and all that an answer is made of included. The first page, and one from the middle.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import Sequence
from statistics import quantiles
from typing import Any, Final

from bench.api.client import exchange
from bench.api.ground import Ground, ground
from bench.goals import Goal, counted
from bench.growth.ground import fill

RESULTS: Final = 1_000_000
MONTHS: Final = 12
EACH: Final = 30
REQUESTS: Final = 200
WARM_UP: Final = 20
_MOST_MS: Final = 25.0
# The rows of a page where nobody asks for another number; the fleet's table reads in pages of 1,000.
_LISTS: Final = {
    "instances": "/v1/instances",
    "results": "/v1/results",
    "runs": "/v1/runs",
    "results_of_instance": "/v1/results?instance_id={instance}",
    "runs_of_instance": "/v1/runs?instance_id={instance}",
    "fleet_100": "/v1/instances/overview?limit=100",
    "fleet_1000": "/v1/instances/overview?limit=1000",
    "history_500": "/v1/instances/{instance}/history",
    "listing": "/v1/listing",
}


def measure(
    results: int = RESULTS, months: int = MONTHS, requests: int = REQUESTS
) -> dict[str, Any]:
    """Milliseconds of one connection's requests, one after another."""
    with ground() as here:
        instances = max(2, results // (months * EACH))
        with here.connect() as owner:
            fill(
                owner,
                instances=instances,
                months=months,
                each=EACH,
                runs=True,
                user_id=here.user_id,
            )
        taken = asyncio.run(_all(here, requests))
    goals = [
        Goal(f"page at {results:,} results: {name}, p95", "", _MOST_MS, False, "ms").told(
            counted(_p95(times))
        )
        for name, times in taken.items()
    ]
    return {"goals": goals, **{name: _figures(times) for name, times in taken.items()}}


async def _all(here: Ground, count: int) -> dict[str, list[float]]:
    with here.connect() as owner:
        row = owner.execute("SELECT id FROM gpu_instances ORDER BY md5(id::text) LIMIT 1")
        instance = str(row.fetchall()[0][0])
    taken = {}
    for name, form in _LISTS.items():
        path = form.format(instance=instance)
        taken[name] = await _times(here, path, count)
        deep = _deeper(here, path)
        if deep is not None:
            taken[f"{name}_deeper"] = await _times(here, deep, count)
        print(f"{name}: p95 {_p95(taken[name]):.1f} ms", file=sys.stderr, flush=True)
    return taken


async def _times(here: Ground, path: str, count: int) -> list[float]:
    request = _request(path, here.token)
    await exchange(here.port, [request] * WARM_UP, 1, 200)
    return (await exchange(here.port, [request] * count, 1, 200))[1]


def _deeper(here: Ground, path: str) -> str | None:
    """Behind a few pages; None where there are no more."""
    found = path
    for _ in range(3):
        asked = urllib.request.Request(
            here.address + found, headers={"Authorization": f"Bearer {here.token}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            cursor = json.load(answer).get("next_cursor")
        if cursor is None:
            break
        found = f"{path}{'&' if '?' in path else '?'}cursor={cursor}"
    return None if found == path else found


def _request(path: str, token: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    return "\r\n".join([*lines, "", ""]).encode()


def _p95(times: Sequence[float]) -> float:
    return quantiles(times, n=20)[-1]


def _figures(times: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": round(quantiles(times, n=2)[0], 2), "p95_ms": round(_p95(times), 2)}
