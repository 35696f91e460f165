"""Connection setup: whose host certificates are trusted."""

from __future__ import annotations

import re

import asyncssh
from playwright.sync_api import expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House


def test_a_host_authority_is_trusted_until_it_is_removed(
    idle_server: House, new_page: SignedIn
) -> None:
    """What can't be read of its line stands at the field."""
    page = new_page(idle_server, idle_server.newcomer()[0])
    page.goto("/connection")
    authorities = page.get_by_role("region", name="Your host certificates")
    line = authorities.get_by_label("Authority to trust")
    trust = authorities.get_by_role("button", name="Trust its certificates")
    line.fill("@cert-authority *.fleet.example ssh-ed25519 AAAA")
    trust.click()
    expect(line).to_have_accessible_description(re.compile("It is not an OpenSSH public key"))
    key = asyncssh.generate_private_key("ssh-ed25519")
    line.fill(f"@cert-authority *.fleet.example {key.export_public_key().decode()}")
    trust.click()
    expect(line).to_have_value("")
    expect(authorities).to_contain_text("*.fleet.example")
    expect(authorities).to_contain_text(key.get_fingerprint())
    remove = authorities.get_by_role("button", name="Remove the authority of *.fleet.example")
    remove.click()
    page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    expect(remove).to_have_count(0)
    assert page.request.get("/v1/host-authorities").json()["items"] == []
