"""Launch a run on a machine, or attach to it where it already runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from orchestrator.domain.errors import LaunchFailed
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.agent_call import call_agent
from orchestrator.ssh.connection import Connection, Deadlines
from orchestrator.ssh.follow import Following

_LONGEST_SPEC: Final = 16 * 1024


@dataclass(frozen=True)
class Order:
    """
    What is asked of the agent: run `run_id` under our `epoch` and tell its events from byte
    `offset` on. `spec` is one line of JSON, or None to attach only.
    """

    run_id: str
    epoch: int
    offset: int = 0
    spec: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        spec = self.spec or ""
        if self.epoch < 0 or self.offset < 0 or "\n" in spec or len(spec) > _LONGEST_SPEC:
            raise ValueError("an order has counts from 0 and a spec of one line")


@asynccontextmanager
async def launch(
    connection: Connection,
    archive: AgentArchive,
    order: Order,
    *,
    deadlines: Deadlines = Deadlines(),
    expected: bool = True,
) -> AsyncIterator[Following]:
    """
    Start the run or attach to it, in one exec; `expected`: the agent should be there already. Leaving ends the
    follower on the machine, never the run.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `GpuBusy`, `MachineBusy`, `RunTakenOver`,
    `ConnectionLost`.
    """
    arguments = (
        *("launch", "--run", order.run_id, "--epoch", str(order.epoch)),
        *("--offset", str(order.offset), "--sha256", archive.sha256),
    )
    async with call_agent(
        connection, archive, arguments, order.spec or "", deadlines=deadlines, expected=expected
    ) as call:
        if call.answer.word != "begin" or call.answer.rest not in ("started", "attached"):
            raise LaunchFailed(
                "The agent gave an unknown answer.", evidence={"answer": call.answer.word}
            )
        yield Following(
            call.session,
            call.marker,
            attached=call.answer.rest == "attached",
            pushed=call.pushed,
            closing=deadlines.close,
        )
