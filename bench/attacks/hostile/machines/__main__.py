"""
Serves every behaviour, or with `--honest` some honest machines, until stdin ends; where they are goes to stdout as one
line of JSON. Each has a loopback address of its own, as each machine has. Run by `bench.attacks.hostile.attack`, which gives
it the least of the CPU.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import warnings

from bench.attacks.hostile.machines import BEHAVIOURS, honest


async def _serve(honestly: bool) -> None:
    if honestly:
        serving = {f"honest_{n}": honest.serve for n in range(honest.MACHINES)}
    else:
        serving = {name: each.serve for name, each in BEHAVIOURS.items()}
    block = 2 if honestly else 1
    places: dict[str, tuple[str, int]] = {}
    for n, (name, serve) in enumerate(serving.items(), 1):
        host = f"127.{block}.0.{n}"
        places[name] = host, await serve(host)
    print(json.dumps(places), flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # it breaks its own library on purpose
    warnings.simplefilter("ignore")
    asyncio.run(_serve("--honest" in sys.argv))
