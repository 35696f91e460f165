"""Clients that take turns, in an order that is drawn anew in each round."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from bench.ssh_peers import clients
from bench.ssh_peers.clients import Client, Round
from bench.ssh_peers.line import Line
from bench.ssh_peers.place import Place, place

WARM_UP: Final = 1
Makers = dict[str, Callable[[Place], Client]]


def versions() -> dict[str, str]:
    """Of everything that takes part."""
    found: dict[str, str] = {}
    if clients.PEERS.exists():  # `make bench` makes it; OpenSSH is there without
        command = [clients.PEERS / "python", "-m", "pip", "list", "--format=freeze"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = dict(line.split("==") for line in listed.split() if "==" in line)
    openssh = subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr
    packages = {
        "Ansible": "ansible-core",
        "pyinfra": "pyinfra",
        "parallel-ssh": "parallel-ssh",
        "Fabric": "fabric",
    }
    return {
        "OpenSSH": openssh.split("_")[1].split(",")[0].split()[0],
        **{name: found[package] for name, package in packages.items() if package in found},
    }


@contextmanager
def playing(
    line: Line, makers: Makers, *addresses: str
) -> Iterator[tuple[Place, dict[str, Client]]]:
    with place(line, *addresses) as at, ExitStack() as stack:
        yield at, {name: stack.enter_context(closing(make(at))) for name, make in makers.items()}


def play(
    at: Place, players: dict[str, Client], kind: str, rounds: int, *, forgetting: bool = True
) -> dict[str, list[Round]]:
    chance = random.Random(rounds)
    taken: dict[str, list[Round]] = {name: [] for name in players}
    for number in range(rounds + WARM_UP):
        for name in chance.sample(sorted(players), len(players)):
            if forgetting:
                at.forget()
            taken[name].append(players[name].round(kind))
        print(f"\r{kind}: {number + 1} of {rounds + WARM_UP}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {name: found[WARM_UP:] for name, found in taken.items()}
