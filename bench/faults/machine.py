"""A machine of the chaos world: a real sshd behind a line, and what a look at it tells."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.faults.line import Line, line_to
from bench.faults.record import SeenMachine, Survivor
from tests.machines import SshdMachine, sshd_machine

_COOKIE: Final = b"HARBORX_RUN="


@dataclass
class Machine:
    """`instance_id` is set once it was onboarded."""

    sshd: SshdMachine
    line: Line
    pace: float
    instance_id: str = ""

    def look(self, survivors: tuple[Survivor, ...] = ()) -> SeenMachine:
        """What lies on the machine now."""
        home = self.sshd.home
        said = home / "said"
        return SeenMachine(
            instance_id=self.instance_id,
            starts=_lines(home / "starts"),
            overlaps=_lines(home / "overlaps"),
            folders=self.folders(),
            survivors=survivors,
            said={file.name: file.read_bytes() for file in said.iterdir()} if said.is_dir() else {},
            pace=self.pace,
        )

    def folders(self) -> tuple[str, ...]:
        runs = self.sshd.home / ".harborx" / "runs"
        return tuple(sorted(os.listdir(runs))) if runs.is_dir() else ()


@asynccontextmanager
async def machine_in_place(pace: float) -> AsyncIterator[Machine]:
    """A machine whose benchmarks take `pace` seconds on average."""
    with sshd_machine() as sshd:
        (sshd.home / "pace").write_text(str(pace))
        async with line_to(sshd.port) as line:
            yield Machine(sshd, line, pace)


def survivors_on(machines: list[Machine]) -> dict[str, tuple[Survivor, ...]]:
    """By instance: processes of runs, and of agents that lie in the machines' homes."""
    homes = {f"{machine.sshd.home}/": machine.instance_id for machine in machines}
    found: dict[str, list[Survivor]] = {machine.instance_id: [] for machine in machines}
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _process(int(name))) is not None:
            environ, command = process
            for home, instance_id in homes.items():
                survivor = _survivor(int(name), environ, command, home)
                if survivor is not None:
                    found[instance_id].append(survivor)
    return {instance_id: tuple(each) for instance_id, each in found.items()}


def _survivor(pid: int, environ: bytes, command: str, home: str) -> Survivor | None:
    variables = environ.split(b"\0")
    cookie = next((each for each in variables if each.startswith(_COOKIE)), None)
    lives_here = f"HOME={home[:-1]}".encode() in variables
    is_agent = f"{home}.harborx/" in command and ".pyz" in command and "/bin/sh -c" not in command
    if not is_agent and not (lives_here and cookie):
        return None
    run_id = cookie[len(_COOKIE) :].decode("ascii", "replace") if cookie else None
    return Survivor(pid, run_id, command[:300])


def _process(pid: int) -> tuple[bytes, str] | None:
    """Environment and command line of a process that lives; None for zombies and those that went."""
    folder = Path("/proc", str(pid))
    try:
        if (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
            return None
        environ = (folder / "environ").read_bytes()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return None
    return environ, command


def _lines(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text("ascii").splitlines()) if path.exists() else ()
