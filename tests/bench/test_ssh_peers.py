"""The product and the tools do the same, over a real sshd."""

from __future__ import annotations

import pytest

from bench.ssh_peers import clients, cold, rounds
from bench.ssh_peers.agent_file import SIZE, packed, plain
from bench.ssh_peers.line import Line
from bench.ssh_peers.rounds import play, playing


def test_all_are_given_the_same_forty_kilobytes() -> None:
    """The file is 40 KB for everybody; how the product would pack the same code is told beside it."""
    assert len(plain()) == SIZE
    assert 0 < len(packed()) < SIZE


def test_a_round_brings_the_whole_result_by_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, and `scp && ssh`, push from nothing and bring five lines; a lasting connection does it again."""
    monkeypatch.setattr(rounds, "WARM_UP", 0)
    makers = {"ours": clients.ours, cold.OPENSSH: clients.scp_and_ssh, "one shot": clients.one_shot}
    with playing(Line(), makers) as (at, players):
        taken = play(at, players, "cold", 1)
        assert at.machine.log.count("Accepted publickey") == 4
        again = players["ours"].round("warm"), players["ours"].round("warm")
        assert at.machine.log.count("Accepted publickey") == 5
    told = cold.told_of("cold", taken, {cold.OPENSSH: 4.0})
    assert [each["target"] for each in told["goals"]] == [4.0]
    assert all(found[0].ms > found[0].cpu_ms > 0 for found in taken.values())
    assert all(each.ms > 0 for each in again)


def test_a_client_that_brings_less_is_no_measurement() -> None:
    """A command without the whole result ends the benchmark instead of being quick."""
    with playing(Line(), {}) as (at, _):
        hollow = clients.Commands(at, (("echo", "throughput"),))
        with pytest.raises(RuntimeError, match="no whole result"):
            hollow.round("cold")
