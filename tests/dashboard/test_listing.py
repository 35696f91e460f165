"""The public listing: for anybody, with figures and conditions, and no word on where a machine is reached."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.seed import fleet

_STEP = 100  # rows that the page shows at first


@dataclass(frozen=True)
class Place:
    """A location that no other test's machines have, with the listed ones of `ids` there."""

    name: str
    ids: list[str]


def _place(server: House, count: int, past: int) -> Place:
    name = f"Place-{secrets.token_hex(4)}"
    with server.owner() as owner:
        made = fleet(owner, server.sign_up(f"{name}@example.com"), count, past)
        owner.execute(
            "UPDATE gpu_instances SET location = %s WHERE user_id = %s", [name, made.user_id]
        )
        listed = owner.execute(
            "SELECT id::text FROM gpu_instances WHERE user_id = %s AND status = 'active'",
            [made.user_id],
        ).fetchall()
    return Place(name, [row[0] for row in listed])


@pytest.fixture(scope="module")
def place(idle_server: House) -> Place:
    return _place(idle_server, count=12, past=3)


def test_anybody_reads_the_verified_ones_and_only_those(
    idle_server: House, new_page: SignedIn, place: Place
) -> None:
    page = new_page(idle_server)
    page.goto(f"/listing?q={place.name}")
    rows = page.get_by_role("table", name="Verified GPUs").locator("tbody tr")
    expect(rows).to_have_count(len(place.ids))
    expect(page.get_by_text("not what the supplier claims")).to_be_visible()
    expect(page.get_by_text("could relay the work to a better card")).to_be_visible()
    rows.first.get_by_role("button", name=re.compile("Conditions")).click()
    expect(page.get_by_text("00112233445566aa")).to_be_visible()
    assert not page.faults  # type: ignore[attr-defined]


def test_no_address_is_told_in_the_page_or_the_api(
    idle_server: House, new_page: SignedIn, place: Place
) -> None:
    page = new_page(idle_server)
    page.goto(f"/listing?q={place.name}")
    expect(page.get_by_role("table", name="Verified GPUs")).to_be_visible()
    one = f"/v1/listing/{place.ids[0]}"
    told = [page.content()]
    for path in ("/v1/listing?limit=200", one, f"{one}/badge.svg"):
        answer = page.context.request.get(path)
        assert answer.ok
        told.append(answer.text())
    page.goto(f"/listing/{place.ids[0]}")
    expect(page.get_by_text("HTML", exact=True)).to_be_visible()
    told.append(page.content())
    for text in told:
        # As seed.py writes them: addresses, provider's ids, suppliers.
        assert not re.search(
            r"host-\d|gpu-0\d|ssh|@example\.com|user_id", text.replace("over SSH", "")
        )


def test_one_has_a_page_with_a_badge_that_loads_and_lines_to_paste(
    idle_server: House, new_page: SignedIn, place: Place
) -> None:
    page = new_page(idle_server)
    page.goto(f"/listing?q={place.name}&sort=-images")
    page.locator("tbody a").first.click()
    expect(page).to_have_url(re.compile(r"/listing/[0-9a-f-]{36}$"))
    badge = page.locator("img[src$='badge.svg']")
    expect(badge).to_be_visible()
    page.wait_for_function(
        "image => image.complete && image.naturalWidth > 50", arg=badge.element_handle()
    )
    code = page.locator("pre")
    expect(code.nth(0)).to_contain_text(f'<a href="{page.url}"><img src="')
    expect(code.nth(1)).to_contain_text("[![Harborx verified")
    json_link = page.get_by_role("link", name="Open the JSON").get_attribute("href")
    assert json_link is not None
    assert page.context.request.get(json_link).json()["location"] == place.name


def test_what_is_searched_and_sorted_is_in_the_address(
    idle_server: House, new_page: SignedIn, place: Place
) -> None:
    page = new_page(idle_server)
    page.goto("/listing")
    page.get_by_role("searchbox").fill(place.name)
    page.get_by_role("button", name="Price").click()
    expect(page).to_have_url(f"{idle_server.address}/listing?q={place.name}&sort=price")
    expect(page.get_by_role("columnheader", name="Price")).to_have_attribute(
        "aria-sort", "ascending"
    )
    prices = page.locator("tbody tr td:nth-child(6)")
    expect(prices).to_have_count(len(place.ids))
    shown = [float(text.strip("$/h")) for text in prices.all_inner_texts()]
    assert shown == sorted(shown)
    page.get_by_role("searchbox").fill("no such GPU")
    expect(page.get_by_text("No GPU matches")).to_be_visible()


def test_there_is_more_than_a_page_and_a_search_looks_at_all_of_it(
    idle_server: House, new_page: SignedIn
) -> None:
    many = _place(idle_server, count=2 * _STEP + 40, past=1)
    assert len(many.ids) > _STEP
    page = new_page(idle_server)
    page.goto("/listing")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(_STEP)
    page.get_by_role("button", name="Load more").click()
    expect(rows.nth(_STEP)).to_be_visible()
    page.goto(f"/listing?q={many.name}")
    expect(page.get_by_text(f"{len(many.ids)} of")).to_be_visible()


def test_one_that_is_not_listed_says_so(
    idle_server: House, new_page: SignedIn, place: Place
) -> None:
    with idle_server.owner() as owner:
        owner.execute("UPDATE gpu_instances SET listed = false WHERE id = %s", [place.ids[-1]])
    page = new_page(idle_server)
    page.goto(f"/listing/{place.ids[-1]}")
    expect(page.get_by_text("This GPU is not listed")).to_be_visible()
    with idle_server.owner() as owner:
        owner.execute("UPDATE gpu_instances SET listed = true WHERE id = %s", [place.ids[-1]])
