"""Copying on plain http, where browsers keep the clipboard from pages."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House

# As browsers have it on plain http beyond loopback.
_NO_CLIPBOARD = "delete Navigator.prototype.clipboard"
_NO_COMMAND = "document.execCommand = () => false"
_COMMAND = "the command that removes everything"


def _connection(server: House, new_page: SignedIn, *scripts: str) -> Page:
    email, _ = server.newcomer()
    page = new_page(server, email)
    for script in scripts:
        page.add_init_script(script)
    page.goto("/connection")
    assert page.evaluate("() => navigator.clipboard === undefined")
    return page


def test_a_line_is_copied_without_the_clipboard_of_secure_pages(
    idle_server: House, new_page: SignedIn
) -> None:
    """What was copied is what is pasted, also where the line is broken on the page."""
    page = _connection(idle_server, new_page, _NO_CLIPBOARD)
    ours = page.get_by_role("region", name="Our public key")  # the CA's command looks like it
    line = ours.get_by_text(re.compile("^mkdir -p -m 700")).inner_text()
    ours.get_by_role("button", name="Copy the command").click()
    expect(ours.get_by_role("button", name="Copied")).to_be_visible()
    page.goto("/profile")
    field = page.get_by_label("Infrastructure")
    field.focus()
    page.keyboard.press("Control+v")
    expect(field).to_have_value(line)


def test_a_line_that_no_page_may_copy_is_left_selected(
    idle_server: House, new_page: SignedIn
) -> None:
    page = _connection(idle_server, new_page, _NO_CLIPBOARD, _NO_COMMAND)
    page.get_by_role("button", name=f"Copy {_COMMAND}").click()
    expect(page.get_by_role("status").filter(has_text="press Ctrl+C")).to_be_visible()
    assert page.evaluate("() => String(getSelection())") == "rm -rf ~/.harborx"
