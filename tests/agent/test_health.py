"""A card's counters of its own faults: a scripted driver stands in for the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_agent.machine import cards, nvml
from remote_agent.machine.health import Health, changes
from tests.agent.driver import Driver, card, scripted

SICK = {
    "errors": [1, 2, 3, 4], "rows": [5, 6, 1, 0], "retired_pending": 1, "replays": 7,
    "violations": {"0": 8, "1": 9.5, "3": 10, "5": 11},
}  # fmt: skip


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """A machine with NVML."""
    with scripted(tmp_path) as made:
        yield made


def health_of_first() -> Health:
    """The counters as this process reads them."""
    with nvml.opened() as library:
        assert library is not None
        return Health.of(library, (library.cards() or {})[0])


def test_every_counter_has_its_name(driver: Driver) -> None:
    """Kinds and scopes of errors, rows, flags and seconds are not mixed up."""
    driver.play(card(**SICK))
    assert health_of_first()._replace(at=0.0) == Health(
        at=0.0,
        ecc_corrected_volatile=1,
        ecc_uncorrected_volatile=2,
        ecc_corrected_aggregate=3,
        ecc_uncorrected_aggregate=4,
        remapped_corrected=5,
        remapped_uncorrected=6,
        remap_pending=True,
        remap_failure=False,
        retired_pages_pending=True,
        pcie_replays=7,
        power_violation_seconds=8.0,
        thermal_violation_seconds=9.5,
        board_limit_violation_seconds=10.0,
        reliability_violation_seconds=11.0,
    )


def test_what_a_card_does_not_count_is_null(driver: Driver) -> None:
    """A consumer card has no ECC, no rows and no violations: None, never 0."""
    driver.play(
        card(missing=["EccErrors", "RemappedRows", "PendingStatus", "ReplayCounter", "Violation"]),
        missing="ViolationStatus",
    )
    assert set(health_of_first()[1:]) == {None}


def test_health_is_asked_by_slot_in_a_child(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cards of the slots that were named, in their order; None for an empty slot or without NVML."""
    driver.play(card(replays=1), card(1, replays=2), card(2, replays=3))
    slots = driver.slots(3)
    found = cards.health([slots[2], "0000:FF:00.0", slots[0]])
    assert [one and one.pcie_replays for one in found] == [3, None, 1]
    assert found[0] is not None
    assert found[0].at > 0
    assert cards.health([]) == []
    driver.play(card(), missing="nvmlInit")
    assert cards.health(slots) == [None, None, None]


def test_a_driver_that_hangs_has_no_health(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a broken driver."""
    driver.play(card(), hangs="nvmlDeviceGetRemappedRows")
    monkeypatch.setattr(cards, "ASK_SECONDS", 0.5)
    assert cards.health(driver.slots(1)) == [None]


def test_changes_are_what_has_risen() -> None:
    """Differences of counters and flags that were raised; nothing that fell, is new or is unknown."""
    before = Health(at=10.0, ecc_corrected_volatile=1, ecc_uncorrected_volatile=5, pcie_replays=3)
    after = Health(
        at=14.0,
        ecc_corrected_volatile=4,
        ecc_uncorrected_volatile=0,
        pcie_replays=3,
        remapped_corrected=2,
    )
    assert changes(before, after) == {"at": 4.0, "ecc_corrected_volatile": 3}
    flags = Health(at=0.0, remap_pending=False), Health(at=1.0, remap_pending=True)
    assert changes(*flags) == {"at": 1.0, "remap_pending": 1}
    assert changes(None, after) == changes(before, None) == {}
