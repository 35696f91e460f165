"""The compare page: side by side, with what differs marked."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.seed import Fleet, fleet

_EMAIL = "compare@example.com"


@pytest.fixture(scope="module")
def seeded(idle_server: House) -> Fleet:
    user_id = idle_server.sign_up(_EMAIL)
    with idle_server.owner() as owner:
        return fleet(owner, user_id, count=4, past=2)


@pytest.fixture(scope="module")
def other_batch(idle_server: House, seeded: Fleet) -> UUID:
    """A run of the second instance with another batch size than all the others."""
    with idle_server.owner() as owner:
        row = owner.execute(
            "UPDATE gpu_test_results SET batch_size = 64, configuration_hash = 'ffeeddccbbaa0099',"
            ' configuration = \'{"batch_size": 64, "image_size": 224}\' WHERE run_id = (SELECT run_id FROM'
            " gpu_test_results WHERE gpu_instance_id = %s ORDER BY created_at LIMIT 1) RETURNING run_id",
            (seeded.instances[1],),
        ).fetchone()
    assert row is not None
    run_id: UUID = row[0]
    return run_id


def test_runs_and_instances_stand_side_by_side_with_what_differs(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    page = new_page(idle_server, _EMAIL)
    page.goto(
        f"/compare?runs={seeded.watched}&instances={seeded.instances[1]},{seeded.instances[2]}"
    )
    table = page.get_by_role("table", name="Comparison")
    expect(table.get_by_role("columnheader")).to_have_text(
        [
            re.compile("1. gpu-0000"),
            re.compile("2. gpu-0001"),
            re.compile("3. gpu-0002"),
            *["Facts", "Conditions", "Figures"],
        ]
    )
    throughput = table.get_by_role("row", name=re.compile("^Throughput"))
    expect(throughput.get_by_role("img", name="differs")).to_be_visible()
    cells = throughput.get_by_role("cell")
    expect(cells.nth(0)).to_contain_text("2,450 img/s")
    expect(cells.nth(1)).to_contain_text(re.compile(r"\+\d+(\.\d)?%.*best"))
    expect(cells.nth(2)).to_contain_text(re.compile(r"\u2212\d+(\.\d)?%.*worst"))
    expect(
        table.get_by_role("row", name=re.compile("^Precision")).get_by_role("img")
    ).to_have_count(0)
    expect(
        page.get_by_role("img", name=re.compile("^Throughput: 1. gpu-0000 2,450 img.s"))
    ).to_be_visible()
    expect(page.get_by_text("Measured under different conditions")).to_have_count(0)
    assert page.faults == []  # type: ignore[attr-defined]


def test_figures_of_other_conditions_carry_a_warning_that_names_them(
    idle_server: House, seeded: Fleet, other_batch: UUID, new_page: SignedIn
) -> None:
    page = new_page(idle_server, _EMAIL)
    page.goto(f"/compare?runs={seeded.watched},{other_batch}")
    expect(
        page.get_by_text("Measured under different conditions: batch 32 against 64")
    ).to_be_visible()


def test_an_empty_comparison_is_filled_and_emptied_by_the_picker(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    page = new_page(idle_server, _EMAIL)
    page.goto("/compare")
    expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()
    for name in ("gpu-0001", "gpu-0002"):
        page.get_by_role("combobox", name="Instance").fill(name)
        page.get_by_role("option", name=re.compile(name)).click()
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_role("columnheader", name=name)).to_be_visible()
    ids = "%2C".join(str(each) for each in seeded.instances[1:3])
    expect(page).to_have_url(re.compile(f"instances={ids}"))
    page.get_by_role("button", name="Take out gpu-0001").click()
    expect(page.get_by_text("Add a second one")).to_be_visible()
