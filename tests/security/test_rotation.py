"""Keys rotated under load, and swapped secrets: the short form, and that its checker can fail."""

from __future__ import annotations

import random

import pytest

from bench.attacks.ground import Ground
from bench.attacks.rotation import house_of, play, rotate_under_load, swap
from orchestrator.vault import Binding


async def test_nothing_is_lost_or_opens_elsewhere(ground: Ground) -> None:
    """Through kills of the command every read succeeds, all is under the new key at the end, and no swap opens."""
    played = await play(ground, 1000, seed=6)
    assert played.held, (played.must_be_zero, played.sentences[:3], played.missed)
    assert played.figures["reads"] > 100
    assert played.figures["writes"] > 10


async def test_without_the_rows_in_them_ciphertexts_can_be_swapped(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the layers are not bound to their row, the attack counts."""
    monkeypatch.setattr(Binding, "associated_data", lambda *_: b"")
    dice = random.Random(6)
    async with house_of(ground, 50, dice) as house:
        assert await swap(house, 100, dice) > 0


async def test_a_key_that_is_not_kept_fails_reads(ground: Ground) -> None:
    """Where the key that sealed so far is thrown away at once, reads fail and rows are stranded."""
    dice = random.Random(6)
    async with house_of(ground, 300, dice) as house:
        await rotate_under_load(house, 0, dice, mutation="forgetful")
    assert house.wrong
