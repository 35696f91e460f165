"""A supplier's machines with a past, written past the engine: what pages look like when there is much to show."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

_GPUS = (
    ("NVIDIA H100 80GB HBM3", 2450.0, 640.0, 3.2),
    ("NVIDIA H200", 2710.0, 655.0, 4.1),
    ("NVIDIA A100-SXM4-80GB", 1310.0, 380.0, 1.7),
    ("NVIDIA GeForce RTX 4090", 1180.0, 410.0, 0.5),
    ("NVIDIA L40S", 905.0, 330.0, 0.9),
)
_EVIDENCE = [
    {"check": "GPU model", "passed": True, "text": "claimed NVIDIA H100, measured NVIDIA H100"},
    {
        "check": "throughput",
        "passed": True,
        "text": "2,450.00 images/s x 10.0 s against 24,500 images",
    },
    {
        "check": "physics",
        "passed": True,
        "text": "2,450 of at most 40,408 images/s a H100 could compute",
    },
    {"check": "steady clock", "passed": None, "text": "not told"},
]
_FAILED = [
    {"check": "GPU model", "passed": False, "text": "claimed NVIDIA H100, measured NVIDIA L40S"},
    *_EVIDENCE[1:],
]
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Fleet:
    """What was written; `watched` is a run with its whole story, `failed` one that ended badly."""

    user_id: str
    instances: list[UUID]
    watched: UUID
    failed: UUID


def fleet(
    owner: psycopg.Connection[tuple[Any, ...]], user_id: str, count: int = 12, past: int = 12
) -> Fleet:
    """`count` instances with up to `past` results each, one a day; the first has a run with every kind of event."""
    chance = random.Random(7)
    ids = [uuid4() for _ in range(count)]
    instances: Rows = []
    runs: Rows = []
    results: Rows = []
    for number, instance_id in enumerate(ids):
        name, speed, power, price = _GPUS[number % len(_GPUS)]
        status = ("active", "active", "active", "failed", "pending", "offline")[number % 6]
        tested = status != "pending"
        instances.append(
            (
                *(
                    instance_id,
                    user_id,
                    f"gpu-{number:04d}",
                    f"host-{number}.example",
                    name,
                    1 + number % 8,
                ),
                *(("Frankfurt", "Oslo", None)[number % 3], price, status),
                *("completed" if status == "active" else "failed" if tested else "not_started",),
            )
        )
        for day in range(past if tested else 0):
            run_id = uuid4()
            ago = f"{past - 1 - day} days {2 + number % 60} minutes"
            lost = day == past - 1 and status in ("failed", "offline")
            code = (
                None if not lost else "host_unreachable" if status == "offline" else "gpu_mismatch"
            )
            state = "passed" if not lost else "inconclusive" if status == "offline" else "failed"
            runs.append((run_id, user_id, instance_id, state, code, ago, ago, ago))
            if state != "inconclusive":
                rate = speed * (1 + chance.gauss(0, 0.006)) * (0.7 if lost else 1)
                watts = power * (1 + chance.gauss(0, 0.01))
                results.append(
                    _result(
                        run_id, user_id, instance_id, state, name, number, rate, watts, day, ago
                    )
                )
    with owner.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO gpu_instances (id, user_id, vast_instance_id, ssh_host, gpu_name, gpu_count, location,"
            " price_per_hour, status, test_status, tested_at, host_key)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now(), 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE"
            "8o0Yt7m1W7kXv3o0Yt7m1W7kXv3o0Yt7m1W7kXv3o0')",
            instances,
        )
        cursor.executemany(
            "INSERT INTO gpu_test_runs (id, user_id, instance_id, requested_by, state, error_code, error_message,"
            " instance_status, instance_test_status, created_at, started_at, finished_at, worker, attempt)"
            " VALUES (%s, %s, %s, 'schedule', %s, %s, NULL, 'active', 'completed', now() - %s::interval,"
            " now() - %s::interval + interval '9 s', now() - %s::interval + interval '52 s', 'worker-1', 1)",
            runs,
        )
        cursor.executemany(
            "INSERT INTO gpu_test_results (run_id, user_id, gpu_instance_id, source, verdict, measured_gpu_name,"
            " measured_gpu_count, throughput_images_per_sec, throughput_samples_per_sec, throughput_low,"
            " throughput_high, latency_ms, power_draw_watts, temperature_celsius, gpu_utilization_percent,"
            " memory_used_gb, memory_total_gb, variation_percent, driver_version, torch_version, cuda_version,"
            " precision, profile, mode, device, configuration_hash, configuration, evidence, created_at, completed_at)"
            " VALUES (%s, %s, %s, 'pushed', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 97.5, 10.4, 80.0, 0.42, %s, %s,"
            " '13.0', 'amp-bf16', 'quick', 'cuda-graph', 'cuda', '00112233445566aa', %s, %s,"
            " (SELECT finished_at FROM gpu_test_runs WHERE id = %s), now() - %s::interval + interval '52 s')",
            results,
        )
        cursor.execute(
            "UPDATE gpu_instances i SET tested_at = (SELECT max(r.finished_at) FROM gpu_test_runs r"
            " WHERE r.instance_id = i.id AND r.state IN ('passed', 'failed')) WHERE i.user_id = %s",
            (user_id,),
        )
    watched = _told_run(owner, user_id, ids[0])
    return Fleet(
        user_id,
        ids,
        watched,
        next(row[0] for row in runs if row[4] == "gpu_mismatch") if count > 3 else watched,
    )


def _result(
    run_id: UUID, user_id: str, instance_id: UUID, state: str, name: str, number: int,
    rate: float, watts: float, day: int, ago: str,
) -> tuple[Any, ...]:  # fmt: skip
    return (
        *(
            run_id,
            user_id,
            instance_id,
            state,
            name,
            1 + number % 8,
            rate,
            rate,
            rate * 0.998,
            rate * 1.002,
        ),
        *(
            32_000 / rate,
            watts,
            61 + day % 5,
            "570.86" if day < 6 else "580.12",
            "2.12.0" if day < 9 else "2.13.0",
        ),
        *(
            json.dumps({"batch_size": 32, "image_size": 224}),
            json.dumps(_EVIDENCE if state == "passed" else _FAILED),
            run_id,  # it is stamped as its run's end
            ago,
        ),
    )


def _told_run(owner: psycopg.Connection[tuple[Any, ...]], user_id: str, instance_id: UUID) -> UUID:
    """A run that passed just now, with the events of a minute on a card that throttled for a while."""
    run_id = uuid4()
    name, speed, _, _ = _GPUS[0]
    events = _story(name, speed)
    last = events[-1][0]
    with owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO gpu_test_runs (id, user_id, instance_id, requested_by, state, instance_status,"
            " instance_test_status, created_at, claimed_at, launched_at, started_at, finished_at, worker, attempt, last_seq)"
            " VALUES (%s, %s, %s, 'api', 'passed', 'active', 'completed', now() - interval '62 s', now() - interval '60 s',"
            " now() - interval '57 s', now() - interval '55 s', now() - interval '2 s', 'worker-1', 1, %s)",
            (run_id, user_id, instance_id, len(events)),
        )
        cursor.executemany(
            "INSERT INTO gpu_test_events (run_id, seq, user_id, at, t, type, body)"
            " VALUES (%s, %s, %s, now() - %s * interval '1 s', %s, %s, %s)",
            [
                (run_id, seq, user_id, last - at + 2, max(0.0, at - 5), kind, json.dumps(body))
                for seq, (at, kind, body) in enumerate(events, 1)
            ],
        )
        values = _result(
            run_id, user_id, instance_id, "passed", name, 0, speed, 640.0, 11, "1 second"
        )
        cursor.execute(
            "INSERT INTO gpu_test_results (run_id, user_id, gpu_instance_id, source, verdict, measured_gpu_name,"
            " measured_gpu_count, throughput_images_per_sec, throughput_samples_per_sec, throughput_low,"
            " throughput_high, latency_ms, power_draw_watts, temperature_celsius, gpu_utilization_percent,"
            " memory_used_gb, memory_total_gb, variation_percent, driver_version, torch_version, cuda_version,"
            " precision, profile, mode, device, configuration_hash, configuration, evidence, findings, created_at, completed_at)"
            " VALUES (%s, %s, %s, 'pushed', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 97.5, 10.4, 80.0, 0.42, %s, %s,"
            " '13.0', 'amp-bf16', 'quick', 'cuda-graph', 'cuda', '00112233445566aa', %s, %s,"
            ' \'[{"code": "thermal_throttle", "message": "card 0 was slowed by heat for 8 of 40 s"}]\','
            " (SELECT finished_at FROM gpu_test_runs WHERE id = %s), now() - %s::interval)",
            values,
        )
    return run_id


def _story(name: str, speed: float) -> list[tuple[float, str, dict[str, Any]]]:
    """(seconds, type, body) in order."""
    told: list[tuple[float, str, dict[str, Any]]] = [
        (2, "state", {"state": "connecting", "attempt": 1, "worker": "worker-1"}),
        (2.2, "host_key", {"fingerprint": "SHA256:abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "first_contact": True}),
        (2.5, "state", {"state": "preparing"}),
        (4.5, "state", {"state": "running", "attached": False, "pushed": "scp"}),
        (5, "started", {"agent": "0.1.0", "python": "3.12.3", "platform": "Linux", "boot_id": "b"}),
        (5.4, "probe", {"gpu_name": name, "gpu_count": 1, "driver_version": "580.12", "cuda_version": "13.0",
                        "cpu_model": "AMD EPYC 9654", "cpu_count": 192, "ram_gb": 1510.0}),
        (5.6, "provision", {"step": "found", "message": "torch 2.13.0 in /opt/conda", "interpreter": "/opt/conda/bin/python3"}),
        (5.7, "log", {"text": "Hello from the machine: a line that is no event"}),
    ]  # fmt: skip
    warming = {"phase": "warmup", "total": 12_000, "images_per_sec": speed * 0.9}
    told += [
        (second, "progress", {**warming, "done": (second - 5) * 2000}) for second in range(6, 12)
    ]
    for second in range(12, 52):
        hot = 25 <= second < 33
        rate = speed * (0.82 if hot else 1.0) * (1 + 0.004 * math.sin(second))
        reasons = ["sw_thermal"] if hot else []
        told.append((second, "progress", {"phase": "measure", "done": round((second - 11) * speed), "total": round(41 * speed), "images_per_sec": rate}))  # fmt: skip
        told.append((second + 0.1, "sample", {
            "gpu_index": 0, "power_watts": 640.0 - (110 if hot else 0) + 5 * math.sin(second * 1.7),
            "temperature_celsius": 58.0 + min(20, second / 2), "utilization_percent": 98.0, "memory_used_gb": 10.4,
            "sm_clock_mhz": 1500.0 if hot else 1980.0, "memory_clock_mhz": 2619.0, "clock_reasons": reasons,
            "pcie_generation": 5, "pcie_width": 16, "processes": 0}))  # fmt: skip
    told += [
        (
            52,
            "warning",
            {"code": "thermal_throttle", "message": "card 0 was slowed by heat for 8 of 40 s"},
        ),
        (52.4, "result", {"throughput_images_per_sec": speed}),
        (53, "state", {"state": "judging"}),
        (53.1, "ended", {"state": "passed", "code": None, "message": None}),
    ]
    return told
