"""No packet goes where nobody may connect, however the address is written and however often a name changes."""

from __future__ import annotations

import pytest

from bench.attacks.addresses import attack
from bench.attacks.addresses.attack import MUTATIONS, play
from bench.attacks.ground import Ground

EVERY_KIND = 64  # of spellings, once


async def test_no_packet_goes_to_a_forbidden_address(ground: Ground) -> None:
    """Every kind of spelling and names that change between looks: nothing leaves, but for public machines."""
    played = await play(ground, EVERY_KIND * 2, seed=6)
    assert played.held, played
    assert played.must_be_zero == {"packets": 0}
    assert played.figures["kinds"] == EVERY_KIND
    assert played.figures["packets_to_allowed"] > 0
    assert played.attempted >= EVERY_KIND * 2 * 20


@pytest.mark.parametrize("mutation", MUTATIONS)
async def test_packets_are_counted_where_a_guard_is_missing(ground: Ground, mutation: str) -> None:
    """With any one guard of the product taken out, packets leave and are told of."""
    played = await play(ground, EVERY_KIND, seed=6, mutation=mutation)
    assert played.must_be_zero["packets"] > 0
    assert played.sentences
    assert not played.held


async def test_a_machine_without_namespaces_fails_the_attack(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be counted has not been shown: no tools, no pass, and the reason is told."""
    monkeypatch.setattr(attack, "_TOOLS_AT", "/nowhere")
    played = await play(ground, 1, seed=6)
    assert not played.held
    assert "ip and mount and nft missing" in played.missed[0]
