"""Copy the agent to a machine: SCP, else SFTP, else through stdin. Nothing is ever fetched."""

from __future__ import annotations

import asyncio
import re
import shlex
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncssh

from orchestrator.domain.errors import ConnectionLost, HarborxError, PushFailed
from orchestrator.domain.sanitise import printable
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Connection, Deadlines
from orchestrator.ssh.session import open_session

_HOME: Final = re.compile(r"/[^\x00-\x1f\x7f'\\!]{0,1023}")
_STORE: Final = 'umask 077; exec cat > "$1"'
_MODE: Final = 0o600
_MOST_HEARD: Final = (
    1 << 20
)  # bytes a machine may say while it is sent the agent: it has only to nod

_Way = Callable[[Connection, AgentArchive, str, Deadlines], Awaitable[None]]


async def push(
    connection: Connection,
    archive: AgentArchive,
    home: str,
    *,
    deadlines: Deadlines = Deadlines(),
) -> str:
    """
    Write the archive to `<home>/.harborx/agents/<sha256>.pyz.part`, whose folder exists; the next
    launch renames it. Returns the way that worked: "scp", "sftp" or "stdin".

    Raises `PushFailed` with what each way met, `ConnectionLost` if the connection is gone.
    """
    if not _HOME.fullmatch(home):
        raise PushFailed("The machine names no usable home folder.")
    path = f"{home.rstrip('/')}/.harborx/agents/{archive.sha256}.pyz.part"
    met: dict[str, str] = {}
    for name, way in _WAYS.items():
        try:
            async with asyncio.timeout(deadlines.push):
                with connection.meter.at_most(_MOST_HEARD):
                    await way(connection, archive, path, deadlines)
                return name
        except TimeoutError:
            met[name] = f"not done within {deadlines.push:g} s"
        except (asyncssh.Error, asyncssh.SFTPError, OSError, HarborxError) as error:
            met[name] = printable(str(error), 300)
        if connection.lost:
            raise ConnectionLost("The machine closed the connection during the copy.")
    raise PushFailed("Neither SCP, SFTP nor stdin got it there.", evidence=met)


async def _by_scp(connection: Connection, archive: AgentArchive, path: str, _: Deadlines) -> None:
    # asyncssh sends files by name; 0600 comes from mkstemp and is what the machine is told.
    with tempfile.NamedTemporaryFile(prefix="harborx-", suffix=".pyz") as local:
        local.write(archive.content)
        local.flush()
        await asyncssh.scp(Path(local.name), (connection.ssh, shlex.quote(path)))


async def _by_sftp(connection: Connection, archive: AgentArchive, path: str, _: Deadlines) -> None:
    async with connection.ssh.start_sftp_client() as sftp:
        attributes = asyncssh.SFTPAttrs(permissions=_MODE)
        async with sftp.open(path, "wb", attributes) as remote:
            await remote.write(archive.content)


async def _by_stdin(
    connection: Connection, archive: AgentArchive, path: str, deadlines: Deadlines
) -> None:
    command = f"exec /bin/sh -c '{_STORE}' harborx '{path}'"
    async with open_session(connection, command, deadlines=deadlines) as session:
        session.write(archive.content, end=True)
        while await session.read():
            pass
        status = await session.exit_status()
        if status != 0:
            raise PushFailed(f"cat ended with {status}: {session.evidence()['stderr']}")


_WAYS: Final[dict[str, _Way]] = {"scp": _by_scp, "sftp": _by_sftp, "stdin": _by_stdin}
