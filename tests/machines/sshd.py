"""A real OpenSSH sshd on a free port of 127.0.0.1 with a home of its own."""

from __future__ import annotations

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

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
{listen}
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
ForceCommand {own}cd "$HOME" && exec {shell} -c "$SSH_ORIGINAL_COMMAND"
{subsystem}
"""
# SSH_CONNECTION is the client's address and port, and then ours.
_OWN_HOME: Final = 'at=${SSH_CONNECTION#* * }; export HOME="$HOME/${at%% *}"; mkdir -p "$HOME"; '


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
    within: tuple[str, ...] = ()  # what puts a command where sshd runs
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
        return self.show_host_keys(_new_host_key(kind))

    def show_host_keys(
        self, private_key: bytes, *others: bytes, certificate: str | None = None
    ) -> str:
        """
        These host keys from now on, in OpenSSH format, the first of a kind shown and the others announced; returns the first
        one's line. With the `certificate` the first is shown in it.
        """
        self.host_key = _write_host_key(self.folder, private_key)
        lines = [f"HostKey {self.folder}/host_key"]
        for number, other in enumerate(others):
            _write_host_key(self.folder, other, f"host_key_{number}")
            lines.append(f"HostKey {self.folder}/host_key_{number}")
        if certificate is not None:
            (self.folder / "host_certificate").write_text(certificate)
            lines.append(f"HostCertificate {self.folder}/host_certificate")
        config = self.folder / "sshd_config"
        kept = [line for line in config.read_text().splitlines() if not line.startswith("Host")]
        config.write_text("\n".join((*lines, *kept, "")))
        assert self._process is not None
        before = self.log.count(_LISTENS)
        self._process.send_signal(signal.SIGHUP)  # sshd executes itself anew
        self.await_log(_LISTENS, before + 1)
        return self.host_key

    def start(self) -> bool:
        """Whether sshd listens; False if the port was taken in between."""
        with (self.folder / "sshd.log").open("ab") as log:
            before = self.log.count(_LISTENS)  # of an earlier start
            self._process = subprocess.Popen(
                [*self.within, SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        return self.await_log(_LISTENS, before + 1)

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
    addresses: tuple[str, ...] = ("127.0.0.1",),
    within: tuple[str, ...] = (),
    own_homes: bool = False,
) -> Iterator[SshdMachine]:
    """
    A real sshd on a free port of `addresses` with a home of its own (or one for each address), which lets in `machine.key`.
    `path` is the PATH of its logins (see `bin_folder`), by default with a real python3; `shell`
    runs their commands.
    """
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hx-", dir="/tmp"))
    try:
        listen = "\n".join(f"ListenAddress {address}" for address in addresses)
        where = {"host": addresses[0], "within": within}
        filled = {"listen": listen, "own": _OWN_HOME if own_homes else "", "shell": shell}
        machine = _started(folder, path or default_path(), sftp, host_key_type, filled, where)
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


def _started(
    folder: Path,
    path: str,
    sftp: bool,
    host_key_type: str,
    filled: dict[str, str],
    where: dict[str, Any],
) -> SshdMachine:
    home = folder / "home"
    home.mkdir(mode=0o700)
    key = generate_key_pair()
    host_key = _write_host_key(folder, _new_host_key(host_key_type))
    for _ in range(5):
        user = getpass.getuser()
        machine = SshdMachine(folder, home, _free_port(), user, key, host_key, **where)
        server = next(filter(os.path.exists, _SFTP_SERVERS), "internal-sftp")
        config = _SSHD_CONFIG.format(
            port=machine.port,
            folder=folder,
            home=home,
            path=path,
            **filled,
            subsystem=f"Subsystem sftp {server}" if sftp else "",
        )
        (folder / "sshd_config").write_text(config)
        if machine.start():
            machine.authorise(key.public_key)
            return machine
        machine.stop()
    raise AssertionError(machine.log)


_SFTP_SERVERS: Final = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server")


def _new_host_key(kind: str) -> bytes:
    return asyncssh.generate_private_key(kind).export_private_key("openssh")


def _write_host_key(folder: Path, private_key: bytes, name: str = "host_key") -> str:
    file = folder / name
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(private_key)
    return one_line(asyncssh.import_private_key(private_key))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
