"""Remove a run from a machine: what still runs of it, its folder, and agents of old versions."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from orchestrator.domain.errors import LaunchFailed
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.agent_call import call_agent
from orchestrator.ssh.connection import Connection, Deadlines

_MOST_OTHERS: Final = 20


async def clean(
    connection: Connection,
    archive: AgentArchive,
    run_id: str,
    epoch: int,
    *,
    deadlines: Deadlines = Deadlines(),
) -> list[UUID]:
    """
    End the run's processes and remove its folder; the same again is no error. Agents other than
    `archive` go too, unless a run is alive. Returns the runs whose folders are there besides.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `RunTakenOver`, `ConnectionLost`.
    """
    arguments = ("clean", "--run", run_id, "--epoch", str(epoch), "--keep", archive.sha256)
    async with call_agent(connection, archive, arguments, deadlines=deadlines) as call:
        if call.answer.word != "cleaned":
            raise LaunchFailed(
                "The agent gave an unknown answer.", evidence={"answer": call.answer.word}
            )
        return _ids(call.answer.rest)


def _ids(text: str) -> list[UUID]:
    """What can be read as run ids; the machine may have written anything."""
    found = []
    for word in text.split()[:_MOST_OTHERS]:
        try:
            found.append(UUID(word))
        except ValueError:
            continue
    return found
