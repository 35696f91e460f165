"""
The keys that a process has: one that seals, and those that only open what was sealed before.

Keys in files are read again when the file of the current one changes, and when a secret names a key that is not
known: so a key that is rotated reaches running processes without a restart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.domain.errors import VaultError
from orchestrator.vault.keys import KeyProvider, LocalKey

SUFFIX: Final = ".key"

_Stamp = tuple[int, int, int]


class KeyRing:
    """
    `current` seals, or, where there is none, the key in `file`; `older` and every `*.key` in `folder` open, too.
    `told` says where else keys were looked for.
    """

    def __init__(
        self,
        current: KeyProvider | None = None,
        *,
        older: Sequence[KeyProvider] = (),
        file: Path | None = None,
        folder: Path | None = None,
        told: Sequence[str] = (),
    ) -> None:
        self.file, self.folder = file, folder
        self._given = current
        self._older = tuple(older)
        self._told = tuple(told)
        self._filed: KeyProvider | None = None
        self._stamp: _Stamp | None = None
        self._kept: tuple[KeyProvider, ...] = ()

    def current(self) -> KeyProvider:
        """What new secrets are sealed under. Raises `VaultError` where its file can't be used."""
        if self._given is not None:
            return self._given
        if self.file is None:
            raise VaultError("There is no key to seal with.")
        if self._filed is None or _stamp_of(self.file) != self._stamp:
            self._read()
        if self._filed is None:
            raise VaultError(f"The key file {self.file} can't be read.")
        return self._filed

    def holder_of(self, key_id: str) -> KeyProvider:
        """The key of this id. Raises `VaultError`, which says where it was looked for."""
        found = self._find(key_id)
        if found is None:
            self._read()
            found = self._find(key_id)
        if found is None:
            raise VaultError(
                f"Key {key_id} was looked for in {', '.join(self.places)} and not found."
            )
        return found

    def holds(self, key_id: str) -> bool:
        try:
            self.holder_of(key_id)
        except VaultError:
            return False
        return True

    @property
    def places(self) -> list[str]:
        """Where keys are looked for."""
        files = [str(self.file)] if self.file else []
        folders = [f"{self.folder}/*{SUFFIX}"] if self.folder else []
        return [*self._told, *files, *folders] or ["the one key that was given"]

    def _find(self, key_id: str) -> KeyProvider | None:
        known = (self._given, self._filed, *self._older, *self._kept)
        return next((each for each in known if each is not None and each.holds(key_id)), None)

    def _read(self) -> None:
        """The files as they are now. Raises `VaultError` for one that holds no key or is open to others."""
        if self.file is not None and (self._given is None or self.file.exists()):
            stamp = _stamp_of(self.file)
            self._filed = LocalKey.from_file(self.file)
            self._stamp = stamp
        if self.folder is not None:
            files = sorted(self.folder.glob(f"*{SUFFIX}"))
            self._kept = tuple(LocalKey.from_file(file) for file in files)


def _stamp_of(path: Path) -> _Stamp | None:
    """Another one for every file that is moved into its place."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
