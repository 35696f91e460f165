"""A real browser (Debian's Chromium) on a real server; what it shows is kept under test-artefacts/."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.dashboard.house import PASSWORD, House, house

CHROMIUM = os.environ.get("HARBORX_TEST_CHROMIUM", "/usr/bin/chromium")
ARTEFACTS = Path(__file__).parents[2] / "test-artefacts"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_MS = 15_000

expect.set_options(timeout=WAIT_MS)

SignedIn = Callable[..., Page]


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server with a worker for all tests of this folder; each test has accounts of its own."""
    with house(tmp_path_factory.mktemp("hx")) as running:
        yield running


@pytest.fixture(scope="package")
def idle_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One without a worker: what is queued there stays queued."""
    with house(tmp_path_factory.mktemp("hx"), worker=False) as running:
        yield running


@pytest.fixture(scope="package")
def playwright_driver() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="package")
def browser(playwright_driver: Playwright) -> Iterator[Browser]:
    started = playwright_driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield started
    started.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[SignedIn]:
    """`new_page(server, email=None, **context)`: a page in a browser profile of its own, signed in where an address is given."""
    contexts: list[BrowserContext] = []

    def open_page(server: House, email: str | None = None, **options: Any) -> Page:
        context = browser.new_context(base_url=server.address, **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        if email is not None:
            login = {"email": email, "password": PASSWORD}
            answer = context.request.post("/v1/auth/sign-in", data=login)
            assert answer.ok, answer.text()
        page = context.new_page()
        page.faults = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.faults.append(str(error)))  # type: ignore[attr-defined]
        return page

    yield open_page
    for context in contexts:
        context.close()
