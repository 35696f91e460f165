"""Figures and telemetry of runs over HTTP, and rankings within one configuration."""

from __future__ import annotations

import psycopg
import pytest

from remote_agent.machine import series
from tests.api.conftest import Api, Supplier

_FIGURE = """
INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, value, unit, configuration_hash,
                              configuration, at)
SELECT id, %s, user_id, instance_id, 'training', %s, 'images/s', %s, '{"batch_size": 32}', now()
FROM gpu_test_runs WHERE id = %s
"""
_TELEMETRY = """
INSERT INTO gpu_test_telemetry (run_id, gpu_index, user_id, interval_seconds, readings, columns, packed)
SELECT id, %s, user_id, 0.1, 2, '{power_watts}', %s FROM gpu_test_runs WHERE id = %s
"""
HASH, OTHER_HASH = "0123456789abcdef", "f" * 16


async def test_figures_are_ranked_within_one_configuration_only(
    api: Api, supplier: Supplier, other: Supplier
) -> None:
    """The greatest first, of one hash and of one's own; a figure of null is in no ranking but in its run."""
    mine, theirs = await supplier.request(), await other.request()
    rows = [
        (1, 100.0, HASH, mine["id"]),
        (2, 300.0, HASH, mine["id"]),
        (3, 900.0, OTHER_HASH, mine["id"]),
        (4, None, HASH, mine["id"]),
        (1, 500.0, HASH, theirs["id"]),
    ]
    with psycopg.connect(api.databases.logins.owner) as connection:
        connection.cursor().executemany(_FIGURE, rows)
    answer = await supplier.client.get("/v1/figures", params={"configuration_hash": HASH})
    assert [each["value"] for each in answer.json()] == [300.0, 100.0]
    assert answer.json()[0]["configuration"] == {"batch_size": 32}
    of_run = await supplier.client.get(f"/v1/runs/{mine['id']}/figures")
    assert [each["value"] for each in of_run.json()] == [100.0, 300.0, 900.0, None]


@pytest.mark.parametrize("wrong", ["", "0123", "G" * 16, "0" * 17])
async def test_a_hash_that_is_none_is_refused(supplier: Supplier, wrong: str) -> None:
    """16 hex digits, or the answer says that it is no hash."""
    answer = await supplier.client.get("/v1/figures", params={"configuration_hash": wrong})
    assert answer.status_code == 422


async def test_telemetry_comes_unpacked(api: Api, supplier: Supplier) -> None:
    """Each GPU's series as lists of numbers and nulls; what is no series is none, and no fault of ours."""
    run = await supplier.request()
    packed = series.pack(["power_watts"], [[612.5], [None]])
    with psycopg.connect(api.databases.logins.owner) as connection:
        connection.cursor().executemany(
            _TELEMETRY, [(0, packed, run["id"]), (1, b"nonsense", run["id"])]
        )
    told = (await supplier.client.get(f"/v1/runs/{run['id']}/telemetry")).json()
    assert [each["gpu_index"] for each in told] == [0, 1]
    assert told[0]["columns"] == ["power_watts"]
    path = f"/v1/runs/{run['id']}/telemetry"
    series_of = [(await supplier.client.get(f"{path}/{gpu}")).json()["series"] for gpu in (0, 1)]
    assert series_of == [{"power_watts": [612.5, None]}, {}]
    for gpu, status in ((2, 404), (64, 422)):
        assert (await supplier.client.get(f"{path}/{gpu}")).status_code == status
