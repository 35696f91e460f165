"""Databases of the product with as many results as are asked for, in an embedded PostgreSQL of their own."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import make_url

from orchestrator.database.embedded import embedded_server
from orchestrator.database.logins import Logins
from orchestrator.database.schema import apply_schema

# Loading is not what is measured: a crash would lose nothing that we want to keep.
_LOADING: Final = (
    "ALTER SYSTEM SET synchronous_commit = off",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
    "ALTER SYSTEM SET checkpoint_timeout = '30min'",
    "ALTER SYSTEM SET autovacuum = off",
    "SELECT pg_reload_conf()",
)
_LOADED: Final = ("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
_SUPPLIER: Final = "INSERT INTO profiles (email) VALUES ('bench@example.com') RETURNING id"
_INSTANCES: Final = """
    INSERT INTO gpu_instances (user_id, vast_instance_id, ssh_host, status, test_status, lets_us_in, gpu_name, gpu_count,
                               price_per_hour, location, provider, tested_at)
    SELECT %s, 'm-' || n, 'host-' || n || '.example', 'active', 'completed', true, 'NVIDIA H100 80GB HBM3', 8,
           2.5, 'Frankfurt', 'custom', now()
    FROM generate_series(1, %s) n
"""
# One row each, so that the months that they lie in are made as the product makes them.
_MONTHS: Final = """
    INSERT INTO gpu_test_results (gpu_instance_id, user_id, source, verdict, created_at)
    SELECT i.id, i.user_id, 'submitted', 'inconclusive', now() - make_interval(months => n)
    FROM (SELECT * FROM gpu_instances LIMIT 1) i, generate_series(0, %s - 1) n
"""
# As wide as what a test of one card leaves, but for findings and the texts of evidence, which are few and short here.
_RESULTS: Final = """
    INSERT INTO gpu_test_results (
        gpu_instance_id, user_id, run_id, source, batch_size, throughput_images_per_sec, throughput_samples_per_sec, latency_ms,
        gpu_utilization_percent, memory_used_gb, memory_total_gb, power_draw_watts, temperature_celsius, loss,
        measured_gpu_name, measured_gpu_count, throughput_low, throughput_high, variation_percent,
        inference_images_per_sec, mfu_percent, configuration_hash, configuration, profile, mode, channels_last,
        budget_seconds, device, precision, model_source, torch_version, cuda_version, driver_version, images, steps,
        measured_seconds, agent_sha256, verdict, evidence, test_duration_seconds, started_at, completed_at, raw_results,
        created_at)
    SELECT t.instance_id, t.user_id, t.run_id, CASE WHEN t.run_id IS NULL THEN 'submitted' ELSE 'pushed' END,
        256, t.rate, t.rate, 256000 / t.rate, 98, 41.5, 79.6, 650 + random() * 20, 62, 6.9,
        'NVIDIA H100 80GB HBM3', 8, t.rate * 0.999, t.rate * 1.001, 0.04, t.rate * 3.1, 41, '0123456789abcdef',
        '{"batch_size": 256, "image_size": 224, "precision": "amp-bf16", "mode": "cuda-graph"}', 'quick', 'cuda-graph',
        true, 60, 'cuda', 'amp-bf16', 'torchvision', '2.13.0', '13.0', '580.95.05', 76800, 300, 31.5,
        repeat('0a', 32), 'passed', '[{"check": "throughput", "passed": true, "text": "2450.1 images/s"}]', 75,
        t.at - interval '80 s', t.at, '{"first_loss": 7.1, "warmup_steps": 30}', t.at
    FROM {told} t
"""
# Each instance has as many a month as fall to it, evenly in time.
_MONTH_OF_SUBMITTED: Final = """(
    SELECT i.id AS instance_id, i.user_id, NULL::uuid AS run_id, 2400 + random() * 100 AS rate,
           m.begins + (m.ends - m.begins) * ((n - random()) / %(each)s) AS at
    FROM generate_series(1, %(each)s) n CROSS JOIN gpu_instances i,
    (SELECT date_trunc('month', now()) - make_interval(months => %(ago)s) AS begins,
            least(now(), date_trunc('month', now()) - make_interval(months => %(ago)s - 1)) AS ends) m
    WHERE i.user_id = %(user)s
    ORDER BY n)"""
_RUNS: Final = """
    INSERT INTO gpu_test_runs (user_id, instance_id, requested_by, state, epoch, attempt, worker, instance_status,
                               instance_test_status, last_seq, created_at, claimed_at, started_at, finished_at, cleaned_at)
    SELECT t.user_id, t.instance_id, 'schedule', 'passed', 1, 1, 'worker-1', 'active', 'completed', 90,
           t.at - interval '80 s', t.at - interval '79 s', t.at - interval '75 s', t.at, t.at
    FROM {told} t
"""
_MONTH_OF_RUNS: Final = """(
    SELECT instance_id, user_id, id AS run_id, 2400 + random() * 100 AS rate, finished_at AS at FROM gpu_test_runs
    WHERE finished_at >= date_trunc('month', now()) - make_interval(months => %(ago)s)
      AND finished_at < date_trunc('month', now()) - make_interval(months => %(ago)s - 1) AND user_id = %(user)s
    ORDER BY finished_at)"""
_SIZES: Final = """
    SELECT count(*), sum(pg_table_size(tableoid::regclass)) FILTER (WHERE first), sum(pg_indexes_size(tableoid::regclass))
        FILTER (WHERE first)
    FROM (SELECT tableoid, row_number() OVER (PARTITION BY tableoid) = 1 AS first FROM gpu_test_results) every
"""


@dataclass(frozen=True)
class Growth:
    """A database that is filled: its logins and its supplier."""

    logins: Logins
    user_id: UUID
    results: int

    def owner(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.logins.owner, autocommit=True)

    def instances(self, count: int) -> list[UUID]:
        with self.owner() as owner:
            query = "SELECT id FROM gpu_instances ORDER BY md5(id::text) LIMIT %s"
            return [row[0] for row in owner.execute(query, (count,))]

    def sizes(self) -> dict[str, float]:
        """Bytes a result, all indexes of all months counted."""
        with self.owner() as owner:
            row = owner.execute(_SIZES.encode()).fetchone()
        assert row is not None
        return {
            "results": int(row[0]),
            "row_bytes": round(float(row[1]) / row[0], 1),
            "index_bytes": round(float(row[2]) / row[0], 1),
        }


@contextmanager
def server() -> Iterator[str]:
    """The owner's URL; all of it is gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="hx-growth-", ignore_cleanup_errors=True) as folder,
        embedded_server(Path(folder)) as url,
    ):
        yield url


def grown(url: str, name: str, *, instances: int, months: int, each: int, runs: bool) -> Growth:
    """A database with `each` results of every instance in each of the last `months`, with their runs or submitted."""
    logins = new_database(url, name)
    with psycopg.connect(logins.owner, autocommit=True) as owner:
        user_id = fill(owner, instances=instances, months=months, each=each, runs=runs)
    return Growth(logins, user_id, instances * months * each)


def new_database(url: str, name: str) -> Logins:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}".encode())
    logins = _logins(url, name)
    apply_schema(logins)
    return logins


def fill(
    owner: psycopg.Connection[Any],
    *,
    instances: int,
    months: int,
    each: int,
    runs: bool,
    user_id: UUID | None = None,
) -> UUID:
    """By the database itself, without the triggers that look references up: they hold by how rows are made."""
    for statement in _LOADING:
        owner.execute(statement.encode())
    if user_id is None:
        row = owner.execute(_SUPPLIER.encode()).fetchone()
        assert row is not None
        user_id = row[0]
    assert user_id is not None
    owner.execute(_INSTANCES.encode(), (user_id, instances))
    owner.execute(_MONTHS.encode(), (months,))
    owner.execute("SELECT make_result_months(1)")
    owner.execute("SET TimeZone = 'UTC'; SET session_replication_role = replica")
    owner.execute("DELETE FROM gpu_test_results")
    began = time.monotonic()
    for ago in reversed(range(months)):
        values = {"user": user_id, "each": each, "ago": ago}
        if runs:
            owner.execute(_RUNS.replace("{told}", _MONTH_OF_SUBMITTED).encode(), values)
        told = _MONTH_OF_RUNS if runs else _MONTH_OF_SUBMITTED
        owner.execute(_RESULTS.replace("{told}", told).encode(), values)
        done = (months - ago) * instances * each
        print(f"{done:,} results in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    owner.execute("SET session_replication_role = origin")
    for statement in _LOADED:
        owner.execute(statement.encode())
    owner.execute("VACUUM ANALYZE")
    owner.execute("CHECKPOINT")
    return user_id


def _logins(url: str, name: str) -> Logins:
    def login(user: str | None) -> str:
        own = make_url(url).set(database=name)
        own = own if user is None else own.set(username=user, password="bench")
        return own.render_as_string(hide_password=False)

    return Logins(login(None), login("harborx_api"), login("harborx_worker"), "bench", "bench")
