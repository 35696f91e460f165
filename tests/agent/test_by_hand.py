"""By hand: measure on this machine and submit, as the guide tells suppliers to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ssh.agent_archive import pack
from remote_agent import submission
from tests.agent.instance import with_benchmark
from tests.local_http import Asked, serving

KEY = "hx_canary_key_0123456789"
GPU_INSTANCE = "550e8400-e29b-41d4-a716-446655440000"
SMALL = ["--batch-size", "100", "--image-size", "16", "--device", "cpu", "--budget", "0.3"]

# Emits what it was made to, and keeps what a benchmark could find out about its parent's secret.
SCRIPTED = """
import json, os, sys
from remote_agent import spec
from remote_agent.events import EventWriter
from remote_agent.run_folder import RunFolder
def benchmark(path, seq, start):
    text = open(RunFolder(path).spec).read()
    with open(os.path.expanduser("~/seen"), "w") as file:
        json.dump([sys.argv, dict(os.environ), text, os.listdir(path)], file)
    events = EventWriter.on_stdout(spec.parse(text).nonce, seq, start)
    print("noise of torch")
    {body}
"""
FAILS = with_benchmark(SCRIPTED.format(body="""
    events.emit("failed", code="out_of_memory", message="Too large.", detail="trace")
    return 1
"""))  # fmt: skip
CRASHES = with_benchmark(SCRIPTED.format(body='print("the cause"); os.kill(os.getpid(), 9)'))
PASSES = with_benchmark(SCRIPTED.format(body="""
    events.emit("progress", phase="measure", done=500, total=1000, images_per_sec=12.5)
    events.emit("result", test_type="resnet50", throughput_samples_per_sec=245.5)
    return 0
"""))  # fmt: skip


class Server:
    """The orchestrator's end: keeps what is posted and answers with `status`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status = 200
        self.url = ""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    def answer(asked: Asked) -> tuple[int, bytes]:
        made.requests.append((asked.path, asked.headers["x-api-key"], json.loads(asked.body)))
        return made.status, json.dumps({"success": True, "message": "Stored."}).encode()

    with serving(answer, moved="/elsewhere") as url:
        made.url = f"{url}/submit-test-results"
        yield made


def run(
    home: Path, agent: list[str], url: str, *more: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    base = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "TMPDIR": str(home),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, *agent, "--gpu-instance-id", GPU_INSTANCE, "--api-url", url, *more],
        env={**base, **environ}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def archive(home: Path, content: bytes) -> list[str]:
    path = home / "harborx-agent.pyz"
    path.write_bytes(content)
    return [str(path)]


def test_a_real_measurement_is_submitted(tmp_path: Path, server: Server) -> None:
    """`python -m remote_agent` measures, shows it on stderr, and posts the guide's payload."""
    done = run(tmp_path, ["-m", "remote_agent"], server.url, "--api-key", KEY, *SMALL)
    assert done.returncode == 0, done.stderr
    ((path, key, payload),) = server.requests
    assert (path, key) == ("/submit-test-results", KEY)
    assert payload["api_key"] == KEY
    assert payload["gpu_instance_id"] == GPU_INSTANCE
    assert (payload["test_type"], payload["batch_size"], payload["image_size"]) == (
        "resnet50", 100, 16
    )  # fmt: skip
    assert payload["throughput_samples_per_sec"] > 0
    assert payload["system_telemetry"]["cpu_count"] >= 1
    assert {"training", "inference"} <= {each["name"] for each in payload["raw_results"]["figures"]}
    assert "error_message" not in payload
    assert "Submitted: Stored." in done.stderr
    assert "Measuring: " in done.stderr
    assert "inference: " in done.stderr
    assert json.loads(done.stdout) == {k: v for k, v in payload.items() if k != "api_key"}


def test_the_packed_agent_does_the_same_and_keeps_the_key_to_itself(
    tmp_path: Path, server: Server
) -> None:
    """The key of the environment is submitted, yet the child can't find it in argv, environ or files."""
    done = run(tmp_path, archive(tmp_path, PASSES), server.url, HARBORX_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert server.requests[0][1] == KEY
    assert KEY not in (tmp_path / "seen").read_text()
    assert KEY not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["harborx-agent.pyz", "seen"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(FAILS, "out_of_memory: Too large."), (CRASHES, "ended with status -9")],
)
def test_a_failure_is_submitted_too(
    tmp_path: Path, server: Server, content: bytes, message: str
) -> None:
    """A benchmark that fails or dies is submitted as error_message, and the status is 3."""
    done = run(tmp_path, archive(tmp_path, content), server.url, "--api-key", KEY)
    assert done.returncode == 3, done.stderr
    payload = server.requests[0][2]
    assert message in payload["error_message"]
    assert (payload["test_type"], payload["batch_size"]) == ("resnet50", 32)
    assert "throughput_samples_per_sec" not in payload


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "The server answered 401: Stored."), (307, "The server answered 307")],
)
def test_a_refused_submission_is_told_and_nothing_is_sent_on(
    tmp_path: Path, server: Server, status: int, sentence: str
) -> None:
    """A refusal or a redirect, which would carry the key elsewhere, is status 1 with a sentence."""
    server.status = status
    done = run(tmp_path, archive(tmp_path, PASSES), server.url, "--api-key", KEY)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(server.requests) == 1
    assert json.loads(done.stdout)["throughput_samples_per_sec"] == 245.5


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "http://", "host/x"])
def test_only_web_addresses_are_submitted_to(tmp_path: Path, url: str) -> None:
    """Any other address is refused before anything is measured."""
    done = run(tmp_path, archive(tmp_path, PASSES), url, "--api-key", KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not an http or https address" in done.stderr
    assert not (tmp_path / "seen").exists()


def test_without_a_key_nothing_is_measured(tmp_path: Path, server: Server) -> None:
    """A missing key is told at once."""
    done = run(tmp_path, archive(tmp_path, PASSES), server.url)
    assert done.returncode == 1
    assert "An API key is needed" in done.stderr
    assert not (tmp_path / "seen").exists()


def test_an_unreachable_server_is_a_sentence() -> None:
    """Nobody there is `SubmissionFailed` with the address in it."""
    with pytest.raises(submission.SubmissionFailed, match="could not be reached"):
        submission.submit("http://127.0.0.1:1/x", KEY, {})


def test_help_tells_every_flag(tmp_path: Path) -> None:
    """`--help` lists the guide's flags and the exit statuses."""
    agent = archive(tmp_path, pack().content)
    done = subprocess.run(
        [sys.executable, *agent, "--help"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    for flag in ("gpu-instance-id", "api-url", "api-key", "batch-size", "num-epochs",
                 "image-size", "device", "precision", "mode", "profile", "channels-first", "budget"):  # fmt: skip
        assert f"--{flag}" in done.stdout
    assert "3 when the benchmark failed" in " ".join(done.stdout.split())
