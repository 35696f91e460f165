"""Import of many machines: three formats, rows that are wrong, and rows that fail."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House

CSV = """name,host,port,user,gpu,count,price
csv-1,203.0.113.1,41022,root,NVIDIA H100,8,19.60
csv-2,,22,root,NVIDIA H100,8,19.60
csv-3,203.0.113.3,22,ubuntu,NVIDIA L40S,1,0.90
"""
OPENSSH = """
Host *.lab
  User lab
Host ssh-1
  HostName 203.0.113.11
  Port 2222
Host ssh-2
  HostName 203.0.113.12
  Port none
"""
JSON = json.dumps(
    {
        "instances": [
            {"instance_id": "json-1", "ssh_host": "203.0.113.21"},
            {"instance_id": "json-2"},
        ]
    }
)


@pytest.fixture
def page(idle_server: House, new_page: SignedIn) -> Page:
    email, _ = idle_server.newcomer()
    opened = new_page(idle_server, email)
    opened.goto("/instances/import")
    return opened


def names(page: Page) -> set[str]:
    items = page.request.get("/v1/instances").json()["items"]
    return {item["vast_instance_id"] for item in items}


def paste(page: Page, text: str) -> None:
    page.get_by_label("Machines", exact=True).fill(text)


def row(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.locator(f"tr[data-name='{name}']")


@pytest.mark.parametrize(
    ("text", "format_", "good", "bad", "problem"),
    [
        (CSV, "CSV", {"csv-1", "csv-3"}, "csv-2", "No host."),
        (OPENSSH, "OpenSSH configuration", {"ssh-1"}, "ssh-2", "Port “none”"),
        (JSON, "JSON", {"json-1"}, "json-2", "No host."),
    ],
)
def test_a_format_is_recognised_and_its_good_rows_are_onboarded(
    page: Page, text: str, format_: str, good: set[str], bad: str, problem: str
) -> None:
    """A row that is wrong says why and stops no other."""
    paste(page, text)
    expect(page.get_by_role("radio", name=format_)).to_be_checked()
    expect(row(page, bad)).to_contain_text(problem)
    expect(row(page, bad).get_by_role("checkbox")).to_be_disabled()
    word = "machine" if len(good) == 1 else "machines"
    page.get_by_role("button", name=f"Onboard {len(good)} {word}").click()
    for name in good:
        expect(row(page, name)).to_contain_text("Onboarded")
    expect(page.get_by_text(f"{len(good)} onboarded, 0 failed.")).to_be_visible()
    assert names(page) == good


def test_patterns_are_skipped_and_said_to_be(page: Page) -> None:
    """A Host pattern is no machine."""
    paste(page, OPENSSH)
    expect(page.get_by_text("Patterns name no machine and are skipped")).to_contain_text("*.lab")


def test_only_what_is_chosen_is_onboarded(page: Page) -> None:
    """A row that is not ticked stays out."""
    paste(page, CSV)
    page.get_by_label("Choose csv-1").uncheck()
    page.get_by_role("button", name="Onboard 1 machine", exact=True).click()
    expect(row(page, "csv-3")).to_contain_text("Onboarded")
    assert names(page) == {"csv-3"}


def test_what_fails_can_be_tried_again_and_loses_nothing(page: Page) -> None:
    """An answer that never came fails its row alone; trying again onboards it once."""
    failing = {"left": 1}

    def answer(route) -> None:  # type: ignore[no-untyped-def]
        if "csv-3" in (route.request.post_data or "") and failing["left"]:
            failing["left"] = 0
            route.fetch()  # the server did it
            route.abort()  # and nobody was told
        else:
            route.continue_()

    page.route("**/functions/v1/onboard-gpu", answer)
    paste(page, CSV)
    page.get_by_role("button", name="Onboard 2 machines").click()
    expect(row(page, "csv-1")).to_contain_text("Onboarded")
    expect(row(page, "csv-3")).to_contain_text("The server was not reached.")
    expect(page.get_by_text("1 onboarded, 1 failed.")).to_be_visible()
    page.get_by_role("button", name="Try 1 again").click()
    expect(row(page, "csv-3")).to_contain_text("Onboarded")
    assert names(page) == {"csv-1", "csv-3"}


def test_a_key_that_can_not_be_used_is_told_at_its_field(page: Page) -> None:
    """One key for all that can't be read ends the import before it fails row by row."""
    paste(page, CSV)
    page.get_by_text("A private key", exact=True).click()
    key = page.get_by_role("textbox", name="Private key")
    key.fill("-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----")
    page.get_by_role("button", name="Onboard 2 machines").click()
    expect(key).to_have_attribute("aria-invalid", "true")
    assert names(page) == set()


def test_a_file_can_be_opened_and_one_too_large_is_refused(page: Page) -> None:
    """A text over 2 MiB is not read."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a file").click()
    large = b"host\n" + b"x" * (2 * 1024 * 1024)
    chooser.value.set_files({"name": "large.csv", "mimeType": "text/csv", "buffer": large})
    expect(page.get_by_text("is larger than 2 MiB")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open a file").click()
    chooser.value.set_files(
        {"name": "config", "mimeType": "text/plain", "buffer": OPENSSH.encode()}
    )
    expect(row(page, "ssh-1")).to_contain_text("Ready")
