"""The machine that all clients go to, and what each needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from bench.ssh_peers.agent_file import plain
from bench.ssh_peers.line import Line
from tests.machines import SshdMachine, sshd_machine

AGENT: str = "agent.pyz"


@dataclass(frozen=True)
class Place:
    """A real sshd with a home without start-up files, the agent as a file, and the machine's key as one that is known."""

    machine: SshdMachine
    line: Line
    hosts: tuple[str, ...]

    @property
    def agent(self) -> Path:
        return self.machine.folder / AGENT

    @property
    def known_hosts(self) -> Path:
        return self.machine.folder / "known_hosts"

    @property
    def key(self) -> Path:
        return self.machine.folder / "key"

    def told(self) -> dict[str, Any]:
        """For clients that are programs of their own."""
        return {
            "hosts": self.hosts,
            "port": self.machine.port,
            "user": self.machine.user,
            "key": str(self.key),
            "host_key": self.machine.host_key,
            "known_hosts": str(self.known_hosts),
            "agent": str(self.agent),
        }

    def forget(self) -> None:
        """As if nobody had ever pushed anything."""
        for left in self.machine.home.iterdir():
            if left.is_dir():
                rmtree(left)
            else:
                left.unlink()


@contextmanager
def place(line: Line, *hosts: str) -> Iterator[Place]:
    """On the far side of the line, at its address; `hosts` are names of it with a home for each."""
    known = hosts or (line.address,)
    with sshd_machine(
        addresses=(line.address,), within=line.server, own_homes=bool(hosts)
    ) as machine:
        found = Place(machine, line, known)
        found.agent.write_bytes(plain())
        found.agent.chmod(0o755)
        found.key.touch(mode=0o600)
        found.key.write_text(machine.key.private_key)
        names = (f"[{address}]:{machine.port}" for address in known)
        found.known_hosts.write_text("".join(f"{name} {machine.host_key}\n" for name in names))
        yield found
