"""
What a connection alone costs: `python -m bench.fleet.connects` connects, logs in, launches and lets go through
orchestrator.ssh, all machines at once and no database, and tells the CPU of its process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

from orchestrator.ssh import agent_archive
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines, Target, connect
from orchestrator.ssh.launch import Order, launch

_DEADLINES = Deadlines(connect=120, login=120, command=120)  # all come at once, to two cores


def main() -> None:
    given = json.loads(sys.stdin.readline())
    targets = [_target(*address, given["private_key"]) for address in given["addresses"]]
    archive = agent_archive.pack()
    asyncio.run(
        _all_at_once(targets[:1], archive)
    )  # what is done once a process is not a connection's
    gc.collect()
    began, wall = time.process_time(), time.monotonic()
    asyncio.run(_all_at_once(targets, archive))
    told = {
        "cpu_ms": 1000 * (time.process_time() - began) / len(targets),
        "wall_s": time.monotonic() - wall,
    }
    print(json.dumps(told), flush=True)


async def _all_at_once(targets: list[Target], archive: AgentArchive) -> None:
    """Each is held until all have launched."""
    left = len(targets)
    all_in = asyncio.Event()

    async def one(target: Target) -> None:
        nonlocal left
        order = Order(str(uuid4()), 1, spec=_spec())
        async with (
            connect(target, deadlines=_DEADLINES, attempts=1) as connection,
            launch(connection, archive, order, deadlines=_DEADLINES),
        ):
            left -= 1
            if not left:
                all_in.set()
            await all_in.wait()

    async with asyncio.TaskGroup() as group:
        for target in targets:
            group.create_task(one(target))


def _target(host: str, port: int, host_key: str, private_key: str) -> Target:
    policy = AddressPolicy((ip_network("127.0.0.0/8"),))
    return Target(host, port, "fleet", private_key, host_key, policy)


def _spec() -> str:
    orders: dict[str, Any] = {
        "run_id": str(uuid4()),
        "epoch": 1,
        "nonce": "0" * 32,
        "deadline_seconds": 600,
        "options": {"batch_size": 50, "image_size": 32},
    }
    return json.dumps(orders)


if __name__ == "__main__":
    main()
