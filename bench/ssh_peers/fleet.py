"""A hundred hosts at once, by one process of ours, which is one worker's event loop."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from bench.goals import Goal, of_samples, times_faster
from bench.ssh_peers import clients
from bench.ssh_peers.line import alone, lacking
from bench.ssh_peers.rounds import Makers, play, playing, versions

HOSTS: Final = 100
ROUNDS: Final = 5
_PEERS: Final[Makers] = {
    "ours": clients.ours,
    "Ansible": clients.ansible,
    "pyinfra": clients.pyinfra,
    "parallel-ssh": clients.parallel_ssh,
    "Fabric": clients.fabric,
    "OpenSSH xargs scp && ssh": clients.xargs,
}
_TARGETS: Final = {"Ansible": 25.0, "pyinfra": 3.0, "parallel-ssh": 1.4}


def measure(hosts: int = HOSTS, rounds: int = ROUNDS, makers: Makers = _PEERS) -> dict[str, Any]:
    """Seconds for all, and milliseconds of the client's CPU for each; all hosts are addresses of one sshd."""
    if needed := lacking():
        return {"skipped": f"it needs {needed}"}
    addresses = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(hosts)]
    with alone() as line, playing(line, makers, *addresses) as (at, players):
        taken = play(at, players, "cold", rounds)
    numbers = versions()
    ours = [each.ms for each in taken["ours"]]
    goals = [
        Goal(f"{hosts} hosts at once", f"{peer} {numbers[peer]}", target).told(
            times_faster(ours, [each.ms for each in taken[peer]])
        )
        for peer, target in _TARGETS.items()
        if peer in taken
    ]
    cpu = of_samples([each.cpu_ms / hosts for each in taken["ours"]])
    bound = Goal("client CPU a host", "", 4.0, at_least=False, unit="ms")
    return {
        "hosts": hosts,
        "rounds": rounds,
        "seconds": {
            name: round(median(x.ms for x in each) / 1000, 2) for name, each in taken.items()
        },
        "cpu_ms_a_host": {
            name: round(median(x.cpu_ms for x in each) / hosts, 2) for name, each in taken.items()
        },
        "versions": numbers,
        "goals": [*goals, bound.told(cpu)],
    }
