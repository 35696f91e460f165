"""
Look at pages by hand: `python -m tests.dashboard.look FOLDER PATH...` fills a server, takes screenshots of the
paths in both themes and three widths into FOLDER. {instance}, {other}, {offered} (another host key), {run} and {failed}
in a path become ids.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.conftest import CHROMIUM, FLAGS
from tests.dashboard.furnish import furnish
from tests.dashboard.house import PASSWORD, House, house
from tests.dashboard.seed import fleet

EMAIL = "supplier@example.com"
WIDTHS = (360, 1280, 2560)
_SETTLED_MS = 1_800  # a stream never falls idle, so there is nothing to wait for


def main(folder: Path, paths: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state, house(Path(state), worker=False) as server:
        user_id = server.sign_up(EMAIL)
        with server.owner() as owner:
            told = fleet(owner, user_id)
            furnish(owner, told)
        names = {
            "instance": told.instances[0],
            "other": told.instances[1],
            "offered": told.instances[2],
            "run": told.watched,
            "failed": told.failed,
        }
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for theme in ("light", "dark"):
                for width in WIDTHS:
                    page = _page(browser, server, theme, width)
                    for path in paths:
                        _shoot(page, folder, path, names, f"{theme}-{width}")
                    page.context.close()
            browser.close()


def _page(browser: Browser, server: House, theme: str, width: int) -> Page:
    context = browser.new_context(
        base_url=server.address,
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 900},
    )
    context.request.post("/v1/auth/sign-in", data={"email": EMAIL, "password": PASSWORD})
    page = context.new_page()
    page.on("console", lambda said: _tell(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: _tell(str(error)))
    return page


def _shoot(page: Page, folder: Path, path: str, names: Mapping[str, object], kind: str) -> None:
    page.goto(path.format(**names))
    page.wait_for_timeout(_SETTLED_MS)
    name = re.sub(r"\W+", "_", path).strip("_") or "home"
    page.screenshot(path=folder / f"{name}-{kind}.png", full_page=True)


def _tell(text: str) -> None:
    sys.stderr.write(f"in the page: {text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
