"""Say one command to the agent of a machine: one exec, which brings it there if it is missing."""

from __future__ import annotations

import re
import secrets
from base64 import urlsafe_b64encode
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
_IN_EXEC: Final = "exec"

# Both travel in single quotes through whatever login shell there is, so they have no single quote, no
# backslash (fish), no exclamation mark (csh) and no newline (csh).
_SCRIPT: Final = (
    "umask 077; sha=$1; size=$2; marker=$3; fate=$4; boot=$5; shift 5;",
    'say() { echo "@harborx $marker $*"; };',
    'fail() { say failed cannot "$@"; exit 0; };',
    'agents=$HOME/.harborx/agents; agent="$agents/$sha.pyz"; part="$agent.part";',
    'runs=$HOME/.harborx/runs; [ -d "$agents" ] && [ -d "$runs" ] || mkdir -p "$agents" "$runs" || fail make "$agents";',
    'whole() { [ -f "$1" ] && [ $(wc -c < "$1") -eq $size ]; };',
    'if [ $fate = replace ]; then rm -f "$agent" "$part"; fi;',
    'if whole "$part"; then mv -f "$part" "$agent" || fail write "$agent"; fi;',
    "lack=there; take=$size;",
    'if whole "$agent"; then if [ $fate = keep ]; then take=0; fi;',
    'else lack=missing; say need-agent "$HOME"; fi;',
    "for python in {interpreters}; do",
    '"$python" -I -S -c "$boot" $take $lack "$agent" "$@"; status=$?;',
    "if [ $status -eq 0 ] || [ $status -gt 128 ]; then exit 0; fi; done;",
    "say python-missing",
)
# One start of an interpreter judges it (77: too old), takes the archive from stdin and not a byte more, and is the
# agent. Once it is good enough it ends with 0, whatever happens, so that no other is tried after it. `look` wants
# all that its site brings.
_BOOT: Final = (
    "import sys; sys.version_info < (3, 8) and sys.exit(77);",
    "import atexit, io, os, zipimport; atexit.register(os._exit, 0);",
    "take, lack, agent, *rest = sys.argv[1:]; take = int(take);",
    'data = io.BufferedReader(io.FileIO(0, "rb", False), 1).read(take);',
    'lack == "there" or len(data) == take or sys.exit(); part = "%s.%d.part" % (agent, os.getpid());',
    "atexit.register(lambda: os.path.exists(part) and os.unlink(part));",
    'lack == "there" or (open(part, "wb", 0).write(data) == take or sys.exit(), os.replace(part, agent));',
    'rest[0] == "look" and os.execv(sys.executable, [sys.executable, agent] + rest);',
    "sys.argv[:] = [agent] + rest; sys.path.insert(0, agent);",
    'exec(zipimport.zipimporter(agent).get_code("__main__"), dict(__name__="__main__"))',
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
    line: str = "",
    *,
    deadlines: Deadlines,
    expected: bool = True,
) -> AsyncIterator[Call]:
    """
    Run the agent with `arguments`, a `--marker`, and `line` as its `--spec`; its stdin stays open. One that is missing gets it through that exec,
    which saves a round trip where it is not `expected` to be there: the archive is sent unasked. A damaged one is
    replaced, and one that does not get there so goes by SCP (see `push`); each at most once.

    Raises `PythonMissing`, `LaunchFailed`, `PushFailed`, `RunTakenOver`, `ConnectionLost`, and `GpuBusy` or
    `MachineBusy` where nothing may start now.
    """
    pushed: str | None = None
    fates = ["keep" if expected else "send", "replace"]
    while True:
        marker = secrets.token_hex(16)
        fate = fates.pop(0)
        command = _command(archive, marker, fate, arguments, line)
        async with open_session(connection, command, deadlines=deadlines) as session:
            home, answer = await _answer(session, archive, marker, fate, deadlines)
            if home is not None and pushed is None:
                pushed = _IN_EXEC
            again = answer.word in _DAMAGED and (fates or (home is not None and pushed == _IN_EXEC))
            if not again:
                silent = home is not None and answer.word == ""
                _refuse(Answer("need-agent", "") if silent else answer, session)
                yield Call(session, answer, marker, pushed)
                return
        if not fates:
            pushed = await push(connection, archive, home or "", deadlines=deadlines)
            fates = ["keep"]


async def _answer(
    session: Session, archive: AgentArchive, marker: str, fate: str, deadlines: Deadlines
) -> tuple[str | None, Answer]:
    """What the exec comes to, and the machine's home if it had to be given the agent."""
    if fate != "keep":
        session.write(archive.content)
    sending = deadlines.push if fate != "keep" else 0.0
    answer = await session.answer(marker, seconds=deadlines.command + sending)
    if answer.word != "need-agent":
        return None, answer
    if fate == "keep":
        session.write(archive.content)
    return answer.rest, await session.answer(marker, seconds=deadlines.command + deadlines.push)


def script() -> str:
    """The POSIX shell script of every exec, on one line."""
    return " ".join(_SCRIPT).replace("{interpreters}", " ".join(INTERPRETERS))


def boot() -> str:
    """What an interpreter is started with there, on one line that any Python can read."""
    return " ".join(_BOOT)


def _command(
    archive: AgentArchive, marker: str, fate: str, arguments: tuple[str, ...], line: str
) -> str:
    own = (archive.sha256, str(len(archive.content)), marker, fate)
    rest = (*arguments, "--marker", marker)
    for word in (*own, *rest):
        if not _WORD.fullmatch(word):
            raise ValueError(f"not a word that is safe in every shell: {word!r}")
    if line:
        # On stdin it would come a round trip later: servers open a channel without a window.
        rest += ("--spec", urlsafe_b64encode(line.encode("utf-8")).decode("ascii").rstrip("="))
    return f"exec /bin/sh -c '{script()}' harborx {' '.join(own)} '{boot()}' {' '.join(rest)}"


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
                "The agent did not arrive whole, however it was sent.", evidence=session.evidence()
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
