"""
GET and POST of a run, side by side: our API and a plain FastAPI handler over SQLModel (peer.py), one process each, the
same PostgreSQL, the same token, in turns.

Ours does in addition: row security by the supplier's role, sessions that can be ended, rate limits, answers with
security headers, texts made safe, the run's result; a POST also its machine's lock, the job of its run, and a line in
the audit log, in the same transaction.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from statistics import median, quantiles
from typing import Any, Final
from uuid import UUID

from bench.api.client import exchange
from bench.api.ground import SECRET, Ground, ground, process
from bench.goals import Goal, times_faster

ROUNDS: Final = 12
WARM_UP: Final = 2
READS: Final = 800  # a round, by 32 connections; by one, a quarter
WRITES: Final = 400
MANY: Final = 32

_PEER: Final = "FastAPI {fastapi} + SQLModel {sqlmodel}, one uvicorn worker"
_ENDED: Final = """
    UPDATE gpu_test_runs SET state = 'cancelled', error_code = 'run_cancelled', finished_at = now()
    WHERE finished_at IS NULL AND state = 'queued'
"""
_IDLE: Final = (
    "UPDATE gpu_instances SET status = 'active', test_status = 'completed', lets_us_in = true"
)


@dataclass(frozen=True)
class _Side:
    port: int
    get: str
    post: str


def measure(
    rounds: int = ROUNDS, warm_up: int = WARM_UP, reads: int = READS, writes: int = WRITES
) -> dict[str, Any]:
    """Requests a second with 32 connections, and milliseconds with one."""
    with ground() as here, process(_peer(here)) as (_, said):
        sides = {
            "ours": _Side(here.port, "/v1/runs/{}", "/v1/instances/{}/runs"),
            "peer": _Side(json.loads(said)["port"], "/runs/{}", "/instances/{}/runs"),
        }
        return _told(asyncio.run(_rounds(here, sides, rounds, warm_up, reads, writes)))


def _peer(here: Ground) -> list[str]:
    return [sys.executable, "-m", "bench.api.peer", here.owner, SECRET]


async def _rounds(
    here: Ground, sides: dict[str, _Side], rounds: int, warm_up: int, reads: int, writes: int
) -> dict[str, list[tuple[float, list[float]]]]:
    instances = here.instances(writes)
    seen = {"ours": here.run(here.instances(1)[0])}
    seen["peer"] = _peer_row(here, seen["ours"])
    found: dict[str, list[tuple[float, list[float]]]] = {}
    kinds = (
        ("get", MANY, reads),
        ("get", 1, reads // 4),
        ("post", MANY, writes),
        ("post", 1, writes // 4),
    )
    for number in range(warm_up + rounds):
        # Who comes first changes with every round.
        for name, (kind, connections, count) in product(
            sorted(sides, reverse=number % 2 == 1), kinds
        ):
            side = sides[name]
            if kind == "get":
                requests = [_request("GET", side.get.format(seen[name]), here.token)] * count
            else:
                _make_idle(here)
                requests = _posts(side.post, instances[:count], here.token)
            expected = 200 if kind == "get" else 202
            seconds, times = await exchange(side.port, requests, connections, expected)
            if number >= warm_up:
                rounds_of = found.setdefault(f"{name} {kind} {connections}", [])
                rounds_of.append((seconds / count, times))
        print(f"round {number + 1} of {warm_up + rounds}", file=sys.stderr, flush=True)
    return found


def _told(found: dict[str, list[tuple[float, list[float]]]]) -> dict[str, Any]:
    peer = _PEER.format(fastapi=version("fastapi"), sqlmodel=version("sqlmodel"))
    goals = []
    for kind, target in (("get", 3.0), ("post", 2.0)):
        ours, theirs = (
            [seconds for seconds, _ in found[f"{name} {kind} {MANY}"]] for name in ("ours", "peer")
        )
        goal = Goal(f"API, one worker: {kind.upper()} run, {MANY} connections", peer, target)
        goals.append(goal.told(times_faster(ours, theirs)))
    return {
        "goals": goals,
        **{name.replace(" ", "_"): _figures(rounds) for name, rounds in sorted(found.items())},
    }


def _figures(rounds: Sequence[tuple[float, list[float]]]) -> dict[str, float]:
    times = [each for _, taken in rounds for each in taken]
    return {
        "requests_per_s": round(1 / median(seconds for seconds, _ in rounds), 1),
        "p50_ms": round(median(times), 3),
        "p99_ms": round(quantiles(times, n=100)[-1], 3),
    }


def _request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: application/json",
        f"Authorization: Bearer {token}",
    ]
    if method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _posts(path: str, instances: Sequence[UUID], token: str) -> list[bytes]:
    body = json.dumps({"batch_size": 256, "profile": "quick", "precision": "auto"}).encode()
    return [_request("POST", path.format(each), token, body) for each in instances]


def _make_idle(here: Ground) -> None:
    """Outside of what is timed: no run is unfinished, no job waits."""
    with here.connect() as owner:
        owner.execute(_ENDED)
        owner.execute("DELETE FROM procrastinate_jobs")
        owner.execute(_IDLE)
        owner.execute("CHECKPOINT")


def _peer_row(here: Ground, run_id: UUID) -> UUID:
    """The same run in the peer's table."""
    with here.connect() as owner:
        found = owner.execute(
            """
            INSERT INTO peer_runs (id, user_id, instance_id, requested_by, options, state, finished, attempt, worker,
                                   last_event_seq, created_at, claimed_at, started_at)
            SELECT id, user_id, instance_id, requested_by, options, state, false, attempt, worker, last_seq, created_at,
                   claimed_at, started_at FROM gpu_test_runs WHERE id = %s RETURNING id
            """,
            (run_id,),
        ).fetchone()
    assert found is not None
    peer: UUID = found[0]
    return peer
