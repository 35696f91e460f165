"""`harborx demo`: the whole product on this one machine, used as a supplier would with curl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    import socket

    from orchestrator.cli.api_client import ApiClient
    from orchestrator.ssh.loopback import LoopbackMachine

app = typer.Typer()

EMAIL: Final = "demo@harborx.local"
_PORT: Final = 8000
# Small enough for two CPU cores; on a GPU it is over in a moment.
_OPTIONS: Final = {"batch_size": 32, "image_size": 64, "budget_seconds": 5}
_NEWEST_EPOCH: Final = 2**31 - 1
_DRIVER: Final = Path("/proc/driver/nvidia/version")


@command(app, "demo")
def demo(
    call: Call,
    once: Annotated[
        bool, typer.Option("--once", help="End after the result, with the test's exit status.")
    ] = False,
    state: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Everything of the demo is kept there.")
    ] = Path(".demo"),
) -> None:
    """Try it all on this machine. It is onboarded over SSH and tested; the API then keeps serving."""
    raise typer.Exit(asyncio.run(_demo(call, state.resolve(), once)))


def demo_flags(state: Path) -> dict[str, Any]:
    """An installation of its own: nothing of a configured one is touched."""
    return {
        "state_dir": str(state / "server"),
        "database": {"url": None, "api_password": None, "worker_password": None},
        "server": {"host": "127.0.0.1", "public_url": None},
        "vault": {
            **dict.fromkeys(("key_file", "key", "previous_keys_dir", "previous_keys")),
            **dict.fromkeys(("transit_address", "transit_token_file")),
        },
        "auth": {"sign_up": True},
        "ssh": {"allowed_networks": ["127.0.0.0/8"]},
    }


async def _demo(call: Call, state: Path, once: bool) -> int:
    """Stopped by a signal it ends well: serving until then is its job."""
    from orchestrator import log
    from orchestrator.cli.signals import stop_signals

    configuration = call.configuration(demo_flags(state))
    chosen = configuration.settings.log.level
    quiet = configuration.origins["log.level"] == "default"
    log.configure("warning" if quiet else chosen, configuration.settings.log.format)
    with stop_signals() as stop:
        stopped = asyncio.create_task(stop.wait())
        showing = asyncio.create_task(_show(call, state, once))
        await asyncio.wait({stopped, showing}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if showing.done():
            return showing.result()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        return 130 if once else 0


async def _show(call: Call, state: Path, once: bool) -> int:
    """The story of the demo, top to bottom."""
    from uuid import UUID

    from orchestrator.cli import house
    from orchestrator.cli.desk import open_login, ready_database
    from orchestrator.cli.live import show_to_the_end
    from orchestrator.cli.output import say
    from orchestrator.database.session import supplier

    settings = call.settings(demo_flags(state))
    say("Starting PostgreSQL, the API, a worker and an SSH endpoint for this machine.")
    with ready_database(settings) as logins, _free_socket() as listening:
        async with (
            _machine(state / "machine") as machine,
            house.running_api(settings, logins, listening) as address,
            house.running_worker(settings, logins, house.worker_name()),
        ):
            user_id, run_id = await asyncio.to_thread(_as_a_supplier, address, state, machine)
            database = open_login(settings, logins.api, pool_size=2)
            try:
                status = await show_to_the_end(
                    database, supplier(UUID(user_id)), UUID(run_id), as_json=call.json
                )
            finally:
                await database.close()
            if not once:
                await _keep_serving(state, address)
            return status


@asynccontextmanager
async def _machine(home: Path) -> AsyncIterator[LoopbackMachine]:
    """
    This machine behind an SSH endpoint. Elsewhere a run goes on when we leave; here nobody could come
    back to it (the endpoint's port is gone), so what still runs is ended.
    """
    from orchestrator.ssh.addresses import AddressPolicy
    from orchestrator.ssh.agent_archive import pack
    from orchestrator.ssh.clean import clean
    from orchestrator.ssh.connection import Target, connect
    from orchestrator.ssh.loopback import loopback_machine

    async with loopback_machine(home) as machine:
        try:
            yield machine
        finally:
            login = (machine.host, machine.port, machine.user, machine.private_key)
            target = Target(*login, machine.host_key, AddressPolicy((ip_network("127.0.0.0/8"),)))
            for run in _run_folders(home):
                async with connect(target) as connection:
                    await clean(connection, pack(), run, _NEWEST_EPOCH)


def _run_folders(home: Path) -> list[str]:
    folder = home / ".harborx" / "runs"
    return [each.name for each in folder.iterdir()] if folder.is_dir() else []


def _as_a_supplier(address: str, state: Path, machine: LoopbackMachine) -> tuple[str, str]:
    """Sign in, onboard, press the button: over HTTP, in these three requests. User id and run id."""
    from datetime import UTC, datetime

    from orchestrator.cli.api_client import ApiClient
    from orchestrator.cli.output import say

    client = ApiClient(address)
    session = _signed_in(client, state)
    client = ApiClient(address, session["access_token"])
    # The endpoint has a new port and host key at each start, so it is a machine of its own.
    fields = {
        "instance_id": f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}",
        "ssh_host": machine.host,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
        "ssh_key": machine.private_key,
        **({} if _DRIVER.exists() else {"gpu_name": "CPU"}),
    }
    instance = client.post("/functions/v1/onboard-gpu", fields)["gpu_instance"]
    say(f"POST /functions/v1/onboard-gpu: instance {instance['vast_instance_id']} is on record.")
    order = {"gpu_instance_id": instance["id"], "options": _OPTIONS}
    answer = client.post("/functions/v1/request-gpu-test", order)
    say(f"POST /functions/v1/request-gpu-test: run {answer['run_id']}.")
    say(f"In the dashboard: {address}/runs/{answer['run_id']}")
    return session["user_id"], answer["run_id"]


def _signed_in(client: ApiClient, state: Path) -> dict[str, Any]:
    """A session of the demo's account, which the first start makes."""
    from orchestrator.domain.errors import HarborxError

    login = {"email": EMAIL, "password": _password(state)}
    try:
        return client.post("/v1/auth/sign-up", login)
    except HarborxError as error:
        if error.evidence["status"] != 409:
            raise
        return client.post("/v1/auth/sign-in", login)


def _password(state: Path) -> str:
    from orchestrator.state_folder import read_secret

    return read_secret(state, "demo-password")


async def _keep_serving(state: Path, address: str) -> None:
    from orchestrator.cli.output import say

    say("")
    say(f"The dashboard is at {address} until Ctrl-C; the API answers under {address}/v1.")
    say(f"Sign in as {EMAIL} with password {_password(state)}")
    await asyncio.Event().wait()


def _free_socket() -> socket.socket:
    """The usual port, or a free one where it is taken."""
    from orchestrator.cli.house import bound_socket
    from orchestrator.domain.errors import ConfigError

    try:
        return bound_socket("127.0.0.1", _PORT)
    except ConfigError:
        return bound_socket("127.0.0.1", 0)
