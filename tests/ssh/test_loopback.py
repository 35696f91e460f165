"""This very machine as an SSH endpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.errors import LoginRefused
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Connection, Deadlines, Target, connect
from orchestrator.ssh.host_keys import first_contact
from orchestrator.ssh.keys import generate_key_pair
from orchestrator.ssh.launch import Order, launch
from orchestrator.ssh.loopback import LoopbackMachine, loopback_machine
from orchestrator.ssh.push import push
from orchestrator.ssh.session import open_session
from tests.machines import LOOPBACK
from tests.ssh.conftest import appears, everything
from tests.ssh.stand_in import spec


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[LoopbackMachine]:
    async with loopback_machine(tmp_path / "home") as machine:
        yield machine


def target(machine: LoopbackMachine) -> Target:
    return Target(
        machine.host,
        machine.port,
        machine.user,
        machine.private_key,
        machine.host_key,
        LOOPBACK,
    )


async def say(connection: Connection, command: str, stdin: bytes = b"") -> tuple[bytes, int | None]:
    async with open_session(connection, command, deadlines=Deadlines()) as session:
        session.write(stdin, end=True)
        said = b""
        while chunk := await session.read():
            said += chunk
        return said, await session.exit_status()


async def test_a_whole_launch_works_here(
    here: LoopbackMachine, agent: AgentArchive, tmp_path: Path
) -> None:
    """First contact, login, push, launch and follow work as on any machine."""
    assert await first_contact(target(here).endpoint) == here.host_key
    order = Order("run-1", 1, 0, spec(first="x" * 1023 + "\n", times=2048, status=4))
    async with (
        connect(target(here)) as connection,
        launch(connection, agent, order) as following,
    ):
        assert following.pushed == "exec"
        assert len(await everything(following)) == 2 * 1024 * 1024
        assert following.end is not None
        assert following.end.status == 4
    assert (tmp_path / "home" / ".harborx" / "runs" / "run-1").is_dir()


async def test_a_detached_run_outlives_its_session(
    here: LoopbackMachine, agent: AgentArchive, tmp_path: Path
) -> None:
    """What detached itself goes on without the connection, and the follower ends."""
    run = tmp_path / "home" / ".harborx" / "runs" / "run-1"
    order = Order("run-1", 1, 0, spec(first="1\n", hold=True, then="2\n"))
    async with connect(target(here)) as connection, launch(connection, agent, order):
        pass
    await appears(run / "follower_left")
    (run / "go").touch()
    await appears(run / "exit")
    assert (run / "events.ndjson").read_text() == "1\n2\n"


async def test_commands_run_as_in_a_login(
    here: LoopbackMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home, folder and PATH are a login's; nothing of our environment or venv is passed on."""
    monkeypatch.setenv("HARBORX_SECRET", "hunter2")
    async with connect(target(here)) as connection:
        said, status = await say(connection, 'pwd; echo "$HOME"; echo "$PATH"; env; exit 7')
    lines = said.decode().splitlines()
    assert lines[:2] == [str(tmp_path / "home")] * 2
    assert str(Path(sys.prefix, "bin")) not in lines[2].split(os.pathsep)
    assert b"hunter2" not in said
    assert status == 7


async def test_the_machine_has_a_python_of_its_own(here: LoopbackMachine) -> None:
    """A python3 is found that is not the one of our venv."""
    async with connect(target(here)) as connection:
        said, status = await say(connection, 'python3 -c "import sys; print(sys.prefix)"')
    assert status == 0
    assert said.decode().strip() != sys.prefix


async def test_stdin_and_output_are_carried_whole(here: LoopbackMachine) -> None:
    """A megabyte through cat comes back, with the end of stdin."""
    data = os.urandom(1 << 20)
    async with connect(target(here)) as connection:
        assert await say(connection, "cat", data) == (data, 0)
        assert await say(connection, "echo out; echo err >&2; kill -9 $$") == (b"out\n", 137)


@pytest.mark.parametrize("inside", [True, False])
async def test_scp_takes_absolute_paths(
    here: LoopbackMachine, agent: AgentArchive, tmp_path: Path, inside: bool
) -> None:
    """Files land where they are sent, in the home folder or outside it."""
    folder = tmp_path / ("home" if inside else "else where")
    (folder / ".harborx" / "agents").mkdir(parents=True)
    async with connect(target(here)) as connection:
        assert await push(connection, agent, str(folder)) == "scp"
    (file,) = (folder / ".harborx" / "agents").iterdir()
    assert file.read_bytes() == agent.content


async def test_only_its_one_key_opens_it(here: LoopbackMachine) -> None:
    """Another key, or another user with the right one, stays outside."""
    for wrong in (
        replace(target(here), private_key=generate_key_pair().private_key),
        replace(target(here), user="somebody-else"),
    ):
        with pytest.raises(LoginRefused):
            async with connect(wrong):
                pass
    assert "PRIVATE" not in repr(here)
