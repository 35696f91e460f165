"""`harborx schedule`: test an instance again and again, without anybody asking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.call import Call, command
from orchestrator.cli.testing import BatchSize, Device, ImageSize, InstanceArgument, NumEpochs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orchestrator.database.models import Schedule
    from orchestrator.domain.timetable import Timetable

app = typer.Typer()
schedule = typer.Typer(no_args_is_help=True, help="Test instances by the clock.")
app.add_typer(schedule, name="schedule")

_SHOWN = 5


@command(schedule, "set", for_supplier=True)
def set_schedule(
    call: Call,
    instance: InstanceArgument,
    every_hours: Annotated[int | None, typer.Option(metavar="N", help="Every N hours.")] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="LINE", help='A cron line, e.g. "0 4 * * *".')
    ] = None,
    timezone: Annotated[str, typer.Option(help="Of the cron line.")] = "UTC",
    jitter: Annotated[
        int, typer.Option(metavar="SECONDS", help="Spread each firing over so many seconds.")
    ] = 0,
    batch_size: BatchSize = None,
    num_epochs: NumEpochs = None,
    image_size: ImageSize = None,
    device: Device = None,
) -> None:
    """Make or replace an instance's schedule, and print the next due times."""
    from orchestrator.cli.testing import chosen_options
    from orchestrator.domain.timetable import Timetable

    options = chosen_options(
        batch_size=batch_size, num_epochs=num_epochs, image_size=image_size, device=device
    )
    timetable = Timetable(every_hours, cron, timezone, jitter)
    asyncio.run(_set(call, instance, timetable, options.model_dump(exclude_defaults=True)))


@command(schedule, "list", for_supplier=True)
def list_schedules(call: Call) -> None:
    """List schedules, next first."""
    asyncio.run(_list(call))


@command(schedule, "on", for_supplier=True)
def turn_on(call: Call, instance: InstanceArgument) -> None:
    """Turn an instance's schedule on; the next due time counts from now."""
    asyncio.run(_turn(call, instance, enabled=True))


@command(schedule, "off", for_supplier=True)
def turn_off(call: Call, instance: InstanceArgument) -> None:
    """Turn an instance's schedule off, keeping it."""
    asyncio.run(_turn(call, instance, enabled=False))


@command(schedule, "remove", for_supplier=True)
def remove(call: Call, instance: InstanceArgument) -> None:
    """Remove an instance's schedule."""
    asyncio.run(_remove(call, instance))


def due_times(timetable: Timetable, first: datetime, count: int) -> Iterator[datetime]:
    """`first` and the due times that follow it."""
    due = first
    for _ in range(count):
        yield due
        due = timetable.next_due(due, due)


async def _set(call: Call, name: str, timetable: Timetable, options: dict[str, Any]) -> None:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put, put_json, say
    from orchestrator.database import instances, schedules

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, name)
            stored = await schedules.put(
                session,
                found.id,
                timetable,
                enabled=True,
                options=options,
                now=datetime.now(UTC),
            )
    due = list(due_times(timetable, stored.next_due_at, _SHOWN))
    if call.json:
        put_json({**_document(stored), "due": [each.isoformat() for each in due]})
        return
    spread = f", each up to {timetable.jitter_seconds} s later" if timetable.jitter_seconds else ""
    say(f"Instance {found.vast_instance_id} is tested {_timing(stored)}{spread}. Next due:")
    for each in due:
        put(each.astimezone(ZoneInfo(timetable.timezone)).strftime("%Y-%m-%d %H:%M:%S %Z"))


async def _list(call: Call) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database import instances, schedules

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            rows = await schedules.every(session)
            names = [
                (await instances.get(session, row.instance_id)).vast_instance_id for row in rows
            ]
    if call.json:
        for row in rows:
            put_json(_document(row))
        return
    put_table(
        ("INSTANCE", "WHEN", "ON", "NEXT DUE", "LAST DUE", "OUTCOME"),
        (
            (name, _timing(row), row.enabled, row.next_due_at, row.last_due_at, row.last_outcome)
            for name, row in zip(names, rows, strict=True)
        ),
    )


async def _turn(call: Call, name: str, *, enabled: bool) -> None:
    from datetime import UTC, datetime

    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import instances, schedules
    from orchestrator.domain.errors import NotFound
    from orchestrator.domain.timetable import Timetable

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, name)
            row = await schedules.of_instance(session, found.id)
            if row is None:
                raise NotFound(f"Instance {found.vast_instance_id} has no schedule.")
            stored = await schedules.put(
                session,
                found.id,
                Timetable(row.every_hours, row.cron, row.timezone, row.jitter_seconds),
                enabled=enabled,
                options=row.options,
                now=datetime.now(UTC),
            )
    if call.json:
        put_json(_document(stored))
    else:
        say(f"The schedule of {found.vast_instance_id} is {'on' if enabled else 'off'}.")


async def _remove(call: Call, name: str) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import instances, schedules

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, name)
            await schedules.remove(session, found.id)
    if call.json:
        put_json({"removed": str(found.id)})
    else:
        say(f"The schedule of {found.vast_instance_id} is removed.")


def _timing(row: Schedule) -> str:
    if row.every_hours is not None:
        return "every hour" if row.every_hours == 1 else f"every {row.every_hours} hours"
    return f"at {row.cron} ({row.timezone})"


def _document(row: Schedule) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude={"user_id"})
