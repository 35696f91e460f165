"""Say one command to the agent of a machine: one exec if it is there, pushing it first if not."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.errors import (
    GpuBusy,
    LaunchError,
    LaunchFailed,
    MachineBusy,
    PythonMissing,
    RunTakenOver,
)
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Connection, Deadlines
from orchestrator.ssh.push import push
from orchestrator.ssh.session import Answer, Session, open_session

INTERPRETERS: Final[tuple[str, ...]] = (
    '"$HOME/.harborx/venv/bin/python3"',
    "python3",
    *(f"python3.{minor}" for minor in range(13, 7, -1)),
    "/usr/bin/python3",
    "/usr/local/bin/python3",
    "/opt/conda/bin/python3",
    "python",
)
# What a file of the right size and the wrong content leads to; too wrong to start, it is silent.
_DAMAGED: Final = ("damaged", "")
_WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

# It travels in single quotes through whatever login shell there is, so it has no single quote, no
# backslash (fish), no exclamation mark (csh) and no newline (csh).
_SCRIPT: Final = (
    "umask 077; sha=$1; size=$2; marker=$3; fate=$4; shift 4;",
    'say() { echo "@harborx $marker $*"; exit 0; };',
    'agents=$HOME/.harborx/agents; agent="$agents/$sha.pyz"; part="$agent.part";',
    'mkdir -p "$agents" "$HOME/.harborx/runs" || say failed cannot make "$agents";',
    'whole() { [ -f "$1" ] && [ $(wc -c < "$1") -eq $size ]; };',
    'if [ $fate = discard ]; then rm -f "$agent"; fi;',
    'if whole "$part"; then mv -f "$part" "$agent" || say failed cannot write "$agent"; fi;',
    'whole "$agent" || say need-agent "$HOME";',
    "for python in {interpreters}; do",
    'if "$python" -I -S -c "import sys; sys.exit(sys.version_info < (3, 8))"',
    "< /dev/null > /dev/null 2>&1;",
    'then exec "$python" "$agent" "$@"; fi; done;',
    "say python-missing",
)


@dataclass(frozen=True)
class Call:
    """An agent that has answered. `pushed` is the way it got there just now, if it had to."""

    session: Session
    answer: Answer
    marker: str
    pushed: str | None


@asynccontextmanager
async def call_agent(
    connection: Connection,
    archive: AgentArchive,
    arguments: tuple[str, ...],
    line: str,
    *,
    deadlines: Deadlines,
) -> AsyncIterator[Call]:
    """
    Run the agent with `arguments` and a `--marker`, and `line` as the first of its stdin, which
    stays open. An agent that is missing is pushed, a damaged one is replaced; each at most once.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `RunTakenOver`, `ConnectionLost`, and `GpuBusy` or
    `MachineBusy` where nothing may start now.
    """
    pushed: str | None = None
    fate = "keep"
    while True:
        marker = secrets.token_hex(16)
        command = _command(archive, marker, fate, arguments)
        async with open_session(connection, command, deadlines=deadlines) as session:
            session.write(line.encode("utf-8") + b"\n")
            answer = await session.answer(marker, seconds=deadlines.command)
            if answer.word in _DAMAGED and fate == "keep":
                fate = "discard"
                continue
            if answer.word != "need-agent" or pushed is not None:
                _refuse(answer, session)
                yield Call(session, answer, marker, pushed)
                return
        pushed = await push(connection, archive, answer.rest, deadlines=deadlines)


def script() -> str:
    """The POSIX shell script of every exec, on one line."""
    return " ".join(_SCRIPT).replace("{interpreters}", " ".join(INTERPRETERS))


def _command(archive: AgentArchive, marker: str, fate: str, arguments: tuple[str, ...]) -> str:
    own = (archive.sha256, str(len(archive.content)), marker, fate)
    words = (*own, *arguments, "--marker", marker)
    for word in words:
        if not _WORD.fullmatch(word):
            raise ValueError(f"not a word that is safe in every shell: {word!r}")
    return f"exec /bin/sh -c '{script()}' harborx {' '.join(words)}"


def _refuse(answer: Answer, session: Session) -> None:
    match answer:
        case Answer("refused", epoch):
            raise RunTakenOver(f"Epoch {epoch} has spoken.", evidence={"epoch": epoch})
        case Answer("busy", told):
            raise _busy(told)
        case Answer("failed", reason):
            raise LaunchFailed(reason, evidence=session.evidence())
        case Answer("python-missing"):
            raise PythonMissing(evidence=session.evidence())
        case Answer("damaged" | "need-agent"):
            raise LaunchFailed(
                "The agent did not arrive whole, twice.", evidence=session.evidence()
            )
        case Answer(""):
            raise LaunchFailed(
                "The machine ended the command without an answer.", evidence=session.evidence()
            )


def _busy(told: str) -> LaunchError:
    what, _, rest = told.partition(" ")
    if what == "gpu":
        return GpuBusy(f"It says: {rest}." if rest else "")
    return MachineBusy(evidence={"other_run": rest} if rest else {})
