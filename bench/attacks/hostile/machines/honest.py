"""An honest machine, whose benchmark takes as long as it says: what other tenants have."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.attacks.hostile.machines.speech import telling
from tests.runs.machines import Benchmark

MACHINES: Final = 2  # at once
_STEPS: Final = 20
_PAUSE: Final = 0.1


async def honest(machine: Benchmark) -> None:
    """Progress for two seconds, then a result that fits it."""
    await machine.started()
    batch = machine.spec["options"]["batch_size"]
    images = batch * -(-1000 // batch)
    began = asyncio.get_running_loop().time()
    for step in range(_STEPS):
        done = max(batch, images * step // _STEPS)
        await machine.event("progress", phase="measure", done=done, total=images)
        await asyncio.sleep(_PAUSE)
    seconds = asyncio.get_running_loop().time() - began
    rate = images / seconds
    await machine.result(
        throughput_samples_per_sec=rate,
        throughput_images_per_sec=rate,
        latency_ms=1000 * seconds / (images // batch),
        measured_seconds=seconds,
        test_duration_seconds=seconds,
    )
    machine.end()


async def serve(host: str) -> int:
    return await telling(honest).open(host)
