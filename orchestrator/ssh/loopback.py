"""An SSH endpoint on 127.0.0.1 for this very machine, so that the demo needs no sshd."""

from __future__ import annotations

import asyncio
import getpass
import hmac
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh

from orchestrator.ssh.keys import generate_key_pair, one_line

_HOST: Final = "127.0.0.1"
_PASSED_ON: Final = (
    *("LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)
_CLOSING_SECONDS: Final = 2.0
_BLOCK: Final = 64 * 1024


@dataclass(frozen=True)
class LoopbackMachine:
    """How to reach the endpoint; `private_key` is the only one it lets in."""

    host: str
    port: int
    user: str
    private_key: str = field(repr=False)
    host_key: str


@asynccontextmanager
async def loopback_machine(home: Path) -> AsyncIterator[LoopbackMachine]:
    """
    Serve SSH (exec, SCP and SFTP) on a free port of 127.0.0.1 as the current user with `home` for
    a home folder, until the block ends. What a session left detached goes on after it.

    Raises `OSError` if no port can be had.
    """
    folder = await asyncio.to_thread(_made, home)
    login, own = generate_key_pair(), asyncssh.generate_private_key("ssh-ed25519")
    user = _user()
    sessions = _Sessions(folder, user)
    server = await asyncssh.listen(
        _HOST,
        0,
        config=None,
        server_factory=lambda: _OneKey(user, login.fingerprint),
        server_host_keys=[own],
        process_factory=sessions.serve,
        sftp_factory=lambda channel: _HomeFiles(channel, folder),
        allow_scp=True,
        encoding=None,
        gss_host=None,
        x11_forwarding=False,
        agent_forwarding=False,
        allow_pty=False,
    )
    try:
        yield LoopbackMachine(_HOST, server.get_port(), user, login.private_key, one_line(own))
    finally:
        server.close()
        await sessions.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await server.wait_closed()


class _OneKey(asyncssh.SSHServer):
    def __init__(self, user: str, fingerprint_let_in: str) -> None:
        self._user = user
        self._let_in = fingerprint_let_in

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        same = hmac.compare_digest(key.get_fingerprint(), self._let_in)
        return same and username == self._user


class _HomeFiles(asyncssh.SFTPServer):
    """Absolute paths as they are, others from the home folder, as any sshd has it."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], home: Path) -> None:
        super().__init__(channel)
        self._home = os.fsencode(home)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._home, path)


class _Sessions:
    """The execs that run, so that none outlives the endpoint unless it detached itself."""

    def __init__(self, home: Path, user: str) -> None:
        self._home = home
        self._user = user
        self._running: dict[asyncio.Task[None], Process | None] = {}

    def serve(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        """A task of ours, not of the connection: what it started must be waited for all the same."""
        task = asyncio.create_task(self._serve(session))
        self._running[task] = None
        task.add_done_callback(self._running.pop)

    async def end(self) -> None:
        """Terminate what still runs in a session, and wait for it, bounded."""
        for child in self._running.values():
            if child is not None:
                with suppress(ProcessLookupError):
                    child.terminate()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_CLOSING_SECONDS)
            for task in late:
                task.cancel()

    async def _serve(self, session: asyncssh.SSHServerProcess[bytes]) -> None:
        if session.command is None:
            session.stderr.write(b"This machine runs commands only.\n")
            session.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", session.command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self._home,
            env=_environment(self._home, self._user),
            start_new_session=True,
        )
        this = asyncio.current_task()
        assert this is not None
        self._running[this] = child
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(_feed(session.stdin, child.stdin))
        await asyncio.gather(
            _carry(child.stdout, session.stdout), _carry(child.stderr, session.stderr)
        )
        status = await child.wait()
        feeding.cancel()
        with suppress(asyncssh.Error, OSError):
            session.exit(status if status >= 0 else 128 - status)


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    """What the client sends, and its end: also when the client is simply gone."""
    try:
        while data := await source.read(_BLOCK):
            sink.write(data)
            await sink.drain()
    except (asyncssh.Error, OSError):
        pass
    finally:
        sink.close()


async def _carry(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Read to the end even if nobody takes it any more, or the command would block on its pipe."""
    listening = True
    while data := await source.read(_BLOCK):
        try:
            if listening:
                sink.write(data)
                await sink.drain()
        except (asyncssh.Error, OSError):
            listening = False


def _environment(home: Path, user: str) -> dict[str, str]:
    """A login's, not ours: nothing of the orchestrator's settings or venv may leak into a run."""
    own = Path(sys.prefix, "bin").resolve()
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = [each for each in folders if each and Path(each).resolve() != own]
    # The interpreter this venv was made from: the one Python that is certainly there.
    base = str(Path(sys.base_prefix, "bin"))
    return {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        **_pip_settings(),
        "HOME": str(home),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/sh",
        "PATH": os.pathsep.join([*path, base] if base not in path else path),
    }


def _pip_settings() -> dict[str, str]:
    """This user's way to packages, which its own configuration tells and the other home hides."""
    own = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for file in (Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf")):
        if file.expanduser().is_file():
            own.setdefault("PIP_CONFIG_FILE", str(file.expanduser()))
    return own


def _made(home: Path) -> Path:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home.resolve()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as containers have
        return "harborx"
