"""Look at a machine: which Python runs the agent there, and what the machine is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.domain.errors import LaunchFailed, OutputRefused
from orchestrator.domain.events import EXCERPT, Probe
from orchestrator.domain.sanitise import printable, require_storable
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.agent_call import Call, call_agent
from orchestrator.ssh.connection import Connection, Deadlines

# The agent waits 45 s for cards that have to wake.
_PROBE_SECONDS: Final = 50.0


@dataclass(frozen=True)
class Look:
    """An agent that has started under `python` (a version) and is looking; `pushed` as in `Call`."""

    python: str
    pushed: str | None
    _call: Call

    async def probe(self) -> Probe:
        """
        What the machine is, once the agent has found out.

        Raises `LaunchFailed`, `ConnectionLost`, and `OutputRefused` for what no agent of ours says.
        """
        session, marker = self._call.session, self._call.marker
        answer = await session.answer(marker, seconds=_PROBE_SECONDS)
        if answer.word == "failed":
            raise LaunchFailed(answer.rest, evidence=session.evidence())
        if answer.word == "":
            raise LaunchFailed("The agent ended while it looked.", evidence=session.evidence())
        if answer.word != "look":
            raise LaunchFailed(
                "The agent gave an unknown answer.", evidence={"answer": answer.word}
            )
        return probe_of(answer.rest)


@asynccontextmanager
async def look(
    connection: Connection, archive: AgentArchive, *, deadlines: Deadlines = Deadlines()
) -> AsyncIterator[Look]:
    """
    The agent at work on `look`, pushed first if it is not there. Nothing is started that would outlive it.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `ConnectionLost`.
    """
    async with call_agent(connection, archive, ("look",), deadlines=deadlines) as call:
        if call.answer.word != "python":
            raise LaunchFailed(
                "The agent gave an unknown answer.", evidence={"answer": call.answer.word}
            )
        yield Look(printable(call.answer.rest, 100), call.pushed, call)


def probe_of(text: str) -> Probe:
    """The probe behind one answer; its texts are safe to show. Raises `OutputRefused`."""
    try:
        told = _shown(json.loads(text, parse_constant=_refuse_constant))
        require_storable(told)
        return Probe.model_validate({**told, "type": "probe"})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refused(f"{where}: {first['msg']}", text) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _refused(str(error), text) from error


def _refused(reason: str, text: str) -> OutputRefused:
    return OutputRefused(printable(reason, 300), evidence={"line": printable(text, EXCERPT)})


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _shown(value: Any) -> Any:
    """Escape sequences may be written as JSON's own escapes, which the line did not show."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        return {printable(name, 200): _shown(each) for name, each in value.items()}
    return value
