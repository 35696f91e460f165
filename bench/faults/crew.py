"""The processes of the world: workers and an API, replaced the moment they die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.faults.worker import Birth

_BIRTH_SECONDS: Final = 30.0
_END_SECONDS: Final = 10.0


@dataclass(eq=False)
class Member:
    """A living process, held by a pidfd: no signal of ours can hit a stranger."""

    birth: Birth
    pid: int
    handle: int
    died: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    @property
    def name(self) -> str:
        return self.birth.name

    def signal(self, number: signal.Signals) -> bool:
        """Whether it was still there to be hit."""
        if self.died.is_set():
            return False
        try:
            signal.pidfd_send_signal(self.handle, number)
        except ProcessLookupError:
            return False
        return True


@dataclass
class Crew:
    """Who is at work. `workers` and `api` change with every death."""

    folder: str
    flags: dict[str, Any]
    mutation: str | None
    port: int
    nursery: asyncio.subprocess.Process
    wanted: int  # workers that are awake
    workers: list[Member] = field(default_factory=list)
    api: Member | None = None
    births: int = 0
    closing: bool = False
    _keeping: set[asyncio.Task[None]] = field(default_factory=set)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def stand_in(self) -> None:
        """Somebody for a worker that was stopped: were all stopped at once, nobody could take over."""
        if self._awake() < self.wanted:
            await self.hire("worker")

    async def hire(self, kind: str) -> Member:
        """One more process of a kind, replaced for ever."""
        member = await self._bear(kind)
        task = asyncio.create_task(self._replace(member))
        self._keeping.add(task)
        return member

    async def _bear(self, kind: str) -> Member:
        self.births += 1
        name = f"{kind}-{self.births}"
        birth = Birth(kind, name, self.folder, self.flags, self.mutation, self.port)
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        async with self._asking, asyncio.timeout(_BIRTH_SECONDS):
            self.nursery.stdin.write(birth.line())
            pid = int(await self.nursery.stdout.readline())
        member = Member(birth, pid, os.pidfd_open(pid))
        asyncio.get_running_loop().add_reader(member.handle, self._bury, member)
        if kind == "worker":
            self.workers.append(member)
        else:
            self.api = member
        return member

    def _bury(self, member: Member) -> None:
        asyncio.get_running_loop().remove_reader(member.handle)
        member.died.set()
        os.close(member.handle)
        if member in self.workers:
            self.workers.remove(member)

    async def _replace(self, member: Member) -> None:
        while not self.closing:
            await member.died.wait()
            if self.closing or self.trouble():
                return
            if member.birth.kind == "worker" and self._awake() >= self.wanted:
                return  # one that stood in is there
            member = await self._bear(member.birth.kind)

    def _awake(self) -> int:
        return sum(not member.stopped for member in self.workers)

    def trouble(self) -> str:
        """How a process ended by itself, which none should; then nobody is replaced any more."""
        told = Path(self.folder, "trouble")
        return told.read_text() if told.exists() else ""

    async def close(self) -> None:
        """End everybody: the nursery takes its children with it."""
        self.closing = True
        for task in self._keeping:
            task.cancel()
        members = [*self.workers, *([self.api] if self.api else [])]
        for member in members:
            member.signal(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                for member in members:
                    await member.died.wait()
        assert self.nursery.stdin is not None
        self.nursery.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.nursery.wait()
        except TimeoutError:
            self.nursery.kill()
            await self.nursery.wait()


@asynccontextmanager
async def crew_at_work(
    folder: str, flags: dict[str, Any], workers: int, port: int, mutation: str | None
) -> AsyncIterator[Crew]:
    """An API on `port` and some workers."""
    nursery = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.faults.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    crew = Crew(folder, flags, mutation, port, nursery, workers)
    try:
        await crew.hire("api")
        for _ in range(workers):
            await crew.hire("worker")
        yield crew
    finally:
        await crew.close()
