"""
Runs of the product against SSH servers that misbehave, and what they cost whoever is beside them.

A run may end in the ways that its machine's behaviour allows, and within its time; what is stored of it is bounded and
safe to show; nothing is left open. The worker is this process, with the product's own story of a run; its deadlines are
short, and so are its pauses between tries. The hostile machines are another process with the least of the CPU and
an upper bound on what all floods send, so that they take nothing from us but what we give them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

from sqlalchemy import text

from bench.attacks.ground import Ground
from bench.attacks.hostile.machines import BEHAVIOURS, Behaviour
from bench.attacks.hostile.machines import honest as honest_machines
from bench.attacks.hostile.places import machines
from bench.attacks.hostile.watch import Watch, sockets_to, watching
from bench.attacks.record import Played
from bench.attacks.silence import silence
from bench.attacks.tenants import Place, Tenant, tenants_of
from orchestrator.database.models import Run
from orchestrator.database.session import SERVICE, Database
from orchestrator.domain import retry
from orchestrator.domain.sanitise import shown
from orchestrator.runs import execute
from orchestrator.runs.execute import execute_run
from orchestrator.ssh.follow import MOST_BYTES

MOST_MEMORY: Final = 64 * 2**20
MOST_LAG: Final = 0.25
MOST_SLOWED: Final = 1.10
INSIDE: Final = 45.0  # seconds from the request to the end: the sum of our deadlines, twice over
AT_ONCE: Final = 12
_TIMED_FROM: Final = (
    5  # rounds; fewer say nothing of lag and slowdown on a machine that others use too
)
_HONEST_ALONE: Final = 3  # times, in each round
_SETTLE: Final = 5.0
_MOST_EVENTS: Final = 12_000
_SENTENCES: Final = 40


@dataclass
class _Tally:
    """What has got through so far, and how long honest runs took without and with hostile ones beside them."""

    attempted: int = 0
    zero: dict[str, int] = field(default_factory=lambda: {"untyped": 0, "late": 0, "escaped": 0})
    sentences: list[str] = field(default_factory=list)
    ends: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    stored: int = 0  # bytes of the run of which most is

    def count(self, what: str, sentence: str) -> None:
        self.zero[what] += 1
        self.sentences.append(sentence)

    @property
    def slowed(self) -> float:
        """The median of honest runs beside hostile ones, in those of honest runs alone."""
        if not self.alone or not self.beside:
            return 1.0
        return statistics.median(self.beside) / statistics.median(self.alone)


async def play(
    ground: Ground, count: int, seed: int, names: Sequence[str] = tuple(BEHAVIOURS)
) -> Played:
    """`count` rounds over the behaviours `names`, in an order of `seed`."""
    dice = random.Random(seed)
    tally = _Tally()
    timed = count >= _TIMED_FROM
    with ground.database() as logins, _haste(), silence():
        async with machines() as places, tenants_of(logins) as house:
            hosts = {places[name].host for name in names}
            await _honest_run(await house.tenant(), places["honest_0"], [])
            with watching() as watch:
                for number in range(count):
                    chosen = list(names)
                    dice.shuffle(chosen)
                    hostile, honest = await house.tenant(), await house.tenant()
                    for _ in range(_HONEST_ALONE if timed else 0):
                        await _honest_runs(honest, places, tally.alone)
                    beside = asyncio.create_task(_beside(honest, places, tally))
                    try:
                        await _round(hostile, places, chosen, tally, turn=number)
                    finally:
                        beside.cancel()
                        await asyncio.wait({beside})
                    if not beside.cancelled():
                        beside.result()  # what an honest run failed of
                    await _nothing_left(hosts, tally)
                    _tell(number, tally, watch)
    return _played(tally, watch, timed=timed)


async def _round(
    tenant: Tenant, places: dict[str, Place], names: list[str], tally: _Tally, *, turn: int
) -> None:
    """Machines without a key are met at the first contact and at the login by turns."""
    room = asyncio.Semaphore(AT_ONCE)
    pinned = set(sorted(names)[turn % 2 :: 2])

    async def one(name: str) -> None:
        async with room:
            await _attack(*(tenant, BEHAVIOURS[name], places[name], tally), pinned=name in pinned)

    await asyncio.gather(*(one(name) for name in names))


async def _attack(
    tenant: Tenant, behaviour: Behaviour, place: Place, tally: _Tally, *, pinned: bool
) -> None:
    """One run, judged; `pinned`: a machine without a key is met at the login, as if it had shown one before."""
    tally.attempted += 1
    run = await tenant.request(place, pinned=pinned and behaviour.keyless)
    began = asyncio.get_running_loop().time()
    story = asyncio.create_task(execute_run(run.id, tenant.worker))
    over, _ = await asyncio.wait({story}, timeout=INSIDE)
    if not over:
        story.cancel()
        await asyncio.wait({story})
        tally.count("late", f"{behaviour.name}: still at it after {INSIDE:g} s")
        return
    if (error := story.exception()) is not None:
        tally.count("untyped", f"{behaviour.name}: {type(error).__name__} got out: {error}")
        return
    seconds = asyncio.get_running_loop().time() - began
    tally.seconds[behaviour.name] = max(seconds, tally.seconds.get(behaviour.name, 0.0))
    ended = await tenant.run(run.id)
    _judge_end(behaviour, ended, tally)
    await _judge_stored(behaviour, ended, tenant.worker.database, tally)


def _judge_end(behaviour: Behaviour, run: Run, tally: _Tally) -> None:
    code = run.error_code or run.state
    ends = tally.ends.setdefault(behaviour.name, {})
    ends[code] = ends.get(code, 0) + 1
    allowed = behaviour.ends
    if run.state == "passed" and "passed" not in allowed:
        tally.count("escaped", f"{behaviour.name}: its run passed")
    elif run.finished_at is None or code not in allowed:
        tally.count(
            "untyped", f"{behaviour.name}: {code} ({run.error_message}), not {sorted(allowed)}"
        )


async def _judge_stored(behaviour: Behaviour, run: Run, database: Database, tally: _Tally) -> None:
    """What PostgreSQL keeps of it is bounded, and nothing in it moves a cursor or turns a line around."""
    async with database.transaction(SERVICE) as session:
        found = await session.exec(_STORED, params={"run_id": run.id})  # type: ignore[call-overload]
        events, size = found.one()
        bodies = await session.exec(_BODIES, params={"run_id": run.id})  # type: ignore[call-overload]
        texts = [body for (body,) in bodies]
    tally.stored = max(tally.stored, size)
    if events > _MOST_EVENTS or size > MOST_BYTES:
        tally.count("escaped", f"{behaviour.name}: {events} events of {size} bytes are stored")
    for told in (*texts, run.error_message or "", run.evidence):
        if told != shown(told):
            tally.count("escaped", f"{behaviour.name}: stored for show: {str(told)[:200]!r}")
            return


_STORED: Final = text(
    """
    SELECT count(*), coalesce(sum(octet_length(body::text)), 0)::bigint
    FROM gpu_test_events WHERE run_id = :run_id
    """
)
_BODIES: Final = text(
    """
    SELECT body - 'raw_results' FROM gpu_test_events
    WHERE run_id = :run_id AND (seq < 50 OR type NOT IN ('metric', 'warning', 'progress', 'sample'))
    """
)


async def _beside(honest: Tenant, places: dict[str, Place], tally: _Tally) -> None:
    while True:
        await _honest_runs(honest, places, tally.beside)


async def _honest_runs(honest: Tenant, places: dict[str, Place], times: list[float]) -> None:
    machines = [places[f"honest_{n}"] for n in range(honest_machines.MACHINES)]
    await asyncio.gather(*(_honest_run(honest, place, times) for place in machines))


async def _honest_run(honest: Tenant, place: Place, times: list[float]) -> None:
    """A run of an honest tenant's must pass, whoever else is there."""
    run = await honest.request(place)
    began = asyncio.get_running_loop().time()
    await execute_run(run.id, honest.worker)
    times.append(asyncio.get_running_loop().time() - began)
    ended = await honest.run(run.id)
    if ended.state != "passed":
        raise AssertionError(f"an honest run ended as {ended.error_code}: {ended.error_message}")


async def _nothing_left(hosts: set[str], tally: _Tally) -> None:
    """No socket to a hostile machine is open any more, and no task of ours or asyncssh's waits for one."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _SETTLE
    while (left := sockets_to(hosts)) and loop.time() < until:  # noqa: ASYNC110  the kernel has them
        await asyncio.sleep(0.1)
    if left:
        tally.count("escaped", f"{left} sockets to hostile machines are left open")
    tasks = [each for each in asyncio.all_tasks() if "asyncssh" in repr(each.get_coro())]
    if tasks:
        tally.count("escaped", f"{len(tasks)} tasks of connections are left: {tasks[0]!r}")
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "harborx-was-here").exists():
            tally.count("escaped", f"a machine wrote into {folder}")


@contextmanager
def _haste() -> Iterator[None]:
    """The product's pauses between tries, and its grace after a deadline, in tenths of seconds."""
    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (retry, "MAX_RETRIES", 1),
            (retry, "_FIRST_WAIT", retry._FIRST_WAIT / 10),
            (retry, "_LONGEST_SEEK", retry._LONGEST_SEEK / 20),
            (execute, "_GRACE", 2.0),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def _tell(number: int, tally: _Tally, watch: Watch) -> None:
    print(
        f"hostile: round {number + 1}: {tally.attempted} runs, {sum(tally.zero.values())} got through, "
        f"{watch.grown / 2**20:.0f} MiB, lag p99 {1000 * watch.lag_p99:.0f} ms, slowed {tally.slowed:.2f}",
        file=sys.stderr,
        flush=True,
    )


def _played(tally: _Tally, watch: Watch, *, timed: bool) -> Played:
    missed = []
    if watch.grown > MOST_MEMORY:
        missed.append(f"the worker grew by {watch.grown / 2**20:.0f} MiB")
    if timed and watch.lag_p99 > MOST_LAG:
        missed.append(f"the event loop lagged by {watch.lag_p99:.3f} s (p99)")
    if timed and tally.slowed > MOST_SLOWED:
        missed.append(f"honest runs took {tally.slowed:.2f} times as long")
    figures: dict[str, Any] = {
        "behaviours": len(tally.ends),
        "memory_mib": round(watch.grown / 2**20, 1),
        "lag_p99_ms": round(1000 * watch.lag_p99, 1),
        "lag_max_ms": round(1000 * max(watch.lags, default=0.0), 1),
        **({"slowed": round(tally.slowed, 3)} if timed else {}),
        "honest_runs": len(tally.alone) + len(tally.beside),
        "longest_s": round(max(tally.seconds.values(), default=0.0), 1),
        "stored_mib": round(tally.stored / 2**20, 1),
        "ends": _sums(tally.ends),
    }
    return Played(
        tally.attempted, tally.zero, figures, tuple(missed), tuple(tally.sentences[:_SENTENCES])
    )


def _sums(ends: dict[str, dict[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for codes in ends.values():
        for code, count in codes.items():
            sums[code] = sums.get(code, 0) + count
    return dict(sorted(sums.items()))
