"""`harborx onboard`: put a machine on record, with the fields of the integration guide as flags."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from orchestrator.api.shapes import OnboardRequest
    from orchestrator.runs.request import Onboarded

app = typer.Typer()

KeyFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Private key, OpenSSH or PEM; - for stdin. Without: a key pair is made for it.",
    ),
]
PassphrasePrompt = Annotated[
    bool, typer.Option("--passphrase-prompt", help="Ask for the key's passphrase.")
]
HostKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="SHA256:... of the machine's host key, or its line of ssh-keyscan; nothing else is logged in to.",
    ),
]
Login = Annotated[
    Literal["own", "shared", "certificate"],
    typer.Option(
        help="A key of this machine's own, our one for all of this supplier's machines, or our user CA."
    ),
]
GpuName = Annotated[str | None, typer.Option(help="As claimed; CPU for a machine without one.")]

_LONGEST_FILE: Final = 64 * 1024


@command(app, "onboard", for_supplier=True)
def onboard(
    call: Call,
    instance_id: Annotated[str, typer.Argument(help="The provider's id of the machine.")],
    ssh_host: Annotated[str, typer.Argument(help="Name or address.")],
    ssh_port: Annotated[int, typer.Option("--port", "--ssh-port", help="SSH port.")] = 22,
    ssh_user: Annotated[str, typer.Option(help="Who logs in there.")] = "root",
    key: KeyFile = None,
    passphrase_prompt: PassphrasePrompt = False,
    gpu_name: GpuName = None,
    gpu_count: Annotated[int | None, typer.Option(help="As claimed.")] = None,
    offer_id: Annotated[str | None, typer.Option(help="The provider's.")] = None,
    machine_id: Annotated[str | None, typer.Option(help="The provider's.")] = None,
    cuda_version: Annotated[str | None, typer.Option()] = None,
    disk_space_gb: Annotated[float | None, typer.Option()] = None,
    cpu_count: Annotated[int | None, typer.Option()] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="An object.")] = None,
    login: Login = "own",
    host_key: HostKey = None,
) -> None:
    """Put a machine on record. Then test it: `harborx test INSTANCE_ID`."""
    claims = {
        "instance_id": instance_id,
        "ssh_host": ssh_host,
        "ssh_port": ssh_port,
        "ssh_user": ssh_user,
        "gpu_name": gpu_name,
        "gpu_count": gpu_count,
        "offer_id": offer_id,
        "machine_id": machine_id,
        "cuda_version": cuda_version,
        "disk_space_gb": disk_space_gb,
        "cpu_count": cpu_count,
        "metadata": _parsed(metadata),
        "login": login,
        "host_key": host_key,
    }
    private_key = _read_key(key) if key is not None else None
    passphrase = (
        typer.prompt("Passphrase", hide_input=True, err=True) if passphrase_prompt else None
    )
    asyncio.run(_onboard(call, _checked(claims), private_key, passphrase))


def _checked(claims: dict[str, Any]) -> OnboardRequest:
    """The same rules as the API's. Raises `InvalidInput` naming every bad field."""
    from pydantic import ValidationError

    from orchestrator.api.shapes import OnboardRequest
    from orchestrator.cli.testing import field_problems
    from orchestrator.domain.errors import InvalidInput

    try:
        return OnboardRequest(
            **{name: value for name, value in claims.items() if value is not None}
        )
    except ValidationError as error:
        raise InvalidInput(field_problems(error)) from error


def _read_key(source: str) -> str:
    """The text of a key file, or of stdin. Raises `InvalidInput`; what is in it is judged later."""
    from orchestrator.domain.errors import InvalidInput

    try:
        if source == "-":
            return sys.stdin.read(_LONGEST_FILE)
        with open(source, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_FILE)
    except OSError as error:
        raise InvalidInput(f"--key: {source} can't be read: {error.strerror}.") from error


def _parsed(metadata: str | None) -> Any:
    import json

    from orchestrator.domain.errors import InvalidInput

    try:
        return None if metadata is None else json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("--metadata: not JSON.") from error


async def _onboard(
    call: Call,
    request: OnboardRequest,
    private_key: str | None,
    passphrase: str | None,
) -> None:
    from orchestrator.cli.desk import open_desk, open_user_ca
    from orchestrator.cli.vault import ready_vault
    from orchestrator.runs.login_keys import LoginGiven
    from orchestrator.runs.request import onboard as put_on_record

    async with open_desk(call) as desk:
        ca = open_user_ca(desk.settings).trusted if request.login == "certificate" else None
        login = LoginGiven(
            private_key, passphrase, shared=request.login == "shared", certified_by=ca
        )
        principal = await desk.supplier(call.user)
        onboarded = await put_on_record(
            desk.api,
            await ready_vault(desk.settings, desk.api),
            principal,
            request.claims(),
            login,
        )
    _tell(call, onboarded)


def _tell(call: Call, onboarded: Onboarded) -> None:
    from orchestrator.api.shapes import InstanceShape
    from orchestrator.cli.output import put, put_json, say

    instance = onboarded.instance
    if call.json:
        shown = InstanceShape.of(instance).model_dump(mode="json")
        put_json({"instance": shown, "public_key": onboarded.public_key})
        return
    say(f"Instance {instance.vast_instance_id} is on record as {instance.id}.")
    if onboarded.ours:
        say(f"Add this line to ~/.ssh/authorized_keys of {instance.ssh_user} on the machine:")
        put(onboarded.public_key)
    say(f"Then test it: harborx test {instance.vast_instance_id}")
