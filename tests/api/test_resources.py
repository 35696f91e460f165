"""/v1: runs, results, schedules, problems and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import httpx
import psycopg
import pytest

from orchestrator.database.session import Database
from orchestrator.runs.fire_schedules import fire_due
from tests.api.conftest import Api, Supplier, application, connect, resolved
from tests.cli.stories import Storyteller, passing
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]


async def test_a_second_run_is_a_problem_that_names_the_first(
    supplier: Supplier, is_problem: Problem
) -> None:
    """409 run_in_progress carries the unfinished run's id."""
    run = await supplier.request()
    again = await supplier.client.post(f"/v1/instances/{run['instance_id']}/runs", json={})
    is_problem(again, 409, "run_in_progress")
    assert again.json()["run_id"] == run["id"]


async def test_others_things_are_not_found(
    supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Another supplier's instance, run, events and schedule are 404 like unknown ones, and in no list."""
    run = await other.request()
    for instance_id, run_id in ((run["instance_id"], run["id"]), (str(uuid4()), str(uuid4()))):
        for method, path in (
            ("GET", f"/v1/instances/{instance_id}"),
            ("DELETE", f"/v1/instances/{instance_id}"),
            ("POST", f"/v1/instances/{instance_id}/runs"),
            ("GET", f"/v1/instances/{instance_id}/schedule"),
            ("DELETE", f"/v1/instances/{instance_id}/schedule"),
            ("GET", f"/v1/runs/{run_id}"),
            ("GET", f"/v1/runs/{run_id}/events"),
            ("GET", f"/v1/runs/{run_id}/figures"),
            ("GET", f"/v1/runs/{run_id}/telemetry"),
            ("GET", f"/v1/runs/{run_id}/telemetry/0"),
            ("POST", f"/v1/runs/{run_id}/cancel"),
        ):
            is_problem(await supplier.client.request(method, path), 404, "not_found")
        path, body = f"/v1/instances/{instance_id}/schedule", {"every_hours": 6}
        is_problem(await supplier.client.put(path, json=body), 404, "not_found")
    assert (await other.client.get(f"/v1/runs/{run['id']}")).json() == run
    for path in ("/v1/instances", "/v1/runs", "/v1/results"):
        params = {"instance_id": run["instance_id"]}
        assert (await supplier.client.get(path, params=params)).json()["items"] == []


async def test_a_queued_run_is_cancelled_in_the_answer(
    supplier: Supplier, is_problem: Problem
) -> None:
    """It ends at once, cancelling it again changes nothing, and its instance may be tested again."""
    run = await supplier.request()
    reader = {"x-api-key": await supplier.key("read")}
    path = f"/v1/runs/{run['id']}/cancel"
    is_problem(await supplier.api.client.post(path, headers=reader), 403, "not_allowed")
    answer = await supplier.client.post(path)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["state"], said["finished"]) == ("cancelled", True)
    assert said["error"]["code"] == "cancelled"
    assert said["cancel_requested_at"] == said["finished_at"] is not None
    assert (await supplier.client.post(path)).json() == said
    again = await supplier.client.post(f"/v1/instances/{run['instance_id']}/runs")
    assert again.status_code == 202


async def test_a_run_at_work_is_cancelled_by_its_worker(
    databases: Databases, supplier: Supplier
) -> None:
    """The answer has the wish and when it was made; the run is unfinished until its worker has ended it."""
    run_id = await supplier.claimed_run()
    said = (await supplier.client.post(f"/v1/runs/{run_id}/cancel")).json()
    assert (said["state"], said["finished"]) == ("connecting", False)
    assert said["cancel_requested_at"] is not None
    again = (await supplier.client.post(f"/v1/runs/{run_id}/cancel")).json()
    assert again == said
    assert (await supplier.client.get(f"/v1/runs/{run_id}")).json() == said


async def test_a_run_that_has_ended_is_not_cancelled(
    databases: Databases, supplier: Supplier
) -> None:
    """Too late is no error: the run comes back as it ended, with its result."""
    await supplier.onboard(instance_id="m1")
    run_id = await asyncio.to_thread(Storyteller(databases.logins).finished, passing())
    answer = await supplier.client.post(f"/v1/runs/{run_id}/cancel")
    assert answer.status_code == 200
    said = answer.json()
    assert (said["state"], said["cancel_requested_at"]) == ("passed", None)
    assert said["result"]["run_id"] == str(run_id)
    assert (await supplier.client.get(f"/v1/runs/{run_id}")).json() == said


async def test_problems_are_complete(supplier: Supplier, is_problem: Problem) -> None:
    """Validation, unknown paths, wrong methods and bad cursors have code, remedy and pointers, and no class leaks."""
    run = await supplier.request()
    path = f"/v1/instances/{run['instance_id']}/runs"
    answer = await supplier.client.post(path, json={"batch_size": 0, "colour": "red"})
    is_problem(answer, 422, "invalid_input")
    assert {each["pointer"] for each in answer.json()["errors"]} == {"batch_size", "colour"}
    is_problem(await supplier.client.get("/v1/runs/not-an-id"), 422, "invalid_input")
    is_problem(await supplier.client.get("/v1/runs", params={"limit": 0}), 422, "invalid_input")
    is_problem(await supplier.client.get("/v1/runs", params={"cursor": "x"}), 400, "invalid_input")
    is_problem(await supplier.client.get("/v1/nothing"), 404, "not_found")
    is_problem(await supplier.client.put("/v1/runs"), 405, "method_not_allowed")
    headers = {"Last-Event-ID": "x"}
    answer = await supplier.client.get(f"/v1/runs/{run['id']}/events", headers=headers)
    is_problem(answer, 400, "invalid_input")


@pytest.mark.parametrize("path", ["/functions/v1/onboard-gpu", "/v1/auth/sign-up"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_over_a_megabyte_is_refused(
    supplier: Supplier, path: str, chunked: bool
) -> None:
    """More than 1 MiB is not read, whether the length was announced or not; just under it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (1 << 18)

    headers = {"Content-Type": "application/json"}
    content = pieces() if chunked else b" " * ((1 << 20) + 1)
    answer = await supplier.client.post(path, content=content, headers=headers)
    assert answer.status_code == (400 if path.startswith("/functions") else 413), answer.text
    assert answer.json()["code"] == "body_too_large"
    small = await supplier.client.post(path, content=b" " * (1 << 19), headers=headers)
    assert "Too Large" not in small.text


async def test_a_schedule_is_put_read_and_removed(supplier: Supplier, is_problem: Problem) -> None:
    """Either hours or a cron line in a zone; what can't be read is refused with its reason."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}/schedule"
    is_problem(await supplier.client.get(path), 404, "not_found")
    body = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "jitter_seconds": 60}
    made = (await supplier.client.put(path, json=body)).json()
    assert (made["cron"], made["timezone"], made["enabled"]) == ("0 3 * * *", "Europe/Berlin", True)
    assert (made["misfire"], made["firings"]) == ("run_once", [])
    body = {"every_hours": 6, "misfire": "skip"}
    changed = (await supplier.client.put(path, json=body)).json()
    assert (changed["id"], changed["every_hours"], changed["cron"]) == (made["id"], 6, None)
    assert changed["misfire"] == "skip"
    assert (await supplier.client.get(path)).json() == changed
    for wrong in ({}, {"every_hours": 0}, {"cron": "x"}, {"cron": "0 3 * * *", "timezone": "Mars"}):
        is_problem(await supplier.client.put(path, json=wrong), 400, "invalid_input")
    assert (await supplier.client.delete(path)).status_code == 204
    is_problem(await supplier.client.delete(path), 404, "not_found")


async def test_a_schedule_tells_what_became_of_its_due_times(
    databases: Databases, supplier: Supplier
) -> None:
    """Missed due times are one line with their number, and the one that was made up for names its run."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}/schedule"
    await supplier.client.put(path, json={"every_hours": 1})
    with psycopg.connect(databases.logins.owner) as connection:
        connection.execute(
            "UPDATE gpu_test_schedules SET next_due_at = now() - interval '130 minutes',"
            " next_fire_at = now() - interval '130 minutes'"
        )
    assert await fire_due(databases.worker) == 1
    said = (await supplier.client.get(path)).json()
    fired, missed = said["firings"]
    [run] = (await supplier.client.get("/v1/runs")).json()["items"]
    assert (fired["outcome"], fired["run_id"], fired["times"]) == ("fired", run["id"], 1)
    assert (missed["outcome"], missed["run_id"], missed["times"]) == ("missed", None, 2)
    assert missed["due_at"] < missed["last_due_at"] < fired["due_at"] == run["due_at"]
    assert said["last_outcome"] == "fired"


async def test_readiness_asks_the_database(api: Api) -> None:
    """healthz is the process's own; readyz fails with 503 and a sentence while PostgreSQL is away."""
    assert (await api.client.get("/healthz")).json() == {"status": "ok"}
    assert (await api.client.get("/readyz")).json() == {"status": "ready"}
    gone = Database("postgresql://harborx_api@127.0.0.1:1/none")
    async with connect(application(gone)) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert "127.0.0.1" not in answer.text
    await gone.close()


async def test_without_postgresql_callers_are_told_to_come_back(
    supplier: Supplier, is_problem: Problem
) -> None:
    """An endpoint that meets no database answers 503 with Retry-After, in the form of its own errors."""
    gone = Database("postgresql://harborx_api@127.0.0.1:1/none")
    headers = {"Authorization": f"Bearer {supplier.token}"}
    async with connect(application(gone), headers) as client:
        answer = await client.get("/v1/instances")
        is_problem(answer, 503, "database_unavailable")
        body = {"gpu_instance_id": str(uuid4())}
        old = await client.post("/functions/v1/request-gpu-test", json=body)
        assert (old.status_code, old.json()["code"]) == (503, "database_unavailable")
        assert old.json()["error"]
        assert int(answer.headers["retry-after"]) == int(old.headers["retry-after"]) > 0
    await gone.close()


async def test_the_document_tells_the_errors(api: Api) -> None:
    """OpenAPI names every operation once, and its errors by their status in the form they are answered in."""
    document = (await api.client.get("/openapi.json")).json()
    operations = {
        operation["operationId"]: (
            path,
            {status: resolved(document, each) for status, each in operation["responses"].items()},
        )
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    assert len(operations) == sum(map(len, document["paths"].values()))
    open_to_all = {"listListing", "getListed", "getBadge"}
    for name, (path, responses) in operations.items():
        errors = {status: each for status, each in responses.items() if status[0] in "45"}
        form = "application/problem+json"
        if path.startswith("/v1/"):
            assert {"404", "422", "503"} <= errors.keys()
            assert ("401" in errors) == (name not in open_to_all)
        elif path.startswith("/functions/"):
            assert {"400", "401", "404", "503"} <= errors.keys()
            form = "application/json"
        assert all(list(each["content"]) == [form] for each in errors.values())
        assert all(
            "Retry-After" in each["headers"] for status, each in errors.items() if status == "503"
        )
    conflicts = {name for name, (_, told) in operations.items() if "409" in told}
    assert conflicts == {
        *("requestRun", "signUp", "changeInventory", "deleteInventory"),
        *("changeInstance", "deleteInstance", "acceptHostKey"),
    }
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_a_fault_of_ours_tells_nothing(api: Api, supplier: Supplier) -> None:
    """An unexpected error is a 500 without traceback or values."""
    with psycopg.connect(api.databases.logins.owner) as connection:
        connection.execute("ALTER TABLE gpu_instances RENAME TO hidden_name")
    answer = await supplier.client.get("/v1/instances")
    assert (answer.status_code, answer.json()["code"]) == (500, "database_error")
    assert "gpu_instances" not in answer.text
