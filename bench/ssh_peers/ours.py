"""
The product as a client: each line of stdin asks for one round, each line of stdout tells how long it took. Run on the near
side of a line: `python -m bench.ssh_peers.ours '{"host": ...}'`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.ssh_peers.agent_file import LINES, agent, packed, plain
from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Connection, Target, connect
from orchestrator.ssh.launch import Order, launch


async def main(place: dict[str, Any], key: str) -> None:
    """`cold` and `warm` rounds until stdin ends; the first warm one opens the connection that they keep."""
    content = agent(packed() if place["packed"] else plain())
    targets = [_target(place, host, key) for host in place["hosts"]]
    target = targets[0]
    async with AsyncExitStack() as stack:
        kept: Connection | None = None
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if line == "warm" and kept is None:
                kept = await stack.enter_async_context(connect(target))
                await fetched(kept, content, expected=False)
            began, spent = time.perf_counter(), time.process_time()
            if line == "warm" and kept is not None:
                await fetched(kept, content, expected=True)
            else:
                async with asyncio.TaskGroup() as group:
                    for each in targets:
                        group.create_task(_cold(each, content))
            told = {
                "ms": (time.perf_counter() - began) * 1000,
                "cpu_ms": (time.process_time() - spent) * 1000,
            }
            print(json.dumps(told), flush=True)


async def _cold(target: Target, content: AgentArchive) -> None:
    async with connect(target) as connection:
        await fetched(connection, content, expected=False)


async def fetched(connection: Connection, content: AgentArchive, *, expected: bool) -> None:
    """One launch on the connection, followed to its end. Raises `AssertionError` for anything but the whole result."""
    order = Order(str(uuid4()), epoch=1, spec="{}")
    got = b""
    async with launch(connection, content, order, expected=expected) as following:
        async for chunk in following.chunks(deadline=asyncio.get_running_loop().time() + 60):
            got += chunk
    if got.count(b"\n") != LINES or following.end is None or following.end.status != 0:
        raise AssertionError(f"no whole result: {got!r} {following.end}")


def _target(place: dict[str, Any], host: str, key: str) -> Target:
    networks = (ip_network("127.0.0.0/8"), ip_network("10.77.0.0/24"))
    policy = AddressPolicy(allowed_networks=networks)
    return Target(host, place["port"], place["user"], key, place["host_key"], policy)


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    asyncio.run(main(told, Path(told["key"]).read_text()))
