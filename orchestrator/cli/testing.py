"""`harborx test`, `watch` and `cancel`: ask for a run and see it live, see one that is there, end one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.call import Call, command

if TYPE_CHECKING:
    from uuid import UUID

    from orchestrator.cli.desk import Desk
    from orchestrator.database.models import Run
    from orchestrator.database.session import Principal
    from orchestrator.domain.options import Options

app = typer.Typer()

InstanceArgument = Annotated[
    str, typer.Argument(metavar="INSTANCE", help="Its id, or the provider's id.")
]
BatchSize = Annotated[int | None, typer.Option(help="Images a step; 32.", show_default=False)]
NumEpochs = Annotated[int | None, typer.Option(help="1,000 samples each; 1.", show_default=False)]
ImageSize = Annotated[int | None, typer.Option(help="Pixels a side; 224.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="auto, cuda or cpu.", show_default=False)]
Precision = Annotated[
    str | None,
    typer.Option(help="auto, fp32, tf32, amp-bf16 or amp-fp16.", show_default=False),
]
Mode = Annotated[
    str | None, typer.Option(help="auto, eager, cuda-graph or compiled.", show_default=False)
]
Profile = Annotated[
    str | None,
    typer.Option(help="quick (the default), standard, full or soak.", show_default=False),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--channels-first", help="The layout of images.", show_default=False
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget", help="Seconds that no part shall measure longer than.", show_default=False
    ),
]


@command(app, "test", for_supplier=True)
def request_test(
    call: Call,
    instance: InstanceArgument,
    batch_size: BatchSize = None,
    num_epochs: NumEpochs = None,
    image_size: ImageSize = None,
    device: Device = None,
    precision: Precision = None,
    mode: Mode = None,
    channels_last: ChannelsLast = None,
    profile: Profile = None,
    budget: Budget = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Request the run and do not watch it.")
    ] = False,
) -> None:
    """Test an instance and show it live. Ctrl-C leaves the run going."""
    options = chosen_options(
        batch_size=batch_size,
        num_epochs=num_epochs,
        image_size=image_size,
        device=device,
        precision=precision,
        mode=mode,
        channels_last=channels_last,
        profile=profile,
        budget_seconds=budget,
    )
    raise typer.Exit(asyncio.run(_test(call, instance, options, no_wait)))


@command(app, "watch", for_supplier=True)
def watch(call: Call, run: Annotated[str, typer.Argument(metavar="RUN", help="Its id.")]) -> None:
    """Show a run from its start, live while it goes."""
    raise typer.Exit(asyncio.run(_watch(call, run)))


@command(app, "cancel", for_supplier=True)
def cancel(
    call: Call,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id.")],
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until it is ended on the machine.")
    ] = False,
) -> None:
    """End a run, on its machine first. The exit status is how it ended: 7 once it is cancelled."""
    raise typer.Exit(asyncio.run(_cancel(call, run, no_wait)))


def chosen_options(**given: Any) -> Options:
    """The options of a benchmark. Raises `InvalidInput` naming every bad one."""
    from pydantic import ValidationError

    from orchestrator.domain.errors import InvalidInput
    from orchestrator.domain.options import Options

    try:
        return Options(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidInput(field_problems(error)) from error


def field_problems(error: Any) -> str:
    """A pydantic `ValidationError` as flags and what is wrong with them, without their values."""
    return " ".join(
        f"--{'.'.join(map(str, each['loc'])).replace('_', '-')}: {each['msg']}."
        for each in error.errors(include_input=False, include_url=False)
    )


def parsed_run_id(text: str) -> UUID:
    """Raises `NotFound` for what is no id, as for an unknown one."""
    from uuid import UUID

    from orchestrator.domain.errors import NotFound

    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"No run {text!r}.") from None


async def _test(call: Call, name: str, options: Options, no_wait: bool) -> int:
    from orchestrator.api.shapes import RunShape
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.live import say_if_no_worker, watch
    from orchestrator.cli.output import put, put_json, say
    from orchestrator.database import runs

    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        run_id = await _requested(desk, principal, name, options)
        if not no_wait:
            return await watch(desk.api, desk.worker, principal, run_id, as_json=call.json)
        await say_if_no_worker(desk.worker)
        async with desk.api.transaction(principal) as session:
            run = await runs.get(session, run_id)
    if call.json:
        put_json(RunShape.of(run))
    else:
        put(str(run_id))
        say(f"Watch it with: harborx watch {run_id}")
        say(f"Cancel it with: harborx cancel {run_id}")
    return 0


async def _requested(desk: Desk, principal: Principal, name: str, options: Options) -> UUID:
    """The id of a new run, or of the one that is in progress already."""
    from orchestrator.cli.output import say
    from orchestrator.database import instances
    from orchestrator.domain.errors import RunInProgress
    from orchestrator.runs.request import request_run

    async with desk.api.transaction(principal) as session:
        instance = await instances.find(session, name)
    try:
        run = await request_run(
            desk.api,
            principal,
            instance.id,
            options,
            "cli",
            new_machines_per_hour=desk.settings.ssh.new_machines_per_hour,
        )
    except RunInProgress as error:
        say(f"A test of this instance is in progress already: run {error.evidence['run_id']}.")
        return parsed_run_id(error.evidence["run_id"])
    say(f"Run {run.id} requested.")
    return run.id


async def _watch(call: Call, text: str) -> int:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.live import show_to_the_end, watch
    from orchestrator.database import runs

    run_id = parsed_run_id(text)
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            run = await runs.get(session, run_id)
        if run.finished_at is not None:
            return await show_to_the_end(desk.api, principal, run_id, as_json=call.json)
        return await watch(desk.api, desk.worker, principal, run_id, as_json=call.json)


async def _cancel(call: Call, text: str, no_wait: bool) -> int:
    from orchestrator.cli.desk import open_desk
    from orchestrator.cli.live import put_end, say_if_no_worker, watch
    from orchestrator.cli.output import say
    from orchestrator.database import runs
    from orchestrator.runs.cancel import cancel_run

    run_id = parsed_run_id(text)
    async with open_desk(call) as desk:
        principal = await desk.supplier(call.user)
        async with desk.api.transaction(principal) as session:
            before = await runs.get(session, run_id)
        run = await cancel_run(desk.api, principal, run_id)
        say(_what_cancelling_does(before, run))
        if run.finished_at is not None:
            return await put_end(desk.api, principal, run_id, as_json=call.json)
        if no_wait:
            await say_if_no_worker(desk.worker)
            return _put_cancelling(call, run)
        return await watch(
            desk.api, desk.worker, principal, run_id, as_json=call.json, cancelling=run
        )


def _what_cancelling_does(before: Run, run: Run) -> str:
    if run.finished_at is None:
        return f"Run {run.id} is being cancelled: it is ended on the machine first."
    if before.finished_at is not None or run.state != "cancelled":
        return f"Run {run.id} had ended already: {run.state}. Nothing is changed."
    return f"Run {run.id} was waiting; it is cancelled."


def _put_cancelling(call: Call, run: Run) -> int:
    from orchestrator.api.shapes import RunShape
    from orchestrator.cli.output import put_json, say

    if call.json:
        put_json(RunShape.of(run))
    else:
        say(f"Watch it with: harborx watch {run.id}")
    return 0
