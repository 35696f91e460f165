"""`harborx serve` and `harborx worker`: the processes that stay."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from orchestrator.cli.call import Call, command

app = typer.Typer()

Concurrency = Annotated[
    int | None, typer.Option(min=1, max=5000, help="Runs at a time.", show_default=False)
]


@command(app, "serve")
def serve(
    call: Call,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1.", show_default=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="8000; 0 for a free one.", show_default=False),
    ] = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only the API.")] = False,
    concurrency: Concurrency = None,
) -> None:
    """Run the API and a worker until Ctrl-C."""
    server = _given(host=host, port=port)
    flags = _given(server=server, worker=_given(concurrency=concurrency))
    asyncio.run(_serve(call, flags, with_worker=not no_worker))


@command(app, "worker")
def worker(
    call: Call,
    name: Annotated[
        str | None, typer.Option(help="Default: host name and process id.", show_default=False)
    ] = None,
    concurrency: Concurrency = None,
) -> None:
    """Run one more worker until Ctrl-C. Any machine that reaches the database will do."""
    asyncio.run(_work(call, _given(worker=_given(concurrency=concurrency)), name))


def _given(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value not in (None, {})}


async def _serve(call: Call, flags: dict[str, Any], *, with_worker: bool) -> None:
    from contextlib import AsyncExitStack

    from orchestrator import log
    from orchestrator.cli import house
    from orchestrator.cli.desk import ready_database
    from orchestrator.cli.output import put_json, say
    from orchestrator.cli.signals import stop_signals

    settings = call.settings(flags)
    log.configure(settings.log.level, settings.log.format)
    listening = house.bound_socket(settings.server.host, settings.server.port)
    with listening, ready_database(settings) as logins, stop_signals() as stop:
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(
                house.running_api(settings, logins, listening)
            )
            if with_worker:
                running = house.running_worker(settings, logins, house.worker_name())
                await stack.enter_async_context(running)
            if call.json:
                put_json({"address": address})
            say(f"Harborx, dashboard and API, answers at {address} (Ctrl-C stops it).")
            await stop.wait()
            say("Stopping.")


async def _work(call: Call, flags: dict[str, Any], name: str | None) -> None:
    from orchestrator import log
    from orchestrator.cli import house
    from orchestrator.cli.desk import ready_database
    from orchestrator.cli.output import say
    from orchestrator.cli.signals import stop_signals

    settings = call.settings(flags)
    log.configure(settings.log.level, settings.log.format)
    chosen = name or house.worker_name()
    with ready_database(settings, "worker") as logins, stop_signals() as stop:
        async with house.running_worker(settings, logins, chosen):
            say(f"Worker {chosen} is ready (Ctrl-C stops it).")
            await stop.wait()
            say("Stopping.")
