"""Keeps every idle machine busy until enough runs were promised and the faults are through."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bench.faults.machine import Machine
from bench.faults.world import World

_PAUSE: Final = 0.2
Prepare = Callable[[Machine], Awaitable[None]]


@dataclass
class Load:
    """`prepare` is called before each request: failpoints are armed there."""

    world: World
    wanted: int
    dice: random.Random
    prepare: Prepare
    finished: int = 0
    enough: bool = False  # set when no fault is left to inject

    async def keep_up(self) -> None:
        """Request until `wanted` runs were promised and `enough` is set."""
        while not self.enough or len(self.world.client.accepted) < self.wanted:
            idle = [machine for machine in self.world.machines if not self._is_busy(machine)]
            self.dice.shuffle(idle)
            for machine in idle:
                if not self.enough or len(self.world.client.accepted) < self.wanted:
                    await self._request(machine)
            await asyncio.sleep(_PAUSE)
            self.finished = await self.world.ledger.finished()

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is unfinished, or until the time is up."""
        try:
            async with asyncio.timeout(seconds):
                while await self.world.ledger.look():  # noqa: ASYNC110  other processes do it
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            pass  # the checker calls them stuck
        self.finished = await self.world.ledger.finished()

    def _is_busy(self, machine: Machine) -> bool:
        return self.world.live_on(machine) is not None or self._waits_for_a_zombie(machine)

    def _waits_for_a_zombie(self, machine: Machine) -> bool:
        """One that goes on late is to find the machine idle, as no next run protects it."""
        return self.world.plan.late and any(
            fault.action == "stop"
            and fault.effective
            and fault.until is None
            and fault.target == machine.instance_id
            for fault in self.world.faults
        )

    async def _request(self, machine: Machine) -> None:
        await self.prepare(machine)
        if self.dice.random() < 0.1:  # an impatient supplier
            both = (self.world.client.request(machine.instance_id) for _ in range(2))
            await asyncio.gather(*both)
        else:
            await self.world.client.request(machine.instance_id)
        await self.world.ledger.look()
