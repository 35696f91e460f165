"""
Servers that misbehave above SSH: asyncssh in this event loop, each exec played by a script of `SCRIPTS`.
"""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import asyncssh

from orchestrator.ssh.connection import Target
from orchestrator.ssh.keys import KeyPair, generate_key_pair, one_line
from tests.machines.sshd import LOOPBACK

_WAIT: Final = 20.0


Exec = asyncssh.SSHServerProcess[bytes]
Script = Callable[[Exec, str], Awaitable[None]]


@dataclass
class ScriptedMachine:
    """An asyncssh server in this event loop, and what has been done to it."""

    port: int
    key: KeyPair
    host_key: str
    host: str = "127.0.0.1"
    user: str = "tester"
    logins_begun: int = 0
    execs: list[str] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    reachable: bool = True
    turned_away: asyncio.Event = field(default_factory=asyncio.Event)

    async def hang_up(self) -> None:
        """End every connection; with `reachable` false whoever comes next is turned away."""
        for connection in self.connections:
            connection.abort()
        await asyncio.gather(*(each.wait_closed() for each in self.connections))

    def target(self, *, host_key: str | None = "") -> Target:
        pinned = self.host_key if host_key == "" else host_key
        return Target(self.host, self.port, self.user, self.key.private_key, pinned, LOOPBACK)


def spec_of(process: Exec) -> dict[str, Any]:
    """What a launch asks for: the word behind `--spec`."""
    words = (process.command or "").split()
    word = words[words.index("--spec") + 1]
    spec: dict[str, Any] = json.loads(urlsafe_b64decode(word + "=="))
    return spec


async def _silent(process: Exec, marker: str) -> None:
    """Never says a word."""
    await process.stdin.read()


async def _one_gigabyte(process: Exec, marker: str) -> None:
    """A proper beginning, then 1 GiB without a newline."""
    process.stdout.write(_begin(marker))
    for _ in range(16 * 1024):
        process.stdout.write(b"x" * 65536)
        await process.stdout.drain()


async def _endless_greeting(process: Exec, marker: str) -> None:
    """1 GiB ahead of any answer."""
    for _ in range(16 * 1024):
        process.stdout.write(b"welcome " * 8192)
        await process.stdout.drain()


async def _greeting(process: Exec, marker: str) -> None:
    """A login shell's chatter without a newline at its end, then a run of two lines."""
    process.stdout.write(b"\x1b[31mWelcome!\r\n@harborx 00 begin started\nLast login: today ")
    process.stdout.write(_begin(marker) + b"one\ntwo\n")
    process.stderr.write(b"noise\n" + _end(marker))


async def _mid_line(process: Exec, marker: str) -> None:
    """Half a line, then the whole connection goes, once something was heard of the client."""
    await process.stdin.read(1)
    process.stdout.write(_begin(marker) + b"half a li")
    await process.stdout.drain()
    process.get_extra_info("connection").abort()


async def _drops(process: Exec, marker: str) -> None:
    """The connection goes at the first exec."""
    process.get_extra_info("connection").abort()


async def _polite_goodbye(process: Exec, marker: str) -> None:
    """Half a line, then a regular SSH disconnect, once something was heard of the client."""
    await process.stdin.read(1)
    process.stdout.write(_begin(marker) + b"half a li")
    await process.stdout.drain()
    process.get_extra_info("connection").disconnect(asyncssh.DISC_BY_APPLICATION, "bye")


async def _stderr_before_end(process: Exec, marker: str) -> None:
    """1 MiB of stderr around a short run."""
    process.stdout.write(_begin(marker) + b"one\n")
    for _ in range(16):
        process.stderr.write(b"e" * 65536)
        await process.stderr.drain()
    process.stderr.write(b"\n" + _end(marker))


async def _endless_stderr(process: Exec, marker: str) -> None:
    """1 GiB of stderr after a proper beginning."""
    process.stdout.write(_begin(marker))
    for _ in range(16 * 1024):
        process.stderr.write(b"e" * 65536)
        await process.stderr.drain()


async def _no_end(process: Exec, marker: str) -> None:
    """A run whose follower is killed before its last line."""
    process.stdout.write(_begin(marker) + b"one\n")
    process.stderr.write(b"Killed \x1b]52;c;AAAA\x07\n")


async def _begin_then_silent(process: Exec, marker: str) -> None:
    """One line, then nothing for ever."""
    process.stdout.write(_begin(marker) + b"one\n")
    await process.stdin.read()


async def _refused(process: Exec, marker: str) -> None:
    process.stdout.write(f"@harborx {marker} refused 7\n".encode())


async def _failed(process: Exec, marker: str) -> None:
    process.stdout.write(f"@harborx {marker} failed no space\x1b[2J left\n".encode())


async def _busy_gpu(process: Exec, marker: str) -> None:
    process.stdout.write(f"@harborx {marker} busy gpu card 0: 1 process\x1b[2J\n".encode())


async def _busy_run(process: Exec, marker: str) -> None:
    process.stdout.write(f"@harborx {marker} busy run {UUID(int=5)}\n".encode())


async def _cleaned_beside(process: Exec, marker: str) -> None:
    """Names two other runs, and what is none."""
    others = f"{UUID(int=5)} ../../etc {UUID(int=6)} \x1b[2J"
    process.stdout.write(f"@harborx {marker} cleaned {others}\n".encode())


async def _no_answer(process: Exec, marker: str) -> None:
    process.stderr.write(b"This account is currently not available.\n")


async def _always_missing(process: Exec, marker: str) -> None:
    """Claims that the agent is missing however often it is pushed; `cat` is obeyed."""
    if marker:
        process.stdout.write(f"@harborx {marker} need-agent /tmp\n".encode())
    else:
        await process.stdin.read()


SCRIPTS: Final[dict[str, Script]] = {
    "silent": _silent,
    "one_gigabyte": _one_gigabyte,
    "endless_greeting": _endless_greeting,
    "greeting": _greeting,
    "mid_line": _mid_line,
    "drops": _drops,
    "polite_goodbye": _polite_goodbye,
    "stderr_before_end": _stderr_before_end,
    "endless_stderr": _endless_stderr,
    "no_end": _no_end,
    "begin_then_silent": _begin_then_silent,
    "refused": _refused,
    "failed": _failed,
    "busy_gpu": _busy_gpu,
    "busy_run": _busy_run,
    "cleaned_beside": _cleaned_beside,
    "no_answer": _no_answer,
    "always_missing": _always_missing,
}


@asynccontextmanager
async def scripted_machine(
    script: str = "silent", *, login: bool = True, trivial: bool = False, host_key: str = ""
) -> AsyncIterator[ScriptedMachine]:
    """
    A server that plays `script` at every exec. Without `login` it refuses every key; with
    `trivial` it lets in whoever asks, without authentication.
    """
    own = asyncssh.generate_private_key(host_key or "ssh-ed25519")
    machine = ScriptedMachine(0, generate_key_pair(), one_line(own))

    async def play(process: Exec) -> None:
        command = process.command or ""
        machine.execs.append(command)
        words = command.split()
        marker = words[words.index("--marker") + 1] if "--marker" in words else ""
        try:
            await SCRIPTS[script](process, marker)
            process.exit(0)
        except (asyncssh.Error, OSError):
            process.close()  # the client had enough

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        config=None,
        server_factory=lambda: _Door(machine, login, trivial),
        server_host_keys=[own],
        process_factory=play,
        encoding=None,
        gss_host=None,
    )
    machine.port = server.get_port()
    try:
        yield machine
    finally:
        server.close()
        for connection in machine.connections:
            connection.abort()
        async with asyncio.timeout(_WAIT):
            await asyncio.gather(*(each.wait_closed() for each in machine.connections))
            await server.wait_closed()


class _Door(asyncssh.SSHServer):
    def __init__(self, machine: ScriptedMachine, login: bool, trivial: bool) -> None:
        self._machine, self._login, self._trivial = machine, login, trivial

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._machine.connections.append(conn)
        if not self._machine.reachable:
            self._machine.turned_away.set()
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        self._machine.logins_begun += 1
        return not self._trivial

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._login


def _begin(marker: str) -> bytes:
    return f"@harborx {marker} begin started\n".encode()


def _end(marker: str) -> bytes:
    said = '{"status": 0, "signal": null, "reason": null, "bytes": 8, "stderr_tail": "",'
    return f'@harborx {marker} end {said} "rebooted": false}}\n'.encode()
