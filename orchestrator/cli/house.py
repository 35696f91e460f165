"""The parts of a running installation: an API, a worker, and the signal that ends them."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

import uvicorn

from orchestrator.api.app import Surface, create_app
from orchestrator.cli.desk import open_login, open_user_ca
from orchestrator.cli.patience import Impatient
from orchestrator.cli.vault import ready_vault
from orchestrator.config import Settings
from orchestrator.database.logins import Logins
from orchestrator.database.session import Database
from orchestrator.domain.errors import ConfigError, HarborxError
from orchestrator.runs.engine import run_worker
from orchestrator.runs.execute import Worker
from orchestrator.state_folder import read_secret

# Longer than clients and proxies keep one: who closes first never loses a request.
_IDLE_SECONDS: Final = 75
_MOST_CONNECTIONS: Final = 10_000  # beyond them 503 without a look at the request
_GRACE: Final = 3  # seconds that open requests get when the API stops
_STOP_SECONDS: Final = 8.0  # then a part is given up: nothing may keep the process from ending
_LOOK_SECONDS: Final = 0.01
# A thousand runs share a few connections: one that waits long has found PostgreSQL busy and not away. Were it told so, it
# would begin again, and be more work.
_WORKER_PATIENCE: Final = 60.0


@asynccontextmanager
async def running_api(
    settings: Settings, logins: Logins, listening: socket.socket
) -> AsyncIterator[str]:
    """The API on a bound socket; its address. It closes the socket."""
    address = settings.server.public_url or address_of(listening)
    async with AsyncExitStack() as ending:
        database = open_login(settings, logins.api, settings.database.pool_size)
        ending.push_async_callback(database.close)
        ending.callback(listening.close)
        server = _server(await _surface(settings, database, address))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        ending.push_async_callback(_end, serving)
        ending.callback(setattr, server, "should_exit", True)
        await _started(server, serving)
        # What a running program consists of is there to stay: to look through it for garbage stops everything for 0.2 s.
        gc.collect()
        gc.freeze()
        yield address


@asynccontextmanager
async def running_worker(settings: Settings, logins: Logins, name: str) -> AsyncIterator[None]:
    """A worker; the runs it has when it stops go on at their machines and are taken over."""
    stop = asyncio.Event()
    async with AsyncExitStack() as ending:
        database = open_login(
            settings, logins.worker, settings.database.pool_size, patience=_WORKER_PATIENCE
        )
        ending.push_async_callback(database.close)
        vault = await ready_vault(settings, database)
        worker = Worker(database, vault, settings, name, user_ca=open_user_ca(settings))
        await ending.enter_async_context(worker.warm)
        working = asyncio.create_task(run_worker(worker, stop))
        ending.push_async_callback(_end, working)
        ending.callback(stop.set)
        yield


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket, so that the address is known before anybody is told. Raises `ConfigError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"The API can't listen on {host}, port {port}: {error.strerror}. Choose another --port."
        ) from error
    # Whoever accepts from it inherits that. asyncio sets it only on sockets that name their protocol, and without it the
    # second half of an answer waits 40 ms for the client's delayed acknowledgement of the first.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  a name that a browser on this machine can use
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


async def _surface(settings: Settings, database: Database, address: str) -> Surface:
    secret = settings.auth.session_secret
    return Surface(
        database=database,
        vault=await ready_vault(settings, database),
        settings=settings,
        session_secret=secret.get_secret_value()
        if secret
        else read_secret(settings.state_dir, "session-secret"),
        public_url=address,
        user_ca=open_user_ca(settings).trusted,
    )


def _server(surface: Surface) -> _Server:
    return _Server(
        uvicorn.Config(
            create_app(surface),
            log_config=None,
            access_log=False,
            lifespan="on",
            proxy_headers=False,  # uvicorn would believe anybody on loopback; client_address.py reads them
            timeout_graceful_shutdown=_GRACE,
            server_header=False,
            http=Impatient,
            timeout_keep_alive=_IDLE_SECONDS,
            limit_concurrency=_MOST_CONNECTIONS,
        )
    )


class _Server(uvicorn.Server):
    """Leaves signals to us: they end the worker and the API alike."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise HarborxError("The API did not start; the log says why.")
        await asyncio.sleep(_LOOK_SECONDS)


async def _end(task: asyncio.Task[None]) -> None:
    """Wait for a part that was told to stop; bounded, whatever hangs."""
    _, late = await asyncio.wait({task}, timeout=_STOP_SECONDS)
    if late:
        task.cancel()
        await asyncio.wait(late, timeout=1)
    elif not task.cancelled() and (error := task.exception()) is not None:
        raise error
