"""The product as its users meet it: `harborx serve`, a real sshd, plain HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.machines import SshdMachine, bin_folder, sshd_machine

_HARBORX = str(Path(sys.executable).with_name("harborx"))
_WAIT = 120.0


@dataclass
class Server:
    """A running `harborx serve` and the supplier who uses it."""

    address: str
    socket_folder: str
    token: str = ""

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._send(path, json.dumps(body).encode(), "POST")

    def get(self, path: str) -> Any:
        return self._send(path, None, "GET")

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self._send(path, json.dumps(body).encode(), "PUT")

    def lines(self, path: str) -> Iterator[str]:
        """A stream's lines until the server ends it."""
        request = self._request(path, None, "GET")
        with urllib.request.urlopen(request, timeout=_WAIT) as answer:
            for line in answer:
                yield line.decode().rstrip("\n")

    def _send(self, path: str, data: bytes | None, method: str) -> Any:
        with urllib.request.urlopen(self._request(path, data, method), timeout=30) as answer:
            return json.load(answer)

    def _request(self, path: str, data: bytes | None, method: str) -> urllib.request.Request:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return urllib.request.Request(self.address + path, data, headers, method=method)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`harborx serve` with the embedded PostgreSQL, from nothing."""
    folder = tmp_path_factory.mktemp("hx")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HARBORX_")},
        "HARBORX_STATE_DIR": str(folder),
        "HARBORX_SSH__ALLOWED_NETWORKS": "127.0.0.0/8",
        "HARBORX_LOG__LEVEL": "warning",
    }
    command = [_HARBORX, "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=folder)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        yield Server(address, str(folder / "postgresql"))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SshdMachine]:
    with sshd_machine(path=bin_folder(tmp_path / "bin", python3=sys.executable)) as sshd:
        yield sshd


@pytest.mark.timeout(400)
def test_a_supplier_onboards_tests_and_reads_and_a_schedule_repeats_it(
    server: Server, machine: SshdMachine
) -> None:
    """Three requests turn a machine into a stored, judged result; a schedule then does it by itself."""
    login = {"email": "supplier@example.com", "password": "a long password"}
    server.token = server.post("/v1/auth/sign-up", login)["access_token"]
    described = {
        "instance_id": "12345678",
        "ssh_host": machine.host,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
        "gpu_name": "CPU",
    }
    onboarded = server.post("/functions/v1/onboard-gpu", described)
    assert onboarded["success"] is True
    machine.authorise(onboarded["public_key"])  # what the supplier does, once
    instance_id = onboarded["gpu_instance"]["id"]

    small = {"batch_size": 100, "image_size": 32, "budget_seconds": 1}
    order = {"gpu_instance_id": instance_id, "options": small}
    requested = server.post("/functions/v1/request-gpu-test", order)
    assert requested["connection_info"]["ssh_host"] == machine.host
    streamed = list(server.lines(f"/v1/runs/{requested['run_id']}/events"))
    assert streamed[0] == "event: state" or "event: state" in streamed
    assert "event: end" in streamed

    result = _only_result(server, 1)
    assert (result["verdict"], result["run_id"]) == ("passed", requested["run_id"])
    expected = result["throughput_samples_per_sec"] * 3600
    assert result["compute_miles_per_hour"] == pytest.approx(expected)
    assert server.get(f"/v1/instances/{instance_id}")["status"] == "active"

    schedule = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "options": small}
    server.put(f"/v1/instances/{instance_id}/schedule", schedule)
    _let_it_be_three_in_berlin(server)
    _until(lambda: len(server.get("/v1/results")["items"]) == 2)
    second = server.get("/v1/runs")["items"][0]
    assert (second["requested_by"], second["state"]) == ("schedule", "passed")


def _only_result(server: Server, count: int) -> Any:
    results = server.get("/v1/results")["items"]
    assert len(results) == count
    return results[0]


def _let_it_be_three_in_berlin(server: Server) -> None:
    """The next due time is now: the schedule's own row says when, and no test waits for a night."""
    url = f"postgresql://postgres@/harborx?host={server.socket_folder}"
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE gpu_test_schedules SET next_fire_at = now()")


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + _WAIT
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.2)  # another process does it
