"""`harborx schedule`: test an instance again and again, without anybody asking."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from orchestrator.cli.call import Call, command
from orchestrator.cli.testing import (
    BatchSize,
    Device,
    ImageSize,
    InstanceArgument,
    NumEpochs,
    Precision,
    Profile,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from orchestrator.database.models import Firing, Instance, Schedule
    from orchestrator.domain.timetable import Misfire, Timetable

app = typer.Typer()
schedule = typer.Typer(no_args_is_help=True, help="Test instances by the clock.")
app.add_typer(schedule, name="schedule")

_SHOWN: Final = 5
_FIRINGS: Final = 20
_OUTCOMES: Final = {
    "fired": "run requested",
    "in_progress": "no test: one was in progress",
    "missed": "missed: no worker was running",
    "unreadable": "turned off: its times can't be read",
}
_MISFIRES: Final = {"run_once": "made up for by one test", "skip": "skipped"}


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
    misfire: Annotated[
        Literal["run_once", "skip"],
        typer.Option(help="Of due times without a running worker: one test for all, or none."),
    ] = "run_once",
    batch_size: BatchSize = None,
    num_epochs: NumEpochs = None,
    image_size: ImageSize = None,
    device: Device = None,
    precision: Precision = None,
    profile: Profile = None,
) -> None:
    """Make or replace an instance's schedule, and print the next due times."""
    from orchestrator.cli.testing import chosen_options
    from orchestrator.domain.timetable import Timetable

    options = chosen_options(
        batch_size=batch_size,
        num_epochs=num_epochs,
        image_size=image_size,
        device=device,
        precision=precision,
        profile=profile,
    )
    timetable = Timetable(every_hours, cron, timezone, jitter)
    chosen = options.model_dump(exclude_defaults=True)
    asyncio.run(_set(call, instance, timetable, misfire, chosen))


@command(schedule, "list", for_supplier=True)
def list_schedules(call: Call) -> None:
    """List schedules, next first."""
    asyncio.run(_list(call))


@command(schedule, "show", for_supplier=True)
def show(call: Call, instance: InstanceArgument) -> None:
    """Show an instance's schedule and what became of its latest due times."""
    asyncio.run(_show(call, instance))


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


async def _set(
    call: Call, name: str, timetable: Timetable, misfire: Misfire, options: dict[str, Any]
) -> None:
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
                misfire=misfire,
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
            (
                *(name, _timing(row), row.enabled, row.next_due_at, row.last_due_at),
                _in_words(row.last_outcome),
            )
            for name, row in zip(names, rows, strict=True)
        ),
    )


async def _show(call: Call, name: str) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json
    from orchestrator.database import instances, schedules

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, name)
            row = _there(await schedules.of_instance(session, found.id), found)
            firings = await schedules.firings(session, found.id, _FIRINGS)
    if call.json:
        told = [_firing_document(each) for each in firings]
        put_json({**_document(row), "firings": told})
    else:
        _put_schedule(row, found.vast_instance_id, firings)


def _put_schedule(row: Schedule, name: str, firings: Sequence[Firing]) -> None:
    from orchestrator.cli.output import put_pairs, put_table

    put_pairs(
        [
            ("instance", name),
            ("tested", _timing(row)),
            ("on", row.enabled),
            ("missed due times", _MISFIRES[row.misfire]),
            ("next due", row.next_due_at if row.enabled else None),
            ("options", ", ".join(f"{key} {value}" for key, value in row.options.items())),
        ]
    )
    if firings:
        rows = ((_due(each), _in_words(each.outcome), each.run_id) for each in firings)
        put_table(("DUE", "OUTCOME", "RUN"), rows)


def _due(firing: Firing) -> str:
    from orchestrator.cli.output import cell

    if firing.times == 1:
        return cell(firing.due_at)
    return f"{cell(firing.due_at)} to {cell(firing.last_due_at)} ({firing.times} times)"


async def _turn(call: Call, name: str, *, enabled: bool) -> None:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, say
    from orchestrator.database import instances, schedules

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            found = await instances.find(session, name)
            row = _there(await schedules.of_instance(session, found.id), found)
            stored = await schedules.put(
                session,
                found.id,
                schedules.timetable_of(row),
                enabled=enabled,
                options=row.options,
                misfire=row.misfire,
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


def _in_words(outcome: str | None) -> str | None:
    return _OUTCOMES.get(outcome, outcome) if outcome else None


def _there(row: Schedule | None, instance: Instance) -> Schedule:
    from orchestrator.domain.errors import NotFound

    if row is None:
        raise NotFound(f"Instance {instance.vast_instance_id} has no schedule.")
    return row


def _firing_document(firing: Firing) -> dict[str, Any]:
    return firing.model_dump(mode="json", exclude={"user_id", "schedule_id"})


def _document(row: Schedule) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude={"user_id"})
