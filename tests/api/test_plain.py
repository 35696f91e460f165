"""Requests that are answered before the router are answered as the router would."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.api.shapes import RunShape
from orchestrator.database import results, runs, told_runs
from orchestrator.database.direct import Direct, Refused
from orchestrator.database.session import LOGIN
from orchestrator.database.session import supplier as acting_as
from tests.api.conftest import Supplier
from tests.api.rows import MEASURED
from tests.conftest import Databases

_ODD = "100 % \u001b[31mred\u202e \u00fc \U0001f600 \"quoted\" \\ 'single' \n"


def end(databases: Databases, run_id: str) -> None:
    """The run fails, with a result whose texts no terminal should see."""
    columns = MEASURED | {
        "findings": json.dumps([{"note": _ODD}]),
        "raw_results": json.dumps({"said": _ODD}),
    }
    with psycopg.connect(databases.logins.owner) as owner:
        owner.execute(
            "UPDATE gpu_test_runs SET state = 'failed', error_code = 'gpu_too_slow', error_message = %s,"
            " evidence = %s, finished_at = now() WHERE id = %s",
            (_ODD, json.dumps({"stderr": _ODD, "exit": 1.0}), run_id),
        )
        names = ", ".join(columns)
        places = ", ".join(["%s"] * len(columns))
        owner.execute(
            f"INSERT INTO gpu_test_results (run_id, user_id, gpu_instance_id, source, verdict, created_at, {names})"
            f" SELECT id, user_id, instance_id, 'pushed', 'failed', finished_at, {places} FROM gpu_test_runs WHERE id = %s",
            (*columns.values(), run_id),
        )


async def test_what_postgresql_tells_of_a_run_is_what_the_model_does(supplier: Supplier) -> None:
    """Queued, and ended with a result: byte for byte as the model of its rows, texts made safe."""
    run = await supplier.request()
    for _ in ("queued", "ended"):
        answer = await supplier.client.get(f"/v1/runs/{run['id']}")
        async with supplier.api.databases.api.transaction(acting_as(supplier.user_id)) as session:
            row = await runs.get(session, UUID(run["id"]))
            result = await results.of_run(session, row.id)
        assert answer.text == RunShape.of(row, result).model_dump_json()
        if row.finished_at is None:
            end(supplier.api.databases, run["id"])
    assert answer.json()["result"]["findings"] != [{"note": _ODD}]
    assert answer.json()["result"]["raw_results"] == {"said": _ODD}


async def test_a_plain_request_is_refused_as_any_other(
    supplier: Supplier, other: Supplier, is_problem: Any
) -> None:
    """Another supplier's run and machine are not there; a wrong option is pointed at, and nothing was requested."""
    instance = await supplier.onboard()
    path = f"/v1/instances/{instance['id']}/runs"
    wrong = await supplier.client.post(path, json={"batch_size": 0})
    is_problem(wrong, 422, "invalid_input")
    assert wrong.json()["errors"][0]["pointer"] == "batch_size"
    is_problem(await other.client.post(path, json={}), 404, "not_found")
    is_problem(await supplier.client.post(path, json={"device": "cpu"}), 400, "invalid_input")
    run = (await supplier.client.post(path, json={"batch_size": 64})).json()
    assert run["options"]["batch_size"] == 64
    is_problem(await other.client.get(f"/v1/runs/{run['id']}"), 404, "not_found")
    is_problem(await other.client.get(f"/v1/runs/{run['id']}/events"), 404, "not_found")
    is_problem(await supplier.client.post(path, json={}), 409, "run_in_progress")
    is_problem(await supplier.api.client.get(f"/v1/runs/{run['id']}"), 401, "not_authenticated")


async def test_nothing_of_a_caller_stays_on_a_connection(databases: Databases) -> None:
    """Who comes next on it, also after a statement that was refused, is the login itself."""
    user_id = await databases.new_supplier()
    direct = Direct(databases.api, most=1)
    who = "SELECT concat_ws('|', pg_backend_pid(), current_user, current_setting('request.jwt.claims', true))"
    first = await direct.ask(who, acting_as(user_id))
    with pytest.raises(Refused):
        await direct.ask("SELECT (1 / %s::integer)::text", acting_as(user_id), 0)
    then = await direct.ask(who, LOGIN)
    await direct.close()
    assert first is not None
    assert then is not None
    pid, role, _ = first.split("|")
    assert role == "authenticated"
    assert then.split("|")[:2] == [pid, "harborx_api"]
    assert str(user_id) not in then


async def test_quotes_in_a_login_are_text(databases: Databases) -> None:
    """What a caller is named by ends no literal."""
    user_id = await databases.new_supplier()
    direct = Direct(databases.api)
    named = acting_as(user_id, "api_key ';\\ DROP TABLE gpu_test_runs; --")
    assert await told_runs.run(direct, named, uuid4()) is None
    claims = await direct.ask("SELECT current_setting('request.jwt.claims')", named)
    await direct.close()
    assert json.loads(claims or "")["via"] == named.via
