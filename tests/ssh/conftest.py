from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines
from orchestrator.ssh.follow import Following
from tests.machines import SshdMachine, sshd_machine
from tests.ssh.stand_in import stand_in


@pytest.fixture(scope="session")
def agent() -> AgentArchive:
    return stand_in()


@pytest.fixture
def machine() -> Iterator[SshdMachine]:
    """A real sshd with an empty home."""
    with sshd_machine() as running:
        yield running


@pytest.fixture
def brief() -> Deadlines:
    """For machines that do not answer: a test must not wait as long as a user would."""
    return Deadlines(connect=1.0, login=0.6, command=0.6, push=0.6, close=0.5, keepalive=0.2)


async def appears(file: Path) -> None:
    """Wait until `file` exists: another process makes it and has no way to tell us."""
    async with asyncio.timeout(20):
        while not file.exists():  # noqa: ASYNC240
            await asyncio.sleep(0.005)


async def everything(following: Following, *, seconds: float = 30.0, **limits: Any) -> bytes:
    deadline = asyncio.get_running_loop().time() + seconds
    return b"".join([chunk async for chunk in following.chunks(deadline=deadline, **limits)])
