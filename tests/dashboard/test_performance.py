"""The fleet's performance: who is slow, and where that was measured."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.seed import fleet


def test_a_slow_machine_is_the_first_of_the_slowest_and_leads_to_its_run(
    idle_server: House, new_page: SignedIn
) -> None:
    user_id = idle_server.sign_up("slow@example.com")
    with idle_server.owner() as owner:
        told = fleet(owner, user_id, count=20, past=3)
        planted = owner.execute(
            "UPDATE gpu_test_results SET throughput_images_per_sec = throughput_images_per_sec * 0.4"
            " WHERE id = (SELECT id FROM gpu_test_results WHERE gpu_instance_id = %s"
            " ORDER BY created_at DESC LIMIT 1) RETURNING run_id",
            (told.instances[12],),
        ).fetchone()
    assert planted is not None
    page = new_page(idle_server, "slow@example.com")
    page.goto("/performance")
    slowest = page.get_by_role("table", name=re.compile("by deficit against their cohort"))
    first = slowest.get_by_role("row").nth(1)
    expect(first).to_contain_text("gpu-0012")
    expect(first).to_contain_text(re.compile(r"(59|60|61)(\.\d)?%"))
    first.get_by_role("link", name=re.compile("the run of gpu-0012")).click()
    expect(page).to_have_url(re.compile(f"/runs/{planted[0]}$"))


def test_a_gpu_model_is_shown_alone(idle_server: House, new_page: SignedIn) -> None:
    user_id = idle_server.sign_up("models@example.com")
    with idle_server.owner() as owner:
        fleet(owner, user_id, count=20, past=2)
    page = new_page(idle_server, "models@example.com")
    page.goto("/performance")
    summary = page.get_by_role("table", name=re.compile("Throughput by GPU model"))
    expect(summary.get_by_role("row")).to_have_count(1 + 5)
    page.get_by_role("combobox", name="GPU model").click()
    page.get_by_role("option", name="NVIDIA L40S").click()
    expect(summary.get_by_role("row")).to_have_count(1 + 1)
    expect(summary).to_contain_text("NVIDIA L40S")


def test_an_empty_fleet_says_the_next_step(idle_server: House, new_page: SignedIn) -> None:
    idle_server.sign_up("nobody-yet@example.com")
    page = new_page(idle_server, "nobody-yet@example.com")
    page.goto("/performance")
    page.get_by_role("main").get_by_role("link", name="Onboard a GPU instance").click()
    expect(page).to_have_url(re.compile("/instances/onboard$"))
