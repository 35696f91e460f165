"""Debian's PgBouncer in transaction mode before a database, on a socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import make_url

from bench.attacks.ground import PASSWORD

_PORT: Final = 6432  # of a socket's name; nothing listens on a network
_STARTS_WITHIN: Final = 10.0
_FILE: Final = """
[databases]
{database} = host={host} port={port} dbname={database}
[pgbouncer]
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
server_login_retry = 1
"""


@contextmanager
def pgbouncer(url: str, connections: int) -> Iterator[str]:
    """The URL that leads through it to what `url` leads to, on so many connections of the server."""
    server = make_url(url)
    host, port = str(server.query["host"]), server.port or 5432
    user = _unprivileged(Path(host) / f".s.PGSQL.{port}")
    with tempfile.TemporaryDirectory(prefix="hx-pgb-") as name:
        folder = Path(name)
        file = folder / "pgbouncer.ini"
        file.write_text(
            _FILE.format(
                database=server.database,
                host=host,
                port=port,
                own_port=_PORT,
                folder=folder,
                connections=connections,
            )
        )
        (folder / "users.txt").write_text(f'"{server.username}" "{PASSWORD}"\n')
        command = [_executable(), "-q", str(file)]
        if user is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
            command += ["-u", user.pw_name]
        through = server.set(query={"host": name}, port=_PORT).render_as_string(hide_password=False)
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
        ):
            try:
                _wait_until_open(through, process, folder / "log")
                yield through
            finally:
                process.terminate()
                process.wait(timeout=10)


def _executable() -> str:
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise FileNotFoundError("pgbouncer is not installed: apt-get install pgbouncer")
    return found


def _unprivileged(socket: Path) -> pwd.struct_passwd | None:
    """It refuses to be root; whoever the server runs as reaches the server's socket."""
    return pwd.getpwuid(socket.stat().st_uid) if os.getuid() == 0 else None


def _wait_until_open(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"pgbouncer did not start: {log.read_text()}") from error
        time.sleep(0.02)
