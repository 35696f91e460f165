"""The agent's way to a machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.domain.errors import ConnectionLost, PushFailed
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines, connect
from orchestrator.ssh.push import push
from tests.machines import TOOLS, SshdMachine, bin_folder, scripted_machine, sshd_machine

WITHOUT_SCP = tuple(tool for tool in TOOLS if tool != "scp")


def arrived(home: Path, agent: AgentArchive) -> Path:
    return home / ".harborx" / "agents" / f"{agent.sha256}.pyz.part"


def prepared(home: Path) -> str:
    (home / ".harborx" / "agents").mkdir(parents=True)
    return str(home)


async def test_scp_is_the_first_choice(machine: SshdMachine, agent: AgentArchive) -> None:
    """The archive arrives by SCP, byte for byte and readable by its owner only."""
    home = prepared(machine.home)
    async with connect(machine.target()) as connection:
        assert await push(connection, agent, home) == "scp"
    assert arrived(machine.home, agent).read_bytes() == agent.content
    assert arrived(machine.home, agent).stat().st_mode & 0o777 == 0o600


async def test_a_host_without_scp_gets_it_by_sftp(tmp_path: Path, agent: AgentArchive) -> None:
    """Without an scp program the SFTP subsystem takes it, with the same bytes and rights."""
    path = bin_folder(tmp_path / "bin", tools=WITHOUT_SCP)
    with sshd_machine(path=path) as machine:
        home = prepared(machine.home)
        async with connect(machine.target()) as connection:
            assert await push(connection, agent, home) == "sftp"
        assert arrived(machine.home, agent).read_bytes() == agent.content
        assert arrived(machine.home, agent).stat().st_mode & 0o777 == 0o600


async def test_a_host_with_neither_gets_it_through_stdin(
    tmp_path: Path, agent: AgentArchive
) -> None:
    """Without scp and SFTP, cat takes it, with the same bytes and rights."""
    path = bin_folder(tmp_path / "bin", tools=WITHOUT_SCP)
    with sshd_machine(path=path, sftp=False) as machine:
        home = prepared(machine.home)
        async with connect(machine.target()) as connection:
            assert await push(connection, agent, home) == "stdin"
        assert arrived(machine.home, agent).read_bytes() == agent.content
        assert arrived(machine.home, agent).stat().st_mode & 0o777 == 0o600


async def test_a_shell_that_chatters_spoils_scp_but_not_the_push(
    tmp_path: Path, agent: AgentArchive
) -> None:
    """A login shell that prints into SCP's and SFTP's protocols leaves stdin."""
    shell = bin_folder(tmp_path / "bin", tools=(), chatty='#!/bin/sh\necho Hello; exec sh "$@"\n')
    with sshd_machine(shell=f"{shell}/chatty") as machine:
        home = prepared(machine.home)
        async with connect(machine.target()) as connection:
            assert await push(connection, agent, home) == "stdin"
        assert arrived(machine.home, agent).read_bytes() == agent.content


async def test_an_scp_that_hangs_is_given_up(
    tmp_path: Path, agent: AgentArchive, brief: Deadlines
) -> None:
    """Each way has its deadline, and the next one follows."""
    path = bin_folder(tmp_path / "bin", tools=WITHOUT_SCP, scp="#!/bin/sh\nexec sleep 20\n")
    with sshd_machine(path=path) as machine:
        home = prepared(machine.home)
        async with connect(machine.target()) as connection:
            assert await push(connection, agent, home, deadlines=brief) == "sftp"


@pytest.mark.parametrize("name", ["a b", "$(touch pwned)", ";touch pwned;", "*", "ü", '"'])
async def test_any_home_is_a_mere_name(
    machine: SshdMachine, agent: AgentArchive, name: str
) -> None:
    """A home folder named like shell code is a folder."""
    home = prepared(machine.home / name)
    async with connect(machine.target()) as connection:
        assert await push(connection, agent, home) == "scp"
    assert arrived(machine.home / name, agent).read_bytes() == agent.content
    assert not (machine.home / "pwned").exists()


@pytest.mark.parametrize("home", ["", "relative", "/a\nb", "/a'b", "/" + "x" * 2000])
async def test_a_home_that_is_no_path_is_refused(
    machine: SshdMachine, agent: AgentArchive, home: str
) -> None:
    """What the machine calls its home must be an absolute path without surprises."""
    async with connect(machine.target()) as connection:
        with pytest.raises(PushFailed):
            await push(connection, agent, home)
    assert "Starting session" not in machine.log


async def test_a_failed_push_tells_what_each_way_met(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """Where nothing can be written, the evidence has one line for every way."""
    async with connect(machine.target()) as connection:
        with pytest.raises(PushFailed) as caught:
            await push(connection, agent, str(machine.home))
    assert list(caught.value.evidence) == ["scp", "sftp", "stdin"]
    assert all(re.search("o such file|onexistent", each) for each in caught.value.evidence.values())


async def test_a_lost_connection_is_not_a_full_disk(agent: AgentArchive) -> None:
    """A connection that breaks while copying is reported as that."""
    async with scripted_machine("drops") as machine, connect(machine.target()) as connection:
        with pytest.raises(ConnectionLost):
            await push(connection, agent, "/tmp")
