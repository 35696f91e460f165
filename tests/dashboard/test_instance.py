"""The page of one instance: its history, schedule, host key, and what is changed of it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.seed import fleet

_OFFERED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXXXYt7m1W7kXv3o0Yt7m1W7kXv3o0Yt7m1W7kXv3o0"


@dataclass
class Shown:
    """A page of a supplier whose first instance has a past."""

    page: Page
    server: House
    instance: UUID
    other: UUID

    def open(self, tab: str = "overview") -> None:
        self.page.goto(f"/instances/{self.instance}?tab={tab}")

    def do(self, statement: str) -> None:
        """Past the engine; the statement has one %s, the instance."""
        with self.server.owner() as owner:
            owner.execute(statement, (self.instance,))

    def choose(self, action: str) -> None:
        self.page.get_by_role("button", name="More actions").click()
        self.page.get_by_role("menuitem", name=action).click()


@pytest.fixture
def shown(idle_server: House, new_page: SignedIn) -> Shown:
    email, user_id = idle_server.newcomer()
    with idle_server.owner() as owner:
        told = fleet(owner, user_id, count=2)
    page = new_page(idle_server, email, timezone_id="Europe/Berlin")
    return Shown(page, idle_server, *told.instances)


def _next_times(page: Page) -> Locator:
    return page.get_by_role("list", name="Next five times").get_by_role("listitem")


def test_the_figures_of_the_plots_stand_in_a_table_whose_lines_lead_to_their_runs(
    shown: Shown,
) -> None:
    shown.do(
        "UPDATE gpu_test_results SET completed_at = completed_at - interval '60 days' WHERE id IN"
        " (SELECT id FROM gpu_test_results WHERE gpu_instance_id = %s ORDER BY created_at LIMIT 4)"
    )
    shown.open("history")
    table = shown.page.get_by_role("table", name="Results, newest first")
    expect(table.get_by_role("row")).to_have_count(1 + 9)
    expect(shown.page.get_by_role("img", name=re.compile("Throughput over time"))).to_be_visible()
    shown.page.get_by_text("All", exact=True).click()
    expect(table.get_by_role("row")).to_have_count(1 + 13)
    table.get_by_role("link").nth(2).click()
    expect(shown.page).to_have_url(re.compile("/runs/[0-9a-f-]{36}$"))


def test_the_history_is_downloaded_as_csv_without_formulas(shown: Shown, tmp_path: Path) -> None:
    shown.do(
        "UPDATE gpu_test_results SET driver_version = '=HYPERLINK(1)' WHERE gpu_instance_id = %s"
    )
    shown.open("history")
    with shown.page.expect_download() as download:
        shown.page.get_by_role("button", name="Download CSV").click()
    file = tmp_path / "history.csv"
    download.value.save_as(file)
    lines = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    assert len(lines) == 13
    assert {line["driver_version"] for line in lines} == {"'=HYPERLINK(1)"}
    assert all(float(line["throughput_images_per_sec"]) > 1000 for line in lines)


def test_a_cron_line_shows_its_next_five_times_and_survives_a_reload(shown: Shown) -> None:
    page = shown.page
    shown.open("schedule")
    page.get_by_text("Cron line", exact=True).click()
    line = page.get_by_role("textbox", name="Cron line")
    line.fill("30 4 * * 1")
    # In the browser's own zone, which is the default.
    expect(_next_times(page)).to_contain_text(
        [re.compile(r"Mon, .* 04:30 (CET|CEST|GMT\+[12])")] * 5
    )
    page.get_by_role("button", name="Save schedule").click()
    expect(page.get_by_text("The schedule is saved.")).to_be_visible()

    page.reload()
    expect(line).to_have_value("30 4 * * 1")
    expect(page.get_by_role("combobox", name="Time zone")).to_have_value("Europe/Berlin")
    expect(page.get_by_text("Next test:")).to_be_visible()
    page.get_by_role("button", name="Remove schedule").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="New schedule")).to_be_visible()


def test_what_can_not_be_read_of_a_schedule_is_told_at_its_field(shown: Shown) -> None:
    page = shown.page
    shown.open("schedule")
    hours = page.get_by_role("textbox", name="Hours between tests")
    hours.fill("9000")
    expect(hours).to_have_accessible_description(re.compile("between 1 and 8760"))
    page.get_by_text("Cron line", exact=True).click()
    line = page.get_by_role("textbox", name="Cron line")
    line.fill("0 3 * *")
    expect(line).to_have_accessible_description(re.compile("does not have five fields"))
    expect(_next_times(page)).to_have_count(0)
    page.get_by_role("button", name="Save schedule").click()
    expect(line).to_have_attribute("aria-invalid", "true")
    line.fill("0 3 * * *")
    expect(_next_times(page)).to_have_count(5)
    expect(line).not_to_have_attribute("aria-invalid", "true")


def test_a_host_key_on_offer_is_compared_and_accepted(shown: Shown) -> None:
    page = shown.page
    shown.do(
        f"UPDATE gpu_instances SET host_key_offered = '{_OFFERED}', host_key_offered_at = now() WHERE id = %s"
    )
    shown.open()
    page.get_by_role("link", name="Compare the keys").click()
    offer = page.get_by_role("region", name="Another host key is on offer")
    fingerprints = offer.get_by_text(re.compile("^SHA256:"))
    expect(fingerprints).to_have_count(2)
    offered = fingerprints.nth(1).inner_text()
    offer.get_by_role("button", name="Accept the key on offer").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(offered)
    dialog.get_by_role("button", name="Accept").click()
    expect(offer).to_be_hidden()
    expect(page.get_by_role("region", name="Host key")).to_contain_text(offered)


def test_a_host_key_that_was_only_seen_is_confirmed(shown: Shown) -> None:
    """It says how it became the one on record, and which others the machine has proved."""
    page = shown.page
    shown.do(
        "UPDATE gpu_instances SET host_key_trust = 'first_contact', host_key_confirmed_at = NULL,"
        f" host_keys_proved = '{{{_OFFERED}}}' WHERE id = %s"
    )
    shown.open("host-key")
    known = page.get_by_role("region", name="Host key", exact=True)
    expect(known).to_contain_text("seen at first contact")
    expect(known).to_contain_text(_OFFERED)
    pinned = known.get_by_text(re.compile("^SHA256:")).inner_text()
    known.get_by_role("button", name="Confirm the host key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(pinned)
    dialog.get_by_role("button", name="Confirm").click()
    expect(known).to_contain_text("Confirmed as the machine's own")
    expect(known.get_by_role("button", name="Confirm the host key")).to_have_count(0)
    told = page.request.get(f"/v1/instances/{shown.instance}").json()
    assert told["host_key_confirmed_at"] is not None
    assert told["host_key_fingerprint"] == pinned


def test_a_host_key_that_was_given_is_awaited(shown: Shown) -> None:
    given = f"SHA256:{'g' * 43}"
    shown.do(
        "UPDATE gpu_instances SET host_key = NULL, host_key_trust = NULL, host_key_confirmed_at = NULL,"
        f" host_key_given = '{given}' WHERE id = %s"
    )
    shown.open("host-key")
    known = shown.page.get_by_role("region", name="Host key", exact=True)
    expect(known).to_contain_text("The first connection has to show this key")
    expect(known.get_by_text(given, exact=True)).to_be_visible()


def test_a_submit_key_is_shown_once_and_is_for_its_instance_alone(shown: Shown) -> None:
    page = shown.page
    shown.open("host-key")
    page.get_by_role("button", name="New submit key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Days until it expires").fill("3")
    dialog.get_by_role("button", name="Make the key").click()
    expect(dialog.get_by_role("button", name="Copy the key")).to_be_visible()
    key = dialog.locator("pre").first.inner_text().strip()
    command = dialog.locator("pre").nth(1)
    expect(command).to_contain_text(f"HARBORX_API_KEY={key} ")
    expect(command).to_contain_text(f"--gpu-instance-id {shown.instance}")
    page.get_by_role("button", name="I have copied it").click()
    expect(dialog).to_have_count(0)
    assert key not in page.content()

    submit = f"{shown.server.address}/functions/v1/submit-test-results"
    refused = {"gpu_instance_id": str(shown.other), "error_message": "no GPU"}
    result = {**refused, "gpu_instance_id": str(shown.instance)}
    headers = {"x-api-key": key}
    assert httpx.post(submit, json=result, headers=headers).status_code == 200
    assert httpx.post(submit, json=refused, headers=headers).status_code in (401, 403, 404)

    page.goto("/profile")
    row = page.get_by_role("row", name="Submits for gpu-0000")
    expect(row).to_contain_text("in 3 days")
    row.get_by_role("link", name="one instance").click()
    expect(page).to_have_url(re.compile(f"/instances/{shown.instance}"))


def test_a_test_that_is_refused_for_now_says_when_it_may_be_asked_for(shown: Shown) -> None:
    page = shown.page
    shown.do("UPDATE gpu_instances SET lets_us_in = false WHERE id = %s")
    shown.do(
        "INSERT INTO contact_rates (user_id, kind, whole_at)"
        " SELECT user_id, 'machine', now() + interval '90 minutes' FROM gpu_instances WHERE id = %s"
    )
    shown.open()
    page.get_by_role("button", name="Test now").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Start the test").click()
    alert = dialog.get_by_role("alert")
    expect(alert).to_contain_text("as many machines as an hour allows")
    expect(alert.get_by_role("timer")).to_have_text(re.compile(r"^Again in (29|30) min \d+ s\.$"))


def test_a_changed_price_is_shown_and_stands_in_the_audit_log(shown: Shown) -> None:
    page = shown.page
    shown.open()
    expect(page.get_by_text("$3.20/h")).to_be_visible()
    shown.choose("Edit")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Price per hour").fill("2.75")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("$2.75/h")).to_be_visible()
    page.get_by_role("tab", name="Audit").click()
    expect(page.get_by_text("price per hour: 3.2 → 2.75")).to_be_visible()


def test_a_deleted_instance_is_gone(shown: Shown) -> None:
    page = shown.page
    shown.open()
    shown.choose("Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("/instances$"))
    shown.open()
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


def test_a_test_is_asked_for_with_options_and_cancelled(shown: Shown) -> None:
    page = shown.page
    shown.open()
    page.get_by_role("button", name="Test now").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Batch size").fill("64")
    dialog.get_by_role("button", name="Start the test").click()
    expect(page).to_have_url(re.compile("/runs/[0-9a-f-]{36}$"))
    shown.open("runs")
    expect(page.get_by_role("link", name="Follow the run")).to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_contain_text("quick, batch 64")
    page.get_by_role("button", name="Cancel").click()
    # Told by the server: the page is not loaded again.
    expect(page.get_by_role("row").nth(1)).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
