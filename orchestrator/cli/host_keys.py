"""`harborx host-key` and `harborx host-authorities`: which machine it is, and who says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from orchestrator.database.models import HostAuthority, Instance

app = typer.Typer()
authorities = typer.Typer(
    no_args_is_help=True, help="Whose certificates are taken for the word of machines."
)
app.add_typer(authorities, name="host-authorities")

_TRUSTED: Final = {
    "given": "given with the instance",
    "checked": "seen by the connection check",
    "first_contact": "seen at first contact",
    "accepted": "accepted",
    "rotated": "proved by the key before it",
    "authority": "by its certificate",
}


@command(app, "host-key", for_supplier=True)
def host_key(
    call: Call,
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="Id or provider's id.")],
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="FINGERPRINT",
            help="Confirm the key on record, or take the one that the machine shows since: name it.",
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="The machine's, or its fingerprint: nothing else is logged in to."
        ),
    ] = None,
) -> None:
    """Show which host key an instance is pinned to, and which it showed since; or say which is right."""
    if accept is not None and expect is not None:
        raise typer.BadParameter("Use --accept or --expect, not both.")
    asyncio.run(_host_key(call, instance, accept, expect))


@command(authorities, "list", for_supplier=True)
def list_authorities(call: Call) -> None:
    """List host authorities, oldest first."""
    asyncio.run(_list(call))


@command(authorities, "add", for_supplier=True)
def add(
    call: Call,
    line: Annotated[
        list[str],
        typer.Argument(
            metavar="LINE",
            help="As in known_hosts: @cert-authority *.fleet.example ssh-ed25519 AAAA...",
        ),
    ],
) -> None:
    """Trust machines whose host certificate is signed by this key, and names them."""
    asyncio.run(_add(call, " ".join(line)))


@command(authorities, "remove", for_supplier=True)
def remove(
    call: Call,
    authority: Annotated[
        str, typer.Argument(metavar="ID", help="As `host-authorities list` shows.")
    ],
) -> None:
    """Trust its certificates no longer; each machine is pinned to its key of last."""
    asyncio.run(_remove(call, authority))


def host_key_pairs(row: Instance) -> list[tuple[str, object]]:
    """What is on record of an instance's host key, for people."""
    if row.host_key is None:
        pairs: list[tuple[str, object]] = [("host key", "none yet (pinned at first contact)")]
    else:
        known = _TRUSTED.get(row.host_key_trust or "", "on record")
        said = (
            f"confirmed {row.host_key_confirmed_at:%Y-%m-%d}" if row.host_key_confirmed_at else ""
        )
        how = ", ".join(filter(None, (known, said or "not confirmed")))
        pairs = [("host key", f"{row.host_key_fingerprint} ({how})")]
    if row.host_key is None and row.host_key_given is not None:
        pairs = [("host key", f"must be {row.host_key_given}")]
    if row.host_keys_proved:
        pairs.append(("other host keys", f"{len(row.host_keys_proved)} that it has proved"))
    if row.host_key_offered is not None:
        pairs.append(("host key shown", f"{row.host_key_offered_fingerprint} (nothing logs in)"))
    return pairs


async def _host_key(call: Call, name: str, accept: str | None, expect: str | None) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.database import host_keys, instances

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            row = await instances.find(session, name)
            if accept is not None:
                row = await host_keys.accept(session, row.id, _named(accept, row))
            elif expect is not None:
                row = await instances.change(session, row.id, {"host_key_given": _read(expect)})
    _show(call, row)


def _show(call: Call, row: Instance) -> None:
    from orchestrator.cli.output import put_json, put_pairs

    if not call.json:
        put_pairs([("instance", row.vast_instance_id), *host_key_pairs(row)])
        return
    told = row.model_dump(mode="json")
    shown = (name for name in told if name in ("id", "vast_instance_id") or "host_key" in name)
    put_json({name: told[name] for name in shown})


def _read(text: str) -> str:
    from orchestrator.domain.errors import InvalidInput
    from orchestrator.ssh.keys import host_key_fingerprint

    try:
        return host_key_fingerprint(text)
    except ValueError as error:
        raise InvalidInput(
            "It is neither SHA256:... nor a public key.", field="host_key"
        ) from error


def _named(text: str, row: Instance) -> str:
    """What was typed, as the database knows it: a line of ssh-keyscan is as good as its key."""
    return text if text in (row.host_key, row.host_key_offered) else _read(text)


async def _list(call: Call) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database import host_authorities

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            rows = await host_authorities.every(session)
    if call.json:
        for row in rows:
            put_json(_document(row))
        return
    put_table(
        ("ID", "HOSTS", "KEY", "ADDED"),
        ((row.id, row.hosts, row.fingerprint, row.created_at) for row in rows),
    )


async def _add(call: Call, line: str) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import host_authorities
    from orchestrator.ssh.host_authorities import HostAuthority

    read = HostAuthority.of_line(line)
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            row = await host_authorities.add(session, read.hosts, read.public_key, read.fingerprint)
    if call.json:
        put_json(_document(row))
    else:
        say(f"Certificates of {row.fingerprint} are good for {row.hosts}.")


async def _remove(call: Call, name: str) -> None:
    from uuid import UUID

    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import host_authorities
    from orchestrator.domain.errors import NotFound

    try:
        authority_id = UUID(name)
    except ValueError as error:
        raise NotFound(
            "No host authority with this id; `host-authorities list` shows them."
        ) from error
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            await host_authorities.remove(session, authority_id)
    if call.json:
        put_json({"removed": str(authority_id)})
    else:
        say(f"Host authority {authority_id} is removed.")


def _document(row: HostAuthority) -> dict[str, object]:
    told: dict[str, object] = row.model_dump(mode="json", exclude={"user_id"})
    return told
