"""
The whole way in the browser: a real server with a worker, a real sshd, the real agent training on the CPU.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.machines import SshdMachine, bin_folder, sshd_machine

LONG_MS = 180_000  # torch is imported and trains, on whatever else the machine does


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SshdMachine]:
    """A machine whose Python has torch."""
    with sshd_machine(path=bin_folder(tmp_path / "bin", python3=sys.executable)) as sshd:
        yield sshd


def _fill(page: Page, machine: SshdMachine) -> None:
    page.get_by_label("Instance id").fill("gpu-1")
    page.get_by_label("Host", exact=False).first.fill(machine.host)
    page.get_by_label("Port").fill(str(machine.port))
    page.get_by_label("User").fill(machine.user)


def _test_shortly(page: Page) -> None:
    page.get_by_role("main").get_by_role("button", name="Test now").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Batch size").fill("100")
    dialog.get_by_label("Image size").fill("32")
    dialog.get_by_label("Time for the training").fill("1")
    dialog.get_by_role("button", name="Start the test").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


@pytest.mark.timeout(600)
def test_from_signing_up_to_a_schedule(
    server: House, machine: SshdMachine, new_page: SignedIn
) -> None:
    """Sign up, let our CA in, check, onboard, test, watch, read the result and its history, schedule the next."""
    page = new_page(server, timezone_id="Europe/Oslo")
    page.goto("/instances/onboard")  # without a session one is asked for it, and comes back here
    page.get_by_role("link", name="Sign up").click()
    expect(page.get_by_role("heading", name="Sign up")).to_be_visible()
    page.get_by_label("E-mail address").fill(f"{uuid4()}@example.com")
    page.get_by_role("textbox", name="Password").fill("correct horse battery")
    page.get_by_role("button", name="Make an account").click()
    page.wait_for_url("**/instances/onboard")

    _fill(page, machine)
    page.get_by_text("Our certificate authority", exact=True).click()
    line = page.get_by_text(re.compile("^cert-authority,restrict,principals="))
    machine.authorise(line.text_content() or "")
    page.get_by_role("button", name="Check connection").click()
    passed = page.get_by_text("The check passed: we can test this machine.")
    expect(passed).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Use in the details").click()
    page.get_by_role("button", name="Onboard", exact=True).click()
    page.wait_for_url(re.compile(r"/instances/[0-9a-f-]{36}"))
    instance_page = page.url

    _test_shortly(page)
    run_page = page.url
    expect(page.locator("[data-phase=measure][data-state=done]")).to_be_visible(timeout=LONG_MS)
    expect(page.locator("h1 ~ div [data-state=passed]")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("list", name="Checks")).to_contain_text("passed")
    result = page.request.get(f"/v1/runs/{run_page.rsplit('/', 1)[1]}").json()["result"]
    rate = page.get_by_role("row", name=re.compile("^Throughput"))
    expect(rate).to_contain_text(_shown(result["throughput_images_per_sec"]))

    page.goto(f"{instance_page.split('?')[0]}?tab=history")
    table = page.get_by_role("table", name="Results, newest first")
    expect(table.get_by_role("row")).to_have_count(2)
    page.get_by_role("tab", name="Schedule").click()
    page.get_by_text("Cron line", exact=True).click()
    page.get_by_role("textbox", name="Cron line").fill("0 3 * * *")
    next_times = page.get_by_role("list", name="Next five times").get_by_role("listitem")
    expect(next_times).to_have_count(5)
    page.get_by_role("button", name="Save schedule").click()
    expect(page.get_by_text("The schedule is saved.")).to_be_visible()

    page.goto("/instances")
    row = page.get_by_role("row").filter(has_text="gpu-1")
    expect(row.locator("[data-state=active]")).to_be_visible()
    assert page.faults == []  # type: ignore[attr-defined]


def _onboarded(page: Page, machine: SshdMachine) -> str:
    fields: dict[str, Any] = {
        "instance_id": "gpu-1",
        "ssh_host": machine.host,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
        "ssh_key": machine.key.private_key,
        "gpu_name": "CPU",
    }
    origin = {"Origin": page.request.get("/healthz").url.removesuffix("/healthz")}
    answer = page.request.post("/functions/v1/onboard-gpu", data=fields, headers=origin)
    assert answer.ok, answer.text()
    instance_id: str = answer.json()["gpu_instance"]["id"]
    return instance_id


def _unreachable(machine: SshdMachine) -> None:
    machine.stop()


def _refusing(machine: SshdMachine) -> None:
    (machine.folder / "authorized_keys").write_text("")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_unreachable, "host_unreachable"),
        (_refusing, "login_refused"),
    ],
    ids=["unreachable", "login refused"],
)
def test_a_machine_that_can_not_be_tested_says_why(
    server: House, machine: SshdMachine, new_page: SignedIn, spoil: Any, code: str
) -> None:
    """Each kind of failure ends on the run page with its code and what to do, and in the table with its reason."""
    email, _ = server.newcomer()
    page = new_page(server, email)
    instance_id = _onboarded(page, machine)
    spoil(machine)
    page.goto(f"/instances/{instance_id}")
    _test_shortly(page)
    expect(page.locator("h1 ~ div [data-state=failed]")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(code, exact=True).first).to_be_visible()
    expect(page.get_by_text("What to do", exact=True)).to_be_visible()
    page.goto("/instances")
    expect(page.get_by_role("row").filter(has_text="gpu-1")).to_contain_text(code.replace("_", " "))
    if code == "host_unreachable":
        machine.start()  # for the fixture to stop


@pytest.mark.timeout(300)
def test_a_changed_host_key_is_told_and_accepted(
    server: House, machine: SshdMachine, new_page: SignedIn
) -> None:
    """A machine with another key is not logged in to until a person has compared and accepted it."""
    email, _ = server.newcomer()
    page = new_page(server, email)
    instance_id = _onboarded(page, machine)
    _refusing(machine)
    for code in ("login_refused", "host_key_changed", "login_refused"):
        page.goto(f"/instances/{instance_id}")
        _test_shortly(page)
        expect(page.get_by_text(code, exact=True).first).to_be_visible(timeout=60_000)
        if code == "login_refused":
            machine.rotate_host_key()
            continue
        page.goto(f"/instances/{instance_id}?tab=host-key")
        page.get_by_role("button", name="Accept the key on offer").click()
        page.get_by_role("dialog").get_by_role("button", name="Accept").click()
        expect(page.get_by_role("button", name="Accept the key on offer")).to_be_hidden()


@pytest.mark.timeout(300)
def test_a_run_that_is_cancelled_ends_on_the_machine(
    server: House, machine: SshdMachine, new_page: SignedIn
) -> None:
    """Cancel on the run page of a benchmark at work: the page says so, and nothing of it is left on the machine."""
    email, _ = server.newcomer()
    page = new_page(server, email)
    page.goto(f"/instances/{_onboarded(page, machine)}")
    page.get_by_role("main").get_by_role("button", name="Test now").click()
    page.get_by_role("dialog").get_by_role("button", name="Start the test").click()
    expect(
        page.locator("[data-phase=provision]:is([data-state=done], [data-state=running])")
        .or_(page.locator("[data-phase=measure][data-state=running]"))
        .first
    ).to_be_visible(timeout=LONG_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 ~ div [data-state=cancelled]")).to_be_visible(timeout=LONG_MS)
    assert list((machine.home / ".harborx" / "runs").iterdir()) == []


def _shown(value: float) -> str:
    """As the page rounds it: three to four digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"
