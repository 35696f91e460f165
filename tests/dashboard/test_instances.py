"""Inventory > GPU Instances: what a supplier sees of the fleet, and does with it, in one table."""

from __future__ import annotations

from itertools import count
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.seed import Fleet, fleet

_numbers = count(1)


@pytest.fixture
def email() -> str:
    return f"instances{next(_numbers)}@example.com"


@pytest.fixture
def seeded(idle_server: House, email: str) -> Fleet:
    """12 machines with a past: gpu-0000 is active, gpu-0003 and gpu-0009 failed, gpu-0004 was never tested."""
    user_id = idle_server.sign_up(email)
    with idle_server.owner() as owner:
        return fleet(owner, user_id)


@pytest.fixture
def inventory(idle_server: House, new_page: SignedIn, email: str, seeded: Fleet) -> Page:
    page = new_page(idle_server, email)
    page.goto("/instances?sort=name")
    expect(_link(page, "gpu-0000")).to_be_visible()
    return page


def _link(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.get_by_role("link", name=name, exact=True)


def _names(page: Page) -> list[str]:
    return page.locator("[data-row-link]").all_inner_texts()


def _row(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.locator("tr[data-index]").filter(has=_link(page, name))


def _runs(server: House, user_id: str, state: str) -> int:
    with server.owner() as owner:
        row = owner.execute(
            "SELECT count(*) FROM gpu_test_runs WHERE user_id = %s AND state = %s", (user_id, state)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_search_filter_and_sort_survive_a_reload(inventory: Page) -> None:
    """What is asked for stands in the address, so that a reload, a bookmark or a colleague sees the same."""
    inventory.get_by_role("button", name="Filter by Status").click()
    inventory.get_by_role("menuitemcheckbox", name="failed").click()
    inventory.keyboard.press("Escape")
    inventory.get_by_role("button", name="Images/s").click()
    inventory.keyboard.press("/")
    inventory.keyboard.type("host")
    expect(inventory).to_have_url("/instances?q=host&status=failed&sort=-throughput")
    expect(inventory.locator("[data-row-link]")).to_have_text(["gpu-0003", "gpu-0009"])
    inventory.reload()
    expect(inventory.locator("[data-row-link]")).to_have_text(["gpu-0003", "gpu-0009"])
    expect(inventory.get_by_role("textbox", name="Search instances")).to_have_value("host")
    expect(inventory.get_by_role("columnheader", name="Images/s")).to_have_attribute(
        "aria-sort", "descending"
    )


def test_rows_say_why_a_test_failed_and_what_was_measured(inventory: Page) -> None:
    """A row tells status, reason, figure with interval, and verdict; what was not measured is told as unknown."""
    failed = _row(inventory, "gpu-0003")
    expect(failed).to_contain_text("gpu mismatch")
    expect(failed.locator("[data-state=failed]")).to_have_count(2)
    expect(failed.get_by_title("95% interval")).to_be_visible()
    expect(_row(inventory, "gpu-0004")).to_contain_text("not tested yet")


def test_a_change_on_the_server_is_shown_without_a_reload(
    inventory: Page, idle_server: House, seeded: Fleet
) -> None:
    """The table follows the server: changed, new and deleted instances, by themselves."""
    first, second = seeded.instances[:2]
    inventory.evaluate("window.stayed = true")
    with idle_server.owner() as owner:
        owner.execute("UPDATE gpu_instances SET status = 'offline' WHERE id = %s", (first,))
        owner.execute("DELETE FROM gpu_instances WHERE id = %s", (second,))
        owner.execute(
            "INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host)"
            " VALUES (%s, 'gpu-new', 'new.example')",
            (seeded.user_id,),
        )
    expect(_row(inventory, "gpu-0000").locator("[data-state=offline]")).to_be_visible()
    expect(_link(inventory, "gpu-0001")).to_have_count(0)
    expect(_link(inventory, "gpu-new")).to_be_visible()
    assert inventory.evaluate("window.stayed")


def test_a_lost_line_is_told_and_made_up_for(
    inventory: Page, idle_server: House, seeded: Fleet
) -> None:
    """While the connection is away the page says so; what changed meanwhile is shown when it is back."""
    changes = "**/v1/instances/changes"
    inventory.route(changes, lambda route: route.abort())
    inventory.reload()
    expect(inventory.get_by_role("status").get_by_text("resuming")).to_be_visible()
    expect(_link(inventory, "gpu-0000")).to_be_visible()
    with idle_server.owner() as owner:
        owner.execute(
            "UPDATE gpu_instances SET status = 'offline' WHERE id = %s", (seeded.instances[0],)
        )
    inventory.unroute(changes)
    expect(_row(inventory, "gpu-0000").locator("[data-state=offline]")).to_be_visible()
    expect(inventory.get_by_role("status").get_by_text("resuming")).to_have_count(0)


def test_one_click_tests_one_and_the_next_cancels_it(
    inventory: Page, idle_server: House, seeded: Fleet
) -> None:
    """A test is one click, and so is its end; afterwards it can be tested again."""
    inventory.get_by_role("button", name="Test gpu-0003", exact=True).click()
    expect(inventory.get_by_text("The test of gpu-0003 is queued.")).to_be_visible()
    expect(_row(inventory, "gpu-0003").locator("[data-state=queued]")).to_be_visible()
    assert _runs(idle_server, seeded.user_id, "queued") == 1
    inventory.get_by_role("button", name="Cancel the test of gpu-0003").click()
    expect(inventory.get_by_text("The test of gpu-0003 is cancelled.")).to_be_visible()
    expect(inventory.get_by_role("button", name="Test gpu-0003", exact=True)).to_be_visible()
    assert _runs(idle_server, seeded.user_id, "queued") == 0


def test_all_that_is_shown_can_be_tested_at_once(
    inventory: Page, idle_server: House, seeded: Fleet
) -> None:
    """Select all takes what the filters leave; what is under test already is told by name, not as a fault."""
    inventory.get_by_role("button", name="Test gpu-0003", exact=True).click()
    expect(_row(inventory, "gpu-0003").locator("[data-state=queued]")).to_be_visible()
    inventory.get_by_role("checkbox", name="Select all shown").check()
    inventory.get_by_role("button", name="Test 12").click()
    expect(inventory.get_by_text("11 tests queued.")).to_be_visible()
    expect(inventory.get_by_text("Already running: gpu-0003.")).to_be_visible()
    assert _runs(idle_server, seeded.user_id, "queued") == 12
    inventory.get_by_role("button", name="Cancel 12 tests").click()
    expect(inventory.get_by_text("12 tests cancelled")).to_be_visible()
    assert _runs(idle_server, seeded.user_id, "queued") == 0


def test_a_test_can_be_asked_for_with_options(
    inventory: Page, idle_server: House, seeded: Fleet
) -> None:
    """The menu of a row leads to the options, and what is chosen there is what is run."""
    inventory.get_by_role("button", name="More for gpu-0002").click()
    inventory.get_by_role("menuitem", name="Test with options…").click()
    inventory.get_by_role("textbox", name="Batch size").fill("64")
    inventory.get_by_role("button", name="Test gpu-0002", exact=True).last.click()
    expect(inventory.get_by_text("The test of gpu-0002 is queued.")).to_be_visible()
    with idle_server.owner() as owner:
        row = owner.execute(
            "SELECT options->>'batch_size' FROM gpu_test_runs WHERE instance_id = %s AND state = 'queued'",
            (seeded.instances[2],),
        ).fetchone()
    assert row == ("64",)


def test_the_table_works_without_a_mouse(inventory: Page, seeded: Fleet) -> None:
    """On the name of a row arrows move, Space selects and Enter opens the instance."""
    _link(inventory, "gpu-0000").focus()
    inventory.keyboard.press("ArrowDown")
    expect(_link(inventory, "gpu-0001")).to_be_focused()
    inventory.keyboard.press("Space")
    expect(inventory.get_by_role("checkbox", name="Select gpu-0001")).to_be_checked()
    inventory.keyboard.press("Enter")
    expect(inventory).to_have_url(f"/instances/{seeded.instances[1]}")


def test_another_suppliers_machine_is_never_shown(
    inventory: Page, idle_server: House, new_page: SignedIn, seeded: Fleet
) -> None:
    """Two tenants look at once: each sees own machines only, also of what changes while they look."""
    other_email = f"other-of-{seeded.instances[0]}@example.com"
    other_id = idle_server.sign_up(other_email)
    other = new_page(idle_server, other_email)
    other.goto("/instances")
    expect(other.get_by_text("No GPU instance yet")).to_be_visible()
    expect(other.get_by_role("link", name="Onboard the first machine")).to_be_visible()
    with idle_server.owner() as owner:
        for user_id, name in ((other_id, "theirs"), (seeded.user_id, "ours")):
            owner.execute(
                "INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host) VALUES (%s, %s, 'h.example')",
                (UUID(user_id), name),
            )
    expect(_link(other, "theirs")).to_be_visible()
    expect(_link(inventory, "ours")).to_be_visible()
    assert _names(other) == ["theirs"]
    assert len(_names(inventory)) == 13
    assert "theirs" not in _names(inventory)


def test_narrow_screens_show_cards_without_sideways_scroll(
    idle_server: House, new_page: SignedIn, email: str, seeded: Fleet
) -> None:
    """At 360 px each instance is a card with the same actions, and nothing sticks out of the page."""
    page = new_page(idle_server, email, viewport={"width": 360, "height": 740})
    page.goto("/instances?sort=name")
    expect(page.get_by_role("listitem").filter(has=_link(page, "gpu-0000"))).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Test gpu-0000", exact=True).click()
    expect(page.get_by_text("The test of gpu-0000 is queued.")).to_be_visible()
