"""Manual entry: add, edit, maintenance, delete with undo, and the items of instances."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House


@pytest.fixture
def page(idle_server: House, new_page: SignedIn) -> Page:
    email, _ = idle_server.newcomer()
    opened = new_page(idle_server, email)
    opened.goto("/inventory")
    return opened


def row(page: Page, model: str) -> Locator:
    return page.get_by_role("row").filter(has_text=model)


def add(page: Page, model: str, quantity: int = 1) -> None:
    page.get_by_role("button", name="Add an item").click()
    form = page.get_by_role("dialog")
    form.get_by_label("GPU model").fill(model)
    form.get_by_label("Quantity").fill(str(quantity))
    form.get_by_role("button", name="Add").click()
    expect(row(page, model)).to_be_visible()


def test_an_item_is_added_and_edited(page: Page) -> None:
    """An empty inventory says the next step; what is entered is shown and can be changed."""
    expect(page.get_by_text("No items yet")).to_be_visible()
    page.get_by_role("button", name="Add the first item").click()
    form = page.get_by_role("dialog")
    form.get_by_role("button", name="Add").click()
    expect(form.get_by_label("GPU model")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("GPU model").fill("NVIDIA H100")
    form.get_by_label("Quantity").fill("1200")
    form.get_by_role("button", name="Add").click()
    expect(row(page, "NVIDIA H100")).to_contain_text("1,200")

    page.get_by_label("Edit: NVIDIA H100").click()
    form.get_by_label("Hours available").fill("720")
    form.get_by_role("button", name="Save").click()
    expect(row(page, "NVIDIA H100")).to_contain_text("720 h")


def test_maintenance_is_switched_on_and_off(page: Page) -> None:
    """One click each way."""
    add(page, "NVIDIA L40S")
    page.get_by_label("Start maintenance: NVIDIA L40S").click()
    expect(row(page, "NVIDIA L40S").locator("[data-state=maintenance]")).to_be_visible()
    page.get_by_label("End maintenance: NVIDIA L40S").click()
    expect(row(page, "NVIDIA L40S").locator("[data-state=active]")).to_be_visible()


def test_what_is_deleted_can_be_undone(page: Page) -> None:
    """A deleted item is gone from the table, comes back by Undo, and later from the view of deleted ones."""
    add(page, "NVIDIA A100", 4)
    page.get_by_label("Delete: NVIDIA A100").click()
    expect(page.get_by_text("No items yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "NVIDIA A100")).to_contain_text("4")

    page.get_by_label("Delete: NVIDIA A100").click()
    expect(page.get_by_text("No items yet")).to_be_visible()
    page.get_by_text("Deleted", exact=True).click()
    page.get_by_role("button", name="Restore NVIDIA A100").click()
    expect(page.get_by_text("Nothing is deleted")).to_be_visible()
    page.get_by_text("Current", exact=True).click()
    expect(row(page, "NVIDIA A100")).to_be_visible()


def test_an_item_of_an_instance_leads_to_it_and_is_not_deleted_here(page: Page) -> None:
    """It goes with its instance, and says so."""
    answer = page.request.post(
        "/functions/v1/onboard-gpu",
        data={"instance_id": "gpu-1", "ssh_host": "gpu.example", "gpu_name": "NVIDIA H200"},
        headers={"Origin": page.url.split("/inventory")[0]},
    )
    instance_id = answer.json()["gpu_instance"]["id"]
    page.reload()
    delete = page.get_by_label("Delete: NVIDIA H200")
    expect(delete).to_have_attribute("aria-disabled", "true")
    delete.hover()
    expect(page.get_by_text("It stands for an instance and goes with it.")).to_be_visible()
    page.get_by_label("Edit: NVIDIA H200").click()
    expect(page.get_by_role("dialog").get_by_label("GPU model")).to_be_disabled()
    page.keyboard.press("Escape")
    row(page, "NVIDIA H200").get_by_role("link").click()
    page.wait_for_url(f"**/instances/{instance_id}**")


def test_search_finds_by_each_word(page: Page) -> None:
    """`/` goes to the search; every word has to be in the row."""
    add(page, "NVIDIA H100")
    add(page, "NVIDIA L40S", 3)
    page.keyboard.press("/")
    page.keyboard.type("nvidia l40")
    expect(row(page, "NVIDIA L40S")).to_be_visible()
    expect(row(page, "NVIDIA H100")).to_be_hidden()
    expect(page.get_by_text("1 of 2 items, 3 GPUs")).to_be_visible()
