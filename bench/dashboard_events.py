"""
Events on run pages in a real browser (Debian's Chromium), on a server without a worker: they are written into
PostgreSQL as a worker would.

Delay: from the commit of an event to the frame after its text stood in the log, one page open. Load: the processor time of
the API's process while many pages, which a browser would show side by side, are told an event a second each; each
page is its stream, so that one browser's limit of connections hides none.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
from playwright.sync_api import Page, sync_playwright

from bench.summary import summary
from tests.dashboard.house import PASSWORD, House, house
from tests.dashboard.live_run import LiveRun, begin_run
from tests.dashboard.seed import fleet

ROUNDS: Final = 100
WARM_UP: Final = 5
PAGES: Final = 20
LOAD_SECONDS: Final = 30
IDLE_SECONDS: Final = 10
_EMAIL: Final = "bench@example.com"
_CHROMIUM: Final = os.environ.get("HARBORX_TEST_CHROMIUM", "/usr/bin/chromium")
_FLAGS: Final = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Resolves with the time, by the clock of this machine, of the frame after the text stood there.
_WAIT_FOR: Final = """text => new Promise((done) => {
    const log = document.querySelector('[role=log]');
    const look = () => {
        if (!log.textContent.includes(text)) return false;
        requestAnimationFrame(() => setTimeout(() => done(performance.timeOrigin + performance.now())));
        return true;
    };
    if (look()) return;
    const seen = new MutationObserver(() => look() && seen.disconnect());
    seen.observe(log, { childList: true, subtree: true, characterData: true });
})"""


def delay() -> dict[str, Any]:
    """Milliseconds from the commit to the screen; the goal of the issue is a p95 under 500."""
    with _server(1) as (server, (run,)), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_FLAGS)
        page = browser.new_context(base_url=server.address).new_page()
        page.request.post("/v1/auth/sign-in", data={"email": _EMAIL, "password": PASSWORD})
        page.goto(f"/runs/{run.id}")
        page.get_by_text("Live", exact=True).last.wait_for()
        samples = [_delay(page, run, number) for number in range(WARM_UP + ROUNDS)]
        browser.close()
    return {"goal_p95_ms": 500, **summary(samples[WARM_UP:], "ms")}


def load() -> dict[str, Any]:
    """Percent of one core that the API takes; the goal of the issue is under 5 with 20 pages."""
    with _server(PAGES) as (server, runs):
        heard = [0] * PAGES
        session = _session(server)
        watchers = [
            threading.Thread(target=_follow, args=(server, session, run.id, heard, index))
            for index, run in enumerate(runs)
        ]
        for watcher in watchers:
            watcher.start()
        while not all(heard):
            _tell_each_second(runs, 1)
        idle = _share(server.pid, lambda: time.sleep(IDLE_SECONDS))
        busy = _share(server.pid, lambda: _tell_each_second(runs, LOAD_SECONDS))
        for run in runs:
            run.end()
        for watcher in watchers:
            watcher.join(30)
    return {
        "goal_percent": 5,
        "percent_of_a_core": round(busy, 2),
        "without_events": round(idle, 2),
        "pages": PAGES,
        "events_heard": sum(heard),
        "events_told": sum(run.last_seq for run in runs),
    }


@contextmanager
def _server(count: int) -> Iterator[tuple[House, list[LiveRun]]]:
    """One with `count` runs at work, each of an instance of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="hx-") as folder,
        house(Path(folder), worker=False) as server,
        server.owner() as owner,
    ):
        user_id = server.sign_up(_EMAIL)
        instances = fleet(owner, user_id, count=count, past=1).instances
        yield server, [begin_run(owner, user_id, instance) for instance in instances]


def _delay(page: Page, run: LiveRun, number: int) -> float:
    text = f"event number {number} of this benchmark"
    waits = page.evaluate_handle(f"text => ({{ at: ({_WAIT_FOR})(text) }})", text)
    # Commits fall anywhere between two looks of the server.
    time.sleep(0.3 + (number * 0.037) % 0.2)
    run.tell(("log", {"text": text}))
    committed = time.time() * 1000
    shown: float = waits.evaluate("async (handle) => await handle.at")
    return shown - committed


def _session(server: House) -> httpx.Cookies:
    login = {"email": _EMAIL, "password": PASSWORD}
    answer = httpx.post(f"{server.address}/v1/auth/sign-in", json=login, timeout=30)
    return answer.raise_for_status().cookies


def _follow(
    server: House, session: httpx.Cookies, run_id: UUID, heard: list[int], index: int
) -> None:
    """What an open run page asks for: the stream, from the first event on."""
    with (
        httpx.Client(base_url=server.address, timeout=60, cookies=session) as client,
        client.stream("GET", f"/v1/runs/{run_id}/events") as answer,
    ):
        for line in answer.iter_lines():
            if line.startswith("id:"):
                heard[index] += 1
            if line == "event: end":
                return


def _tell_each_second(runs: list[LiveRun], seconds: int) -> None:
    """Spread over the second, as pages of different machines are."""
    began = time.monotonic()
    for number in range(seconds * len(runs)):
        time.sleep(max(0.0, began + number / len(runs) - time.monotonic()))
        rate = {"phase": "measure", "done": number, "total": 10**6, "images_per_sec": 2450.0}
        runs[number % len(runs)].tell(("progress", rate))


def _share(pid: int, work: Any) -> float:
    before, began = _cpu_seconds(pid), time.monotonic()
    work()
    return 100 * (_cpu_seconds(pid) - before) / (time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
