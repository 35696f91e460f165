"""`harborx instances`, `runs` and `results`: what there is, newest first, or one of it in full."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from orchestrator.cli.desk import Desk
    from orchestrator.database.models import FigureRow, Instance, Result, Run
    from orchestrator.database.session import Principal

app = typer.Typer()

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Rows at most.")]
OfInstance = Annotated[
    str | None, typer.Option("--instance", metavar="INSTANCE", help="Only of this instance.")
]


@command(app, "instances", for_supplier=True)
def instances(
    call: Call,
    instance: Annotated[
        str | None, typer.Argument(metavar="INSTANCE", help="One in full: id or provider's id.")
    ] = None,
    limit: Limit = 20,
) -> None:
    """List instances, or show one."""
    asyncio.run(_instances(call, instance, limit))


@command(app, "runs", for_supplier=True)
def runs(
    call: Call,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="One in full.")] = None,
    instance: OfInstance = None,
    limit: Limit = 20,
) -> None:
    """List runs, or show one in full."""
    asyncio.run(_run(call, run) if run else _runs(call, instance, limit))


@command(app, "results", for_supplier=True)
def results(
    call: Call,
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="The result of this run in full.")
    ] = None,
    instance: OfInstance = None,
    limit: Limit = 20,
) -> None:
    """List results, or show one in full. Figures come with their conditions and the verdict."""
    asyncio.run(_result(call, run) if run else _results(call, instance, limit))


async def _instances(call: Call, name: str | None, limit: int) -> None:
    from orchestrator.api.shapes import InstanceShape
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database import credentials
    from orchestrator.database import instances as queries

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            if name is not None:
                found = await queries.find(session, name)
                login = await credentials.public_half(session, found)
                rows = [found]
            else:
                rows = (await queries.page(session, limit, None)).rows
    if call.json:
        for row in rows:
            put_json(InstanceShape.of(row))
    elif name is not None:
        _put_instance(rows[0], login.public_key if login else None)
    else:
        columns = ("INSTANCE", "STATUS", "GPU", "ADDRESS", "TESTED")
        put_table(columns, map(_instance_row, rows))


def _instance_row(row: Instance) -> tuple[object, ...]:
    address = f"{row.ssh_user}@{row.ssh_host}:{row.ssh_port}"
    return (row.vast_instance_id, row.status, _gpu(row), address, row.tested_at)


def _gpu(row: Instance) -> str | None:
    return f"{row.gpu_count} x {row.gpu_name}" if (row.gpu_count or 1) > 1 else row.gpu_name


def _put_instance(row: Instance, public_key: str | None) -> None:
    from orchestrator.cli.host_keys import host_key_pairs
    from orchestrator.cli.output import put_pairs

    put_pairs(
        [
            ("instance", row.vast_instance_id),
            ("id", row.id),
            ("status", row.status),
            ("test status", row.test_status),
            ("tested", row.tested_at),
            ("address", f"{row.ssh_user}@{row.ssh_host}:{row.ssh_port}"),
            *host_key_pairs(row),
            ("login key", public_key),
            ("claimed GPU", _gpu(row)),
            ("CUDA", row.cuda_version),
            ("CPU cores", row.cpu_count),
            ("memory GiB", row.ram_gb),
            ("disk GiB", row.disk_space_gb),
            ("onboarded", row.created_at),
        ]
    )


async def _runs(call: Call, name: str | None, limit: int) -> None:
    from orchestrator.api.shapes import RunShape
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database import runs as queries

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        only = await _id_of(desk, principal, name)
        async with desk.api.transaction(principal) as session:
            rows = (await queries.page(session, limit, None, only)).rows
        names = await _names(desk, principal, (row.instance_id for row in rows))
    if call.json:
        for row in rows:
            put_json(RunShape.of(row))
        return
    put_table(
        ("RUN", "INSTANCE", "STATE", "ERROR", "REQUESTED", "BY"),
        (
            (
                *(row.id, names[row.instance_id], row.state, row.error_code),
                *(row.created_at, row.requested_by),
            )
            for row in rows
        ),
    )


async def _run(call: Call, text: str) -> None:
    from orchestrator.api.shapes import RunShape
    from orchestrator.cli.output import put_json
    from orchestrator.cli.report import put_error, put_result

    run, result, instance, told = await _load(call, text)
    if call.json:
        put_json(RunShape.of(run, result))
        return
    _put_run(run, instance)
    if result is not None:
        put_result(result, told)
    if run.error_code is not None:
        put_error(run)


def _put_run(run: Run, instance: Instance) -> None:
    from orchestrator.cli.output import put_pairs
    from orchestrator.domain.options import Options

    options = Options(**run.options).model_dump(exclude_none=True)
    put_pairs(
        [
            ("run", run.id),
            ("instance", instance.vast_instance_id),
            ("state", run.state),
            ("requested by", run.requested_by),
            ("options", ", ".join(f"{name} {value}" for name, value in options.items())),
            ("attempts", run.attempt),
            ("worker", run.worker),
            ("requested", run.created_at),
            ("started", run.started_at),
            *_if_there("put off until", None if run.finished_at else run.not_before),
            *_if_there("cancel requested", run.cancel_requested_at),
            ("finished", run.finished_at),
        ]
    )


def _if_there(name: str, value: object) -> list[tuple[str, object]]:
    return [] if value is None else [(name, value)]


async def _results(call: Call, name: str | None, limit: int) -> None:
    from orchestrator.api.shapes import ResultShape
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.output import put_json, put_table
    from orchestrator.database import results as queries

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        only = await _id_of(desk, principal, name)
        async with desk.api.transaction(principal) as session:
            rows = (await queries.page(session, limit, None, only)).rows
        names = await _names(desk, principal, (row.gpu_instance_id for row in rows))
    if call.json:
        for row in rows:
            put_json(ResultShape.of(row))
        return
    put_table(
        ("RUN", "INSTANCE", "VERDICT", "IMAGES/S", "DEVICE", "MILES/H", "COMPLETED"),
        (_result_row(row, names[row.gpu_instance_id]) for row in rows),
    )


def _result_row(row: Result, name: str) -> tuple[object, ...]:
    rate, miles = row.throughput_images_per_sec, row.compute_miles_per_hour
    return (
        row.run_id or f"({row.source})",
        name,
        row.verdict,
        None if rate is None else f"{rate:,.1f}",
        row.measured_gpu_name or row.device,
        None if miles is None else f"{miles:,.0f}",
        row.completed_at,
    )


async def _result(call: Call, text: str) -> None:
    from orchestrator.api.shapes import ResultShape
    from orchestrator.cli.output import put_json
    from orchestrator.cli.report import put_outcome
    from orchestrator.domain.errors import NotFound

    run, result, instance, told = await _load(call, text)
    if result is None:
        ended = f"it is {run.state}" + (f" ({run.error_code})" if run.error_code else "")
        raise NotFound(f"Run {run.id} has no result: {ended}; see `harborx runs {run.id}`.")
    if call.json:
        put_json(ResultShape.of(result))
    else:
        put_outcome(run, result, instance, told)


async def _load(call: Call, text: str) -> tuple[Run, Result | None, Instance, Sequence[FigureRow]]:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.testing import parsed_run_id
    from orchestrator.database import figures
    from orchestrator.database import instances as machines
    from orchestrator.database import results as outcomes
    from orchestrator.database import runs as queries

    run_id = parsed_run_id(text)
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            run = await queries.get(session, run_id)
            result = await outcomes.of_run(session, run_id)
            told = await figures.of_run(session, run_id)
            return run, result, await machines.get(session, run.instance_id), told


async def _id_of(desk: Desk, principal: Principal, name: str | None) -> UUID | None:
    from orchestrator.database import instances as queries

    if name is None:
        return None
    async with desk.api.transaction(principal) as session:
        return (await queries.find(session, name)).id


async def _names(desk: Desk, principal: Principal, instance_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The provider's ids of instances: what people call them."""
    from orchestrator.database import instances as queries

    async with desk.api.transaction(principal) as session:
        return {
            each: (await queries.get(session, each)).vast_instance_id for each in set(instance_ids)
        }
