"""`harborx keys`: API keys of a supplier, and the service-role keys of the operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from orchestrator.cli.desk import Desk
    from orchestrator.database.models import ApiKey
    from orchestrator.database.session import Database, Principal

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="API keys.")
app.add_typer(keys, name="keys")

ServiceRole = Annotated[
    bool, typer.Option("--service-role", help="The operator's keys, which act for every supplier.")
]


@command(keys, "create", for_supplier=True)
def create(
    call: Call,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    service_role: ServiceRole = False,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Valid for so long.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="read, test or submit; repeat it. Default: all.")
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For the agent run by hand there: it submits this instance's results for 7 days, at most 90.",
        ),
    ] = None,
) -> None:
    """Make a key and print it: the only time it is shown."""
    if instance is None:
        if name is None:
            raise typer.BadParameter("Say what it is for, with --name.")
        asyncio.run(_create(call, name, service_role, expires_days, scope))
        return
    if service_role or scope not in (None, [], ["submit"]):
        raise typer.BadParameter("The key of an instance submits, and does nothing else.")
    asyncio.run(_create_for_instance(call, instance, name, expires_days))


@command(keys, "list", for_supplier=True)
def list_keys(call: Call, service_role: ServiceRole = False) -> None:
    """List keys, newest first, without the keys themselves."""
    asyncio.run(_list(call, service_role))


@command(keys, "revoke", for_supplier=True)
def revoke(
    call: Call,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `keys list` shows it.")],
    service_role: ServiceRole = False,
) -> None:
    """Revoke a key, at once and for good."""
    asyncio.run(_revoke(call, key, service_role))


async def _holder(desk: Desk, call: Call, service_role: bool) -> tuple[Database, Principal]:
    from orchestrator.database.session import SERVICE

    if service_role:
        return desk.worker, SERVICE
    return desk.api, await desk.supplier(call.user)


async def _create(
    call: Call, name: str, service_role: bool, expires_days: int | None, scopes: list[str] | None
) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.runs.api_keys import SCOPES, create_key

    async with open_desk(call) as desk:
        database, principal = await _holder(desk, call, service_role)
        key = await create_key(
            database,
            principal,
            name,
            scopes=scopes or SCOPES,
            expires_at=_expiry(expires_days),
            service_role=service_role,
        )
    _show(call, key)


async def _create_for_instance(
    call: Call, instance: str, name: str | None, expires_days: int | None
) -> None:
    from datetime import UTC, datetime, timedelta

    from orchestrator.cli.desk import open_desk
    from orchestrator.database import instances
    from orchestrator.runs.api_keys import (
        LONGEST_SUBMIT_KEY_DAYS,
        SUBMIT_KEY_DAYS,
        create_submit_key,
    )

    days = SUBMIT_KEY_DAYS if expires_days is None else expires_days
    if days > LONGEST_SUBMIT_KEY_DAYS:
        raise typer.BadParameter(f"It lasts {LONGEST_SUBMIT_KEY_DAYS} days at most.")
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, instance)
        key = await create_submit_key(
            desk.api,
            principal,
            found.id,
            expires_at=datetime.now(UTC) + timedelta(days=days),
            name=name,
        )
    _show(call, key)


def _show(call: Call, key: str) -> None:
    from orchestrator.cli.output import put, put_json, say

    if call.json:
        put_json({"key": key})
        return
    say("This key is shown once; keep it where only its user reads it.")
    put(key)


def _expiry(days: int | None) -> datetime | None:
    from datetime import UTC, datetime, timedelta

    return None if days is None else datetime.now(UTC) + timedelta(days=days)


async def _list(call: Call, service_role: bool) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table

    async with open_desk(call) as desk:
        database, principal = await _holder(desk, call, service_role)
        rows = await _known(database, principal, service_role)
    if call.json:
        for row in rows:
            put_json(_document(row))
        return
    put_table(
        ("ID", "NAME", "SCOPES", "INSTANCE", "MADE", "EXPIRES", "REVOKED", "LAST USED"),
        (
            (
                *(row.public_id, row.name, " ".join(row.scopes), row.instance_id, row.created_at),
                *(row.expires_at, row.revoked_at, row.last_used_at),
            )
            for row in rows
        ),
    )


async def _revoke(call: Call, name: str, service_role: bool) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import accounts

    async with open_desk(call) as desk:
        database, principal = await _holder(desk, call, service_role)
        key_id = _named(await _known(database, principal, service_role), name)
        async with database.transaction(principal) as session:
            await accounts.revoke_key(session, key_id)
    if call.json:
        put_json({"revoked": str(key_id)})
    else:
        say(f"Key {name} is revoked.")


async def _known(database: Database, principal: Principal, service_role: bool) -> Sequence[ApiKey]:
    """The holder's keys; the operator sees everybody's, of which the service role's are meant."""
    from orchestrator.database import accounts

    async with database.transaction(principal) as session:
        rows = await accounts.keys(session)
    return [row for row in rows if (row.role == "service_role") == service_role]


def _named(rows: Sequence[ApiKey], name: str) -> UUID:
    from orchestrator.domain.errors import NotFound

    for row in rows:
        if name in (row.public_id, str(row.id)):
            return row.id
    raise NotFound("No key with this id; `harborx keys list` shows them.")


def _document(row: ApiKey) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude={"user_id"})
