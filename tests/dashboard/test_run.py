"""The run page: what a run was through, live and afterwards, and why it ended as it did."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.live_run import LiveRun, cutter, live_run
from tests.dashboard.seed import Fleet, fleet

_DROPS = 100
_MORE_THAN_KEPT = 30_005  # MOST_LINES in story.ts, and five more


@pytest.fixture(scope="module")
def seeded(idle_server: House) -> Fleet:
    user_id = idle_server.sign_up("run-page@example.com")
    with idle_server.owner() as owner:
        return fleet(owner, user_id, count=4, past=2)


@pytest.fixture
def begun(idle_server: House) -> Iterator[Callable[[str], LiveRun]]:
    """`begun(email)`: a run at work, of a new account."""
    with ExitStack() as stack:
        yield lambda email: stack.enter_context(live_run(idle_server, email))


def _watch(new_page: SignedIn, server: House, email: str, run: LiveRun) -> Page:
    page = new_page(server, email, viewport={"width": 1280, "height": 1800})
    page.goto(f"/runs/{run.id}")
    expect(page.get_by_text("Live", exact=True).last).to_be_visible()
    return page


def _line(page: Page, text: str) -> Any:
    return page.get_by_role("log").get_by_text(text, exact=True)


def _downloaded(page: Page) -> list[dict[str, Any]]:
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as arriving:
        page.get_by_role("menuitem", name="All events as .ndjson").click()
    return [json.loads(line) for line in Path(arriving.value.path()).read_text().splitlines()]


def test_a_finished_run_shows_its_whole_story(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    """Phases with their times, charts, the throttle, the verdict and the log."""
    page = new_page(idle_server, "run-page@example.com")
    page.goto(f"/runs/{seeded.watched}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Run of gpu-0000")
    for phase in ("queue", "connect", "push", "provision", "warmup", "measure", "judge"):
        expect(page.locator(f"[data-phase={phase}][data-state=done] [data-took]")).to_contain_text(
            "s"
        )
    for measure in ("Images per second", "Power", "Temperature", "SM clock", "Utilization"):
        expect(page.get_by_role("img", name=re.compile(f"^{measure} over time"))).to_be_visible()
    held = page.get_by_role("list", name="Throttle reasons")
    expect(held).to_have_text("Held back by heat (driver): 8 s")
    expect(page.get_by_role("list", name="Checks")).to_contain_text(
        "passedphysics: 2,450 of at most"
    )
    expect(page.get_by_role("row", name=re.compile("^Throughput"))).to_contain_text(
        "2,445 to 2,455"
    )
    expect(page.get_by_text("98 of 98 events")).to_be_visible()
    expect(_line(page, "result: 2,450 img/s")).to_be_visible()
    assert page.faults == []  # type: ignore[attr-defined]


def test_the_log_is_searched_and_handed_out_whole(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    page = new_page(idle_server, "run-page@example.com")
    page.goto(f"/runs/{seeded.watched}")
    expect(page.get_by_text("98 of 98 events")).to_be_visible()
    page.get_by_label("Search the log").fill("hello from")
    expect(page.get_by_text("1 of 98 events")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("a line that is no event")
    assert [event["seq"] for event in _downloaded(page)] == list(range(1, 99))


def test_the_raw_json_is_what_the_api_tells(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    page = new_page(idle_server, "run-page@example.com")
    page.goto(f"/runs/{seeded.watched}?tab=raw")
    told = page.request.get(f"/v1/runs/{seeded.watched}").json()
    result = told.pop("result")
    shown = page.get_by_role("region", name="Raw JSON")
    expect(shown).to_contain_text(str(seeded.watched))
    assert json.loads(shown.inner_text()) == told
    page.get_by_text("Result", exact=True).last.click()
    expect(shown).to_contain_text("throughput_images_per_sec")
    assert json.loads(shown.inner_text()) == result


def test_a_failed_run_says_what_happened_what_to_do_and_what_was_seen(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    run = begun("run-failed@example.com")
    seen: dict[str, Any] = {
        "status": 137,
        "stderr_tail": "Traceback <b>here</b>\nMemoryError",
        "expected": "SHA256:abc",
    }
    run.end("failed", "agent_crashed", error_message="Exit status 137.", evidence=json.dumps(seen))
    page = new_page(idle_server, "run-failed@example.com")
    page.goto(f"/runs/{run.id}")
    failure = page.get_by_role("region", name="The run failed")
    for text in ("agent_crashed", "Exit status 137.", "What to do", "SHA256:abc"):
        expect(failure.get_by_text(text, exact=True)).to_be_visible()
    expect(failure.get_by_role("region", name="stderr tail")).to_have_text(seen["stderr_tail"])
    expect(page.get_by_role("button", name="Test again")).to_be_visible()


def test_a_run_at_work_is_told_as_it_happens_and_its_end_needs_no_reload(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    run = begun("run-live@example.com")
    page = _watch(new_page, idle_server, "run-live@example.com", run)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    run.tell(("log", {"text": "a first word"}))
    expect(_line(page, "a first word")).to_be_visible()
    progress = {"phase": "measure", "done": 500, "total": 1000, "images_per_sec": 250.0}
    run.tell(
        ("progress", progress), ("progress", {**progress, "done": 750, "images_per_sec": 260.0})
    )
    measuring = page.locator("[data-phase=measure][data-state=running]")
    expect(measuring).to_contain_text("750 of 1,000 images")
    expect(measuring).to_contain_text(re.compile(r"0:0[1-9]"))  # it counts
    chart = page.get_by_role("img", name=re.compile("^Images per second over time"))
    expect(chart).to_have_attribute("aria-label", re.compile("last 260 img/s"))
    run.tell(("retry", {"message": "The connection broke.", "retry_in_seconds": 5}))
    expect(page.get_by_role("status").get_by_text("The connection broke.")).to_be_visible()
    run.end("inconclusive", "connection_lost", error_message="The machine was not reached again.")
    expect(page.get_by_role("region", name="The run proved nothing")).to_be_visible()
    expect(page.locator("h1 ~ div [data-state=inconclusive]")).to_be_visible()
    expect(page.get_by_role("button", name="Test again")).to_be_visible()


def test_the_log_follows_until_one_scrolls_up_and_again_when_asked(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    run = begun("run-follow@example.com")
    page = _watch(new_page, idle_server, "run-follow@example.com", run)
    page.get_by_role("log").hover()
    run.tell(*(("log", {"text": f"line {number}"}) for number in range(60)))
    expect(_line(page, "line 59")).to_be_in_viewport()
    page.mouse.wheel(0, -600)
    follow = page.get_by_role("button", name="Follow", exact=True)
    expect(follow).to_have_attribute("aria-pressed", "false")
    run.tell(("log", {"text": "line 60"}))
    expect(page.get_by_text("61 of 61 events")).to_be_visible()
    expect(_line(page, "line 60")).not_to_be_in_viewport()
    follow.click()
    expect(_line(page, "line 60")).to_be_in_viewport()
    run.tell(("log", {"text": "line 61"}))
    expect(_line(page, "line 61")).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "true")


def test_a_paused_log_stands_still_and_counts_what_comes(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    """Also at its end, where a log follows by itself, and also for a single line."""
    run = begun("run-paused@example.com")
    page = _watch(new_page, idle_server, "run-paused@example.com", run)
    run.tell(*(("log", {"text": f"line {number}"}) for number in range(60)))
    expect(_line(page, "line 59")).to_be_in_viewport()
    page.get_by_role("button", name="Pause", exact=True).click()
    for count in (1, 2, 40):
        told = run.last_seq - 60
        run.tell(*(("log", {"text": f"later {told + n}"}) for n in range(count - told)))
        expect(page.get_by_text(f"Paused, {count} new.")).to_be_visible()
        expect(_line(page, "line 59")).to_be_in_viewport()
        expect(_line(page, f"later {count - 1}")).not_to_be_in_viewport()
    page.get_by_role("button", name="Follow", exact=True).click()
    expect(_line(page, "later 39")).to_be_in_viewport()
    expect(page.get_by_text("Paused,")).to_have_count(0)


def test_a_log_longer_than_the_page_keeps_is_handed_out_whole(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    run = begun("run-long@example.com")
    run.owner.execute(
        "INSERT INTO gpu_test_events (run_id, seq, user_id, t, type, body)"
        " SELECT %s, n, %s, n, 'log', jsonb_build_object('text', 'word ' || n) FROM generate_series(1, %s) n",
        (run.id, run.user_id, _MORE_THAN_KEPT),
    )
    run.last_seq = _MORE_THAN_KEPT
    run.tell(("log", {"text": "the last"}))
    page = _watch(new_page, idle_server, "run-long@example.com", run)
    expect(page.get_by_text("the first 6 are not kept on this page")).to_be_visible(timeout=60_000)
    # Of a run that goes on, as far as the page knows it.
    assert [event["seq"] for event in _downloaded(page)] == list(range(1, run.last_seq + 1))


def test_no_event_is_lost_or_comes_twice_when_the_line_drops_a_hundred_times(
    idle_server: House, new_page: SignedIn, begun: Callable[[str], LiveRun]
) -> None:
    run = begun("run-drops@example.com")
    with cutter(idle_server, _DROPS) as cutting:
        page = new_page(
            dataclasses.replace(idle_server, address=cutting.address), "run-drops@example.com"
        )
        # The browser says now and then that the network is back, so that a hundred waits take no minute.
        page.add_init_script("setInterval(() => dispatchEvent(new Event('online')), 40)")

        def work() -> None:
            while not cutting.done.wait(0.02):
                run.tell(("log", {"text": f"word {run.last_seq + 1}"}))

        at_work = threading.Thread(target=work)
        at_work.start()
        page.goto(f"/runs/{run.id}")
        expect(page.get_by_text("The connection dropped; resuming").first).to_be_visible()
        at_work.join(120)
        assert cutting.cuts == _DROPS
        run.end()
        count = f"{run.last_seq:,}"
        expect(page.get_by_text(f"{count} of {count} events", exact=True)).to_be_visible()
        expect(page.get_by_text("Complete", exact=True)).to_be_visible()
        told = _downloaded(page)
    assert [event["seq"] for event in told] == list(range(1, run.last_seq + 1))
    words = [event["body"]["text"] for event in told[:-1]]
    assert words == [f"word {number}" for number in range(1, run.last_seq)]


def test_a_finished_stream_is_not_asked_for_again(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    page = new_page(idle_server, "run-page@example.com")
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url))
    page.goto(f"/runs/{seeded.watched}")
    expect(page.get_by_text("Complete", exact=True)).to_be_visible()
    # Longer than the first reconnect would take, on the browser's own clock.
    page.evaluate("() => new Promise((done) => setTimeout(done, 1000))")
    assert len([url for url in asked if url.endswith("/events")]) == 1


def test_a_run_of_another_account_is_not_there(
    idle_server: House, seeded: Fleet, new_page: SignedIn
) -> None:
    idle_server.sign_up("run-other@example.com")
    page = new_page(idle_server, "run-other@example.com")
    page.goto(f"/runs/{seeded.watched}")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
