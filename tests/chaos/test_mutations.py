"""A checker that finds nothing proves nothing: with a guard of the product taken out, it must find that."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from bench.chaos import Played, parsed, play

pytestmark = pytest.mark.timeout(300)

_SMALL: Final = "--instances 1 --workers 1 --runs 1 --settle 1 --seed 1"
_SOON: Final = "--heartbeat 0.5 --stalled 2"
_WORLDS: Final = {
    # A worker reads, is stopped until another has its run, and then writes what it read, as the run goes on.
    "no-fence": f"--point after:read --action stop --pace 12 {_SOON}",
    # A crash between the two commits: what is stored once is read again.
    "offset-apart": f"--point after-commit:append.store --action crash --pace 3 {_SOON}",
    "no-host-key": f"--impostors 1 --pace 4 --pause 0.2 {_SOON}",
    "no-clean": f"--pace 1 {_SOON}",
}


@pytest.fixture(scope="module")
def worlds() -> dict[str, Played]:
    """One small world for each mutation, at the same time: they mostly wait."""

    async def all_at_once() -> list[Played]:
        asked = [parsed(f"{_SMALL} {how} --mutate {name}".split()) for name, how in _WORLDS.items()]
        return await asyncio.gather(*(play(options) for options in asked))

    return dict(zip(_WORLDS, asyncio.run(all_at_once()), strict=True))


def test_without_the_fence_a_zombies_words_are_stored_twice(worlds: dict[str, Played]) -> None:
    played = worlds["no-fence"]
    assert played.effective == {"failpoints": 1}
    assert played.findings.counts["duplicates"]
    assert not played.proves


def test_an_offset_committed_apart_from_its_events_stores_them_twice(
    worlds: dict[str, Played],
) -> None:
    played = worlds["offset-apart"]
    assert played.effective == {"failpoints": 1}
    assert played.findings.counts["duplicates"]
    assert played.findings.counts["differing"]
    assert not played.proves


def test_without_host_keys_we_log_in_at_an_impostor(worlds: dict[str, Played]) -> None:
    played = worlds["no-host-key"]
    assert played.effective == {"impostors": 1}
    assert any("Accepted" in line for line in played.findings.authentications)
    assert not played.proves


def test_without_cleaning_folders_are_left(worlds: dict[str, Played]) -> None:
    played = worlds["no-clean"]
    assert played.findings.counts["folders"] == len(played.evidence.runs)
    assert not played.proves
