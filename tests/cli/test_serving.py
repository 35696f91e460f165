"""The processes that stay: `serve` and `worker`."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from orchestrator.database.logins import Logins
from tests.cli.conftest import Harborx, process, use
from tests.cli.stories import Storyteller


@pytest.fixture
def configured(environment: Path, logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    use(logins, monkeypatch)


def _wait_for(running: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert running.stderr is not None
    seen = ""
    for line in running.stderr:
        seen += line
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it ended without saying {pattern!r}: {seen}")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_and_stops(configured: None, stop: signal.Signals) -> None:
    """`serve` says its address, answers there, and ends with 0 within seconds of a signal."""
    with process("serve", "--port", "0") as running:
        port = int(_wait_for(running, r"answers at http://127\.0\.0\.1:(\d+)")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        connection.close()
        running.send_signal(stop)
        _, rest = running.communicate(timeout=20)
        assert running.returncode == 0
    assert "Traceback" not in rest


def test_serve_tells_its_address_as_a_document(configured: None) -> None:
    """With --json the address is the one line on stdout."""
    with process("serve", "--port", "0", "--no-worker", "--json") as running:
        address = _wait_for(running, r"answers at (\S+)")[1]
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=20)
        assert running.returncode == 0
    assert out == f'{{"address": "{address}"}}\n'


def test_a_worker_takes_what_was_requested(configured: None, story: Storyteller) -> None:
    """A worker started later carries out the queued run, and ends with 0 on SIGTERM."""
    run_id = str(story.request())
    with process("worker", "--name", "w7", "--concurrency", "2") as working:
        with process("watch", run_id) as watching:
            # 198.51.100.0/24 is for documents only, so the run ends before anything is sent.
            out, _ = watching.communicate(timeout=30)
            assert watching.returncode == 4
        assert "address_forbidden" in out
        working.send_signal(signal.SIGTERM)
        _, rest = working.communicate(timeout=20)
        assert working.returncode == 0
    assert "Traceback" not in rest
    assert story.runs()[0].worker == "w7"


def test_a_taken_port_is_told(harborx: Harborx) -> None:
    """A port that is in use is an error with a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finished = harborx("serve", "--port", str(taken.getsockname()[1]), "--json")
    assert (finished.status, finished.error["error"]) == (1, "config_invalid")
    assert "--port" in finished.error["message"]
