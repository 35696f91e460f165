"""An instance's past, and a run's phases with what was to be expected of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.api.conftest import Supplier
from tests.api.rows import HASH, NOW, Ended, end, submit
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]

STORY = (
    (1.0, "state", '{"state": "connecting"}'),
    (3.0, "state", '{"state": "preparing"}'),
    (4.0, "state", '{"state": "running"}'),
    (10.0, "progress", '{"phase": "warmup"}'),
    (11.0, "progress", '{"phase": "warmup"}'),
    (20.0, "progress", '{"phase": "measure"}'),
    (30.0, "progress", '{"phase": "measure"}'),
    (40.0, "result", "{}"),
    (41.0, "state", '{"state": "judging"}'),
)
EXPECTED = {
    "queue": 1,
    "connect": 2,
    "push": 1,
    "provision": 6,
    "warmup": 10,
    "measure": 21,
    "judge": 19,
}


async def phases_of(who: Supplier, run_id: object) -> dict[str, Any]:
    answer = await who.client.get(f"/v1/runs/{run_id}/phases")
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_the_past_is_told_oldest_first(
    databases: Databases, supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Every result with its conditions, whatever its verdict and source; with a limit, the newest."""
    made = await supplier.onboard()
    old, failed = Ended(timedelta(days=9)), Ended(timedelta(days=1), "failed", "gpu_mismatch")
    runs = [end(databases, made["id"], old), end(databases, made["id"], failed)]
    submit(databases, made["id"], timedelta(days=3), throughput_images_per_sec=None)
    path = f"/v1/instances/{made['id']}/history"
    items = (await supplier.client.get(path)).json()["items"]
    told = [(each["run_id"], each["source"], each["verdict"]) for each in items]
    assert told == [
        (str(runs[0]), "pushed", "passed"),
        (None, "submitted", "passed"),
        (str(runs[1]), "pushed", "failed"),
    ]
    assert datetime.fromisoformat(items[0]["at"]) == NOW - timedelta(days=9)
    assert (items[0]["driver_version"], items[0]["configuration_hash"]) == ("580.1", HASH)
    assert items[1]["throughput_images_per_sec"] is None
    newest = (await supplier.client.get(path, params={"limit": 1})).json()["items"]
    assert newest == items[-1:]
    is_problem(await other.client.get(path), 404, "not_found")
    is_problem(await supplier.client.get(path, params={"limit": 0}), 422, "invalid_input")


async def test_phases_of_a_run_with_what_they_take_as_a_rule(
    databases: Databases, supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Those that have begun; expected is what earlier runs of this instance and profile took that passed."""
    made = await supplier.onboard()
    first = end(databases, made["id"], Ended(timedelta(days=2), story=STORY))
    for ended in (
        Ended(timedelta(days=1), "failed", "gpu_mismatch", story=STORY, took=900),
        Ended(timedelta(days=1), story=STORY, took=900, options='{"profile": "full"}'),
    ):
        end(databases, made["id"], ended)
    run = (await supplier.client.post(f"/v1/instances/{made['id']}/runs")).json()
    said = await phases_of(supplier, run["id"])
    assert said["phases"] == [{"name": "queue", "started_at": run["created_at"], "ended_at": None}]
    assert (said["basis"], said["expected"]) == (1, EXPECTED)
    whole = await phases_of(supplier, first)
    assert [phase["name"] for phase in whole["phases"]] == list(EXPECTED)
    assert (whole["basis"], whole["expected"]) == (0, {})
    is_problem(await other.client.get(f"/v1/runs/{first}/phases"), 404, "not_found")


async def test_a_first_run_is_compared_with_others_of_its_card(
    databases: Databases, supplier: Supplier, other: Supplier
) -> None:
    """Where an instance has no past, the caller's tests of the same GPU model count, and nobody else's."""
    for who, card, took in (
        (supplier, "NVIDIA H100 80GB HBM3", 60.0),
        (supplier, "NVIDIA A100-SXM4-80GB", 900.0),
        (other, "NVIDIA H100 80GB HBM3", 900.0),
    ):
        past = Ended(story=STORY, took=took, result={"measured_gpu_name": card})
        end(databases, (await who.onboard())["id"], past)
    for claimed, basis in (("NVIDIA H100", 1), ("H200", 0), (None, 0)):
        made = await supplier.onboard(gpu_name=claimed)
        run = (await supplier.client.post(f"/v1/instances/{made['id']}/runs")).json()
        said = await phases_of(supplier, run["id"])
        assert (said["basis"], said["expected"]) == (basis, EXPECTED if basis else {})
