"""Signing up, in and out, what a session is worth after it ended, and what the profile page changes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import PASSWORD, House
from tests.dashboard.seed import fleet

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
# What a browser tells a page when its user comes back to it: queries are asked anew then.
COMING_BACK = (
    "() => void setInterval(() => window.dispatchEvent(new Event('visibilitychange')), 300)"
)
ON_SIGN_IN = re.compile(r"/sign-in(\?|$)")


def _address() -> str:
    return f"{secrets.token_hex(6)}@example.com"


@pytest.fixture
def email(idle_server: House) -> str:
    """Of an account of this test's own."""
    return idle_server.newcomer()[0]


def _fill(page: Page, email: str, password: str = PASSWORD) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()


def _confirm(page: Page, label: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=label, exact=True).click()


def test_signing_up_leads_to_the_instances_and_stays_over_a_reload(
    idle_server: House, new_page: SignedIn
) -> None:
    page = new_page(idle_server)
    page.goto("/sign-up")
    _fill(page, _address())
    expect(page).to_have_url(f"{idle_server.address}/instances")
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert not page.faults  # type: ignore[attr-defined]


def test_what_is_wrong_with_a_login_stands_at_its_field(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    page = new_page(idle_server)
    page.goto("/sign-up")
    _fill(page, "nobody", "short")
    expect(page.get_by_label("E-mail address")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("E-mail address")).to_be_focused()
    expect(page.locator("input[name=password]")).to_have_attribute("aria-invalid", "true")
    _fill(page, email)
    expect(page.get_by_text("There is an account with this e-mail address already")).to_be_visible()
    page.goto("/sign-in")
    _fill(page, email, "not the password")
    expect(page.get_by_text("E-mail address or password is wrong.")).to_be_visible()
    expect(page).to_have_url(ON_SIGN_IN)


@pytest.fixture
def locked_out(idle_server: House, email: str) -> Iterator[str]:
    """The address of an account that was guessed at too often."""
    sign_in = f"{idle_server.address}/v1/auth/sign-in"
    wrong = {"email": email, "password": "not the password"}
    assert httpx.post(sign_in, json=wrong).status_code == 401
    with idle_server.owner() as owner:
        owner.execute("UPDATE attempts SET failures = 30")  # each with its longest wait
        yield email
        owner.execute("DELETE FROM attempts")


def test_too_many_attempts_say_when_to_try_again(
    idle_server: House, new_page: SignedIn, locked_out: str
) -> None:
    page = new_page(idle_server)
    page.clock.install()
    page.goto("/sign-in")
    _fill(page, locked_out)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("There were too many attempts")
    expect(alert).to_contain_text("then try once more")
    timer = alert.get_by_role("timer")
    expect(timer).to_have_text(re.compile(r"^Again in \d+ (min \d+ )?s\.$"))
    page.clock.fast_forward("15:00")
    expect(timer).to_have_text("You can try again now.")


def test_signing_out_ends_the_session(idle_server: House, new_page: SignedIn, email: str) -> None:
    page = new_page(idle_server, email)
    page.goto("/profile")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(ON_SIGN_IN)
    assert page.context.request.get("/v1/profile").status == 401
    page.goto("/profile")
    expect(page).to_have_url(f"{idle_server.address}/sign-in?next=%2Fprofile")


def test_who_is_signed_in_is_not_asked_again(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    page = new_page(idle_server, email)
    page.goto("/sign-in")
    expect(page).to_have_url(f"{idle_server.address}/instances")


def test_an_expired_session_leads_back_to_where_one_was(
    idle_server: House, new_page: SignedIn
) -> None:
    email, user_id = idle_server.newcomer()
    with idle_server.owner() as owner:
        instance_id = fleet(owner, user_id, count=1, past=1).instances[0]
    page = new_page(idle_server, email)
    page.goto(f"/instances/{instance_id}?tab=runs")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    with idle_server.owner() as owner:
        owner.execute("UPDATE sessions SET revoked_at = now() WHERE user_id = %s", [user_id])
    page.evaluate(COMING_BACK)
    expect(page).to_have_url(ON_SIGN_IN)
    _fill(page, email)
    expect(page).to_have_url(f"{idle_server.address}/instances/{instance_id}?tab=runs")
    expect(page.get_by_role("tab", selected=True)).to_contain_text("Runs")


@pytest.mark.parametrize(
    "foreign",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "evil.example"],
)
def test_a_foreign_address_to_go_on_to_is_ignored(
    idle_server: House, new_page: SignedIn, email: str, foreign: str
) -> None:
    page = new_page(idle_server)
    page.goto(f"/sign-in?{httpx.QueryParams(next=foreign)}")
    _fill(page, email)
    expect(page).to_have_url(f"{idle_server.address}/instances")
    assert not page.faults  # type: ignore[attr-defined]


def test_a_session_that_is_ended_from_afar_is_signed_out(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    here = new_page(idle_server, email)
    there = new_page(idle_server, email, user_agent=FIREFOX)
    there.goto("/profile")
    here.goto("/profile")
    expect(here.get_by_text("This one")).to_have_count(1)
    here.get_by_role("button", name="End the session of Firefox on Linux").click()
    _confirm(here, "End")
    expect(here.get_by_text("Firefox on Linux", exact=True)).to_have_count(0)
    there.evaluate(COMING_BACK)
    expect(there).to_have_url(ON_SIGN_IN)
    here.reload()
    expect(here.get_by_text("This one")).to_be_visible()


def test_a_new_password_ends_all_other_sessions(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    here, there = new_page(idle_server, email), new_page(idle_server, email)
    here.goto("/profile")
    change = here.get_by_role("button", name="Change password")
    here.get_by_label("Current password").fill("not the password")
    here.get_by_label("New password").first.fill("a new long password")
    here.get_by_label("New password again").fill("another long password")
    change.click()
    expect(here.get_by_text("Not the same as the new password.")).to_be_visible()
    here.get_by_label("New password again").fill("a new long password")
    change.click()
    expect(here.get_by_text("Not your password.")).to_be_visible()
    here.get_by_label("Current password").fill(PASSWORD)
    change.click()
    expect(here.get_by_text("Every other session has ended.")).to_be_visible()
    assert there.context.request.get("/v1/profile").status == 401
    assert here.context.request.get("/v1/profile").status == 200
    sign_in = f"{idle_server.address}/v1/auth/sign-in"
    login = {"email": email, "password": "a new long password"}
    assert httpx.post(sign_in, json=login).status_code == 200
    assert httpx.post(sign_in, json={**login, "password": PASSWORD}).status_code == 401


def test_an_api_key_is_shown_once_and_works_until_it_is_revoked(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    page = new_page(idle_server, email)
    page.goto("/profile")
    page.get_by_role("button", name="New key").click()
    page.get_by_role("dialog").get_by_label("Name").fill("nightly report")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_text("This is the only time the key is shown")).to_be_visible()
    key = page.get_by_role("dialog").locator("pre").first.inner_text().strip()
    asking = f"{idle_server.address}/v1/instances"
    assert httpx.get(asking, headers={"x-api-key": key}).status_code == 200
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("row", name="nightly report")).to_be_visible()
    assert key not in page.content()
    page.reload()
    page.get_by_role("button", name="Revoke nightly report").click()
    assert key not in page.content()
    _confirm(page, "Revoke")
    expect(page.get_by_role("row", name="nightly report")).to_contain_text("revoked")
    assert httpx.get(asking, headers={"x-api-key": key}).status_code == 401


def test_the_company_is_kept_and_all_but_its_description_is_asked_for(
    idle_server: House, new_page: SignedIn, email: str
) -> None:
    page = new_page(idle_server, email)
    page.goto("/profile")
    save = page.get_by_role("button", name="Save", exact=True)
    save.click()
    expect(page.get_by_text("Required.")).to_have_count(7)
    told = {
        "Company name": "Nordlys",
        "Legal business name": "Nordlys Compute AS",
        "Contact e-mail": "post@nordlys.example",
        "Contact phone": "call me",
        "Authorized signatory": "Kari Nordmann",
        "Signatory's title": "CEO",
        "Business address": "Storgata 1\n0155 Oslo",
    }
    for label, value in told.items():
        page.get_by_label(label).fill(value)
    save.click()
    expect(page.get_by_text("A number like")).to_be_visible()
    page.get_by_label("Contact phone").fill("+47 22 12 34 56")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    save.click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_label("Business address")).to_have_value("Storgata 1\n0155 Oslo")
