"""Secrets that this installation made for itself, one file each (0600) in the state folder."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.domain.errors import ConfigError

_BYTES: Final = 32


def kept_secret(state_dir: Path, name: str) -> Path:
    """
    The file of a named secret: 32 random bytes in base64, made on first use.

    Raises `ConfigError` where the state folder can't be written.
    """
    path = state_dir / name
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _create(path)
    except OSError as error:
        raise ConfigError(
            f"The state folder {state_dir} can't be used: {error.strerror}."
        ) from error
    return path


def read_secret(state_dir: Path, name: str) -> str:
    """The text of a kept secret. Raises `ConfigError` where it can't be read."""
    path = kept_secret(state_dir, name)
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The secret {path} can't be read.") from error
    if not secret:
        raise ConfigError(f"The secret {path} is empty; remove the file to have a new one made.")
    return secret


def put_secret(path: Path, secret: str) -> None:
    """Have `path` hold this secret, at once and for good: a reader sees the old file or the new one. Raises `ConfigError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _draft(path, secret) as draft:
            os.replace(draft, path)
        _sync(path.parent)
    except OSError as error:
        raise ConfigError(f"The secret {path} can't be written: {error.strerror}.") from error


def remove_secret(path: Path) -> None:
    """Raises `ConfigError` where a file that is there can't be removed."""
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise ConfigError(f"The secret {path} can't be removed: {error.strerror}.") from error


def _create(path: Path) -> None:
    secret = base64.b64encode(os.urandom(_BYTES)).decode()
    with _draft(path, secret) as draft, suppress(FileExistsError):  # the first one wins
        os.link(draft, path)
    _sync(path.parent)


@contextmanager
def _draft(path: Path, secret: str) -> Iterator[Path]:
    """
    The secret written aside, to be put into place whole. A name of its own each time: threads share a process id, and so
    do containers after a crash.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())  # a key that a power cut loses loses what is sealed under it
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
