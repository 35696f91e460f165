"""What a supplier has beside machines with a past: items, schedules, keys, a company, figures, a key on offer, a test at work."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg

from tests.dashboard.live_run import begin_run
from tests.dashboard.seed import Fleet

_OFFERED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXXXYt7m1W7kXv3o0Yt7m1W7kXv3o0Yt7m1W7kXv3o0"
_ITEMS = (
    ("NVIDIA H100 80GB HBM3", 8, 720, "active"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 1024, 168.5, "maintenance"),
    ("NVIDIA L40S", 2, 0, "inactive"),
)
_KEYS = (
    ("nightly report", "{read}", "90 days", "3 minutes"),
    ("nightly submissions of all machines in Frankfurt", "{submit}", None, None),
    ("old", "{read,test,submit}", "-2 days", "40 days"),
)
_Figure = tuple[str, int | None, float | None, str, dict[str, Any]]
_FIGURES: tuple[_Figure, ...] = (
    ("inference", None, 7120.0, "images/s", {"batch_size": 128, "precision": "fp16"}),
    ("training", None, 2450.0, "images/s", {"batch_size": 32, "precision": "amp-bf16"}),
    ("matmul bf16", 0, 742.0, "TFLOPS", {"size": 8192}),
    ("memory read", 0, 3015.0, "GB/s", {}),
    ("copy to device", 0, 52.4, "GB/s", {}),
    ("disk write", None, 1830.0, "MB/s", {}),
    ("peer to peer", 0, None, "GB/s", {}),
)
_ROLLUP = {
    name: {"min": low, "mean": (low + high) / 2, "p95": high * 0.98, "max": high}
    for name, low, high in (
        ("power_watts", 88.0, 648.0),
        ("temperature_celsius", 41.0, 78.0),
        ("sm_clock_mhz", 1500.0, 1980.0),
        ("utilization_percent", 0.0, 100.0),
        ("memory_used_gb", 0.6, 10.4),
    )
}


def furnish(owner: psycopg.Connection[tuple[Any, ...]], told: Fleet) -> None:
    """Into the account of a fleet of at least four instances; the fourth is being tested from then on."""
    _account(owner, told.user_id)
    _schedule(owner, told)
    for factor, run_id in ((1.0, told.watched), (0.96, told.failed)):
        _measured(owner, run_id, factor)
    _host_keys(owner, told)
    owner.execute(
        "INSERT INTO api_keys (user_id, name, public_id, secret_hash, scopes, expires_at, instance_id)"
        " VALUES (%s, 'run by hand', %s, %s, '{submit}', now() + interval '7 days', %s)",
        (told.user_id, os.urandom(8).hex(), os.urandom(32), told.instances[0]),
    )
    run = begin_run(owner, told.user_id, told.instances[3])
    rate = {"phase": "measure", "total": 90_000, "images_per_sec": 1180.0}
    run.tell(
        ("state", {"state": "running", "attached": False, "pushed": "scp"}),
        *(("progress", {**rate, "done": 1200 * step}) for step in range(1, 30)),
    )


def _account(owner: psycopg.Connection[tuple[Any, ...]], user_id: str) -> None:
    for model, quantity, hours, status in _ITEMS:
        owner.execute(
            "INSERT INTO gpu_inventory (user_id, gpu_model, quantity, hours_available, status) VALUES (%s, %s, %s, %s, %s)",
            (user_id, model, quantity, hours, status),
        )
    for name, scopes, ends, used in _KEYS:
        owner.execute(
            "INSERT INTO api_keys (user_id, name, public_id, secret_hash, scopes, expires_at, last_used_at)"
            " VALUES (%s, %s, %s, %s, %s, now() + %s::interval, now() - %s::interval)",
            (user_id, name, os.urandom(8).hex(), os.urandom(32), scopes, ends, used),
        )
    owner.execute(
        "INSERT INTO supplier_profiles (user_id, company_name, legal_business_name, contact_email, contact_phone,"
        " business_address, authorized_signatory, signatory_title, infrastructure_description)"
        " VALUES (%s, 'Fjord Compute', 'Fjord Compute AS', 'ops@fjord.example', '+47 22 00 00 00',"
        " 'Havnegata 1, 0150 Oslo', 'Kari Nordmann', 'CEO', 'Two halls, water cooled.')",
        (user_id,),
    )


def _host_keys(owner: psycopg.Connection[tuple[Any, ...]], told: Fleet) -> None:
    """Another one on offer beside one that was seen only; of a third machine one confirmed, and who vouches for others."""
    owner.execute(
        "UPDATE gpu_instances SET host_key_offered = %s, host_key_offered_at = now(), host_key_trust = 'first_contact'"
        " WHERE id = %s",
        (_OFFERED, told.instances[2]),
    )
    owner.execute(
        "UPDATE gpu_instances SET host_keys_proved = %s, host_key_trust = 'rotated', host_key_confirmed_at = now()"
        " WHERE id = %s",
        ([_OFFERED], told.instances[0]),
    )
    owner.execute(
        "INSERT INTO host_authorities (user_id, hosts, public_key, fingerprint) VALUES (%s, %s, %s, %s)",
        (
            told.user_id,
            "*.fleet.example,[gpu-?.other.example]:2222",
            _OFFERED,
            f"SHA256:{'k' * 43}",
        ),
    )


def _schedule(owner: psycopg.Connection[tuple[Any, ...]], told: Fleet) -> None:
    first = told.instances[0]
    for instance_id in told.instances[:3]:
        owner.execute(
            "INSERT INTO gpu_test_schedules (user_id, instance_id, cron, timezone, next_due_at, next_fire_at, last_due_at,"
            " last_outcome) VALUES (%s, %s, '0 3 * * *', 'Europe/Oslo', now() + interval '7 hours',"
            " now() + interval '7 hours', now() - interval '17 hours', 'fired')",
            (told.user_id, instance_id),
        )
    for days, outcome, run_id in (
        (0, "fired", told.watched),
        (1, "in_progress", None),
        (2, "missed", None),
    ):
        owner.execute(
            "INSERT INTO gpu_test_firings (schedule_id, user_id, due_at, last_due_at, outcome, run_id)"
            " SELECT id, user_id, last_due_at - %s * interval '1 day', last_due_at - %s * interval '1 day', %s, %s"
            " FROM gpu_test_schedules WHERE instance_id = %s",
            (days, days, outcome, run_id, first),
        )


def _measured(owner: psycopg.Connection[tuple[Any, ...]], run_id: Any, factor: float) -> None:
    """Further figures and readings; each figure with an interval of a percent."""
    for seq, (name, gpu, value, unit, told) in enumerate(_FIGURES, 1):
        measured = None if value is None else value * factor
        bounds = (None, None) if measured is None else (measured * 0.995, measured * 1.005)
        detail = {"error": "one GPU has no peer"} if value is None else {}
        owner.execute(
            "INSERT INTO gpu_test_figures (run_id, seq, user_id, instance_id, name, gpu_index, value, unit, low, high,"
            " configuration_hash, configuration, detail, at)"
            " SELECT id, %s, user_id, instance_id, %s, %s, %s, %s, %s, %s, '0123456789abcdef', %s, %s, now()"
            " FROM gpu_test_runs WHERE id = %s",
            (seq, name, gpu, measured, unit, *bounds, json.dumps(told), json.dumps(detail), run_id),
        )
    owner.execute(
        "INSERT INTO gpu_test_telemetry (run_id, gpu_index, user_id, gpu_uuid, interval_seconds, readings, columns, rollup,"
        " packed) SELECT id, 0, user_id, 'GPU-5f3c', 0.1, 412, '{power_watts}', %s, '\\x00' FROM gpu_test_runs WHERE id = %s",
        (json.dumps(_ROLLUP), run_id),
    )
