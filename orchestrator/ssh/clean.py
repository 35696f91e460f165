"""Remove a run from a machine: what still runs of it, and its folder."""

from __future__ import annotations

from orchestrator.domain.errors import LaunchFailed
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.agent_call import call_agent
from orchestrator.ssh.connection import Connection, Deadlines


async def clean(
    connection: Connection,
    archive: AgentArchive,
    run_id: str,
    epoch: int,
    *,
    deadlines: Deadlines = Deadlines(),
) -> None:
    """
    End the run's processes and remove its folder; the same again is no error.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `RunTakenOver`, `ConnectionLost`.
    """
    arguments = ("clean", "--run", run_id, "--epoch", str(epoch))
    async with call_agent(connection, archive, arguments, "", deadlines=deadlines) as call:
        if call.answer.word != "cleaned":
            raise LaunchFailed(
                "The agent gave an unknown answer.", evidence={"answer": call.answer.word}
            )
