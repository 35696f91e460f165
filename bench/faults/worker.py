"""
The processes that get killed: `python -m bench.faults.worker` is a nursery that has imported everything and
forks a worker or an API for each line of JSON on its stdin. It answers each with the pid, and ends them all
when its stdin ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.faults import steps
from bench.faults.archive import stand_in_archive
from bench.faults.mutations import MUTATIONS
from bench.faults.points import Failpoints, PointedDatabase
from orchestrator import log
from orchestrator.cli.house import bound_socket, running_api
from orchestrator.cli.vault import open_vault
from orchestrator.config import Settings, load
from orchestrator.database.logins import database_logins
from orchestrator.runs.engine import run_worker
from orchestrator.runs.execute import Worker

_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class Birth:
    """What a process is to be: a `worker`, or the `api` on its fixed port."""

    kind: str
    name: str
    folder: str  # of the world: logs, arms, fired
    flags: dict[str, Any]  # settings
    mutation: str | None = None
    port: int = 0

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    archive = stand_in_archive()  # packed once: children share it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        birth = Birth(**json.loads(line))
        child = os.fork()
        if child == 0:
            _live(birth, archive)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _live(birth: Birth, archive: Any) -> None:
    """Be what was asked for; never returns."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(
            Path(birth.folder, "logs", f"{birth.name}.log"),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND,
            0o600,
        )
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        settings = load(None, {}, birth.flags).settings
        log.configure("info", "json")
        part = (
            _work(birth, settings, archive) if birth.kind == "worker" else _serve(birth, settings)
        )
        asyncio.run(part)
        status = 0
    except BaseException:  # noqa: BLE001  the parent tells it
        import traceback

        Path(birth.folder, "trouble").write_text(f"{birth.name}: {traceback.format_exc()}")
    finally:
        sys.stderr.flush()
        os._exit(status)


async def _work(birth: Birth, settings: Settings, archive: Any) -> None:
    points = Failpoints(Path(birth.folder), birth.name)
    steps.point_out(points)
    if birth.mutation:  # last: it may take out what a point was put around
        MUTATIONS[birth.mutation]()
    with database_logins(settings) as logins:
        database = PointedDatabase(logins.worker, pool_size=settings.database.pool_size)
        database.points = points
        worker = Worker(database, open_vault(settings), settings, birth.name, archive=archive)
        await run_worker(worker, asyncio.Event())


async def _serve(birth: Birth, settings: Settings) -> None:
    listening = bound_socket("127.0.0.1", birth.port)
    with listening, database_logins(settings) as logins:
        async with running_api(settings, logins, listening):
            await asyncio.Event().wait()


if __name__ == "__main__":
    main()
