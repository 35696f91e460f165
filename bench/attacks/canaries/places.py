"""Where secrets are searched for: the database and its files, processes while they live, and a machine's disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

Place = tuple[str, bytes]

_LOOK_SECONDS: Final = 0.02
_LARGEST: Final = 64 * 1024 * 1024


def database_dump(owner: str) -> Iterator[Place]:
    """Every row of every table, catalogues included, as text and its byte columns as bytes; then all is on disk."""
    with psycopg.connect(owner, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm', 'p') ORDER BY 1, 2"
        ).fetchall()
        for schema, table in tables:
            name = sql.Identifier(schema, table)
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(name)).fetchall()
            texts = [row[0].encode() for row in rows if row[0]]
            bytes_in = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND atttypid = 'bytea'::regtype"
                " AND attnum > 0 AND NOT attisdropped",
                (name.as_string(connection),),
            ).fetchall()
            for (column,) in bytes_in:
                one = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(column), name)
                texts += [value for (value,) in connection.execute(one) if value]
            yield f"table {schema}.{table}", b"\n".join(texts)
        connection.execute("CHECKPOINT")


def files(folder: Path, place: str, since: float = 0.0) -> Iterator[Place]:
    """Every file below that was changed after `since`."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                yield f"{place} {path.relative_to(folder)}", path.read_bytes()[:_LARGEST]
        except OSError:
            continue  # gone, or no file


@dataclass
class Watch:
    """Looks at all processes and at a folder again and again; `seen` is what there was, once each."""

    folder: Path
    seen: dict[Place, None] = field(default_factory=dict)
    looks: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _files: set[tuple[str, int, int]] = field(default_factory=set)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.looks += 1
            for name in os.listdir("/proc"):
                if name.isdigit():
                    self._look(name)
            self._look_at_disk()

    def _look(self, pid: str) -> None:
        for kind in ("cmdline", "environ"):
            try:
                data = Path("/proc", pid, kind).read_bytes()
            except OSError:
                continue
            if data:
                self.seen[f"{kind} of {_program(pid)}", data] = None

    def _look_at_disk(self) -> None:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    found = os.stat(path)
                    stamp = (path, found.st_mtime_ns, found.st_size)
                    if stamp in self._files:
                        continue
                    self._files.add(stamp)
                    data = Path(path).read_bytes()[:_LARGEST]
                except OSError:
                    continue
                self.seen[f"the machine's {os.path.relpath(path, self.folder)}", data] = None


def _program(pid: str) -> str:
    try:
        return Path("/proc", pid, "comm").read_text().strip()
    except OSError:
        return "a process"
