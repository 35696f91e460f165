"""
One host: cold, over a line with a delay, and again on a connection that is open already.

Every round pushes a 40 KB agent, launches it and reads its five lines of result. The clients take turns, in an order that is
drawn anew in each round.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from statistics import median
from typing import Any, Final

from bench.goals import Goal, Measured, of_samples, times_faster
from bench.ssh_peers import clients
from bench.ssh_peers.agent_file import packed, plain
from bench.ssh_peers.clients import Round
from bench.ssh_peers.line import Line, delayed, lacking
from bench.ssh_peers.place import place
from bench.ssh_peers.rounds import WARM_UP, Makers, play, playing, versions

ROUNDS: Final = 21
ROUND_TRIP: Final = 0.1
SLOPE: Final = (0.05, 0.1)  # round trips are the slope between these

OPENSSH: Final = "OpenSSH scp && ssh"
_PEERS: Final[Makers] = {
    "ours": clients.ours,
    "ours, packed as the product packs": lambda at: clients.ours(at, packed=True),
    OPENSSH: clients.scp_and_ssh,
    "OpenSSH scp && ssh, its default key exchange": lambda at: clients.scp_and_ssh(
        at, pinned=False
    ),
    "OpenSSH scp -C && ssh -C": lambda at: clients.scp_and_ssh(at, "-C"),
    "OpenSSH ssh 'cat > f && run f'": clients.one_shot,
    "Ansible": clients.ansible,
    "pyinfra": clients.pyinfra,
    "parallel-ssh": clients.parallel_ssh,
    "Fabric": clients.fabric,
}


def cold(rounds: int = ROUNDS) -> dict[str, Any]:
    """Loopback, nothing there yet and no connection."""
    targets = {OPENSSH: 4.0, "Ansible": 12.0, "pyinfra": 10.0, "parallel-ssh": 2.0, "Fabric": 1.5}
    with playing(Line(), _PEERS) as (at, players):
        taken = play(at, players, "cold", rounds)
    return told_of("one host, loopback, cold", taken, targets)


def delay(rounds: int = 9) -> dict[str, Any]:
    """The same at a round trip of 100 ms, and how many of them ours takes."""
    if needed := lacking():
        return {"skipped": f"it needs {needed}"}
    targets = {OPENSSH: 3.0, "Ansible": 4.5, "pyinfra": 4.4, "Fabric": 2.0, "parallel-ssh": 1.8}
    with delayed(ROUND_TRIP) as line, playing(line, _PEERS) as (at, players):
        taken = play(at, players, "cold", rounds)
    told = told_of("one host, round trip 100 ms, cold", taken, targets)
    trips = _round_trips("cold", rounds)
    goal = Goal("round trips after the first contact, cold", "", 10, at_least=False, unit="trips")
    packed_trips = _round_trips("cold", rounds, packed=True).ratio
    return {
        **told,
        "round_trips_packed": round(packed_trips, 2),
        "goals": [*told["goals"], goal.told(trips)],
    }


def warm(rounds: int = ROUNDS) -> dict[str, Any]:
    """A re-test at a round trip of 100 ms: the agent is there, and the connection open."""
    if needed := lacking():
        return {"skipped": f"it needs {needed}"}
    with delayed(ROUND_TRIP) as line, place(line) as at, ExitStack() as stack:
        kept = stack.enter_context(clients.master(at))
        players = {
            "ours": stack.enter_context(closing(clients.ours(at))),
            "OpenSSH ControlMaster scp && ssh": clients.scp_and_ssh(at, *kept),
            "OpenSSH ControlMaster ssh 'cat > f && run f'": clients.one_shot(at, *kept),
        }
        taken = play(at, players, "warm", rounds, forgetting=False)
    told = told_of(
        "one host, round trip 100 ms, re-test", taken, {"OpenSSH ControlMaster scp && ssh": 5.0}
    )
    trips = _round_trips("warm", rounds)
    goal = Goal("round trips of a re-test", "", 2.2, at_least=False, unit="trips")
    return {**told, "goals": [*told["goals"], goal.told(trips)]}


def told_of(what: str, taken: dict[str, list[Round]], targets: dict[str, float]) -> dict[str, Any]:
    numbers = versions()
    ours = [each.ms for each in taken["ours"]]
    goals = []
    for peer, target in targets.items():
        version = next(text for name, text in numbers.items() if peer.startswith(name))
        measured: Measured = times_faster(ours, [each.ms for each in taken[peer]])
        goals.append(Goal(what, f"{peer} {version}", target).told(measured))
    return {
        "rounds": len(ours),
        "agent_bytes": {"all": len(plain()), "packed": len(packed())},
        "median_ms": {name: round(median(x.ms for x in each), 1) for name, each in taken.items()},
        "cpu_ms": {name: round(median(x.cpu_ms for x in each), 1) for name, each in taken.items()},
        "versions": numbers,
        "goals": goals,
    }


def _round_trips(kind: str, rounds: int, *, packed: bool = False) -> Measured:
    """The slope of the time over the delay, of rounds taken in turns: what the ends take by themselves falls out."""
    with ExitStack() as stack:
        sides = []
        for seconds in SLOPE:
            at = stack.enter_context(place(stack.enter_context(delayed(seconds))))
            sides.append((at, stack.enter_context(closing(clients.ours(at, packed=packed)))))
        slopes = []
        for _ in range(rounds + WARM_UP):
            taken = []
            for at, client in sides:
                if kind == "cold":
                    at.forget()
                taken.append(client.round(kind).ms)
            slopes.append((taken[1] - taken[0]) / ((SLOPE[1] - SLOPE[0]) * 1000))
    return of_samples(slopes[WARM_UP:])
