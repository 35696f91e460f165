"""Rules for every page: no error, no barrier, no sideways scroll; a picture of each is kept in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, Response, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.dashboard.conftest import ARTEFACTS, SignedIn
from tests.dashboard.furnish import furnish
from tests.dashboard.house import PASSWORD, House
from tests.dashboard.seed import Fleet, fleet

_DASHBOARD = Path(__file__).parents[2] / "dashboard"
_EMAIL = "pages@example.com"
# The router's paths, as one opens them; {names} become ids of the fleet.
_PAGES = {
    "/": "/",
    "/sign-in": "/sign-in",
    "/sign-up": "/sign-up",
    "/listing": "/listing",
    "/listing/$listedId": "/listing/{instance}",
    "/instances": "/instances",
    "/instances/onboard": "/instances/onboard",
    "/instances/import": "/instances/import",
    "/instances/$instanceId": "/instances/{instance}",
    "/inventory": "/inventory",
    "/runs/$runId": "/runs/{run}",
    "/performance": "/performance",
    "/compare": "/compare?instances={instance},{other}",
    "/connection": "/connection",
    "/profile": "/profile",
}
_SIGNED_OUT = ("/sign-in", "/sign-up")
_MORE = ("/runs/{failed}", "/compare", "/compare?runs={run},{failed}")  # other faces of a page
_TABS = (
    *(
        f"/instances/{{instance}}?tab={tab}"
        for tab in ("history", "runs", "schedule", "host-key", "audit")
    ),
    "/instances/{offered}?tab=host-key",
    *(f"/runs/{{run}}?tab={tab}" for tab in ("figures", "telemetry", "raw")),
)
_ADDRESSES = (*list(_PAGES.values())[1:], *_MORE, *_TABS)
# Where a page pushes out of a narrow window: the innermost elements that do.
_OFFENDERS = """() => [...document.querySelectorAll('main *')]
    .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
        && ![...one.children].some(child => child.getBoundingClientRect().right > document.documentElement.clientWidth + 1))
    .slice(0, 5).map(one => one.outerHTML.slice(0, 200))"""
_FITS = "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"

_IMPORTED = """name,host,port,user,gpu,count,price
machine-1,203.0.113.1,41022,root,NVIDIA H100,8,19.60
machine-2,,22,root,NVIDIA H100,8,19.60
machine-3,203.0.113.3,22,ubuntu,NVIDIA L40S,1,0.90
"""

# What the browser itself calls an error, and is an answer: nobody is signed in, there is no schedule.
_ANSWERS = re.compile(r"401 .*/v1/profile\)$|404 .*/v1/instances/[0-9a-f-]{36}/schedule\)$")

# A dialog that is still fading in is paler than it will be.
_STILL = "() => document.getAnimations().length === 0 && getComputedStyle(document.querySelector('[role=dialog]')).opacity === '1'"

Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def seeded(idle_server: House) -> Fleet:
    user_id = idle_server.sign_up(_EMAIL)
    with idle_server.owner() as owner:
        told = fleet(owner, user_id)
        furnish(owner, told)
        return told


@pytest.fixture
def opened(idle_server: House, seeded: Fleet, new_page: SignedIn) -> Iterator[Opened]:
    """`opened(address, **context)`: a page of the seeded fleet, loaded. Its errors fail the test at the end."""
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        told = f"{message.text} ({message.location['url']})"
        if message.type == "error" and not _ANSWERS.search(told):
            faults.append(told)

    def open_page(address: str, **context: Any) -> Page:
        email = None if address in _SIGNED_OUT else _EMAIL
        page = new_page(idle_server, email, **context)
        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        first, other, offered = seeded.instances[:3]
        page.goto(
            address.format(
                instance=first,
                other=other,
                offered=offered,
                run=seeded.watched,
                failed=seeded.failed,
            )
        )
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
        return page

    yield open_page
    assert not faults


def test_every_page_of_the_router_is_looked_at_here() -> None:
    """A new page without a line in _PAGES fails here."""
    told = re.findall(r"^  path: \"([^\"]+)\"", (_DASHBOARD / "src/router.tsx").read_text(), re.M)
    assert set(told) == set(_PAGES)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", _ADDRESSES)
def test_a_page_has_no_error_no_barrier_and_fits(opened: Opened, address: str, theme: str) -> None:
    page = opened(address, color_scheme=theme, viewport={"width": 1280, "height": 900})
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == theme
    ARTEFACTS.mkdir(exist_ok=True)
    name = re.sub(r"[^a-z]+", "_", address).strip("_")
    page.screenshot(path=ARTEFACTS / f"page-{name}-{theme}.png", full_page=True)
    assert not _barriers(page)
    page.set_viewport_size({"width": 360, "height": 800})
    try:
        page.wait_for_function(_FITS, timeout=5_000)
    except PlaywrightTimeout:
        pytest.fail(f"{address} scrolls sideways at 360 px: {page.evaluate(_OFFENDERS)}")
    assert not _barriers(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_preview_of_an_import_has_no_barrier_and_fits(opened: Opened, theme: str) -> None:
    """Machines that can be onboarded, and one that can't."""
    page = opened("/instances/import", color_scheme=theme, viewport={"width": 1280, "height": 900})
    page.get_by_label("Machines", exact=True).fill(_IMPORTED)
    expect(page.get_by_role("row")).to_have_count(1 + 3)
    page.screenshot(path=ARTEFACTS / f"page-import-preview-{theme}.png", full_page=True)
    assert not _barriers(page)
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_function(_FITS, timeout=5_000)
    assert not _barriers(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_dialog_of_a_new_key_has_no_barrier(opened: Opened, theme: str) -> None:
    page = opened("/profile", color_scheme=theme)
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Make the key").click()
    expect(dialog.get_by_text("What the key is for.")).to_be_visible()
    page.wait_for_function(_STILL)
    assert not _barriers(page)
    dialog.get_by_label("Name").fill("a key")
    dialog.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("This is the only time the key is shown")).to_be_visible()
    assert not _barriers(page)


def _barriers(page: Page) -> list[str]:
    """What axe calls serious or critical."""
    page.evaluate((_DASHBOARD / "node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {node['failureSummary']} {node['html'][:200]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]


@pytest.mark.parametrize("address", ["/instances", "/listing"])
def test_a_slash_goes_to_the_search_and_escape_leaves_it(opened: Opened, address: str) -> None:
    page = opened(address)
    search = page.locator("[data-search]")
    expect(search).to_be_visible()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    page.keyboard.press("Escape")
    expect(search).not_to_be_focused()


@pytest.mark.parametrize("address", ["/connection", "/listing"])
def test_a_question_mark_shows_the_keys(opened: Opened, address: str) -> None:
    page = opened(address)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_g_and_a_letter_go_to_a_page(opened: Opened, idle_server: House) -> None:
    page = opened("/profile")
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(f"{idle_server.address}/instances")


def test_letters_typed_into_a_field_are_no_shortcuts(opened: Opened, idle_server: House) -> None:
    page = opened("/profile")
    company = page.get_by_label("Company name")
    company.clear()
    company.press_sequentially("gi?/")
    expect(company).to_have_value("gi?/")
    expect(page).to_have_url(f"{idle_server.address}/profile")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("address", ["/instances", "/listing"])
def test_the_first_tab_stop_skips_to_the_content(opened: Opened, address: str) -> None:
    page = opened(address)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_first_pages_stay_light(idle_server: House, new_page: SignedIn) -> None:
    """The sign-in page and the inventory take less than 250 kB of compressed script together."""
    email = "light@example.com"
    idle_server.sign_up(email)
    page = new_page(idle_server)
    sizes: dict[str, int] = {}

    def weigh(got: Response) -> None:
        if got.request.resource_type == "script":
            sizes[got.url] = int(got.headers.get("content-length", "0"))

    page.on("response", weigh)
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="GPU Instances")).to_be_visible()
    assert len(sizes) > 3
    assert 100_000 < sum(sizes.values()) < 250_000
