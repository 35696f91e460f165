"""Everything that can push the agent and read its result, each in the way its own users would have it quick."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.ssh_peers.agent_file import LINES, PYTHON
from bench.ssh_peers.place import AGENT, Place

PEERS: Final = Path(".venv-peers/bin")
_SECONDS: Final = 120.0  # a round
_KEX: Final = "curve25519-sha256"


@dataclass(frozen=True)
class Round:
    """Milliseconds on the clock, and of CPU of the client and all its processes."""

    ms: float
    cpu_ms: float


@dataclass
class Driver:
    """A client that is a program: it stays, and does a round for each word that it is told."""

    place: Place
    words: tuple[str, ...]
    asked: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            [*self.place.line.client, *self.words, json.dumps({**self.place.told(), **self.asked})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, kind: str) -> Round:
        """Raises `RuntimeError` where the client has ended instead."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("a driver has both")
        self._process.stdin.write(f"{kind}\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            raise RuntimeError(f"{self.words} ended with {self._process.wait(_SECONDS)}")
        return Round(**json.loads(told))

    def close(self) -> None:
        self._process.communicate(timeout=_SECONDS)


@dataclass
class Commands:
    """
    A client that is one or more commands, started anew in each round; `{round}` in its environment is another in each.
    """

    place: Place
    commands: tuple[tuple[str, ...], ...]
    environ: dict[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    _rounds: int = 0

    def round(self, kind: str) -> Round:
        """Raises `RuntimeError` for anything but the whole result."""
        self._rounds += 1
        began, spent = time.perf_counter(), _children_cpu()
        told = ""
        for words in self.commands:
            told = self._output(words)
        taken = Round((time.perf_counter() - began) * 1000, (_children_cpu() - spent) * 1000)
        if told.count("throughput") < LINES * len(self.place.hosts):
            raise RuntimeError(f"{self.commands[-1][0]} brought no whole result: {told}")
        return taken

    def close(self) -> None:
        """Nothing is left of them."""

    def _output(self, words: tuple[str, ...]) -> str:
        with ExitStack() as stack:
            source: Any = subprocess.DEVNULL
            if self.stdin is not None:
                source = stack.enter_context(self.stdin.open("rb"))
            ended = subprocess.run(
                [*self.place.line.client, *words],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environ(),
                timeout=_SECONDS,
            )
        told = ended.stdout.decode("utf-8", "replace")
        if ended.returncode != 0:
            raise RuntimeError(f"{words[0]} ended with {ended.returncode}: {told}")
        return told

    def _environ(self) -> dict[str, str]:
        number = str(self._rounds)
        return {name: value.replace("{round}", number) for name, value in self.environ.items()}


Client = Driver | Commands


def ours(place: Place, *, packed: bool = False) -> Client:
    """`packed`: the archive is made as the product makes its own, and not as the tools' is."""
    return Driver(place, (sys.executable, "-m", "bench.ssh_peers.ours"), {"packed": packed})


def fabric(place: Place) -> Client:
    return Driver(place, (str(PEERS / "python"), "bench/ssh_peers/fabric_client.py"))


def parallel_ssh(place: Place) -> Client:
    return Driver(place, (str(PEERS / "python"), "bench/ssh_peers/parallel_ssh_client.py"))


def scp_and_ssh(place: Place, *options: str, pinned: bool = True) -> Client:
    set_up = (*_openssh(place, pinned), *options)
    machine = place.machine
    there = f"{machine.user}@{machine.host}"
    copy = ("scp", "-q", "-P", str(machine.port), *set_up, str(place.agent), f"{there}:{AGENT}")
    run = ("ssh", "-p", str(machine.port), *set_up, there, f"{' '.join(PYTHON)} {AGENT}")
    return Commands(place, (copy, run))


def one_shot(place: Place, *options: str) -> Client:
    set_up = (*_openssh(place, True), *options)
    machine = place.machine
    script = f"cat > {AGENT} && {' '.join(PYTHON)} {AGENT}"
    run = ("ssh", "-p", str(machine.port), *set_up, f"{machine.user}@{machine.host}", script)
    return Commands(place, (run,), stdin=place.agent)


def xargs(place: Place) -> Client:
    """`scp && ssh` for every host, all at once."""
    set_up, port = " ".join(_openssh(place, True)), place.machine.port
    there = f"{place.machine.user}@{{}}"
    line = (
        f"scp -q -P {port} {set_up} {place.agent} {there}:{AGENT}"
        f" && ssh -p {port} {set_up} {there} {' '.join(PYTHON)} {AGENT}"
    )
    hosts = place.machine.folder / "hosts"
    hosts.write_text("\n".join(place.hosts))
    words = ("xargs", "-P", str(len(place.hosts)), "-I", "{}", "sh", "-c", line)
    return Commands(place, (words,), stdin=hosts)


@contextmanager
def master(place: Place) -> Iterator[tuple[str, ...]]:
    """OpenSSH's own kept connection: the options that use it."""
    socket = place.machine.folder / "master"
    options = ("-o", f"ControlPath={socket}")
    machine = place.machine
    set_up = (*_openssh(place, True), *options, "-p", str(machine.port))
    there = f"{machine.user}@{machine.host}"
    subprocess.run(
        [*place.line.client, "ssh", "-f", "-N", "-M", *set_up, there], check=True, timeout=_SECONDS
    )
    try:
        yield options
    finally:
        subprocess.run(
            [*place.line.client, "ssh", "-O", "exit", *set_up, there],
            check=True,
            timeout=_SECONDS,
            capture_output=True,
        )


def ansible(place: Place) -> Client:
    """The `script` module, which pushes a file and runs it; pipelining saves what can be saved."""
    machine = place.machine
    empty = machine.folder / "ansible.cfg"
    empty.touch()
    kept = ("-o", "ControlMaster=auto", "-o", "ControlPersist=5s")  # its own default, but shorter
    ssh = " ".join((*_openssh(place, True), *kept))
    words = (
        *(str(PEERS / "ansible"), "all", "-i", f"{','.join(place.hosts)},"),
        *("-f", str(len(place.hosts))),
        *("-u", machine.user, "--private-key", str(place.key), "-m", "script"),
        *("-a", str(place.agent), "-e", f"ansible_port={machine.port}"),
    )
    environ = {
        "ANSIBLE_CONFIG": str(empty),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_ARGS": ssh,
        "ANSIBLE_SSH_CONTROL_PATH": f"{machine.folder}/{{round}}-%%h",
        "ANSIBLE_HOME": str(place.machine.folder / "ansible"),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        "ANSIBLE_NOCOLOR": "1",
    }
    return Commands(place, (words,), environ)


def pyinfra(place: Place) -> Client:
    machine = place.machine
    known = str(place.known_hosts)
    inventory = machine.folder / "inventory.py"
    inventory.write_text(f"hosts = {list(place.hosts)}\n")
    words = (
        *(str(PEERS / "pyinfra"), "-y", "-vvv", "--parallel", str(len(place.hosts))),
        *("--ssh-user", machine.user, "--ssh-port", str(machine.port), "--ssh-key", str(place.key)),
        *("--data", f"ssh_known_hosts_file={known}", "--data", "ssh_look_for_keys=false"),
        *(str(inventory), "server.script", f"src={place.agent}"),
    )
    return Commands(place, (words,))


def _openssh(place: Place, pinned: bool) -> tuple[str, ...]:
    chosen = {
        "UserKnownHostsFile": str(place.known_hosts),
        "IdentityFile": str(place.key),
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        **({"KexAlgorithms": _KEX} if pinned else {}),
    }
    words = ("-F", os.devnull)
    for name, value in chosen.items():
        words += ("-o", f"{name}={value}")
    return words


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
