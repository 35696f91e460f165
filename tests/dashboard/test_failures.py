"""How runs end without passing: every code of the catalogue that a run can end with, as the run page tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Page, expect

from orchestrator.domain.errors import RunError
from tests.dashboard.conftest import SignedIn
from tests.dashboard.house import House
from tests.dashboard.live_run import begin_run
from tests.dashboard.seed import fleet

_EMAIL = "failures@example.com"
_TITLES = {
    "failed": "The run failed",
    "inconclusive": "The run proved nothing",
    "cancelled": "The run was cancelled",
}


def _kinds(cls: type[RunError] = RunError) -> Iterator[type[RunError]]:
    yield cls
    for sub in cls.__subclasses__():
        yield from _kinds(sub)


def _end(
    owner: psycopg.Connection[tuple[Any, ...]],
    user_id: str,
    instance_id: UUID,
    kind: type[RunError],
) -> UUID:
    """A run of the instance that ended so, with something seen of its own."""
    run = begin_run(owner, user_id, instance_id)
    seen = {"where": f"at {kind.code}", "stderr_tail": f"first line\nlast of {kind.code}"}
    detail = f"This case of {kind.code}."
    message = f"{kind.sentence} {detail}"
    run.end(kind.ending, kind.code, error_message=message, evidence=json.dumps(seen))
    return run.id


def _shows(page: Page, kind: type[RunError]) -> None:
    expect(page.locator(f"h1 ~ div [data-state={kind.ending}]")).to_be_visible()
    failure = page.get_by_role("region", name=_TITLES[kind.ending])
    expect(failure.get_by_text(kind.code, exact=True)).to_be_visible()
    message = f"{kind.sentence} This case of {kind.code}."
    expect(failure.get_by_text(message, exact=True)).to_be_visible()
    expect(failure.get_by_text("What to do", exact=True)).to_be_visible()
    expect(failure.get_by_text(kind.remedy, exact=True)).to_be_visible()
    expect(failure.get_by_text(f"at {kind.code}", exact=True)).to_be_visible()
    tail = failure.get_by_role("region", name="stderr tail")
    expect(tail).to_have_text(f"first line\nlast of {kind.code}")


@pytest.mark.timeout(300)
def test_each_way_to_end_says_its_code_what_happened_what_to_do_and_what_was_seen(
    idle_server: House, new_page: SignedIn
) -> None:
    kinds = list(_kinds())
    assert len(kinds) > 30
    user_id = idle_server.sign_up(_EMAIL)
    with idle_server.owner() as owner:
        instance_id = fleet(owner, user_id, count=1, past=1).instances[0]
        runs = [(_end(owner, user_id, instance_id, kind), kind) for kind in kinds]
    page = new_page(idle_server, _EMAIL)
    for run_id, kind in runs:
        page.goto(f"/runs/{run_id}")
        _shows(page, kind)
    assert page.faults == []  # type: ignore[attr-defined]
