"""The three endpoints of the old system, exactly as its front end and its agent call them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncssh
import pytest

from tests.api.conftest import Api, Supplier

ONBOARD, REQUEST, SUBMIT = (
    f"/functions/v1/{name}" for name in ("onboard-gpu", "request-gpu-test", "submit-test-results")
)
GUIDE: dict[str, Any] = {
    "test_type": "resnet50",
    "batch_size": 32,
    "num_epochs": 1,
    "image_size": 224,
    "throughput_samples_per_sec": 245.5,
    "throughput_images_per_sec": 245.5,
    "latency_ms": 130.2,
    "gpu_utilization_percent": 98.5,
    "memory_used_gb": 45.2,
    "memory_total_gb": 80.0,
    "power_draw_watts": 350.0,
    "temperature_celsius": 65.0,
    "loss": 6.234,
    "test_duration_seconds": 120,
    "system_telemetry": {"gpu_name": "NVIDIA H100", "gpu_count": 1, "ram_gb": 503.5},
    "raw_results": {"note": "by hand"},
}


async def inventory_status(supplier: Supplier, instance: dict[str, Any]) -> str:
    import psycopg

    with psycopg.connect(supplier.api.databases.logins.owner) as connection:
        row = connection.execute(
            "SELECT status FROM gpu_inventory WHERE id = %s", (instance["gpu_inventory_id"],)
        ).fetchone()
    assert row is not None
    return str(row[0])


async def test_onboarding_answers_as_the_front_end_expects(supplier: Supplier) -> None:
    """The guide's payload is put on record under the old names, pending, with an inactive inventory item."""
    body = {
        "instance_id": 12345678,
        "offer_id": "987654",
        "machine_id": "machine-123",
        "ssh_host": "your-gpu-host.com",
        "ssh_port": 2222,
        "ssh_user": "root",
        "gpu_name": "NVIDIA H100",
        "gpu_count": 1,
        "cuda_version": "12.1",
        "disk_space_gb": 100,
        "cpu_count": 32,
        "metadata": {"rack": 7},
        "unknown": 1,
    }
    answer = await supplier.client.post(ONBOARD, json=body)
    assert answer.status_code == 200
    said = answer.json()
    assert said.keys() == {"success", "gpu_instance", "inventory_id", "message", "public_key"}
    assert said["success"] is True
    assert said["public_key"].startswith("ssh-ed25519 ")
    instance = said["gpu_instance"]
    assert {name: instance[name] for name in body if name in instance} == {
        name: body[name] for name in body if name in instance
    }
    assert (instance["vast_instance_id"], instance["vast_offer_id"]) == ("12345678", "987654")
    assert instance["vast_machine_id"] == "machine-123"
    assert (instance["status"], instance["test_status"]) == ("pending", "not_started")
    assert (instance["user_id"], instance["gpu_inventory_id"]) == (
        str(supplier.user_id),
        said["inventory_id"],
    )
    assert await inventory_status(supplier, instance) == "inactive"
    again = await supplier.client.post(ONBOARD, json=body)
    assert (again.status_code, again.json()["code"]) == (400, "already_onboarded")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"instance_id": None}, "instance_id"),
        ({"instance_id": ""}, "instance_id"),
        ({"ssh_host": None}, "ssh_host"),
        ({"ssh_host": "a b; rm -rf"}, "ssh_host"),
        ({"ssh_port": "many"}, "ssh_port"),
        ({"ssh_port": 0}, "ssh_port"),
        ({"ssh_user": "-oProxyCommand=x y"}, "ssh_user"),
        ({"gpu_name": "a\x00b"}, "gpu_name"),
        ({"gpu_count": -1}, "gpu_count"),
        ({"disk_space_gb": float("nan")}, "disk_space_gb"),
        ({"metadata": {"a": float("inf")}}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata"),
        ({"metadata": {"a": "x" * 70_000}}, "metadata"),
        ({"metadata": []}, "metadata"),
    ],
    ids=str,
)
async def test_a_bad_field_is_named(supplier: Supplier, change: dict[str, Any], named: str) -> None:
    """Missing and mistyped fields are 400 with an `error` that names them; nothing is stored."""
    import json

    body = {"instance_id": "one", "ssh_host": "host.example", **change}
    content = json.dumps({name: value for name, value in body.items() if value is not None})
    headers = {"Content-Type": "application/json"}
    answer = await supplier.client.post(ONBOARD, content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]
    assert answer.json()["code"] == "invalid_input"
    assert (await supplier.client.get("/v1/instances")).json()["items"] == []


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[1]", b"[" * 100_000, b"9" * 5000, b"\xff"]
)
@pytest.mark.parametrize("path", [ONBOARD, REQUEST, SUBMIT])
async def test_a_body_that_is_no_object_is_400(
    supplier: Supplier, path: str, content: bytes
) -> None:
    """Whatever is sent for JSON, the answer is a 400 with an `error`."""
    headers = {"Content-Type": "application/json"}
    answer = await supplier.client.post(path, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", [ONBOARD, REQUEST])
async def test_without_a_token_nothing_is_done(api: Api, path: str) -> None:
    """No token and a wrong one are 401 in the old form."""
    body = {"instance_id": "x", "ssh_host": "h", "gpu_instance_id": str(uuid4())}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        answer = await api.client.post(path, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
        assert answer.json()["error"]


async def test_keys_go_in_and_never_come_out(supplier: Supplier) -> None:
    """A supplied key is taken, encrypted ones with their passphrase; no answer holds a private half again."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    plain = key.export_private_key().decode()
    locked = key.export_private_key(passphrase="open sesame").decode()
    for number, fields in enumerate(
        ({"ssh_key": plain}, {"ssh_key": locked, "ssh_key_passphrase": "open sesame"})
    ):
        body = {"instance_id": f"k{number}", "ssh_host": "h", **fields}
        answer = await supplier.client.post(ONBOARD, json=body)
        assert answer.status_code == 200, answer.text
        assert (
            answer.json()["public_key"].split()[:2] == key.export_public_key().decode().split()[:2]
        )
        listed = await supplier.client.get("/v1/instances")
        one = await supplier.client.get(f"/v1/instances/{answer.json()['gpu_instance']['id']}")
        for text in (answer.text, listed.text, one.text):
            assert "PRIVATE KEY" not in text
            assert plain.splitlines()[1] not in text
            assert "sesame" not in text
    for fields, reason in (
        ({"ssh_key": locked}, "encrypted"),
        ({"ssh_key": locked, "ssh_key_passphrase": "wrong"}, "passphrase"),
        ({"ssh_key": "not a key"}, "key"),
    ):
        body = {"instance_id": "bad", "ssh_host": "h", **fields}
        answer = await supplier.client.post(ONBOARD, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "credential_unusable")
        assert reason in answer.json()["error"]


async def test_a_test_is_requested(supplier: Supplier) -> None:
    """The answer has the old shape plus the run; asking again names the same run."""
    instance = await supplier.onboard(ssh_port=2200, ssh_user="ubuntu", gpu_name="NVIDIA H100")
    body = {"gpu_instance_id": instance["id"], "options": {"batch_size": 8}}
    answer = await supplier.client.post(REQUEST, json=body)
    assert answer.status_code == 200
    said = answer.json()
    assert said.keys() == {"success", "message", "connection_info", "submit_url", "run_id"}
    assert said["connection_info"] == {
        "gpu_instance_id": instance["id"],
        "ssh_host": "host.example",
        "ssh_port": 2200,
        "ssh_user": "ubuntu",
        "gpu_name": "NVIDIA H100",
    }
    assert said["submit_url"] == f"http://harborx.test{SUBMIT}"
    run = (await supplier.client.get(f"/v1/runs/{said['run_id']}")).json()
    assert (run["state"], run["options"]["batch_size"]) == ("queued", 8)
    again = (await supplier.client.post(REQUEST, json=body)).json()
    assert (again["success"], again["run_id"]) == (True, said["run_id"])


async def test_only_own_instances_are_tested(supplier: Supplier, other: Supplier) -> None:
    """Unknown, malformed and other suppliers' ids are 404; bad options are 400."""
    theirs = await other.onboard()
    for name in (str(uuid4()), "not-an-id", theirs["id"]):
        answer = await supplier.client.post(REQUEST, json={"gpu_instance_id": name})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    body = {"gpu_instance_id": theirs["id"], "options": {"batch_size": 0}}
    assert (await other.client.post(REQUEST, json=body)).status_code == 400
    assert (await supplier.client.post(REQUEST, json={})).status_code == 400


@pytest.mark.parametrize("way", ["header", "body", "service"])
async def test_the_guides_result_makes_the_instance_active(supplier: Supplier, way: str) -> None:
    """A good submission, signed in header or body, is scored from the measured name and activates both rows."""
    instance = await supplier.onboard()
    key = await supplier.api.service_key() if way == "service" else await supplier.key("submit")
    payload = {"gpu_instance_id": instance["id"], **GUIDE}
    headers = {"x-api-key": key} if way == "header" else {}
    if way != "header":
        payload["api_key"] = key
    answer = await supplier.api.client.post(SUBMIT, json=payload, headers=headers)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said.keys() == {"success", "test_result", "message"}
    result = said["test_result"]
    assert result["compute_miles_per_hour"] == 1_325_700.0
    assert (result["verdict"], result["source"], result["run_id"]) == ("passed", "submitted", None)
    assert (result["measured_gpu_name"], result["raw_results"]) == (
        "NVIDIA H100",
        {"note": "by hand"},
    )
    assert result["user_id"] == str(supplier.user_id)
    assert key not in answer.text
    after = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (after["status"], after["test_status"], after["ram_gb"]) == (
        "active",
        "completed",
        503.5,
    )
    assert after["gpu_name"] == "NVIDIA H100"  # nothing was claimed, so the measured name fills it
    assert after["latest_result"]["id"] == result["id"]
    assert await inventory_status(supplier, instance) == "active"


@pytest.mark.parametrize(
    "change",
    [
        {"error_message": "CUDA out of memory"},
        {"throughput_samples_per_sec": 0, "throughput_images_per_sec": 0},
        {"throughput_samples_per_sec": None, "throughput_images_per_sec": None},
        {"system_telemetry": {"gpu_name": "Tesla T4", "gpu_count": 1}},
        {"system_telemetry": {"gpu_name": "NVIDIA H100", "gpu_count": 0}},
        {"throughput_samples_per_sec": 60_000, "latency_ms": None},
    ],
    ids=str,
)
async def test_a_bad_result_fails_the_instance(supplier: Supplier, change: dict[str, Any]) -> None:
    """An error, no throughput, another card, fewer cards or impossible speed end `failed` and inactive."""
    instance = await supplier.onboard(gpu_name="NVIDIA H100", gpu_count=1)
    payload = {"gpu_instance_id": instance["id"], **GUIDE, **change}
    headers = {"x-api-key": await supplier.key("submit")}
    answer = await supplier.api.client.post(SUBMIT, json=payload, headers=headers)
    assert (answer.status_code, answer.json()["test_result"]["verdict"]) == (200, "failed")
    after = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (after["status"], after["test_status"]) == ("failed", "failed")
    assert await inventory_status(supplier, instance) == "inactive"


@pytest.mark.parametrize(
    "change",
    [
        {"throughput_samples_per_sec": float("nan")},
        {"loss": float("inf")},
        {"throughput_images_per_sec": -1},
        {"gpu_utilization_percent": 101},
        {"test_type": "bitcoin"},
        {"raw_results": {"a": float("nan")}},
        {"raw_results": {"a": "x" * 700_000}},
        {"system_telemetry": {"gpu_count": "many"}},
        {"gpu_instance_id": None},
        {"error_message": "\ud800"},
    ],
    ids=lambda change: str(change)[:60],
)
async def test_a_figure_that_is_none_is_refused(supplier: Supplier, change: dict[str, Any]) -> None:
    """NaN, infinity, impossible and mistyped figures are 400 and leave instance and results untouched."""
    import json

    instance = await supplier.onboard()
    key = await supplier.key("submit")
    payload = {"gpu_instance_id": instance["id"], **GUIDE, **change}
    headers = {"x-api-key": key, "Content-Type": "application/json"}
    answer = await supplier.api.client.post(SUBMIT, content=json.dumps(payload), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    after = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (after["status"], after["latest_result"]) == ("pending", None)


async def test_a_key_submits_for_its_own_instances(supplier: Supplier, other: Supplier) -> None:
    """Another supplier's instance and unknown ids are 404; no key, a wrong one and a session are 401."""
    theirs = await other.onboard()
    headers = {"x-api-key": await supplier.key("submit")}
    for name in (theirs["id"], str(uuid4()), "nonsense"):
        payload = {"gpu_instance_id": name, **GUIDE}
        answer = await supplier.api.client.post(SUBMIT, json=payload, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    for key in ("", "any-key-at-all", "hx_live_AAAAAAAA_wrong", supplier.token):
        payload = {"gpu_instance_id": theirs["id"], **GUIDE}
        answer = await supplier.api.client.post(SUBMIT, json=payload, headers={"x-api-key": key})
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert (await other.client.get("/v1/results")).json()["items"] == []


async def test_a_submission_during_a_run_changes_no_status(supplier: Supplier) -> None:
    """While a run of ours is under way it decides: a submission is kept and settles nothing."""
    instance = await supplier.onboard()
    await supplier.client.post(REQUEST, json={"gpu_instance_id": instance["id"]})
    payload = {"gpu_instance_id": instance["id"], **GUIDE}
    headers = {"x-api-key": await supplier.key("submit")}
    assert (
        await supplier.api.client.post(SUBMIT, json=payload, headers=headers)
    ).status_code == 200
    after = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (after["status"], after["test_status"]) == ("testing", "running")
    assert after["latest_result"]["source"] == "submitted"


@pytest.mark.parametrize("missing", ["latency_ms", "system_telemetry"])
async def test_a_bare_number_activates_nothing(supplier: Supplier, missing: str) -> None:
    """A submission that no check could have failed is kept as inconclusive and changes no status."""
    instance = await supplier.onboard()
    payload = {"gpu_instance_id": instance["id"], **GUIDE}
    del payload[missing]
    headers = {"x-api-key": await supplier.key("submit")}
    answer = await supplier.api.client.post(SUBMIT, json=payload, headers=headers)
    assert answer.json()["test_result"]["verdict"] == "inconclusive"
    after = (await supplier.client.get(f"/v1/instances/{instance['id']}")).json()
    assert (after["status"], after["test_status"]) == ("pending", "not_started")


@pytest.mark.parametrize("path", [ONBOARD, REQUEST, SUBMIT, "/v1/instances"])
async def test_a_browsers_preflight_is_answered(api: Api, path: str) -> None:
    """supabase-js may ask from another origin with the headers it sends, and reads the answer."""
    wanted = "authorization, x-client-info, apikey, content-type"
    answer = await api.client.options(
        path,
        headers={
            "Origin": "https://harborx.ai",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": wanted,
        },
    )
    assert answer.status_code == 200
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed or allowed == "*" for name in wanted.split(", "))
    assert answer.headers["access-control-allow-origin"] == "*"
    refused = await api.client.post(ONBOARD, json={}, headers={"Origin": "https://harborx.ai"})
    assert refused.headers["access-control-allow-origin"] == "*"
