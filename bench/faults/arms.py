"""Cases for the failpoints: laid down before a run is requested, collected when it has fired."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.faults.kills import wake
from bench.faults.machine import Machine
from bench.faults.points import ACTIONS, FAILPOINTS, SWEEP, SWEEPS, Case
from bench.faults.record import Fault
from bench.faults.world import World

KIND: Final = "failpoints"
# These are passed only by a run whose line broke while it was followed.
_AFTER_A_CUT: Final = ("resume", "again_or_end")
_FIRST_MEETING: Final = ("first_contact", "pin_host_key")
_FORGET_KEY: Final = (
    "UPDATE gpu_instances SET host_key = NULL, host_key_trust = NULL, host_key_confirmed_at = NULL,"
    " host_keys_proved = NULL WHERE id = %s RETURNING id"
)
_PATIENCE: Final = 90.0
_LOOK_SECONDS: Final = 0.1
_CLEANING_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Aim:
    """The one point, and the one action there, that all cases are to have."""

    point: str
    action: str


def cases(count: int, dice: random.Random, aim: Aim | None = None) -> list[Case]:
    """`count` cases: every point comes before one comes twice, with actions in turn."""
    chosen: list[Case] = []
    if aim is not None:
        target = _target_of(aim.point)
        return [Case(f"case-{n}", target, aim.point, aim.action) for n in range(count)]
    while len(chosen) < count:
        points = list(FAILPOINTS)
        dice.shuffle(points)
        for point in points[: count - len(chosen)]:
            number = len(chosen)
            action = ACTIONS[number % len(ACTIONS)]
            nth = dice.choice((1, 1, 2, 4)) if point.endswith(("read", "store")) else 1
            chosen.append(Case(f"case-{number}", _target_of(point), point, action, nth))
    return chosen


def _target_of(point: str) -> str:
    return SWEEP if point.partition(":")[2] in SWEEPS else ""


@dataclass
class Armoury:
    """Which cases wait, for runs and for sweeps, which lie armed, and what they did."""

    world: World
    waiting: list[Case]
    sweeps: list[Case]
    armed: dict[str, tuple[Case, Fault, float]] = field(default_factory=dict)  # by target
    seen: dict[str, float] = field(default_factory=dict)  # by case: when its run was last live

    @classmethod
    def of(cls, world: World, cases: list[Case]) -> Armoury:
        waiting = [case for case in cases if case.target != SWEEP]
        return cls(world, waiting, [case for case in cases if case.target == SWEEP])

    async def fire_all(self) -> None:
        """Returns when every case has fired or had its time."""
        async with asyncio.TaskGroup() as after:
            while self.waiting or self.armed or self.sweeps:
                if self.sweeps and SWEEP not in self.armed:
                    self._lay(self.sweeps.pop(0))
                for target in list(self.armed):
                    await self._collect(target, after)
                await asyncio.sleep(_LOOK_SECONDS)

    async def prepare(self, machine: Machine) -> None:
        """Called before a request: the machine's next run meets the next case."""
        target = machine.instance_id
        # Whose key is forgotten while an impostor stands there would trust that one for good.
        if not self.waiting or target in self.armed or machine.line.upstream != machine.sshd.port:
            return
        case = Case(**{**asdict(self.waiting.pop(0)), "target": target})
        await self._make_reachable(case, machine)
        self._lay(case)

    async def _make_reachable(self, case: Case, machine: Machine) -> None:
        name = case.point.partition(":")[2]
        if name.endswith(_FIRST_MEETING):
            await self.world.ledger.ask(_FORGET_KEY, machine.instance_id)

    def _lay(self, case: Case) -> None:
        fault = self.world.fault(KIND, case.action, case.target)
        fault.detail |= {"point": case.point, "nth": case.nth, "case": case.id}
        until = asyncio.get_running_loop().time() + _PATIENCE
        self.armed[case.target] = (case, fault, until)
        draft = self._file("arms", f"{case.target}.draft")
        draft.write_text(json.dumps(asdict(case)), "utf-8")
        draft.rename(self._file("arms", f"{case.target}.json"))

    async def _collect(self, target: str, after: asyncio.TaskGroup) -> None:
        case, fault, until = self.armed[target]
        fired = self._file("fired", f"{case.id}.json")
        if fired.exists():
            del self.armed[target]
            told = json.loads(fired.read_text("utf-8"))
            await self._note(fault, told, after)
        elif self._is_over(case, until):
            # Taken at this very moment it may be all the same: then it is told as fired.
            self._file("arms", f"{target}.json").unlink(missing_ok=True)
            if not self._file("fired", f"{case.id}.taken").exists():
                del self.armed[target]
        elif case.point.endswith(_AFTER_A_CUT) and "cut" not in fault.detail:
            self._cut_once_followed(target, fault)

    async def _note(self, fault: Fault, told: dict[str, Any], after: asyncio.TaskGroup) -> None:
        fault.at = datetime.fromtimestamp(told["at"], UTC)
        fault.effective = True
        owned = await self.world.ledger.owned_by(told["worker"])
        hit = {run.id for run in owned} if fault.action != "error" else set()
        fault.runs = tuple(hit | ({told["run_id"]} if told["run_id"] else set()))
        fault.detail["epochs"] = {run.id: run.epoch for run in owned}
        if fault.action != "stop":
            return
        victim = self.world.worker(told["worker"])
        if victim is not None:
            victim.stopped = True
            await self.world.crew.stand_in()
            after.create_task(wake(self.world, victim, fault))

    def _is_over(self, case: Case, until: float) -> bool:
        """Whether the run it was meant for has ended without passing the point."""
        passed = asyncio.get_running_loop().time()
        if case.target != SWEEP and self.world.live_on(self.world.by_instance[case.target]):
            self.seen[case.id] = passed
        # An ended run is cleaned yet, and has points there.
        return passed > min(until, self.seen.get(case.id, until) + _CLEANING_SECONDS)

    def _cut_once_followed(self, target: str, fault: Fault) -> None:
        machine = self.world.by_instance[target]
        run = self.world.live_on(machine)
        if run is not None and run.state == "running" and run.remote_offset > 0:
            machine.line.cut()
            fault.detail["cut"] = True

    def _file(self, *names: str) -> Path:
        return self.world.folder.joinpath(*names)
