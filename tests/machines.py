"""
Machines to test against: a real OpenSSH sshd with its own home, and servers that misbehave.

    with sshd_machine(folder) as machine:            a real one; `machine.target()` logs in to it
    async with scripted_machine("silent") as ...:    asyncssh in this loop; SCRIPTS says what it does
    async with raw_machine("no_banner") as ...:      below SSH; RAW says what it does
"""

from __future__ import annotations

import asyncio
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import asyncssh

from orchestrator.ssh.addresses import AddressPolicy
from orchestrator.ssh.connection import Target
from orchestrator.ssh.keys import KeyPair, generate_key_pair, one_line

LOOPBACK: Final = AddressPolicy((ip_network("127.0.0.0/8"), ip_network("::1/128")))
SSHD: Final = "/usr/sbin/sshd"
TOOLS: Final = ("sh", "cat", "mkdir", "mv", "rm", "wc", "env", "sleep", "scp")
_WAIT: Final = 20.0
_LISTENS: Final = "Server listening on"

_SSHD_CONFIG: Final = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 100
PrintMotd no
LogLevel VERBOSE
ClientAliveInterval 15
SetEnv HOME={home} PATH={path} TMPDIR={home}
ForceCommand cd "$HOME" && exec {shell} -c "$SSH_ORIGINAL_COMMAND"
{subsystem}
"""


@dataclass
class SshdMachine:
    """A running sshd. Everything a login sees lies in `home`; `log` is sshd's own account."""

    folder: Path
    home: Path
    port: int
    user: str
    key: KeyPair
    host_key: str
    host: str = "127.0.0.1"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def target(self, *, host_key: str | None = "", key: KeyPair | None = None) -> Target:
        """How to log in; with the pinned host key unless another (or None) is given."""
        return Target(
            self.host,
            self.port,
            self.user,
            (key or self.key).private_key,
            self.host_key if host_key == "" else host_key,
            LOOPBACK,
        )

    def authorise(self, public_key: str) -> None:
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(public_key + "\n")

    def rotate_host_key(self, kind: str = "ssh-ed25519") -> str:
        """Another host key from now on; returns its line."""
        self.host_key = _write_host_key(self.folder, kind)
        assert self._process is not None
        before = self.log.count(_LISTENS)
        self._process.send_signal(signal.SIGHUP)  # sshd executes itself anew
        self.await_log(_LISTENS, before + 1)
        return self.host_key

    def start(self) -> bool:
        """Whether sshd listens; False if the port was taken in between."""
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        return self.await_log(_LISTENS)

    def stop(self) -> None:
        """End the listener; its logins end with their connections."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_WAIT)

    def await_log(self, text: str, times: int = 1) -> bool:
        """Wait until sshd has logged `text`; False if it ended instead."""
        assert self._process is not None
        until = time.monotonic() + _WAIT
        while self.log.count(text) < times:
            if self._process.poll() is not None:
                return False
            assert time.monotonic() < until, self.log
            time.sleep(0.005)  # another process writes the file
        return True


@contextmanager
def sshd_machine(
    *,
    path: str | None = None,
    sftp: bool = True,
    host_key_type: str = "ssh-ed25519",
    shell: str = "/bin/sh",
) -> Iterator[SshdMachine]:
    """
    A real sshd on a free port of 127.0.0.1 with a home of its own, which lets in `machine.key`.
    `path` is the PATH of its logins (see `bin_folder`), by default with a real python3; `shell`
    runs their commands.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hx-", dir="/tmp"))
    try:
        machine = _started(folder, path or default_path(), sftp, host_key_type, shell)
        try:
            yield machine
        finally:
            machine.stop()
    finally:
        shutil.rmtree(folder)


def default_path() -> str:
    """The interpreter that our venv was made from, and the system's tools."""
    return f"{Path(sys.base_prefix, 'bin')}:/usr/bin:/bin"


def bin_folder(folder: Path, *, tools: tuple[str, ...] = TOOLS, **programs: str) -> str:
    """A PATH of one folder with `tools` only, and `programs` by name: a file to link, or a script."""
    folder.mkdir(parents=True, exist_ok=True)
    for tool in tools:
        found = shutil.which(tool, path="/usr/bin:/bin")
        assert found, tool
        (folder / tool).symlink_to(found)
    for name, text in programs.items():
        program = folder / name.replace("_", ".")
        is_script = text.startswith("#!")
        program.write_text(text if is_script else f'#!/bin/sh\nexec {shlex.quote(text)} "$@"\n')
        program.chmod(0o755)
    return str(folder)


def _started(folder: Path, path: str, sftp: bool, host_key_type: str, shell: str) -> SshdMachine:
    home = folder / "home"
    home.mkdir(mode=0o700)
    key = generate_key_pair()
    host_key = _write_host_key(folder, host_key_type)
    for _ in range(5):
        machine = SshdMachine(folder, home, _free_port(), getpass.getuser(), key, host_key)
        server = next(filter(os.path.exists, _SFTP_SERVERS), "internal-sftp")
        config = _SSHD_CONFIG.format(
            port=machine.port,
            folder=folder,
            home=home,
            path=path,
            shell=shell,
            subsystem=f"Subsystem sftp {server}" if sftp else "",
        )
        (folder / "sshd_config").write_text(config)
        if machine.start():
            machine.authorise(key.public_key)
            return machine
        machine.stop()
    raise AssertionError(machine.log)


_SFTP_SERVERS: Final = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")


def _write_host_key(folder: Path, kind: str) -> str:
    key = asyncssh.generate_private_key(kind)
    file = folder / "host_key"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(key.export_private_key("openssh"))
    return one_line(key)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# --------------------------------------------------------------------------------------------
# Servers that misbehave above SSH. Each script plays one exec; `marker` is the one it was given.

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

    def target(self, *, host_key: str | None = "") -> Target:
        pinned = self.host_key if host_key == "" else host_key
        return Target(self.host, self.port, self.user, self.key.private_key, pinned, LOOPBACK)


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
    """Half a line, then the whole connection goes."""
    await process.stdin.readline()
    process.stdout.write(_begin(marker) + b"half a li")
    await process.stdout.drain()
    process.get_extra_info("connection").abort()


async def _drops(process: Exec, marker: str) -> None:
    """The connection goes at the first exec."""
    process.get_extra_info("connection").abort()


async def _polite_goodbye(process: Exec, marker: str) -> None:
    """Half a line, then a regular SSH disconnect."""
    await process.stdin.readline()
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


# --------------------------------------------------------------------------------------------
# Servers that misbehave below SSH.


async def _no_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and never says a word."""
    await reader.read()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""


async def _not_ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is a web server."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nServer: internal-secret\r\n\r\n")


async def _endless_banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lines ahead of the SSH version, for ever."""
    while True:
        writer.write(b"line\r\n" * 4096)
        await writer.drain()


RAW: Final = {
    "no_banner": _no_banner,
    "hang_up": _hang_up,
    "not_ssh": _not_ssh,
    "endless_banner": _endless_banner,
}


@dataclass
class RawMachine:
    """A TCP server; `connections` counts who came."""

    port: int
    connections: int = 0
    host: str = "127.0.0.1"


@asynccontextmanager
async def raw_machine(script: str) -> AsyncIterator[RawMachine]:
    """A TCP server that plays `script` for everyone who connects."""
    machine = RawMachine(0)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        machine.connections += 1
        try:
            await RAW[script](reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    machine.port = server.sockets[0].getsockname()[1]
    async with server:
        yield machine
