"""What a page does when it can't read again what it shows: it keeps it, and says that it is old."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.live_run import live_run
from tests.dashboard.seed import fleet

_REFUSAL = {
    "type": "about:blank",
    "title": "It is refused.",
    "status": 403,
    "detail": "It is refused.",
    "code": "not_allowed",
    "remedy": "",
    "errors": [],
}
_FIRST_PAGE = 200


@dataclass
class Supplier:
    """Somebody who looks at a page, and a way to change what it shows past the API."""

    page: Page
    owner: psycopg.Connection[tuple[Any, ...]]
    instances: list[UUID]

    def change(self, assignment: str, instance_id: UUID) -> None:
        """The server says that something changed: pages read again."""
        self.owner.execute(f"UPDATE gpu_instances SET {assignment} WHERE id = %s", (instance_id,))


SupplierOf = Callable[..., Supplier]


@pytest.fixture
def supplier_of(idle_server: House, new_page: SignedIn) -> Iterator[SupplierOf]:
    """`supplier_of(count, past=1)`: with so many instances, each with up to `past` results."""
    with idle_server.owner() as owner:

        def make(count: int, past: int = 1) -> Supplier:
            email, user_id = idle_server.newcomer()
            instances = fleet(owner, user_id, count, past).instances
            return Supplier(new_page(idle_server, email), owner, instances)

        yield make


def _refuse(route: Route) -> None:
    """With a refusal: what is not reached is tried again for seconds before a page says so."""
    route.fulfill(status=403, content_type="application/problem+json", body=json.dumps(_REFUSAL))


def _look_elsewhere(page: Page) -> None:
    page.get_by_role("link", name="Connection setup").click()
    expect(page.get_by_role("heading", name="Connection setup")).to_be_visible()


def _stale(page: Page) -> Locator:
    return page.locator("main [data-stale]")


@pytest.mark.parametrize(
    ("tab", "asked", "shown"),
    [
        ("history", r"/history\?", "Results, newest first"),
        ("runs", r"/v1/runs\?", "Runs of this instance, newest first"),
        ("audit", r"/v1/audit\?", "Audit log of this instance, newest first"),
    ],
)
def test_a_tab_that_can_not_be_read_again_stays(
    supplier_of: SupplierOf, tab: str, asked: str, shown: str
) -> None:
    supplier = supplier_of(1, past=3)
    page, instance_id = supplier.page, supplier.instances[0]
    page.goto(f"/instances/{instance_id}?tab={tab}")
    rows = page.get_by_role("table", name=shown).get_by_role("row")
    expect(rows.nth(2)).to_be_visible()
    page.route(re.compile(asked), _refuse)
    supplier.change("location = 'Bergen'", instance_id)
    expect(_stale(page)).to_contain_text("It is refused. What is shown is of")
    expect(rows.nth(2)).to_be_visible()
    page.unroute(re.compile(asked))
    _stale(page).get_by_role("button", name="Read again").click()
    expect(_stale(page)).to_have_count(0)
    expect(rows.nth(2)).to_be_visible()


def test_a_schedule_that_can_not_be_read_again_keeps_what_is_typed(supplier_of: SupplierOf) -> None:
    supplier = supplier_of(1)
    page, instance_id = supplier.page, supplier.instances[0]
    page.goto(f"/instances/{instance_id}?tab=schedule")
    hours = page.get_by_role("textbox", name="Hours between tests")
    hours.fill("17")
    page.route(re.compile(f"{instance_id}/schedule$"), _refuse)
    supplier.change("location = 'Bergen'", instance_id)
    expect(_stale(page)).to_be_visible()
    expect(hours).to_have_value("17")


def test_the_phases_of_a_run_stay_when_they_can_not_be_read_again(
    idle_server: House, new_page: SignedIn
) -> None:
    email = "stale-phases@example.com"
    with live_run(idle_server, email) as run:
        page = new_page(idle_server, email)
        page.goto(f"/runs/{run.id}")
        expect(page.locator("[data-phase=measure]")).to_be_visible()
        page.route(re.compile("/phases$"), _refuse)
        run.tell(("progress", {"phase": "measure", "done": 1, "total": 9, "images_per_sec": 1.0}))
        expect(_stale(page)).to_be_visible()
        expect(page.locator("[data-phase=measure]")).to_be_visible()


def test_a_fleet_of_which_the_rest_can_not_be_read_says_so_wherever_it_is_shown(
    supplier_of: SupplierOf,
) -> None:
    """Performance reckons with what is there, and the notice stays when rows are selected."""
    page = supplier_of(_FIRST_PAGE + 10).page
    rest = re.compile(r"/overview\?.*cursor=")
    page.route(rest, _refuse)
    partial = page.get_by_text("Not all instances could be read")
    page.goto("/performance")
    expect(partial).to_be_visible()
    expect(page.get_by_role("heading", name="Slowest against their cohort")).to_be_visible()
    page.get_by_role("link", name="GPU Instances", exact=True).click()
    page.get_by_role("checkbox", name="Select all").check()
    selected = page.get_by_text(re.compile(r"^\d+ selected$"))
    expect(selected).to_be_visible()
    expect(partial).to_be_visible()
    page.unroute(rest)
    page.get_by_role("button", name="Read again").click()
    expect(partial).to_have_count(0)
    expect(selected).to_be_visible()
    page.get_by_role("button", name="Clear the selection").click()
    expect(page.get_by_text(f"{_FIRST_PAGE + 10} instances", exact=True)).to_be_visible()


def test_what_changed_while_one_was_elsewhere_is_shown_on_the_way_back(
    supplier_of: SupplierOf,
) -> None:
    """No stream tells it: the fleet is read again."""
    supplier = supplier_of(2)
    page = supplier.page
    page.goto("/instances")
    row = page.get_by_role("row").filter(has_text="gpu-0000")
    expect(row.locator("[data-state=active]")).to_be_visible()
    _look_elsewhere(page)
    # As if long ago: without its time, so that the stream does not tell it as news.
    supplier.owner.execute("SET session_replication_role = replica")
    supplier.change("status = 'offline'", supplier.instances[0])
    page.go_back()
    expect(row.locator("[data-state=offline]")).to_be_visible()


def test_a_fleet_that_can_not_be_read_again_says_so_until_it_is(supplier_of: SupplierOf) -> None:
    """News of single instances hide nothing: the others are still old."""
    supplier = supplier_of(3)
    page = supplier.page
    page.goto("/instances")
    expect(page.get_by_role("row").filter(has_text="gpu-0002")).to_be_visible()
    _look_elsewhere(page)
    page.route(re.compile(r"/overview\?"), _refuse)
    page.go_back()  # a page of the fleet reads it anew as it connects
    expect(_stale(page)).to_contain_text("could not be read again")
    supplier.change("status = 'offline'", supplier.instances[0])
    row = page.get_by_role("row").filter(has_text="gpu-0000")
    expect(row.locator("[data-state=offline]")).to_be_visible()
    expect(_stale(page)).to_be_visible()
    page.unroute(re.compile(r"/overview\?"))
    _stale(page).get_by_role("button", name="Read again").click()
    expect(_stale(page)).to_have_count(0)
