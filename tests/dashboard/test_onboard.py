"""Onboarding in the browser, against a real sshd: what is checked, what is saved, and what is told."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.machines.sshd import SshdMachine, sshd_machine

CHECK_MS = 30_000


@pytest.fixture(scope="module")
def machine() -> Iterator[SshdMachine]:
    with sshd_machine() as running:
        yield running


@pytest.fixture
def page(server: House, new_page: SignedIn) -> Page:
    email, _ = server.newcomer()
    opened = new_page(server, email)
    opened.goto("/instances/onboard")
    return opened


def fill(page: Page, machine: SshdMachine, *, port: int | None = None) -> None:
    page.get_by_label("Instance id").fill("gpu-1")
    page.get_by_label("Host", exact=False).first.fill(machine.host)
    page.get_by_label("Port").fill(str(port or machine.port))
    page.get_by_label("User").fill(machine.user)


def paste_key(page: Page, key: str) -> None:
    page.get_by_text("A private key", exact=True).click()
    page.get_by_role("textbox", name="Private key").fill(key)


def check(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Check (connection|again)$")).click()


def saved(server: House) -> int:
    with server.owner() as owner:
        row = owner.execute(
            "SELECT count(*) FROM gpu_instances WHERE ssh_host = '127.0.0.1'"
        ).fetchone()
    return int(row[0]) if row else 0


def test_a_checked_machine_is_onboarded_with_the_key_that_was_seen(
    server: House, page: Page, machine: SshdMachine
) -> None:
    """The check shows the machine before anything is saved; onboarding pins its host key and leads to its page."""
    before = saved(server)
    fill(page, machine)
    paste_key(page, machine.key.private_key)
    check(page)
    expect(page.get_by_text("The check passed: we can test this machine.")).to_be_visible(
        timeout=CHECK_MS
    )
    expect(page.get_by_text("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")).to_be_visible()
    expect(page.get_by_text(re.compile("^SHA256:"))).to_be_visible()
    expect(page.get_by_text("No NVIDIA GPU was found.").first).to_be_visible()
    assert saved(server) == before

    page.get_by_role("button", name="Use in the details").click()
    expect(page.get_by_label("GPU name")).to_have_value("CPU")
    page.get_by_role("button", name="Onboard", exact=True).click()
    page.wait_for_url(re.compile(r"/instances/[0-9a-f-]{36}"))
    expect(page.get_by_text("gpu-1 is onboarded")).to_be_visible()
    expect(page.get_by_role("button", name="Test now").first).to_be_visible()
    instance_id = page.url.rsplit("/", 1)[1].split("?")[0]
    told = page.request.get(f"/v1/instances/{instance_id}").json()
    assert told["host_key"] == machine.host_key
    assert (told["gpu_name"], told["login"]) == ("CPU", "supplied")
    assert (
        page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])").count(
            "PRIVATE KEY"
        )
        == 0
    )


def test_a_check_that_is_refused_for_now_says_when_it_may_be_asked_for(
    server: House, page: Page, machine: SshdMachine
) -> None:
    with server.owner() as owner:
        owner.execute(
            "INSERT INTO contact_rates (user_id, kind, whole_at)"
            " SELECT id, 'check', now() + interval '61 minutes' FROM profiles WHERE id = %s",
            (page.request.get("/v1/profile").json()["id"],),
        )
    fill(page, machine)
    check(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("as many machines as an hour allows")
    expect(alert.get_by_role("timer")).to_have_text(re.compile(r"^Again in (1 min )?\d+ s\.$"))


def test_our_key_is_shown_before_it_is_needed_and_opens_the_machine_once_authorized(
    page: Page, machine: SshdMachine
) -> None:
    """The line that is shown is the one that lets us in."""
    line = page.get_by_text(re.compile(r"^ssh-ed25519 \S+ harborx$"))
    expect(line).to_be_visible()
    expect(page.get_by_text("authorized_keys && chmod 600")).to_be_visible()
    fill(page, machine)
    check(page)
    expect(page.get_by_text("The check failed.")).to_be_visible(timeout=CHECK_MS)
    machine.authorise(line.text_content() or "")
    check(page)
    expect(page.get_by_text("The check passed: we can test this machine.")).to_be_visible(
        timeout=CHECK_MS
    )


def test_a_refused_login_tells_its_code_and_what_to_do(
    server: House, page: Page, machine: SshdMachine
) -> None:
    """What is refused by the machine is told with code and remedy, and nothing is saved."""
    before = saved(server)
    fill(page, machine)
    expect(page.get_by_text(re.compile("^ssh-ed25519 "))).to_be_visible()
    check(page)
    alert = page.get_by_role("alert")
    expect(alert.get_by_text("The machine refused the login.")).to_be_visible(timeout=CHECK_MS)
    expect(alert.get_by_text("login_refused")).to_be_visible()
    expect(alert.get_by_text("authorized_keys")).to_be_visible()
    assert saved(server) == before


def test_a_port_where_nobody_listens_is_told_at_once(
    server: House, page: Page, machine: SshdMachine
) -> None:
    """An address without sshd is told within seconds, with what to check, and nothing is saved."""
    before = saved(server)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = int(probe.getsockname()[1])
    fill(page, machine, port=closed)
    paste_key(page, machine.key.private_key)
    check(page)
    alert = page.get_by_role("alert")
    expect(alert.get_by_text("host_unreachable")).to_be_visible(timeout=10_000)
    expect(alert.get_by_text("firewall")).to_be_visible()
    assert saved(server) == before


def test_another_address_voids_the_check(page: Page, machine: SshdMachine) -> None:
    """A check counts for exactly the address that it was made of."""
    fill(page, machine)
    paste_key(page, machine.key.private_key)
    check(page)
    passed = page.get_by_text(
        "The check passed. We log in only to a machine that shows this host key."
    )
    expect(passed).to_be_visible(timeout=CHECK_MS)
    page.get_by_label("Host", exact=False).first.fill("localhost")
    expect(page.get_by_text("The address or the login was changed since")).to_be_visible()
    expect(passed).to_be_hidden()
    page.get_by_label("Host", exact=False).first.fill(machine.host)
    expect(passed).to_be_visible()


def test_what_is_wrong_is_told_at_its_field(page: Page, machine: SshdMachine) -> None:
    """Ours before anything is sent, and the server's afterwards: a key that it can't read, a name that is taken."""
    page.get_by_role("button", name="Onboard", exact=True).click()
    expect(page.get_by_label("Instance id")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Instance id")).to_be_focused()
    expect(page.get_by_label("Host", exact=False).first).to_have_attribute("aria-invalid", "true")

    fill(page, machine)
    key = page.get_by_role("textbox", name="Private key")
    paste_key(
        page, "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----"
    )
    page.get_by_role("button", name="Onboard", exact=True).click()
    expect(page.get_by_text("The private key is damaged.")).to_be_visible()
    expect(key).to_have_attribute("aria-invalid", "true")

    answer = page.request.post(
        "/functions/v1/onboard-gpu",
        data={"instance_id": "gpu-1", "ssh_host": "elsewhere.example"},
        headers={"Origin": page.url.split("/instances")[0]},
    )
    assert answer.ok, answer.text()
    page.get_by_text("Our key").click()
    page.get_by_role("button", name="Onboard", exact=True).click()
    expect(
        page.get_by_text("An instance with this instance_id is onboarded already.")
    ).to_be_visible()
    expect(page.get_by_label("Instance id")).to_have_attribute("aria-invalid", "true")


def test_a_pasted_ssh_command_falls_into_its_fields(page: Page) -> None:
    """What providers print need not be taken apart by hand."""
    host = page.get_by_label("Host", exact=False).first
    host.evaluate(
        "(field) => { const data = new DataTransfer(); data.setData('text', 'ssh -p 41022 me@gpu.example -L 1:a:2');"
        " field.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); }"
    )
    expect(host).to_have_value("gpu.example")
    expect(page.get_by_label("Port")).to_have_value("41022")
    expect(page.get_by_label("User")).to_have_value("me")
