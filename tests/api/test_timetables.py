"""A schedule is looked at before it is one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tests.api.conftest import Api, Supplier

Problem = Callable[[httpx.Response, int, str], None]
PATH = "/v1/schedules/preview"


async def test_the_next_five_times_are_told(supplier: Supplier) -> None:
    """Of hours from now on, or of a cron line in its zone, as the schedule itself would have them."""
    hours = (await supplier.client.post(PATH, json={"every_hours": 6})).json()["next"]
    times = [datetime.fromisoformat(each) for each in hours]
    assert [later - due for due, later in pairwise(times)] == [timedelta(hours=6)] * 4
    body = {"cron": "30 3 * * *", "timezone": "Asia/Kolkata", "jitter_seconds": 600}
    nightly = (await supplier.client.post(PATH, json=body)).json()["next"]
    assert len(nightly) == 5
    assert {each[10:] for each in nightly} == {"T22:00:00Z"}
    made = await supplier.onboard()
    path = f"/v1/instances/{made['id']}/schedule"
    schedule = (await supplier.client.put(path, json=body)).json()
    assert schedule["next_due_at"] == nightly[0]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({}, "every_hours"),
        ({"every_hours": 0}, "every_hours"),
        ({"every_hours": 1, "cron": "0 3 * * *"}, "every_hours"),
        ({"cron": "x"}, "cron"),
        ({"cron": "0 3 * * *", "timezone": "Mars"}, "timezone"),
        ({"every_hours": 1, "jitter_seconds": 3601}, "jitter_seconds"),
        ({"cron": "0 0 30 2 *"}, "cron"),
    ],
)
async def test_what_is_no_schedule_is_no_preview(
    supplier: Supplier, is_problem: Problem, wrong: dict[str, object], pointer: str
) -> None:
    """It is refused, with what is to blame, by the answer that the schedule itself would get."""
    answer = await supplier.client.post(PATH, json=wrong)
    made = await supplier.onboard()
    put = await supplier.client.put(f"/v1/instances/{made['id']}/schedule", json=wrong)
    is_problem(answer, 400, "invalid_input")
    assert answer.json() == put.json()
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_a_preview_needs_a_login(api: Api, is_problem: Problem) -> None:
    """It reads nothing of anybody's, and is not for everybody all the same."""
    is_problem(await api.client.post(PATH, json={"every_hours": 6}), 401, "not_authenticated")
