"""Cleaning up on a machine."""

from __future__ import annotations

from uuid import UUID

import pytest

from orchestrator.domain.errors import LaunchFailed, RunTakenOver
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.clean import clean
from orchestrator.ssh.connection import Deadlines, connect
from orchestrator.ssh.launch import Order, launch
from tests.machines import SshdMachine, scripted_machine
from tests.ssh.conftest import everything
from tests.ssh.stand_in import spec


async def test_cleaning_removes_the_run_and_can_be_repeated(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """The run's folder goes, other runs stay, and a second time is one more quiet exec."""
    runs = machine.home / ".harborx" / "runs"
    async with connect(machine.target()) as connection:
        for run_id in ("run-1", "run-2"):
            order = Order(run_id, 1, 0, spec(first="x\n"))
            async with launch(connection, agent, order) as following:
                await everything(following)
        before = machine.log.count("Starting session")
        await clean(connection, agent, "run-1", 1)
        await clean(connection, agent, "run-1", 1)
        assert machine.log.count("Starting session") == before + 2
    assert [each.name for each in runs.iterdir()] == ["run-2"]


async def test_cleaning_brings_the_agent_if_it_is_gone(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """A janitor that comes years later does not depend on what is left there."""
    async with connect(machine.target()) as connection:
        await clean(connection, agent, "run-1", 1)
    assert (machine.home / ".harborx" / "agents" / f"{agent.sha256}.pyz").exists()


async def test_a_newer_epoch_keeps_its_run(machine: SshdMachine, agent: AgentArchive) -> None:
    """A worker whose epoch is over may not clean away the run of its successor."""
    async with connect(machine.target()) as connection:
        async with launch(connection, agent, Order("run-1", 2, 0, spec(first="x\n"))) as following:
            await everything(following)
        with pytest.raises(RunTakenOver):
            await clean(connection, agent, "run-1", 1)
    assert (machine.home / ".harborx" / "runs" / "run-1").exists()


@pytest.mark.parametrize("script", ["silent", "greeting", "failed"])
async def test_cleaning_is_bounded(script: str, agent: AgentArchive, brief: Deadlines) -> None:
    """No answer, or one that is not about cleaning, is a failure in time."""
    async with (
        scripted_machine(script) as machine,
        connect(machine.target(), deadlines=brief) as connection,
    ):
        with pytest.raises(LaunchFailed):
            await clean(connection, agent, "run-1", 1, deadlines=brief)


async def test_other_runs_are_named(agent: AgentArchive) -> None:
    """What else lies there is told as ids, whatever the machine writes."""
    async with (
        scripted_machine("cleaned_beside") as machine,
        connect(machine.target()) as connection,
    ):
        assert await clean(connection, agent, "run-1", 1) == [UUID(int=5), UUID(int=6)]
